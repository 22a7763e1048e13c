"""Times and columns on the wire: microseconds since 1970 as `timestamptz`, and COPY's binary format as NumPy columns.

psycopg's own types for times end with the year 9999 and need an object per value; here times are integers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format

#: 2000-01-01T00:00:00Z, from which PostgreSQL counts microseconds.
POSTGRES_EPOCH_US = 946_684_800_000_000
_TIMESTAMPTZ_OID = 1184
#: The beginning of binary COPY data (signature, no flags, no extension), and its end.
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"


@dataclass(frozen=True, slots=True)
class At:
    """A time in microseconds since 1970, as a parameter of a statement."""

    us: int


class _AtDumper(Dumper):
    oid = _TIMESTAMPTZ_OID

    def dump(self, obj: At) -> Buffer:
        return f"{np.datetime64(obj.us, 'us')}+00".replace("T", " ").encode()


class _AtLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        (count,) = struct.unpack(">q", bytes(data))
        return int(count) + POSTGRES_EPOCH_US


def adapt(connection: psycopg.Connection[Any]) -> None:
    """Register the conversion of times with a connection."""
    connection.adapters.register_dumper(At, _AtDumper)
    connection.adapters.register_loader("timestamptz", _AtLoader)


#: The columns of a result by name, in order: `t` for a time, else the NumPy type of a number of the same size.
Types = Mapping[str, str]


def fetch_columns(
    connection: psycopg.Connection[Any], statement: str, values: Mapping[str, object], types: Types
) -> dict[str, npt.NDArray[Any]]:
    """Fetch a result as columns. Every value must be of the type's size, and none may be null."""
    with connection.cursor().copy(f"COPY ({statement}) TO STDOUT (FORMAT binary)", values) as copy:
        data = b"".join(copy)
    return _columns(memoryview(data)[len(COPY_HEADER) : -len(COPY_END)], types)


def stream_columns(
    connection: psycopg.Connection[Any], statement: str, values: Mapping[str, object], types: Types, *, rows: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Fetch a result in blocks of a fixed number of rows, the last one shorter, so that it is never held whole."""
    block_bytes = rows * _row_dtype(types).itemsize
    waiting = bytearray()
    with connection.cursor().copy(f"COPY ({statement}) TO STDOUT (FORMAT binary)", values) as copy:
        begun = False
        for piece in copy:
            waiting += piece
            if not begun and len(waiting) >= len(COPY_HEADER):
                del waiting[: len(COPY_HEADER)]
                begun = True
            while begun and len(waiting) >= block_bytes + len(COPY_END):
                yield _columns(bytes(waiting[:block_bytes]), types)
                del waiting[:block_bytes]
    if len(waiting) > len(COPY_END):
        yield _columns(bytes(waiting[: -len(COPY_END)]), types)


def _columns(data: Buffer, types: Types) -> dict[str, npt.NDArray[Any]]:
    rows = np.frombuffer(data, _row_dtype(types))
    columns = {}
    for name, kind in types.items():
        column = rows[name]
        native = column.astype(column.dtype.newbyteorder("="))
        columns[name] = native + POSTGRES_EPOCH_US if kind == "t" else native
    return columns


def _row_dtype(types: Types) -> np.dtype[Any]:
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in types.items():
        fields += [(f"{name} size", ">i4"), (name, ">i8" if kind == "t" else f">{kind}")]
    return np.dtype(fields)
