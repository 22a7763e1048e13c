"""Encode exports: readings in the columns and units in which they are also ingested (`user_id`, `device_id`,
`timestamp`, `heart_rate`, `confidence`; of other metrics `metric` and `value` in the place of `heart_rate`), and
records of people as lines.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from datetime import date

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pulsebase.model.exported import Record, fields_of
from pulsebase.model.metrics import HEART_RATE, METRICS
from pulsebase.model.readings import READING_SCHEMA
from pulsebase.model.timerange import format_all_us
from pulsebase.stores.contract import Reader
from pulsebase.stores.records import Kind, everybody, records_of

#: The columns of exported readings before they become text. Times are UTC, heart rates in bpm.
EXPORT_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("device_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("timestamp", READING_SCHEMA.field("time").type, nullable=False),
        pa.field(HEART_RATE.name, pa.float64(), nullable=False),
        pa.field("confidence", pa.int8()),
    ]
)
#: The same of other metrics, or of several: values are in the metric's unit.
VALUES_SCHEMA = pa.schema(
    [
        EXPORT_SCHEMA.field("user_id"),
        EXPORT_SCHEMA.field("device_id"),
        pa.field("metric", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        EXPORT_SCHEMA.field("timestamp"),
        pa.field("value", pa.float64(), nullable=False),
        EXPORT_SCHEMA.field("confidence"),
    ]
)
#: The columns whose values are numbers in JSON.
_NUMBERS = (HEART_RATE.name, "value", "confidence")


def csv_header(schema: pa.Schema) -> bytes:
    """Return the first line of a CSV file of `EXPORT_SCHEMA` or `VALUES_SCHEMA`."""
    return (",".join(schema.names) + "\n").encode()


def in_units(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert a batch of `READING_SCHEMA` to `EXPORT_SCHEMA`."""
    bpm = batch["value"].to_numpy() / np.float64(HEART_RATE.scale)
    columns = [batch["user_id"], batch["device_id"], batch["time"], pa.array(bpm), batch["confidence"]]
    return pa.record_batch(columns, schema=EXPORT_SCHEMA)


def values_in_units(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert a batch of `READING_SCHEMA` and `metric` to `VALUES_SCHEMA`."""
    metrics = batch["metric"].cast(pa.string()).dictionary_encode()
    scales = np.array([METRICS[name].scale for name in metrics.dictionary.to_pylist()], np.float64)
    values = pa.array(batch["value"].to_numpy() / scales[metrics.indices.to_numpy()])
    columns = [batch["user_id"], batch["device_id"], metrics, batch["time"], values, batch["confidence"]]
    return pa.record_batch(columns, schema=VALUES_SCHEMA)


def csv_lines(batch: pa.RecordBatch) -> bytes:
    """Return a batch of `EXPORT_SCHEMA` or `VALUES_SCHEMA` as CSV lines, without the header."""
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(pa.Table.from_batches([_as_texts(batch)]), out, options)
    return out.getvalue()


def ndjson_lines(batch: pa.RecordBatch) -> bytes:
    """Return a batch of `EXPORT_SCHEMA` or `VALUES_SCHEMA` as NDJSON."""
    pieces: list[pa.Array | str] = []
    before = "{"
    for name, texts in zip(batch.schema.names, _as_texts(batch).columns, strict=True):
        # No id, no time and no metric has a character that JSON would have to escape.
        quote = "" if name in _NUMBERS else '"'
        pieces += [f'{before}"{name}":{quote}', pc.fill_null(texts.cast(pa.string()), "null")]
        before = f"{quote},"
    lines = pc.binary_join_element_wise(*pieces, "}\n", "")
    return "".join(lines.to_pylist()).encode()


def record_lines(records: Sequence[Record]) -> bytes:
    """Return records as lines of an export."""
    return b"".join(msgspec.json.encode(fields_of(record)) + b"\n" for record in records)


def exported_records(
    store: Reader, kind: Kind, user_ids: Sequence[str] | None = None, first: date = date.min, last: date = date.max
) -> Generator[bytes, None, None]:
    """Yield the record lines of these people, or of everybody, person by person. Daily records are limited to the days
    from `first` to `last`.
    """
    if user_ids is None:
        users = (overview.user for overview in everybody(store))
    else:
        users = (user for user in map(store.user, user_ids) if user is not None)
    for user in users:
        yield record_lines(records_of(store, kind, user, first, last))


def _as_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Everything but the confidence as texts."""
    columns = {name: batch[name] if name == "confidence" else _texts(batch[name]) for name in batch.schema.names}
    return pa.RecordBatch.from_pydict(columns)


def _texts(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return pa.array(format_all_us(column.cast(pa.int64()).to_numpy()), pa.string())
    return column.cast(pa.string())
