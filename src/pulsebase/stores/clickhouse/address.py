"""What the URL of a cluster says. It imports no driver, so that checking a setting loads none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL names: `clickhouse[s]://user:password@host:port,host:port/database?cluster=name`."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    database: str
    cluster: str
    encrypted: bool

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL, which names at least one server of each shard.

        Raises:
            ValueError: it is none; the message says why, and does not repeat it.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"clickhouse", "clickhouses"}:
            raise ValueError("begins with clickhouse:// or clickhouses://")
        encrypted = parts.scheme == "clickhouses"
        credentials, _, listed = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        hosts = tuple(_host(each, 8443 if encrypted else 8123) for each in listed.split(","))
        database, cluster = parts.path.strip("/"), parse_qs(parts.query).get("cluster", [""])[-1]
        for name, what in ((database, "/database"), (cluster, "?cluster=name")):
            if not _NAME.fullmatch(name):
                raise ValueError(f"needs {what}, of letters, digits and underscores")
        return cls(hosts, unquote(user) or "default", unquote(password), database, cluster, encrypted)


def _host(text: str, usual_port: int) -> tuple[str, int]:
    name, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        name, port = text, str(usual_port)
    if not name or not port.isdecimal():
        raise ValueError("needs servers as host:port, separated by commas")
    return name.strip("[]"), int(port)
