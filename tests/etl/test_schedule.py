import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.schedule import CronSchedule, EverySchedule
from pulsebase.etl.scheduler import Scheduler
from pulsebase.etl.state import Connection, RunReport, SqliteSyncState
from pulsebase.etl.sync import Synchronizer
from pulsebase.files.locks import FolderLocks
from pulsebase.model.errors import SettingsError
from pulsebase.model.timerange import DAY_US, HOUR_US, SECOND_US
from tests.etl.conftest import Clock
from tests.stores.harness import at

DAILY = CronSchedule("0 2 * * *")
CHICAGO, MELBOURNE = ZoneInfo("America/Chicago"), ZoneInfo("Australia/Melbourne")
DONE = RunReport("fitbit", "heart_rate", "ann", "done", 0, 0, 0, 0, {}, 0, 0.0)


@pytest.mark.parametrize(
    ("zone", "after", "due"),
    [
        (ZoneInfo("UTC"), "2025-06-01T01:59:59", "2025-06-01T02:00:00"),
        (ZoneInfo("UTC"), "2025-06-01T02:00:00", "2025-06-02T02:00:00"),
        (CHICAGO, "2025-06-01T06:00:00", "2025-06-01T07:00:00"),
        (CHICAGO, "2025-03-08T09:00:00", "2025-03-09T08:00:00"),  # two o'clock is skipped: at three
        (CHICAGO, "2025-11-01T08:00:00", "2025-11-02T08:00:00"),  # one o'clock comes twice, two once
        (MELBOURNE, "2025-04-05T00:00:00", "2025-04-05T15:00:00"),  # two o'clock comes twice: at the first
        (MELBOURNE, "2025-10-04T00:00:00", "2025-10-04T16:00:00"),
    ],
)
def test_days_are_due_on_the_persons_own_clock(zone: ZoneInfo, after: str, due: str) -> None:
    assert DAILY.next_us(at(after), zone) == at(due)


def test_two_oclock_that_comes_twice_is_due_once() -> None:
    first = DAILY.next_us(at("2025-04-05T00:00:00"), MELBOURNE)
    assert DAILY.next_us(first, MELBOURNE) == at("2025-04-06T16:00:00")


def test_what_is_no_cron_expression_is_refused() -> None:
    with pytest.raises(SettingsError, match="PULSEBASE_INGEST_SCHEDULE"):
        CronSchedule("daily at two")


def test_every_so_often() -> None:
    assert EverySchedule(1.5).next_us(10, CHICAGO) == 10 + 1_500_000


class Sync(Synchronizer):
    """Notes who is brought, by the clock; what becomes of them is up to the test."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        pipelines: Any = {"fitbit": None}
        state = SqliteSyncState(folder / "state.sqlite")
        super().__init__(
            pipelines, state=state, locks=FolderLocks(folder), zone_of=lambda _: CHICAGO, now_us=clock.now_us
        )
        self.brought: list[tuple[str, int]] = []
        self.happened = threading.Semaphore(0)
        self.fails: set[str] = set()
        self.blocks: dict[str, threading.Event] = {}

    def run(
        self,
        user_id: str,
        source: str,
        stop: threading.Event | None = None,
        data_sets: Collection[str] | None = None,
    ) -> Sequence[RunReport]:
        assert data_sets is None, "a schedule brings all"
        connection = self.state.connection(user_id, source)
        assert connection is not None
        if user_id in self.blocks:
            self.blocks[user_id].wait(60)
        now_us = self.now_us()
        self.brought.append((user_id, now_us))
        noted = replace(connection, tried_us=now_us, succeeded_us=now_us, due_us=None)
        if user_id in self.fails:
            noted = replace(connection, tried_us=now_us, due_us=now_us + HOUR_US)
        self.state.update(noted)
        self.happened.release()
        if user_id == "bug":
            raise RuntimeError("a bug")
        return [DONE]

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self.happened.acquire(timeout=60)


@pytest.fixture
def clock() -> Clock:
    return Clock(at("2025-06-01T12:00:00"))


@pytest.fixture
def sync(tmp_path: Path, clock: Clock) -> Sync:
    return Sync(tmp_path, clock)


def test_new_connections_are_brought_at_once_and_then_daily(sync: Sync, clock: Clock) -> None:
    start_us = clock.at_us
    sync.state.connect("ann", "fitbit", None, start_us)
    with Scheduler(sync, DAILY) as scheduler:
        sync.wait(1)
        assert scheduler.wait_caught_up(60)
        clock.at_us = at("2025-06-02T07:00:00")
        sync.wait(1)
        sync.state.connect("bob", "fitbit", None, clock.at_us)
        sync.wait(1)
    assert sync.brought == [("ann", start_us), ("ann", at("2025-06-02T07:00:00")), ("bob", at("2025-06-02T07:00:00"))]


def test_missed_days_are_caught_up_once(sync: Sync, clock: Clock) -> None:
    sync.state.connect("ann", "fitbit", None, clock.at_us)
    with Scheduler(sync, DAILY):
        sync.wait(1)
    clock.at_us += 5 * DAY_US  # nothing ran all those days
    with Scheduler(sync, DAILY) as scheduler:
        sync.wait(1)
        assert scheduler.wait_caught_up(60)
    assert len(sync.brought) == 2


def test_who_failed_or_is_slow_keeps_nobody_waiting(sync: Sync, clock: Clock) -> None:
    sync.fails.add("busy")
    sync.blocks["slow"] = threading.Event()
    for user_id in ("bug", "busy", "slow", "well"):
        sync.state.connect(user_id, "fitbit", None, clock.at_us)
    with Scheduler(sync, EverySchedule(3_600)):
        sync.wait(3)
        assert {user_id for user_id, _ in sync.brought} == {"bug", "busy", "well"}
        clock.at_us += HOUR_US
        sync.wait(3)  # all three are due again, one of them because its time to wait is over
        sync.blocks["slow"].set()
        sync.wait(1)


def test_who_needs_to_connect_again_is_not_due(sync: Sync, clock: Clock) -> None:
    known = Connection("ann", "fitbit", None, 1, succeeded_us=clock.at_us)
    scheduler = Scheduler(sync, DAILY)
    assert scheduler.due_us(known) == at("2025-06-02T07:00:00")
    assert scheduler.due_us(replace(known, due_us=5)) == 5
    assert scheduler.due_us(replace(known, succeeded_us=None)) == 1
    assert scheduler.due_us(replace(known, needs_person=True, due_us=5)) is None
    scheduler.close()


def test_the_same_person_and_source_is_brought_once_at_a_time(sync: Sync, clock: Clock) -> None:
    sync.state.connect("ann", "fitbit", None, clock.at_us)
    sync.blocks["ann"] = threading.Event()
    with Scheduler(sync, EverySchedule(0.001)):
        clock.at_us += 10 * SECOND_US
        threading.Event().wait(0.3)
        assert sync.brought == []
        sync.blocks["ann"].set()
        sync.wait(1)


def test_another_process_that_is_at_it_is_left_alone(sync: Sync, clock: Clock, tmp_path: Path) -> None:
    sync.state.connect("ann", "fitbit", None, clock.at_us)
    with FolderLocks(tmp_path).held("run", "ann", "fitbit"):
        assert Synchronizer.run(sync, "ann", "fitbit") == []
