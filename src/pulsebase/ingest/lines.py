"""Turn readings that came as lines of JSON into columns, a bounded piece at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from pulsebase.ingest.blocks import (
    BLOCK_READINGS,
    HEART_RATE_FIELDS,
    Block,
    ChooseFields,
    MalformedError,
    ReadingFields,
)
from pulsebase.ingest.candidates import NO_METRIC
from pulsebase.ingest.items import AnyReadingIn, MetricReadingIn, columns_of, parse_items, struct_of
from pulsebase.ingest.metric_blocks import of_metrics
from pulsebase.ingest.validate import readable

#: Bytes read at a time.
_TEXT_BYTES = 4 << 20
LINE_BYTES = 1 << 20
#: Stands for a line that is not JSON; and the reason why it is refused.
_UNREAD = object()
_NOT_JSON = "is not JSON; a line holds one reading"


class ReadableBytes(Protocol):
    """The source of lines: a request body or a file."""

    def read(self, size: int, /) -> bytes: ...


def ndjson_blocks(body: ReadableBytes, fields: ReadingFields | ChooseFields = HEART_RATE_FIELDS) -> Iterator[Block]:
    """Yield blocks of readings from text with one JSON object a line. The fields may be chosen by the first line.

    Raises:
        MalformedError: a line is too long.
        RejectedError: the fields of the first line do not say what its value is of.
    """
    decoder: msgspec.json.Decoder[AnyReadingIn] | None = None
    position = 0
    for text in line_pieces(body):
        if not isinstance(fields, ReadingFields):
            fields = fields(_fields_in(text))
        if decoder is None:
            decoder = msgspec.json.Decoder(struct_of(fields))
        try:
            readings = decoder.decode_lines(text)
            candidates, errors = readable(columns_of(readings, position))
            total, metrics = len(readings), _metrics_of(readings) if fields.names_metric else []
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
            items = [_json_line(line) for line in text.split(b"\n") if line.strip()]
            candidates, errors = parse_items(items, position, fields)
            whys = enumerate(map(_no_reading, items), position)
            said: dict[int | None, str] = {place: why for place, why in whys if why is not None}
            errors = [replace(error, reason=said.get(error.index, error.reason)) for error in errors]
            total, metrics = len(items), list(map(_metric_in, items))
        yield from of_metrics(Block(candidates, errors, total), fields, metrics, position)
        position += total


def _fields_in(text: bytes) -> Sequence[str]:
    """Return the fields of the first line; none if it is no object."""
    first = _json_line(text.lstrip().partition(b"\n")[0])
    return list(first) if isinstance(first, dict) else []


def _metrics_of(readings: Sequence[AnyReadingIn]) -> list[str]:
    return [reading.metric for reading in readings if isinstance(reading, MetricReadingIn)]


def _metric_in(item: Any) -> str:
    metric = item.get("metric") if isinstance(item, dict) else None
    return metric if isinstance(metric, str) else NO_METRIC


def line_pieces(body: ReadableBytes) -> Iterator[bytes]:
    """Yield pieces of whole lines, each with one block's worth of lines at most.

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


def _whole_lines(body: ReadableBytes) -> Iterator[bytes]:
    rest = b""
    while piece := body.read(_TEXT_BYTES):
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
        if len(rest) > LINE_BYTES:
            raise MalformedError(f"a line is longer than {LINE_BYTES} bytes")
    if rest.strip():
        yield rest


def _no_reading(item: Any) -> str | None:
    """Return why a line is not a reading, if there is more to say than that it is not an object."""
    if item is _UNREAD:
        return _NOT_JSON
    return "must be an object, not a list of them" if isinstance(item, list) else None


def _json_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _UNREAD
