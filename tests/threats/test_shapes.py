"""Requests of every odd shape: framing that hides another request, disguised paths and ids, values at extremes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from pulsebase.api.border.connection_limits import ConnectionLimits
from pulsebase.api.server.http_server import bound_socket, serving
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, fill, guarded, reading
from tests.threats.test_connections import answers_in, connected
from tests.threats.test_pressure import rest_of

BODY = json.dumps(reading("ann")).encode()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
BATCH = "/v1/metrics/heart-rate/batch"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Guarded, int, str]]:
    limits = ConnectionLimits(5, 5, 5, trusted_proxies=())
    with (
        guarded(wrong_keys_per_min=1_000_000) as place,
        bound_socket("127.0.0.1", 0) as listener,
        serving(place.parts.app, [listener], limits),
    ):
        fill(place, {"ann": 60.0})
        yield place, listener.getsockname()[1], place.key("odd")


def head(key: str, request: str, *lines: str) -> bytes:
    return "\r\n".join(
        [f"{request} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", *lines, "", ""]
    ).encode("latin-1")


FRAMINGS = {
    "a length and chunks": ((LENGTH, "Transfer-Encoding: chunked"), CHUNKS),
    "chunks and a length": (("Transfer-Encoding: chunked", "Content-Length: 5"), CHUNKS),
    "two lengths": ((LENGTH, "Content-Length: 5"), BODY),
    "a list of lengths": ((f"{LENGTH}, {len(BODY)}",), BODY),
    "a length with a sign": ((f"Content-Length: +{len(BODY)}",), BODY),
    "a length in hexadecimals": ((f"Content-Length: {len(BODY):#x}",), BODY),
    "a blank behind a name": (("Transfer-Encoding : chunked",), CHUNKS),
    "an unknown encoding": (("Transfer-Encoding: xchunked",), CHUNKS),
    "another encoding last": (("Transfer-Encoding: chunked, identity",), CHUNKS),
    "a folded line": (("X: a", " Content-Length: 5", LENGTH), BODY),
    "a folded encoding": (("Transfer-Encoding:", " chunked"), CHUNKS),
    "a carriage return alone": ((f"X: a\rContent-Length: 5\r\n{LENGTH}",), BODY),
    "a line feed alone": ((f"X: a\nContent-Length: 5\r\n{LENGTH}",), BODY),
    "a NUL": (("X: a\0b", LENGTH), BODY),
    "a chunk in hexadecimals": (("Transfer-Encoding: chunked",), b"0x5" + CHUNKS),
    "a chunk with a sign": (("Transfer-Encoding: chunked",), b"+" + CHUNKS),
    "a chunk that overflows": (("Transfer-Encoding: chunked",), b"10000000000000000" + CHUNKS),
    "a blank behind a chunk's length": (("Transfer-Encoding: chunked",), CHUNKS.replace(b"\r\n", b" \r\n", 1)),
    "a chunk's length without a return": (("Transfer-Encoding: chunked",), CHUNKS.replace(b"\r\n", b"\n", 1)),
}


@pytest.mark.parametrize(("lines", "body"), FRAMINGS.values(), ids=FRAMINGS)
def test_framing_that_two_may_read_differently_ends_the_connection(
    served: tuple[Guarded, int, str], lines: tuple[str, ...], body: bytes
) -> None:
    _, port, key = served
    hidden = head(key, "GET /v1/users")
    with connected(port) as connection:
        connection.sendall(head(key, "POST /v1/metrics/heart-rate", *lines) + body + hidden)
        assert answers_in(rest_of(connection)) == [400]


HEADERS = {
    "thousands": [f"X{number}: {number}" for number in range(3_000)],
    "empty ones": ["a:"] * 12_000,
    "cookies": ["Cookie: " + "a=b; " * 12_000],
    "ranges": ["Range: bytes=" + "0-0," * 12_000],
    "media types": ["Accept: " + "a/b;q=0.1," * 6_000 + "*/*"],
    "parameters of one": ["Accept: */*" + ";" * 60_000],
    "tags": ["If-None-Match: " + 'W/"a",' * 9_000],
    "addresses": ["X-Forwarded-For: " + "1.1.1.1," * 7_000, "X-Forwarded-Proto: javascript"],
    "dates": ["Date: Mon, 30 Feb 99999 99:99:99 GMT", "If-Modified-Since: Thu, 32 Foo 0000"],
}


@pytest.mark.parametrize("lines", HEADERS.values(), ids=HEADERS)
def test_headers_by_the_thousand_are_answered_as_if_they_were_not_there(
    served: tuple[Guarded, int, str], lines: list[str]
) -> None:
    _, port, key = served
    question = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-16&interval=1h"
    for path in (question, "/health", "/app/"):
        with connected(port) as connection:
            connection.sendall(head(key, f"GET {path}", *lines, "Connection: close"))
            assert answers_in(rest_of(connection)) == [200], path


PATHS = [
    "/app/%00",
    "/app/..%2f..%2fetc/passwd",
    "/app/%2e%2e/%2e%2e/",
    "/app/%ff%fe",
    "/app/%c0%ae%c0%ae/",
    "/app/%ed%a0%80",
    "/app//etc/passwd",
    "/%00",
    "//evil.example/v1/users/",
    "/\\evil.example/",
    "/%2Fevil.example/",
    "/v1/users/%00",
    "/v1/users/a%2fb",
    "/v1/users/%ff",
    "/v1/users/%c0%af",
    "/v1/users/%ef%bc%a1nn",
    "/v1/users/ann/../ann",
    "/v1/users/ann%0d%0aX:1",
    "/v1/admin/records",
    "/v1/%61dmin/records",
    "/v1//admin/records",
    "/V1/admin/records",
    "/admin/records",
    "/v1/admin/records/",
    "/v1/admin;x/records",
    "http://evil.example/v1/admin/records",
    "/v1/imports/0",
    "/v1/imports/-1",
    "/v1/imports/0x1",
    "/v1/imports/1e3",
    "/v1/imports/%D9%A1",
    "/v1/imports/%EF%BC%91",
    "/v1/erasures/%00",
]


def test_paths_in_disguise_lead_nowhere(served: tuple[Guarded, int, str]) -> None:
    _, port, key = served
    for path in [*PATHS, "/app/" + "a" * 5_000, "/v1/imports/" + "9" * 5_000, "/app/" + "a/" * 3_000]:
        with connected(port) as connection:
            connection.sendall(head(key, f"GET {path}", "Connection: close"))
            said = rest_of(connection)
        assert answers_in(said)[0] in (400, 404), said[:200]
        assert b"location" not in said.lower(), path


SERIES = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-16"
COHORT = "/v1/cohorts/heart-rate?start=2024-01-01&end=2024-02-01&min_avg_heart_rate="
LONG = "9" * 5_000
QUESTIONS = [
    *(f"{SERIES}&tz={zone}" for zone in ("../../etc/passwd", "%00", "UTC%00", "localtime", "posix/UTC", LONG)),
    *(f"{SERIES}&max_points={number}" for number in ("1e3", "-1", "0", LONG)),
    *(f"{SERIES}&{other}" for other in ("user_id=ann", "a[b]=1", "__proto__=1", "user_id%00=1", "device_id=%ED%A0%80")),
    *(COHORT + number for number in ("1e-999999999", "1e999999999", "nan", "inf", "0x10", "1_0", "%EF%BC%91", LONG)),
    *(f"{COHORT}1&min_age={number}" for number in ("1e2", "-1", "%D9%A1", LONG)),
    *(f"{COHORT}1&min_coverage={number}" for number in ("1e-999999999", "2", "nan")),
    *(f"{COHORT}1&cursor={cursor}" for cursor in ("a", "%00", "nan:ann", "1/0:ann", "1" * 256)),
    *(
        f"/v1/timeseries?user_id=ann&start_date={quote(at)}&end_date=2199-01-01"
        for at in (
            "0000-01-01",
            "9999-12-31",
            "2024-01-15T24:00",
            "2024-02-30",
            "\uff12\uff10\uff12\uff14-01-15",
            "1970-01-01T00:00+14:00",
        )
    ),
]


def test_questions_at_extremes_are_refused_by_name(served: tuple[Guarded, int, str]) -> None:
    place, _, _ = served
    for question in QUESTIONS:
        answer = place.owner.get(question)
        assert (answer.status_code, len(answer.json()["errors"])) == (400, 1), question


DISGUISED: dict[str, list[Any]] = {
    "device_id": [10**400, True, 1.0, None, "", "a" * 129, "a b", "a\0", "\uff41", "\u0430", "\u202ea"],
    "user_id": ["\uff41nn", "\u0430nn", "ann\u200b", "ann\n", "ann/../bob", ["ann"], {"ann": 1}],
    "heart_rate": [-0.0, "72", None, [72], 10**400],
    "timestamp": [
        *("1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "2024-01-15T10:00:60Z", "20240115T100000Z"),
        *("2024-W03-1T10:00:00Z", "\u0662024-01-15T10:00:00Z", "1705312800", 1705312800),
    ],
}


@pytest.mark.parametrize("field", DISGUISED)
def test_readings_in_disguise_and_at_extremes_are_refused(served: tuple[Guarded, int, str], field: str) -> None:
    place, _, _ = served
    ndjson = {"content-type": "application/x-ndjson"}
    for value in DISGUISED[field]:
        said = reading("ann") | {field: value}
        for path, body in (("/v1/metrics/heart-rate", said), (BATCH, {"readings": [said]})):
            assert place.owner.post(path, json=body).status_code == 400, (path, value)
        line = json.dumps(said).encode() + b"\n"
        assert place.owner.post("/v1/metrics/heart-rate/bulk", content=line, headers=ndjson).status_code == 400, value


def test_who_hangs_up_at_any_stage_leaves_nothing_held(served: tuple[Guarded, int, str]) -> None:
    place, port, key = served
    requests = [
        head(key, "POST /v1/metrics/heart-rate/bulk", "Content-Type: text/csv", "Content-Length: 100000") + b"user_id,",
        head(key, f"POST {BATCH}", "Content-Length: 1000000") + b" " * 100_000,
        head(key, "POST /v1/imports?name=a", "Content-Length: 100000") + b"abc",
        head(key, "GET /v1/users/ann/export"),
        head(key, "GET /v1/stream?user_ids=ann"),
        head(key, "HEAD /v1/stream?user_ids=ann") + head(key, "HEAD /v1/users/ann/export"),
        head(key, SERIES.join(["GET ", "&interval=raw"])),
    ]
    for request in requests * 20:
        with connected(port) as connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # at once, by a reset
            connection.sendall(request)
    shares = place.parts.app.state.shares
    for resource in ("questions", "answer rows", "body bytes", "uploads", "spooled bytes", "exports", "streams"):
        wait_until(lambda resource=resource: shares.pool(resource).used == 0, f"no {resource} are held")


def test_wrong_keys_and_unknown_paths_add_nothing_to_trail_and_metrics(served: tuple[Guarded, int, str]) -> None:
    place, _, _ = served
    place.owner.get("/v1/nowhere")
    place.owner.request("PROPFIND", "/v1/nowhere")
    place.client("pulsebase_wrong").get("/v1/users")
    before = len(place.owner.get("/metrics").text.splitlines())
    for number in range(100):
        place.owner.request(
            "GET" if number % 2 else f"M{number}", f"/v1/nowhere{number}", headers={b"user-agent": b"a\xff"}
        )
        assert place.client(f"pulsebase_{number}").get("/v1/users").status_code == 401
    assert len(place.owner.get("/metrics").text.splitlines()) <= before + 20  # a method without a name: one more label
    assert not any(entry["status"] == 401 for entry in place.owner.get("/v1/audit?limit=1000").json()["data"])
