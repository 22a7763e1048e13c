"""Compare any store with the memory store over random histories of writes, deletions, priorities, merges and
reopenings.

After every step both must hold the same readings; whenever they are asked, they must answer the same to the last bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from itertools import product
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.model.users import GENDERS, DevicePriority, User
from pulsebase.stores.contract import Store
from pulsebase.stores.memory import MemoryStore
from pulsebase.testing.harness import Choices, Harness, ask, ask_hours, at, batch_of, rows_of, totals
from pulsebase.testing.harness import GivenReading as Reading

PEOPLE = ["ann", "Bob", "a-9"]
DEVICES = ["device_a", "device_b", "strap", "Strap"]
ORIGINS = [("push", "watch"), ("sync", "cloud"), ("import", "file"), ("import", "the same file"), ("push", "phone")]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Santiago", "Australia/Lord_Howe"]

#: Most readings are of one metric, so that histories collide.
METRICS_USED = ["heart_rate", "heart_rate", "heart_rate", "oxygen_saturation", "rr_interval"]

BIRTH_DATES = [date(1990, 2, 28), date(1992, 2, 29), date(1992, 3, 1)]

# Few hours around days on which clocks change, and the edges of everything in them, so that histories collide.
_HOURS = [at(f"2024-{hour}") for hour in ("03-30T22:00", "03-30T23:00", "03-31T00:00", "03-31T01:00", "03-31T22:00")]
_HOURS += [at(f"2024-04-0{hour}") for hour in ("1T00:00", "6T13:00", "7T03:00", "7T13:00")]
_MINUTES = [minute * MINUTE_US for minute in (0, 1, 14, 15, 30, 45, 59)]
_INSTANTS = [0, 1, SECOND_US - 1, SECOND_US, SECOND_US + SECOND_US // 2, 30 * SECOND_US, MINUTE_US - 1, -1]

times_us = st.builds(lambda *parts: sum(parts), *map(st.sampled_from, (_HOURS, _MINUTES, _INSTANTS)))
#: Two minutes at the turn of an hour: here overwriting, late writes and lost minutes are the rule.
crowded_us = st.builds(lambda *parts: sum(parts) + _HOURS[2], *map(st.sampled_from, (_MINUTES[:2], _INSTANTS)))
moments_us = st.one_of(crowded_us, crowded_us, times_us)
values = st.one_of(st.integers(3000, 22000), st.sampled_from([3000, 22000]))
people = st.sampled_from([*PEOPLE[:1] * 6, *PEOPLE])
readings = st.builds(
    Reading, moments_us, values, st.sampled_from(DEVICES), st.sampled_from([None, None, 0, 1, 2, 3]), people
)
crowded = st.builds(
    Reading, crowded_us, values, st.sampled_from(DEVICES), st.sampled_from([None, None, 0, 2]), st.just(PEOPLE[0])
)
metrics = st.sampled_from(METRICS_USED)
batches = st.tuples(st.lists(readings, min_size=1, max_size=12), st.sampled_from(ORIGINS), metrics)
lengths_us = st.one_of(
    st.sampled_from([1, SECOND_US, MINUTE_US // 2, MINUTE_US, HOUR_US // 4, HOUR_US, 25 * HOUR_US, 240 * HOUR_US]),
    st.integers(1, 3 * HOUR_US),
)
EVERYTHING = TimeRange(_HOURS[0] - 48 * HOUR_US, _HOURS[-1] + 48 * HOUR_US)

#: What is asked, in words, and how a store is asked.
NamedQuestion = tuple[str, Callable[[Store], Any]]


class StoreMachine(RuleBasedStateMachine):
    """The rules of the state machine. `machine_of` makes the class that a backend's test file runs."""

    make_harness: Callable[[], Harness]

    def __init__(self) -> None:
        super().__init__()
        self.harness = self.make_harness()
        self.oracle = MemoryStore()
        self.names: dict[tuple[bool, int], tuple[str, str]] = {}
        #: The series (person, metric) that were ever written.
        self.written: set[tuple[str, str]] = set()
        #: Whether the last step was seen to have the same effect on both, and whether it can have had one.
        self.agreed, self.changed = True, True

    def teardown(self) -> None:
        try:
            # After a failed step, a second difference would only hide the first.
            if self.agreed:
                self._compare_all()
        finally:
            self.harness.discard()

    @property
    def both(self) -> tuple[Store, Store]:
        """Return the store under test and the oracle. The invariant after the step checks that they agree again."""
        self.agreed, self.changed = False, True
        return self.harness.store, self.oracle

    @property
    def both_asked(self) -> tuple[Store, Store]:
        """Return the same to a step that only asks."""
        self.agreed = False
        return self.harness.store, self.oracle

    @initialize(crowd=st.lists(crowded, min_size=6, max_size=20))
    def begin(self, crowd: list[Reading]) -> None:
        """Begin with minutes in which several devices have readings."""
        # Stores may number origins differently, so readings are compared by the origin's name.
        for name in ORIGINS:
            for store in self.both:
                self.names[store is self.oracle, store.register_origin(*name)] = name
        self.write([(crowd, ORIGINS[0], METRICS_USED[0])])

    @rule(written=st.lists(batches, min_size=1, max_size=3))
    def write(self, written: list[tuple[list[Reading], tuple[str, str], str]]) -> None:
        self.written |= {(each.user_id, metric) for rows, _, metric in written for each in rows}
        for store in self.both:
            store.write([batch_of(rows, store.register_origin(*origin), metric) for rows, origin, metric in written])

    @rule(
        user_id=people,
        start_us=moments_us,
        step_us=st.sampled_from([SECOND_US, 7 * SECOND_US + 1, MINUTE_US, 20 * MINUTE_US]),
        devices=st.lists(st.sampled_from(DEVICES), min_size=1, max_size=3),
        value=values,
        metric=metrics,
    )
    def write_a_run(  # noqa: PLR0917 what a device may send
        self, user_id: str, start_us: int, step_us: int, devices: list[str], value: int, metric: str
    ) -> None:
        """Write what devices send: many readings in a row, here of several devices at once."""
        rows = [
            Reading(start_us + n * step_us, 3000 + (value + n) % 19001, device, None, user_id)
            for n in range(30)
            for device in devices
        ]
        self.written.add((user_id, metric))
        for store in self.both:
            store.write([batch_of(rows, store.register_origin(*ORIGINS[0]), metric)])

    @rule(
        data=st.data(),
        changes=st.lists(
            st.tuples(st.sampled_from([0, 0, 0, 0, 100]), st.sampled_from(ORIGINS), st.integers(0, 9)), min_size=1
        ),
        together=st.booleans(),
        afresh=st.sampled_from([False, False, False, True]),
    )
    def say_again(
        self, data: st.DataObject, changes: list[tuple[int, tuple[str, str], int]], together: bool, afresh: bool
    ) -> None:
        """Write stored readings again, mostly unchanged and from several origins, in one commit or in several."""
        stored = rows_of(self.oracle.stored())
        if not stored:
            return
        first = data.draw(st.integers(0, len(stored) - 1))
        said = []
        for change, origin, offset in changes:
            user_id, device_id, time_us, value, confidence, metric, _ = stored[min(first + offset, len(stored) - 1)]
            reading = Reading(time_us, min(value + change, 22000), device_id, confidence, user_id)
            said.append((reading, origin, metric))
        for store in self.both:
            write = store.write_afresh if afresh else store.write
            batches = [batch_of([reading], store.register_origin(*origin), metric) for reading, origin, metric in said]
            for commit in [batches] if together else [[batch] for batch in batches]:
                write(commit)

    @rule(data=st.data(), value=values, confidence=st.sampled_from([None, 0, 2]))
    def overwrite(self, data: st.DataObject, value: int, confidence: int | None) -> None:
        """Write stored readings from somewhere in the past again."""
        stored = rows_of(self.oracle.stored())
        if stored:
            user_id, device_id, time_us, *_, metric, _ = data.draw(st.sampled_from(stored))
            again = Reading(time_us, value, device_id, confidence, user_id)
            for store in self.both:
                store.write([batch_of([again], store.register_origin(*ORIGINS[1]), metric)])

    @rule(
        data=st.data(),
        user_id=people,
        length_us=st.sampled_from([1, 1, SECOND_US, SECOND_US, MINUTE_US, HOUR_US, 2400 * HOUR_US]),
        device_id=st.sampled_from([None, *DEVICES]),
        metric=st.one_of(st.none(), metrics),
    )
    def delete(
        self, data: st.DataObject, user_id: str, length_us: int, device_id: str | None, metric: str | None
    ) -> None:
        interval = self._range(data, length_us)
        gone, expected = (store.delete(user_id, interval, device_id, metric) for store in self.both)
        assert gone == expected

    @rule(origin=st.sampled_from(ORIGINS), most=st.sampled_from([1, 7, 1000]))
    def delete_origin(self, origin: tuple[str, str], most: int) -> None:
        """Delete everything of an origin, since stores may differ in what they delete first."""
        gone = [0, 0]
        for place, store in enumerate(self.both):
            number = store.register_origin(*origin)
            while step := store.delete_origin(number, most):
                assert step <= most
                gone[place] += step
        assert gone[0] == gone[1]

    @rule(
        data=st.data(),
        user_id=people,
        device_id=st.sampled_from(DEVICES),
        priority=st.sampled_from([None, 0, 1, 2, 999]),
        offset_us=st.sampled_from([0, 0, 1, SECOND_US]),
    )
    def put_priority(
        self, data: st.DataObject, user_id: str, device_id: str, priority: int | None, offset_us: int
    ) -> None:
        """Draw the start of a priority: all times, or about the start of a minute with readings."""
        minute_us = self._moment(data) // MINUTE_US * MINUTE_US
        valid_from_us = minute_us + offset_us if data.draw(st.booleans()) else 0
        for store in self.both:
            store.put_priority(DevicePriority(user_id, device_id, priority, valid_from_us))

    @rule(user_id=people, device_id=st.sampled_from(DEVICES))
    def remove_priorities(self, user_id: str, device_id: str) -> None:
        gone, expected = (store.remove_priorities(user_id, device_id) for store in self.both)
        assert gone == expected

    @rule(user_id=st.sampled_from(PEOPLE))
    def remove_user(self, user_id: str) -> None:
        gone, expected = (store.remove_user(user_id) for store in self.both)
        assert gone == expected

    @rule(
        user_id=people,
        name=st.sampled_from([None, "Ann", "Bob 100%", "Strauß", "İpek"]),
        gender=st.sampled_from([None, *GENDERS]),
        birth_date=st.sampled_from([None, *BIRTH_DATES]),
    )
    def put_user(self, user_id: str, name: str | None, gender: str | None, birth_date: date | None) -> None:
        for store in self.both:
            store.put_user(User(user_id, name, gender, birth_date))

    @rule(before_us=st.sampled_from([0, 0, 0, 0, _HOURS[2] - DAY_US, _HOURS[2]]))
    def expire(self, before_us: int) -> None:
        gone, expected = (store.expire(before_us) for store in self.both)
        assert gone == expected

    @rule()
    def scrub(self) -> None:
        self.agreed, self.changed = False, True
        self.harness.store.scrub()

    @rule()
    def settle(self) -> None:
        self.agreed, self.changed = False, True
        self.harness.settle()

    @rule()
    def reopen(self) -> None:
        self.agreed, self.changed = False, True
        self.harness.reopen()

    @rule(data=st.data(), user_id=people, length_us=lengths_us, zone=st.sampled_from(ZONES), metric=metrics)
    def ask(self, data: st.DataObject, user_id: str, length_us: int, zone: str, metric: str) -> None:
        """Compare one range at every rung and with every option."""
        asked = self._range(data, length_us)
        device_id = data.draw(st.sampled_from(DEVICES))
        for one_device, include_all in (None, False), (None, True), (device_id, False), (device_id, True):
            self._compare(user_id, asked, one_device, include_all, zone, metric=metric)
            answer, expected = (
                _said(
                    ask_hours(
                        store, asked, user_id=user_id, device_id=one_device, include_all=include_all, metric=metric
                    )
                )
                for store in self.both_asked
            )
            assert answer == expected, f"cut hours {asked} {one_device=} {include_all=}"

    @rule(
        data=st.data(),
        length_us=lengths_us,
        genders=st.one_of(st.none(), st.sets(st.sampled_from(GENDERS))),
        born_by=st.sampled_from([None, *BIRTH_DATES]),
        born_after=st.sampled_from([None, None, *BIRTH_DATES]),
        metric=metrics,
    )
    def ask_totals(  # noqa: PLR0917 a strategy each
        self,
        data: st.DataObject,
        length_us: int,
        genders: set[str] | None,
        born_by: date | None,
        born_after: date | None,
        metric: str,
    ) -> None:
        """Compare everybody's totals over a range, and over all time."""
        for asked in (self._range(data, length_us), EVERYTHING):
            answer, expected = (
                totals(store, asked, genders, born_by, metric, born_after=born_after) for store in self.both_asked
            )
            assert answer == expected, f"{asked} {genders=} {born_by=} {born_after=}"

    @rule(
        text=st.sampled_from(["", "a", "B", "0%", "_", "STRAUSS", "i̇p"]),
        limit=st.integers(1, 3),
        after=st.sampled_from([None, "a", *PEOPLE]),
    )
    def list_people(self, text: str, limit: int, after: str | None) -> None:
        listed, expected = (store.users(text, limit, after) for store in self.both_asked)
        assert listed == expected

    @invariant()
    def the_same_readings_are_stored(self) -> None:
        if self.changed:
            self._compare_stored()
        self.agreed, self.changed = True, False

    def _compare_stored(self) -> None:
        expected = self._named(rows_of(self.oracle.stored()), of_oracle=True)
        assert sorted(self._named(self.harness.back_door()), key=_stored_order) == expected
        assert self._named(rows_of(self.harness.store.stored())) == expected
        self._compare_origins()

    def _moment(self, data: st.DataObject) -> int:
        """Draw the time of a stored reading, or any other time."""
        stored = self.oracle.stored()["time_us"].to_pylist()
        moment_us: int = data.draw(st.one_of(st.sampled_from(stored), moments_us) if stored else moments_us)
        return moment_us

    def _range(self, data: st.DataObject, length_us: int) -> TimeRange:
        """Draw a range that starts or ends at a reading or an edge."""
        moment_us = self._moment(data)
        start_us = moment_us - (length_us if data.draw(st.booleans()) else 0)
        return TimeRange(start_us, start_us + length_us)

    def _named(self, rows: list[Any], of_oracle: bool = False) -> list[tuple[Any, ...]]:
        return [(*row[:-1], self.names[of_oracle, row[-1]]) for row in rows]

    def _compare(
        self,
        user_id: str,
        asked: TimeRange,
        device_id: str | None,
        include_all: bool,
        zone: str,
        *,
        metric: str,
    ) -> None:
        choices: Choices = {"user_id": user_id, "device_id": device_id, "include_all": include_all}
        choices |= {"zone": zone, "metric": metric}
        for rung in Resolution:
            answer, expected = (_series(store, rung, asked, choices) for store in self.both_asked)
            assert answer == expected, f"{rung.value} {asked} {choices}"

    def _compare_all(self) -> None:
        """Compare every answer, before and after the background work of the last steps, which changes none of them."""
        questions = [*self._questions_of_readings(), *self._questions_of_people(), *self._questions_of_what_stands()]
        expected = [question(self.oracle) for _, question in questions]
        for _ in range(2):
            for (name, question), answer in zip(questions, expected, strict=True):
                assert question(self.harness.store) == answer, name
            self.harness.settle()
        report = self.harness.store.check()
        assert report.problems == ()
        assert report.readings == self.oracle.stored().num_rows

    def _questions_of_readings(self) -> Iterator[NamedQuestion]:
        """Yield every way to ask for one person's series, the series that were ever written, totals, and an export."""
        ways: list[Choices] = [{"device_id": device_id} for device_id in DEVICES]
        ways.append({"include_all": True})
        asked: list[Choices] = [{"user_id": PEOPLE[0], "metric": METRICS_USED[0], **way} for way in ways]
        asked += [{"user_id": user_id, "metric": metric} for user_id, metric in sorted(self.written)]
        for choices, rung in product(asked, Resolution):
            yield f"{rung.value} {choices}", partial(_series, rung=rung, asked=EVERYTHING, choices=choices)
        # Only days depend on the zone.
        in_berlin: Choices = {"user_id": PEOPLE[0], "metric": METRICS_USED[0], "zone": "Europe/Berlin"}
        yield "days in Berlin", partial(_series, rung=Resolution.DAY, asked=EVERYTHING, choices=in_berlin)
        for metric in dict.fromkeys(METRICS_USED):
            yield f"totals of {metric}", partial(totals, asked=EVERYTHING, metric=metric)
        yield "export", _exported

    def _questions_of_people(self) -> Iterator[NamedQuestion]:
        yield "people", lambda store: store.users("", 10, None)
        for user_id in PEOPLE:
            for ask_of in ("user", "overview", "priorities", "devices", "metrics"):
                yield f"{ask_of} of {user_id}", methodcaller(ask_of, user_id)
            for device_id, metric in product(DEVICES, dict.fromkeys(METRICS_USED)):
                yield f"last time of {user_id}", methodcaller("last_time_us", user_id, device_id, metric)

    def _questions_of_what_stands(self) -> Iterator[NamedQuestion]:
        """Yield, for each metric, what is stored of all readings that are, and of as many that are not."""
        rows = rows_of(self.oracle.stored())
        for metric in dict.fromkeys(METRICS_USED):
            there = [Reading(at_us, 0, device, None, user) for user, device, at_us, *_, of, _ in rows if of == metric]
            asked = batch_of([*there, *(each._replace(time_us=each.time_us + 1) for each in there)], 1, metric)
            yield f"what stands of {metric}", partial(self._standing, asked=asked)

    def _standing(self, store: Store, asked: ReadingBatch) -> list[tuple[Any, ...]]:
        """Return what is stored of these readings as (place, value, confidence, name of the origin)."""
        found = store.stored_values(asked)
        there = np.flatnonzero(found.there)
        columns = (there, found.values[there], found.confidences[there], found.origins[there])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return self._named(list(rows), of_oracle=store is self.oracle)

    def _compare_origins(self) -> None:
        origins = []
        for store in self.both:
            counts = store.origin_readings([each.number for each in store.origins()])
            named = {each.number: (each.kind, each.name) for each in store.origins()}
            extents = {
                (user_id, *named[each.number]): (each.readings, each.first_us, each.last_us)
                for user_id in PEOPLE
                for each in store.origin_extents(user_id)
            }
            origins.append(({name: counts[number] for number, name in named.items()}, extents))
        assert origins[0] == origins[1]


def _stored_order(row: tuple[Any, ...]) -> tuple[bytes, bytes, bytes, int]:
    user_id, device_id, time_us, *_, metric, _ = row
    return user_id.encode(), metric.encode(), device_id.encode(), time_us


def _said(answer: pa.Table) -> tuple[list[object], list[tuple[Any, ...]]]:
    """Return what the columns of an answer are, and its rows."""
    fields = [(field, field.metadata) for field in answer.schema]
    return [answer.schema.metadata, *fields], rows_of(answer)


def _series(
    store: Store, rung: Resolution, asked: TimeRange, choices: Choices
) -> tuple[list[object], list[tuple[Any, ...]]]:
    return _said(ask(store, rung, asked, **choices))


def _exported(store: Store) -> list[dict[str, Any]]:
    rows = [row for batch in store.export(EVERYTHING) for row in batch.to_pylist()]
    return sorted(rows, key=itemgetter("user_id", "metric", "device_id", "time"))


def machine_of(harness: Callable[[], Harness], *, max_examples: int = 60, steps: int = 20) -> type[Any]:
    """The test case that runs the machine over a backend. Assign it to a name that starts with `Test`."""

    class Machine(StoreMachine):
        make_harness = staticmethod(harness)

    test_case: type[Any] = Machine.TestCase
    test_case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=steps,
        deadline=None,
        # Failures are replayed locally; in CI the examples are the same everywhere.
        derandomize=bool(os.environ.get("CI")),
        suppress_health_check=list(HealthCheck),
    )
    return test_case
