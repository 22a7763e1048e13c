"""Series and totals of the ClickHouse store are those of the memory store, whatever is staged, merged and changed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.clickhouse.expire import Expirer
from pulsebase.stores.clickhouse.series import SeriesReader
from pulsebase.stores.clickhouse.totals import TotalsReader
from pulsebase.stores.contract import SeriesQuery, TotalsQuery
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.postgres.people import make_known, put_users
from pulsebase.stores.postgres.priorities import put_priority, remove_priorities
from tests.stores.clickhouse import OPTIONS, Parts, opened
from tests.stores.harness import Reading, ask, ask_hours, at, batch_of, rows_of, totals
from tests.support.clickhouse.store import empty_store

METRICS = (HEART_RATE.name, OXYGEN_SATURATION.name)
PEOPLE = ("ann", "bob", "cleo")
DEVICES = ("device_a", "device_b", "x", "é")
#: Around a day of 23 hours in Berlin; and when Liberia's offset had seconds.
ERAS = (at("2024-03-30T21:50:00"), at("1971-03-01T23:30:00"))
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Africa/Monrovia")


class Both:
    """The store under test and the memory store, to which the same is done."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.memory = parts, MemoryStore()
        of_parts = (parts.database, parts.cluster, OPTIONS)
        self._series, self._totals = SeriesReader(*of_parts), TotalsReader(*of_parts)
        self.memory.register_origin("test", "rows")

    def write(self, *readings: Reading, metric: str = HEART_RATE.name) -> None:
        batch = batch_of(readings, 1, metric)
        self.parts.writer.write([batch], ())
        self.memory.write([batch])

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> None:
        gone = self.parts.writer.delete(user_id, interval, device_id)
        assert gone == self.memory.delete(user_id, interval, device_id)

    def put_user(self, user: User) -> None:
        self.parts.database.change(lambda connection: put_users(connection, [user]))
        self.memory.put_user(user)

    def put_priority(self, entry: DevicePriority) -> None:
        def put(connection: Any) -> None:
            make_known(connection, [entry.user_id], [(entry.user_id, entry.device_id)])
            put_priority(connection, entry)

        self.parts.database.change(put)
        self.memory.put_priority(entry)

    def remove_priorities(self, user_id: str, device_id: str) -> None:
        self.parts.database.change(lambda connection: remove_priorities(connection, user_id, device_id))
        self.memory.remove_priorities(user_id, device_id)

    def expire(self, before_us: int) -> None:
        parts = self.parts
        found = Expirer(parts.database, parts.cluster, OPTIONS, self._settle).expire(before_us)
        assert found == self.memory.expire(before_us)

    def _settle(self) -> None:
        self.parts.merge()

    def series(self, query: SeriesQuery) -> pa.Table:
        """The answer of both, which has to be the same; so questions may be asked as of a store."""
        found, right = self._series.series(query), self.memory.series(query)
        assert found.schema == right.schema
        assert rows_of(found) == rows_of(right), query
        return found

    def totals(self, query: TotalsQuery) -> pa.Table:
        """The same of totals."""
        found, right = self._totals.totals(query), self.memory.totals(query)
        assert found.schema == right.schema
        assert rows_of(found) == rows_of(right), query
        return found


@pytest.fixture
def both() -> Iterator[Both]:
    with opened(empty_store()) as parts:
        yield Both(parts)


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_those_of_the_memory_store(both: Both, seed: int) -> None:
    dice, era = random.Random(seed), ERAS[seed % len(ERAS)]
    both.put_user(User("ann", gender="female", birth_date=date(1980, 5, 1)))
    both.put_user(User("bob", gender="male"))
    for _ in range(24):
        _change(both, dice, era)
        for _ in range(3):
            _question(both, dice, era)
    for person in PEOPLE:
        for rung in Resolution:
            ask(both, rung, TimeRange(era, era + DAY_US + HOUR_US), user_id=person)  # type: ignore[arg-type]


def test_expired_readings_answer_by_what_is_kept_of_them(both: Both) -> None:
    dice, midnight = random.Random(7), at("2024-03-31T00:00:00")
    for _ in range(8):
        _change(both, dice, ERAS[0])
    both.put_priority(DevicePriority("ann", "x", 0, midnight - HOUR_US))
    both.write(*(Reading(midnight + n * 7 * MINUTE_US, 7000 + n, DEVICES[n % 4], None, "ann") for n in range(-40, 40)))
    both.expire(midnight)
    for _ in range(2):
        for rung in Resolution:
            for choices in ({}, {"device_id": "x"}, {"include_all": True}):
                for zone in ZONES:
                    asked = TimeRange(midnight - 5 * HOUR_US, midnight + 5 * HOUR_US)
                    ask(both, rung, asked, zone=zone, **choices)  # type: ignore[arg-type]
        for cut_us in (0, 20 * MINUTE_US):
            asked = TimeRange(midnight - 3 * HOUR_US + cut_us, midnight + 3 * HOUR_US)
            ask_hours(both, asked)  # type: ignore[arg-type]
            totals(both, asked)  # type: ignore[arg-type]
        totals(both, TimeRange(midnight - DAY_US, midnight))  # type: ignore[arg-type]
        both.put_priority(DevicePriority("ann", "device_b", 0, 0))
        both.write(Reading(midnight + 5, 7000, "device_b"))


def _time(dice: random.Random, era: int) -> int:
    """A time in one of a few minutes around the edges of hours and days."""
    hour = dice.choice([0, 0, 1, 2, 3, 4, 24, 26])
    minute = dice.choice([0, 1, 9, 10, 29, 30, 44, 45])
    return (
        era + hour * HOUR_US + minute * MINUTE_US + dice.choice([0, 1, 29, 30, 59]) * SECOND_US + dice.choice([0, 0, 1])
    )


def _change(both: Both, dice: random.Random, era: int) -> None:
    step, person, device = dice.random(), dice.choice(PEOPLE), dice.choice(DEVICES)
    if step < 0.5:
        chosen = dice.sample(DEVICES, dice.choice([1, 2, 3]))
        readings = [
            Reading(
                _time(dice, era), dice.randrange(4000, 9000), dice.choice(chosen), dice.choice([None, 0, 1, 3]), person
            )
            for _ in range(dice.choice([1, 5, 60]))
        ]
        both.write(*readings, metric=dice.choice(METRICS))
    elif step < 0.6:
        start = _time(dice, era)
        both.delete(person, TimeRange(start, start + dice.choice([1, MINUTE_US, HOUR_US])), dice.choice([None, device]))
    elif step < 0.75:
        both.put_priority(
            DevicePriority(person, device, dice.choice([None, 0, 1, 5]), dice.choice([0, _time(dice, era)]))
        )
    elif step < 0.8:
        both.remove_priorities(person, device)
    else:
        both.parts.merge()


def _question(both: Both, dice: random.Random, era: int) -> None:
    start, end = sorted((_time(dice, era), _time(dice, era) + dice.choice([1, MINUTE_US, 5 * HOUR_US])))
    if dice.random() < 0.5:
        start, end = era // DAY_US * DAY_US, era // DAY_US * DAY_US + 3 * DAY_US
    asked, metric = TimeRange(start, end), dice.choice(METRICS)
    if dice.random() < 0.25:
        genders = dice.choice([None, None, {"female"}, {"male", "other"}])
        born_by, born_after = dice.choice([None, date(1980, 5, 1)]), dice.choice([None, date(1970, 1, 1)])
        totals(both, asked, genders, born_by, metric, born_after=born_after)  # type: ignore[arg-type]
        return
    choices: Any = {
        "user_id": dice.choice(PEOPLE),
        "device_id": dice.choice([None, None, *DEVICES]),
        "include_all": dice.random() < 0.3,
        "metric": metric,
    }
    if dice.random() < 0.2:
        ask_hours(both, asked, **choices)  # type: ignore[arg-type]
    else:
        ask(both, dice.choice(list(Resolution)), asked, zone=dice.choice(ZONES), **choices)  # type: ignore[arg-type]


def test_a_minute_that_is_cut_is_won_by_the_whole_minutes_winner(both: Both) -> None:
    ten = at("2024-01-15T10:00:00")
    both.write(Reading(ten, 7000, "device_a"), Reading(ten + 30 * SECOND_US, 8000, "device_b"))
    cut = TimeRange(ten + 20 * SECOND_US, ten + HOUR_US)
    for _ in range(2):
        assert ask_hours(both, cut).num_rows == 0  # type: ignore[arg-type]
        assert totals(both, cut) == []  # type: ignore[arg-type]
        both.parts.merge()
    both.put_priority(DevicePriority("ann", "device_b", 0, ten - SECOND_US))
    assert rows_of(ask_hours(both, cut)) == [(ten, 1, 8000, 8000, 8000, 1, None)]  # type: ignore[arg-type]
    assert totals(both, cut) == [("ann", 1, 8000, 1)]  # type: ignore[arg-type]


def test_priorities_that_change_within_an_hour_hold_from_the_next_minute(both: Both) -> None:
    ten = at("2024-01-15T10:00:00")
    for n in range(4):
        both.write(*(Reading(ten + n * MINUTE_US, 7000 + 10 * place + n, name) for place, name in enumerate(DEVICES)))
    both.parts.merge()
    both.put_priority(DevicePriority("ann", "x", 0, ten + MINUTE_US))
    both.put_priority(DevicePriority("ann", "x", None, ten + 2 * MINUTE_US + 1))
    hours = ask(both, Resolution.HOUR, TimeRange(ten, ten + HOUR_US))  # type: ignore[arg-type]
    assert rows_of(hours) == [(ten, 4, 7000 + 7021 + 7022 + 7003, 7000, 7022, 4, None)]
    assert totals(both, TimeRange(ten, ten + HOUR_US)) == [("ann", 4, 28046, 4)]  # type: ignore[arg-type]


def test_more_rows_than_the_limit_are_refused_at_every_rung(both: Both) -> None:
    ten = at("2024-01-15T10:00:00")
    both.write(*(Reading(ten + n * 12 * HOUR_US, 7000) for n in range(6)))
    for rung in Resolution:
        query = SeriesQuery("ann", TimeRange(ten - 10 * HOUR_US, ten + 62 * HOUR_US), rung, limit=6)
        if rung is Resolution.DAY:
            query = replace(query, day_starts=[ten + n * DAY_US - 10 * HOUR_US for n in range(4)], limit=3)
        both.series(query)
        with pytest.raises(TooManyRowsError, match=r"more than \d rows"):
            both._series.series(replace(query, limit=2))
