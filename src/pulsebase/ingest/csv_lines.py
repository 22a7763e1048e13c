"""Turn readings that came as CSV into columns, a bounded piece of the text at a time.

A field in quotes may hold commas and line breaks (RFC 4180). Its content is never read as a line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from pulsebase.ingest.blocks import HEART_RATE_FIELDS, Block, ChooseFields, MalformedError, ReadingFields
from pulsebase.ingest.candidates import NO_METRIC, Decoded
from pulsebase.ingest.columns import check_columns
from pulsebase.ingest.items import parse_items
from pulsebase.ingest.lines import LINE_BYTES, ReadableBytes, line_pieces
from pulsebase.ingest.metric_blocks import of_metrics
from pulsebase.ingest.table_ids import without_changed_ids
from pulsebase.ingest.validate import readable
from pulsebase.model.errors import FieldError, RejectedError

Row = list[str]

#: Plain numbers only: `float` would also accept `7_5` and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
#: The characters of plain numbers, one number a line.
_NUMERALS = re.compile(r"[0-9.eE+\-\n]*")
_CARRIAGE_RETURNS = re.compile(r"\r+(?=\n|\Z)")
#: Stands for a carriage return that ends no line, which no field can hold.
_LONE_RETURN = "\0"
#: A row of two fields, or the end of a field in quotes that is still open.
_END = ["\0", "\0"]
_NOT_AS_MANY = "has not as many fields as the first line has names"


def csv_blocks(body: ReadableBytes, fields: ReadingFields | ChooseFields = HEART_RATE_FIELDS) -> Iterator[Block]:
    """Yield blocks of the rows. The first line names the columns, by which the fields may be chosen.

    Raises:
        MalformedError: a line is too long or not UTF-8, or a quote is never closed. What came before it was read.
        RejectedError: the columns are not those of readings.
    """
    names: Row | None = None
    position = 0
    for rows in _rows_of(body):
        if names is None:
            names = [name.strip() for name in rows.pop(0)]
            fields = fields if isinstance(fields, ReadingFields) else fields(names)
            _check_names(names, fields)
        if rows:
            assert isinstance(fields, ReadingFields)  # chosen with the names
            metrics = _column_of(names, rows, "metric") if fields.names_metric else ()
            yield from of_metrics(_block(names, rows, position, fields), fields, metrics, position)
            position += len(rows)
    if names is None:
        raise MalformedError("the body is empty; the first line names the columns")


# --- from text to rows ---------------------------------------------------------------------------------------------


def _rows_of(body: ReadableBytes) -> Iterator[list[Row]]:
    """Yield lists of rows, none of them empty. Blank lines are not rows."""
    rest = ""
    for number, piece in enumerate(line_pieces(body)):
        text = _decoded(piece)
        if number == 0:
            text = text.removeprefix("\ufeff")
        rows: list[Row] = []
        problem = None
        try:
            rest = _read_rows(rest + text, rows)
        except csv.Error:
            problem = f"a field is longer than {csv.field_size_limit()} characters"
        if len(rest) > LINE_BYTES:
            problem = f"a field in quotes is longer than {LINE_BYTES} characters, or nothing ends it"
        if rows:
            yield rows
        if problem is not None:
            raise MalformedError(problem)
    if rest:
        raise MalformedError("nothing ends the quote of the last field; what it holds is not read")


def _read_rows(text: str, rows: list[Row]) -> str:
    """Add the rows of a text. Return the end of the text if it is a row whose quote is still open, else an empty text.

    Raises:
        csv.Error: a field is too long. The rows before it were added.
    """
    if "\r" in text:
        text = _CARRIAGE_RETURNS.sub("", text).replace("\r", _LONE_RETURN)
    if '"' not in text:
        rows += [line.split(",") for line in text.split("\n") if line and not line.isspace()]
        return ""
    found: list[Row] = []
    try:
        found.extend(_reader(text, ",".join(_END)))  # `_END` comes back as a row of its own, unless a quote is open
    except csv.Error:
        rows += _not_blank(found)
        raise
    last = found.pop()
    rows += _not_blank(found)
    return "" if last == _END else _last_row(text)


def _reader(text: str, *more: str) -> Any:
    return csv.reader(chain(io.StringIO(text, newline="\n"), more), skipinitialspace=True)


def _not_blank(rows: list[Row]) -> list[Row]:
    return [row for row in rows if len(row) > 1 or (row and row[0].strip())]


def _last_row(text: str) -> str:
    reader, start, end = _reader(text), 0, 0
    for _ in reader:
        start, end = end, reader.line_num
    return "\n".join(text.split("\n")[start:])


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise MalformedError("the body is not UTF-8") from None


# --- from rows to columns ------------------------------------------------------------------------------------------


def _check_names(names: Sequence[str], fields: ReadingFields) -> None:
    """Raise `RejectedError` unless these are the columns of readings. A first line without any column name may hold
    data, so that the error quotes nothing of it.
    """
    if any(_LONE_RETURN in name for name in names):
        raise RejectedError.of("columns", "lines must end in a line feed; these end in a carriage return alone")
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        if any(part.strip() in fields.all for name in names if sign in name for part in name.split(sign)):
            raise RejectedError.of("columns", f"are parted by {called}; part them by commas")
    if not any(name in fields.all for name in names):
        raise RejectedError.of("columns", f"must be named in the first line: {', '.join(fields.all)}")
    check_columns(names, fields)


def _block(names: Sequence[str], rows: Sequence[Sequence[str]], position: int, fields: ReadingFields) -> Block:
    try:
        parsed, errors = readable(_columns(names, rows, position, fields))
    except ValueError:  # the rows have to be parsed one by one
        items = [_item(names, row, fields.value) for row in rows]
        parsed, errors = parse_items(items, position, fields)
        uneven = {place for place, item in enumerate(items, position) if item is None}
        errors = [FieldError("reading", _NOT_AS_MANY, at.index) if at.index in uneven else at for at in errors]
    parsed, changed = without_changed_ids(parsed)
    if changed:
        errors = sorted([*errors, *changed], key=lambda error: error.index or 0)
    return Block(parsed, errors, len(rows))


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]], position: int, fields: ReadingFields) -> Decoded:
    """Return rows as columns.

    Raises:
        ValueError: they have to be parsed one by one.
    """
    every = zip(*rows, strict=True)
    columns = {name: list(map(str.strip, column)) for name, column in zip(names, every, strict=True)}
    values = columns[fields.value]
    if _NUMERALS.fullmatch("\n".join(values)) is None:
        raise ValueError("a value is no number")
    confidences = columns.get("confidence")
    stated = _Stated()
    return Decoded.of(
        columns["user_id"],
        columns["device_id"],
        columns["timestamp"],
        list(map(float, values)),
        [None] * len(rows) if confidences is None else list(map(stated.__getitem__, confidences)),
        position,
    )


def _column_of(names: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> list[str]:
    """Return one column as texts, empty for rows that have no such field."""
    place = names.index(name)
    return [row[place].strip() if len(row) == len(names) else NO_METRIC for row in rows]


def _item(names: Sequence[str], row: Sequence[str], value: str) -> dict[str, Any] | None:
    """Return a row as the object that JSON would give; None if it does not have one field for each column."""
    if len(row) != len(names):
        return None
    item: dict[str, Any] = dict(zip(names, map(str.strip, row), strict=True))
    item[value] = _number(item[value])
    if "confidence" in item:
        item["confidence"] = _confidence(item["confidence"])
    return item


def _number(text: str) -> float | str:
    return float(text) if _NUMBER.fullmatch(text) else text


def _confidence(text: str) -> float | str | None:
    """Return the confidence as a number, None for an empty text or NaN, and the text itself if it is not a number."""
    return None if text == "" or text.lower() == "nan" else _number(text)


class _Stated(dict[str, float | None]):
    """Cache of confidences by text: a column holds few different ones."""

    def __missing__(self, text: str) -> float | None:
        stated = _confidence(text)
        if isinstance(stated, str):
            raise ValueError("a confidence is no number")
        self[text] = stated
        return stated
