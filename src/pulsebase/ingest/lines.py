"""Readings that came as lines, NDJSON or CSV, as columns of candidates: a bounded piece of them at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from pulsebase.ingest.blocks import BLOCK_READINGS, Block, MalformedError
from pulsebase.ingest.columns import check_columns
from pulsebase.ingest.items import ReadingIn, columns_of, parse_items
from pulsebase.ingest.table_ids import without_changed_ids
from pulsebase.ingest.validate import readable
from pulsebase.model.metrics import HEART_RATE

#: Bytes read at a time.
_TEXT_BYTES = 4 << 20
_LINE_BYTES = 1 << 20
#: Plain numbers alone: Python would also read `7_5` and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class Readable(Protocol):
    """What lines are read from: a body, a file."""

    def read(self, size: int, /) -> bytes: ...


def ndjson_blocks(body: Readable) -> Iterator[Block]:
    """A JSON object a line.

    Raises:
        MalformedError: a line is too long.
    """
    decoder = msgspec.json.Decoder(ReadingIn)
    position = 0
    for text in line_pieces(body):
        try:
            readings = decoder.decode_lines(text)
            candidates, errors = readable(columns_of(readings, position))
            yield Block(candidates, errors, len(readings))
            position += len(readings)
        except (msgspec.DecodeError, ValueError, OverflowError):
            items = [_json_line(line) for line in text.split(b"\n") if line.strip()]
            parsed, errors = parse_items(items, position)
            yield Block(parsed, errors, len(items))
            position += len(items)


def csv_blocks(body: Readable) -> Iterator[Block]:
    """Lines of fields, the first of which names the columns.

    Raises:
        MalformedError: a line is too long, or is no text.
        RejectedError: the columns are not those of readings.
    """
    names: list[str] | None = None
    position = 0
    for text in line_pieces(body):
        lines = [line.rstrip("\r") for line in _decoded(text).split("\n") if line.strip()]
        if names is None and lines:
            names = [_unquoted(name) for name in lines.pop(0).removeprefix("\ufeff").split(",")]
            check_columns(names)
        if not lines or names is None:
            continue
        items = [_csv_item(names, line) for line in lines]
        parsed, errors = parse_items(items, position)
        parsed, changed = without_changed_ids(parsed)
        yield Block(parsed, sorted([*errors, *changed], key=lambda error: error.index or 0), len(items))
        position += len(items)
    if names is None:
        raise MalformedError("the body is empty; the first line names the columns")


def line_pieces(body: Readable) -> Iterator[bytes]:
    """Pieces of whole lines, a block's worth at most.

    Raises:
        MalformedError: a line is too long.
    """
    for piece in _whole_lines(body):
        if piece.count(b"\n") <= BLOCK_READINGS:
            yield piece
            continue
        lines = piece.split(b"\n")
        for first in range(0, len(lines), BLOCK_READINGS):
            yield b"\n".join(lines[first : first + BLOCK_READINGS])


def _whole_lines(body: Readable) -> Iterator[bytes]:
    rest = b""
    while piece := body.read(_TEXT_BYTES):
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
        if len(rest) > _LINE_BYTES:
            raise MalformedError(f"a line is longer than {_LINE_BYTES} bytes")
    if rest.strip():
        yield rest


def _json_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None  # refused as «must be an object»


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise MalformedError("the body is not UTF-8") from None


def _csv_item(names: Sequence[str], line: str) -> dict[str, Any] | None:
    """A line as the object that JSON would bring; None where the columns do not fit. Ids hold no comma or quote."""
    fields = [_unquoted(field) for field in line.split(",")]
    if len(fields) != len(names):
        return None
    item: dict[str, Any] = dict(zip(names, fields, strict=True))
    item[HEART_RATE.name] = _number(item[HEART_RATE.name])
    if "confidence" in item:
        item["confidence"] = _integer(item["confidence"])
    return item


def _unquoted(field: str) -> str:
    """A field without the quotes around it, if it has both."""
    bare = field.strip()
    return bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] == '"' else bare


def _number(text: str) -> float | str:
    return float(text) if _NUMBER.fullmatch(text) else text


def _integer(text: str) -> int | str | None:
    if text == "":
        return None
    return int(text) if _INTEGER.fullmatch(text) else text
