"""Find out how a CSV file of readings is to be read: which columns hold what, how they are separated, how times are
written. What the user says comes first, the rest is told by the names of the columns and by the first lines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pulsebase.etl.transform.csv_choices import CsvChoices, called, option
from pulsebase.etl.transform.csv_columns import (
    DEVICES,
    NUMBER,
    OF_ANYTHING,
    PEOPLE,
    TIMES,
    VALUES,
    CsvTable,
    MissingChoiceError,
    columns_shown,
    first_of,
    name_shown,
    place_named,
    plain_name,
    typed_place,
)
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
from pulsebase.model.metrics import HEART_RATE, known_metric

BOM = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
#: The most columns, so that messages about them stay short.
MOST_COLUMNS = 256
_SNIFFED = ",;\t|"
#: How many lines of data decide what the file does not state.
_SAMPLE = 200
#: A head of so many bytes may end within a line.
_CUT_BYTES = 1 << 12

_OURS = frozenset({"user_id", "device_id", "timestamp"})
#: Files that state a value for a day, which is not a reading.
OF_DAYS = re.compile(r"daily|summary|resting|per[ _-]day|by[ _-]day", re.IGNORECASE)
_UTC = re.compile(r"\b(utc|gmt)\b", re.IGNORECASE)


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
    return _plan_of(CsvTable(",", tuple(names), rows), choices, metric, has_person=has_person)


def _plan_of(
    table: CsvTable, choices: CsvChoices, metric: str | None, *, has_person: bool
) -> CsvPlan | NearMiss | None:
    known = [name for name in table.names if plain_name(name) in VALUES]
    if not choices.any and (len(table.names) < 2 or not (known or first_of(table, TIMES, set()) is not None)):
        return None
    of_anything = first_of(table, OF_ANYTHING, set()) is not None
    vital = bool(known) or choices.name_columns or (metric is not None and of_anything)
    try:
        return _planned(table, choices, metric, has_person=has_person)
    except MissingChoiceError as error:
        return NearMiss(str(error), vital)


def _table_of(head: bytes, choices: CsvChoices) -> CsvTable | None:
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


def _divided(lines: Sequence[str], delimiter: str) -> CsvTable:
    try:
        first, *rows = csv.reader(lines, delimiter=delimiter)
    except (csv.Error, ValueError):
        first, rows = [], []
    return CsvTable(delimiter, tuple(name.strip() for name in first), [row for row in rows if row])


def _score(table: CsvTable, choices: CsvChoices) -> tuple[int, int, int]:
    """Return how well the columns fit. The first of equal tables is taken, which commas divide."""
    typed = [*choices.time_columns, choices.value_column, choices.user_column, choices.device_column]
    found = sum(name is not None and place_named(table, name) is not None for name in typed)
    known = sum(
        plain_name(name) in VALUES or plain_name(name) in TIMES or plain_name(name) in OF_ANYTHING
        for name in table.names
    )
    alike = sum(len(row) == len(table.names) for row in table.rows) if len(table.names) > 1 else 0
    return (found, known, alike)


def _planned(table: CsvTable, choices: CsvChoices, metric: str | None, *, has_person: bool) -> CsvPlan:
    if not 2 <= len(table.names) <= MOST_COLUMNS:
        raise MissingChoiceError(_why_one_column(table, choices))
    times = _times(table, choices)
    value, metric = _value(table, choices, metric, times)
    user, one_person = _user(table, choices, has_person=has_person)
    device = typed_place(table, choices.device_column, "device_column")
    if device is None:
        device = first_of(table, DEVICES, {*times, value, user})
    in_utc = any(_UTC.search(table.names[place].replace("_", " ")) for place in times)
    has_header = not _is_data(table, times, value)
    rows = table.rows if has_header else [table.names, *table.rows]
    table = CsvTable(table.delimiter, table.names, rows)
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


def _why_one_column(table: CsvTable, choices: CsvChoices) -> str:
    if choices.delimiter is not None:
        text = table.names[0] if table.names else ""
        other = max(_SNIFFED, key=text.count)
        if other != choices.delimiter and text.count(other):
            return f"has columns separated by {called(other)}: {_add(option('delimiter', other))}"
    return "has no columns that commas, semicolons, tabs or | separate; name what separates them with --delimiter"


def _add(*options: str) -> str:
    return f"add {' '.join(options)}"


# --- which column is what -------------------------------------------------------------------------------------------


def _times(table: CsvTable, choices: CsvChoices) -> tuple[int, ...]:
    if choices.time_columns:
        typed = [typed_place(table, name, "time_column") for name in choices.time_columns]
        return tuple(place for place in typed if place is not None)
    place = first_of(table, TIMES, set())
    if place is None:
        raise MissingChoiceError(f"name the column of the time with --time-column; {columns_shown(table)}")
    plain = [plain_name(name) for name in table.names]
    if plain[place] in ("time", "date") and {"time", "date"} <= set(plain):
        return plain.index("date"), plain.index("time")
    return (place,)


def _value(table: CsvTable, choices: CsvChoices, metric: str | None, times: tuple[int, ...]) -> tuple[int, str]:
    plain = [plain_name(name) for name in table.names]
    typed = typed_place(table, choices.value_column, "value_column")
    if typed is not None:
        named = metric or VALUES.get(plain[typed]) or _told_by_others(table)
        if named is None:
            raise MissingChoiceError(
                f"does not say what column {name_shown(table, typed)} is of: "
                f"{_add('--metric heart_rate')}, or another metric"
            )
        return typed, named
    found = [place for place, name in enumerate(plain) if name in VALUES and place not in times]
    if metric is not None:
        ours = [place for place in found if VALUES[plain[place]] == metric]
        if len(ours) == 1:
            return ours[0], metric
    elif len(found) == 1:
        return found[0], VALUES[plain[found[0]]]
    anything = [place for place, name in enumerate(plain) if name in OF_ANYTHING and place not in times]
    if len(found) > 1:
        each = ", then ".join(option("value_column", name_shown(table, place)) for place in found[:4])
        raise MissingChoiceError(f"has several columns of values; import it once for each: {_add(each)}")
    if len(anything) == 1 and not found:
        named = metric or _told_by_others(table)
        if named is not None:
            return anything[0], named
        raise MissingChoiceError(
            f"does not say what column {name_shown(table, anything[0])} is of: "
            f"{_add(option('value_column', name_shown(table, anything[0])), '--metric heart_rate')}, or another metric"
        )
    raise MissingChoiceError(
        f"name the column of the value with --value-column and what it is of with --metric; {columns_shown(table)}"
    )


def _told_by_others(table: CsvTable) -> str | None:
    """Return the metric that another column states, the same in all of the first lines. Research CSV is of heart rates
    unless something else is said.
    """
    for place in _saying_what(table):
        texts = set(table.cells(place))
        if len(texts) == 1:
            named = _metric_in(next(iter(texts)))
            if named is not None:
                return named
    return HEART_RATE.name if set(RESEARCH) <= set(map(plain_name, table.names)) else None


def _metric_in(text: str) -> str | None:
    plain = plain_name(text.removeprefix("HKQuantityTypeIdentifier"))
    spec = known_metric(text)
    return VALUES.get(plain) if spec is None else spec.name


def _saying_what(table: CsvTable) -> Iterator[int]:
    for place, name in enumerate(table.names):
        if name.lower() in SAYS_WHAT or plain_name(name) in SAYS_WHAT:
            yield place


def _same(table: CsvTable, value: int, metric: str) -> dict[int, str]:
    """Return the columns whose text tells what a value is, which must stay the same in all lines.

    A value whose own column is called after a metric needs no such column.
    """
    if plain_name(table.names[value]) in VALUES:
        return {}
    same = {}
    for place in _saying_what(table):
        texts = list(dict.fromkeys(table.cells(place)))
        if not texts or place == value:
            continue
        name = shown_name(table.names[place])
        if len(texts) > 1:
            raise MissingChoiceError(
                f"holds values of several kinds, as column {name} says; keep the lines of one kind"
            )
        named = _metric_in(texts[0])
        if named is not None and named != metric:
            raise MissingChoiceError(f"holds {named}, as column {name} says, not {metric}")
        same[place] = texts[0]
    return same


def _user(table: CsvTable, choices: CsvChoices, *, has_person: bool) -> tuple[int | None, dict[int, str]]:
    """Return the place of the column of people, if there is one, and a column `id` that must stay the same: it may name
    people too, who must not become one.
    """
    typed = typed_place(table, choices.user_column, "user_column")
    place = first_of(table, PEOPLE, set()) if typed is None else typed
    plain = [plain_name(name) for name in table.names]
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
    raise MissingChoiceError(
        f"has a column {shown_name(name)}: {add} if it names the person of each line"
        + ("; if not, remove it" if has_person else ", or name the person with --user")
    )


# --- times and numbers ----------------------------------------------------------------------------------------------


def _joined(table: CsvTable, times: Sequence[int]) -> list[str]:
    rows = [row for row in table.rows if len(row) > max(times)]
    texts = [
        " ".join(row[place].strip() for place in times).replace("\xa0", " ").replace("\u202f", " ") for row in rows
    ]
    return [text for text in texts if text.strip()]


def _is_data(table: CsvTable, times: Sequence[int], value: int) -> bool:
    """Return whether the first line is no header, since a time and a number are where it should name them."""
    text = " ".join(table.names[place] for place in times)
    is_time = unit_of(text) is not None or any_plain([text]) or bool(formats_for([text]))
    return is_time and NUMBER.fullmatch(table.names[value]) is not None


def _layout(table: CsvTable, choices: CsvChoices, times: Sequence[int]) -> TimeLayout:
    if choices.time_format is not None:
        return layout_of_format(choices.time_format)
    texts = _joined(table, times)
    plain = plain_layout(texts[:20]) if texts else layout_of_format("iso")
    if plain is not None:
        return plain
    unit = unit_of(texts[0])
    if unit is not None:
        return layout_of_format(unit)
    raise MissingChoiceError(_why_no_time(texts, table, times))


def _why_no_time(texts: Sequence[str], table: CsvTable, times: Sequence[int]) -> str:
    """Return what to do about times that cannot be read without being told their layout. Nothing is quoted of them."""
    where = " and ".join(name_shown(table, place) for place in times)
    formats = [option("time_format", each) for each in formats_for(texts) or formats_for(texts[:1])]
    if len(formats) > 1:
        return f"has times in column {where} whose day or month may come first: add {' or '.join(formats)}"
    if formats:
        return f"has times in column {where} in a layout that is not plain: {_add(*formats)}"
    plain = [plain_name(name) for name in table.names]
    if len(times) == 1 and {"time", "date"} <= set(plain):
        return f"has no whole times in column {where}: {_add('--time-column date --time-column time')}"
    to_do = "say their layout with --time-format, such as '%d.%m.%Y %H:%M:%S'"
    return f"has no times that are known in column {where}: {to_do}"


def _decimal_comma(table: CsvTable, choices: CsvChoices, value: int) -> bool:
    if choices.decimal_comma:
        return True
    if table.delimiter != ",":
        return True  # a comma in a number can be nothing else
    texts = table.cells(value)
    if any(re.fullmatch(r"[+-]?\d+,\d+", text, re.ASCII) for text in texts[:20]):
        raise MissingChoiceError("has numbers with a decimal comma: add --decimal-comma")
    return False


def wrong_unit(text: str, layout: TimeLayout) -> str:
    """Return why a text is not a time in the layout of the file."""
    unit = unit_of(text)
    if layout.unit is not None and unit is not None:
        return f"counts {UNIT_NAMES[unit]}, while the file has {layout}"
    return f"is not a time as the file has them ({layout})"
