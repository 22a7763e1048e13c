"""Bulk bodies as blocks of candidates: Arrow streams, Parquet, NDJSON and CSV, each in bounded memory."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pulsebase.api.arrowstream import BoundedMessages
from pulsebase.api.decode import ReadingIn, columns_of, parse_items
from pulsebase.api.errors import ProblemError, shown_name
from pulsebase.api.streaming import BodyStream
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates, Decoded
from pulsebase.ingest.times import read_times
from pulsebase.model.errors import FieldError, RejectedError, StoreUnavailableError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE, Ids

#: Readings of one block, which is one commit.
BLOCK_READINGS = 100_000
_TEXT_BYTES = 4 << 20
_LINE_BYTES = 1 << 20
#: The largest record batch of an Arrow stream, as sent and as unpacked: it has to be in memory whole.
_RECORD_BATCH_BYTES = 256 << 20
_US_OF: Mapping[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
#: Plain numbers alone: Python would also read `7_5` and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

_REQUIRED = ("user_id", "device_id", "timestamp", HEART_RATE.name)
COLUMNS = (*_REQUIRED, "confidence")


@dataclass(frozen=True, slots=True)
class Block:
    """Some readings of a bulk body: what could be read, by position in the body, and what could not."""

    candidates: Candidates | Decoded
    errors: list[FieldError]
    total: int


def blocks_of(body: BodyStream, media_type: str) -> Iterator[Block]:
    """The body's blocks.

    Raises:
        ProblemError: the type is not one of `READERS`, or the body is not of its type.
        RejectedError: the columns are not those of readings.
        BrokenOffError: the body broke off.
    """
    reader = READERS.get(media_type)
    if reader is None:
        known = ", ".join(READERS)
        raise ProblemError("unsupported-media-type", f"the body's Content-Type must be one of {known}")
    return reader(body)


def _arrow(body: BodyStream) -> Iterator[Block]:
    try:
        stream = pa.ipc.open_stream(pa.PythonFile(BoundedMessages(body, _RECORD_BATCH_BYTES), mode="r"))
        _check_columns(stream.schema.names)
        yield from _of_batches(iter(stream))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise ProblemError("malformed-body", "the body is not an Arrow IPC stream, or is cut short") from None
    if body.read(1):
        raise ProblemError("malformed-body", "more follows behind the end of the Arrow stream")


def _parquet(body: BodyStream) -> Iterator[Block]:
    # Parquet keeps its table of contents at the end: the file has to be whole before a row can be read.
    with tempfile.TemporaryFile(prefix="pulsebase-bulk-") as file:
        try:
            while piece := body.read(_TEXT_BYTES):
                file.write(piece)
            file.seek(0)
        except OSError as error:
            raise StoreUnavailableError(f"the body cannot be kept: {error.strerror}", retry_after_s=60) from error
        try:
            parquet = pq.ParquetFile(file)
            _check_columns(parquet.schema_arrow.names)
            yield from _of_batches(parquet.iter_batches(BLOCK_READINGS))
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise ProblemError("malformed-body", "the body is not a Parquet file, or is cut short") from None


def _ndjson(body: BodyStream) -> Iterator[Block]:
    decoder = msgspec.json.Decoder(ReadingIn)
    position = 0
    for text in _line_pieces(body):
        try:
            readings = decoder.decode_lines(text)
            yield Block(columns_of(readings, position), [], len(readings))
            position += len(readings)
        except (msgspec.DecodeError, ValueError, OverflowError):
            items = [_json_line(line) for line in text.split(b"\n") if line.strip()]
            parsed, errors = parse_items(items, position)
            yield Block(parsed, errors, len(items))
            position += len(items)


def _csv(body: BodyStream) -> Iterator[Block]:
    names: list[str] | None = None
    position = 0
    for text in _line_pieces(body):
        lines = [line.rstrip("\r") for line in _decoded(text).split("\n") if line.strip()]
        if names is None and lines:
            names = [_unquoted(name) for name in lines.pop(0).removeprefix("\ufeff").split(",")]
            _check_columns(names)
        if not lines or names is None:
            continue
        items = [_csv_item(names, line) for line in lines]
        parsed, errors = parse_items(items, position)
        yield Block(parsed, errors, len(items))
        position += len(items)
    if names is None:
        raise ProblemError("malformed-body", "the body is empty; the first line names the columns")


READERS: Mapping[str, Callable[[BodyStream], Iterator[Block]]] = {
    "application/vnd.apache.arrow.stream": _arrow,
    "application/vnd.apache.parquet": _parquet,
    "application/x-ndjson": _ndjson,
    "text/csv": _csv,
}


def _of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[Block]:
    position = 0
    for batch in batches:
        batch.validate(full=True)  # what lies outside of its buffers would take the process down
        for start in range(0, batch.num_rows, BLOCK_READINGS):
            block = _of_batch(batch.slice(start, BLOCK_READINGS), position)
            yield block
            position += block.total


def _of_batch(batch: pa.RecordBatch, position: int) -> Block:
    """A block of columns; rows with a null where a value has to be are refused, the rest judged as columns."""
    positions = np.arange(position, position + batch.num_rows)
    for name in ("user_id", "device_id"):
        column = batch.column(name)
        if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            batch = batch.set_column(batch.schema.get_field_index(name), name, column.dictionary_decode())
    errors: list[FieldError] = []
    whole: npt.NDArray[np.bool_] = np.ones(batch.num_rows, np.bool_)
    for name in _REQUIRED:
        column = batch.column(name)
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            errors += [FieldError(name, "is required", int(positions[row])) for row in np.flatnonzero(missing & whole)]
            whole &= ~missing
    total = batch.num_rows
    times, unread = _times_us(batch.column("timestamp"))
    errors += [FieldError("timestamp", reason, int(positions[row])) for row, reason in unread if whole[row]]
    whole[[row for row, _ in unread]] = False
    if errors:
        batch, positions, times = batch.filter(pa.array(whole)), positions[whole], times[whole]
    candidates = Candidates(
        _ids(batch.column("user_id"), "user_id"),
        _ids(batch.column("device_id"), "device_id"),
        times,
        _numbers(batch.column(HEART_RATE.name)),
        _confidences(batch),
        positions,
    )
    return Block(candidates, errors, total)


def _check_columns(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    errors = [FieldError(shown_name(name), "is not a known column") for name in unknown[:10]]
    errors += [FieldError(name, "is required") for name in _REQUIRED if name not in names]
    errors += [FieldError(name, "is given more than once") for name in COLUMNS if names.count(name) > 1]
    if errors:
        raise RejectedError(errors)


def _ids(column: pa.Array, name: str) -> Ids:
    """A column without nulls."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise RejectedError.of(name, "must be a column of texts or integers")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    texts = column.dictionary.cast(pa.string()).to_pylist()
    return Ids(column.indices.to_numpy(zero_copy_only=False), texts)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _times_us(column: pa.Array) -> tuple[_Integers, list[tuple[int, str]]]:
    """Microseconds, and the rows whose text is no time, with the reason. Nulls come out as 0."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        ticks = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return (ticks // 1_000 if kind.unit == "ns" else _scaled(ticks, _US_OF[kind.unit])), []
    if not _is_text(kind):
        raise RejectedError.of("timestamp", "must be a column of timestamps or of ISO 8601 texts")
    return read_times(column.fill_null("").to_pylist())


def _scaled(ticks: _Integers, factor: int) -> _Integers:
    """Coarser ticks in microseconds; those beyond the numbers stay beyond what is accepted."""
    if factor == 1:
        return ticks
    most = (1 << 62) // factor
    return np.clip(ticks, -most, most) * factor


def _numbers(column: pa.Array) -> _Floats:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise RejectedError.of(HEART_RATE.name, "must be a column of numbers")
    values: _Floats = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _confidences(batch: pa.RecordBatch) -> npt.NDArray[np.int8]:
    if "confidence" not in batch.schema.names:
        return np.full(batch.num_rows, NO_CONFIDENCE, np.int8)
    column = batch.column("confidence")
    if pa.types.is_null(column.type):
        return np.full(batch.num_rows, NO_CONFIDENCE, np.int8)
    if not pa.types.is_integer(column.type):
        raise RejectedError.of("confidence", "must be a column of integers")
    stated_range = pc.min_max(column).as_py()
    if stated_range["min"] is None or (stated_range["min"] >= 0 and stated_range["max"] <= 3):
        codes: npt.NDArray[np.int8] = column.cast(pa.int8()).fill_null(NO_CONFIDENCE).to_numpy()
        return codes
    wide = column.cast(pa.int64(), safe=False).fill_null(NO_CONFIDENCE).to_numpy()
    stated = column.is_valid().to_numpy(zero_copy_only=False)
    return np.where(stated & ((wide < 0) | (wide > 3)), NOT_A_CONFIDENCE, wide).astype(np.int8)


def _line_pieces(body: BodyStream) -> Iterator[bytes]:
    """Pieces of whole lines, a block's worth at most."""
    for piece in _whole_lines(body):
        if piece.count(b"\n") <= BLOCK_READINGS:
            yield piece
            continue
        lines = piece.split(b"\n")
        for first in range(0, len(lines), BLOCK_READINGS):
            yield b"\n".join(lines[first : first + BLOCK_READINGS])


def _whole_lines(body: BodyStream) -> Iterator[bytes]:
    rest = b""
    while piece := body.read(_TEXT_BYTES):
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
        if len(rest) > _LINE_BYTES:
            raise ProblemError("malformed-body", f"a line is longer than {_LINE_BYTES} bytes")
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
        raise ProblemError("malformed-body", "the body is not UTF-8") from None


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
