"""Cohorts and top hours, compared with a recomputation in plain Python and with figures worked out by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pulsebase.model.errors import RejectedError, UnknownUserError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    METRICS,
    RR_INTERVAL,
    SKIN_TEMPERATURE,
    SKIN_TEMPERATURE_DELTA,
    MetricSpec,
)
from pulsebase.model.timerange import HOUR_US, MINUTE_US, SECOND_US
from pulsebase.model.users import GENDERS, DevicePriority, User
from pulsebase.query.asked_values import Number, born_by
from pulsebase.query.cohorts import CohortMember, CohortQuestion, cohort, cursor_of, page_after, query_top, query_users
from pulsebase.query.plan import asked_period
from pulsebase.query.top_hours import TopHoursQuestion, top_hours
from pulsebase.stores.contract import BUCKET_SCHEMA, TOTALS_SCHEMA, SeriesQuery, TotalsQuery
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.memory import MemoryStore
from tests.stores.harness import Reading, at, batch_of, write

TEN = at("2024-01-15T10:00:00")
FIRST, LAST = "2024-01-15", "2024-01-16"

# --- a recomputation that shares nothing with the package -----------------------------------------------------------


def instant(moment: Any, zone: str, is_end: bool = False) -> int:
    """Microseconds of a date or time: local ones in the zone, a bare end date through its day."""
    if isinstance(moment, str):
        moment = date.fromisoformat(moment) if len(moment) == 10 else datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment + timedelta(days=is_end), datetime.min.time())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    since_1970: timedelta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since_1970 // timedelta(microseconds=1)


class Kept:
    """Readings as they are after every write, and what is known of people."""

    def __init__(
        self, readings: Sequence[Reading], priorities: Sequence[DevicePriority], people: Sequence[User]
    ) -> None:
        self.readings = {(each.user_id, each.device_id, each.time_us): each for each in readings}.values()
        self.priorities = {(each.user_id, each.device_id, each.valid_from_us): each for each in priorities}.values()
        self.people = {person.user_id: person for person in people}

    def rank(self, reading: Reading) -> tuple[int, bytes]:
        minute_us = reading.time_us // MINUTE_US * MINUTE_US
        default = {"device_a": 1, "device_b": 2}.get(reading.device_id, 999)
        own = [
            (entry.valid_from_us, entry.priority)
            for entry in self.priorities
            if (entry.user_id, entry.device_id) == (reading.user_id, reading.device_id)
            and entry.valid_from_us <= minute_us
        ]
        level = max(own)[1] if own else None
        return default if level is None else level, reading.device_id.encode()

    def won(self, user_id: str, start_us: int, end_us: int) -> list[Reading]:
        """The counted readings of the minutes' winners in the range."""
        mine = [each for each in self.readings if each.user_id == user_id and each.confidence != 0]
        best: dict[int, tuple[int, bytes]] = {}
        for each in mine:
            minute = each.time_us // MINUTE_US
            best[minute] = min(best.get(minute, self.rank(each)), self.rank(each))
        won = [each for each in mine if self.rank(each) == best[each.time_us // MINUTE_US]]
        return [each for each in won if start_us <= each.time_us < end_us]

    def cohort(self, question: CohortQuestion) -> list[tuple[str, Fraction, int]]:
        """(id, average, minutes) of everybody who answers the question, in the order of the answer."""
        start_us = instant(question.date_from, question.tz)
        end_us = instant(question.date_to, question.tz, is_end=True)
        first_day = datetime.fromtimestamp(start_us / 1e6, ZoneInfo(question.tz)).date()
        above, most = (None if each is None else Fraction(str(each)) for each in (question.min_avg, question.max_avg))
        asked = {minute // MINUTE_US for minute in range(start_us - start_us % MINUTE_US, end_us, MINUTE_US)}
        found = []
        for user_id in {each.user_id for each in self.readings}:
            person = self.people.get(user_id, User(user_id))
            readings = self.won(user_id, start_us, end_us)
            minutes = {each.time_us // MINUTE_US for each in readings}
            if not readings or (question.genders is not None and person.gender not in question.genders):
                continue
            if question.min_age is not None and (
                person.birth_date is None or age(person.birth_date, first_day) <= question.min_age
            ):
                continue
            if question.max_age is not None and (
                person.birth_date is None or age(person.birth_date, first_day) > question.max_age
            ):
                continue
            if Fraction(len(minutes), len(asked)) < Fraction(str(question.min_coverage or 0)):
                continue
            average = Fraction(sum(each.value for each in readings), question.metric.scale * len(readings))
            if (above is None or average > above) and (most is None or average <= most):
                found.append((user_id, average, len(minutes)))
        return sorted(found, key=lambda row: (-row[1], row[0].encode()))

    def top(self, question: TopHoursQuestion) -> list[tuple[int, Fraction]]:
        """(hour, average) of the highest distinct averages; of equal ones the first hour."""
        start_us = instant(question.date_from, question.tz)
        end_us = instant(question.date_to, question.tz, is_end=True)
        hours: dict[int, list[int]] = {}
        for each in self.won(question.user_id, start_us, end_us):
            hours.setdefault(each.time_us // HOUR_US * HOUR_US, []).append(each.value)
        firsts: dict[Fraction, int] = {}
        for hour in sorted(hours):
            firsts.setdefault(Fraction(sum(hours[hour]), question.metric.scale * len(hours[hour])), hour)
        return [(firsts[average], average) for average in sorted(firsts, reverse=True)[: question.limit]]


def age(born: date, on: date) -> int:
    """Full years: one more from each birthday on, which for 29 February may be 1 March."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


# --- random histories -----------------------------------------------------------------------------------------------

PEOPLE = ["ann", "Bob", "a-9", "9"]
# Hours around the days on which the clocks of Berlin change, and one day without anything special.
HOURS = [at(f"2024-{hour}") for hour in ("03-30T22:00", "03-30T23:00", "03-31T00:00", "03-31T01:00", "03-31T21:00")]
HOURS += [at(f"2024-{hour}") for hour in ("03-31T22:00", "10-26T21:00", "10-26T22:00", "10-27T00:00", "10-27T23:00")]
offsets_us = st.sampled_from([0, 1, 30 * SECOND_US, MINUTE_US - 1, MINUTE_US, 30 * MINUTE_US, HOUR_US - 1])
times_us = st.builds(lambda hour, offset: hour + offset, st.sampled_from(HOURS), offsets_us)
#: Few values, so that averages are often equal, and just at a threshold.
values = st.sampled_from([6000, 6010, 6020, 7000, 7001])
readings = st.builds(
    Reading,
    times_us,
    values,
    st.sampled_from(["device_a", "device_b", "strap"]),
    st.sampled_from([None, None, 0, 3]),
    st.sampled_from(PEOPLE),
)
priorities = st.builds(
    DevicePriority,
    st.sampled_from(PEOPLE),
    st.sampled_from(["device_a", "device_b", "strap"]),
    st.sampled_from([None, 0, 5, 1000]),
    st.one_of(st.just(0), times_us),
)
births = st.sampled_from([None, date(2000, 2, 29), date(2000, 3, 31), date(2000, 4, 1), date(1960, 1, 1)])
people = st.builds(User, st.sampled_from(PEOPLE), gender=st.sampled_from([None, *GENDERS]), birth_date=births)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
firsts = st.sampled_from(
    [
        date(2024, 3, 30),
        date(2024, 3, 31),
        "2024-03-31",
        datetime(2024, 3, 31, 2, 30),
        datetime(2024, 3, 30, 23, 0, 30, tzinfo=UTC),
        "2024-10-26T23:30:00+02:00",
    ]
)
lasts = st.sampled_from(
    [date(2024, 10, 27), "2024-10-27", datetime(2024, 10, 27, 2, 30), datetime(2024, 10, 27, 23, 0, 1, tzinfo=UTC)]
)


@contextlib.contextmanager
def embedded() -> Iterator[DuckdbStore]:
    with (
        TemporaryDirectory() as folder,
        contextlib.closing(
            DuckdbStore(Path(folder) / "cohorts.duckdb", DuckdbOptions(merge_interval_s=3600, memory_limit="512MiB"))
        ) as store,
    ):
        yield store


@contextlib.contextmanager
def in_memory() -> Iterator[MemoryStore]:
    yield MemoryStore()


def many(max_examples: int) -> settings:
    return settings(max_examples=max_examples, deadline=None, suppress_health_check=list(HealthCheck))


def write_of(store: Any, metric: MetricSpec, *readings: Reading) -> None:
    store.write([batch_of(readings, store.register_origin("test", "cohorts"), metric.name)])


def _is_period(question: CohortQuestion) -> bool:
    try:
        asked_period(
            str(question.date_from), str(question.date_to), question.tz, start_field="date_from", end_field="date_to"
        )
    except RejectedError:
        return False  # the end is read in the zone, the start may come with an offset
    return True


each_store = pytest.mark.parametrize(
    ("opened", "examples"), [(in_memory, 120), (embedded, 25)], ids=["memory", "duckdb"]
)


@each_store
def test_both_questions_agree_with_a_recomputation(opened: Callable[[], Any], examples: int) -> None:
    @many(examples)
    @given(
        first=st.lists(readings, min_size=5, max_size=40),
        late=st.lists(readings, max_size=10),
        ranked=st.lists(priorities, max_size=5),
        known=st.lists(people, max_size=6),
        question=st.builds(
            CohortQuestion,
            firsts,
            lasts,
            st.sampled_from(["60", 60.1, Decimal("60.10"), "60.1000000000000000001", "6.5e1", 0, 70]),
            st.sampled_from([None, 0, 23, 24, 60]),
            st.one_of(st.none(), st.sets(st.sampled_from(GENDERS), min_size=1)),
            st.sampled_from([None, "0", "0.000004", 0.00001, 1]),
            zones,
            max_avg=st.sampled_from([None, None, "600.2", 70.01, 1000]),
            max_age=st.sampled_from([None, None, 61, 62, 63, 64]),
            metric=st.sampled_from([HEART_RATE, HEART_RATE, RR_INTERVAL, SKIN_TEMPERATURE_DELTA]),
        ),
        limit=st.integers(1, 4),
    )
    def agree(  # noqa: PLR0917 a strategy each
        first: list[Reading],
        late: list[Reading],
        ranked: list[DevicePriority],
        known: list[User],
        question: CohortQuestion,
        limit: int,
    ) -> None:
        assume(_is_period(question))
        kept = Kept([*first, *late], ranked, known)
        with opened() as store:
            for person in known:
                store.put_user(person)
            # Values of another metric at the same instants, higher and lower, change nothing.
            write_of(store, BODY_TEMPERATURE, *(each._replace(value=each.value ^ 511) for each in first[::2]))
            write_of(store, question.metric, *first)
            if isinstance(store, DuckdbStore):
                store.merge()
            for entry in ranked:
                store.put_priority(entry)
            if late:
                write_of(store, question.metric, *late)
            found = [(each.user_id, each.exact_average, each.minutes) for each in cohort(store, question)]
            assert found == kept.cohort(question)
            for user_id in {each.user_id for each in kept.readings}:
                top = TopHoursQuestion(
                    user_id, question.date_from, question.date_to, limit, question.tz, metric=question.metric
                )
                expected = kept.top(top)
                hours = top_hours(store, top)
                assert [(hour.hour_us, hour.average) for hour in hours] == [
                    (hour_us, float(average)) for hour_us, average in expected
                ]

    agree()


# --- cohorts by hand ------------------------------------------------------------------------------------------------


def test_averages_may_be_below_zero(store: MemoryStore) -> None:
    for user_id, value in (("ann", -40), ("ben", -5), ("cy", 0), ("dee", 12)):
        write_of(store, SKIN_TEMPERATURE_DELTA, Reading(TEN, value, user_id=user_id))
    question = CohortQuestion(FIRST, LAST, metric=SKIN_TEMPERATURE_DELTA)
    members = cohort(store, question)
    assert [(each.user_id, each.average) for each in members] == [
        ("dee", 0.12),
        ("cy", 0.0),
        ("ben", -0.05),
        ("ann", -0.4),
    ]
    for place in range(len(members)):
        rest = page_after(members, cursor_of(members[place]), SKIN_TEMPERATURE_DELTA)
        assert list(rest) == list(members[place + 1 :])
    assert cohort(store, replace(question, min_avg="-0.4")).user_ids() == ["dee", "cy", "ben"]
    assert cohort(store, replace(question, min_avg="-0.4000001", max_avg="-0.05")).user_ids() == ["ben", "ann"]


def test_a_setting_may_allow_values_below_zero_of_any_metric(store: MemoryStore) -> None:
    for user_id, value in (("ann", -400), ("ben", -50), ("cy", 1200)):
        write_of(store, SKIN_TEMPERATURE, Reading(TEN, value, user_id=user_id))
    question = CohortQuestion(FIRST, LAST, metric=SKIN_TEMPERATURE)
    members = cohort(store, question)
    assert list(page_after(members, cursor_of(members[1]), SKIN_TEMPERATURE)) == [members[2]]
    assert cohort(store, replace(question, min_avg="-1")).user_ids() == ["cy", "ben"]


def test_bounds_and_names_of_another_metric(store: MemoryStore) -> None:
    for user_id, value in (("ann", 8001), ("ben", 12_000)):
        write_of(store, RR_INTERVAL, Reading(TEN, value, user_id=user_id))
    write(store, Reading(TEN, 7000, user_id="cy"))
    store.put_users([User("ann", birth_date=date(2000, 1, 15)), User("ben", birth_date=date(1980, 1, 1))])

    def found(**choices: Any) -> list[str]:
        return query_users(store, None, None, None, FIRST, LAST, **({"metric": "rr-interval"} | choices))

    assert found() == ["ben", "ann"]
    assert found(min_avg="800.1") == ["ben"]
    assert found(max_avg="800.1") == ["ann"]
    assert found(max_age=24) == ["ann"]
    assert found(max_age=23) == []
    assert query_top(store, "ann", FIRST, LAST, metric="rr_interval") == [800.1]
    assert query_top(store, "ann", FIRST, LAST) == []
    assert found(metric="heart_rate", max_avg=70) == ["cy"]
    assert found(metric="heart_rate", min_avg=69) == ["cy"]


@pytest.mark.parametrize(
    ("choices", "field", "reason"),
    [
        ({"min_avg_heart_rate": 60}, "min_avg_heart_rate", "is of heart rate alone; min_avg is of oxygen_saturation"),
        (
            {"min_avg_heart_rate": 60, "min_avg": 60, "metric": "heart_rate"},
            "min_avg_heart_rate",
            "is another name of min_avg; send one of them",
        ),
        ({"metric": "steps"}, "metric", None),
        ({"min_avg": 96, "max_avg": 96}, "max_avg", "must be above min_avg"),
        ({"min_avg": -1, "metric": "heart_rate"}, "min_avg", "must be from 0 to 1000"),
        ({"min_avg": "-1001", "metric": "skin_temperature_delta"}, "min_avg", "must be from -1000 to 1000"),
        ({"max_avg": 10_001, "metric": "rr_interval"}, "max_avg", "must be from -10000 to 10000"),
        ({"max_avg": "high"}, "max_avg", "must be a number such as 60 or 59.5"),
        ({"max_age": 151}, "max_age", "must be a whole number from 0 to 150"),
        ({"min_age": 30, "max_age": 30}, "max_age", "must be above min_age"),
    ],
)
def test_a_wrong_bound_is_refused_by_its_name(
    store: MemoryStore, choices: dict[str, Any], field: str, reason: str | None
) -> None:
    right: dict[str, Any] = {"min_age": None, "gender": None, "min_avg_heart_rate": None, "metric": "spo2"}
    with pytest.raises(RejectedError) as refused:
        query_users(store, **(right | {"date_from": FIRST, "date_to": LAST} | choices))
    assert [(error.field, error.reason) for error in refused.value.errors] == [
        (field, reason or f"is no metric; there are {', '.join(METRICS)}")
    ]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def ask(store: Any, threshold: Number, **choices: Any) -> list[str]:
    return query_users(
        store, choices.pop("min_age", None), choices.pop("gender", None), threshold, FIRST, LAST, **choices
    )


def test_the_average_has_to_be_above_the_threshold_exactly(store: MemoryStore) -> None:
    write(store, Reading(TEN, 6010))
    assert ask(store, "60.1") == ask(store, 60.1) == ask(store, Decimal("60.1")) == ask(store, Fraction(601, 10)) == []
    assert ask(store, "60.0999999999999999999999999") == ["ann"]
    assert ask(store, np.float64(60.05)) == ask(store, Decimal(60)) == ["ann"]


def test_averages_that_one_double_cannot_tell_apart_are_in_order() -> None:
    """Sums of billions of readings, which no test can store."""
    near = [("a", 300_000_001, 3), ("b", 300_000_000, 3), ("c", 10**17 + 1, 10**9), ("d", 10**17, 10**9)]

    class Reader:
        def totals(self, query: TotalsQuery) -> pa.Table:
            rows = [{"user_id": name, "sum": total, "count": count, "minutes": 1} for name, total, count in near]
            return pa.Table.from_pylist(rows, schema=TOTALS_SCHEMA)

        def user(self, user_id: str) -> User:
            return User(user_id)

        def series(self, query: SeriesQuery) -> pa.Table:
            rows = [
                {"time_us": n * HOUR_US, "sum": total, "count": count, "min": 0, "max": 0, "minutes": 1}
                for n, (_, total, count) in enumerate(near)
            ]
            return pa.Table.from_pylist(rows, schema=BUCKET_SCHEMA)

    reader: Any = Reader()
    assert float(Fraction(10**17 + 1, 10**11)) == float(Fraction(10**17, 10**11))
    assert query_users(reader, None, None, 0, FIRST, LAST) == ["a", "c", "b", "d"]
    hours = [hour.hour_us // HOUR_US for hour in top_hours(reader, TopHoursQuestion("a", FIRST, LAST, 3))]
    assert [near[place][0] for place in hours] == ["a", "c", "b"]


def test_of_a_crowd_those_are_made_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million people as objects took a gigabyte and half a minute, whatever page was asked for."""
    people = 50_000
    made: list[str] = []

    class Crowd:
        def totals(self, query: TotalsQuery) -> pa.Table:
            ids = [f"u{number:06}" for number in range(people)]
            sums = [6000 + number % 7 for number in range(people)]
            ones = [1] * people
            return pa.table([ids, ones, sums, ones], schema=TOTALS_SCHEMA)

    def noted(user_id: str, *figures: Any) -> CohortMember:
        made.append(user_id)
        return CohortMember(user_id, *figures)

    monkeypatch.setattr("pulsebase.query.cohorts.CohortMember", noted)
    found = cohort(Crowd(), CohortQuestion(FIRST, LAST, "60.01"))  # type: ignore[arg-type]
    assert len(found) == sum(1 for number in range(people) if number % 7 > 1)
    first = found[:3]
    assert [member.user_id for member in first] == ["u000006", "u000013", "u000020"]
    rest = page_after(found, cursor_of(first[-1]))
    assert (rest[0].user_id, len(rest)) == ("u000027", len(found) - 3)
    assert found.user_ids()[:4] == ["u000006", "u000013", "u000020", "u000027"]
    assert len(made) < 50, "three that were shown, one after them, and those that were looked at to find their place"


def test_equal_averages_are_in_the_order_of_ids_by_bytes(store: MemoryStore) -> None:
    for user_id, figures in (("b", [6000, 6002]), ("B", [6001]), ("10", [6001, 6001]), ("9", [6001]), ("x", [9000])):
        write(store, *(Reading(TEN + n, value, user_id=user_id) for n, value in enumerate(figures)))
    assert ask(store, 60) == ["x", "10", "9", "B", "b"]


def test_an_average_is_by_readings_and_neither_by_minutes_nor_by_hours(store: MemoryStore) -> None:
    write(store, *(Reading(TEN + n * SECOND_US, 6000) for n in range(59)), Reading(TEN + HOUR_US, 12000))
    (member,) = cohort(store, CohortQuestion(FIRST, LAST, 0))
    assert (member.exact_average, member.average, member.count, member.minutes) == (Fraction(61), 61.0, 60, 2)


def test_coverage_is_of_the_utc_minutes_that_the_period_touches(store: MemoryStore) -> None:
    write(
        store, Reading(TEN + 30 * SECOND_US, 6000), Reading(TEN + MINUTE_US, 6000), Reading(TEN + MINUTE_US + 1, 6000)
    )
    period = ("2024-01-15T10:00:30Z", "2024-01-15T10:02:00.000001Z")  # touches three minutes
    (member,) = cohort(store, CohortQuestion(*period, 0))
    assert (member.minutes, member.coverage) == (2, 2 / 3)
    for least, found in (("0.6666666666666666666", ["ann"]), ("0.6666666666666666667", []), (0, ["ann"]), ("1", [])):
        members = cohort(store, CohortQuestion(*period, 0, min_coverage=least))
        assert [each.user_id for each in members] == found, least


@pytest.mark.parametrize(
    ("born", "on", "years"),
    [
        ((2000, 2, 29), (2023, 2, 28), 22),
        ((2000, 2, 29), (2023, 3, 1), 23),
        ((2000, 2, 29), (2024, 2, 28), 23),
        ((2000, 2, 29), (2024, 2, 29), 24),
        ((2000, 2, 28), (2024, 2, 28), 24),
        ((2001, 3, 1), (2024, 2, 29), 22),
        ((2001, 2, 28), (2024, 2, 29), 23),
        ((2024, 1, 1), (2024, 1, 1), 0),
        ((2024, 1, 2), (2024, 1, 1), -1),
    ],
)
def test_full_years_are_counted_from_birthday_to_birthday(
    born: tuple[int, int, int], on: tuple[int, int, int], years: int
) -> None:
    """Someone is older than 22 as soon as they are 23. 29 February is 1 March in years without it."""
    for min_age in range(max(years, 1) + 1):
        assert (date(*born) <= born_by(min_age, date(*on))) == (years > min_age)


def test_age_is_that_of_the_civil_day_on_which_the_period_starts(store: MemoryStore) -> None:
    store.put_user(User("ann", birth_date=date(2000, 1, 15)))
    write(store, Reading(TEN, 6000))
    start = datetime(2024, 1, 14, 23, 30, tzinfo=UTC)  # the 15th in Berlin
    assert query_users(store, 23, None, 50, start, LAST, tz="Europe/Berlin") == ["ann"]
    assert query_users(store, 23, None, 50, start, LAST) == []


def test_who_is_not_known_well_enough_is_left_out_as_soon_as_it_is_asked(store: MemoryStore) -> None:
    store.put_user(User("ann", gender="female"))
    store.put_user(User("bob", birth_date=date(1950, 1, 1)))
    write(store, Reading(TEN, 6000), Reading(TEN, 6000, user_id="bob"), Reading(TEN, 6000, user_id="cy"))
    assert ask(store, 50) == ["ann", "bob", "cy"]
    assert ask(store, 50, min_age=0) == ["bob"]
    assert ask(store, 50, gender="female") == ask(store, 50, gender=["male", "female"]) == ["ann"]


def test_a_bare_end_date_includes_its_day_and_a_datetime_is_an_instant(store: MemoryStore) -> None:
    write(store, Reading(TEN, 6000))
    day = datetime(2024, 1, 15)
    assert query_users(store, None, None, 50, day, date(2024, 1, 15)) == ["ann"]
    assert query_users(store, None, None, 50, day, datetime(2024, 1, 15, 10)) == []
    assert query_users(store, None, None, 50, day, datetime(2024, 1, 15, 10, 0, 0, 1)) == ["ann"]
    assert query_users(store, None, None, 50, day, datetime(2024, 1, 15, 11), tz="Europe/Berlin") == []
    assert query_users(store, None, None, 50, day, datetime(2024, 1, 15, 11, 0, 1), tz="Europe/Berlin") == ["ann"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("min_age", -1),
        ("min_age", 151),
        ("min_age", 24.5),
        ("min_age", True),
        ("gender", "robot"),
        ("gender", ["male", "Female"]),
        ("gender", []),
        ("min_avg_heart_rate", "nan"),
        pytest.param("min_avg_heart_rate", float("nan"), id="nan as a float"),
        ("min_avg_heart_rate", float("inf")),
        ("min_avg_heart_rate", "-inf"),
        ("min_avg_heart_rate", "sixty"),
        ("min_avg_heart_rate", "6_0"),
        ("min_avg_heart_rate", "٦٠"),
        ("min_avg_heart_rate", ""),
        ("min_avg_heart_rate", None),
        ("min_avg_heart_rate", True),
        ("min_avg_heart_rate", "1e9999999"),
        ("min_avg_heart_rate", -1),
        ("min_avg_heart_rate", 1000.5),
        ("min_coverage", 1.01),
        ("min_coverage", "half"),
        ("date_from", "yesterday"),
        ("date_from", 20240115),
        ("date_from", "1969-12-31"),
        ("date_to", "2024-01-14"),
        ("tz", "Berlin"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(store: MemoryStore, field: str, wrong: Any) -> None:
    right: dict[str, Any] = {"min_age": 20, "gender": "male", "min_avg_heart_rate": 60}
    right |= {"date_from": FIRST, "date_to": LAST}
    with pytest.raises(RejectedError) as refused:
        query_users(store, **(right | {field: wrong}))
    assert [error.field for error in refused.value.errors] == [field]


# --- pages ----------------------------------------------------------------------------------------------------------


def members_of(*rows: tuple[str, int, int]) -> list[CohortMember]:
    return [CohortMember(user_id, count, total, 1, 1.0) for user_id, total, count in rows]


def test_pages_go_on_after_the_last_member_even_if_that_one_is_gone() -> None:
    members = members_of(("x", 9000, 1), ("10", 12002, 2), ("9", 6001, 1), ("b", 6000, 1))
    for place in range(len(members)):
        assert page_after(members, cursor_of(members[place])) == members[place + 1 :]
    assert page_after(members, None) == members
    assert page_after([members[0], members[2], members[3]], cursor_of(members[1])) == members[2:]


@pytest.mark.parametrize("cursor", ["", "ann", "1/0/ann", "1/2", "1/2/", "-1/2/ann", "1/2/a b", "1.5/2/ann"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(RejectedError, match="cursor"):
        page_after([], cursor)


# --- top hours by hand ----------------------------------------------------------------------------------------------


def test_top_hours_are_distinct_and_exact_and_name_the_first_hour(store: MemoryStore) -> None:
    hours = [[6000], [6001, 6000, 6000], [9000], [6000, 6000], [6000, 6001, 6000, 6000, 6001, 6000], [6100]]
    write(
        store,
        *(Reading(TEN + hour * HOUR_US + n, value) for hour, row in enumerate(hours) for n, value in enumerate(row)),
    )
    found = top_hours(store, TopHoursQuestion("ann", FIRST, LAST))
    assert [((hour.hour_us - TEN) // HOUR_US, hour.average, hour.count) for hour in found] == [
        (2, 90.0, 1),
        (5, 61.0, 1),
        (1, 18001 / 300, 3),
        (0, 60.0, 1),
    ]
    assert query_top(store, "ann", FIRST, LAST, 2) == [90.0, 61.0]


def test_an_hour_that_the_period_cuts_counts_what_is_inside(store: MemoryStore) -> None:
    write(
        store, Reading(TEN, 9000), Reading(TEN + 1, 6000), Reading(TEN + HOUR_US, 7000), Reading(TEN + HOUR_US + 1, 10)
    )
    assert query_top(store, "ann", "2024-01-15T10:00:00.000001Z", "2024-01-15T11:00:00.000001Z") == [70.0, 60.0]


def test_top_hours_of_the_unknown_and_of_the_empty(store: MemoryStore) -> None:
    store.put_user(User("ann"))
    write(store, Reading(TEN, 6000, user_id="7"))
    assert query_top(store, "ann", FIRST, LAST) == []
    assert query_top(store, 7, FIRST, LAST) == [60.0]
    with pytest.raises(UnknownUserError):
        query_top(store, "nobody", FIRST, LAST)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("user_id", "a b"), ("limit", 0), ("limit", 1001), ("limit", "ten"), ("date_to", "2024-01-14"), ("tz", "Mars")],
)
def test_a_wrong_argument_of_top_hours_is_refused_by_its_name(store: MemoryStore, field: str, wrong: Any) -> None:
    right: dict[str, Any] = {"user_id": "ann", "date_from": FIRST, "date_to": LAST}
    with pytest.raises(RejectedError) as refused:
        query_top(store, **(right | {field: wrong}))
    assert [error.field for error in refused.value.errors] == [field]
