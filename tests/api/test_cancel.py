"""A question whose asker goes away is given up, and the server goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.support.process import BASE_US, Place, Server, reading, serving, wait_until

PEOPLE, DAYS = 4, 12
FAILURES = 'pulsebase_store_query_failures_total{error="QueryCancelledError",kind="series"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = Place(tmp_path_factory.mktemp("cancel"), max_rows="50000000", merge_interval_s="0.2", engine_threads="1")
    with serving(place) as running:
        running.client.post(
            "/v1/metrics/heart-rate/bulk",
            content=readings(),
            headers={"Content-Type": "application/vnd.apache.arrow.stream"},
        ).raise_for_status()
        wait_until(lambda: running.metric("pulsebase_store_unmerged_readings") == 0, "everything is merged")
        yield running
        assert "Traceback" not in running.errors


def readings() -> Iterator[bytes]:
    """A reading a second, a day at a time."""
    seconds = np.arange(86_400)
    schema = pa.schema(
        {"user_id": pa.string(), "device_id": pa.string(), "timestamp": pa.timestamp("us"), "heart_rate": pa.int16()}
    )
    for person in range(PEOPLE):
        for day in range(DAYS):
            times = BASE_US + (day * 86_400 + seconds) * 1_000_000
            yield from _stream_part(schema, person, day, times)
    yield b"\xff\xff\xff\xff\x00\x00\x00\x00"


def _stream_part(schema: pa.Schema, person: int, day: int, times: npt.NDArray[np.int64]) -> Iterator[bytes]:
    count = len(times)
    batch = pa.record_batch(
        [
            pa.array([f"user{person}"] * count),
            pa.array(["strap"] * count),
            pa.array(times, pa.timestamp("us")),
            pa.array(60 + times // 1_000_000 % 90, pa.int16()),
        ],
        schema=schema,
    )
    if person == day == 0:
        yield schema.serialize().to_pybytes()
    yield batch.serialize().to_pybytes()


def failures(server: Server) -> float:
    found = [line for line in server.client.get("/metrics").text.splitlines() if line.startswith(FAILURES)]
    return float(found[0].split()[1]) if found else 0.0


def ask(server: Server, path: str, parameters: list[tuple[str, str]], wait_s: float) -> None:
    """Ask, wait a little and hang up."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET {path}?{urlencode(parameters)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(wait_s)


RANGE = [("start_date", "2024-01-01"), ("end_date", f"2024-01-{DAYS:02}"), ("interval", "raw"), ("include", "all")]


@pytest.mark.parametrize("several", [False, True], ids=["one person", "several people"])
def test_a_client_that_goes_away_cancels_its_question(server: Server, several: bool) -> None:
    people = [("user_ids", f"user{person}") for person in range(PEOPLE)] if several else [("user_id", "user0")]
    path = "/v1/multi-user/timeseries" if several else "/v1/timeseries"
    before = failures(server)
    began = time.monotonic()
    for attempt in range(20):  # how far a question has come when its asker leaves is chance
        ask(server, path, [*people, *RANGE], 0.02 + 0.01 * attempt)
        if failures(server) > before:
            break
    wait_until(lambda: failures(server) > before, "a question that was given up", 30)
    assert time.monotonic() - began < 60
    answer = server.client.post("/v1/metrics/heart-rate", json=reading("after", 0))
    assert answer.status_code == 202
    assert len(server.raw("after")) == 1


def test_a_client_that_waits_gets_its_answer(server: Server) -> None:
    before = failures(server)
    day = {"user_id": "user1", "start_date": "2024-01-02", "end_date": "2024-01-02", "interval": "raw"}
    assert server.client.get("/v1/timeseries", params=day).json()["count"] == 86_400
    assert failures(server) == before
