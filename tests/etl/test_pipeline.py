import threading
from collections.abc import Sequence
from typing import Any

import pytest

from pulsebase import telemetry
from pulsebase.etl.pipeline import slices
from pulsebase.etl.registry import HEART_RATE
from pulsebase.etl.state import Checkpoint
from pulsebase.model.errors import (
    DiskFailedError,
    DiskFullError,
    FieldError,
    PulsebaseError,
    QueueFullError,
    ReadOnlyStoreError,
    SourceUnavailableError,
    StoreUnavailableError,
    UnreadableAnswerError,
)
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from tests.etl.conftest import START_US, World


def counted(name: str, **labels: str) -> float:
    return telemetry.REGISTRY.get_sample_value(name, {"source": "made-up", "data_set": HEART_RATE} | labels) or 0.0


def checkpoint(world: World) -> Checkpoint:
    return world.state.checkpoint("ann", "made-up", HEART_RATE)


def test_a_run_brings_everything_and_is_counted(world: World) -> None:
    world.cloud.put(START_US, 96)
    done = counted("pulsebase_etl_runs_total", outcome="done")
    written = counted("pulsebase_etl_rows_total", result="written")
    report = world.run()
    assert world.stored() == world.cloud.readings
    assert (report.outcome, report.read, report.written, report.unchanged, report.rejected) == ("done", 96, 96, 0, 0)
    assert checkpoint(world) == Checkpoint(max(world.cloud.readings))
    assert counted("pulsebase_etl_runs_total", outcome="done") == done + 1
    assert counted("pulsebase_etl_rows_total", result="written") == written + 96
    assert counted("pulsebase_etl_run_seconds_count") > 0


def test_a_second_run_asks_for_the_look_back_and_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cloud.put(START_US, 96)
    world.run()
    monkeypatch.setattr(world.ingestor, "write", lambda _: pytest.fail("written again"))
    report = world.run()
    assert (report.read, report.written, report.unchanged) == (25, 0, 25)
    assert world.run(lookback_us=0).read == 1


def test_what_came_late_or_changed_within_the_look_back_is_brought(world: World) -> None:
    world.cloud.put(START_US, 96)
    late = [world.cloud.readings.popitem() for _ in range(3)][1:]
    world.run()
    world.cloud.readings |= dict(late)
    world.cloud.readings[START_US + 80 * HOUR_US] = 99
    report = world.run()
    assert report.written == 3
    assert world.stored() == world.cloud.readings


def test_without_upsert_what_is_stored_stays(world: World) -> None:
    world.cloud.put(START_US, 96)
    world.run()
    world.cloud.readings[START_US + 90 * HOUR_US] = 99
    world.cloud.readings[START_US + 90 * HOUR_US + MINUTE_US] = 98
    report = world.run(world.pipeline(upsert=False))
    assert report.written == 1
    assert world.stored()[START_US + 90 * HOUR_US] == 60
    assert world.stored()[START_US + 90 * HOUR_US + MINUTE_US] == 98
    world.run()
    assert world.stored() == world.cloud.readings


def test_without_delta_everything_is_read_again(world: World) -> None:
    world.cloud.put(START_US, 96)
    world.run()
    world.cloud.readings[START_US] = 88
    assert world.run().written == 0
    report = world.run(world.pipeline(delta=False))
    assert (report.read, report.written) == (96, 1)
    assert world.stored() == world.cloud.readings


def test_the_batch_size_decides_how_much_is_stored_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cloud.put(START_US, 96)
    write, sizes = world.ingestor.write, []

    def noting(batch: ReadingBatch) -> Sequence[FieldError]:
        sizes.append(len(batch))
        return write(batch)

    monkeypatch.setattr(world.ingestor, "write", noting)
    world.run(world.pipeline(batch_rows=48))
    assert sizes == [48, 48]


def test_of_a_time_that_comes_twice_the_last_value_is_kept_and_then_unchanged(world: World) -> None:
    world.cloud.put(START_US, 2, step_us=0)
    pipeline: Any = world.pipeline()
    extractor = pipeline._extractors[HEART_RATE]
    page = next(extractor.extract("ann", TimeRange(START_US, START_US + DAY_US)))
    twice = [page, type(page)(page.user_id, page.device_id, page.times_us, page.values + 5, page.confidences)]
    extractor.extract = lambda _, part: twice if part.start_us == START_US else []
    assert world.run(pipeline).written == 1
    assert world.stored() == {START_US: page.values[0] + 5}
    assert world.run(pipeline).written == 0


@pytest.mark.parametrize("commits", [0, 1, 2, 3])
def test_a_store_that_fails_in_the_middle_leaves_neither_a_gap_nor_a_double(
    world: World, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    world.cloud.put(START_US, 96)
    write, left = world.store.write, iter([True] * commits + [False])

    def failing_write(batches: list[ReadingBatch]) -> None:
        if not next(left):
            raise PulsebaseError("the disk fell out")
        write(batches)

    monkeypatch.setattr(world.store, "write", failing_write)
    report = world.run()
    assert (report.outcome, report.error, report.written) == ("failed", "the disk fell out", commits * 24)
    monkeypatch.undo()
    report = world.run()
    assert report.written == (4 - commits) * 24
    assert world.stored() == world.cloud.readings


def test_what_came_before_an_error_of_the_source_is_stored(world: World) -> None:
    world.cloud.put(START_US, 96)
    world.cloud.errors[START_US // DAY_US + 2] = SourceUnavailableError("busy", 60)
    report = world.run(world.pipeline(batch_rows=1_000))
    assert (report.outcome, report.error, report.written) == ("postponed", "busy", 48)
    assert checkpoint(world) == Checkpoint(START_US + 47 * HOUR_US, START_US + 2 * DAY_US)
    assert world.run().written == 48
    assert world.asked_days() == [1, 2, 3]


def test_of_what_has_no_row_at_all_the_distant_past_is_asked_for_once(world: World) -> None:
    world.clock.at_us = START_US + 100 * DAY_US
    world.run()
    assert world.asked_days() == list(range(100))
    world.run()
    assert world.asked_days() == list(range(69, 100))  # thirty days and the look-back
    world.clock.at_us += DAY_US
    world.cloud.put(START_US + 75 * DAY_US, 5)  # synced weeks late
    assert world.run().written == 5
    assert world.stored() == world.cloud.readings
    assert world.run(world.pipeline(delta=False)).read == 5
    assert world.asked_days()[0] == 0


def test_a_long_empty_past_is_not_asked_for_again_after_a_break(world: World) -> None:
    world.clock.at_us = START_US + 100 * DAY_US
    world.cloud.put(START_US + 99 * DAY_US, 5)
    world.cloud.errors[START_US // DAY_US + 50] = SourceUnavailableError("busy", 60)
    assert world.run().outcome == "postponed"
    world.run()
    assert world.asked_days()[0] == 49
    assert world.stored() == world.cloud.readings


def test_days_that_synced_while_they_were_asked_for_are_not_lost(world: World) -> None:
    """A band that was away for days syncs in the middle of a run: the run has passed those days by then."""
    world.cloud.put(START_US, 10)
    world.clock.at_us = START_US + 8 * DAY_US
    pipeline: Any = world.pipeline()
    extractor = pipeline._extractors[HEART_RATE]
    extract = extractor.extract

    def syncing(user_id: str, part: TimeRange) -> Any:
        if part.start_us == START_US + 6 * DAY_US:
            world.cloud.put(START_US + 10 * HOUR_US, 170)
        return extract(user_id, part)

    extractor.extract = syncing
    world.run(pipeline)
    world.run()
    assert world.stored() == world.cloud.readings


@pytest.mark.parametrize("breaks_on", range(1, 8))
def test_days_that_synced_between_a_break_and_the_next_run_are_not_lost(world: World, breaks_on: int) -> None:
    world.cloud.put(START_US, 10)
    world.clock.at_us = START_US + 8 * DAY_US
    world.cloud.errors[START_US // DAY_US + breaks_on] = SourceUnavailableError("busy", 60)
    assert world.run().outcome == "postponed"
    world.cloud.put(START_US + 10 * HOUR_US, 170)
    assert world.run().outcome == "done"
    assert world.stored() == world.cloud.readings


def test_a_slice_that_cannot_be_read_is_asked_for_again_and_holds_up_no_other(world: World) -> None:
    world.cloud.put(START_US, 96)
    world.cloud.errors[START_US // DAY_US + 1] = UnreadableAnswerError.of("time", "must be HH:mm:ss")
    report = world.run()
    assert (report.outcome, report.written, report.rejected) == ("failed", 72, 1)
    assert report.reasons == {"time: must be HH:mm:ss": 1}
    assert world.run().written == 24
    assert world.stored() == world.cloud.readings
    assert world.run().read == 25


def test_an_older_copy_of_the_store_is_filled_up_again(world: World) -> None:
    world.cloud.put(START_US, 96)
    world.run()
    world.store.delete("ann", TimeRange(START_US + 30 * HOUR_US, START_US + 96 * HOUR_US))
    world.run()
    assert world.stored() == world.cloud.readings
    world.store.delete("ann", TimeRange(0, START_US + 96 * HOUR_US))
    world.run()
    assert world.stored() == world.cloud.readings


def test_a_full_queue_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cloud.put(START_US, 96)
    write, busy = world.ingestor.write, iter([True, True, False, False, False, False])

    def sometimes_full(batch: ReadingBatch) -> Sequence[FieldError]:
        if next(busy):
            raise QueueFullError("full", retry_after_s=0)
        return write(batch)

    monkeypatch.setattr(world.ingestor, "write", sometimes_full)
    assert world.run().outcome == "done"
    assert world.stored() == world.cloud.readings


def test_a_store_that_stays_away_postpones_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(batch: ReadingBatch) -> None:
        raise StoreUnavailableError("disk full", retry_after_s=0)

    world.cloud.put(START_US, 96)
    monkeypatch.setattr(world.ingestor, "write", refuse)
    report = world.run()
    assert (report.outcome, report.error) == ("postponed", "disk full")
    assert checkpoint(world) == Checkpoint()


@pytest.mark.parametrize("kind", [DiskFullError, DiskFailedError, ReadOnlyStoreError])
def test_a_run_does_not_wait_for_what_somebody_has_to_mend(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: type[StoreUnavailableError]
) -> None:
    tries = []

    def refuse(batch: ReadingBatch) -> None:
        tries.append(batch)
        raise kind("not now", retry_after_s=0)

    world.cloud.put(START_US, 96)
    monkeypatch.setattr(world.ingestor, "write", refuse)
    assert world.run().outcome == "postponed"
    assert len(tries) == 1


def test_a_stop_ends_the_run_and_the_next_one_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cloud.put(START_US, 96)
    stop, write = threading.Event(), world.ingestor.write

    def stopping_write(batch: ReadingBatch) -> Sequence[FieldError]:
        refused = write(batch)
        stop.set()
        return refused

    monkeypatch.setattr(world.ingestor, "write", stopping_write)
    within = TimeRange(START_US, world.clock.at_us)
    report = world.pipeline().run("ann", HEART_RATE, within, lookback_us=DAY_US, stop=stop).report
    assert (report.outcome, report.written) == ("stopped", 24)
    monkeypatch.undo()
    world.run()
    assert world.stored() == world.cloud.readings


def test_a_fault_of_the_program_is_told_by_its_name_alone(world: World) -> None:
    world.cloud.errors[START_US // DAY_US] = KeyError("secret")
    report = world.run()
    assert (report.outcome, report.error) == ("failed", "a fault of the program: KeyError")


def test_refused_readings_are_counted_with_their_reason_and_sink_nothing(world: World) -> None:
    world.cloud.put(START_US, 96)
    world.cloud.readings[START_US + MINUTE_US] = 255
    report = world.run()
    assert (report.written, report.rejected) == (96, 1)
    assert report.reasons == {"heart_rate: out of range 30–220": 1}


def test_slices_are_utc_days_or_several(world: World) -> None:
    whole = TimeRange(DAY_US // 2, 3 * DAY_US)
    assert list(slices(whole)) == [
        TimeRange(DAY_US // 2, DAY_US),
        TimeRange(DAY_US, 2 * DAY_US),
        TimeRange(2 * DAY_US, 3 * DAY_US),
    ]
    assert list(slices(whole, 2 * DAY_US)) == [TimeRange(DAY_US // 2, 2 * DAY_US), TimeRange(2 * DAY_US, 3 * DAY_US)]
    assert list(slices(TimeRange(5, 5))) == []
