"""Turn lines of a CSV file into readings by its plan, whole columns at a time. A wrong line affects no other."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pulsebase.etl.transform.civil import Ints, LocalClocks, Mask
from pulsebase.etl.transform.csv_layout import NO_VALUES
from pulsebase.etl.transform.csv_plan import CsvPlan, wrong_unit
from pulsebase.etl.transform.csv_times import why_no_time
from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates
from pulsebase.ingest.table_ids import without_changed_ids
from pulsebase.model.errors import FieldError, shown_name
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.readings import NO_CONFIDENCE, Ids

#: The device of readings, where the file names none.
DEVICE_ID = "csv"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
#: Blanks that spreadsheets and phones write (U+00A0, U+202F).
_BLANKS = "[\u00a0\u202f]"
_CONFIDENCES = {"": NO_CONFIDENCE, "nan": NO_CONFIDENCE, **{f"{n}{zero}": n for n in range(4) for zero in ("", ".0")}}
#: Closes a quote that is left open at the end of a text, and is a row of its own if none is.
_END = "\0"


@dataclass(frozen=True, slots=True)
class CsvOwner:
    """The person of a file that names nobody, and the device that replaces all of those that it names, if any."""

    user_id: str | None
    device_id: str | None


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """The readings of some lines and the errors of others, and how many lines held no value. `rest` is the end of the
    text where a quote is left open, and the number of its first line.
    """

    block: Block
    empty: int
    rest: bytes
    rest_line: int


def parse_lines(text: bytes, first_line: int, plan: CsvPlan, clocks: LocalClocks, owner: CsvOwner) -> ParsedRows:
    """Parse whole lines, each ended by a line feed; `clocks` converts times without an offset. Positions and the
    `index` of errors are line numbers.
    """
    table = _alike(text, first_line, plan) or _one_by_one(text, first_line, plan)
    block, empty = block_of_texts(table.columns, table.numbers, table.errors, plan, clocks, owner)
    return ParsedRows(block, empty, table.rest, table.rest_line)


def block_of_texts(  # noqa: PLR0917 what lines or rows come to
    columns: Mapping[int, pa.Array],
    numbers: Ints,
    errors: list[FieldError],
    plan: CsvPlan,
    clocks: LocalClocks,
    owner: CsvOwner,
) -> tuple[Block, int]:
    """Return the readings of rows whose columns are texts, by their places in the plan, and how many hold no value.
    `numbers` are the positions of the rows; `errors` those of others, which come with the readings.
    """
    user_id, device_id = owner.user_id, owner.device_id
    values = columns[plan.value]
    stated = pc.invert(pc.is_in(pc.utf8_lower(values), pa.array(NO_VALUES)))
    empty = len(values) - (pc.sum(stated).as_py() or 0)
    if empty:
        columns = {place: column.filter(stated) for place, column in columns.items()}
        numbers = numbers[stated.to_numpy(zero_copy_only=False)]
    good = np.ones(len(numbers), np.bool_)
    for place, wanted in plan.same.items():
        _refuse_others(columns[place], (plan.names[place], wanted), numbers, (good, errors))
    times = plan.layout.read(_times(columns, plan))
    for row in np.flatnonzero(good & ~times.good).tolist():
        texts = [columns[place][row].as_py() for place in plan.times]
        errors.append(FieldError("timestamp", _no_time(" ".join(texts), plan), int(numbers[row])))
    good &= times.good
    floats, is_number = _numbers(columns[plan.value], decimal_comma=plan.decimal_comma)
    errors += [FieldError(plan.metric, "is not a number", int(line)) for line in numbers[good & ~is_number]]
    good &= is_number
    devices = _devices(columns, plan, device_id, len(numbers))
    too_long = np.array([len(name) > LONGEST_NAME for name in devices.texts] or [False], np.bool_)[devices.codes]
    errors += [FieldError("device_id", "is too long a name", int(line)) for line in numbers[good & too_long]]
    rows = np.flatnonzero(good & ~too_long)
    users = Ids.repeated(user_id or "", len(rows)) if plan.user is None else _ids(columns[plan.user]).take(rows)
    utc = times.utc | plan.in_utc
    us, local = times.us[rows], np.flatnonzero(~utc[rows])
    if len(local):
        us[local] = clocks.instants(us[local], users.take(local))
    confidences = np.full(len(rows), NO_CONFIDENCE, np.int8)
    if plan.confidence is not None:
        coded = _ids(columns[plan.confidence]).take(rows)
        known = [_CONFIDENCES.get(text.lower(), NOT_A_CONFIDENCE) for text in coded.texts]
        confidences = np.array(known or [NO_CONFIDENCE], np.int8)[coded.codes]
    candidates, changed = without_changed_ids(
        Candidates(
            users, _named(devices.take(rows), device_id), us, floats[rows], confidences, numbers[rows], plan.metric
        )
    )
    errors = sorted([*errors, *changed], key=lambda error: error.index or 0)
    return Block(candidates, errors, len(candidates) + len(errors)), empty


def _times(columns: Mapping[int, pa.Array], plan: CsvPlan) -> pa.Array:
    texts = [columns[place] for place in plan.times]
    text = texts[0] if len(texts) == 1 else pc.utf8_trim_whitespace(pc.binary_join_element_wise(*texts, " "))
    return pc.replace_substring_regex(text, _BLANKS, " ")


def _no_time(text: str, plan: CsvPlan) -> str:
    if plan.layout.unit is None and plan.layout.format == "iso":
        return why_no_time(text)
    return wrong_unit(text, plan.layout)


def _refuse_others(
    column: pa.Array, said: tuple[str, str], numbers: Ints, found: tuple[Mask, list[FieldError]]
) -> None:
    """Refuse the lines with another text than all lines must have in this column."""
    (name, wanted), (good, errors) = said, found
    other = pc.not_equal(column, wanted).to_numpy(zero_copy_only=False)
    reason = "is another one than in the first line; import a file for each"
    errors += [FieldError(shown_name(name), reason, int(line)) for line in numbers[good & other]]
    good &= ~other


def _numbers(texts: pa.Array, *, decimal_comma: bool) -> tuple[npt.NDArray[np.float64], Mask]:
    if decimal_comma:
        texts = pc.replace_substring(texts, ",", ".")
    good = pc.match_substring_regex(texts, _NUMBER)
    texts = pc.fill_null(pc.if_else(good, texts, None), "0")
    texts = pc.replace_substring_regex(texts, r"^\+", "")
    return np.asarray(texts.cast(pa.float64()).to_numpy()), np.asarray(good.to_numpy(zero_copy_only=False), np.bool_)


def _devices(columns: Mapping[int, pa.Array], plan: CsvPlan, device_id: str | None, count: int) -> Ids:
    if device_id is not None or plan.device is None:
        return Ids.repeated(device_id or DEVICE_ID, count)
    return _ids(columns[plan.device])


def _named(devices: Ids, device_id: str | None) -> Ids:
    """Return the ids of devices that a file names in words."""
    if device_id is not None:
        return devices
    named = [name if identifier_problem(name) is None else device_id_of(name, DEVICE_ID) for name in devices.texts]
    return Ids(devices.codes, named)


def _ids(column: pa.Array) -> Ids:
    coded = column.dictionary_encode()
    return Ids(np.asarray(coded.indices.to_numpy(), np.int32), coded.dictionary.to_pylist())


# --- from text to columns ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns that are read, by their places, without blanks around their texts."""

    columns: dict[int, pa.Array]
    numbers: Ints
    errors: list[FieldError]
    rest: bytes = b""
    rest_line: int = 0


def _alike(text: bytes, first_line: int, plan: CsvPlan) -> _Table | None:
    """Return the columns if all lines have as many fields as there are columns, and no field has several lines."""
    if not text or b"\n\n" in text or text[:1] == b"\n" or text.count(b'"') % 2:  # blank lines, or an open quote
        return None
    count = text.count(b"\n")
    names = [str(place) for place in range(len(plan.names))]
    used = list(dict.fromkeys(plan.used))
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(text),
            pa_csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            pa_csv.ParseOptions(delimiter=plan.delimiter, ignore_empty_lines=False),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=[str(place) for place in used],
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    if table.num_rows != count:
        return None
    columns = {place: pc.utf8_trim_whitespace(table[str(place)].chunk(0)) for place in used}
    return _Table(columns, np.arange(first_line, first_line + count), [])


def _one_by_one(text: bytes, first_line: int, plan: CsvPlan) -> _Table:
    """The same for lines among which are others."""
    width, used = len(plan.names), list(dict.fromkeys(plan.used))
    cells: list[list[str]] = [[] for _ in used]
    numbers: list[int] = []
    errors: list[FieldError] = []
    shown = text.replace(b"\0", b"?").decode("utf-8", "replace")
    reader = csv.reader(
        chain(io.StringIO(shown, newline="\n"), (_END,)), delimiter=plan.delimiter, skipinitialspace=True
    )
    line = begin = 0
    rest_line = 0
    try:
        for row in reader:
            begin, line = line, reader.line_num
            if row and row[-1].endswith(_END):
                rest_line = begin + 1 if row != [_END] else 0
                break
            number = first_line + begin
            while len(row) > width and not row[-1].strip():
                row.pop()
            if len(row) == width:
                for column, place in zip(cells, used, strict=True):
                    column.append(row[place].strip())
                numbers.append(number)
            elif any(cell.strip() for cell in row):
                errors.append(FieldError("line", f"has {len(row)} columns instead of {width}", number))
    except csv.Error:  # a field is too long, since nothing ends its quote
        rest_line = line + 1
    columns = {place: pa.array(column, pa.string()) for place, column in zip(used, cells, strict=True)}
    table = _Table(columns, np.array(numbers, np.int64), errors)
    if not rest_line:
        return table
    lines = text.split(b"\n")
    return replace(table, rest=b"\n".join(lines[rest_line - 1 :]), rest_line=first_line + rest_line - 1)
