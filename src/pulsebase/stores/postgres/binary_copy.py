"""Encoding columns in the binary format of COPY, which PostgreSQL's documentation of COPY describes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import COPY_END, COPY_HEADER, POSTGRES_EPOCH_US

#: A field's NumPy type and its value in every row; no values for null. Texts are `S…`, each of exactly that length.
Field = tuple[str, npt.ArrayLike | None]


def copy_in(connection: Connection, table: str, blocks: Iterable[bytes]) -> None:
    """Copy encoded rows into a table; its name is followed by columns in parentheses where not all are meant."""
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        copy.write(COPY_HEADER)
        for block in blocks:
            copy.write(block)
        copy.write(COPY_END)


def laid_out(fields: Sequence[Field], count: int) -> bytes:
    """Encode rows whose fields have the same sizes in every row."""
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for place, (kind, column) in enumerate(fields):
        layout.append((f"size {place}", ">i4"))
        if column is not None:
            layout.append((f"field {place}", kind))
    rows = np.zeros(count, np.dtype(layout))
    rows["fields"] = len(fields)
    for place, (kind, column) in enumerate(fields):
        rows[f"size {place}"] = -1 if column is None else np.dtype(kind).itemsize
        if column is not None:
            rows[f"field {place}"] = column
    return rows.tobytes()


def text(value: str) -> Field:
    """Make a field with the same text in every row."""
    encoded = value.encode()
    return f"S{len(encoded)}", encoded


def times(times_us: npt.NDArray[np.int64]) -> Field:
    """Encode microseconds since 1970 as `timestamptz`."""
    return ">i8", times_us - POSTGRES_EPOCH_US


def hundredths(values: npt.NDArray[np.int16]) -> Field:
    """Encode hundredths, none below zero, as `numeric` with two digits after the point.

    Its binary form: number of digits to the base 10,000, the first one's power, sign, digits after the point (decimal),
    then the digits. The server strips leading and trailing zeros.
    """
    words = np.empty((len(values), 6), ">i2")
    words[:, :4] = (2, 0, 0, 2)
    words[:, 4] = values // 100
    words[:, 5] = values % 100 * 100
    return "V12", words.view("V12").reshape(-1)
