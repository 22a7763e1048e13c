"""Readings that came as Arrow record batches, as columns of candidates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.ingest.blocks import BLOCK_READINGS, HEART_RATE_FIELDS, Block, MalformedError, ReadingFields
from pulsebase.ingest.candidates import NO_METRIC, NOT_A_CONFIDENCE, Candidates
from pulsebase.ingest.metric_blocks import of_metrics
from pulsebase.ingest.times import read_times
from pulsebase.model.errors import FieldError, RejectedError, shown_name
from pulsebase.model.readings import NO_CONFIDENCE, Ids

_US_OF: Mapping[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
#: The name under which pandas writes an index that has none.
_INDEX = re.compile(r"__index_level_\d+__")
#: Levels that an index may have. Nobody's has more than a few.
_MOST_LEVELS = 32
#: Texts written out: views may stand for the same bytes any number of times. Of all columns of a batch, which are
#: looked through, …
_TEXT_BYTES = 256 << 20
#: For a dictionary, and for a column of a block, whose texts become Python strings:
_DICTIONARY_TEXT_BYTES = 64 << 20
_BLOCK_TEXT_BYTES = 32 << 20

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]


def blocks_of_batches(batches: Iterator[pa.RecordBatch], fields: ReadingFields = HEART_RATE_FIELDS) -> Iterator[Block]:
    """Yield the readings of record batches as blocks. `check_columns` must have accepted their columns before.

    Raises:
        MalformedError: the texts of a batch are too long.
        RejectedError: a column has a type that its values cannot be read from.
    """
    position = 0
    passed_over: Sequence[str] | None = None
    for whole in batches:
        if passed_over is None:
            _check_types(whole.schema, fields)
            passed_over = indexes_in(whole.schema.names)
        batch = checked(whole.select([name for name in whole.schema.names if name in fields.all]))
        for start in range(0, batch.num_rows, BLOCK_READINGS):
            rows = bounded(batch.slice(start, BLOCK_READINGS))
            metrics = _texts(rows.column("metric")) if fields.names_metric else ()
            yield from of_metrics(_of_batch(rows, position, passed_over, fields), fields, metrics, position)
            position += rows.num_rows
            passed_over = ()


def check_schema(schema: pa.Schema, fields: ReadingFields = HEART_RATE_FIELDS) -> None:
    """Check the column names as `check_columns` does, and the column types, before any data is read."""
    check_columns(schema.names, fields)
    _check_types(schema, fields)


def check_columns(names: Sequence[str], fields: ReadingFields = HEART_RATE_FIELDS) -> None:
    """Raises `RejectedError` unless these are the columns of readings, in any order; a frame's index may be there."""
    unknown = [place for place, name in enumerate(names) if name not in fields.all and not _INDEX.fullmatch(name)]
    errors = [_unknown(names[place], place) for place in unknown[:10]]
    errors += [FieldError(name, "is required") for name in fields.required if name not in names]
    errors += [FieldError(name, "is given more than once") for name in fields.all if names.count(name) > 1]
    if len(indexes_in(names)) > _MOST_LEVELS:
        errors.append(FieldError("columns", f"hold an index of more than {_MOST_LEVELS} levels"))
    if errors:
        raise RejectedError(errors)


def indexes_in(names: Sequence[str]) -> list[str]:
    """Return the columns that hold the index of a data frame, which says nothing about a reading."""
    return [name for name in names if _INDEX.fullmatch(name)]


def _unknown(name: str, place: int) -> FieldError:
    if name.strip():
        return FieldError(shown_name(name), "is not a known column")
    return FieldError(f"column {place + 1}", "has no name; write a frame without its index (index=False)")


# --- types ---------------------------------------------------------------------------------------------------------


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_id(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or _is_text(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or _is_text(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_TYPES = {
    "user_id": (_is_id, "must be a column of texts or integers"),
    "device_id": (_is_id, "must be a column of texts or integers"),
    "timestamp": (_is_time, "must be a column of timestamps or of ISO 8601 texts"),
    "confidence": (_is_number, "must be a column of whole numbers"),
}
_METRIC_TYPES = {"metric": (_is_text, "must be a column of texts")}


def _check_types(schema: pa.Schema, fields: ReadingFields) -> None:
    """Raise `RejectedError` for columns of a wrong type. A column of nulls fits everywhere, and a dictionary column is
    judged by the type of its values.
    """
    errors = [
        FieldError(name, "is of a nested type; write a frame without its index (index=False)")
        for name, kind in zip(schema.names, schema.types, strict=True)  # an index may be there more than once
        if _INDEX.fullmatch(name) and not _is_flat(kind)
    ]
    for name, (fits, reason) in _types_of(fields).items():
        if name not in schema.names:
            continue
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_null(kind) or fits(kind)):
            errors.append(FieldError(name, reason))
    if errors:
        raise RejectedError(errors)


def _types_of(fields: ReadingFields) -> Mapping[str, tuple[Callable[[pa.DataType], bool], str]]:
    """Return what the type of each column must be, and what to say if it is not."""
    named = _METRIC_TYPES if fields.names_metric else {}
    return _TYPES | named | {fields.value: (_is_number, "must be a column of numbers")}


def _is_flat(kind: pa.DataType) -> bool:
    """Whether the type holds single values, not values made of others."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    made = isinstance(kind, pa.BaseExtensionType) or pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return not (made or pa.types.is_nested(kind))


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Validate the batch, so that nothing in it points outside its buffers, and replace string views by plain texts,
    since Arrow has few functions for views.
    """
    left_bytes = _TEXT_BYTES
    batch.validate()  # checks lengths and buffer sizes; before it, only `num_rows` is safe to read
    for name in batch.schema.names:
        column = batch.column(name)
        if pa.types.is_string_view(column.type):
            plain = _plain_texts(column, name, left_bytes)
            left_bytes -= plain.nbytes
        elif pa.types.is_dictionary(column.type) and pa.types.is_string_view(column.type.value_type):
            plain = pa.DictionaryArray.from_arrays(
                column.indices, _plain_texts(column.dictionary, name, _DICTIONARY_TEXT_BYTES)
            )
        else:
            continue
        batch = batch.set_column(batch.schema.get_field_index(name), name, plain)
    batch.validate(full=True)  # an offset outside the buffers would crash the process
    return batch


def _plain_texts(views: pa.Array, name: str, most_bytes: int) -> pa.Array:
    """Return string views as plain texts. The lengths of the buffers must have been checked before.

    A view is 16 bytes, the first four of them its length. Arrow's cast also follows the views of nulls, which may hold
    anything and are not validated; so they are emptied first.
    """
    if not len(views):
        return pa.array([], pa.string())
    validity, buffer, *texts = views.buffers()
    whole = np.frombuffer(buffer, np.uint32, 4 * (views.offset + len(views))).reshape(-1, 4)[views.offset :]
    nulls = 0
    if validity is not None:
        valid = views.is_valid().to_numpy(zero_copy_only=False)
        nulls = len(valid) - int(np.count_nonzero(valid))
        whole = np.where(valid[:, np.newaxis], whole, np.uint32(0))
        validity = pa.py_buffer(np.packbits(valid, bitorder="little"))
    if int(whole[:, 0].sum(dtype=np.uint64)) > most_bytes:
        raise _too_long(name, most_bytes)
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(whole)), *texts]
    emptied = pa.Array.from_buffers(views.type, len(views), buffers, nulls)
    emptied.validate(full=True)
    return emptied.cast(pa.string())


def bounded(block: pa.RecordBatch) -> pa.RecordBatch:
    """Refuse a block whose texts are far longer than readings need: they all become Python strings."""
    for name in block.schema.names:
        column = block.column(name)
        if _is_text(column.type) and (pc.sum(pc.binary_length(column)).as_py() or 0) > _BLOCK_TEXT_BYTES:
            raise _too_long(name, _BLOCK_TEXT_BYTES)
    return block


def _too_long(name: str, most_bytes: int) -> MalformedError:
    return MalformedError(f"the texts of {name} that come together are longer than {most_bytes} bytes in all")


# --- columns -------------------------------------------------------------------------------------------------------


def _of_batch(batch: pa.RecordBatch, position: int, passed_over: Sequence[str], fields: ReadingFields) -> Block:
    """Turn a batch into a block. Rows with a null in a required column, or an unreadable time, become errors; the rest
    stay columns.
    """
    positions = np.arange(position, position + batch.num_rows)
    errors: list[FieldError] = []
    whole: _Mask = np.ones(batch.num_rows, np.bool_)
    for name in fields.required:
        missing = _missing(batch.column(name))
        if missing is not None:
            errors += [FieldError(name, "is required", int(positions[row])) for row in np.flatnonzero(missing & whole)]
            whole &= ~missing
    total = batch.num_rows
    times, unread = _times_us(batch.column("timestamp"))
    errors += [FieldError("timestamp", reason, int(positions[row])) for row, reason in unread if whole[row]]
    whole[[row for row, _ in unread]] = False
    if errors:
        batch, positions, times = batch.filter(pa.array(whole)), positions[whole], times[whole]
    candidates = Candidates(
        _ids(batch.column("user_id")),
        _ids(batch.column("device_id")),
        times,
        _numbers(batch.column(fields.value)),
        _confidences(batch),
        positions,
    )
    return Block(candidates, errors, total, passed_over)


def _missing(column: pa.Array) -> _Mask | None:
    """Return which rows are null, None if no row is. A row may also refer to a null in a dictionary."""
    missing: _Mask | None = None
    if column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
        nulls = column.dictionary.is_null().to_numpy(zero_copy_only=False)[_codes(column)]
        missing = nulls if missing is None else missing | nulls
    return missing


def _codes(column: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """Return the index of each row's value in the dictionary, 0 for a null row."""
    indices = column.indices.fill_null(0) if column.null_count else column.indices
    codes: npt.NDArray[np.int32] = indices.to_numpy(zero_copy_only=False)
    return codes


def _ids(column: pa.Array) -> Ids:
    """Return a column without nulls as ids."""
    if not len(column):
        return Ids(np.empty(0, np.int32), [])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes, texts = _codes(column), column.dictionary
    if len(texts) > len(codes):  # every block of a batch carries the whole dictionary, which may be large
        used, places = np.unique(codes, return_inverse=True)
        codes, texts = places.astype(np.int32), texts.take(pa.array(used))
    if texts.null_count:
        return Ids(codes, [text or "" for text in texts.cast(pa.string()).to_pylist()])
    return Ids(codes, texts.cast(pa.string()).to_pylist())


def _texts(column: pa.Array) -> Ids:
    """Return a column of texts, with an empty text for null."""
    if pa.types.is_null(column.type):
        return Ids.repeated(NO_METRIC, len(column))
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return _ids(pc.fill_null(column, NO_METRIC))


def _times_us(column: pa.Array) -> tuple[_Integers, list[tuple[int, str]]]:
    """Return microseconds since 1970, 0 for nulls, and the rows whose text is not a time, each with the reason."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _times_in_dictionary(column)
    if pa.types.is_timestamp(kind):
        ticks = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return (ticks // 1_000 if kind.unit == "ns" else _scaled(ticks, _US_OF[kind.unit])), []
    if pa.types.is_null(kind):
        return np.zeros(len(column), np.int64), []
    return read_times(column.fill_null("").to_pylist())


def _times_in_dictionary(column: pa.DictionaryArray) -> tuple[_Integers, list[tuple[int, str]]]:
    """As `_times_us`, but each distinct text is read once."""
    used, codes = np.unique(_codes(column), return_inverse=True)
    if not len(column.dictionary):
        return np.zeros(len(column), np.int64), []
    times, unread = _times_us(column.dictionary.take(pa.array(used)))
    if not unread:
        return times[codes], []
    reasons = dict(unread)
    rows = np.flatnonzero(np.isin(codes, list(reasons))).tolist()
    return times[codes], [(row, reasons[int(codes[row])]) for row in rows]


def _scaled(ticks: _Integers, factor: int) -> _Integers:
    """Return coarser ticks in microseconds. Ticks that would overflow are clipped, but stay out of accepted bounds."""
    if factor == 1:
        return ticks
    most = (1 << 62) // factor
    return np.clip(ticks, -most, most) * factor


def _numbers(column: pa.Array) -> _Floats:
    """Return the column as doubles, with NaN for nulls."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: _Floats = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _confidences(batch: pa.RecordBatch) -> npt.NDArray[np.int8]:
    """Return the confidences, `NO_CONFIDENCE` for nulls and NaN, `NOT_A_CONFIDENCE` for anything but 0 to 3."""
    if "confidence" not in batch.schema.names:
        return np.full(batch.num_rows, NO_CONFIDENCE, np.int8)
    column = batch.column("confidence")
    if not pa.types.is_integer(column.type):
        stated = _numbers(column)
        held = np.isin(stated, (0, 1, 2, 3))
        of_numbers = np.where(np.isnan(stated), NO_CONFIDENCE, np.where(held, stated, NOT_A_CONFIDENCE))
        return of_numbers.astype(np.int8)
    stated_range = pc.min_max(column).as_py()
    if stated_range["min"] is None or (stated_range["min"] >= 0 and stated_range["max"] <= 3):
        codes: npt.NDArray[np.int8] = column.cast(pa.int8()).fill_null(NO_CONFIDENCE).to_numpy()
        return codes
    wide = column.cast(pa.int64(), safe=False).fill_null(NO_CONFIDENCE).to_numpy()
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return np.where(valid & ((wide < 0) | (wide > 3)), NOT_A_CONFIDENCE, wide).astype(np.int8)
