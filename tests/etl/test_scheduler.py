import threading
from time import monotonic

import pytest

from pulsebase.etl import HEART_RATE, HEART_RATE_SUMMARY, RunReport, Scheduler
from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import HOUR_US, MINUTE_US
from tests.etl.conftest import START_US, World, recorded


def test_the_live_end_grows_and_stops_promptly(world: World) -> None:
    world.clock.at_us = START_US + HOUR_US
    reports: list[RunReport] = []
    rounds = threading.Semaphore(0)

    def note(report: RunReport) -> None:
        reports.append(report)
        if (report.user_id, report.data_set) == ("user2", HEART_RATE_SUMMARY):
            rounds.release()

    with Scheduler(world.pipeline(), ["user1", "user2"], every_s=0.02, on_report=note) as scheduler:
        assert scheduler.wait_caught_up(10)
        assert rounds.acquire(timeout=10)
        world.clock.at_us += 10 * MINUTE_US
        for _ in range(2):
            assert rounds.acquire(timeout=10)
        assert {(report.user_id, report.data_set) for report in scheduler.last_reports()} == {
            (user, data_set) for user in ("user1", "user2") for data_set in (HEART_RATE, HEART_RATE_SUMMARY)
        }
    assert world.stored() == [
        *recorded("user1", START_US, world.clock.at_us),
        *recorded("user2", START_US, world.clock.at_us),
    ]
    assert max(report.read for report in reports[4:]) < 200  # the rounds after the first do not read a day again


def test_close_does_not_wait_for_the_next_round(world: World) -> None:
    world.clock.at_us = START_US + HOUR_US
    scheduler = Scheduler(world.pipeline(), ["user1"], every_s=3_600)
    scheduler.start()
    assert scheduler.wait_caught_up(10)
    began = monotonic()
    scheduler.close()
    scheduler.close()
    assert monotonic() - began < 1


def test_close_before_the_start_is_no_error(world: World) -> None:
    Scheduler(world.pipeline(), ["user1"]).close()


def test_a_failure_is_tried_again_and_holds_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.clock.at_us = START_US + HOUR_US
    last_time_us, failures = world.store.last_time_us, [StoreUnavailableError("away"), RuntimeError("a bug")]

    def failing(user_id: str, device_id: str) -> int | None:
        if user_id == "user1" and failures:
            raise failures.pop()
        return last_time_us(user_id, device_id)

    monkeypatch.setattr(world.store, "last_time_us", failing)
    reports: list[RunReport] = []
    with Scheduler(world.pipeline(), ["user1", "user2"], every_s=0.01, on_report=reports.append) as scheduler:
        assert scheduler.wait_caught_up(10)
    heart_rate = [report.user_id for report in reports if report.data_set == HEART_RATE]
    assert heart_rate[:3] == ["user2", "user2", "user1"]
    assert [row[0] for row in world.stored()].count("user1") == len(recorded("user1", START_US, world.clock.at_us))
