"""Read the database of Gadgetbridge, which phones export automatically: an SQLite file with a table for each kind of
device and measurement.

Tables of a watch's minutes count seconds, those of single measurements milliseconds, both in UTC. 0, negative values
and 255 mean that nothing was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Stream, SummaryBlock
from pulsebase.etl.extract.sqlite_files import AppDatabase, database
from pulsebase.etl.transform.civil import Mask
from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.etl.transform.sql_rows import RowReader, resting_days
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE, HRV_RMSSD, OXYGEN_SATURATION, RESPIRATORY_RATE

#: The device of rows whose device is not named.
DEVICE_ID = "gadgetbridge"
#: The method that marks resting heart rates of the devices.
METHOD = "gadgetbridge"

_MOST_DEVICES = 10_000
_TIME, _DEVICE = "TIMESTAMP", "DEVICE_ID"
#: The metrics of columns, whatever the table.
_COLUMNS = {
    "HEART_RATE": HEART_RATE.name,
    "SPO2": OXYGEN_SATURATION.name,
    "SPO": OXYGEN_SATURATION.name,
    "SPO2_PERCENT": OXYGEN_SATURATION.name,
    "RESPIRATORY_RATE": RESPIRATORY_RATE.name,
}
#: The metrics of columns that mean something else in other tables.
_OF_TABLES = {
    ("GARMIN_HRV_VALUE_SAMPLE", "VALUE"): HRV_RMSSD.name,
    ("HUAMI_SLEEP_RESPIRATORY_RATE_SAMPLE", "RATE"): RESPIRATORY_RATE.name,
}
_RESTING = re.compile(r"\w*HEART_RATE_RESTING_SAMPLE")
#: Tables that repeat what others hold: the highest of a day.
_SUMMARY = re.compile(r"\w*(HEART_RATE_MAX_SAMPLE|SUMMARY\w*)")
#: Columns of a watch's minutes that are no vital signs.
_NOT_READ = ("STEPS", "STRESS", "SLEEP")
#: Huawei's rows have a second time, which is earlier in rows that only hold a place.
_PLACEHOLDER = "OTHER_TIMESTAMP"
_NOT_MEASURED = 255


@dataclass(frozen=True, slots=True)
class _Column:
    """A column with values of a metric."""

    table: str
    name: str
    metric: str

    def question(self, found: AppDatabase) -> str:
        text = f"SELECT {_TIME}, {self.name}, {_DEVICE} FROM {self.table}"
        if found.has(self.table, _PLACEHOLDER):
            text += f" WHERE {_TIME} <= {_PLACEHOLDER}"
        return text


def is_gadgetbridge(schema: bytes) -> bool:
    """Return whether a database whose schema begins like this is one of Gadgetbridge."""
    has_device = re.search(rb'CREATE TABLE\s+(IF NOT EXISTS\s+)?["`\[]?DEVICE["`\]]?\s*\(', schema) is not None
    return has_device and all(word in schema for word in (b"DEVICE_ID", b"TIMESTAMP", b"IDENTIFIER"))


def gadgetbridge(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The readings of a database, resting heart rates as daily summaries, and how many rows of other tables it has.
    Positions count the rows that are read.

    Raises:
        MalformedError: the database is damaged; what was yielded before is valid.
        RejectedError: its tables are not those of Gadgetbridge.
    """
    with database(stream) as found:
        wanted = list(_columns(found))
        restings = [name for name in _tables(found) if _RESTING.fullmatch(name) and found.has(name, "HEART_RATE")]
        if not wanted and not restings:
            raise RejectedError.of("tables", "hold no vital signs of Gadgetbridge")
        device_of = _devices(found, owner.device_id)
        first = 1
        passed_over: dict[str, int] = {}
        for column in wanted:
            reader = RowReader(owner.person, column.metric, device_of, _is_none)
            read = none = 0
            for rows in found.rows(column.question(found)):
                block, without = reader.block(rows, first + read)
                yield block
                read += len(rows)
                none += without
            first += read
            _count(passed_over, f"rows without {column.name}", none)
            if found.has(column.table, _PLACEHOLDER):
                _count(passed_over, "rows that only hold a place", found.count(column.table) - read)
        for name in restings:
            for rows in found.rows(f"SELECT {_TIME}, HEART_RATE, NULL FROM {name}"):
                days, errors = resting_days(rows, first, owner.person, owner.zone_of, METHOD)
                yield SummaryBlock(days, errors, len(rows))
                first += len(rows)
        for what, count in (passed_over | _others(found, wanted, restings)).items():
            yield PassedOver(what, count)


def _is_none(values: npt.NDArray[np.float64]) -> Mask:
    none: Mask = np.isnan(values) | (values <= 0) | (values == _NOT_MEASURED)
    return none


def _tables(found: AppDatabase) -> list[str]:
    return sorted(name for name in found.tables if found.has(name, _TIME, _DEVICE))


def _columns(found: AppDatabase) -> Iterator[_Column]:
    for table in _tables(found):
        if _RESTING.fullmatch(table) or _SUMMARY.fullmatch(table):
            continue
        for name in found.tables[table]:
            metric = _OF_TABLES.get((table, name)) or _COLUMNS.get(name)
            if metric is not None:
                yield _Column(table, name, metric)


def _devices(found: AppDatabase, device_id: str | None) -> Callable[[object], str]:
    """Return a lookup of the device by its number. People wear two of the same name, so its address is part of it."""
    devices: dict[object, str] = {}
    if device_id is None and found.has("DEVICE", "_id", "NAME", "IDENTIFIER"):
        for rows in found.rows(f"SELECT _id, NAME, IDENTIFIER FROM DEVICE LIMIT {_MOST_DEVICES}"):
            for key, name, address in rows:
                texts = [text.strip() for text in (name, address) if isinstance(text, str)]
                devices[key] = " ".join(filter(None, texts))[:LONGEST_NAME]

    @cache
    def device_of(key: object) -> str:
        return device_id or device_id_of(devices.get(key, ""), DEVICE_ID)

    return device_of


def _others(found: AppDatabase, wanted: list[_Column], restings: list[str]) -> dict[str, int]:
    """Return how many rows of other tables and columns there are."""
    counts: dict[str, int] = {}
    read = {column.table for column in wanted}
    for table in _tables(found):
        if table in restings:
            continue
        rows = found.count(table)
        if table not in read:
            _count(counts, table, rows)
            continue
        for name in _NOT_READ:
            if found.has(table, name):
                _count(counts, name, rows)
    return counts


def _count(counts: dict[str, int], what: str, count: int) -> None:
    if count > 0:
        counts[what] = counts.get(what, 0) + count
