"""The conformance suite: what `stores/contract.py` promises, one test a law. Every backend passes this same file.

A backend's test file says `class TestMine(StoreLaws, harness=MyHarness)` and nothing else of the suite: a subclass
that redefines anything of `StoreLaws` is refused when it is made.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import Unpack
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from pulsebase.model.errors import QueryCancelledError, QueryTimeoutError, TooManyRowsError
from pulsebase.model.readings import READING_SCHEMA, ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    MAX_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
    format_us,
    local_day_starts,
)
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    EXPORT_BATCH_READINGS,
    RAW_SCHEMA,
    STORED_SCHEMA,
    TOTALS_SCHEMA,
    Cancellation,
    Expiry,
    SeriesQuery,
    Store,
    TotalsQuery,
)
from tests.stores.harness import Choices, Harness, Reading, ask, ask_hours, at, batch_of, rows_of, span, totals, write

RAW, SECOND, MINUTE, QUARTER, HOUR, DAY = Resolution
BUCKETED = [SECOND, MINUTE, QUARTER, HOUR, DAY]
TEN = at("2024-01-15T10:00:00")
THAT_DAY = span("2024-01-15", "2024-01-16")
ALWAYS = TimeRange(0, MAX_US)

every_rung = pytest.mark.parametrize("rung", list(Resolution), ids=lambda rung: rung.value)
every_bucketed_rung = pytest.mark.parametrize("rung", BUCKETED, ids=lambda rung: rung.value)
#: Whether the store's background work had caught up with the first write when the second came.
settled_or_not = pytest.mark.parametrize("settled", [False, True], ids=["unsettled", "settled"])


def states(harness: Harness) -> Iterator[Store]:
    """The store at once, after its background work, and opened again: the same answer is due each time."""
    yield harness.store
    harness.settle()
    yield harness.store
    harness.reopen()
    yield harness.store


def raw(store: Store, asked: TimeRange = THAT_DAY, **choices: Unpack[Choices]) -> list[tuple[int, int, str]]:
    """Raw rows as (microseconds after ten o'clock, value, device)."""
    rows = rows_of(ask(store, RAW, asked, **choices))
    return [(time_us - TEN, value, device_id) for time_us, value, device_id, _ in rows]


def figures(
    store: Store, rung: Resolution, asked: TimeRange = THAT_DAY, **choices: Unpack[Choices]
) -> list[tuple[str, int, int, int, int, int]]:
    """Buckets as (time, count, sum, min, max, minutes)."""
    rows = rows_of(ask(store, rung, asked, **choices))
    return [(format_us(time_us), *numbers) for time_us, *numbers, _ in rows]


def day_figures(store: Store, **choices: Unpack[Choices]) -> tuple[int, int, int, int, int]:
    """(count, sum, min, max, minutes) of the day all readings are in; also proves that every rung agrees with raw."""
    assert_rungs_follow_from_raw(store, THAT_DAY, **choices)
    ((_, count, total, low, high, minutes),) = figures(store, DAY, **choices)
    return count, total, low, high, minutes


def assert_rungs_follow_from_raw(store: Store, asked: TimeRange, **choices: Unpack[Choices]) -> None:
    """Law 5: every bucketed answer is what a plain loop makes of the counted readings in the raw answer."""
    day_starts = local_day_starts(asked, ZoneInfo(choices.get("zone", "UTC")))
    hours = asked.widened(HOUR_US)
    widest = TimeRange(min(day_starts[0], hours.start_us), max(day_starts[-1], hours.end_us))
    counted = [row for row in rows_of(ask(store, RAW, widest, **choices)) if row[3] != 0]
    for rung in BUCKETED:
        whole = TimeRange(day_starts[0], day_starts[-1]) if rung is DAY else asked.widened(rung.step_us)
        groups: dict[int, list[tuple[int, int, str]]] = {}
        for time_us, value, device_id, _ in counted:
            if whole.start_us <= time_us < whole.end_us:
                step_us = rung.step_us
                at_day = day_starts[bisect_right(day_starts, time_us) - 1]
                start_us = at_day if rung is DAY else time_us // step_us * step_us
                groups.setdefault(start_us, []).append((time_us, value, device_id))
        names_device = rung in (SECOND, MINUTE) and not choices.get("include_all")
        expected = [_bucket(start_us, rows, names_device) for start_us, rows in sorted(groups.items())]
        assert rows_of(ask(store, rung, asked, **choices)) == expected, rung


def _bucket(start_us: int, rows: list[tuple[int, int, str]], names_device: bool) -> tuple[int | str | None, ...]:
    values = [value for _, value, _ in rows]
    minutes = {time_us // MINUTE_US for time_us, *_ in rows}
    device_id = rows[0][2] if names_device else None
    return start_us, len(values), sum(values), min(values), max(values), len(minutes), device_id


def _bucket_rows(
    store: Store, rung: Resolution, asked: TimeRange, **choices: Unpack[Choices]
) -> list[tuple[int | str | None, ...]]:
    return rows_of(ask(store, rung, asked, **choices))


def values_by_device(store: Store) -> dict[str, list[int]]:
    """What `stored` says of ann."""
    found: dict[str, list[int]] = {}
    for user_id, device_id, _, value, *_ in rows_of(store.stored()):
        if user_id == "ann":
            found.setdefault(device_id, []).append(value)
    return found


def scattered(seed: int, count: int, days: TimeRange) -> list[Reading]:
    """Readings of three devices, some at edges, some uncounted, some twice: repeatable."""
    dice = random.Random(seed)
    edges = [0, 1, -1, SECOND_US, MINUTE_US - 1, MINUTE_US // 2]
    return [
        Reading(
            dice.randrange(days.start_us, days.end_us, HOUR_US // 4) + dice.choice(edges),
            dice.randint(3000, 22000),
            dice.choice(["device_a", "device_b", "strap"]),
            dice.choice([None, 0, 1, 2, 3]),
        )
        for _ in range(count)
    ]


def exported(batches: Iterable[pa.RecordBatch]) -> list[tuple[str, str, int, int, int | None]]:
    """The rows of an export as (person, device, time, value, confidence)."""
    found = []
    for batch in batches:
        assert batch.schema.equals(READING_SCHEMA)
        assert 0 < batch.num_rows <= EXPORT_BATCH_READINGS
        table = pa.Table.from_batches([batch])
        table = table.set_column(2, "time", table["time"].cast(pa.int64()))
        found += rows_of(table)
    return found


def assert_in_order_of_export(batches: Sequence[pa.RecordBatch]) -> None:
    """Days ascend and no batch spans two; of a day a person lies together, and each device's readings by time."""
    days = []
    groups: dict[int, list[tuple[str, str, int]]] = {}
    for batch in batches:
        rows = [(user, device, time_us) for user, device, time_us, *_ in exported([batch])]
        (day,) = {time_us // DAY_US for *_, time_us in rows}
        days.append(day)
        groups.setdefault(day, []).extend(rows)
    assert days == sorted(days)
    for rows in groups.values():
        for place in (0, 1):
            runs = [key for key, _ in groupby(row[: place + 1] for row in rows)]
            assert len(runs) == len(set(runs))
        for _, run in groupby(rows, key=lambda row: row[:2]):
            times_us = [time_us for *_, time_us in run]
            assert times_us == sorted(times_us)


def _is_of_the_suite(name: str) -> bool:
    if name in {"pytestmark", "__test__"}:
        return True
    return name in vars(StoreLaws) and not name.startswith("__") and name != "make_harness"


class StoreLaws:
    """The laws. `harness` makes an empty store; each test gets its own."""

    @staticmethod
    def make_harness() -> Harness:
        """What the subclass gave as `harness`."""
        raise NotImplementedError

    def __init_subclass__(cls, *, harness: Callable[[], Harness]) -> None:
        """Refuse a subclass, or a mixin before the suite in its bases, that changes or silences a law."""
        super().__init_subclass__()
        for base in cls.__mro__[: cls.__mro__.index(StoreLaws)]:
            changed = sorted(name for name in vars(base) if _is_of_the_suite(name))
            if changed:
                raise TypeError(f"{base.__name__} changes the conformance suite: {', '.join(changed)}")
        cls.make_harness = staticmethod(harness)  # type: ignore[method-assign]

    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        harness = self.make_harness()
        yield harness
        harness.discard()

    @pytest.fixture
    def store(self, harness: Harness) -> Store:
        """The store, for tests that do not reopen it."""
        return harness.store

    # --- 1: identity, and writes whole or not at all ---------------------------------------------------------------

    def test_a_reading_comes_back_as_it_was_written(self, harness: Harness) -> None:
        origin = harness.store.register_origin("push", "watch")
        harness.store.write([batch_of([Reading(TEN + 123456, 7550, "watch", 2)], origin)])
        for store in states(harness):
            assert harness.back_door() == [("ann", "watch", TEN + 123456, 7550, 2, origin)]
            assert rows_of(store.stored()) == [("ann", "watch", TEN + 123456, 7550, 2, origin)]
            assert rows_of(ask(store, RAW, THAT_DAY)) == [(TEN + 123456, 7550, "watch", 2)]

    @settled_or_not
    def test_writing_the_same_batch_twice_is_writing_it_once(self, harness: Harness, settled: bool) -> None:
        readings = [Reading(TEN + n * SECOND_US, 7000 + n) for n in range(90)]
        write(harness.store, *readings)
        if settled:
            harness.settle()
        write(harness.store, *readings)
        for store in states(harness):
            assert len(harness.back_door()) == 90
            assert day_figures(store) == (90, 7000 * 90 + sum(range(90)), 7000, 7089, 2)

    def test_the_last_of_a_batch_wins(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 9000), Reading(TEN, 6000, confidence=1), Reading(TEN, 7000, confidence=3))
        for store in states(harness):
            assert [row[3:5] for row in harness.back_door()] == [(7000, 3)]
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    def test_the_last_batch_of_a_write_wins(self, harness: Harness) -> None:
        origins = [harness.store.register_origin("push", name) for name in ("one", "two", "three")]
        values = (6000, 9000, 8000)
        harness.store.write(
            [batch_of([Reading(TEN, value)], origin) for value, origin in zip(values, origins, strict=True)]
        )
        for store in states(harness):
            assert harness.back_door() == [("ann", "device_a", TEN, 8000, None, origins[2])]
            assert day_figures(store) == (1, 8000, 8000, 8000, 1)

    @settled_or_not
    def test_the_last_commit_wins_with_all_it_says(self, harness: Harness, settled: bool) -> None:
        first, second = (harness.store.register_origin("sync", name) for name in ("first", "second"))
        harness.store.write([batch_of([Reading(TEN, 9000, confidence=3)], second)])
        if settled:
            harness.settle()
        harness.store.write([batch_of([Reading(TEN, 6000, confidence=None)], first)])
        for store in states(harness):
            assert harness.back_door() == [("ann", "device_a", TEN, 6000, None, first)]
            assert day_figures(store) == (1, 6000, 6000, 6000, 1)

    def test_commits_keep_their_order_through_settling_and_reopening(self, harness: Harness) -> None:
        for value in (9000, 8000, 7000):
            write(harness.store, Reading(TEN, value))
            harness.settle()
            write(harness.store, Reading(TEN, value - 100))
            harness.reopen()
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [6900]
            assert day_figures(store) == (1, 6900, 6900, 6900, 1)

    def test_another_person_device_or_microsecond_is_another_reading(self, harness: Harness) -> None:
        write(
            harness.store,
            Reading(TEN, 7000),
            Reading(TEN, 7001, "device_b"),
            Reading(TEN, 7002, "Device_a"),
            Reading(TEN + 1, 7003),
            Reading(TEN, 7004, user_id="Ann"),
        )
        for store in states(harness):
            assert sorted(row[3] for row in harness.back_door()) == [7000, 7001, 7002, 7003, 7004]
            assert raw(store) == [(0, 7000, "device_a"), (1, 7003, "device_a")]
            assert raw(store, user_id="Ann") == [(0, 7004, "device_a")]

    def test_a_write_that_fails_keeps_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        good = batch_of([Reading(TEN, 9000), Reading(TEN, 9000, user_id="bob")], origin=1)
        hollow = object.__new__(ReadingBatch)  # it has no table to read
        with pytest.raises(AttributeError):
            harness.store.write([good, hollow])
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [7000]
            assert store.user("bob") is None

    def test_a_store_with_little_to_merge_has_room_for_streams_and_others(self, harness: Harness) -> None:
        for day in range(1, 4):
            harness.store.pace(2, 0)
            assert harness.store.has_room(0)
            write(harness.store, Reading(TEN + day * DAY_US, 6000), Reading(TEN + day * DAY_US + 1, 6100))
        harness.settle()
        assert harness.store.has_room(0)
        assert len(harness.back_door()) == 6

    def test_writing_nothing_changes_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.write([])
        harness.store.write([batch_of([], origin=1)])
        for store in states(harness):
            assert len(harness.back_door()) == 1
            assert [each.user.user_id for each in store.users("", 10, None)] == ["ann"]

    def test_a_write_of_many_batches_is_seen_whole_or_not_at_all(self, harness: Harness) -> None:
        """Each write sets every reading of two devices to one value, one batch each; no reader may see two values."""
        store = harness.store
        done = threading.Event()
        torn: list[object] = []

        def write_all(value: int) -> None:
            origin = store.register_origin("test", "laws")
            times = range(TEN, TEN + 2 * HOUR_US, 2 * SECOND_US)
            devices = ("device_a", "device_b")
            store.write([batch_of([Reading(t, value, device) for t in times], origin) for device in devices])

        def read_all() -> None:
            while not done.is_set():
                days = rows_of(ask(store, DAY, THAT_DAY, include_all=True))
                torn.extend(row for row in days if row[1] != 7200 or row[3] != row[4])
                if len({row[3] for row in rows_of(store.stored())}) != 1:
                    torn.append("stored")

        write_all(5000)
        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read_all) for _ in range(2)]
            try:
                for value in range(5001, 5011):
                    write_all(value)
                    if value % 5 == 0:
                        harness.settle()
            finally:
                done.set()
            for reader in readers:
                reader.result()
        assert torn == []
        assert day_figures(store) == (3600, 3600 * 5010, 5010, 5010, 120)

    def test_many_threads_may_ask_at_once(self, store: Store) -> None:
        write(store, *scattered(1, 200, THAT_DAY))
        alone = [ask(store, rung, THAT_DAY) for rung in Resolution]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda rung: ask(store, rung, THAT_DAY), list(Resolution) * 5))
        assert all(answer.equals(alone[n % len(alone)]) for n, answer in enumerate(together))

    # --- 2 and 5: late, corrected, duplicated, deleted ---------------------------------------------------------------

    @settled_or_not
    def test_a_late_reading_changes_every_rung_at_once(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000), Reading(TEN + 20 * MINUTE_US, 8000))
        if settled:
            harness.settle()
        assert day_figures(harness.store) == (2, 14000, 6000, 8000, 2)
        write(harness.store, Reading(TEN + 30 * SECOND_US, 9100), Reading(TEN - 1, 5900))
        for store in states(harness):
            assert raw(store) == [
                (-1, 5900, "device_a"),
                (0, 6000, "device_a"),
                (30 * SECOND_US, 9100, "device_a"),
                (20 * MINUTE_US, 8000, "device_a"),
            ]
            assert figures(store, SECOND) == [
                ("2024-01-15T09:59:59Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 1, 6000, 6000, 6000, 1),
                ("2024-01-15T10:00:30Z", 1, 9100, 9100, 9100, 1),
                ("2024-01-15T10:20:00Z", 1, 8000, 8000, 8000, 1),
            ]
            assert figures(store, MINUTE) == [
                ("2024-01-15T09:59:00Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 2, 15100, 6000, 9100, 1),
                ("2024-01-15T10:20:00Z", 1, 8000, 8000, 8000, 1),
            ]
            assert figures(store, QUARTER) == [
                ("2024-01-15T09:45:00Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 2, 15100, 6000, 9100, 1),
                ("2024-01-15T10:15:00Z", 1, 8000, 8000, 8000, 1),
            ]
            assert figures(store, HOUR) == [
                ("2024-01-15T09:00:00Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 3, 23100, 6000, 9100, 2),
            ]
            assert figures(store, DAY) == [("2024-01-15T00:00:00Z", 4, 29000, 5900, 9100, 3)]

    @settled_or_not
    def test_the_order_of_arrival_does_not_matter(self, harness: Harness, settled: bool) -> None:
        readings = [Reading(TEN + n * 7 * MINUTE_US, 6000 + n) for n in range(40)]
        for reading in random.Random(3).sample(readings, len(readings)):
            write(harness.store, reading)
            if settled and reading.value % 10 == 0:
                harness.settle()
        for store in states(harness):
            assert raw(store) == [(reading.time_us - TEN, reading.value, "device_a") for reading in readings]
            assert day_figures(store) == (40, 40 * 6000 + sum(range(40)), 6000, 6039, 40)

    @settled_or_not
    def test_a_corrected_reading_takes_its_old_value_out_of_every_rung(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 3000), Reading(TEN + 1, 22000), Reading(TEN + 2, 7000))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 7100), Reading(TEN + 1, 7200))
        for store in states(harness):
            assert day_figures(store) == (3, 21300, 7000, 7200, 1)

    @settled_or_not
    def test_a_correction_may_make_a_reading_uncounted_or_counted(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 9000), Reading(TEN + HOUR_US, 5000, confidence=0))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 9000, confidence=0), Reading(TEN + HOUR_US, 5000, confidence=1))
        for store in states(harness):
            assert figures(store, HOUR) == [("2024-01-15T11:00:00Z", 1, 5000, 5000, 5000, 1)]
            assert day_figures(store) == (1, 5000, 5000, 5000, 1)

    @settled_or_not
    def test_deleted_readings_leave_every_rung(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000), Reading(TEN + MINUTE_US, 9000), Reading(TEN + HOUR_US, 8000))
        if settled:
            harness.settle()
        assert harness.store.delete("ann", TimeRange(TEN + MINUTE_US, TEN + 2 * HOUR_US)) == 2
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [6000]
            assert raw(store) == [(0, 6000, "device_a")]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 1, 6000, 6000, 6000, 1)]
            assert day_figures(store) == (1, 6000, 6000, 6000, 1)

    @settled_or_not
    def test_a_deleted_reading_may_be_written_again(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000))
        if settled:
            harness.settle()
        assert harness.store.delete("ann", THAT_DAY) == 1
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 9000))
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [9000]
            assert day_figures(store) == (1, 9000, 9000, 9000, 1)

    @settled_or_not
    def test_deletion_counts_each_stored_reading_once(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000), Reading(TEN, 6100), Reading(TEN + 1, 6000, confidence=0))
        write(harness.store, Reading(TEN, 6200), Reading(TEN, 7000, "device_b"))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 1, 6300, confidence=0))
        assert harness.store.delete("ann", THAT_DAY) == 3
        assert harness.store.delete("ann", THAT_DAY) == 0
        for _ in states(harness):
            assert harness.back_door() == []

    @settled_or_not
    def test_deletion_is_half_open_and_keeps_to_its_person_and_device(self, harness: Harness, settled: bool) -> None:
        write(
            harness.store,
            *(Reading(TEN + n, 7000 + n, device) for n in range(4) for device in ("device_a", "device_b")),
            Reading(TEN + 1, 8000, user_id="bob"),
        )
        if settled:
            harness.settle()
        assert harness.store.delete("ann", TimeRange(TEN + 1, TEN + 3), "device_b") == 2
        assert harness.store.delete("ann", TimeRange(TEN, TEN + 1)) == 2
        for store in states(harness):
            assert values_by_device(store) == {"device_a": [7001, 7002, 7003], "device_b": [7003]}
            assert raw(store, user_id="bob") == [(1, 8000, "device_a")]

    def test_deleting_what_is_not_there_counts_nothing(self, store: Store) -> None:
        write(store, Reading(TEN, 7000))
        assert store.delete("nobody", ALWAYS) == 0
        assert store.delete("ann", ALWAYS, "no_such_device") == 0
        assert store.delete("ann", TimeRange(TEN + 1, MAX_US)) == 0
        assert store.user("nobody") is None
        assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    @settled_or_not
    def test_a_deleted_winner_gives_way_to_the_next_device(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + 1, 9000, "device_b"))
        if settled:
            harness.settle()
        assert harness.store.delete("ann", THAT_DAY, "device_a") == 1
        for store in states(harness):
            assert raw(store) == [(1, 9000, "device_b")]
            assert day_figures(store) == (1, 9000, 9000, 9000, 1)

    # --- 4: half-open ranges, microseconds ---------------------------------------------------------------------------

    def test_a_range_holds_its_start_and_not_its_end(self, harness: Harness) -> None:
        write(harness.store, *(Reading(TEN + n, 7000 + n) for n in range(-1, 3)))
        for store in states(harness):
            assert raw(store, TimeRange(TEN, TEN + 2)) == [(0, 7000, "device_a"), (1, 7001, "device_a")]

    @every_bucketed_rung
    def test_an_instant_belongs_to_the_bucket_that_starts_at_or_before_it(
        self, harness: Harness, rung: Resolution
    ) -> None:
        start, step = at("2024-01-15"), rung.step_us
        offsets = [-1, 0, 1, step - 1, step, 2 * step - 1, 2 * step]
        write(harness.store, *(Reading(start + offset, 7000 + n) for n, offset in enumerate(offsets)))
        for store in states(harness):
            rows = rows_of(ask(store, rung, TimeRange(start, start + 2 * step)))
            assert [(row[0] - start, *row[1:5]) for row in rows] == [
                (0, 3, 7001 + 7002 + 7003, 7001, 7003),
                (step, 2, 7004 + 7005, 7004, 7005),
            ]

    def test_the_first_and_the_last_instant_can_be_stored(self, harness: Harness) -> None:
        write(harness.store, Reading(0, 7000), Reading(MAX_US - 1, 8000))
        for store in states(harness):
            assert [row[:2] for row in rows_of(ask(store, RAW, ALWAYS))] == [(0, 7000), (MAX_US - 1, 8000)]
            assert figures(store, HOUR, TimeRange(0, 1)) == [("1970-01-01T00:00:00Z", 1, 7000, 7000, 7000, 1)]
            assert store.last_time_us("ann", "device_a") == MAX_US - 1

    # --- 5: buckets exact --------------------------------------------------------------------------------------------

    def test_a_bucket_carries_count_sum_min_max_and_minutes(self, harness: Harness) -> None:
        seconds = [(0, 6001), (1, 6002), (59, 22000), (60, 3000), (125, 7777)]
        write(harness.store, *(Reading(TEN + second * SECOND_US, value) for second, value in seconds))
        for store in states(harness):
            assert figures(store, MINUTE) == [
                ("2024-01-15T10:00:00Z", 3, 34003, 6001, 22000, 1),
                ("2024-01-15T10:01:00Z", 1, 3000, 3000, 3000, 1),
                ("2024-01-15T10:02:00Z", 1, 7777, 7777, 7777, 1),
            ]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 5, 44780, 3000, 22000, 3)]
            assert day_figures(store) == (5, 44780, 3000, 22000, 3)

    def test_sums_outgrow_small_integers(self, harness: Harness) -> None:
        count = 100_000  # at 220 bpm, more hundredths than 32 bits hold
        batch = ReadingBatch.of_columns(
            ["ann"] * count, ["watch"] * count, range(TEN, TEN + count * 10_000, 10_000), [22000] * count, None, 1
        )
        harness.store.register_origin("test", "laws")
        harness.store.write([batch])
        for store in states(harness):
            assert figures(store, DAY) == [("2024-01-15T00:00:00Z", 100_000, 2_200_000_000, 22000, 22000, 17)]

    def test_every_rung_equals_a_recomputation_from_raw(self, harness: Harness) -> None:
        week = span("2024-03-28", "2024-04-02")
        for part in range(4):
            write(harness.store, *scattered(part, 150, week))
            if part == 1:
                harness.settle()
            harness.store.delete("ann", span(f"2024-03-29T0{part}:00:00", f"2024-03-29T0{part}:50:00"))
        for store in states(harness):
            for asked in (week, span("2024-03-29T00:30:00", "2024-03-31T13:07:30.5")):
                assert_rungs_follow_from_raw(store, asked)
                assert_rungs_follow_from_raw(store, asked, include_all=True)
                assert_rungs_follow_from_raw(store, asked, device_id="strap")

    def test_a_check_finds_a_store_sound(self, harness: Harness) -> None:
        write(harness.store, *scattered(5, 300, THAT_DAY))
        harness.settle()
        harness.store.delete("ann", span("2024-01-15T03:00:00", "2024-01-15T05:30:00"))
        write(harness.store, *scattered(6, 50, THAT_DAY))
        for store in states(harness):
            report = store.check()
            assert report.problems == ()
            assert report.readings == len(harness.back_door()) == store.stored().num_rows

    # --- 6: several devices ------------------------------------------------------------------------------------------

    def test_the_lowest_priority_number_wins_its_minute(self, harness: Harness) -> None:
        write(
            harness.store,
            *(Reading(TEN, value, device) for value, device in ((9000, "aaa"), (8000, "device_b"), (7000, "device_a"))),
            *(Reading(TEN + MINUTE_US, value, device) for value, device in ((9100, "aaa"), (8100, "device_b"))),
            Reading(TEN + 2 * MINUTE_US, 9200, "aaa"),
        )
        for store in states(harness):
            assert raw(store) == [
                (0, 7000, "device_a"),
                (MINUTE_US, 8100, "device_b"),
                (2 * MINUTE_US, 9200, "aaa"),
            ]
            assert [row[6] for row in rows_of(ask(store, MINUTE, THAT_DAY))] == ["device_a", "device_b", "aaa"]
            assert [row[6] for row in rows_of(ask(store, SECOND, THAT_DAY))] == ["device_a", "device_b", "aaa"]
            assert day_figures(store) == (3, 24300, 7000, 9200, 3)

    def test_a_winner_hides_the_others_for_the_whole_minute_only(self, harness: Harness) -> None:
        others = [Reading(TEN + n * SECOND_US, 9000, "device_b") for n in (-1, 0, 29, 31, 59, 60)]
        write(harness.store, *others, Reading(TEN + 30 * SECOND_US, 7000))
        for store in states(harness):
            assert raw(store) == [
                (-SECOND_US, 9000, "device_b"),
                (30 * SECOND_US, 7000, "device_a"),
                (60 * SECOND_US, 9000, "device_b"),
            ]
            assert day_figures(store) == (3, 25000, 7000, 9000, 3)

    @settled_or_not
    def test_losers_stay_stored(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 9000, "device_b"))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 1, 7000))
        for store in states(harness):
            assert sorted(row[3] for row in harness.back_door()) == [7000, 9000]
            assert values_by_device(store) == {"device_a": [7000], "device_b": [9000]}
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    def test_the_winner_is_known_before_the_range_is_cut(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN + 10 * SECOND_US, 9000, "device_b"), Reading(TEN + 50 * SECOND_US, 7000))
        for store in states(harness):
            assert raw(store, TimeRange(TEN, TEN + 30 * SECOND_US)) == []
            assert rows_of(ask(store, SECOND, TimeRange(TEN, TEN + 30 * SECOND_US))) == []
            assert raw(store, TimeRange(TEN + 40 * SECOND_US, TEN + MINUTE_US)) == [(50 * SECOND_US, 7000, "device_a")]

    def test_ties_go_to_the_smallest_device_id_by_bytes(self, harness: Harness) -> None:
        ordered = ["10", "9", "Zebra", "_x", "a-10", "a-9", "a.1", "aB", "ab"]
        for n in range(len(ordered)):
            contenders = ordered[n:]
            random.Random(n).shuffle(contenders)
            write(harness.store, *(Reading(TEN + n * MINUTE_US, 7000 + n, device) for device in contenders))
        for store in states(harness):
            assert [device for _, _, device in raw(store)] == ordered

    def test_ties_between_ranked_devices_go_by_bytes_too(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "Strap"), Reading(TEN, 8000, "device_b"))
        harness.store.put_priority(DevicePriority("ann", "device_b", 1))
        harness.store.put_priority(DevicePriority("ann", "Strap", 1))
        for store in states(harness):
            assert raw(store) == [(0, 9000, "Strap")]

    @settled_or_not
    def test_a_changed_priority_changes_every_rung_at_once(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"), Reading(TEN + 1, 9100, "device_b"))
        if settled:
            harness.settle()
        assert day_figures(harness.store) == (1, 7000, 7000, 7000, 1)
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        for store in states(harness):
            assert raw(store) == [(0, 9000, "device_b"), (1, 9100, "device_b")]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 2, 18100, 9000, 9100, 1)]
            assert day_figures(store) == (2, 18100, 9000, 9100, 1)

    @settled_or_not
    def test_a_priority_holds_from_its_instant_until_the_next(self, harness: Harness, settled: bool) -> None:
        for hour in range(4):
            time_us = TEN + hour * HOUR_US
            write(harness.store, Reading(time_us, 7000 + hour), Reading(time_us, 9000 + hour, "device_b"))
        if settled:
            harness.settle()
        # Not in the order of time, and the middle one is replaced.
        harness.store.put_priority(DevicePriority("ann", "device_b", 5, TEN + 3 * HOUR_US))
        harness.store.put_priority(DevicePriority("ann", "device_b", 7, TEN + HOUR_US))
        harness.store.put_priority(DevicePriority("ann", "device_b", 0, TEN + HOUR_US))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 9002, 7003]
            assert [row[2] for row in figures(store, HOUR)] == [7000, 9001, 9002, 7003]
            assert day_figures(store) == (4, 32006, 7000, 9002, 4)

    def test_the_priority_at_the_start_of_the_minute_decides(self, harness: Harness) -> None:
        write(
            harness.store,
            *(
                Reading(TEN + n * MINUTE_US + 59 * SECOND_US, value + n, device)
                for n in range(3)
                for value, device in ((7000, "device_a"), (9000, "device_b"))
            ),
        )
        harness.store.put_priority(DevicePriority("ann", "device_b", 0, TEN + 1))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 9002]
            assert day_figures(store) == (3, 25003, 7000, 9002, 3)
        harness.store.put_priority(DevicePriority("ann", "device_b", 3, TEN + 2 * MINUTE_US))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 7002]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 3, 23003, 7000, 9001, 3)]
            assert day_figures(store) == (3, 23003, 7000, 9001, 3)

    @settled_or_not
    def test_a_priority_taken_back_is_the_default_again(self, harness: Harness, settled: bool) -> None:
        for hour in range(3):
            time_us = TEN + hour * HOUR_US
            write(harness.store, Reading(time_us, 7000 + hour), Reading(time_us, 9000 + hour, "device_b"))
        if settled:
            harness.settle()
        harness.store.put_priority(DevicePriority("ann", "device_a", 50, TEN + HOUR_US))
        harness.store.put_priority(DevicePriority("ann", "device_a", None, TEN + 2 * HOUR_US))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 7002]
            assert day_figures(store) == (3, 23003, 7000, 9001, 3)

    def test_a_priority_is_of_one_person(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        harness.store.put_priority(DevicePriority("bob", "device_b", 0))
        for store in states(harness):
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    def test_priorities_come_back_by_device_then_time(self, harness: Harness) -> None:
        entries = [
            DevicePriority("ann", "Zed", None, 0),
            DevicePriority("ann", "a-10", 2, 5),
            DevicePriority("ann", "a-9", 3, TEN),
            DevicePriority("ann", "a-9", 1, TEN + 1),
        ]
        for entry in (entries[3], entries[1], DevicePriority("ann", "a-9", 9, TEN), entries[0], entries[2]):
            harness.store.put_priority(entry)
        harness.store.put_priority(DevicePriority("bob", "a-9", 4))
        for store in states(harness):
            assert store.priorities("ann") == entries
            assert store.priorities("nobody") == []

    @settled_or_not
    def test_priorities_taken_back_leave_the_default_at_all_times(self, harness: Harness, settled: bool) -> None:
        for hour in range(2):
            time_us = TEN + hour * HOUR_US
            write(harness.store, Reading(time_us, 7000 + hour), Reading(time_us, 9000 + hour, "device_b"))
        if settled:
            harness.settle()
        for valid_from_us, priority in ((0, 0), (TEN + HOUR_US, None), (TEN + HOUR_US + 1, 5)):
            harness.store.put_priority(DevicePriority("ann", "device_b", priority, valid_from_us))
        kept = [DevicePriority("ann", "device_a", 1, TEN), DevicePriority("bob", "device_b", 3)]
        for entry in kept:
            harness.store.put_priority(entry)
        assert day_figures(harness.store) == (2, 16001, 7001, 9000, 2)
        assert harness.store.remove_priorities("ann", "device_b") == 3
        for store in states(harness):
            assert raw(store) == [(0, 7000, "device_a"), (HOUR_US, 7001, "device_a")]
            assert day_figures(store) == (2, 14001, 7000, 7001, 2)
            assert [*store.priorities("ann"), *store.priorities("bob")] == kept

    def test_taking_back_what_was_never_set_changes_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        assert harness.store.remove_priorities("ann", "device_a") == 0
        assert harness.store.remove_priorities("ann", "no_such_device") == 0
        assert harness.store.remove_priorities("nobody", "device_a") == 0
        for store in states(harness):
            assert store.user("nobody") is None
            assert [device.device_id for device in store.devices("ann")] == ["device_a"]

    def test_a_priority_outlives_the_readings_and_makes_a_person_known(self, harness: Harness) -> None:
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        assert harness.store.user("ann") == User("ann")
        write(harness.store, Reading(TEN, 7000))
        harness.store.delete("ann", ALWAYS)
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        for store in states(harness):
            assert raw(store) == [(0, 9000, "device_b")]

    @settled_or_not
    def test_a_device_without_a_counted_reading_never_wins(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000, confidence=0), Reading(TEN + 1, 9000, "device_b", 1))
        if settled:
            harness.settle()
        for store in states(harness):
            assert raw(store) == [(1, 9000, "device_b")]
            assert day_figures(store) == (1, 9000, 9000, 9000, 1)
        write(harness.store, Reading(TEN + 2, 7100, confidence=3))
        for store in states(harness):
            assert raw(store) == [(2, 7100, "device_a")]
            assert day_figures(store) == (1, 7100, 7100, 7100, 1)

    def test_a_device_alone_is_shown_where_it_lost_too(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + 1, 9000, "device_b"), Reading(TEN + 2, 1, "device_b", 0))
        for store in states(harness):
            assert raw(store, device_id="device_b") == [(1, 9000, "device_b")]
            assert day_figures(store, device_id="device_b") == (1, 9000, 9000, 9000, 1)
            assert raw(store, device_id="device_a") == [(0, 7000, "device_a")]

    def test_all_readings_of_all_devices_can_be_asked_for(self, harness: Harness) -> None:
        write(
            harness.store,
            Reading(TEN + 1, 5000, "strap", 0),
            Reading(TEN, 9000, "device_b"),
            Reading(TEN, 7000),
            Reading(TEN, 8000, "Strap"),
            Reading(TEN + MINUTE_US, 9100, "device_b"),
        )
        for store in states(harness):
            assert raw(store, include_all=True) == [
                (0, 8000, "Strap"),
                (0, 7000, "device_a"),
                (0, 9000, "device_b"),
                (1, 5000, "strap"),
                (MINUTE_US, 9100, "device_b"),
            ]
            assert day_figures(store, include_all=True) == (4, 33100, 7000, 9100, 2)
            minutes = rows_of(ask(store, MINUTE, THAT_DAY, include_all=True))
            assert [row[1:] for row in minutes] == [
                (3, 24000, 7000, 9000, 1, None),
                (1, 9100, 9100, 9100, 1, None),
            ]

    def test_all_readings_of_one_device_can_be_asked_for(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"), Reading(TEN + 1, 9100, "device_b", 0))
        for store in states(harness):
            assert raw(store, device_id="device_b", include_all=True) == [(0, 9000, "device_b"), (1, 9100, "device_b")]
            assert figures(store, DAY, device_id="device_b", include_all=True) == [
                ("2024-01-15T00:00:00Z", 1, 9000, 9000, 9000, 1)
            ]

    @pytest.mark.parametrize("rung", [QUARTER, HOUR, DAY], ids=lambda rung: rung.value)
    def test_a_bucket_longer_than_a_minute_names_no_device(self, store: Store, rung: Resolution) -> None:
        write(store, Reading(TEN, 7000))
        assert ask(store, rung, THAT_DAY)["device_id"].to_pylist() == [None]
        assert ask(store, rung, THAT_DAY, device_id="device_a")["device_id"].to_pylist() == [None]

    @pytest.mark.parametrize("rung", [SECOND, MINUTE], ids=lambda rung: rung.value)
    def test_a_bucket_up_to_a_minute_names_its_device_unless_all_are_asked_for(
        self, store: Store, rung: Resolution
    ) -> None:
        write(store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        assert ask(store, rung, THAT_DAY)["device_id"].to_pylist() == ["device_a"]
        assert ask(store, rung, THAT_DAY, device_id="device_b")["device_id"].to_pylist() == ["device_b"]
        assert ask(store, rung, THAT_DAY, include_all=True)["device_id"].to_pylist() == [None]

    # --- 7: confidence -----------------------------------------------------------------------------------------------

    def test_confidence_is_kept_and_zero_does_not_count(self, harness: Harness) -> None:
        confidences = [0, 1, 2, 3, None]
        write(harness.store, *(Reading(TEN + n, 7000 + n, "device_a", kept) for n, kept in enumerate(confidences)))
        for store in states(harness):
            assert [row[4] for row in sorted(harness.back_door())] == confidences
            assert ask(store, RAW, THAT_DAY, include_all=True)["confidence"].to_pylist() == confidences
            assert ask(store, RAW, THAT_DAY)["confidence"].to_pylist() == [1, 2, 3, None]
            assert day_figures(store) == (4, 28010, 7001, 7004, 1)
            assert day_figures(store, include_all=True) == (4, 28010, 7001, 7004, 1)

    def test_a_bucket_without_a_counted_reading_is_left_out(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000, confidence=0), Reading(TEN + DAY_US, 7100))
        days = span("2024-01-15", "2024-01-17")
        for store in states(harness):
            every_way: list[Choices] = [{}, {"include_all": True}, {"device_id": "device_a"}]
            for choices in every_way:
                assert_rungs_follow_from_raw(store, days, **choices)
                assert len(figures(store, DAY, days, **choices)) == 1

    # --- 8: local days -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("zone", "starts"),
        [
            ("Europe/Berlin", ("2024-03-30T23:00", "2024-03-31T22:00", "2024-04-01T22:00")),
            ("Europe/Berlin", ("2024-10-26T22:00", "2024-10-27T23:00", "2024-10-28T23:00")),
            ("Asia/Kolkata", ("2024-01-14T18:30", "2024-01-15T18:30", "2024-01-16T18:30")),
            ("Asia/Kathmandu", ("2024-01-14T18:15", "2024-01-15T18:15", "2024-01-16T18:15")),
            ("Australia/Lord_Howe", ("2024-04-06T13:00", "2024-04-07T13:30", "2024-04-08T13:30")),
        ],
    )
    def test_days_are_civil_days_of_the_zone(self, harness: Harness, zone: str, starts: tuple[str, str, str]) -> None:
        """Days of 23, 25, 24 and 24.5 hours, and offsets that are no whole hours."""
        first, second, end = map(at, starts)
        edges = [first - 1, first, second - 1, second, end - 1, end]
        write(harness.store, *(Reading(time_us, 7000 + n) for n, time_us in enumerate(edges)))
        asked = TimeRange(first + HOUR_US, end - HOUR_US)
        for store in states(harness):
            assert rows_of(ask(store, DAY, asked, zone=zone)) == [
                (first, 2, 14003, 7001, 7002, 2, None),
                (second, 2, 14007, 7003, 7004, 2, None),
            ]

    @pytest.mark.parametrize(
        "zone", ["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"]
    )
    def test_local_days_equal_a_recomputation_from_raw(self, harness: Harness, zone: str) -> None:
        fortnight = span("2024-03-28", "2024-04-11")
        write(harness.store, *scattered(8, 200, fortnight))
        harness.settle()
        write(harness.store, *scattered(9, 200, fortnight))
        for store in states(harness):
            assert_rungs_follow_from_raw(store, fortnight, zone=zone)
            assert_rungs_follow_from_raw(store, fortnight, zone=zone, include_all=True)

    def test_days_may_start_inside_a_minute(self, harness: Harness) -> None:
        """Offsets before 1972 had odd seconds; the winner is still the whole minute's."""
        seconds = {"device_b": (10, 40), "device_a": (50,)}
        write(
            harness.store,
            *(Reading(TEN + second * SECOND_US, 7000, device) for device in seconds for second in seconds[device]),
            *(Reading(TEN + MINUTE_US + second * SECOND_US, 7000 + second) for second in (0, 29, 30, 59)),
        )
        starts = [TEN + 30 * SECOND_US, TEN + 90 * SECOND_US, TEN + 110 * SECOND_US]
        query = SeriesQuery("ann", TimeRange(starts[0], starts[-1]), DAY, day_starts=starts)
        for store in states(harness):
            assert rows_of(store.series(query)) == [
                (starts[0], 3, 21029, 7000, 7029, 2, None),
                (starts[1], 1, 7030, 7030, 7030, 1, None),
            ]

    # --- totals of people, and hours that the range cuts -----------------------------------------------------------

    @settled_or_not
    def test_totals_are_of_the_minutes_winners_inside_the_exact_range(self, harness: Harness, settled: bool) -> None:
        """The winner of the first minute is known before the range cuts its reading off."""
        first = [
            Reading(TEN, 7000, "device_a"),
            Reading(TEN + 30 * SECOND_US, 9000, "device_b"),
            Reading(TEN + MINUTE_US, 8000, "device_b", 0),
            Reading(TEN + MINUTE_US + 1, 8001, "strap"),
            Reading(TEN + 25 * HOUR_US, 6000, "device_b"),
            Reading(TEN + 3 * 24 * HOUR_US, 6500),
            Reading(TEN + 3 * 24 * HOUR_US + 1, 6600),
        ]
        write(harness.store, *first)
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + HOUR_US // 2, 7100), Reading(TEN + 25 * HOUR_US, 6100, "device_b"))
        cut = TimeRange(TEN + 1, TEN + 3 * 24 * HOUR_US + 1)
        for store in states(harness):
            assert totals(store, cut) == [("ann", 4, 8001 + 7100 + 6100 + 6500, 4)]
            assert totals(store, TimeRange(TEN + 1, TEN + MINUTE_US)) == []
            assert totals(store, TimeRange(TEN, TEN + 1)) == [("ann", 1, 7000, 1)]

    def test_totals_equal_a_recomputation_from_raw(self, harness: Harness) -> None:
        """Over ranges cut anywhere, with late, corrected and deleted readings, before and after background work."""
        days = span("2024-01-10", "2024-01-20")
        dice = random.Random(21)
        for seed, user_id in enumerate(("ann", "Bob", "a-9")):
            write(harness.store, *(each._replace(user_id=user_id) for each in scattered(seed, 200, days)))
        harness.settle()
        write(harness.store, *scattered(8, 100, days))
        harness.store.delete("Bob", span("2024-01-12T03:30:00", "2024-01-13T05:45:30"))
        harness.store.put_priority(DevicePriority("a-9", "strap", 0, at("2024-01-15T10:30:00")))
        for store in states(harness):
            for _ in range(12):
                start_us, end_us = sorted(dice.sample(range(days.start_us, days.end_us, HOUR_US // 8), 2))
                cut = TimeRange(start_us + dice.choice([0, 0, 1, -1]), end_us + dice.choice([0, 0, 1, -1]))
                expected = []
                for user_id in ("Bob", "a-9", "ann"):
                    rows = [row for row in rows_of(ask(store, RAW, cut, user_id=user_id)) if row[3] != 0]
                    minutes = {row[0] // MINUTE_US for row in rows}
                    if rows:
                        expected.append((user_id, len(rows), sum(row[1] for row in rows), len(minutes)))
                assert totals(store, cut) == expected, cut

    def test_totals_asked_again_follow_every_change(self, harness: Harness) -> None:
        """What a store remembers of an answer never outlives a write, a correction, a deletion or a priority."""
        store = harness.store
        write(store, Reading(TEN, 7000), Reading(TEN + SECOND_US, 7100, "device_b"))
        harness.settle()
        write(store, Reading(TEN + 2 * SECOND_US, 7200))
        assert totals(store, THAT_DAY) == [("ann", 2, 14200, 1)]
        write(store, Reading(TEN + 2 * SECOND_US, 7300))
        assert totals(store, THAT_DAY) == [("ann", 2, 14300, 1)]
        store.put_priority(DevicePriority("ann", "device_b", 0))
        assert totals(store, THAT_DAY) == [("ann", 1, 7100, 1)]
        store.delete("ann", THAT_DAY, "device_b")
        assert totals(store, THAT_DAY) == [("ann", 2, 14300, 1)]
        harness.settle()
        assert totals(store, THAT_DAY) == [("ann", 2, 14300, 1)]
        write(store, Reading(TEN + MINUTE_US, 7400))
        assert totals(store, THAT_DAY) == [("ann", 3, 21700, 2)]
        store.delete("ann", THAT_DAY)
        assert totals(store, THAT_DAY) == []

    def test_totals_are_of_the_people_asked_for(self, harness: Harness) -> None:
        people = [
            User("ann", gender="female", birth_date=date(1992, 2, 29)),
            User("Bob", gender="male", birth_date=date(1992, 3, 1)),
            User("cy", gender="other"),
            User("dee", birth_date=date(1950, 1, 1)),
        ]
        for person in people:
            harness.store.put_user(person)
        ids = ["Bob", "ann", "cy", "dee", "eve"]
        write(harness.store, *(Reading(TEN, 7000 + n, user_id=user_id) for n, user_id in enumerate(ids)))
        harness.store.put_user(User("fay", gender="female"))

        def found(store: Store, genders: list[str] | None, born_by: date | None) -> list[str]:
            return [row[0] for row in totals(store, THAT_DAY, genders, born_by)]

        for store in states(harness):
            assert found(store, None, None) == ids
            assert found(store, ["female"], None) == ["ann"]
            assert found(store, ["other", "male"], None) == ["Bob", "cy"]
            assert found(store, [], None) == []
            assert found(store, None, date(1992, 2, 29)) == ["ann", "dee"]
            assert found(store, None, date(1992, 2, 28)) == ["dee"]
            assert found(store, ["male"], date(1992, 3, 1)) == ["Bob"]

    def test_totals_of_nothing_have_the_full_schema(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000, confidence=0))
        for store in states(harness):
            for asked in (THAT_DAY, TimeRange(TEN, TEN), span("1980-01-01", "1980-01-01T00:30:00")):
                answer = store.totals(TotalsQuery(asked))
                assert (answer.schema, answer.num_rows) == (TOTALS_SCHEMA, 0)

    @settled_or_not
    @pytest.mark.parametrize("choices", [{}, {"device_id": "device_b"}, {"include_all": True}], ids=str)
    def test_an_hour_that_the_range_cuts_counts_what_is_inside(
        self, harness: Harness, settled: bool, choices: Choices
    ) -> None:
        days = span("2024-01-15T08:00:00", "2024-01-15T14:00:00")
        write(harness.store, *scattered(31, 150, days))
        if settled:
            harness.settle()
            write(harness.store, *scattered(32, 20, days))
        cuts = [(1, 1), (90, 31), (-1, HOUR_US + 1), (MINUTE_US // 2, -MINUTE_US // 2), (HOUR_US // 4, -5 * HOUR_US)]
        cuts += [(HOUR_US // 4, -HOUR_US * 11 // 2), (HOUR_US // 2, -HOUR_US * 9 // 2)]
        for store in states(harness):
            for after_us, before_us in cuts:
                cut = TimeRange(days.start_us + after_us, days.end_us + before_us)
                groups: dict[int, list[tuple[int, int, str]]] = {}
                for time_us, value, device_id, confidence in rows_of(ask(store, RAW, cut, **choices)):
                    if confidence != 0:
                        start_us = time_us // HOUR_US * HOUR_US
                        groups.setdefault(start_us, []).append((time_us, value, device_id))
                expected = [_bucket(start_us, rows, False) for start_us, rows in sorted(groups.items())]
                assert rows_of(ask_hours(store, cut, **choices)) == expected, cut

    # --- 9: nothing there, the schema, the limit ---------------------------------------------------------------------

    @every_rung
    def test_nothing_there_is_an_empty_answer_with_the_full_schema(self, harness: Harness, rung: Resolution) -> None:
        write(harness.store, Reading(TEN, 7000))
        elsewhere = span("2023-01-01", "2023-01-02")
        for store in states(harness):
            for answer in (
                ask(store, rung, THAT_DAY, user_id="nobody"),
                ask(store, rung, THAT_DAY, user_id="nobody", include_all=True),
                ask(store, rung, THAT_DAY, device_id="no_such_device"),
                ask(store, rung, elsewhere),
                ask(store, rung, elsewhere, include_all=True),
            ):
                assert answer.num_rows == 0
                assert answer.schema.equals(RAW_SCHEMA if rung is RAW else BUCKET_SCHEMA, check_metadata=True)

    @every_rung
    def test_every_store_answers_in_the_same_schema(self, harness: Harness, rung: Resolution) -> None:
        """Names, order, types, nullability and metadata to the letter, so that no two stores differ."""
        write(harness.store, *scattered(2, 50, THAT_DAY))
        schema = RAW_SCHEMA if rung is RAW else BUCKET_SCHEMA
        for store in states(harness):
            for answer in (
                ask(store, rung, THAT_DAY),
                ask(store, rung, THAT_DAY, include_all=True),
                ask(store, rung, THAT_DAY, device_id="strap"),
            ):
                assert answer.num_rows > 0
                assert answer.schema.equals(schema, check_metadata=True)

    def test_every_store_exports_in_the_same_schema(self, harness: Harness) -> None:
        for store in states(harness):
            assert store.stored().num_rows == 0
            assert store.stored().schema.equals(STORED_SCHEMA, check_metadata=True)
        write(harness.store, Reading(TEN, 7000))
        for store in states(harness):
            assert store.stored().num_rows == 1
            assert store.stored().schema.equals(STORED_SCHEMA, check_metadata=True)

    @every_rung
    def test_a_question_gives_up_at_its_time_limit(self, harness: Harness, rung: Resolution) -> None:
        write(harness.store, *(Reading(TEN + n * SECOND_US, 6000) for n in range(100)))
        days = (THAT_DAY.start_us, THAT_DAY.end_us) if rung is DAY else ()
        query = SeriesQuery("ann", THAT_DAY, rung, day_starts=days, timeout_s=1e-9)
        with pytest.raises(QueryTimeoutError):
            harness.store.series(query)
        with pytest.raises(QueryTimeoutError):
            harness.store.totals(TotalsQuery(THAT_DAY, timeout_s=1e-9))
        assert harness.store.series(replace(query, timeout_s=60.0)).num_rows > 0
        assert harness.store.totals(TotalsQuery(THAT_DAY, timeout_s=60.0)).num_rows == 1

    def test_a_question_that_was_taken_back_is_not_answered(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 6000))
        cancellation = Cancellation()
        cancellation.cancel()
        with pytest.raises(QueryCancelledError):
            harness.store.series(SeriesQuery("ann", THAT_DAY, HOUR, cancellation=cancellation))
        with pytest.raises(QueryCancelledError):
            harness.store.totals(TotalsQuery(THAT_DAY, cancellation=cancellation))
        with pytest.raises(QueryCancelledError):
            harness.store.origin_readings([1], cancellation)

    def test_an_empty_store_knows_nobody(self, harness: Harness) -> None:
        for store in states(harness):
            assert store.user("ann") is None
            assert store.overview("ann") is None
            assert store.users("", 10, None) == []
            assert store.priorities("ann") == []
            assert store.summaries("ann", date.min, date.max) == []
            assert store.last_time_us("ann", "device_a") is None
            assert harness.back_door() == []

    @every_rung
    def test_one_row_over_the_limit_is_refused(self, harness: Harness, rung: Resolution) -> None:
        write(harness.store, *(Reading(TEN + n * DAY_US, 7000) for n in range(3)))
        harness.settle()
        write(harness.store, *(Reading(TEN + n * DAY_US, 7000) for n in range(3, 5)))
        days = TimeRange(TEN, TEN + 5 * DAY_US)
        for store in states(harness):
            assert ask(store, rung, days, limit=5).num_rows == 5
            with pytest.raises(TooManyRowsError):
                ask(store, rung, days, limit=4)
            assert ask(store, rung, days, limit=1, user_id="nobody").num_rows == 0

    # --- people ------------------------------------------------------------------------------------------------------

    def test_a_reading_a_summary_and_a_person_put_make_a_person_known(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.put_summaries([DailySummary("bob", date(2024, 1, 15), 55.0, "vendor")])
        cid = User("cid", "Cid Ærø", "other", date(1980, 2, 29), "Asia/Kathmandu")
        harness.store.put_user(cid)
        for store in states(harness):
            assert store.user("ann") == User("ann")
            assert store.user("bob") == User("bob")
            assert store.user("cid") == cid
            assert [store.knows(user_id) for user_id in ("ann", "bob", "cid", "dan")] == [True, True, True, False]
            assert store.unknown_users(["ann", "bob", "dan", "eve"]) == {"dan", "eve"}
            assert store.overview("ann") == UserOverview(User("ann"), 1, TEN, TEN)
            assert store.overview("cid") == UserOverview(cid, 0, None, None)

    def test_people_put_together_are_put_each(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        people = [User("bob", "Bob"), User("ann", "Ann", "female", date(1990, 1, 1), "Europe/Berlin")]
        harness.store.put_users(people)
        harness.store.put_users([])
        harness.store.put_users([User("bob", "Robert"), User("bob", "Bob", "male")])
        for store in states(harness):
            assert [store.user(user_id) for user_id in ("ann", "bob")] == [people[1], User("bob", "Bob", "male")]
            assert store.overview("ann") == UserOverview(people[1], 1, TEN, TEN)

    def test_a_person_put_again_is_replaced_and_keeps_the_readings(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.put_user(User("ann", "Ann", "female", date(1990, 1, 1), "Europe/Berlin"))
        harness.store.put_user(User("ann", "Anna"))
        write(harness.store, Reading(TEN + 1, 7100))
        for store in states(harness):
            assert store.user("ann") == User("ann", "Anna")
            assert store.overview("ann") == UserOverview(User("ann", "Anna"), 2, TEN, TEN + 1)

    def test_people_put_together_are_kept_together(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        people = [User("ann", "Ann", "female", date(1990, 1, 1), "UTC"), User("bob"), User("cid", "Cid"), User("cid")]
        harness.store.put_users(people)
        harness.store.put_users([])
        for store in states(harness):
            assert [each.user for each in store.users("", 10, None)] == [people[0], people[1], people[3]]
            assert store.overview("ann") == UserOverview(people[0], 1, TEN, TEN)

    @settled_or_not
    def test_devices_are_those_with_readings_or_priorities(self, harness: Harness, settled: bool) -> None:
        write(
            harness.store,
            Reading(TEN, 7000, "strap"),
            Reading(TEN + 5, 7000, "strap"),
            Reading(TEN + 5 * HOUR_US, 7000, "Zed", 0),
            Reading(TEN, 7000, "gone"),
            Reading(TEN, 7000, "hers", user_id="bob"),
        )
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 5, 7100, "strap"), Reading(TEN + 9, 7000, "strap"), Reading(TEN, 7000))
        harness.store.delete("ann", TimeRange(TEN, TEN + 1), "gone")
        harness.store.put_priority(DevicePriority("ann", "ranked", 4))
        harness.store.put_priority(DevicePriority("ann", "Zed", 4))
        for store in states(harness):
            assert store.devices("ann") == [
                DeviceOverview("Zed", 1, TEN + 5 * HOUR_US, TEN + 5 * HOUR_US),
                DeviceOverview("device_a", 1, TEN, TEN),
                DeviceOverview("ranked", 0, None, None),
                DeviceOverview("strap", 3, TEN, TEN + 9),
            ]
            assert store.devices("bob") == [DeviceOverview("hers", 1, TEN, TEN)]
            assert store.devices("nobody") == []

    def test_a_page_of_people_counts_each_ones_readings(self, harness: Harness) -> None:
        """Some merged, some not, some of both: one answer."""
        for n, user_id in enumerate(("ann", "bob", "cid", "dan")):
            write(harness.store, *(Reading(TEN + at_us, 7000, user_id=user_id) for at_us in range(n)))
        harness.settle()
        for user_id in ("bob", "dan", "eve"):
            write(harness.store, Reading(TEN, 7100, user_id=user_id), Reading(TEN + DAY_US, 7000, user_id=user_id))
        harness.store.delete("dan", TimeRange(TEN + 1, TEN + 2))
        harness.store.put_user(User("fay"))
        expected = [
            ("bob", 2, TEN, TEN + DAY_US),
            ("cid", 2, TEN, TEN + 1),
            ("dan", 3, TEN, TEN + DAY_US),
            ("eve", 2, TEN, TEN + DAY_US),
            ("fay", 0, None, None),
        ]
        for store in states(harness):
            listed = store.users("", 9, None)
            assert [(each.user.user_id, each.readings, each.first_us, each.last_us) for each in listed] == expected
            assert [store.overview(user_id) for user_id, *_ in expected] == listed

    @settled_or_not
    def test_a_removed_person_is_gone_with_all_there_was_of_them(self, harness: Harness, settled: bool) -> None:
        for user_id in ("ann", "bob"):
            harness.store.put_user(User(user_id, "Somebody", "other", date(1980, 2, 29), "UTC"))
            harness.store.put_summaries([DailySummary(user_id, date(2024, 1, 15), 55.0, "vendor")])
            harness.store.put_priority(DevicePriority(user_id, "device_b", 0))
            write(harness.store, Reading(TEN, 7000, user_id=user_id), Reading(TEN, 9000, "device_b", user_id=user_id))
        ask(harness.store, QUARTER, THAT_DAY)
        if settled:
            harness.settle()
        # Of these one is written again, one never counts, one is deleted.
        write(harness.store, Reading(TEN, 7100), Reading(TEN + 1, 7000, "strap", 0), Reading(TEN + 2, 7000))
        harness.store.delete("ann", TimeRange(TEN + 2, TEN + 3))
        before = [harness.store.overview("bob"), harness.store.devices("bob"), harness.store.priorities("bob")]
        assert harness.store.remove_user("ann") == 3
        assert harness.store.remove_user("ann") == 0
        for store in states(harness):
            assert store.user("ann") is None
            assert store.overview("ann") is None
            assert store.devices("ann") == []
            assert store.priorities("ann") == []
            assert store.summaries("ann", date.min, date.max) == []
            assert store.last_time_us("ann", "device_a") is None
            for rung in Resolution:
                assert ask(store, rung, THAT_DAY, include_all=True).num_rows == 0
                assert ask(store, rung, THAT_DAY).num_rows == 0
            assert {row[0] for row in harness.back_door()} == {"bob"}
            assert [each.user.user_id for each in store.users("", 10, None)] == ["bob"]
            assert store.users("", 10, "") == store.users("", 10, None)
            assert store.stored().num_rows == 2
            assert [store.overview("bob"), store.devices("bob"), store.priorities("bob")] == before
            assert len(store.summaries("bob", date.min, date.max)) == 1
            assert raw(store, user_id="bob") == [(0, 9000, "device_b")]
            report = store.check()
            assert (report.problems, report.readings) == ((), 2)

    @settled_or_not
    def test_after_a_removal_the_same_id_is_somebody_new(self, harness: Harness, settled: bool) -> None:
        harness.store.put_user(User("ann", "Ann"))
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        if settled:
            harness.settle()
        for round_no in range(3):
            assert harness.store.remove_user("ann") == 2
            write(harness.store, Reading(TEN + 1, 7001 + round_no), Reading(TEN + 1, 9001, "device_b"))
            if settled:
                harness.settle()
        for store in states(harness):
            assert store.user("ann") == User("ann")
            assert store.overview("ann") == UserOverview(User("ann"), 2, TEN + 1, TEN + 1)
            assert store.priorities("ann") == []
            assert raw(store) == [(1, 7003, "device_a")]
            assert day_figures(store) == (1, 7003, 7003, 7003, 1)
            assert len(harness.back_door()) == 2

    def test_a_person_without_readings_can_be_removed_and_put_again(self, harness: Harness) -> None:
        harness.store.put_user(User("ann", "Ann"))
        assert harness.store.remove_user("ann") == 0
        assert harness.store.user("ann") is None
        harness.store.put_user(User("ann", "Anna"))
        for store in states(harness):
            assert [each.user for each in store.users("a", 10, None)] == [User("ann", "Anna")]

    def test_removing_nobody_removes_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        assert harness.store.remove_user("nobody") == 0
        for store in states(harness):
            assert store.user("nobody") is None
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    @settled_or_not
    def test_a_scrub_changes_no_answer(self, harness: Harness, settled: bool) -> None:
        days = span("2024-01-15", "2024-01-19")
        write(
            harness.store, *scattered(31, 100, days), *(row._replace(user_id="bob") for row in scattered(32, 50, days))
        )
        ask(harness.store, QUARTER, days)
        if settled:
            harness.settle()
        write(harness.store, *scattered(33, 20, days))
        harness.store.remove_user("bob")
        before, figure = harness.store.stored(), [rows_of(ask(harness.store, rung, days)) for rung in Resolution]
        harness.store.scrub()
        write(harness.store, Reading(TEN + 100 * DAY_US, 7000, user_id="cid"))
        harness.store.scrub()
        harness.store.remove_user("cid")
        for store in states(harness):
            assert store.stored() == before
            assert [rows_of(ask(store, rung, days)) for rung in Resolution] == figure
            assert store.check().problems == ()

    def test_origins_that_name_somebody_lose_their_names_with_them(self, harness: Harness) -> None:
        names = ["cloud/ann", "ann.csv", "Ann Smith's export.zip", "joanna.csv", "cloud/bob"]
        numbers = [harness.store.register_origin("import", name) for name in names]
        harness.store.put_user(User("ann", "ANN Smith"))
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 7000, user_id="bob"))
        harness.store.remove_user("ann")
        for store in states(harness):
            kept = {origin.number: origin.name for origin in store.origins()}
            assert [kept[number] for number in numbers] == [*(f"erased {n}" for n in numbers[:3]), *names[3:]]
            assert store.register_origin("import", "cloud/bob") == numbers[4]
        assert harness.store.register_origin("import", "cloud/ann") not in numbers

    @settled_or_not
    def test_readings_expire_and_what_they_came_to_stays(self, harness: Harness, settled: bool) -> None:
        store, days, horizon_us = harness.store, span("2024-01-10", "2024-01-20"), at("2024-01-15")
        for user_id in ("ann", "bob"):
            write(store, *(row._replace(user_id=user_id) for row in scattered(41, 400, days)))
        store.put_priority(DevicePriority("ann", "strap", 0))
        whole = TimeRange(at("2024-01-11T03:00:00"), at("2024-01-18T07:00:00"))
        asked: list[Callable[[Store], object]] = [
            *(partial(_bucket_rows, rung=rung, asked=days) for rung in (QUARTER, HOUR, DAY)),
            partial(_bucket_rows, rung=DAY, asked=days, zone="Asia/Kathmandu"),
            partial(_bucket_rows, rung=DAY, asked=days, zone="Europe/Berlin"),
            partial(_bucket_rows, rung=HOUR, asked=days, device_id="device_b"),
            lambda each: totals(each, whole),
            lambda each: each.overview("ann"),
            lambda each: each.devices("ann"),
            lambda each: each.last_time_us("ann", "device_a"),
        ]
        origin = store.register_origin("import", "expiring")
        store.write([batch_of([row._replace(user_id="cyd") for row in scattered(43, 60, days)], origin)])
        before = [question(store) for question in asked]
        if settled:
            harness.settle()
        old = [row for row in rows_of(store.stored()) if row[2] < horizon_us]
        assert store.expire(horizon_us, dry_run=True) == Expiry(horizon_us, len(old))
        assert store.horizon_us() == 0
        assert [question(store) for question in asked] == before
        assert store.expire(horizon_us) == Expiry(horizon_us, len(old))
        assert store.expire(horizon_us - DAY_US) == Expiry(horizon_us, 0)
        for each in states(harness):
            assert each.horizon_us() == horizon_us
            assert [question(each) for question in asked] == before
            assert {row[2] >= horizon_us for row in rows_of(each.stored())} == {True}
            live = sum(row[0] == "cyd" for row in rows_of(each.stored()))
            assert each.origin_readings([origin]) == {origin: live}
            assert {row[2] >= horizon_us for row in harness.back_door()} == {True}
            assert each.check().problems == ()

    def test_nothing_reaches_behind_the_horizon_but_a_removal(self, harness: Harness) -> None:
        store, days, horizon_us = harness.store, span("2024-01-10", "2024-01-20"), at("2024-01-15")
        write(store, *scattered(42, 300, days))
        ask(store, QUARTER, days)
        store.expire(horizon_us)
        old = TimeRange(days.start_us, horizon_us)
        before = [rows_of(ask(store, rung, old)) for rung in (QUARTER, HOUR, DAY)]
        assert all(before)
        write(store, Reading(TEN - DAY_US, 9000), Reading(horizon_us - 1, 9000, user_id="eve"))
        late = [Reading(TEN - DAY_US + n, 9000, "late") for n in range(4)]
        write(
            store, *late, Reading(horizon_us + HOUR_US + 1, 9000, "late", user_id="bob")
        )  # more than some stores stage
        assert [device.device_id for device in store.devices("bob")] == ["late"]
        assert "late" not in {device.device_id for device in store.devices("ann")}
        store.put_priority(DevicePriority("ann", "strap", 0))
        store.put_priority(DevicePriority("ann", "device_a", 5000))
        reached = [row for row in rows_of(store.stored()) if row[2] == horizon_us]
        assert store.delete("ann", TimeRange(days.start_us, horizon_us + 1)) == len(reached)
        for each in states(harness):
            assert [rows_of(ask(each, rung, old)) for rung in (QUARTER, HOUR, DAY)] == before
            for rung in (RAW, SECOND, MINUTE):
                assert ask(each, rung, old).num_rows == 0
            assert ask(each, HOUR, old, include_all=True).num_rows == 0
            cut = TimeRange(days.start_us + 1, horizon_us - 1)
            hours = {row[0]: row for row in before[1]}
            inside = [
                hours[at_us] for at_us in sorted(hours) if cut.start_us <= at_us and at_us + HOUR_US <= cut.end_us
            ]
            assert rows_of(ask_hours(each, cut)) == inside
            assert each.user("eve") is None
            assert each.check().problems == ()
        assert harness.store.remove_user("bob") == 1
        live = harness.store.stored().num_rows
        assert harness.store.remove_user("ann") == live
        for each in states(harness):
            assert [ask(each, rung, days).num_rows for rung in Resolution] == [0] * len(Resolution)
            assert each.check().problems == ()
        write(harness.store, Reading(TEN, 7000))
        assert day_figures(harness.store) == (1, 7000, 7000, 7000, 1)

    def test_a_commit_during_a_removal_is_before_or_after_it(self, harness: Harness) -> None:
        """Never half before: what the removals counted and what is left are whole commits, and all of them."""
        store = harness.store
        written, size = 60, 40
        begun = threading.Event()

        def write_all() -> None:
            for n in range(written):
                write(store, *(Reading(TEN + n * SECOND_US + part, 7000) for part in range(size)))
                begun.set()

        removed = []
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write_all)
            begun.wait(60)
            while not writing.done():
                removed.append(store.remove_user("ann"))
            writing.result()
        left = store.overview("ann")
        kept = left.readings if left else 0
        assert [count % size for count in (*removed, kept)] == [0] * (len(removed) + 1)
        assert sum(removed) + kept == written * size
        for again in states(harness):
            assert len(harness.back_door()) == again.stored().num_rows == kept

    @settled_or_not
    def test_an_overview_counts_every_stored_reading(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"), Reading(TEN - 1, 5000, "watch", 0))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 7100), Reading(TEN + 5, 7200))
        harness.store.delete("ann", TimeRange(TEN, TEN + 1), "device_b")
        for store in states(harness):
            expected = UserOverview(User("ann"), 3, TEN - 1, TEN + 5)
            assert store.overview("ann") == expected
            assert store.users("", 10, None) == [expected]

    @settled_or_not
    def test_a_person_without_readings_left_stays_known(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000))
        if settled:
            harness.settle()
        harness.store.delete("ann", ALWAYS)
        for store in states(harness):
            assert store.overview("ann") == UserOverview(User("ann"), 0, None, None)
            assert [each.user.user_id for each in store.users("", 10, None)] == ["ann"]
            assert ask(store, HOUR, THAT_DAY).num_rows == 0

    def test_people_are_listed_by_bytes_page_by_page(self, harness: Harness) -> None:
        ordered = ["10", "9", "Ann", "Zoe", "_x", "a-10", "a-9", "a.b", "aB", "ab", "b"]
        write(harness.store, *(Reading(TEN, 7000, user_id=user_id) for user_id in reversed(ordered[::2])))
        for user_id in ordered[1::2]:
            harness.store.put_user(User(user_id))
        for store in states(harness):
            listed: list[str] = []
            while page := store.users("", 4, listed[-1] if listed else None):
                assert len(page) <= 4
                listed += [each.user.user_id for each in page]
            assert listed == ordered

    def test_a_page_starts_after_an_id_that_need_not_exist(self, store: Store) -> None:
        for user_id in ("a", "c"):
            store.put_user(User(user_id))
        assert [each.user.user_id for each in store.users("", 10, "b")] == ["c"]
        assert store.users("", 10, "c") == []

    def test_people_are_found_by_part_of_id_or_name_whatever_the_case(self, harness: Harness) -> None:
        for user_id, name in (("u1", "Änne Müller"), ("MULE", None), ("u_2", "50% off"), ("ux2", "Bob")):
            harness.store.put_user(User(user_id, name))
        for store in states(harness):
            for text, expected in (
                ("MÜLL", ["u1"]),
                ("änne m", ["u1"]),
                ("mul", ["MULE"]),
                ("u", ["MULE", "u1", "u_2", "ux2"]),
                ("U_2", ["u_2"]),
                ("0%", ["u_2"]),
                ("%", ["u_2"]),
                ("\\", []),
                ("'", []),
                ("x", ["ux2"]),
            ):
                assert [each.user.user_id for each in store.users(text, 10, None)] == expected, text
            assert [each.user.user_id for each in store.users("u", 2, "MULE")] == ["u1", "u_2"]

    def test_names_are_found_whatever_the_case_in_every_script(self, harness: Harness) -> None:
        people = (("s1", "Johann Strauß"), ("i1", "İpek"), ("e1", "Ame\u0301lie"), ("g1", "Σίσυφος"))
        for user_id, name in people:
            harness.store.put_user(User(user_id, name))
        harness.store.put_users([User("f1", "ﬁona"), User("s1", "Johann Strauß")])
        for store in states(harness):
            for text, expected in (
                *(("STRAUSS", "s1"), ("strauß", "s1"), ("İPEK", "i1"), ("İpek", "i1"), ("AM\u00c9L", "e1")),
                *(("ΣΊΣΥΦΟΣ", "g1"), ("σίσυφος", "g1"), ("FIONA", "f1")),
            ):
                assert [each.user.user_id for each in store.users(text, 10, None)] == [expected], text
        assert harness.store.users("", 1, "f1")[0].user.name == "Σίσυφος"  # as it was written

    @settled_or_not
    def test_the_last_time_is_the_devices_last_stored_reading(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + 9, 7000, "device_b"), Reading(TEN + 5, 7000, "watch", 0))
        write(harness.store, Reading(TEN + 7, 7000), Reading(TEN + 99, 7000, user_id="bob"))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 3, 7000))
        for store in states(harness):
            assert store.last_time_us("ann", "device_a") == TEN + 7
            assert store.last_time_us("ann", "watch") == TEN + 5
            assert store.last_time_us("bob", "device_b") is None
        harness.store.delete("ann", TimeRange(TEN + 4, TEN + 9))
        for store in states(harness):
            assert store.last_time_us("ann", "device_a") == TEN + 3
            assert store.last_time_us("ann", "watch") is None
            assert store.last_time_us("ann", "device_b") == TEN + 9

    # --- summaries ---------------------------------------------------------------------------------------------------

    def test_summaries_come_back_whole_by_day_then_method(self, harness: Harness) -> None:
        zones = (HeartRateZone("Fat Burn", 90, 120, 30, 123.456), HeartRateZone("Peak", 150, 220))
        days = [
            DailySummary("ann", date(2024, 1, 14), None, None, zones=zones),
            DailySummary("ann", date(2024, 1, 15), 61.5, None),
            DailySummary("ann", date(2024, 1, 15), 60.1, "Vendor", custom_zones=zones[:1]),
            DailySummary("ann", date(2024, 1, 15), 0.1 + 0.2, "sleep", zones, zones),
            DailySummary("ann", date(2024, 1, 16), 59.0, "sleep"),
        ]
        harness.store.put_summaries(days[::-1])
        harness.store.put_summaries([])
        for store in states(harness):
            assert store.summaries("ann", date(2024, 1, 14), date(2024, 1, 16)) == days
            assert store.summaries("ann", date(2024, 1, 15), date(2024, 1, 15)) == days[1:4]
            assert store.summaries("bob", date.min, date.max) == []

    def test_a_summary_put_again_is_replaced(self, harness: Harness) -> None:
        day = date(2024, 1, 15)
        zones = (HeartRateZone("Peak", 150, 220, 3),)
        for method in ("sleep", None):
            harness.store.put_summaries([DailySummary("ann", day, 61.0, method, zones)])
            harness.reopen()
            harness.store.put_summaries(
                [DailySummary("ann", day, 62.0, method, zones), DailySummary("ann", day, 63.0, method)]
            )
        for store in states(harness):
            assert store.summaries("ann", day, day) == [
                DailySummary("ann", day, 63.0, None),
                DailySummary("ann", day, 63.0, "sleep"),
            ]

    # --- origins, the export, the rest -------------------------------------------------------------------------------

    def test_an_origin_has_one_number_for_good(self, harness: Harness) -> None:
        names = [("push", "watch"), ("push", "strap"), ("import", "watch"), ("pus", "hwatch")]
        numbers = [harness.store.register_origin(*name) for name in names]
        assert len(set(numbers)) == len(names)
        for store in states(harness):
            assert [store.register_origin(*name) for name in reversed(names)] == numbers[::-1]
        assert harness.store.register_origin("sync", "later") not in numbers

    def test_the_export_is_by_person_device_and_time(self, harness: Harness) -> None:
        ids = ["10", "9", "Ann", "_x", "a-9", "aB", "ab"]
        origin = harness.store.register_origin("test", "export")
        expected = [(user, device, TEN + n, 7000, None, origin) for user in ids for device in ids for n in (0, 1)]
        readings = [Reading(time_us, value, device, None, user) for user, device, time_us, value, *_ in expected]
        random.Random(4).shuffle(readings)
        harness.store.write([batch_of(readings[:50], origin)])
        harness.settle()
        harness.store.write([batch_of(readings[50:], origin)])
        for store in states(harness):
            assert rows_of(store.stored()) == expected
            assert sorted(harness.back_door()) == expected

    @settled_or_not
    def test_an_origin_goes_with_what_is_stored_of_it_and_nothing_else(self, harness: Harness, settled: bool) -> None:
        store = harness.store
        watch, file = store.register_origin("push", "watch"), store.register_origin("import", "file")
        mine = [Reading(TEN + n * MINUTE_US, 9000 + n, "device_a", n % 4) for n in range(200)]
        store.write([batch_of([Reading(TEN, 7000), Reading(TEN + 1, 7000)], watch), batch_of(mine, file)])
        if settled:
            harness.settle()
        # Came again from elsewhere, on the device of the import: it is the watch's now.
        store.write([batch_of([Reading(TEN + MINUTE_US, 7100)], watch)])
        gone = [store.delete_origin(file, 150), store.delete_origin(file, 150), store.delete_origin(file, 150)]
        assert gone == [150, 49, 0]
        for each in states(harness):
            # What the import had replaced at ten sharp does not come back.
            assert raw(each) == [(1, 7000, "device_a"), (MINUTE_US, 7100, "device_a")]
            assert day_figures(each) == (2, 14100, 7000, 7100, 2)
            assert each.delete_origin(file, 150) == 0
            assert each.check().problems == ()

    @settled_or_not
    def test_an_origin_may_bring_its_readings_again(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 7000, user_id="bob"))
        origin = harness.store.register_origin("test", "laws")
        assert harness.store.delete_origin(origin, 10) == 2
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 7200))
        for store in states(harness):
            assert raw(store) == [(0, 7200, "device_a")]
            assert store.user("bob") == User("bob")
            assert [each.number for each in store.origins()] == [origin]
            assert store.origin_readings([origin]) == {origin: 1}

    def test_origins_say_what_is_stored_of_them_now(self, harness: Harness) -> None:
        store = harness.store
        watch, file = store.register_origin("push", "watch"), store.register_origin("import", "file")
        store.write([batch_of([Reading(TEN + n, 7000) for n in range(5)], watch)])
        harness.settle()
        store.write([batch_of([Reading(TEN + n, 7000) for n in range(3, 10)], file)])
        store.delete("ann", TimeRange(TEN + 9, TEN + 10))
        for each in states(harness):
            found = [(origin.number, origin.kind, origin.name) for origin in each.origins()]
            assert found == [(watch, "push", "watch"), (file, "import", "file")]
            assert each.origin_readings([watch, file]) == {watch: 5, file: 4}
            assert each.origin_readings([file]) == {file: 4}
            assert each.origin_readings([]) == {}
            assert each.origin_readings([file + 1]) == {file + 1: 0}
            assert all(origin.received_us > THAT_DAY.end_us for origin in each.origins())

    @settled_or_not
    def test_undoing_a_second_import_of_the_same_file_leaves_the_first(self, harness: Harness, settled: bool) -> None:
        store = harness.store
        first, second = store.register_origin("import", "file"), store.register_origin("import", "file, again")
        rows = [Reading(TEN + n * MINUTE_US, 7000 + n, confidence=(None, 0, 3)[n % 3]) for n in range(30)]
        for origin in (first, second):
            store.write([batch_of(rows, origin)])
            if settled:
                harness.settle()
        for each in states(harness):
            assert each.origin_readings([first, second]) == {first: 30, second: 0}
            assert {row[-1] for row in harness.back_door()} == {first}
            assert each.delete_origin(second, 1000) == 0
            assert each.stored().num_rows == 30
        assert harness.store.delete_origin(first, 1000) == 30
        assert harness.store.stored().num_rows == 0

    @settled_or_not
    @pytest.mark.parametrize(
        ("writes", "owner"),
        [
            ("i70 j70", "i"),  # an import finds what another one stored
            ("i70 s70", "i"),  # so does a sync
            ("s70 i70", "s"),
            ("p70 i70", "p"),  # and what a device sent
            ("i70 p70", "p"),  # a device sends what an import stored: it was acknowledged
            ("i70 p70 j70", "p"),
            ("p70 q70", "q"),
            ("i70 j71", "j"),  # another value
            ("i70 j71 i70", "i"),
            ("i70 j71 k70", "k"),  # the value of before is another one than that which was stored then
            ("p70 i71 j70", "j"),
            ("p70 i71 p70", "p"),
            ("i70 j70/2", "j"),  # another confidence
            ("i70/0 j70", "j"),
            ("i70/2 j70/2", "i"),
            ("i70 x j70", "j"),  # deleted in between
            ("i70 j70 x j70 i70", "j"),
            ("p70 x i70", "i"),
            ("i70 j70 k71 j71 i71", "k"),
            ("i70 !j70", "j"),  # afresh
            ("p70 !i70 j70", "i"),
            ("i70 !j70 k71 !i71", "i"),
        ],
    )
    def test_a_reading_belongs_to_what_brought_it(
        self, harness: Harness, settled: bool, writes: str, owner: str
    ) -> None:
        kinds = {"i": "import", "j": "import", "k": "import", "s": "sync", "p": "push", "q": "push"}
        numbers = {name: harness.store.register_origin(kind, name) for name, kind in kinds.items()}
        for said in writes.split():
            if said == "x":
                harness.store.delete("ann", THAT_DAY)
            else:
                of = said.removeprefix("!")
                value, _, confidence = of[1:].partition("/")
                reading = Reading(TEN, int(value) * 100, confidence=int(confidence) if confidence else None)
                write = harness.store.write if of == said else harness.store.write_afresh
                write([batch_of([reading], numbers[of[0]])])
            if settled:
                harness.settle()
        for store in states(harness):
            assert [row[-1] for row in harness.back_door()] == [numbers[owner]]
            assert [row[-1] for row in rows_of(store.stored())] == [numbers[owner]]
            counts = store.origin_readings(list(numbers.values()))
            assert [number for number, count in counts.items() if count] == [numbers[owner]]
        for name in [name for name in numbers if name != owner] + [owner]:
            assert harness.store.delete_origin(numbers[name], 10) == (name == owner)

    @pytest.mark.parametrize(
        ("writes", "owner"),
        [("i70 j70", "i"), ("i71 j70", "j"), ("i70 j71 k70", "k"), ("p70 i70", "p"), ("i71 p70 j70", "p")],
    )
    @pytest.mark.parametrize("base", [None, "i70", "j70", "p70", "k71"])
    def test_rows_of_one_commit_follow_each_other(
        self, harness: Harness, base: str | None, writes: str, owner: str
    ) -> None:
        """As if each had been a commit of its own."""
        numbers = {name: harness.store.register_origin("push" if name == "p" else "import", name) for name in "ijkp"}
        batches = {
            said: batch_of([Reading(TEN, int(said[1:]) * 100)], numbers[said[0]])
            for said in [*writes.split(), *([base] if base else [])]
        }
        if base is not None:
            harness.store.write([batches[base]])
            unchanged = len({said[1:] for said in [base, *writes.split()]}) == 1
            owner = base[0] if unchanged and owner != "p" else owner
        harness.store.write([batches[said] for said in writes.split()])
        for store in states(harness):
            assert [row[-1] for row in harness.back_door()] == [numbers[owner]]
            assert [row[-1] for row in rows_of(store.stored())] == [numbers[owner]]
            counts = store.origin_readings(list(numbers.values()))
            assert [number for number, count in counts.items() if count] == [numbers[owner]]

    @settled_or_not
    def test_what_stands_of_readings_is_told_row_by_row(self, harness: Harness, settled: bool) -> None:
        store = harness.store
        watch, file = store.register_origin("push", "watch"), store.register_origin("import", "file")
        store.write([batch_of([Reading(TEN, 7000, confidence=2), Reading(TEN + 1, 7001, "strap")], watch)])
        if settled:
            harness.settle()
        store.write([batch_of([Reading(TEN, 7000, confidence=2), Reading(TEN + 1, 9001, "strap")], file)])
        store.write([batch_of([Reading(TEN + HOUR_US, 8000), Reading(TEN + 2 * HOUR_US, 8000, user_id="bob")], file)])
        store.delete("ann", TimeRange(TEN + HOUR_US, TEN + HOUR_US + 1))
        asked = [
            Reading(TEN + 2 * HOUR_US, 0, user_id="bob"),
            Reading(TEN + 2 * HOUR_US, 0),
            Reading(TEN, 0),
            Reading(TEN, 0, "strap"),
            Reading(TEN + 1, 0, "strap"),
            Reading(TEN, 0, "Strap"),
            Reading(TEN + 1, 0),
            Reading(TEN + HOUR_US, 0),
            Reading(TEN, 0, user_id="nobody"),
            Reading(TEN, 0),
            Reading(0, 0),
        ]
        for each in states(harness):
            found = each.stored_values(batch_of(asked, file))
            assert found.there.tolist() == [row in (0, 2, 4, 9) for row in range(len(asked))]
            columns = (found.values, found.confidences, found.origins)
            rows = [[int(column[row]) for column in columns] for row in (0, 2, 4, 9)]
            assert rows == [[8000, -1, file], [7000, 2, watch], [9001, -1, file], [7000, 2, watch]]
            assert len(each.stored_values(batch_of([], file)).there) == 0
            assert not each.stored_values(batch_of([Reading(TEN, 0, user_id="nobody")], file)).there.any()

    def test_an_export_is_every_reading_by_day(self, harness: Harness) -> None:
        days = span("2024-01-15", "2024-01-19")
        readings = [reading._replace(user_id=user) for user in ("ann", "bob") for reading in scattered(11, 400, days)]
        write(harness.store, *readings[:300])
        harness.settle()
        write(harness.store, *readings[300:])
        harness.store.delete("bob", span("2024-01-16T05:00:00", "2024-01-16T09:00:00"))
        for store in states(harness):
            expected = [row[:-1] for row in rows_of(store.stored())]
            batches = list(store.export(ALWAYS))
            assert sorted(exported(batches)) == sorted(expected)
            assert_in_order_of_export(batches)
            part = span("2024-01-16T12:00:00", "2024-01-18T00:00:00")
            asked = list(store.export(part, ["bob", "nobody", "bob"]))
            assert sorted(exported(asked)) == sorted(
                row for row in expected if row[0] == "bob" and part.start_us <= row[2] < part.end_us
            )
            assert list(store.export(ALWAYS, [])) == list(store.export(ALWAYS, ["nobody"])) == []

    def test_an_export_is_of_one_state(self, harness: Harness) -> None:
        days = span("2024-01-15", "2024-01-19")
        write(harness.store, *scattered(12, 100, days))
        before = [row[:-1] for row in rows_of(harness.store.stored())]
        batches = harness.store.export(ALWAYS)
        found = [next(batches)]
        write(harness.store, *scattered(13, 100, days))
        harness.store.delete("ann", span("2024-01-17", "2024-01-18"))
        assert sorted(exported([*found, *batches])) == sorted(before)

    def test_who_is_removed_is_in_no_export_and_no_origin(self, harness: Harness) -> None:
        store = harness.store
        origin = store.register_origin("import", "file")
        days = span("2024-01-15", "2024-01-25")
        of_ann, of_bob = ([row._replace(user_id=name) for row in scattered(15, 100, days)] for name in ("ann", "bob"))
        store.write([batch_of([*of_ann, *of_bob], origin)])
        batches = store.export(ALWAYS)
        assert {user for user, *_ in exported([next(batches), next(batches)])} == {"ann", "bob"}
        store.remove_user("ann")
        assert {user for user, *_ in exported(batches)} == {"bob"}
        for each in states(harness):
            assert sorted(exported(each.export(ALWAYS))) == sorted(row[:-1] for row in rows_of(each.stored()))
            assert list(each.export(ALWAYS, ["ann"])) == []
            assert each.origin_readings([origin]) == {origin: each.stored().num_rows}
        left = harness.store.stored().num_rows
        assert left > 0
        assert harness.store.delete_origin(origin, 1000) == left

    def test_an_export_that_is_left_half_way_holds_nothing_up(self, harness: Harness) -> None:
        write(harness.store, *scattered(14, 100, span("2024-01-15", "2024-01-19")))
        batches = harness.store.export(ALWAYS)
        next(batches)
        batches.close()  # type: ignore[attr-defined]
        for store in states(harness):
            assert store.check().problems == ()

    @settled_or_not
    def test_one_persons_readings_are_exported_piece_by_piece(self, harness: Harness, settled: bool) -> None:
        origin = harness.store.register_origin("test", "export")
        write(harness.store, Reading(TEN, 7000, user_id="bob"), Reading(TEN, 7000), Reading(TEN + 9, 7100))
        if settled:
            harness.settle()
        rows = [Reading(TEN, 7200, "b", 2), Reading(TEN + 1, 7300, "B", 0), Reading(TEN, 7400)]
        harness.store.write([batch_of(rows, origin)])
        for store in states(harness):
            assert rows_of(store.readings("ann", TimeRange(TEN, TEN + 9))) == [
                ("ann", "B", TEN + 1, 7300, 0, origin),
                ("ann", "b", TEN, 7200, 2, origin),
                ("ann", "device_a", TEN, 7400, None, origin),
            ]
            for user_id, start_us in (("ann", TEN + 10), ("nobody", TEN)):
                empty = store.readings(user_id, TimeRange(start_us, MAX_US))
                assert empty.num_rows == 0
                assert empty.schema.equals(STORED_SCHEMA, check_metadata=True)

    def test_what_was_answered_never_changes(self, store: Store) -> None:
        write(store, Reading(TEN, 7000))
        store.put_priority(DevicePriority("ann", "device_a", 4))
        answers = (ask(store, RAW, THAT_DAY), ask(store, HOUR, THAT_DAY), store.stored())
        before = [answer.to_pylist() for answer in answers]
        overviews, priorities, numbers = store.users("", 10, None), store.priorities("ann"), store.statistics()
        write(store, Reading(TEN, 9000), Reading(TEN + 1, 9000))
        store.put_priority(DevicePriority("ann", "device_a", 5))
        assert [answer.to_pylist() for answer in answers] == before
        assert overviews == [UserOverview(User("ann"), 1, TEN, TEN)]
        assert priorities == [DevicePriority("ann", "device_a", 4)]
        overviews.clear()
        priorities.clear()
        numbers.clear()
        assert store.users("", 10, None) == [UserOverview(User("ann"), 2, TEN, TEN + 1)]
        assert store.priorities("ann") == [DevicePriority("ann", "device_a", 5)]
        assert store.statistics()

    def test_nothing_is_left_unmerged_once_settled(self, harness: Harness) -> None:
        write(harness.store, *scattered(7, 100, THAT_DAY))
        harness.store.delete("ann", span("2024-01-15T03:00:00", "2024-01-15T05:30:00"))
        harness.settle()
        statistics = harness.store.statistics()
        assert (statistics["unmerged_rows"], statistics["merge_lag_seconds"]) == (0, 0)
        assert statistics["readings"] == len(harness.back_door())
        assert statistics["size_bytes"] >= 0

    def test_an_open_store_answers_a_ping(self, harness: Harness) -> None:
        for store in states(harness):
            store.ping()

    def test_closing_twice_is_closing_once(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.close()
        harness.store.close()
        harness.reopen()
        assert len(harness.back_door()) == 1
        assert isinstance(harness.store.stored(), pa.Table)
