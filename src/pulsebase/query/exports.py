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
from pulsebase.model.metrics import HEART_RATE, MetricSpec
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
CSV_HEADER = (",".join(EXPORT_SCHEMA.names) + "\n").encode()


def in_units(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert a batch of `READING_SCHEMA` to `EXPORT_SCHEMA`."""
    bpm = batch["value"].to_numpy() / np.float64(HEART_RATE.scale)
    columns = [batch["user_id"], batch["device_id"], batch["time"], pa.array(bpm), batch["confidence"]]
    return pa.record_batch(columns, schema=EXPORT_SCHEMA)


def csv_lines(batch: pa.RecordBatch) -> bytes:
    """Return a batch of `EXPORT_SCHEMA` as CSV lines, without the header."""
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(pa.Table.from_batches([_as_texts(batch)]), out, options)
    return out.getvalue()


def value_lines(batch: pa.RecordBatch, metric: MetricSpec) -> bytes:
    """Return a batch of `READING_SCHEMA`, all of it of a metric other than heart rate, as NDJSON."""
    columns = [
        batch["user_id"].cast(pa.string()),
        batch["device_id"].cast(pa.string()),
        pa.array(format_all_us(batch["time"].cast(pa.int64()).to_numpy()), pa.string()),
        pa.array(batch["value"].to_numpy() / np.float64(metric.scale)).cast(pa.string()),
        batch["confidence"],
    ]
    return _json_lines(columns, f'","metric":"{metric.name}","timestamp":"', "value")


def ndjson_lines(batch: pa.RecordBatch) -> bytes:
    """Return a batch of `EXPORT_SCHEMA` as NDJSON."""
    return _json_lines(_as_texts(batch).columns, '","timestamp":"', HEART_RATE.name)


def _json_lines(columns: Sequence[pa.Array], before_time: str, value: str) -> bytes:
    """Return texts, and confidences, as NDJSON. No id and no time has a character that JSON would have to escape."""
    user_ids, device_ids, times, values, confidences = columns
    lines = pc.binary_join_element_wise(
        '{"user_id":"',
        user_ids,
        '","device_id":"',
        device_ids,
        before_time,
        times,
        f'","{value}":',
        values,
        ',"confidence":',
        pc.fill_null(confidences.cast(pa.string()), "null"),
        "}\n",
        "",
    )
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
    """Ids, times and heart rates as texts."""
    times = format_all_us(batch["timestamp"].cast(pa.int64()).to_numpy())
    columns = {
        "user_id": batch["user_id"].cast(pa.string()),
        "device_id": batch["device_id"].cast(pa.string()),
        "timestamp": pa.array(times, pa.string()),
        HEART_RATE.name: batch[HEART_RATE.name].cast(pa.string()),
        "confidence": batch["confidence"],
    }
    return pa.RecordBatch.from_pydict(columns)
