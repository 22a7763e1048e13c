"""Read the CSV files of other vendors: Samsung Health, Mi Fitness, Zepp, Withings and Oura."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pulsebase.etl.extract.csv_rows import CsvRow, csv_rows, header_names
from pulsebase.etl.extract.parts import Damage, FileOwner, Part, PassedOver, Stream, SummaryBlock, clock_remarks
from pulsebase.etl.transform.gathered import GatheredReadings, day_of, number_of, wall_us_of
from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US, parse_reading_time

_BLOCK_READINGS = 20_000
#: How many rows may pass before whoever waits hears of it.
_MOST_SILENT = 100_000
_MILLISECOND_US = SECOND_US // 1000
#: Kinds of records that are counted separately. The rest is counted together.
_MOST_KINDS = 100
_MI_METHOD = "mi_fitness"


class _Found:
    """What was gathered from a file: readings, days, and what was passed over."""

    def __init__(self, owner: FileOwner, fallback: str) -> None:
        self.owner = owner
        self.readings = GatheredReadings(owner.person, owner.zone_of, owner.device_id, fallback)
        self.days: dict[date, float] = {}
        self.passed_over: Counter[str] = Counter()

    def pass_over(self, what: str) -> None:
        known = what in self.passed_over or len(self.passed_over) < _MOST_KINDS
        self.passed_over[what if known else "others"] += 1


_ReadRow = Callable[[CsvRow, _Found], None]


@dataclass(frozen=True, slots=True)
class VendorCsv:
    """A kind of CSV files.

    Attributes:
        title: what the report calls it.
        device_id: the device of readings that name none.
        metric: what lines are of that cannot be read.
        is_header: which names of columns are its header.
        read_row: takes what is in a row.
        method: that of resting heart rates.
        checks_lines: whether lines that are not rows are refused; else they are taken as they are.
    """

    title: str
    device_id: str
    metric: str
    is_header: Callable[[Sequence[str]], bool]
    read_row: _ReadRow
    delimiter: str = ","
    method: str = ""
    checks_lines: bool = True

    def read(self, stream: Stream, owner: FileOwner) -> Iterator[Part]:
        """The readings of a file; positions count lines from 1."""
        found = _Found(owner, self.device_id)
        damage = Damage()
        for row in damage.before(csv_rows(stream, self.is_header, self.delimiter)):
            if row.problem is not None and self.checks_lines:
                found.readings.refuse(self.metric, row.number, "line", row.problem)
            else:
                self.read_row(row, found)
            if len(found.readings) >= _BLOCK_READINGS or row.number % _MOST_SILENT == 0:
                yield from found.readings.so_far()
        yield from found.readings.taken()
        if found.days:
            days = [DailySummary(owner.person, day, bpm, self.method) for day, bpm in found.days.items()]
            yield SummaryBlock(days, [], len(days))
        yield from clock_remarks(found.readings)
        for what, count in found.passed_over.most_common():
            yield PassedOver(what, count)
        damage.tell()


def utc_us_of(text: str) -> int | None:
    """Return a time in UTC, or with its offset, in microseconds since 1970; None if it is not one."""
    try:
        return parse_reading_time(text)
    except (ValueError, OverflowError):
        return None


# --- Samsung Health --------------------------------------------------------------------------------------------------


def samsung(metric: str, value: str) -> VendorCsv:
    """A table of single measurements of a metric, in the column `value`. Where a row stands for an interval, its
    minutes are in a JSON file of their own, which is read instead.
    """

    def read_row(row: CsvRow, found: _Found) -> None:
        cells = {name.rpartition(".")[2]: cell for name, cell in row.cells.items()}
        if cells.get("binning_data") or cells.get("binning"):
            found.pass_over("rows of intervals, whose minutes are in files of their own")
        elif not number_of(cells.get(value, "")) and cells.get(value, "") in ("", "0", "0.0"):
            found.pass_over("rows without a value")
        else:
            at_us = _samsung_us(cells["start_time"])
            found.readings.add(metric, row.number, at_us, cells[value], cells.get("deviceuuid", ""))

    def is_header(names: Sequence[str]) -> bool:
        short = [name.rpartition(".")[2] for name in names]
        return value in short and "start_time" in short

    return VendorCsv("Samsung Health", "samsung-health", metric, is_header, read_row)


def _samsung_us(text: str) -> int | None:
    """Read a time in UTC; older exports count milliseconds."""
    return int(text) * _MILLISECOND_US if text.isdecimal() and len(text) < 16 else utc_us_of(text)


SAMSUNG = {
    "com.samsung.shealth.tracker.heart_rate": samsung(HEART_RATE.name, "heart_rate"),
    "com.samsung.health.heart_rate": samsung(HEART_RATE.name, "heart_rate"),
    "com.samsung.shealth.tracker.oxygen_saturation": samsung(OXYGEN_SATURATION.name, "spo2"),
    "com.samsung.health.oxygen_saturation": samsung(OXYGEN_SATURATION.name, "spo2"),
}


def _has_columns(names: Sequence[str]) -> bool:
    """Return whether this is the header of a table, and not the line before it, which ends in a number."""
    return len(names) > 1 and not names[-1].isdecimal()


def samsung_other(table: str) -> VendorCsv:
    """A table of the export that is not read; its rows are counted by its name."""

    def read_row(_: CsvRow, found: _Found) -> None:
        found.pass_over(table)

    return VendorCsv("Samsung Health", "samsung-health", HEART_RATE.name, _has_columns, read_row, checks_lines=False)


# --- Mi Fitness ------------------------------------------------------------------------------------------------------

_MI_COLUMNS = frozenset({"Uid", "Sid", "Key", "Time", "Value"})
#: The metric of each key, and the field of its value.
_MI_KEYS = {
    "heart_rate": (HEART_RATE.name, "bpm"),
    "single_heart_rate": (HEART_RATE.name, "bpm"),
    "spo2": (OXYGEN_SATURATION.name, "spo2"),
    "single_spo2": (OXYGEN_SATURATION.name, "spo2"),
}


def _mi_row(row: CsvRow, found: _Found) -> None:
    key = row.cells["Key"]
    if key not in _MI_KEYS and key != "resting_heart_rate":
        found.pass_over(key[:64] or "rows without a key")
        return
    metric, field = _MI_KEYS.get(key, (HEART_RATE.name, "bpm"))
    value = _json_object(row.cells["Value"])
    if value is None:
        found.readings.refuse(metric, row.number, "Value", "is not a JSON object")
        return
    time_s = number_of(value.get("time") or value.get("date_time") or row.cells["Time"])
    at_us = None if time_s is None else int(time_s) * SECOND_US
    if key in _MI_KEYS:
        found.readings.add(metric, row.number, at_us, value.get(field), row.cells["Sid"])
        return
    bpm = number_of(value.get(field))
    day = None if at_us is None else day_of(at_us, found.owner.zone_of(found.owner.person))
    if day is None or bpm is None:
        found.readings.refuse(metric, row.number, "Value", "states no resting heart rate at a time")
        return
    found.days[day] = bpm


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


MI_FITNESS = VendorCsv("Mi Fitness", "mi-fitness", HEART_RATE.name, _MI_COLUMNS.issubset, _mi_row, method=_MI_METHOD)


# --- Zepp ------------------------------------------------------------------------------------------------------------


def _zepp_row(row: CsvRow, found: _Found) -> None:
    """Local times, except where they state their offset."""
    text = " ".join(filter(None, (row.cells.get("date"), row.cells["time"])))
    wall_us = wall_us_of(text)
    if wall_us is None:
        found.readings.add(HEART_RATE.name, row.number, utc_us_of(text), row.cells["heartRate"])
    else:
        found.readings.add_local(HEART_RATE.name, row.number, wall_us, row.cells["heartRate"])


def _is_zepp(names: Sequence[str]) -> bool:
    return list(names) in (["date", "time", "heartRate"], ["time", "heartRate"])


ZEPP = VendorCsv("Zepp", "zepp", HEART_RATE.name, _is_zepp, _zepp_row)


# --- Withings --------------------------------------------------------------------------------------------------------

WITHINGS_COLUMNS = ["start", "duration", "value"]


def withings(metric: str, title: str, device_id: str) -> VendorCsv:
    """A table of series: a start, and lists of durations in seconds and of values, each from the end of the one before.
    The name of the file says of what.
    """

    def read_row(row: CsvRow, found: _Found) -> None:
        at_us = utc_us_of(row.cells["start"])
        durations, values = _numbers(row.cells["duration"]), _numbers(row.cells["value"])
        if at_us is None or durations is None or values is None or len(durations) != len(values):
            reason = "is not a start with an offset and as many durations as values"
            found.readings.refuse(metric, row.number, "line", reason)
            return
        for duration_s, value in zip(durations, values, strict=True):
            found.readings.add(metric, row.number, at_us, value)
            at_us += int(duration_s * SECOND_US)

    return VendorCsv(title, device_id, metric, WITHINGS_COLUMNS.__eq__, read_row)


_LONGEST_SERIES_S = 366 * 86_400


def _numbers(text: str) -> list[float] | None:
    """Return the numbers of a JSON list, or of a single one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    numbers = [number_of(each) for each in (found if isinstance(found, list) else [found])]
    if any(number is None or not 0 <= number < _LONGEST_SERIES_S for number in numbers):
        return None
    return [number for number in numbers if number is not None]


# --- Oura ------------------------------------------------------------------------------------------------------------


def _oura_row(row: CsvRow, found: _Found) -> None:
    found.readings.add(HEART_RATE.name, row.number, utc_us_of(row.cells["timestamp"]), row.cells["bpm"])


def is_oura(names: Sequence[str]) -> bool:
    """Return whether columns of these names are those of Oura."""
    return {"timestamp", "bpm"} <= set(names) <= {"timestamp", "bpm", "source"}


def oura(delimiter: str) -> VendorCsv:
    """A table of heart rates; `source` says what the person did meanwhile."""
    return VendorCsv("Oura", "oura", HEART_RATE.name, is_oura, _oura_row, delimiter)


def first_names(line: str) -> tuple[list[str], str]:
    """Return the names of the columns of a header, and the delimiter."""
    delimiter = ";" if ";" in line else ","
    return header_names(line, delimiter), delimiter
