"""A server that stops waits for its requests, for as long as they are given, and then for nothing they wait for."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.memory import MemoryStore
from tests.api.conftest import Api
from tests.support import process
from tests.support.process import BASE_US, Place, Server, reading, wait_until

BULK = "/v1/metrics/heart-rate/bulk"


def send_and_hang_up(address: tuple[str, int], head: str, body: bytes = b"") -> None:
    with socket.create_connection(address) as client:
        client.sendall(f"{head}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def test_what_requests_work_with_stays_open_until_their_last_thread_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.api.server.http_server.GRACE_S", 0.05)
    app, began, may_end, ended = FastAPI(), threading.Event(), threading.Event(), threading.Event()

    @app.get("/work")
    def work() -> None:
        began.set()
        assert may_end.wait(60)
        ended.set()

    app.state.give_up = may_end.set
    with bound_socket("127.0.0.1", 0) as listener:
        with serving(app, [listener]):
            send_and_hang_up(listener.getsockname(), "GET /work HTTP/1.1")
            assert began.wait(30)
        assert ended.is_set()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counting the readings of imports takes until the question is taken back; released whenever one begins."""
    begun = threading.Semaphore(0)

    def count(_: MemoryStore, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        assert cancellation is not None
        taken_back = threading.Event()
        with cancellation.stopping(taken_back.set):
            begun.release()
            assert taken_back.wait(60)
        return dict.fromkeys(numbers, 0)

    monkeypatch.setattr(MemoryStore, "origin_readings", count)
    return begun


@pytest.fixture
def api(installed: Callable[..., Api]) -> Api:
    return installed(store_url="memory://")


def test_counting_for_somebody_who_has_hung_up_comes_to_an_end(api: Api, counting: threading.Semaphore) -> None:
    number = api.parts.ingestor.register_origin("import", "a file")
    with bound_socket("127.0.0.1", 0) as listener, serving(api.parts.app, [listener]):
        for path in ("/v1/imports", f"/v1/imports/{number}"):
            send_and_hang_up(listener.getsockname(), f"GET {path} HTTP/1.1")
            assert counting.acquire(timeout=30)


def test_an_upload_is_answered_without_counting_what_is_stored(api: Api, counting: threading.Semaphore) -> None:
    answer = api.post("/v1/imports", params={"name": "a.csv"}, content=b"user_id,device_id,timestamp,heart_rate\n")
    assert (answer.status_code, answer.json()["readings"]) == (202, 0)
    assert not counting.acquire(blocking=False)


def bodies() -> Iterator[tuple[str, bytes]]:
    """Heads and bodies of every door that takes large ones."""
    count = 40_000
    table = pa.table(
        {
            "user_id": pa.array(["ann"] * count),
            "device_id": pa.array(["strap"] * count),
            "timestamp": pa.array([BASE_US + second * 1_000_000 for second in range(count)], pa.timestamp("us", "UTC")),
            "heart_rate": pa.array([70.0] * count),
        }
    )
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet, row_group_size=10_000)
    with pa.ipc.new_stream(arrow, table.schema) as stream:
        stream.write_table(table, max_chunksize=10_000)
    lines = table["timestamp"].cast(pa.string()).to_pylist()
    csv = "user_id,device_id,timestamp,heart_rate\n" + "".join(f"bob,ring,{line},65\n" for line in lines)
    yield f"POST {BULK} HTTP/1.1\r\nContent-Type: application/vnd.apache.parquet", parquet.getvalue()
    yield f"POST {BULK} HTTP/1.1\r\nContent-Type: application/vnd.apache.arrow.stream", arrow.getvalue()
    yield f"POST {BULK} HTTP/1.1\r\nContent-Type: text/csv", csv.encode()
    yield "POST /v1/imports?name=a.csv HTTP/1.1\r\nContent-Type: application/octet-stream", csv.encode()


def test_a_server_whose_clients_hang_up_after_large_bodies_stops_and_keeps_what_it_acknowledged(
    place: Place,
) -> None:
    sent = list(bodies())
    with process.serving(place) as server:
        host, port = server.url.removeprefix("http://").split(":")
        assert server.post([reading("kept", 0)]).status_code == 202
        for number in range(24):
            head, body = sent[number % len(sent)]
            send_and_hang_up((host, int(port)), head, body)
        wait_until(lambda: readings_of(server) > 1, "what they sent is stored")
        assert server.stop() == 0
        assert "Traceback" not in server.errors
    with process.serving(place) as again:
        assert again.raw("kept") == {BASE_US: 70.0}


def readings_of(server: Server) -> float:
    return server.metric("pulsebase_store_readings") + server.metric("pulsebase_store_unmerged_readings")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("stop"))
