"""Moving house: everything of one store into another one, whatever their kinds.

A copy needs no memory of how far it got: a day that is the same on both sides is left alone, so one that was broken off
goes on where it was, and the end of it is a comparison of everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.model.readings import NO_CONFIDENCE, Ids, ReadingBatch
from pulsebase.model.timerange import DAY_US, TimeRange, format_us
from pulsebase.model.users import UserOverview
from pulsebase.stores.contract import Store
from pulsebase.stores.records import KINDS, everybody, records_of

#: How much of a person is held at once: everything, if it is not more than so many readings; else at one reading a
#: second and device some 600,000 rows.
_WHOLE_READINGS = 500_000
_PIECE_US = 7 * DAY_US
#: So many are written at once: server stores take them in quickest in large writes.
_WRITTEN_AT_ONCE = 200_000

#: Which origin number of one store is which of the other.
Origins = dict[int, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it got: people begun, their readings so far, and how many of those had to be written."""

    people: int
    readings: int
    written: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not the same on both sides after a copy, in words."""

    user_id: str
    what: str


def copy_everything(source: Store, target: Store, report: Callable[[Progress], None]) -> None:
    """Bring people, priorities, summaries and readings, with their origins, from one store into the other.

    What the target has already and the source has too is replaced by what the source says; what only the target has
    stays.
    """
    numbers = _register_origins(source, target)
    readings = 0
    with ThreadPoolExecutor(1, "pulsebase-copy") as executor:
        writing = _Writing(target, executor)
        for people, person in enumerate(everybody(source), 1):
            user_id = person.user.user_id
            for kind, records in KINDS.items():
                records.put(target, records_of(source, kind, person.user))
            for piece in _pieces(person):
                found = _renumbered(source.readings(user_id, piece), numbers)
                there = target.readings(user_id, piece)
                writing.add(_on_other_days(found, there), afresh=there.num_rows > 0)
                readings += found.num_rows
                report(Progress(people, readings, writing.written))
        if writing.finish():
            report(Progress(people, readings, writing.written))


class _Writing:
    """Writes many readings at once while the next ones are collected. `written` counts what is in the target.

    Where the target has readings already, they get the origins of the source with everything else: it says so afresh,
    which costs more.
    """

    def __init__(self, target: Store, executor: Executor) -> None:
        self.written = 0
        self._target, self._executor = target, executor
        self._waiting: list[tuple[pa.Table, bool]] = []
        self._under_way: Future[int] | None = None

    def add(self, rows: pa.Table, *, afresh: bool) -> None:
        self._waiting.append((rows, afresh))
        if self._count() >= _WRITTEN_AT_ONCE:
            self._begin()

    def finish(self) -> bool:
        """Whether anything was left to write."""
        left = self._under_way is not None or self._count() > 0
        if self._count():
            self._begin()
        self._end()
        return left

    def _count(self) -> int:
        return sum(rows.num_rows for rows, _ in self._waiting)

    def _begin(self) -> None:
        self._end()
        waiting, self._waiting = self._waiting, []
        self._under_way = self._executor.submit(self._write, waiting)

    def _end(self) -> None:
        if self._under_way is not None:
            self.written += self._under_way.result()
            self._under_way = None

    def _write(self, waiting: Sequence[tuple[pa.Table, bool]]) -> int:
        count = 0
        for write, wanted in ((self._target.write, False), (self._target.write_afresh, True)):
            tables = [rows for rows, afresh in waiting if afresh is wanted and rows.num_rows]
            if tables:
                rows = pa.concat_tables(tables)
                write(_batches(rows))
                count += rows.num_rows
        return count


def differences(source: Store, target: Store, report: Callable[[Progress], None]) -> Iterator[Difference]:
    """What a copy should have made equal and is not: each person's days by count and checksum, and all the rest."""
    numbers = _register_origins(source, target)
    readings = 0
    for people, person in enumerate(everybody(source), 1):
        user_id = person.user.user_id
        if target.overview(user_id) != person:
            yield Difference(user_id, "what is known of the person, or how many readings there are")
        for kind, records in KINDS.items():
            if kind != "people" and records_of(target, kind, person.user) != records_of(source, kind, person.user):
                yield Difference(user_id, records.what)
        for piece in _pieces(person):
            found = _renumbered(source.readings(user_id, piece), numbers)
            readings += found.num_rows
            for day_us in sorted(_unequal_days(found, target.readings(user_id, piece))):
                yield Difference(user_id, f"the readings of {format_us(day_us)[:10]}")
            report(Progress(people, readings, 0))


def _register_origins(source: Store, target: Store) -> Origins:
    return {each.number: target.register_origin(each.kind, each.name) for each in source.origins()}


def _pieces(person: UserOverview) -> Iterator[TimeRange]:
    """The times between a person's first and last reading, in whole days."""
    if person.first_us is None or person.last_us is None:
        return
    first_us, end_us = person.first_us // DAY_US * DAY_US, person.last_us // DAY_US * DAY_US + DAY_US
    step_us = end_us - first_us if person.readings <= _WHOLE_READINGS else _PIECE_US
    for start_us in range(first_us, end_us, step_us):
        yield TimeRange(start_us, min(start_us + step_us, end_us))


def _renumbered(stored: pa.Table, numbers: Origins) -> pa.Table:
    """The rows under the target's numbers of origins. A number without an origin keeps it."""
    place = stored.schema.get_field_index("origin")
    named, places = np.unique(stored["origin"].to_numpy(), return_inverse=True)
    known = np.array([numbers.get(number, number) for number in named.tolist()], np.int32)
    return stored.set_column(place, stored.schema.field(place), pa.array(known[places]))


def _on_other_days(found: pa.Table, there: pa.Table) -> pa.Table:
    """The rows of days that are not the same on the other side."""
    if there.num_rows == 0:
        return found
    unequal = pa.array(sorted(_unequal_days(found, there)), pa.int64())
    return found.filter(pc.is_in(pa.array(_days(found)), unequal))


def _unequal_days(found: pa.Table, there: pa.Table) -> set[int]:
    """The starts of days whose rows differ in number or content."""
    if found.equals(there):
        return set()
    one, other = _checksums(found), _checksums(there)
    return {day_us for day_us in one.keys() | other.keys() if one.get(day_us) != other.get(day_us)}


def _checksums(stored: pa.Table) -> dict[int, tuple[int, bytes]]:
    """Each day's number of rows and a checksum of what they say, by metric, device and time."""
    days = _days(stored)
    order = np.argsort(days, kind="stable")
    columns = [
        _text_checksums(stored["metric"]),
        _text_checksums(stored["device_id"]),
        stored["time_us"].to_numpy(),
        stored["value"].to_numpy(),
        stored["confidence"].fill_null(NO_CONFIDENCE).to_numpy(),
        stored["origin"].to_numpy(),
    ]
    columns = [column[order] for column in columns]
    starts, first, counts = np.unique(days[order], return_index=True, return_counts=True)
    found = {}
    for day_us, row, count in zip(starts.tolist(), first.tolist(), counts.tolist(), strict=True):
        digest = hashlib.blake2b(digest_size=16)
        for column in columns:
            digest.update(column[row : row + count].tobytes())
        found[day_us] = count, digest.digest()
    return found


def _text_checksums(texts: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A number for each row that depends on its text alone."""
    encoded = texts.combine_chunks().dictionary_encode()
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in encoded.dictionary.to_pylist()]
    numbers: npt.NDArray[np.int64] = np.frombuffer(b"".join(digests), np.int64)[encoded.indices.to_numpy()]
    return numbers


def _days(stored: pa.Table) -> npt.NDArray[np.int64]:
    starts: npt.NDArray[np.int64] = stored["time_us"].to_numpy() // DAY_US * DAY_US
    return starts


def _batches(stored: pa.Table) -> list[ReadingBatch]:
    """The rows as they are written, a batch for each metric and origin."""
    kinds = stored.group_by(["metric", "origin"]).aggregate([]).to_pylist()
    return [
        _batch(
            stored.filter(
                pc.and_(pc.equal(stored["origin"], kind["origin"]), pc.equal(stored["metric"], kind["metric"]))
            ),
            kind["origin"],
            kind["metric"],
        )
        for kind in kinds
    ]


def _batch(rows: pa.Table, origin: int, metric: str) -> ReadingBatch:
    return ReadingBatch(
        _ids(rows["user_id"]),
        _ids(rows["device_id"]),
        rows["time_us"].to_numpy(),
        rows["value"].to_numpy(),
        rows["confidence"].fill_null(NO_CONFIDENCE).to_numpy(),
        origin,
        metric,
    )


def _ids(column: pa.ChunkedArray) -> Ids:
    encoded = column.combine_chunks().dictionary_encode()
    return Ids(encoded.indices.to_numpy(), encoded.dictionary.to_pylist())
