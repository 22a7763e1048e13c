"""What a request says of where it goes, what is led elsewhere by it, and who may keep the answers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pulsebase.api.border.connection_limits import ConnectionLimits
from pulsebase.api.server.http_server import serving
from tests.api.conftest import Api, reading
from tests.api.operations import ending_operations
from tests.api.test_border import assert_problem
from tests.support.clouds import simulated

#: Names of somebody, paths, several, and what is no address.
NO_HOSTS = ["[::1", "::1", "localhost@evil.example", "evil.example@localhost", "localhost/evil.example", "localhost:x"]
NO_HOSTS += [
    "localhost, evil.example",
    "localhost evil.example",
    "localhost?x",
    "localhost#x",
    "localhost\\x",
    "a" * 301,
]


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_refused_by_name(installed: Callable[..., Api], host: str, checked: bool) -> None:
    elsewhere = {} if checked else {"host": "0.0.0.0", "access": "off", "open_to_everybody": True}
    answer = installed(**elsewhere).get("/health", headers={"Host": host})
    assert_problem(answer, 400, "invalid-request")
    assert answer.json()["errors"][0]["field"] == "Host"


@pytest.mark.parametrize("hosts", [("localhost", "evil.example"), ("localhost", "localhost"), ("", "localhost")])
def test_two_hosts_are_refused(api: Api, hosts: tuple[str, str]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with (
        serving(api.parts.app, [listener], ConnectionLimits(10, 10, 10, 10, 10, ())),
        socket.create_connection(listener.getsockname()) as connection,
    ):
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        connection.sendall(f"GET /v1/users HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 400")
    assert b'"field":"Host"' in said


def test_redirects_name_no_host(installed: Callable[..., Api]) -> None:
    api = installed(host="0.0.0.0", access="off", open_to_everybody=True)
    for path in ("/v1/users/?limit=1", "/docs/", "/v1/stream/", "/app"):
        answer = api.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["location"] in ("/v1/users?limit=1", "/docs", "/v1/stream", "/app/")


@pytest.mark.parametrize(
    ("settings", "host", "url"),
    [
        ({}, "localhost:8000", "http://localhost:8000"),
        ({"allowed_hosts": ("pulse.example",), "host": "0.0.0.0"}, "pulse.example:81", "http://pulse.example:81"),
        ({"allowed_hosts": ("pulse.example",), "host": "0.0.0.0"}, "evil.example", None),
        ({"host": "0.0.0.0"}, "evil.example", None),
        ({"host": "0.0.0.0", "public_url": "https://p.example/"}, "evil.example", "https://p.example"),
    ],
)
def test_people_are_led_to_no_host_that_nobody_has_looked_at(
    installed: Callable[..., Api], settings: dict[str, Any], host: str, url: str | None
) -> None:
    with simulated("fitbit") as cloud:
        api = installed(**cloud.settings() | {"access": "off", "open_to_everybody": True} | settings)
        headers = {"Host": host}
        asked = api.post("/v1/sources/fitbit/authorize", json={"user_id": "ann"}, headers=headers)
        led = api.get("/v1/sources/fitbit/authorize?user_id=ann", headers=headers, follow_redirects=False)
    if url is None:
        for answer in (asked, led):
            assert_problem(answer, 409, "conflict")
            assert "PULSEBASE_PUBLIC_URL" in answer.json()["detail"]
    else:
        for address in (asked.json()["url"], led.headers["location"]):
            assert address.startswith(f"{url}/v1/sources/fitbit/consent?ticket=")


KEPT = {"private, no-cache", "no-store", "no-cache", "public, max-age=31536000, immutable"}


def test_every_answer_says_who_may_keep_it(api: Api) -> None:
    asset = next(line for line in api.get("/app/").text.split('"') if line.startswith("/app/assets/"))
    tag = api.get(asset).headers["etag"]
    cases = [
        ("GET", "/health", {}, "private, no-cache"),
        ("GET", "/docs", {}, "private, no-cache"),
        ("GET", "/openapi.json", {}, "private, no-cache"),
        ("GET", "/metrics", {}, "private, no-cache"),
        ("GET", "/", {}, "private, no-cache"),
        ("GET", "/v1/users", {}, "private, no-cache"),
        ("GET", "/nowhere", {}, "no-store"),
        ("GET", "/v1/users?limit=x", {}, "no-store"),
        ("GET", "/v1/users", {"Host": "evil.example"}, "no-store"),
        ("GET", "/v1/users", {"Host": "a@b"}, "no-store"),
        ("DELETE", "/health", {}, "no-store"),
        ("POST", "/v1/metrics/heart-rate", {}, "no-store"),
        ("GET", "/app/", {}, "no-cache"),
        ("GET", "/app/assets/none.js", {}, "no-store"),
        ("GET", asset, {}, "public, max-age=31536000, immutable"),
        ("HEAD", asset, {}, "public, max-age=31536000, immutable"),
        ("GET", asset, {"If-None-Match": tag}, "public, max-age=31536000, immutable"),
    ]
    for method, path, headers, kept in cases:
        answer = api.request(method, path, headers=headers, follow_redirects=False)
        assert answer.headers.get_list("cache-control") == [kept], (method, path, answer.status_code)
    assert api.get(asset, headers={"If-None-Match": tag}).status_code == 304
    api.store(reading())
    asked = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
    first = api.get(asked)
    again = api.get(asked, headers={"If-None-Match": first.headers["etag"]})
    assert [each.headers["cache-control"] for each in (first, again)] == ["private, no-cache"] * 2
    assert again.status_code == 304
    for method, template, _ in ending_operations(api.get("/openapi.json").json()):
        path = template.replace("{", "").replace("}", "")
        answer = api.request(method, path, follow_redirects=False)
        assert answer.headers.get_list("cache-control")[0] in KEPT, (method, template)


@pytest.mark.parametrize("sent", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"])
def test_an_answer_outside_of_requests_is_kept_by_nobody(api: Api, sent: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with (
        serving(api.parts.app, [listener], ConnectionLimits(10, 10, 10, 10, 10, ())),
        socket.create_connection(listener.getsockname()) as connection,
        contextlib.suppress(ConnectionResetError, BrokenPipeError),
    ):
        connection.sendall(sent)
        said = connection.recv(65536)
        assert said.startswith(b"HTTP/1.1 4")
        assert b"cache-control: no-store\r\n" in said
