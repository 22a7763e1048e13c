"""Read the export of Android's Health Connect: an SQLite database, packed in a zip.

Records of a time have the time and the value; records of an interval have a table of their own for the samples. Times
are milliseconds in UTC. Each record names the app that wrote it, which stands for the device: the device itself is
often left open, and two apps that write the same readings must stay apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Stream, SummaryBlock
from pulsebase.etl.extract.sqlite_files import AppDatabase, database
from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.etl.transform.sql_rows import RowReader, resting_days
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_RMSSD,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SKIN_TEMPERATURE_DELTA,
)

#: The device of records whose app is not named.
DEVICE_ID = "health-connect"
#: The method that marks resting heart rates which apps stated.
METHOD = "health_connect"
SERIES = b"heart_rate_record_series_table"
_APPS, _RESTING = "application_info_table", "resting_heart_rate_record_table"
_RESTING_VALUE = "beats_per_minute"
_MOST_APPS = 10_000
#: Tables that hold records, besides which there are those that keep the app itself going.
_RECORDS = ("_record_table", "sleep_stages_table")


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of values of a metric; `records`, if any, is the table with the records that they are samples of."""

    name: str
    value: str
    metric: str
    records: str | None = None

    @property
    def time(self) -> str:
        return "time" if self.records is None else "epoch_millis"

    def is_in(self, found: AppDatabase) -> bool:
        if self.records is None:
            return found.has(self.name, "time", self.value, "app_info_id")
        return found.has(self.name, self.time, self.value, "parent_key") and found.has(
            self.records, "row_id", "app_info_id"
        )

    @property
    def question(self) -> str:
        if self.records is None:
            return f"SELECT time, {self.value}, app_info_id FROM {self.name}"
        return (
            f"SELECT sample.{self.time}, sample.{self.value}, record.app_info_id FROM {self.name} AS sample "
            f"LEFT JOIN {self.records} AS record ON record.row_id = sample.parent_key"
        )


_TABLES = (
    _Table("heart_rate_record_series_table", "beats_per_minute", HEART_RATE.name, "heart_rate_record_table"),
    _Table("oxygen_saturation_record_table", "percentage", OXYGEN_SATURATION.name),
    _Table("respiratory_rate_record_table", "rate", RESPIRATORY_RATE.name),
    _Table("heart_rate_variability_rmssd_record_table", "heart_rate_variability_millis", HRV_RMSSD.name),
    _Table("body_temperature_record_table", "temperature", BODY_TEMPERATURE.name),
    _Table("skin_temperature_delta_table", "delta", SKIN_TEMPERATURE_DELTA.name, "skin_temperature_record_table"),
)


def health_connect(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The readings of an export, resting heart rates as daily summaries, and how many records of other types it has.
    Positions count the rows that are read.

    Raises:
        MalformedError: the database is damaged; what was yielded before is valid.
        RejectedError: its tables are not those of an export.
    """
    with database(stream) as found:
        wanted = [table for table in _TABLES if table.is_in(found)]
        if not wanted and not _has_resting(found):
            raise RejectedError.of("tables", "are not those of an export of Health Connect")
        device_of = _devices(found, owner.device_id)
        first, without = 1, 0
        for table in wanted:
            reader = RowReader(owner.person, table.metric, device_of)
            for rows in found.rows(table.question):
                block, none = reader.block(rows, first)
                yield block
                first += len(rows)
                without += none
        if _has_resting(found):
            yield from _restings(found, first, owner)
        if without:
            yield PassedOver("rows without a value", without)
        yield from _others(found, wanted)


def _has_resting(found: AppDatabase) -> bool:
    return found.has(_RESTING, "time", _RESTING_VALUE)


def _restings(found: AppDatabase, first: int, owner: FileOwner) -> Iterator[Part]:
    offset = "zone_offset" if found.has(_RESTING, "zone_offset") else "NULL"
    for rows in found.rows(f"SELECT time, {_RESTING_VALUE}, {offset} FROM {_RESTING}"):
        days, errors = resting_days(rows, first, owner.person, owner.zone_of, METHOD)
        yield SummaryBlock(days, errors, len(rows))
        first += len(rows)


def _devices(found: AppDatabase, device_id: str | None) -> Callable[[object], str]:
    """Return a lookup of the device by the number of the app."""
    apps: dict[object, str] = {}
    name = next((column for column in ("package_name", "app_name") if found.has(_APPS, "row_id", column)), None)
    if device_id is None and name is not None:
        for rows in found.rows(f"SELECT row_id, {name} FROM {_APPS} LIMIT {_MOST_APPS}"):
            apps |= {key: app[:LONGEST_NAME] for key, app in rows if isinstance(app, str)}

    @cache
    def device_of(key: object) -> str:
        return device_id or device_id_of(apps.get(key, "").strip(), DEVICE_ID)

    return device_of


def _others(found: AppDatabase, wanted: list[_Table]) -> Iterator[Part]:
    """Yield how many records of other types there are."""
    read = {table.name for table in wanted} | {table.records for table in wanted} | {_RESTING}
    for name in sorted(found.tables):
        if name.endswith(_RECORDS) and name not in read and (count := found.count(name)):
            yield PassedOver(name.removesuffix("_table"), count)
