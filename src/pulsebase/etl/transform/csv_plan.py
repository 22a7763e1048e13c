"""Find out how a CSV file of readings is to be read: which columns hold what, how they are separated, how times are
written. What the user says comes first, the rest is told by the names of the columns and by the first lines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pulsebase.etl.transform.csv_choices import CsvChoices, called, option
from pulsebase.etl.transform.csv_layout import HEADER as RESEARCH
from pulsebase.etl.transform.csv_layout import SAYS_WHAT, comes_before
from pulsebase.etl.transform.time_layouts import (
    UNIT_NAMES,
    TimeLayout,
    any_plain,
    formats_for,
    layout_of_format,
    plain_layout,
    unit_of,
)
from pulsebase.model.errors import shown_name
from pulsebase.model.metrics import HEART_RATE, METRICS, known_metric

BOM = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
#: The most columns, so that messages about them stay short.
MOST_COLUMNS = 256
_SNIFFED = ",;\t|"
#: How many lines of data decide what the file does not state.
_SAMPLE = 200
_SHOWN_COLUMNS = 12
#: A head of so many bytes may end within a line.
_CUT_BYTES = 1 << 12

#: Names of columns, as `_plain` has them. Of several times the first one listed is taken.
_TIMES = (
    *("timestamp", "datetime", "date time", "time stamp", "start time", "starttime", "start date", "startdate"),
    *("start", "recorded at", "measured at", "time", "ts", "date"),
)
_HEART_RATES = (
    *("heart rate", "heartrate", "hr", "bpm", "pulse", "pulse rate", "beats per minute", "heart rate bpm"),
    *("hr bpm", "pulse bpm", "heart rate value"),
)
_VALUES: Mapping[str, str] = {
    **dict.fromkeys(_HEART_RATES, HEART_RATE.name),
    **{alias.replace("_", " "): spec.name for spec in METRICS.values() for alias in (spec.name, *spec.aliases)},
    **{spec.title.lower(): spec.name for spec in METRICS.values()},
    "respiration rate": "respiratory_rate",
    "breathing rate": "respiratory_rate",
    "rmssd": "hrv_rmssd",
    "sdnn": "hrv_sdnn",
}
#: Columns of values that do not say of what.
_OF_ANYTHING = ("value", "values", "val", "reading", "measurement value", "quantity", "qty")
_PEOPLE = (
    *("user id", "userid", "user", "participant id", "participantid", "participant", "subject id", "subjectid"),
    *("subject", "patient id", "patientid", "patient", "person id", "person"),
)
_DEVICES = (
    *("device id", "deviceid", "device name", "source name", "sourcename", "device", "data source", "source id"),
    "sourceid",
)
_OURS = frozenset({"user_id", "device_id", "timestamp"})
#: Files that state a value for a day, which is not a reading.
OF_DAYS = re.compile(r"daily|summary|resting|per[ _-]day|by[ _-]day", re.IGNORECASE)
_UTC = re.compile(r"\b(utc|gmt)\b", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CsvPlan:
    """How to read a file.

    Attributes:
        names: the columns, all of them.
        times: the places of one or two columns that make the time together.
        same: columns that say what the values are, with the one text that their lines must have.
        has_header: whether the first line names the columns.
        in_utc: whether times without an offset are in UTC, because the name of their column says so.
        in_utf16: whether the text is in UTF-16, as spreadsheets write it, and not in UTF-8.
    """

    delimiter: str
    names: tuple[str, ...]
    times: tuple[int, ...]
    value: int
    metric: str
    layout: TimeLayout
    user: int | None = None
    device: int | None = None
    confidence: int | None = None
    same: Mapping[int, str] = field(default_factory=dict)
    decimal_comma: bool = False
    has_header: bool = True
    in_utc: bool = False
    in_utf16: bool = False

    @property
    def used(self) -> tuple[int, ...]:
        """Return the places of the columns that are read."""
        others = (self.user, self.device, self.confidence, *self.same)
        return (*self.times, self.value, *(place for place in others if place is not None))

    @property
    def read_as(self) -> str:
        """Return in words what is taken from where."""
        when = " and ".join(self._name(place) for place in self.times)
        parts = [f"time from {when} ({self.layout}{', in UTC' if self.in_utc else ''})"]
        parts.append(f"{self.metric} from {self._name(self.value)}")
        parts += [f"people from {self._name(self.user)}"] if self.user is not None else []
        parts += [f"devices from {self._name(self.device)}"] if self.device is not None else []
        parts += [f"{self._name(place)} the same in all lines" for place in self.same]
        parts += [f"columns separated by {called(self.delimiter)}"] if self.delimiter != "," else []
        parts += ["decimal commas"] if self.decimal_comma and self.delimiter == "," else []
        return ", ".join(parts)

    def _name(self, place: int) -> str:
        name = self.names[place] if self.has_header else ""
        return f"column {shown_name(name)}" if name else f"column {place + 1}"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A file that could be read if the user said more. `text` says what; `vital` whether it looks like vital signs."""

    text: str
    vital: bool = True


@dataclass(frozen=True, slots=True)
class _Table:
    """The first lines of a file, divided by one delimiter."""

    delimiter: str
    names: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def cells(self, place: int) -> list[str]:
        return [row[place].strip() for row in self.rows if len(row) > place and row[place].strip()]


class _MissingError(ValueError):
    """Something has to be said by the user; the text says what."""


def plan_of(head: bytes, choices: CsvChoices, metric: str | None, *, has_person: bool) -> CsvPlan | NearMiss | None:
    """Return how to read a file that begins with `head`, or what is missing; None if it is no table at all.

    `metric` is the one that the user named; `has_person` says whether the user named the person of files that do not.
    """
    in_utf16 = head[:2] in UTF16_MARKS
    if in_utf16:
        head = head.decode("utf-16", "ignore").encode("utf-8", "replace")
    table = _table_of(head, choices)
    if table is None:
        return None
    plan = _plan_of(table, choices, metric, has_person=has_person)
    return replace(plan, in_utf16=in_utf16) if isinstance(plan, CsvPlan) else plan


def plan_of_columns(
    names: Sequence[str], rows: Sequence[Sequence[str]], choices: CsvChoices, metric: str | None, *, has_person: bool
) -> CsvPlan | NearMiss | None:
    """Return how to read a table that has its columns apart, as `plan_of` does. `rows` are the first rows as texts."""
    return _plan_of(_Table(",", tuple(names), rows), choices, metric, has_person=has_person)


def _plan_of(table: _Table, choices: CsvChoices, metric: str | None, *, has_person: bool) -> CsvPlan | NearMiss | None:
    known = [name for name in table.names if _plain(name) in _VALUES]
    if not choices.any and (len(table.names) < 2 or not (known or _first(table, _TIMES, set()) is not None)):
        return None
    of_anything = _first(table, _OF_ANYTHING, set()) is not None
    vital = bool(known) or choices.name_columns or (metric is not None and of_anything)
    try:
        return _planned(table, choices, metric, has_person=has_person)
    except _MissingError as error:
        return NearMiss(str(error), vital)


def _table_of(head: bytes, choices: CsvChoices) -> _Table | None:
    if b"\0" in head or head.removeprefix(BOM).lstrip()[:1] in (b"", b"{", b"[", b"<"):
        return None
    lines = re.split(rb"\r\n|\r|\n", head)
    if len(head) >= _CUT_BYTES and len(lines) > 1:
        lines.pop()  # which the end of the head may have cut
    begin = next((place for place, line in enumerate(lines) if not comes_before(line)), None)
    if begin is None:
        return None
    shown = [line.removeprefix(BOM).decode("utf-8", "replace") for line in lines[begin : begin + _SAMPLE + 1]]
    tables = [_divided(shown, delimiter) for delimiter in (choices.delimiter or _SNIFFED)]
    return max(tables, key=lambda table: _score(table, choices)) if tables else None


def _divided(lines: Sequence[str], delimiter: str) -> _Table:
    try:
        first, *rows = csv.reader(lines, delimiter=delimiter)
    except (csv.Error, ValueError):
        first, rows = [], []
    return _Table(delimiter, tuple(name.strip() for name in first), [row for row in rows if row])


def _score(table: _Table, choices: CsvChoices) -> tuple[int, int, int]:
    """Return how well the columns fit. The first of equal tables is taken, which commas divide."""
    typed = [*choices.time_columns, choices.value_column, choices.user_column, choices.device_column]
    found = sum(name is not None and _place_named(table, name) is not None for name in typed)
    known = sum(
        _plain(name) in _VALUES or _plain(name) in _TIMES or _plain(name) in _OF_ANYTHING for name in table.names
    )
    alike = sum(len(row) == len(table.names) for row in table.rows) if len(table.names) > 1 else 0
    return (found, known, alike)


def _planned(table: _Table, choices: CsvChoices, metric: str | None, *, has_person: bool) -> CsvPlan:
    if not 2 <= len(table.names) <= MOST_COLUMNS:
        raise _MissingError(_why_one_column(table, choices))
    times = _times(table, choices)
    value, metric = _value(table, choices, metric, times)
    user, one_person = _user(table, choices, has_person=has_person)
    device = _typed(table, choices.device_column, "device_column")
    if device is None:
        device = _first(table, _DEVICES, {*times, value, user})
    in_utc = any(_UTC.search(table.names[place].replace("_", " ")) for place in times)
    has_header = not _is_data(table, times, value)
    rows = table.rows if has_header else [table.names, *table.rows]
    table = _Table(table.delimiter, table.names, rows)
    plain = {name.lower(): place for place, name in enumerate(table.names)}
    return CsvPlan(
        table.delimiter,
        table.names,
        times,
        value,
        metric,
        _layout(table, choices, times),
        user,
        device,
        plain.get("confidence") if plain.keys() >= _OURS else None,
        one_person | _same(table, value, metric) if has_header else {},
        _decimal_comma(table, choices, value),
        has_header,
        in_utc,
    )


def _why_one_column(table: _Table, choices: CsvChoices) -> str:
    if choices.delimiter is not None:
        text = table.names[0] if table.names else ""
        other = max(_SNIFFED, key=text.count)
        if other != choices.delimiter and text.count(other):
            return f"has columns separated by {called(other)}: {_add(option('delimiter', other))}"
    return "has no columns that commas, semicolons, tabs or | separate; name what separates them with --delimiter"


def _add(*options: str) -> str:
    return f"add {' '.join(options)}"


# --- columns -------------------------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """Return a column's name in lower case, without its unit in brackets and without what it is nested in."""
    name = re.sub(r"[(\[][^)\]]*[)\]]", " ", name)
    name = name.rpartition(".")[2] if re.fullmatch(r"[\w.]+", name) else name
    return " ".join(re.sub(r"[^a-z0-9]+", " ", _CAMEL.sub(" ", name).lower()).split())


def _place_named(table: _Table, wanted: str) -> int | None:
    """Return the place of the column of this name or, if none is called so, of this number."""
    for same in (str, str.lower):
        for place, name in enumerate(table.names):
            if same(name) == same(wanted.strip()):
                return place
    number = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    return number - 1 if 1 <= number <= len(table.names) else None


def _typed(table: _Table, wanted: str | None, named_by: str) -> int | None:
    if wanted is None:
        return None
    place = _place_named(table, wanted)
    if place is None:
        raise _MissingError(f"has no column {shown_name(wanted)} for --{named_by.replace('_', '-')}; {_columns(table)}")
    return place


def _columns(table: _Table) -> str:
    """Return the names of the columns, unless the first line may hold data, which errors must not quote."""
    if any(map(_may_be_data, table.names)):
        return "the first line names no columns; call them by their numbers, the first being 1"
    names = [shown_name(name) for name in table.names[:_SHOWN_COLUMNS]]
    more = len(table.names) - len(names)
    return f"its columns are {', '.join(names)}" + (f" and {more} more" if more else "")


def _may_be_data(name: str) -> bool:
    return bool(_NUMBER.fullmatch(name) or any_plain([name]) or formats_for([name]))


def _called(table: _Table, place: int) -> str:
    """Return what an error or an option may call a column: its name or, where that may be data, its number."""
    name = table.names[place]
    return str(place + 1) if not name or _may_be_data(name) else shown_name(name)


def _first(table: _Table, known: Sequence[str], taken: set[int | None]) -> int | None:
    """Return the place of the column whose name comes first in `known`."""
    plain = [_plain(name) for name in table.names]
    return next(
        (plain.index(name) for name in known if name in plain and plain.index(name) not in taken),
        None,
    )


def _times(table: _Table, choices: CsvChoices) -> tuple[int, ...]:
    if choices.time_columns:
        typed = [_typed(table, name, "time_column") for name in choices.time_columns]
        return tuple(place for place in typed if place is not None)
    place = _first(table, _TIMES, set())
    if place is None:
        raise _MissingError(f"name the column of the time with --time-column; {_columns(table)}")
    plain = [_plain(name) for name in table.names]
    if plain[place] in ("time", "date") and {"time", "date"} <= set(plain):
        return plain.index("date"), plain.index("time")
    return (place,)


def _value(table: _Table, choices: CsvChoices, metric: str | None, times: tuple[int, ...]) -> tuple[int, str]:
    plain = [_plain(name) for name in table.names]
    typed = _typed(table, choices.value_column, "value_column")
    if typed is not None:
        named = metric or _VALUES.get(plain[typed]) or _told_by_others(table)
        if named is None:
            raise _MissingError(
                f"does not say what column {_called(table, typed)} is of: "
                f"{_add('--metric heart_rate')}, or another metric"
            )
        return typed, named
    found = [place for place, name in enumerate(plain) if name in _VALUES and place not in times]
    if metric is not None:
        ours = [place for place in found if _VALUES[plain[place]] == metric]
        if len(ours) == 1:
            return ours[0], metric
    elif len(found) == 1:
        return found[0], _VALUES[plain[found[0]]]
    anything = [place for place, name in enumerate(plain) if name in _OF_ANYTHING and place not in times]
    if len(found) > 1:
        each = ", then ".join(option("value_column", _called(table, place)) for place in found[:4])
        raise _MissingError(f"has several columns of values; import it once for each: {_add(each)}")
    if len(anything) == 1 and not found:
        named = metric or _told_by_others(table)
        if named is not None:
            return anything[0], named
        raise _MissingError(
            f"does not say what column {_called(table, anything[0])} is of: "
            f"{_add(option('value_column', _called(table, anything[0])), '--metric heart_rate')}, or another metric"
        )
    raise _MissingError(
        f"name the column of the value with --value-column and what it is of with --metric; {_columns(table)}"
    )


def _told_by_others(table: _Table) -> str | None:
    """Return the metric that another column states, the same in all of the first lines. Research CSV is of heart rates
    unless something else is said.
    """
    for place in _saying_what(table):
        texts = set(table.cells(place))
        if len(texts) == 1:
            named = _metric_in(next(iter(texts)))
            if named is not None:
                return named
    return HEART_RATE.name if set(RESEARCH) <= set(map(_plain, table.names)) else None


def _metric_in(text: str) -> str | None:
    plain = _plain(text.removeprefix("HKQuantityTypeIdentifier"))
    spec = known_metric(text)
    return _VALUES.get(plain) if spec is None else spec.name


def _saying_what(table: _Table) -> Iterator[int]:
    for place, name in enumerate(table.names):
        if name.lower() in SAYS_WHAT or _plain(name) in SAYS_WHAT:
            yield place


def _same(table: _Table, value: int, metric: str) -> dict[int, str]:
    """Return the columns whose text tells what a value is, which must stay the same in all lines.

    A value whose own column is called after a metric needs no such column.
    """
    if _plain(table.names[value]) in _VALUES:
        return {}
    same = {}
    for place in _saying_what(table):
        texts = list(dict.fromkeys(table.cells(place)))
        if not texts or place == value:
            continue
        name = shown_name(table.names[place])
        if len(texts) > 1:
            raise _MissingError(f"holds values of several kinds, as column {name} says; keep the lines of one kind")
        named = _metric_in(texts[0])
        if named is not None and named != metric:
            raise _MissingError(f"holds {named}, as column {name} says, not {metric}")
        same[place] = texts[0]
    return same


def _user(table: _Table, choices: CsvChoices, *, has_person: bool) -> tuple[int | None, dict[int, str]]:
    """Return the place of the column of people, if there is one, and a column `id` that must stay the same: it may name
    people too, who must not become one.
    """
    typed = _typed(table, choices.user_column, "user_column")
    place = _first(table, _PEOPLE, set()) if typed is None else typed
    plain = [_plain(name) for name in table.names]
    if place is not None or "id" not in plain:
        return place, {}
    place, name = plain.index("id"), table.names[plain.index("id")]
    texts = table.cells(place)
    different = len(set(texts))
    if set(RESEARCH) <= set(plain) or (different < len(texts) and not has_person):
        return place, {}
    if has_person and (different == len(texts) > 1 or not texts):  # the number of the row
        return None, {}
    if has_person and different == 1:
        return None, {place: texts[0]}
    add = _add(option("user_column", name))
    raise _MissingError(
        f"has a column {shown_name(name)}: {add} if it names the person of each line"
        + ("; if not, remove it" if has_person else ", or name the person with --user")
    )


# --- times and numbers ----------------------------------------------------------------------------------------------


def _joined(table: _Table, times: Sequence[int]) -> list[str]:
    rows = [row for row in table.rows if len(row) > max(times)]
    texts = [
        " ".join(row[place].strip() for place in times).replace("\xa0", " ").replace("\u202f", " ") for row in rows
    ]
    return [text for text in texts if text.strip()]


def _is_data(table: _Table, times: Sequence[int], value: int) -> bool:
    """Return whether the first line is no header, since a time and a number are where it should name them."""
    text = " ".join(table.names[place] for place in times)
    is_time = unit_of(text) is not None or any_plain([text]) or bool(formats_for([text]))
    return is_time and _NUMBER.fullmatch(table.names[value]) is not None


def _layout(table: _Table, choices: CsvChoices, times: Sequence[int]) -> TimeLayout:
    if choices.time_format is not None:
        return layout_of_format(choices.time_format)
    texts = _joined(table, times)
    plain = plain_layout(texts[:20]) if texts else layout_of_format("iso")
    if plain is not None:
        return plain
    unit = unit_of(texts[0])
    if unit is not None:
        return layout_of_format(unit)
    raise _MissingError(_why_no_time(texts, table, times))


def _why_no_time(texts: Sequence[str], table: _Table, times: Sequence[int]) -> str:
    """Return what to do about times that cannot be read without being told their layout. Nothing is quoted of them."""
    where = " and ".join(_called(table, place) for place in times)
    formats = [option("time_format", each) for each in formats_for(texts) or formats_for(texts[:1])]
    if len(formats) > 1:
        return f"has times in column {where} whose day or month may come first: add {' or '.join(formats)}"
    if formats:
        return f"has times in column {where} in a layout that is not plain: {_add(*formats)}"
    plain = [_plain(name) for name in table.names]
    if len(times) == 1 and {"time", "date"} <= set(plain):
        return f"has no whole times in column {where}: {_add('--time-column date --time-column time')}"
    to_do = "say their layout with --time-format, such as '%d.%m.%Y %H:%M:%S'"
    return f"has no times that are known in column {where}: {to_do}"


def _decimal_comma(table: _Table, choices: CsvChoices, value: int) -> bool:
    if choices.decimal_comma:
        return True
    if table.delimiter != ",":
        return True  # a comma in a number can be nothing else
    texts = table.cells(value)
    if any(re.fullmatch(r"[+-]?\d+,\d+", text, re.ASCII) for text in texts[:20]):
        raise _MissingError("has numbers with a decimal comma: add --decimal-comma")
    return False


def wrong_unit(text: str, layout: TimeLayout) -> str:
    """Return why a text is not a time in the layout of the file."""
    unit = unit_of(text)
    if layout.unit is not None and unit is not None:
        return f"counts {UNIT_NAMES[unit]}, while the file has {layout}"
    return f"is not a time as the file has them ({layout})"
