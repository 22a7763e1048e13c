"""Resting heart rates of what a store holds, beside what sources state."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from pulsebase.model.errors import QueryTimeoutError, RejectedError, UnknownUserError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, format_us
from pulsebase.model.users import User
from pulsebase.query.person_days import DaysQuestion
from pulsebase.query.plan import QueryLimits
from pulsebase.query.resting import RestingAnswer, resting_heart_rates
from pulsebase.stores import deadline
from tests.support.watched import WatchedStore

DAY_OF_US = 1_705_276_800_000_000  # 2024-01-15T00:00:00Z
DAY = DaysQuestion("ann", "2024-01-15", "2024-01-15")


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


def keep(store: WatchedStore, start_us: int, bpm: list[float], device: str = "band") -> None:
    """A reading a minute."""
    count = len(bpm)
    times = start_us + np.arange(count) * MINUTE_US
    values = [round(each * 100) for each in bpm]
    store.write([ReadingBatch.of_columns(["ann"] * count, [device] * count, times, values, None, 1)])


def ask(store: WatchedStore, question: DaysQuestion = DAY, timeout_s: float | None = None) -> RestingAnswer:
    store.asked.clear()
    return resting_heart_rates(store, question, QueryLimits(timeout_s=timeout_s))


def shown(
    answer: RestingAnswer,
) -> list[tuple[str, int, float | None, str | None, list[tuple[float | None, str | None]]]]:
    return [
        (
            each.day.isoformat(),
            each.covered_minutes,
            None if each.own is None else each.own.bpm,
            None if each.own is None else format_us(each.own.start_us),
            [(summary.resting_heart_rate, summary.resting_heart_rate_method) for summary in each.stated],
        )
        for each in answer.days
    ]


def test_ours_stands_beside_what_sources_state(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [70.0] * 180 + [52.5] * 30 + [70.0] * 400)
    keep(store, DAY_OF_US + DAY_US, [48.0] * 599)
    monday, tuesday = date(2024, 1, 15), date(2024, 1, 16)
    store.put_summaries(
        [
            DailySummary("ann", monday, 57.0, "fitbit"),
            DailySummary("ann", monday, 55.5, "apple"),
            DailySummary("ann", monday, None, "zones-only"),
            DailySummary("ann", tuesday, 58.0, None),
            DailySummary("ann", date(2024, 1, 18), 59.0, "fitbit"),
        ]
    )
    answer = ask(store, DaysQuestion("ann", "2024-01-15", "2024-01-19"))
    assert shown(answer) == [
        ("2024-01-15", 610, 52.5, "2024-01-15T03:00:00Z", [(55.5, "apple"), (57.0, "fitbit")]),
        ("2024-01-16", 599, None, None, [(58.0, None)]),
        ("2024-01-18", 0, None, None, [(59.0, "fitbit")]),
    ]
    assert (format_us(answer.range.start_us), format_us(answer.range.end_us)) == (
        "2024-01-15T00:00:00Z",
        "2024-01-20T00:00:00Z",
    )


def test_minutes_count_alike_however_many_readings_they_have(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [80.0] * 600 + [50.0] * 15 + [60.0] * 15)
    for second in range(1, 50):  # fifty readings in each minute of 60 bpm
        keep(store, DAY_OF_US + 615 * MINUTE_US + second * 1_000_000, [60.0] * 15)
    assert ask(store).days[0].own is not None
    assert shown(ask(store))[0][2:4] == (55.0, "2024-01-15T10:00:00Z")


def test_only_days_with_enough_minutes_are_read_by_the_minute(store: WatchedStore) -> None:
    for day in (0, 1, 2, 5, 300):
        keep(store, DAY_OF_US + day * DAY_US, [60.0] * 700)
    keep(store, DAY_OF_US + 3 * DAY_US, [60.0] * 100)
    answer = ask(store, DaysQuestion("ann", "2024-01-15", "2025-01-14"))
    assert [query.range.length_us // DAY_US for query in store.at(Resolution.MINUTE)] == [3, 1, 1]
    assert len(store.asked) == 4
    assert [each.own is not None for each in answer.days] == [True, True, True, False, True, True]


def test_a_long_run_of_days_is_read_by_the_month(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [60.0] * 1_440 * 40)
    held: list[int] = []
    answer = resting_heart_rates(
        store, DaysQuestion("ann", "2024-01-15", "2024-02-23"), QueryLimits(timeout_s=None), held.append
    )
    assert [query.range.length_us // DAY_US for query in store.at(Resolution.MINUTE)] == [31, 9]
    assert [each.own.bpm for each in answer.days if each.own is not None] == [60.0] * 40
    assert held == [31 * 1_500, 40]
    assert held[0] >= 31 * 1_440


@pytest.mark.parametrize(
    ("zone", "day", "start", "minutes"),
    [
        ("Europe/Berlin", "2025-03-30", "2025-03-29T23:00:00Z", 23 * 60),
        ("America/New_York", "2025-11-02", "2025-11-02T04:00:00Z", 25 * 60),
        ("America/Los_Angeles", "2025-01-15", "2025-01-15T08:00:00Z", 24 * 60),
        ("Asia/Kathmandu", "2025-01-15", "2025-01-14T18:15:00Z", 24 * 60),
    ],
)
def test_days_are_those_of_the_persons_clock(
    store: WatchedStore, zone: str, day: str, start: str, minutes: int
) -> None:
    store.put_user(User("ann", time_zone=zone))
    first_us = DAY_US * (date.fromisoformat(day) - date(1970, 1, 1)).days - DAY_US
    keep(store, first_us, [60.0] * 3 * 1_440)
    store.put_summaries([DailySummary("ann", date.fromisoformat(day), 57.0, "fitbit")])
    for question in (DaysQuestion("ann", day, day), DaysQuestion("ann", day, day, zone)):
        answer = ask(store, question)
        assert answer.tz == zone
        assert shown(answer) == [(day, minutes, 60.0, start, [(57.0, "fitbit")])]


def test_half_an_hour_on_both_sides_of_midnight_is_of_neither_day(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [70.0] * 1_425 + [50.0] * 30 + [70.0] * 1_425)
    days = ask(store, DaysQuestion("ann", "2024-01-15", "2024-01-16")).days
    assert [each.own and each.own.bpm for each in days] == [60.0, 60.0]


def test_devices_are_resolved_by_minutes(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [60.0] * 700, device="device_a")
    keep(store, DAY_OF_US + 30_000_000, [40.0] * 700, device="watch")
    assert shown(ask(store))[0][1:3] == (700, 60.0)


def test_other_metrics_are_no_heart_rates(store: WatchedStore) -> None:
    times = DAY_OF_US + np.arange(700) * MINUTE_US
    columns = (["ann"] * 700, ["band"] * 700, times, [900] * 700, None, 1)
    store.write([ReadingBatch.of_columns(*columns, metric="oxygen_saturation")])
    assert ask(store).days == ()


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (DaysQuestion("ann", "2023-01-01", "2024-01-02"), "end_date"),
        (DaysQuestion("ann", "2024-01-02", "2024-01-01"), "end_date"),
        (DaysQuestion("ann", "2024-01-01", "2024-01-01", "Mars"), "tz"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(store: WatchedStore, question: DaysQuestion, field: str) -> None:
    store.put_user(User("ann"))
    with pytest.raises(RejectedError) as caught:
        ask(store, question)
    assert [error.field for error in caught.value.errors] == [field]


def test_somebody_unknown_is_an_error_and_nothing_there_is_empty(store: WatchedStore) -> None:
    with pytest.raises(UnknownUserError):
        ask(store)
    store.put_user(User("ann"))
    assert ask(store).days == ()
    gap = DaysQuestion("ann", "2024-03-31T02:00", "2024-03-31T03:00", "Europe/Berlin")
    assert ask(store, gap).days == ()


def test_of_somebody_who_is_removed_meanwhile_nothing_is_told(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [60.0] * 700)
    store.meanwhile = lambda: len(store.asked) == 2 and store.remove_user("ann")
    with pytest.raises(UnknownUserError):
        ask(store)


def test_a_part_of_a_day_is_answered_as_the_whole_day(store: WatchedStore) -> None:
    keep(store, DAY_OF_US, [60.0] * 700)
    part = DaysQuestion("ann", "2024-01-15T20:00:00Z", "2024-01-15T21:00:00Z")
    assert shown(ask(store, part)) == shown(ask(store))
    assert ask(store, part).range.length_us == 24 * HOUR_US


def test_the_time_limit_is_for_all_of_the_question(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    for day in range(0, 10, 2):
        keep(store, DAY_OF_US + day * DAY_US, [60.0] * 700)
    store.meanwhile = lambda: now_s.__setitem__(0, now_s[0] + 10)
    with pytest.raises(QueryTimeoutError):
        ask(store, DaysQuestion("ann", "2024-01-15", "2024-01-31"), timeout_s=35)
    assert [query.timeout_s for query in store.asked] == [35, 25, 15, 5]
