"""The columns of a CSV file by their names: which one is meant, and what an error may say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pulsebase.etl.transform.time_layouts import any_plain, formats_for
from pulsebase.model.errors import shown_name
from pulsebase.model.metrics import HEART_RATE, METRICS

_SHOWN_COLUMNS = 12
#: Names of columns, as `plain_name` has them. Of several times the first one listed is taken.
TIMES = (
    *("timestamp", "datetime", "date time", "time stamp", "start time", "starttime", "start date", "startdate"),
    *("start", "recorded at", "measured at", "time", "ts", "date"),
)
HEART_RATES = (
    *("heart rate", "heartrate", "hr", "bpm", "pulse", "pulse rate", "beats per minute", "heart rate bpm"),
    *("hr bpm", "pulse bpm", "heart rate value"),
)
VALUES: Mapping[str, str] = {
    **dict.fromkeys(HEART_RATES, HEART_RATE.name),
    **{alias.replace("_", " "): spec.name for spec in METRICS.values() for alias in (spec.name, *spec.aliases)},
    **{spec.title.lower(): spec.name for spec in METRICS.values()},
    "respiration rate": "respiratory_rate",
    "breathing rate": "respiratory_rate",
    "rmssd": "hrv_rmssd",
    "sdnn": "hrv_sdnn",
}
#: Columns of values that do not say of what.
OF_ANYTHING = ("value", "values", "val", "reading", "measurement value", "quantity", "qty")
PEOPLE = (
    *("user id", "userid", "user", "participant id", "participantid", "participant", "subject id", "subjectid"),
    *("subject", "patient id", "patientid", "patient", "person id", "person"),
)
DEVICES = (
    *("device id", "deviceid", "device name", "source name", "sourcename", "device", "data source", "source id"),
    "sourceid",
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The first lines of a file, divided by one delimiter."""

    delimiter: str
    names: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def cells(self, place: int) -> list[str]:
        return [row[place].strip() for row in self.rows if len(row) > place and row[place].strip()]


class MissingChoiceError(ValueError):
    """Something has to be said by the user; the text says what."""


def plain_name(name: str) -> str:
    """Return a column's name in lower case, without its unit in brackets and without what it is nested in."""
    name = re.sub(r"[(\[][^)\]]*[)\]]", " ", name)
    name = name.rpartition(".")[2] if re.fullmatch(r"[\w.]+", name) else name
    return " ".join(re.sub(r"[^a-z0-9]+", " ", _CAMEL.sub(" ", name).lower()).split())


def place_named(table: CsvTable, wanted: str) -> int | None:
    """Return the place of the column of this name or, if none is called so, of this number."""
    for same in (str, str.lower):
        for place, name in enumerate(table.names):
            if same(name) == same(wanted.strip()):
                return place
    number = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    return number - 1 if 1 <= number <= len(table.names) else None


def typed_place(table: CsvTable, wanted: str | None, named_by: str) -> int | None:
    """Return the place of the column that the user named with this option; None if they named none.

    Raises:
        MissingChoiceError: there is no such column.
    """
    if wanted is None:
        return None
    place = place_named(table, wanted)
    if place is None:
        raise MissingChoiceError(
            f"has no column {shown_name(wanted)} for --{named_by.replace('_', '-')}; {columns_shown(table)}"
        )
    return place


def columns_shown(table: CsvTable) -> str:
    """Return the names of the columns, unless the first line may hold data, which errors must not quote."""
    if any(map(may_be_data, table.names)):
        return "the first line names no columns; call them by their numbers, the first being 1"
    names = [shown_name(name) for name in table.names[:_SHOWN_COLUMNS]]
    more = len(table.names) - len(names)
    return f"its columns are {', '.join(names)}" + (f" and {more} more" if more else "")


def may_be_data(name: str) -> bool:
    """Return whether what stands in the first line may be a value or a time, and no name."""
    return bool(NUMBER.fullmatch(name) or any_plain([name]) or formats_for([name]))


def name_shown(table: CsvTable, place: int) -> str:
    """Return what an error or an option may call a column: its name or, where that may be data, its number."""
    name = table.names[place]
    return str(place + 1) if not name or may_be_data(name) else shown_name(name)


def first_of(table: CsvTable, known: Sequence[str], taken: set[int | None]) -> int | None:
    """Return the place of the column whose name comes first in `known`."""
    plain = [plain_name(name) for name in table.names]
    return next(
        (plain.index(name) for name in known if name in plain and plain.index(name) not in taken),
        None,
    )
