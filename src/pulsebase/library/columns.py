"""The columns of answers that are lists."""

from __future__ import annotations

import pyarrow as pa

from pulsebase.library.answers import TIME

RAW_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("timestamp", TIME),
        ("value", pa.float64()),
        ("device_id", pa.string()),
        ("confidence", pa.int8()),
    ]
)
PEOPLE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("name", pa.string()),
        ("gender", pa.string()),
        ("birth_date", pa.date32()),
        ("time_zone", pa.string()),
        ("readings", pa.int64()),
        ("first_reading", TIME),
        ("last_reading", TIME),
    ]
)
METRICS_SCHEMA = pa.schema(
    [
        ("metric", pa.string()),
        ("title", pa.string()),
        ("unit", pa.string()),
        ("readings", pa.int64()),
        ("first_reading", TIME),
        ("last_reading", TIME),
    ]
)
COHORT_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("avg", pa.float64()),
        ("count", pa.int64()),
        ("minutes", pa.int64()),
        ("coverage", pa.float64()),
    ]
)
HOURS_SCHEMA = pa.schema([("hour", TIME), ("avg", pa.float64()), ("count", pa.int64())])
_STATED = pa.list_(pa.struct([("resting_heart_rate", pa.float64()), ("method", pa.string())]))
DERIVED_TYPES = {
    "date": pa.date32(),
    "timestamp": TIME,
    "rmssd": pa.float64(),
    "sdnn": pa.float64(),
    "beats": pa.int64(),
    "left_out": pa.int64(),
    "method": pa.string(),
    "resting_heart_rate": pa.float64(),
    "covered_minutes": pa.int64(),
    "stated": _STATED,
}
