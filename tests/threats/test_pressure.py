"""Too much, too slow, too large: floods, slow clients, heads without end, bombs."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import zstandard

from pulsebase.api.border.connection_limits import ConnectionLimits
from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.telemetry import REGISTRY
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, guarded, lines, reading, zipped
from tests.threats.test_one_person import ended

LIMITS = ConnectionLimits(0.5, 0.5, 1, most=40, most_of_address=30, trusted_proxies=())
BODY_LIMIT_BYTES = 1 << 20


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Guarded, int]]:
    """A real server on a port, with little patience."""
    settings = {
        "body_limit_bytes": BODY_LIMIT_BYTES,
        "bulk_limit_bytes": BODY_LIMIT_BYTES,
        "import_limit_bytes": 4 << 20,
    }
    with (
        guarded(**settings) as place,
        bound_socket("127.0.0.1", 0) as listener,
        serving(place.parts.app, [listener], LIMITS),
    ):
        yield place, listener.getsockname()[1]


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    connection.settimeout(60)
    said = b""
    try:
        while part := connection.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said


def dropped(reason: str) -> float:
    """How many connections were ended for it."""
    return REGISTRY.get_sample_value("pulsebase_http_connections_dropped_total", {"reason": reason}) or 0


def drip(connection: socket.socket, parts: list[bytes], pause_s: float) -> None:
    for part in parts:
        connection.sendall(part)
        time.sleep(pause_s)


# --- slow clients ---


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: "],
    ids=["nothing", "a line break", "half a line", "half a header"],
)
def test_a_head_that_does_not_come_ends_the_connection(served: tuple[Guarded, int], sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(sent)
        assert rest_of(connection).startswith(b"HTTP/1.1 408")


def test_a_head_that_comes_a_byte_at_a_time_ends_the_connection(served: tuple[Guarded, int]) -> None:
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.settimeout(10)
        head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Slow: 1\r\n" * 1000
        with pytest.raises(OSError, match=r"reset|pipe|closed"):
            drip(connection, [bytes([byte]) for byte in head], 0.02)


def test_a_second_request_that_does_not_come_to_its_end_is_not_waited_for(served: tuple[Guarded, int]) -> None:
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = connection.recv(65536)
        connection.sendall(b"GET /health")
        said += rest_of(connection)
        assert said.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in said


@pytest.mark.parametrize("path", ["/v1/metrics/heart-rate", "/v1/metrics/heart-rate/bulk", "/v1/imports?name=x"])
def test_a_body_that_does_not_come_ends_the_connection(served: tuple[Guarded, int], path: str) -> None:
    place, port = served
    key = place.key(f"slow-{time.monotonic_ns()}")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n{"
    )
    if path.endswith("heart-rate"):
        head = head.replace("application/x-ndjson", "application/json")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode())
        assert rest_of(connection)[:12] in (b"", b"HTTP/1.1 408")


def test_a_body_that_goes_on_behind_its_refusal_ends_the_connection(served: tuple[Guarded, int]) -> None:
    head = b"POST /v1/imports?name=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.settimeout(10)
        connection.sendall(head)
        with pytest.raises(OSError, match=r"reset|pipe|closed"):
            drip(connection, [b"x" * 4096] * 1000, 0.01)


def test_an_answer_that_is_not_taken_ends_the_connection(served: tuple[Guarded, int]) -> None:
    asked, before = 200, dropped("slow-answer")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served[1]))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
        wait_until(lambda: dropped("slow-answer") > before, "the end of the connection")
        said = rest_of(connection)
    assert said.count(b"HTTP/1.1 200") < asked


# --- too large, too many ---


def test_a_head_without_end_is_refused(served: tuple[Guarded, int]) -> None:
    for chunk in (1 << 10, 1 << 20):
        with socket.create_connection(("127.0.0.1", served[1])) as connection:
            connection.settimeout(10)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ")
            try:
                for _ in range((1 << 20) // chunk):
                    connection.sendall(b"a" * chunk)
            except OSError:
                pass
            assert rest_of(connection)[:12] in (b"", b"HTTP/1.1 431")


def test_a_large_head_that_comes_at_once_is_refused(served: tuple[Guarded, int]) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (place, b"a" * 1000) for place in range(100))
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n")
        assert rest_of(connection)[:12] in (b"", b"HTTP/1.1 431")


def test_the_rest_of_a_body_that_was_answered_early_is_no_head(served: tuple[Guarded, int]) -> None:
    """As a client that writes all of its body before it looks for an answer sends it, and then asks something else."""
    body = b"x" * (200 << 10)
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.settimeout(10)
        connection.sendall(
            b"POST /v1/metrics/heart-rate/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        for start in range(0, len(body), 10 << 10):
            connection.sendall(body[start : start + (10 << 10)])
            time.sleep(0.01)  # as a network would bring it
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = rest_of(connection)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.count(b"HTTP/1.1") == 1


def test_one_address_cannot_take_all_connections(served: tuple[Guarded, int]) -> None:
    opened = [socket.create_connection(("127.0.0.1", served[1])) for _ in range(LIMITS.most_of_address + 5)]
    try:
        assert rest_of(opened[-1])[:12] in (b"", b"HTTP/1.1 503")
    finally:
        for connection in opened:
            connection.close()
    url = f"http://127.0.0.1:{served[1]}/health"
    wait_until(lambda: httpx.get(url).status_code == 200, "an answer, once the connections are seen to have gone")


def test_a_key_that_floods_waits_and_others_do_not() -> None:
    with guarded(key_requests_per_s=1, address_requests_per_s=1000) as place:
        flood, other = place.client(place.key("flood")), place.client(place.key("other"))
        answers = [flood.get("/v1/users") for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        last = answers[-1]
        assert last.json()["type"] == "urn:pulsebase:problem:too-many-requests"
        assert int(last.headers["retry-after"]) >= 1
        assert last.headers["ratelimit-policy"] == '"key";q=10;w=10'
        assert last.headers["ratelimit"].startswith('"key";r=0;t=')
        assert answers[0].headers["ratelimit"].startswith('"key";r=9;t=')
        assert flood.post("/v1/metrics/heart-rate", json=reading("ann")).status_code == 429
        assert other.get("/v1/users").status_code == 200


def test_an_address_that_floods_waits_and_others_do_not() -> None:
    with guarded(address_requests_per_s=1) as place:
        flood, other = place.client(address="192.0.2.1"), place.client(address="192.0.2.2")
        assert [flood.get("/health").status_code for _ in range(11)] == [200] * 10 + [429]
        assert other.get("/health").status_code == 200
        many = [place.client(address=f"2001:db8::{number:x}").get("/health").status_code for number in range(11)]
        assert many[-1] == 429, "who has one address of IPv6 has a network of them"


def test_an_address_that_guesses_keys_waits_and_whoever_has_one_there_does_not() -> None:
    with guarded(wrong_keys_per_min=5) as place:
        guesser, good = place.client("pulsebase_" + "0" * 64), place.client(place.key("good"))
        assert [guesser.get("/v1/users").status_code for _ in range(7)] == [401] * 5 + [429] * 2
        assert good.get("/v1/users").status_code == 200


# --- bombs ---


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("path", ["", "/batch", "/bulk"])
def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(
    served: tuple[Guarded, int], path: str, pack: Any
) -> None:
    encoding = "gzip" if pack is gzip.compress else "zstd"
    headers = {"content-encoding": encoding}
    if path == "/bulk":
        headers["content-type"] = "text/csv"
    bomb = pack(b"user_id,device_id,timestamp,heart_rate\n" + b" " * (64 << 20))
    answer = served[0].owner.post(f"/v1/metrics/heart-rate{path}", content=bomb, headers=headers)
    assert answer.status_code in (400, 413)
    assert len(bomb) < BODY_LIMIT_BYTES


def test_a_zip_that_unpacks_to_more_than_the_limit_ends_as_failed(served: tuple[Guarded, int]) -> None:
    owner = served[0].owner
    bomb = zipped({"readings.ndjson": (lines("ann")[:-1] + b" " * 100_000 + b"\n") * 640})
    number = owner.post("/v1/imports?name=bomb", content=bomb).json()["id"]
    course = ended(owner, number)["course"]
    assert "larger" in str(course["failure"]) + str([file["problem"] for file in course["files"]])


# --- files that mean harm ---


def test_names_in_an_archive_lead_nowhere(served: tuple[Guarded, int], tmp_path: Path) -> None:
    owner = served[0].owner
    names = [f"{'../' * 12}{tmp_path}/evil.ndjson", f"{tmp_path}/evil.ndjson", "..\\..\\evil.ndjson"]
    file = zipped(dict.fromkeys(names, lines("ann")))
    number = owner.post("/v1/imports", params={"name": f"../../{tmp_path}/evil"}, content=file).json()["id"]
    assert ended(owner, number)["status"] == "done"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/app/../../../../etc/passwd", "/app/%2e%2e/%2e%2e/settings.py", "/app/..%2fapp.py"])
def test_the_page_serves_its_own_files_alone(served: tuple[Guarded, int], path: str) -> None:
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert rest_of(connection).split(b" ")[1] in (b"401", b"404")


def test_a_backup_cannot_be_asked_for_from_the_network(served: tuple[Guarded, int], tmp_path: Path) -> None:
    answer = served[0].owner.post("/v1/admin/backup", json={"folder": str(tmp_path / "stolen")})
    assert answer.status_code == 404
    assert list(tmp_path.iterdir()) == []


def test_a_body_for_the_owners_routes_is_not_even_read(served: tuple[Guarded, int]) -> None:
    """The framework would read it whole before it asks who it is from."""
    head = b"POST /v1/admin/sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.settimeout(10)
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_entities_of_an_apple_export_are_not_expanded(served: tuple[Guarded, int]) -> None:
    owner = served[0].owner
    levels = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10))
    laughs = f'<?xml version="1.0"?><!DOCTYPE HealthData [<!ENTITY a0 "ha">{levels}]><HealthData>&a9;</HealthData>'
    outside = '<?xml version="1.0"?><!DOCTYPE h [<!ENTITY f SYSTEM "file:///etc/passwd">]><HealthData>&f;</HealthData>'
    for text in (laughs, outside):
        file = zipped({"apple_health_export/export.xml": text.encode()})
        number = owner.post("/v1/imports?name=apple&user_id=ann", content=file).json()["id"]
        course = ended(owner, number)["course"]
        assert course["written"] == 0
        assert "root:" not in str(course)
