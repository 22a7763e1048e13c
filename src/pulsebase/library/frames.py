"""Frames of readings as people have them, made into what the bulk routes take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE, asked_metric

#: What a column of values may be called instead.
_VALUE, _HEART_RATE, _METRIC = "value", "heart_rate", "metric"


def table_of(frame: object) -> pa.Table:
    """Return a frame as an Arrow table: one of Polars, pandas or Arrow, anything else that hands out Arrow streams, a
    mapping of columns, or a sequence of mappings.

    Raises:
        RejectedError: it is none of these, or cannot be a table.
    """
    try:
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
        if isinstance(frame, Mapping):
            return pa.table(dict(frame))
        if isinstance(frame, Sequence) and not isinstance(frame, str | bytes):
            return pa.Table.from_pylist(list(frame))
        if isinstance(frame, pa.RecordBatch):
            return pa.Table.from_batches([frame])
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise RejectedError.of("frame", f"cannot be read as a table: {error}") from None
    raise RejectedError.of("frame", "must be a frame of Polars, pandas or Arrow, columns by name, or a list of dicts")


def with_constants(table: pa.Table, constants: Mapping[str, str | int | None]) -> pa.Table:
    """Return the table with a column for each constant that is given.

    Raises:
        RejectedError: the table has such a column already.
    """
    for name, value in constants.items():
        if value is None:
            continue
        if name in table.column_names:
            raise RejectedError.of(name, "is given, and the frame has a column of that name too")
        table = table.append_column(name, pa.repeat(pa.scalar(str(value)), table.num_rows))
    return table


def route_and_table(table: pa.Table, metric: str | None) -> tuple[str, pa.Table]:
    """Return where readings are sent to, and the table with its columns named as that route names them.

    Raises:
        RejectedError: nothing says what the values are of, or two things do.
    """
    names: list[str] = table.column_names
    if _METRIC in names:
        if metric is not None:
            raise RejectedError.of(_METRIC, "is given, and the frame has a column of that name too")
        return "/v1/readings/bulk", table
    if metric is None and _HEART_RATE not in names:
        raise RejectedError.of(_METRIC, "is needed: the frame has no column heart_rate and no column metric")
    spec = HEART_RATE if metric is None else asked_metric(metric)
    wanted = _HEART_RATE if spec is HEART_RATE else _VALUE
    if wanted not in names and _VALUE in names:
        table = table.rename_columns([wanted if name == _VALUE else name for name in names])
    return f"/v1/metrics/{spec.path}/bulk", table


def shifted(errors: Sequence[Mapping[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Return refusals of a part of a frame, with their indexes in the whole of it."""
    return [{**error, "index": error["index"] + rows} if "index" in error else dict(error) for error in errors]
