"""`serve` with several workers over a server store: real processes, one port."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psycopg
import pytest

from tests.support.postgres import empty_timescale
from tests.support.process import BASE_US, START_LIMIT_S, Place, Server, reading, serving, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers on a store."""
    place = Place(tmp_path_factory.mktemp("workers"), store_url=empty_timescale(), pool_size="1", workers="2")
    place.environment["XDG_DATA_HOME"] = str(place.folder)
    with serving(place) as server:
        yield server


def workers(server: Server) -> set[int]:
    """The ids of the processes that were started and have not ended."""
    return {int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()}


def told(server: Server, name: str) -> dict[str, float]:
    """A metric by worker; without one, by an empty name."""
    text = httpx.get(f"{server.url}/metrics").text
    found = re.findall(rf'^{name}(?:\{{(?:.*,)?worker="(\d+)"\}})? (\S+)$', text, re.MULTILINE)
    return {number: float(value) for number, value in found}


def write_all(client: httpx.Client, user_id: str, first: int, stop: threading.Event, stored: dict[int, float]) -> None:
    second = first
    while not stop.is_set():
        said = client.post("/v1/metrics/heart-rate", json=reading(user_id, second, 60 + second % 40))
        said.raise_for_status()
        stored[second] = 60 + second % 40
        second += 1


def ask_all(client: httpx.Client, user_id: str, stop: threading.Event, stored: dict[int, float]) -> None:
    while not stop.is_set():
        known = len(stored)
        said = client.get(f"/v1/users/{user_id}")
        if known:
            said.raise_for_status()
            assert said.json()["readings"] >= known


@contextlib.contextmanager
def at_work(server: Server, user_id: str) -> Iterator[dict[int, float]]:
    """Somebody writes and asks all the time during the block, over connections that are kept and over new ones; what
    was acknowledged. Fails if a request did.
    """
    stop, stored, failures = threading.Event(), dict[int, float](), list[BaseException]()

    def work(kept: bool, role: Any, *arguments: Any) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if kept else 0)
        try:
            with httpx.Client(base_url=server.url, timeout=60, limits=limits) as client:
                role(client, user_id, *arguments)
        except BaseException as error:
            failures.append(error)

    roles = [
        (True, write_all, 0, stop, stored),
        (False, write_all, 1_000_000, stop, stored),
        (True, ask_all, stop, stored),
        (False, ask_all, stop, stored),
    ]
    threads = [threading.Thread(target=work, args=role) for role in roles]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(stored) > 5 or failures, "the first readings")
        yield stored
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


class OpenRequest:
    """A request whose body is not all there yet."""

    def __init__(self, server: Server, lines: list[str]) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        self._lines = lines
        size = sum(map(len, lines))
        head = (
            "POST /v1/metrics/heart-rate/bulk HTTP/1.1",
            f"Host: {host}:{port}",
            f"Content-Length: {size}",
            "Content-Type: application/x-ndjson",
            "Connection: close",
        )
        self._socket.sendall("\r\n".join([*head, "", lines[0]]).encode())

    def finish(self) -> bytes:
        """Send the rest; the answer."""
        self._socket.sendall("".join(self._lines[1:]).encode())
        with self._socket, self._socket.makefile("rb") as answer:
            return answer.readline() + answer.read()


def lines(user_id: str, count: int) -> list[str]:
    template = '{{"user_id":"{}","device_id":"strap","timestamp":{},"heart_rate":70}}\n'
    return [template.format(user_id, f'"2024-02-01T00:00:{n:02d}Z"') for n in range(count)]


def test_several_workers_need_a_server_store(place: Place) -> None:
    line = place.refusal("serve", "--workers", "2")
    assert "PULSEBASE_WORKERS=2: only one process can open an embedded store" in line
    assert not place.database.exists()


def test_workers_that_cannot_start_say_why_once(place: Place) -> None:
    done = place.run("serve", "--workers", "2", "--port", "0", "--store", "postgresql://nobody@127.0.0.1:1/none")
    first, second = done.stderr.splitlines()
    assert done.returncode == 1
    assert first.startswith("pulsebase: the database cannot be reached")
    assert second == "pulsebase: a worker did not start"


def test_the_metrics_are_those_of_every_worker(server: Server) -> None:
    before = sum(told(server, r"pulsebase_ingest_readings_accepted_total").values())
    for n in range(20):
        with httpx.Client(base_url=server.url) as client:
            client.post("/v1/metrics/heart-rate", json=reading("met", n)).raise_for_status()
    accepted = told(server, r"pulsebase_ingest_readings_accepted_total")
    assert sum(accepted.values()) == before + 20
    assert told(server, "process_open_fds").keys() == {"1", "2"}
    assert told(server, "pulsebase_store_size_bytes").keys() == {""}


def test_a_worker_that_was_killed_is_replaced(server: Server) -> None:
    before = workers(server)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    for n in range(10):
        with httpx.Client(base_url=server.url) as client:
            assert client.post("/v1/metrics/heart-rate", json=reading("kay", n)).status_code == 202
    wait_until(lambda: len(told(server, "process_open_fds")) == 2, "another worker")
    assert len(workers(server) - before) == 1
    assert f"(process {victim}) ended with code -9" in server.errors


def test_a_rolling_restart_fails_no_request_and_loses_nothing(server: Server) -> None:
    before, said_before = workers(server), server.errors
    slow = [OpenRequest(server, lines(f"slow{n}", 3)) for n in range(4)]
    with at_work(server, "roll") as stored:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(told(server, "process_open_fds")) == 3, "a new worker beside those before")
        wait_until(lambda: "leaves" in server.errors[len(said_before) :], "the end of one of those before")
        assert [each.finish()[:12] for each in slow] == [b"HTTP/1.1 202"] * 4
        wait_until(lambda: not workers(server) & before, "the end of those before")
        known = len(stored)
        wait_until(lambda: len(stored) > known + 5, "more readings")
    assert len(workers(server)) == 2
    assert [server.client.get(f"/v1/users/slow{n}").json()["readings"] for n in range(4)] == [3] * 4
    assert {(at - BASE_US) // 1_000_000: value for at, value in server.raw("roll").items()} == stored
    assert "ERROR" not in server.errors[len(said_before) :]


def test_a_stop_answers_what_was_begun(server: Server) -> None:
    slow = OpenRequest(server, lines("last", 2))
    told(server, "process_open_fds")  # whoever answers has taken the connection before
    pids = workers(server)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in (server.place.folder / "server.out").read_text(), "the stop")
    assert slow.finish().startswith(b"HTTP/1.1 20")
    assert server.process.wait(START_LIMIT_S) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    with psycopg.connect(server.place.environment["PULSEBASE_STORE_URL"], prepare_threshold=None) as connection:
        staged = "SELECT count(*)::int FROM pulsebase.stage WHERE user_id = 'last'"
        assert connection.execute(staged).fetchone() == (2,)
