"""Turn lines of CSV files in a Takeout into rows. Google has written such files since 2024, Fitbit did before.

A line has a time, a value, and often a `data source`, the device. Times are in UTC (`2026-09-12T04:00:10.096319Z`), in
some of Fitbit's files local; a line without a value is not a reading. Heart rates and resting heart rates have the same
columns, `timestamp,beats per minute`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pulsebase.etl.transform.civil import Ints, LocalClocks, Mask
from pulsebase.etl.transform.devices import device_id_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.ingest.times import read_times
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.nights import MORNING
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import DAY_US, from_us, to_us

#: The same method as for the live source, which has the same values.
METHOD = "google"
#: The device of lines that name none.
DEVICE_ID = "takeout"
NO_DAY = "is of a day that no calendar has"
TIME, VALUE, SOURCE = "timestamp", "beats per minute", "data source"

#: The end of a time that states its offset.
_OFFSET = r"(?:[Zz]|[+-]\d\d:?\d\d)\s*$"
_SHORTEST_TIME = len("2024-01-15T10:00:00Z")
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LineColumns:
    """The columns of a kind of files: the value, of a metric, and the time, which is `local` where it has no offset."""

    value: str = VALUE
    metric: str = HEART_RATE.name
    time: str = TIME
    local: bool = False


HEART_RATE_COLUMNS = LineColumns()


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that hold a value. `numbers` are their places in the file, from 1, the header being line 1; `empty` counts
    those without a value. Times are local where `local` says so, and in UTC else.
    """

    times_us: Ints
    values: _Floats
    sources: Ids
    numbers: Ints
    errors: list[FieldError]
    empty: int
    local: Mask

    def take(self, rows: npt.NDArray[np.intp]) -> Lines:
        """Return these lines alone, without errors and counts."""
        columns = self.times_us[rows], self.values[rows], self.sources.take(rows), self.numbers[rows]
        return Lines(*columns, [], 0, self.local[rows])


def header_of(line: bytes, columns: LineColumns = HEART_RATE_COLUMNS) -> list[str] | None:
    """Return the names of the columns in lower case, or None if this is not the header of such a file."""
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    names = [name.strip().lower() for name in _cells(text) or ()]
    once = all(names.count(name) == 1 for name in names)
    return names if once and columns.time in names and columns.value in names else None


def readings(lines: Lines, metric: str, user_id: str, device_id: str | None) -> Block:
    """Return the readings, whose times are in UTC. Without a given device, the source of each line names it."""
    count = len(lines.numbers)
    devices = lines.sources
    if device_id is None:
        devices = Ids(devices.codes, [device_id_of(name.strip(), DEVICE_ID) for name in devices.texts])
    else:
        devices = Ids.repeated(device_id, count)
    confidences = np.full(count, NO_CONFIDENCE, np.int8)
    users = Ids.repeated(user_id, count)
    rows = Candidates(users, devices, lines.times_us, lines.values, confidences, lines.numbers, metric, twins=True)
    return Block(rows, lines.errors, count + len(lines.errors))


def in_utc(lines: Lines, clocks: LocalClocks, user_id: str) -> Lines:
    """The same with local times as the person's clock had them."""
    rows = np.flatnonzero(lines.local)
    if not len(rows):
        return lines
    times_us = lines.times_us.copy()
    times_us[rows] = clocks.instants(times_us[rows], Ids.repeated(user_id, len(rows)))
    return replace(lines, times_us=times_us, local=np.zeros(len(times_us), np.bool_))


def at_night_ends(lines: Lines, zone: ZoneInfo) -> Lines:
    """The same for values of whole nights, which are told by the day: at the end of the night into that day.

    A midnight in UTC stands for the day as such, and so does a local time; any other is of the day that the person had.
    """
    ends_us: list[int] = []
    rows: list[int] = []
    errors = list(lines.errors)
    for row, (time_us, local) in enumerate(zip(lines.times_us.tolist(), lines.local.tolist(), strict=True)):
        try:
            moment = from_us(time_us)
            day = (moment if local or time_us % DAY_US == 0 else moment.astimezone(zone)).date()
            ends_us.append(to_us(datetime.combine(day, MORNING, zone)))
            rows.append(row)
        except OverflowError:
            errors.append(FieldError("timestamp", NO_DAY, int(lines.numbers[row])))
    left = lines.take(np.array(rows, np.intp))
    times_us, local = np.array(ends_us, np.int64), np.zeros(len(rows), np.bool_)
    return replace(left, times_us=times_us, local=local, errors=errors, empty=lines.empty)


def restings(
    lines: Lines, user_id: str, zone_of: Callable[[str], ZoneInfo]
) -> tuple[list[DailySummary], list[FieldError]]:
    """Return days with the vendor's resting heart rate (the last one of a day counts), and the errors.

    Midnight in UTC stands for the date itself; any other time belongs to the person's civil day at that time.
    """
    found: dict[date, float] = {}
    errors = list(lines.errors)
    columns = (lines.times_us.tolist(), lines.values.tolist(), lines.numbers.tolist())
    for time_us, bpm, number in zip(*columns, strict=True):
        try:
            moment = from_us(time_us)
            found[(moment.astimezone(zone_of(user_id)) if time_us % DAY_US else moment).date()] = bpm
        except OverflowError:
            errors.append(FieldError("timestamp", NO_DAY, number))
    return [DailySummary(user_id, day, bpm, METHOD) for day, bpm in found.items()], errors


def parse_lines(text: bytes, names: Sequence[str], first: int, columns: LineColumns = HEART_RATE_COLUMNS) -> Lines:
    """Parse whole lines with columns of these names. `first` is the number of the first line."""
    found = _alike(text, names, columns)
    if found is None:
        return _one_by_one(text, names, first, columns)
    times, values, sources = found[0], pc.ascii_trim_whitespace(found[1]), found[2]
    stated = pc.not_equal(values, "")
    numbers = np.arange(first, first + len(values))
    empty = len(values) - (pc.sum(stated).as_py() or 0)
    if empty:
        times, values, sources = times.filter(stated), values.filter(stated), sources.filter(stated)
        numbers = numbers[stated.to_numpy(zero_copy_only=False)]
    return _checked((times, values, _ids(sources)), numbers, empty, columns)


def _alike(
    text: bytes, names: Sequence[str], wanted: LineColumns = HEART_RATE_COLUMNS
) -> tuple[pa.Array, pa.Array, pa.Array] | None:
    """Return times, values and sources if all lines have these columns, otherwise None."""
    if b"\n\n" in text or b"\n\r\n" in text or text[:1] in (b"\r", b"\n"):  # which would be lines without a value
        return None
    count = text.count(b"\n") + (not text.endswith(b"\n"))
    types = dict.fromkeys(names, pa.string()) | {SOURCE: pa.dictionary(pa.int32(), pa.string())}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(text),
            pa_csv.ReadOptions(column_names=list(names), block_size=len(text) + 1, use_threads=False),
            pa_csv.ParseOptions(ignore_empty_lines=False),
            pa_csv.ConvertOptions(
                column_types={name: types[name] for name in names},
                include_columns=[name for name in (wanted.time, wanted.value, SOURCE) if name in names],
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != count:  # a quoted field that spans lines
        return None
    table = table.combine_chunks()
    columns = [table[name].chunk(0) for name in table.column_names]
    if SOURCE not in names:
        columns.append(pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [""]))
    return columns[0], columns[1], columns[2]


def _one_by_one(text: bytes, names: Sequence[str], first: int, wanted: LineColumns) -> Lines:
    """The same for lines among which are others."""
    places = [names.index(wanted.time), names.index(wanted.value), names.index(SOURCE) if SOURCE in names else None]
    rows: list[tuple[str, str, str]] = []
    numbers: list[int] = []
    errors: list[FieldError] = []
    empty = 0
    for number, line in enumerate(text.split(b"\n"), first):
        shown = line.decode("utf-8", "replace")
        if not shown.strip():
            continue
        cells = _cells(shown)
        if cells is None:
            errors.append(FieldError("line", "is not CSV", number))
        elif len(cells) != len(names):
            errors.append(FieldError("line", f"has {len(cells)} columns instead of {len(names)}", number))
        else:
            time, value, source = ("" if place is None else cells[place].strip() for place in places)
            if value:
                rows.append((time, value, source))
                numbers.append(number)
            else:
                empty += 1
    times, values, sources = ([row[place] for row in rows] for place in range(3))
    stated = pa.array(times, pa.string()), pa.array(values, pa.string()), Ids.of(sources)
    found = _checked(stated, _ints(numbers), empty, wanted)
    found.errors[:] = sorted([*found.errors, *errors], key=lambda error: error.index or 0)
    return found


def _checked(stated: tuple[pa.Array, pa.Array, Ids], numbers: Ints, empty: int, columns: LineColumns) -> Lines:
    """The lines whose time and value can be read, and why the others cannot."""
    times, texts, sources = stated
    times_us, unread = _times(times)
    values, good = _numbers(texts)
    local = np.zeros(len(values), np.bool_)
    if columns.local:
        local = ~pc.match_substring_regex(times, _OFFSET).to_numpy(zero_copy_only=False)
    errors = [FieldError(columns.metric, "is not a number", int(number)) for number in numbers[~good]]
    for row, reason in unread:
        if good[row]:
            errors.append(FieldError("timestamp", reason, int(numbers[row])))
            good[row] = False
    lines = Lines(times_us, values, sources, numbers, [], empty, local)
    if not errors:
        return lines
    errors.sort(key=lambda error: error.index or 0)
    return replace(lines.take(np.flatnonzero(good)), errors=errors, empty=empty)


def _times(texts: pa.Array) -> tuple[Ints, list[tuple[int, str]]]:
    """Return microseconds since 1970, and the rows without a valid time with the reason. See `read_times`."""
    if len(texts) and pc.min(pc.binary_length(texts)).as_py() >= _SHORTEST_TIME:
        try:
            read = texts.cast(pa.timestamp("us", "UTC"))
            return np.asarray(read.cast(pa.int64()).to_numpy(), np.int64), []
        except pa.ArrowInvalid:
            pass
    return read_times([text.strip() for text in texts.to_pylist()])


def _numbers(texts: pa.Array) -> tuple[_Floats, Mask]:
    try:
        return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False)), np.ones(len(texts), np.bool_)
    except pa.ArrowInvalid:
        pass
    values, good = np.zeros(len(texts)), np.zeros(len(texts), np.bool_)
    for row, text in enumerate(texts.to_pylist()):
        try:
            values[row] = pa.scalar(text).cast(pa.float64()).as_py()
            good[row] = True
        except pa.ArrowInvalid:
            continue
    return values, good


def _ids(column: pa.Array) -> Ids:
    return Ids(np.asarray(column.indices.to_numpy(), np.int32), column.dictionary.to_pylist())


def _ints(numbers: list[int]) -> Ints:
    return np.array(numbers, np.int64)


def _cells(line: str) -> list[str] | None:
    try:
        return next(csv.reader([line.rstrip("\r\n")], strict=True), [])
    except csv.Error:
        return None
