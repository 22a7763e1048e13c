import threading
from datetime import date

import pytest

from pulsebase import telemetry
from pulsebase.etl import HEART_RATE, HEART_RATE_SUMMARY, Progress
from pulsebase.etl.load import HeartRateLoader
from pulsebase.etl.pipeline import slices
from pulsebase.etl.transform.heart_rate_summary import RESTING_METHOD
from pulsebase.model.errors import PulsebaseError, QueueFullError, StoreUnavailableError, UnknownUserError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from tests.etl.conftest import START_US, World, recorded


def counted(name: str, **labels: str) -> float:
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_run_brings_everything_up_to_now(world: World) -> None:
    before = counted("pulsebase_etl_runs_total", source="synthetic", data_set=HEART_RATE, outcome="done")
    accepted = counted("pulsebase_ingest_readings_accepted_total", source="synthetic")
    report = world.pipeline().run("user1", HEART_RATE)
    assert world.stored() == recorded("user1", START_US, world.clock.at_us)
    assert (report.source, report.data_set, report.user_id, report.outcome) == (
        "synthetic",
        HEART_RATE,
        "user1",
        "done",
    )
    assert report.read == report.written == len(world.stored())
    assert (report.rejected, report.reasons) == (0, {})
    assert report.started_us == world.clock.at_us
    assert report.duration_s > 0
    assert counted("pulsebase_etl_runs_total", source="synthetic", data_set=HEART_RATE, outcome="done") == before + 1
    assert counted("pulsebase_ingest_readings_accepted_total", source="synthetic") == accepted + report.written


def test_a_second_run_changes_nothing(world: World) -> None:
    pipeline = world.pipeline()
    first = pipeline.run("user1", HEART_RATE)
    stored = world.store.stored()
    second = pipeline.run("user1", HEART_RATE)
    assert world.store.stored().equals(stored)
    assert 0 < second.read < first.read  # no more than the look-back


def test_a_later_run_adds_what_came_since(world: World) -> None:
    pipeline = world.pipeline()
    first = pipeline.run("user1", HEART_RATE)
    for step_us in (10_000_000, 7 * MINUTE_US, 5 * HOUR_US):
        world.clock.at_us += step_us
        report = pipeline.run("user1", HEART_RATE, lookback_us=0)
        assert report.read < first.read / 2
    assert world.stored() == recorded("user1", START_US, world.clock.at_us)


def test_the_look_back_brings_what_was_lost_behind_the_last_time(world: World) -> None:
    pipeline = world.pipeline()
    pipeline.run("user1", HEART_RATE)
    lost = TimeRange(world.clock.at_us - 5 * HOUR_US, world.clock.at_us - 4 * HOUR_US)
    assert world.ingestor.submit_delete("user1", lost).result() > 0
    pipeline.run("user1", HEART_RATE, lookback_us=0)
    assert world.stored() != recorded("user1", START_US, world.clock.at_us)
    pipeline.run("user1", HEART_RATE)
    assert world.stored() == recorded("user1", START_US, world.clock.at_us)


def test_without_delta_everything_is_read_again(world: World) -> None:
    pipeline = world.pipeline()
    first = pipeline.run("user2", HEART_RATE)
    world.ingestor.submit_delete("user2", TimeRange(START_US, START_US + HOUR_US)).result()
    assert pipeline.run("user2", HEART_RATE, delta=False).read == first.read
    assert world.stored() == recorded("user2", START_US, world.clock.at_us)


@pytest.mark.parametrize("commits_before_the_crash", [0, 1, 2])
def test_a_crash_in_the_middle_leaves_neither_a_gap_nor_a_double(
    world: World, monkeypatch: pytest.MonkeyPatch, commits_before_the_crash: int
) -> None:
    world.clock.at_us = START_US + 3 * DAY_US
    write, left = world.store.write, iter([True] * commits_before_the_crash + [False])

    def failing_write(batches: list[ReadingBatch]) -> None:
        if not next(left):
            raise PulsebaseError("the disk fell out")
        write(batches)

    monkeypatch.setattr(world.store, "write", failing_write)
    failed = counted("pulsebase_etl_runs_total", source="synthetic", data_set=HEART_RATE, outcome="failed")
    with pytest.raises(PulsebaseError, match="fell out"):
        world.pipeline().run("user1", HEART_RATE)
    assert counted("pulsebase_etl_runs_total", source="synthetic", data_set=HEART_RATE, outcome="failed") == failed + 1
    last_us = world.store.last_time_us("user1", "fitbit")
    assert (last_us is None) == (commits_before_the_crash == 0)
    if last_us is not None:
        assert world.stored() == recorded("user1", START_US, (last_us // DAY_US + 1) * DAY_US)

    monkeypatch.setattr(world.store, "write", write)
    world.pipeline().run("user1", HEART_RATE)
    assert world.stored() == recorded("user1", START_US, world.clock.at_us)


def test_a_full_queue_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write, busy = world.ingestor.write, iter([True, True, False, False, False, False])

    def sometimes_full(batch: ReadingBatch) -> None:
        if next(busy):
            raise QueueFullError("full", retry_after_s=0)
        write(batch)

    monkeypatch.setattr(world.ingestor, "write", sometimes_full)
    world.pipeline().run("user1", HEART_RATE)
    assert world.stored() == recorded("user1", START_US, world.clock.at_us)


def test_a_store_that_stays_away_fails_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(batch: ReadingBatch) -> None:
        raise StoreUnavailableError("disk full", retry_after_s=0)

    monkeypatch.setattr(world.ingestor, "write", refuse)
    with pytest.raises(StoreUnavailableError):
        world.pipeline().run("user1", HEART_RATE)


def test_a_stop_ends_the_run_and_the_next_one_goes_on(world: World) -> None:
    world.clock.at_us = START_US + 3 * DAY_US
    stop = threading.Event()
    seen: list[Progress] = []

    def stop_at_once(progress: Progress) -> None:
        seen.append(progress)
        stop.set()

    pipeline = world.pipeline()
    report = pipeline.run("user1", HEART_RATE, stop=stop, on_progress=stop_at_once)
    assert report.outcome == "stopped"
    assert [progress.written for progress in seen] == [report.written]
    assert seen[0].interval.start_us < seen[0].at_us < seen[0].interval.end_us
    pipeline.run("user1", HEART_RATE)
    assert world.stored() == recorded("user1", START_US, world.clock.at_us)


def test_refused_readings_are_counted_with_their_reason_and_sink_nothing(world: World) -> None:
    pipeline = world.pipeline()
    world.clock.at_us -= HOUR_US
    ahead_us = world.clock.at_us + HOUR_US
    pipeline._now_us = lambda: ahead_us
    report = pipeline.run("user2", HEART_RATE)
    assert report.rejected > 0
    assert report.reasons == {"timestamp: is more than 10 minutes in the future": report.rejected}
    assert report.written + report.rejected == report.read


def test_readings_keep_an_origin_of_their_person_and_source(world: World) -> None:
    pipeline = world.pipeline()
    pipeline.run("user1", HEART_RATE)
    pipeline.run("user2", HEART_RATE)
    origins = world.store.stored().group_by("user_id").aggregate([("origin", "distinct")]).to_pylist()
    found = {row["user_id"]: row["origin_distinct"] for row in origins}
    assert found["user1"] != found["user2"]
    assert found["user1"] == [world.store.register_origin("sync", "synthetic/user1")]


def test_an_unknown_person_is_refused(world: World) -> None:
    with pytest.raises(UnknownUserError):
        world.pipeline().run("nobody", HEART_RATE)


def test_summaries_come_once_a_day_is_over(world: World) -> None:
    world.clock.at_us = START_US + 3 * DAY_US  # 2025-03-31T22:00Z, which is midnight in Berlin
    pipeline = world.pipeline()
    assert pipeline.run("user1", HEART_RATE_SUMMARY).written == 4
    assert pipeline.run("user2", HEART_RATE_SUMMARY).written == 3
    days = world.store.summaries("user1", date.min, date.max)
    assert [day.day for day in days] == [date(2025, 3, number) for number in (28, 29, 30, 31)]
    theirs = world.store.summaries("user2", date.min, date.max)
    assert [day.day for day in theirs] == [date(2025, 3, number) for number in (28, 29, 30)]
    for day in days:
        assert day.resting_heart_rate is not None
        assert 45 < day.resting_heart_rate < 65
        assert day.resting_heart_rate_method == RESTING_METHOD
        assert [zone.name for zone in day.zones] == ["Out of Range", "Fat Burn", "Cardio", "Peak"]
        assert 1_200 < sum(zone.minutes or 0 for zone in day.zones) <= 1_440


def test_a_second_run_writes_no_summary_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.clock.at_us = START_US + 3 * DAY_US
    pipeline = world.pipeline()
    pipeline.run("user1", HEART_RATE_SUMMARY)
    monkeypatch.setattr(world.store, "put_summaries", lambda _: pytest.fail("written again"))
    assert pipeline.run("user1", HEART_RATE_SUMMARY).written == 0
    monkeypatch.undo()
    world.clock.at_us += DAY_US
    assert pipeline.run("user1", HEART_RATE_SUMMARY, lookback_us=0).written == 1


def test_slices_are_utc_days() -> None:
    whole = TimeRange(DAY_US // 2, 3 * DAY_US)
    assert list(slices(whole)) == [
        TimeRange(DAY_US // 2, DAY_US),
        TimeRange(DAY_US, 2 * DAY_US),
        TimeRange(2 * DAY_US, 3 * DAY_US),
    ]
    assert list(slices(TimeRange(5, 5))) == []


def test_the_loader_resumes_where_the_store_stands(world: World) -> None:
    loader = HeartRateLoader(world.ingestor, world.store, rules=None)  # type: ignore[arg-type] # asked, not loaded
    assert loader.resume_us("user1", "fitbit") is None
