"""What one connection can do to the server: trailers, requests ahead of their answers, refusals without end."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pulsebase.api.border.connection_limits import MOST_REFUSALS, ConnectionLimits
from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.telemetry import REGISTRY
from tests.threats.conftest import Guarded, guarded, reading
from tests.threats.test_pressure import rest_of

#: More than the kernel keeps for both ends of a connection on this machine.
_KERNEL_BYTES = 24 << 20
_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Guarded, int]]:
    limits = ConnectionLimits(5, 5, 5, most=40, most_of_address=30, trusted_proxies=())
    with (
        guarded(address_requests_per_s=1_000_000, wrong_keys_per_min=1_000_000) as place,
        bound_socket("127.0.0.1", 0) as listener,
        serving(place.parts.app, [listener], limits),
    ):
        yield place, listener.getsockname()[1]


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(10)
    return connection


def answers_in(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


def accepted_bytes(connection: socket.socket, piece: bytes, most_bytes: int) -> int:
    """How much the other side takes of a piece that is sent again and again, until it takes nothing for a second."""
    connection.setblocking(False)
    sent = 0
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        selector.register(connection, selectors.EVENT_WRITE)
        while sent < most_bytes and selector.select(1):
            sent += connection.send(piece[sent % len(piece) :])
    connection.setblocking(True)
    connection.settimeout(10)
    return sent


def chunked_post(path: str, body: bytes, trailers: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n" + trailers + b"\r\n"


def test_a_key_in_a_trailer_opens_nothing(served: tuple[Guarded, int]) -> None:
    place, port = served
    body = json.dumps(reading("ann")).encode()
    trailer = f"Authorization: Bearer {place.key('in-a-trailer')}\r\n".encode()
    for path in ("/v1/metrics/heart-rate", "/v1/metrics/heart-rate/bulk", "/v1/imports?name=x"):
        with connected(port) as connection:
            request = chunked_post(path, body, trailer)
            connection.sendall(request[: -len(trailer) - 2])
            time.sleep(0.05)
            connection.sendall(request[-len(trailer) - 2 :])
            assert connection.recv(65536).startswith(b"HTTP/1.1 401"), path
        with connected(port) as connection:
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.1 401"), path


def test_a_header_in_a_trailer_is_not_seen_by_the_route_nor_by_the_next_request(served: tuple[Guarded, int]) -> None:
    place, port = served
    body = json.dumps(reading("ann")).encode()
    head = f"Authorization: Bearer {place.key('trailer-of-a-good-one')}\r\n".encode()
    request = chunked_post("/v1/metrics/heart-rate", body, b"X-Request-Id: of-the-trailer\r\n")
    request = request.replace(b"\r\n", b"\r\n" + head, 1)
    with connected(port) as connection:
        connection.sendall(request + _HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        said = rest_of(connection)
    assert answers_in(said) == [202, 200]
    assert b"of-the-trailer" not in said


@pytest.mark.parametrize(
    "endless",
    [b"X-A: " + b"a" * 1000 + b"\r\n", b"a" * 1024, b"0;" + b"a" * 1022],
    ids=["trailers", "one trailer", "one chunk's extension"],
)
def test_what_follows_a_body_in_chunks_has_an_end(served: tuple[Guarded, int], endless: bytes) -> None:
    place, port = served
    key = place.key(f"endless-{time.monotonic_ns()}")
    request = chunked_post("/v1/metrics/heart-rate/bulk", b"{", b"").replace(b"application/json", b"text/csv")
    request = request.replace(b"\r\n", f"\r\nAuthorization: Bearer {key}\r\n".encode(), 1)
    start = request[: -len(b"0\r\n\r\n")] if endless.startswith(b"0;") else request[: -len(b"\r\n")] + b"X: "
    with connected(port) as connection:
        connection.sendall(start)
        assert accepted_bytes(connection, endless * 64, 4 * _KERNEL_BYTES) < _KERNEL_BYTES
        assert rest_of(connection)[:12] in (b"", b"HTTP/1.1 431", b"HTTP/1.1 400")


def test_many_small_chunks_are_a_body_like_any_other(served: tuple[Guarded, int]) -> None:
    place, port = served
    key = place.key("small-chunks")
    head = f"POST /v1/metrics/heart-rate/bulk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n".encode()
    line = json.dumps(reading("ann")).encode() + b"\n"
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in line * 200)
    with connected(port) as connection:
        connection.sendall(head + b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(body + b"0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 202")


def test_requests_sent_ahead_are_answered_all_and_in_their_order(served: tuple[Guarded, int]) -> None:
    paths = [b"/health" if number % 3 else b"/v1/users" for number in range(3000)]
    requests = b"".join(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths)
    requests = requests.replace(b"/v1/users", b"/no-route")
    with connected(served[1]) as connection:
        sender = threading.Thread(target=connection.sendall, args=(requests,))
        sender.start()
        said, seen = b"", 0
        while seen < MOST_REFUSALS:  # each unknown route takes a key, and so many refusals end the connection
            part = connection.recv(1 << 20)
            if not part:
                break
            said += part
            seen = answers_in(said).count(401)
        sender.join()
    assert answers_in(said) == ([401, 200, 200] * 1000)[: 3 * MOST_REFUSALS - 2]


def test_many_bodies_sent_ahead_are_answered_all(served: tuple[Guarded, int]) -> None:
    place, port = served
    body = json.dumps(reading("ann")).encode()
    head = (
        f"POST /v1/metrics/heart-rate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.key('ahead')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    asked = 500
    requests = (head.encode() + body) * asked + _HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with connected(port) as connection:
        sender = threading.Thread(target=connection.sendall, args=(requests,))
        sender.start()
        said = rest_of(connection)
        sender.join()
    assert answers_in(said) == [202] * asked + [200]


def test_requests_whose_answers_nobody_takes_are_not_taken_in(served: tuple[Guarded, int]) -> None:
    with connected(served[1]) as connection:
        assert accepted_bytes(connection, _HEALTH * 1000, 4 * _KERNEL_BYTES) < _KERNEL_BYTES


def test_a_head_without_end_behind_a_request_that_lasts_is_not_kept(served: tuple[Guarded, int]) -> None:
    place, port = served
    key = place.key("lasting")
    listen = f"GET /v1/stream?user_ids=ann HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
    with connected(port) as connection:
        connection.sendall(listen.encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /health HTTP/1.1\r\nX-A: ")
        assert accepted_bytes(connection, b"a" * (1 << 20), 4 * _KERNEL_BYTES) < _KERNEL_BYTES


def test_a_connection_that_is_refused_again_and_again_is_closed(served: tuple[Guarded, int]) -> None:
    with connected(served[1]) as connection:
        for _ in range(MOST_REFUSALS - 1):
            connection.sendall(b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = connection.recv(65536)
            while not said.endswith(b"}"):  # its head may come first
                said += connection.recv(65536)
            assert said.startswith(b"HTTP/1.1 401")
            assert b"connection: close" not in said.lower()
        connection.sendall(b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = rest_of(connection)
    assert said.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in said.lower()


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.3, a/b"])
@pytest.mark.parametrize("in_pieces", [True, False], ids=["in pieces", "at once"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunks", "length"])
def test_a_request_that_asks_for_another_protocol_is_answered_and_its_body_is_no_request(
    served: tuple[Guarded, int], protocol: str, *, in_pieces: bool, chunked: bool
) -> None:
    place, port = served
    hidden = _HEALTH + json.dumps(reading("ann")).encode()
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden) if chunked else hidden
    kind = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(hidden)}"
    head = (
        f"POST /v1/metrics/heart-rate HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nConnection: keep-alive, Upgrade\r\n"
        f"Upgrade: {protocol}\r\nAuthorization: Bearer {place.key(f'upgrades-{time.monotonic_ns()}')}\r\n\r\n"
    ).encode()
    last = _HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n")
    with connected(port) as connection:
        for piece in (head, sent + _HEALTH, last) if in_pieces else (head + sent + _HEALTH + last,):
            connection.sendall(piece)
            time.sleep(0.05)  # so that they are read apart
        assert answers_in(rest_of(connection)) == [400, 200, 200]


def test_a_reading_of_a_client_that_offers_http_2_is_taken(served: tuple[Guarded, int]) -> None:
    place, port = served
    body = json.dumps(reading("ann")).encode()
    head = (
        f"POST /v1/metrics/heart-rate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        f"Authorization: Bearer {place.key('offers')}\r\n\r\n"
    )
    with connected(port) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 202")


def test_what_is_no_http_and_who_asks_for_another_protocol_leave_no_line_in_the_log(
    served: tuple[Guarded, int], caplog: pytest.LogCaptureFixture
) -> None:
    _, port = served
    asks = _HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
    counted = {"reason": "malformed"}
    before = REGISTRY.get_sample_value("pulsebase_http_connections_dropped_total", counted) or 0
    for sent, status in (
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n", 400),
        (asks, 200),
    ):
        with connected(port) as connection:
            connection.sendall(sent)
            assert answers_in(rest_of(connection)) == [status]
    assert caplog.records == []
    assert REGISTRY.get_sample_value("pulsebase_http_connections_dropped_total", counted) == before + 2
