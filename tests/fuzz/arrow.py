"""Arrow streams of every kind of column, and changes that keep the messages' lengths true."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import pyarrow as pa

from tests.fuzz.mutate import bytes_changed, number_put

_ROWS = 24
_FIRST = datetime(2024, 1, 15, 10, tzinfo=UTC)
_CONTINUES = b"\xff\xff\xff\xff"


@cache
def arrow_streams() -> list[bytes]:
    """Streams that are read, one of every kind of column, packed and not, with dictionaries that grow and change."""
    streams = [
        _stream(pa.table(columns() | {name: column})) for name, others in _OTHER_COLUMNS.items() for column in others()
    ]
    streams += [_stream(pa.table(columns() | _indexes()), compression=packed) for packed in (None, "lz4", "zstd")]
    dictionaries = {name: column.dictionary_encode() for name, column in columns().items()}
    streams += [_stream(pa.table(dictionaries), compression=packed) for packed in (None, "lz4", "zstd")]
    for deltas in (False, True):
        streams += [_growing(deltas=deltas, compression=packed) for packed in (None, "zstd")]
    old = pa.ipc.IpcWriteOptions(metadata_version=pa.MetadataVersion.V4, use_legacy_format=True)
    return [*streams, _written(pa.table(columns()).to_batches(), old), _written(pa.table(columns()).to_batches(8))]


@cache
def blocks_of_commands() -> list[bytes]:
    """What the command line sends to the owner's socket, packed and not."""
    users = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 12, pa.int32()), ["ann", "bob"])
    given = {
        "user_id": users,
        "device_id": users,
        "time_us": pa.array(range(_ROWS)),
        "value": pa.array([60.0] * _ROWS),
        "confidence": pa.array([-1, 2] * 12, pa.int8()),
        "position": pa.array(range(_ROWS)),
    }
    return [_stream(pa.table(given), compression=packed) for packed in (None, "lz4", "zstd")]


def stream_changed(dice: random.Random, data: bytes) -> bytes:
    """Change heads, bodies and the order of messages, and write them with their own lengths; at times mere bytes."""
    if dice.random() < 0.1:
        return bytes_changed(dice, data)
    messages = list(_messages(data))
    for _ in range(dice.randint(1, 3)):
        if not messages:
            return bytes_changed(dice, data)
        at = dice.randrange(len(messages))
        head, body = messages[at]
        match dice.randrange(12):
            case 0:
                messages.pop(at)
            case 1:
                messages.insert(dice.randrange(len(messages) + 1), messages[at])
            case 2:
                other = dice.randrange(len(messages))
                messages[at], messages[other] = messages[other], messages[at]
            case 3:
                other = dice.randrange(len(messages))
                messages[at] = (head, messages[other][1])
            case 4:
                messages[at] = (head, bytes_changed(dice, body) if body else body)
            case 5 | 6 if body:
                messages[at] = (head, _numbers_put(dice, body))
            case _:
                messages[at] = (_numbers_put(dice, head), body)
    parts = [_CONTINUES + len(head).to_bytes(4, "little") + head + body for head, body in messages]
    return b"".join(parts) + _CONTINUES + bytes(4)


def _numbers_put(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        if changed:
            number_put(dice, changed, aligned=True)
    return bytes(changed)


@lru_cache(maxsize=1000)
def _messages(data: bytes) -> Sequence[tuple[bytes, bytes]]:
    """The messages of a stream as heads and bodies, by Arrow's own reader."""
    found = []
    for message in pa.ipc.MessageReader.open_stream(data):
        head = bytes(message.metadata)
        found.append((head + bytes(-len(head) % 8), b"" if message.body is None else bytes(message.body)))
    return found


# --- columns ------------------------------------------------------------------------------------------------------


def _times() -> list[datetime]:
    return [_FIRST + timedelta(seconds=row) for row in range(_ROWS)]


def columns() -> dict[str, pa.Array]:
    """The columns of readings."""
    return {
        "user_id": pa.array([f"user-{row % 3}" for row in range(_ROWS)]),
        "device_id": pa.array(["watch"] * _ROWS),
        "timestamp": pa.array(_times(), pa.timestamp("us", "UTC")),
        "heart_rate": pa.array([60.0 + row for row in range(_ROWS)]),
        "confidence": pa.array([None if row % 5 == 4 else row % 4 for row in range(_ROWS)], pa.int8()),
    }


def _ids() -> Iterator[pa.Array]:
    texts: list[str | None] = [f"a person with a long name {row % 3}" if row % 2 else f"p{row}" for row in range(_ROWS)]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield pa.array(texts, kind)
    for kind in (pa.int8(), pa.uint64()):
        yield pa.array(range(_ROWS), kind)
    yield pa.array([*texts[:-2], None, None], pa.string_view())
    yield pa.nulls(_ROWS)
    codes = [row % 3 for row in range(_ROWS)]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        for index in (pa.int8(), pa.int32(), pa.uint16(), pa.int64()):
            yield pa.DictionaryArray.from_arrays(pa.array(codes, index), pa.array(["a", "b" * 20, None], kind))
    yield pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array([5, 6, 7]))


def _timestamps() -> Iterator[pa.Array]:
    for unit in ("s", "ms", "us", "ns"):
        yield pa.array(_times(), pa.timestamp(unit, "UTC"))
        yield pa.array([each.replace(tzinfo=None) for each in _times()], pa.timestamp(unit))
    texts = [each.isoformat() for each in _times()]
    for kind in (pa.string(), pa.string_view(), pa.large_string()):
        yield pa.array([*texts[:-1], None], kind)
        yield pa.array(texts, kind).dictionary_encode()
    yield pa.array(_times(), pa.timestamp("ms", "Europe/Berlin")).dictionary_encode()


def _rates() -> Iterator[pa.Array]:
    numbers = [60 + row for row in range(_ROWS)]
    for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint32(), pa.int64(), pa.uint64()):
        yield pa.array([*numbers[:-1], None], kind)
    for kind in (pa.float32(), pa.float64(), pa.float16()):
        yield pa.array(numbers, pa.float64()).cast(kind)
        yield pa.array(numbers, pa.float64()).cast(kind).dictionary_encode()
    for kind in (pa.decimal32(7, 2), pa.decimal64(12, 3), pa.decimal128(30, 4), pa.decimal256(60, 5)):
        yield pa.array([Decimal(number) for number in numbers], kind)
    yield pa.array([Decimal(number) for number in numbers], pa.decimal128(20, 2)).dictionary_encode()


def _confidences() -> Iterator[pa.Array]:
    stated = [None if row % 5 == 4 else row % 4 for row in range(_ROWS)]
    for kind in (pa.uint8(), pa.int64(), pa.uint64(), pa.float64(), pa.float32(), pa.decimal128(5, 1)):
        yield pa.array(stated, kind)
    yield pa.array(stated, pa.int16()).dictionary_encode()


def _indexes() -> dict[str, pa.Array]:
    """Columns of other types, as the index of a frame, which nobody reads. Nested types are refused by name."""
    columns = [
        pa.array([True, None] * (_ROWS // 2)),
        pa.array([b"12345"] * _ROWS, pa.binary(5)),
        pa.array([timedelta(seconds=row) for row in range(_ROWS)]),
    ]
    return {f"__index_level_{number}__": column for number, column in enumerate(columns)}


_OTHER_COLUMNS = {"user_id": _ids, "timestamp": _timestamps, "heart_rate": _rates, "confidence": _confidences}


# --- streams ------------------------------------------------------------------------------------------------------


def _stream(table: pa.Table, **options: Any) -> bytes:
    return _written(table.to_batches(), pa.ipc.IpcWriteOptions(**options))


def _growing(*, deltas: bool, compression: str | None) -> bytes:
    """Batches with a longer dictionary each, told as additions or as new ones."""
    batches = []
    for most in (1, 2, 3):
        users = pa.DictionaryArray.from_arrays(
            pa.array([row % most for row in range(_ROWS)], pa.int32()), [f"user-{number}" for number in range(most)]
        )
        batches.append(pa.RecordBatch.from_pydict(columns() | {"user_id": users}))
    return _written(batches, pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas, compression=compression))


def _written(batches: Sequence[pa.RecordBatch], options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file.getvalue()
