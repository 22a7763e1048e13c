"""Readings that came as Arrow record batches, as columns of candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.ingest.blocks import BLOCK_READINGS, COLUMNS, REQUIRED, Block
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates
from pulsebase.ingest.times import read_times
from pulsebase.model.errors import FieldError, RejectedError, shown_name
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE, Ids

_US_OF: Mapping[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


def blocks_of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[Block]:
    """The readings of record batches, whose columns `check_columns` has looked at, as blocks.

    Raises:
        RejectedError: a column is of a type that it cannot be.
    """
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
    for name in REQUIRED:
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


def check_columns(names: Sequence[str]) -> None:
    """Raises `RejectedError` unless these are the columns of readings, in any order."""
    unknown = [name for name in names if name not in COLUMNS]
    errors = [FieldError(shown_name(name), "is not a known column") for name in unknown[:10]]
    errors += [FieldError(name, "is required") for name in REQUIRED if name not in names]
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
