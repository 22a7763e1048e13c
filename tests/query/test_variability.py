"""Heart rate variability of what a store holds: read in pieces, by window, whatever the devices and the clocks do."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from pulsebase.model.errors import (
    QueryCancelledError,
    QueryTimeoutError,
    RejectedError,
    TooManyRowsError,
    UnknownUserError,
)
from pulsebase.model.hrv import Beats, five_minutes_in, variability, window_sums
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, format_us
from pulsebase.model.users import DevicePriority, User
from pulsebase.query import variability as module
from pulsebase.query.person_days import DaysQuestion
from pulsebase.query.plan import QueryLimits
from pulsebase.query.variability import VariabilityAnswer, Window, heart_rate_variability
from pulsebase.stores import deadline
from pulsebase.stores.contract import Cancellation
from tests.support.tachograms import tachogram
from tests.support.watched import WatchedStore

I64 = npt.NDArray[np.int64]

DAY_OF_US = 1_705_276_800_000_000  # 2024-01-15T00:00:00Z
DAY = DaysQuestion("ann", "2024-01-15", "2024-01-15")


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


def keep(
    store: WatchedStore,
    times: npt.ArrayLike,
    intervals: npt.ArrayLike,
    device: str = "strap",
    confidences: npt.ArrayLike | None = None,
) -> None:
    times_us = np.asarray(times, np.int64).tolist()
    count = len(times_us)
    store.write(
        [
            ReadingBatch.of_columns(
                ["ann"] * count,
                [device] * count,
                times_us,
                np.asarray(intervals).tolist(),
                None if confidences is None else np.asarray(confidences).tolist(),
                1,
                metric="rr_interval",
            )
        ]
    )


def beats(start_us: int, intervals: list[int]) -> tuple[I64, list[int]]:
    """The times of beats without a gap; intervals in tenths of a millisecond."""
    return start_us + np.cumsum(intervals) * 100, intervals


def each_minute(start_us: int, days: int) -> tuple[I64, list[int]]:
    """A beat a minute, none of them successive."""
    times = np.arange(start_us, start_us + days * DAY_US, MINUTE_US)
    return times, [10_000] * len(times)


def ask(
    store: WatchedStore, question: DaysQuestion = DAY, window: Window = "5m", limits: QueryLimits | None = None
) -> VariabilityAnswer:
    store.asked.clear()
    return heart_rate_variability(store, question, window, limits or QueryLimits())


def shown(answer: VariabilityAnswer) -> list[tuple[str, int, int]]:
    found = answer.windows
    starts = map(format_us, found.start_us.tolist())
    return list(zip(starts, found.beats.tolist(), found.left_out.tolist(), strict=True))


# --- pieces ---


def test_in_pieces_as_at_once(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [tachogram(seed, 6_000, DAY_OF_US + seed * 5 * HOUR_US, ectopic=0.02, missed=0.02) for seed in range(4)]
    times, intervals = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    keep(store, times, intervals)
    starts, ends = five_minutes_in(DAY_OF_US, DAY_OF_US + DAY_US)
    expected = variability(window_sums(Beats.in_order(times, intervals), starts, ends, 0), 100)
    for most, pieces in ((200_000, 1), (9_000, 4), (1, 8)):
        monkeypatch.setattr(module, "_MOST_BEATS", most)
        found = ask(store).windows
        for name in ("start_us", "rmssd", "sdnn", "beats", "left_out"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert len(store.at(Resolution.RAW)) == pieces
        assert len(store.at(Resolution.HOUR)) == 1
    assert np.isfinite(expected.rmssd).sum() > 50


def test_a_night_in_pieces_as_at_once(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, *tachogram(7, 30_000, DAY_OF_US - 2 * HOUR_US, ectopic=0.02, missed=0.01))
    at_once = ask(store, window="night")
    assert len(store.at(Resolution.RAW)) == 1
    monkeypatch.setattr(module, "_MOST_BEATS", 5_000)
    in_pieces = ask(store, window="night")
    assert len(store.at(Resolution.RAW)) > 5
    for name in ("start_us", "rmssd", "sdnn", "beats", "left_out"):
        np.testing.assert_array_equal(getattr(in_pieces.windows, name), getattr(at_once.windows, name))
    assert in_pieces.windows.rmssd[0] > 0


def test_no_more_is_read_at_a_time_than_was_said(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BEATS", 10_000)
    keep(store, *beats(DAY_OF_US, [9_000] * 40_000))
    held: list[int] = []
    heart_rate_variability(store, DAY, "5m", QueryLimits(), held.append)
    assert len(store.at(Resolution.RAW)) == 5
    assert held[0] <= 10_000
    assert held[1:] == [121]  # the last beat is at ten o'clock


def test_empty_time_costs_nothing(store: WatchedStore) -> None:
    for day in (0, 100, 300):
        keep(store, *beats(DAY_OF_US + day * DAY_US, [8_000, 8_100] * 200))
    year = DaysQuestion("ann", "2024-01-15", "2025-01-14")
    assert len(ask(store, year).windows) == 6
    assert len(store.asked) == 2  # the hours, and one piece with all of the beats
    assert len(ask(store, DaysQuestion("ann", "2024-02-01", "2024-03-01")).windows) == 0
    assert len(store.asked) == 1


def test_of_days_between_nights_nothing_is_read(store: WatchedStore) -> None:
    keep(store, *each_minute(DAY_OF_US, 2))
    answer = ask(store, DaysQuestion("ann", "2024-01-15", "2024-01-17"), "night")
    assert [query.range.length_us for query in store.at(Resolution.RAW)] == [
        7 * HOUR_US + MINUTE_US,
        9 * HOUR_US + MINUTE_US,
        2 * HOUR_US + MINUTE_US,
    ]
    assert [each.isoformat() for each in answer.mornings] == ["2024-01-15", "2024-01-16", "2024-01-17"]


def test_an_hour_of_more_beats_than_a_heart_has_is_refused(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BEATS_AT_ALL", 1_000)
    keep(store, DAY_OF_US + np.arange(1_001) * 10, [8_000] * 1_001)
    with pytest.raises(TooManyRowsError) as caught:
        ask(store)
    assert caught.value.errors[0].field == "start_date"
    assert store.at(Resolution.RAW) == []


def test_a_minute_before_the_range_of_more_beats_than_a_heart_has_is_refused_likewise(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BEATS_AT_ALL", 1_000)
    monkeypatch.setattr(module, "_MOST_BEATS", 500)
    keep(store, DAY_OF_US - 1_501 + np.arange(1_501), [8_000] * 1_501)
    keep(store, *beats(DAY_OF_US, [8_000] * 10))
    with pytest.raises(TooManyRowsError) as caught:
        ask(store)
    assert [error.field for error in caught.value.errors] == ["start_date"]


# --- devices ---


def test_beats_of_two_devices_are_never_compared(store: WatchedStore) -> None:
    """Two devices that beat alike and win alternate minutes: whatever differs is within a device."""
    store.put_user(User("ann"))
    for minute in range(0, 20, 2):
        store.put_priority(DevicePriority("ann", "a", 1, DAY_OF_US + minute * MINUTE_US))
        store.put_priority(DevicePriority("ann", "a", 9, DAY_OF_US + (minute + 1) * MINUTE_US))
    store.put_priority(DevicePriority("ann", "b", 5))
    keep(store, *beats(DAY_OF_US, [8_000] * 1_500), device="a")
    keep(store, *beats(DAY_OF_US, [9_000] * 1_300), device="b")
    answer = ask(store)
    # 800 and 900 ms: the change from one to the other would be kept, being less than a fifth.
    assert answer.windows.rmssd[:4].tolist() == [0.0] * 4
    assert (answer.windows.sdnn[:4] > 40).all()
    assert answer.windows.left_out.sum() == 0


def test_of_beats_at_the_same_instant_those_of_the_winner_count(store: WatchedStore) -> None:
    times, intervals = beats(DAY_OF_US, [8_000, 8_200] * 180)
    keep(store, times, [12_000] * 360, device="watch")
    keep(store, times, intervals, device="device_a")
    assert shown(ask(store)) == [("2024-01-15T00:00:00Z", 360, 0)]
    assert ask(store).windows.rmssd.tolist() == [20.0]


# --- beats as they come ---


def test_order_does_not_matter_and_what_comes_again_counts_once(store: WatchedStore) -> None:
    times, intervals = tachogram(5, 3_000, DAY_OF_US, ectopic=0.02, missed=0.02)
    keep(store, times, intervals)
    expected = ask(store).windows
    mixed = np.random.default_rng(1).permutation(len(times))
    other = WatchedStore()
    for rows in np.array_split(np.concatenate([mixed, mixed[:500]]), 7):
        keep(other, times[rows], intervals[rows])
    found = ask(other).windows
    for name in ("start_us", "rmssd", "sdnn", "beats", "left_out"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert expected.left_out.sum() > 10


def test_a_beat_stored_twice_a_little_apart_is_left_out(store: WatchedStore) -> None:
    times, intervals = beats(DAY_OF_US, [8_000, 8_200] * 150)
    keep(store, times, intervals)
    keep(store, times[10:12] + 3_000, intervals[10:12])
    assert shown(ask(store)) == [("2024-01-15T00:00:00Z", 300, 2)]


def test_beats_without_confidence_in_them_do_not_count(store: WatchedStore) -> None:
    times, intervals = beats(DAY_OF_US, [8_000, 8_200] * 150)
    keep(store, times, intervals, confidences=[0] * 20 + [3] * 280)
    assert shown(ask(store)) == [("2024-01-15T00:00:00Z", 280, 0)]


def test_other_metrics_are_no_beats(store: WatchedStore) -> None:
    store.write([ReadingBatch.of_columns(["ann"], ["strap"], [DAY_OF_US], [6_000], None, 1)])
    answer = ask(store)
    assert len(answer.windows) == 0
    assert len(ask(store, window="night").windows) == 0


def test_too_few_beats_are_counted_and_nothing_is_stated(store: WatchedStore) -> None:
    keep(store, *beats(DAY_OF_US, [10_000] * 99))
    answer = ask(store)
    assert shown(answer) == [("2024-01-15T00:00:00Z", 99, 0)]
    assert np.isnan(answer.windows.rmssd).all()
    assert answer.least_beats == 100


# --- time ---


def test_a_range_is_widened_to_whole_windows(store: WatchedStore) -> None:
    keep(store, *beats(DAY_OF_US - HOUR_US, [10_000] * 7_200))
    answer = ask(store, DaysQuestion("ann", "2024-01-15T00:01:00Z", "2024-01-15T00:06:00Z"))
    assert [format_us(at) for at in (answer.range.start_us, answer.range.end_us)] == [
        "2024-01-15T00:00:00Z",
        "2024-01-15T00:10:00Z",
    ]
    # The beat at midnight ends an interval that began before; it is compared with the one before all the same.
    assert shown(answer) == [("2024-01-15T00:00:00Z", 300, 0), ("2024-01-15T00:05:00Z", 300, 0)]


@pytest.mark.parametrize(
    ("zone", "day", "start", "end", "hours"),
    [
        ("Europe/Berlin", "2025-03-30", "2025-03-29T21:00:00Z", "2025-03-30T05:00:00Z", 8),
        ("America/New_York", "2025-11-02", "2025-11-02T02:00:00Z", "2025-11-02T12:00:00Z", 10),
        ("America/Los_Angeles", "2025-01-15", "2025-01-15T06:00:00Z", "2025-01-15T15:00:00Z", 9),
        ("Asia/Kolkata", "2025-01-15", "2025-01-14T16:30:00Z", "2025-01-15T01:30:00Z", 9),
    ],
)
def test_a_night_is_that_of_the_persons_clock(  # noqa: PLR0917 a column each
    store: WatchedStore, zone: str, day: str, start: str, end: str, hours: int
) -> None:
    store.put_user(User("ann", time_zone=zone))
    first_us = DAY_US * (date.fromisoformat(day) - date(1970, 1, 1)).days - DAY_US
    keep(store, *each_minute(first_us, 3))
    for question in (DaysQuestion("ann", day, day), DaysQuestion("ann", day, day, zone)):
        answer = ask(store, question, "night")
        assert (answer.tz, [each.isoformat() for each in answer.mornings]) == (zone, [day])
        assert shown(answer) == [(start, hours * 60, 0)]
        assert format_us(answer.range.end_us) == end


def test_a_zone_that_is_asked_for_goes_before_the_persons(store: WatchedStore) -> None:
    store.put_user(User("ann", time_zone="America/Los_Angeles"))
    keep(store, *beats(DAY_OF_US, [10_000] * 3_600))
    assert shown(ask(store, DaysQuestion("ann", "2024-01-15", "2024-01-15", "UTC")))[0][0] == "2024-01-15T00:00:00Z"
    assert len(ask(store).windows) == 0
    assert len(ask(store, DaysQuestion("ann", "2024-01-14", "2024-01-14")).windows) == 13


def test_a_range_that_clocks_leave_empty_is_an_empty_answer(store: WatchedStore) -> None:
    keep(store, *beats(DAY_OF_US, [10_000] * 100))
    gap = DaysQuestion("ann", "2024-03-31T02:00", "2024-03-31T03:00", "Europe/Berlin")
    for window in ("5m", "night"):
        answer = heart_rate_variability(store, gap, window, QueryLimits())
        assert (len(answer.windows), answer.mornings) == (0, ())


# --- limits ---


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (DaysQuestion("ann", "2023-01-01", "2024-01-02"), "end_date"),
        (DaysQuestion("ann", "1970-01-01", "2199-12-31"), "end_date"),
        (DaysQuestion("ann", "2023-01-01", "2024-01-02", end_field="end"), "end"),
        (DaysQuestion("ann", "2024-01-02", "2024-01-01"), "end_date"),
        (DaysQuestion("ann", "soon", "2024-01-01"), "start_date"),
        (DaysQuestion("ann", "2024-01-01", "2024-01-01", "Mars"), "tz"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(store: WatchedStore, question: DaysQuestion, field: str) -> None:
    store.put_user(User("ann"))
    with pytest.raises(RejectedError) as caught:
        ask(store, question)
    assert [error.field for error in caught.value.errors] == [field]
    assert store.asked == []


def test_366_days_may_be_asked_for(store: WatchedStore) -> None:
    store.put_user(User("ann"))
    assert len(ask(store, DaysQuestion("ann", "2024-01-01", "2024-12-31")).windows) == 0


def test_more_windows_than_rows_are_refused(store: WatchedStore) -> None:
    keep(store, *beats(DAY_OF_US, [10_000] * 3_600))
    with pytest.raises(TooManyRowsError):
        ask(store, limits=QueryLimits(max_rows=12))
    assert len(ask(store, limits=QueryLimits(max_rows=13)).windows) == 13


def test_somebody_unknown_is_an_error_and_somebody_without_beats_is_not(store: WatchedStore) -> None:
    with pytest.raises(UnknownUserError):
        ask(store)
    store.put_user(User("ann"))
    assert len(ask(store).windows) == 0


def test_of_somebody_who_is_removed_meanwhile_nothing_is_told(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BEATS", 1)
    keep(store, *beats(DAY_OF_US, [10_000] * 36_000))
    store.meanwhile = lambda: len(store.asked) == 4 and store.remove_user("ann")
    with pytest.raises(UnknownUserError):
        ask(store)
    assert len(store.asked) > 4


def test_the_time_limit_is_for_all_of_the_question(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    monkeypatch.setattr(module, "_MOST_BEATS", 1)
    keep(store, *beats(DAY_OF_US, [10_000] * 36_000))
    store.meanwhile = lambda: now_s.__setitem__(0, now_s[0] + 10)
    with pytest.raises(QueryTimeoutError):
        ask(store, limits=QueryLimits(timeout_s=35))
    assert [query.timeout_s for query in store.asked] == [35, 25, 15, 5]
    store.meanwhile = lambda: None
    assert len(ask(store, limits=QueryLimits(timeout_s=35)).windows) == 121


def test_a_question_that_is_taken_back_stops_between_pieces(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BEATS", 1)
    keep(store, *beats(DAY_OF_US, [10_000] * 36_000))
    cancellation = Cancellation()
    store.meanwhile = cancellation.cancel
    with pytest.raises(QueryCancelledError):
        ask(store, DaysQuestion("ann", "2024-01-15", "2024-01-15", cancellation=cancellation))
    assert len(store.asked) == 1
