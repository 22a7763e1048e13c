"""Turn lines of Google's CSV files in a Takeout, which exist since 2024, into rows.

Heart rates and resting heart rates have the same columns: `timestamp,beats per minute` and often `data source`, the
device. Times are in UTC (`2026-09-12T04:00:10.096319Z`); a line without a value is not a reading.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pulsebase.etl.transform.civil import Ints, Mask
from pulsebase.etl.transform.devices import device_id_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.ingest.times import read_times
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import DAY_US, from_us

#: The same method as for the live source, which has the same values.
METHOD = "google"
#: The device of lines that name none.
DEVICE_ID = "takeout"
TIME, VALUE, SOURCE = "timestamp", "beats per minute", "data source"

_SHORTEST_TIME = len("2024-01-15T10:00:00Z")
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that hold a value. `numbers` are their places in the file, from 1, the header being line 1; `empty` counts
    those without a value.
    """

    times_us: Ints
    values: _Floats
    sources: Ids
    numbers: Ints
    errors: list[FieldError]
    empty: int


def header_of(line: bytes) -> list[str] | None:
    """Return the names of the columns in lower case, or None if this is not the header of such a file."""
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    names = [name.strip().lower() for name in _cells(text) or ()]
    once = all(names.count(name) == 1 for name in names)
    return names if once and TIME in names and VALUE in names else None


def heart_rates(lines: Lines, user_id: str, device_id: str | None) -> Block:
    """Return the readings. Without a given device, the source of each line names it."""
    count = len(lines.numbers)
    devices = lines.sources
    if device_id is None:
        devices = Ids(devices.codes, [device_id_of(name.strip(), DEVICE_ID) for name in devices.texts])
    else:
        devices = Ids.repeated(device_id, count)
    confidences = np.full(count, NO_CONFIDENCE, np.int8)
    users = Ids.repeated(user_id, count)
    rows = Candidates(users, devices, lines.times_us, lines.values, confidences, lines.numbers)
    return Block(rows, lines.errors, count + len(lines.errors))


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
            errors.append(FieldError("timestamp", "is of a day that no calendar has", number))
    return [DailySummary(user_id, day, bpm, METHOD) for day, bpm in found.items()], errors


def parse_lines(text: bytes, names: Sequence[str], first: int) -> Lines:
    """Parse whole lines with columns of these names. `first` is the number of the first line."""
    columns = _alike(text, names)
    if columns is None:
        return _one_by_one(text, names, first)
    times, values, sources = columns[0], pc.ascii_trim_whitespace(columns[1]), columns[2]
    stated = pc.not_equal(values, "")
    numbers = np.arange(first, first + len(values))
    empty = len(values) - (pc.sum(stated).as_py() or 0)
    if empty:
        times, values, sources = times.filter(stated), values.filter(stated), sources.filter(stated)
        numbers = numbers[stated.to_numpy(zero_copy_only=False)]
    return _checked(times, values, _ids(sources), numbers, empty)


def _alike(text: bytes, names: Sequence[str]) -> tuple[pa.Array, pa.Array, pa.Array] | None:
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
                include_columns=[name for name in (TIME, VALUE, SOURCE) if name in names],
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


def _one_by_one(text: bytes, names: Sequence[str], first: int) -> Lines:
    """Parse lines some of which have other columns."""
    places = [names.index(TIME), names.index(VALUE), names.index(SOURCE) if SOURCE in names else None]
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
    found = _checked(
        pa.array(times, pa.string()), pa.array(values, pa.string()), Ids.of(sources), _ints(numbers), empty
    )
    found.errors[:] = sorted([*found.errors, *errors], key=lambda error: error.index or 0)
    return found


def _checked(times: pa.Array, values: pa.Array, sources: Ids, numbers: Ints, empty: int) -> Lines:
    """Return the lines whose time and value can be read, and errors for the others."""
    times_us, unread = _times(times)
    bpm, good = _numbers(values)
    errors = [FieldError("heart_rate", "is not a number", int(number)) for number in numbers[~good]]
    for row, reason in unread:
        if good[row]:
            errors.append(FieldError("timestamp", reason, int(numbers[row])))
            good[row] = False
    if not errors:
        return Lines(times_us, bpm, sources, numbers, errors, empty)
    errors.sort(key=lambda error: error.index or 0)
    rows = np.flatnonzero(good)
    return Lines(times_us[rows], bpm[rows], sources.take(rows), numbers[rows], errors, empty)


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
