"""The row of workers, of small programs in the place of servers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pulsebase.cli import supervisor as module
from pulsebase.cli.supervisor import Supervisor, Worker
from pulsebase.cli.worker import LEAVE, Orders, SupervisorChannel
from pulsebase.model.errors import StopError
from tests.support.process import wait_until

#: Does as its orders say: `fails`, `answers` until it is told to leave, or `lingers` after that.
PROGRAM = """
import json, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[1]))
does = json.loads(channel.makefile().readline())["given"]["does"]
if does == "fails":
    sys.exit(3)
channel.sendall(b"R")
channel.recv(1)
time.sleep(60 if does == "lingers" else 0)
"""


class Row:
    """A supervisor, and what workers that are started from now on do."""

    def __init__(self, folder: Path, listener: int) -> None:
        self.does, self.started = "answers", list[Worker]()
        self._folder, self._listener = folder, listener
        self.supervisor = Supervisor(2, self._start)

    def _start(self, number: int, has_first_place: bool) -> Worker:
        orders = Orders(
            number, str(self._folder), self._listener, {"does": self.does}, not self.started, has_first_place
        )
        self.started.append(Worker(orders, (sys.executable, "-S", "-E", "-c", PROGRAM)))
        return self.started[-1]

    def look_until(self, count: int) -> None:
        """Until so many were started, and all of them that run are ready."""

        self.look_while_not(
            lambda: len(self.started) >= count and all(each.is_ready for each in self.alive),
            f"{count} workers were started",
        )
        self.supervisor.look()

    def look_while_not(self, happened: Callable[[], bool], what: str) -> None:
        def looked() -> bool:
            self.supervisor.look()
            return happened()

        wait_until(looked, what)

    @property
    def alive(self) -> list[Worker]:
        return [worker for worker in self.started if worker.exit_code is None]

    def replace_all(self, count: int) -> None:
        self.supervisor.replace_all()
        self.look_until(count)


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Row]:
    monkeypatch.setattr(module, "_BACK_OFF_S", (0.01, 0.04))
    with ExitStack() as closing:
        row = Row(tmp_path, closing.enter_context(socket.socket()).fileno())
        closing.callback(row.supervisor.stop)
        yield row


def numbers(workers: list[Worker]) -> list[int]:
    return sorted(worker.number for worker in workers)


def test_a_first_worker_that_does_not_start_is_the_only_one(row: Row) -> None:
    row.does = "fails"
    with pytest.raises(StopError, match="a worker did not start"):
        row.look_until(2)
    assert len(row.started) == 1


def test_who_ends_again_and_again_is_started_after_growing_pauses(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    row.look_until(2)
    assert row.supervisor.is_up
    row.does = "fails"
    os.kill(row.started[1].pid, signal.SIGKILL)
    row.look_while_not(lambda: len(row.started) > 6, "several tries")
    ended = [record.args for record in caplog.records if "ended" in record.msg]
    assert [args[3] for args in ended if args][:5] == [0.01, 0.02, 0.04, 0.04, 0.04]  # type: ignore[index]
    assert row.started[0].exit_code is None
    row.does = "answers"
    row.look_while_not(lambda: len(row.alive) == 2 and row.alive[1].is_ready, "another one")
    assert numbers(row.alive) == [1, 2]


def test_each_is_replaced_after_its_successor_is_ready(row: Row) -> None:
    row.look_until(2)
    before = list(row.started)
    row.replace_all(4)
    row.look_while_not(lambda: len(row.alive) == 2, "the end of those before")
    assert [worker.exit_code for worker in before] == [0, 0]
    assert len(row.started) == 4
    assert len(set(numbers(row.alive))) == 2


def test_a_new_worker_that_does_not_start_leaves_the_old_ones(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    row.look_until(2)
    row.does = "fails"
    row.replace_all(3)
    row.look_while_not(lambda: "the replacement of workers is stopped" in caplog.text, "the end of replacing")
    row.look_until(3)
    assert row.alive == row.started[:2]
    row.does = "answers"
    row.replace_all(5)
    assert len(row.started) == 5


def test_who_takes_long_to_leave_is_waited_for_only_so_long(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    row.does = "lingers"
    row.look_until(2)
    row.does = "answers"
    row.replace_all(3)
    for _ in range(20):
        row.supervisor.look()
    assert len(row.started) == 3
    monkeypatch.setattr(module, "_LEAVE_S", 0)
    row.look_until(4)
    assert numbers(row.alive) == [1, 2, 3, 4]
    row.supervisor.stop()
    assert row.alive == []


def test_a_worker_hears_the_word_to_leave_and_stops_without_a_supervisor() -> None:
    supervisor, worker = socket.socketpair()
    with worker:
        channel = SupervisorChannel(worker, threading.Event())
        with supervisor:
            assert not channel.is_to_leave()
            supervisor.sendall(LEAVE)
            assert channel.is_to_leave()
        assert not channel.stopped.is_set()
        assert not channel.is_to_leave()
        assert channel.stopped.is_set()


@pytest.fixture(autouse=True)
def _everything_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
