"""Installations that need keys."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.access.service import KeyRequest, create_key
from pulsebase.settings import Settings
from pulsebase.wiring import BuiltServer, build
from tests.support.in_process import InProcessClient

#: All that one key can hold.
SCOPES = ("ingest", "read", "admin", "metrics")


class Guarded:
    """An installation that needs keys, and clients with keys of it."""

    def __init__(self, parts: BuiltServer) -> None:
        self.parts = parts
        self.owner = self.client(self.key("owner-like", ["admin"]))

    def key(self, name: str, scopes: Sequence[str] = SCOPES, people: Sequence[str] | None = None, **wish: Any) -> str:
        scopes = [scope for scope in scopes if people is None or scope != "metrics"]
        key = create_key(self.parts.services.access.state, KeyRequest(name, scopes, people, **wish))[1]
        self.parts.services.access.ring.refresh()
        return key

    def client(self, key: str | None = None, address: str = "127.0.0.1") -> InProcessClient:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return InProcessClient(self.parts.app, client=(address, 50000), headers=headers)


@contextmanager
def guarded(**settings: Any) -> Iterator[Guarded]:
    with build(Settings(_env_file=None, **{"store_url": "memory://", "access": "on"} | settings)) as parts:
        yield Guarded(parts)


def reading(user_id: str, timestamp: str = "2024-01-15T10:00:00Z", heart_rate: float = 75) -> dict[str, Any]:
    return {"device_id": "device_a", "user_id": user_id, "timestamp": timestamp, "heart_rate": heart_rate}


def lines(*user_ids: str, timestamp: str = "2024-01-16T10:00:00Z") -> bytes:
    return b"".join(json.dumps(reading(user_id, timestamp)).encode() + b"\n" for user_id in user_ids)


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def unzipped(packed: bytes) -> dict[str, bytes]:
    """The members of an archive, without the times at which they were packed."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def fill(place: Guarded, people: dict[str, float]) -> None:
    """Readings, a profile and a priority of everybody."""
    for user_id, base in people.items():
        readings = [
            reading(user_id, f"2024-01-{day:02}T{hour:02}:{minute:02}:00Z", base + hour)
            for day in (15, 16)
            for hour in (9, 10)
            for minute in range(5)
        ]
        assert place.owner.post("/v1/metrics/heart-rate/batch", json={"readings": readings}).status_code == 202
        fields = {"name": f"Name of {user_id}", "gender": "female", "birth_year": 1980}
        assert place.owner.put(f"/v1/users/{user_id}", json=fields).status_code == 200
        done = place.owner.put(f"/v1/users/{user_id}/devices/device_a/priority", json={"priority": 3})
        assert done.status_code == 200


@pytest.fixture(scope="module")
def crowd() -> Iterator[Guarded]:
    """Ann, bob and others."""
    with guarded() as place:
        fill(place, {"ann": 60.0, "bob": 90.0, "zed": 61.0})
        yield place


@pytest.fixture(scope="module")
def ann(crowd: Guarded) -> httpx.Client:
    """A client with a key for ann alone, that may do all that can be done to her."""
    return crowd.client(crowd.key("ann", people=["ann"]))
