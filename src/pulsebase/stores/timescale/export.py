"""Every stored reading, as it is: for exports, copies and the back door of the tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.stores.contract import STORED_SCHEMA
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import At, fetch_columns

_USERS = 'SELECT user_id FROM pulsebase.users ORDER BY user_id COLLATE "C"'
_DEVICES = 'SELECT device_id FROM pulsebase.devices WHERE user_id = %s ORDER BY device_id COLLATE "C"'
_INSIDE = "user_id = %(user)s AND timestamp >= %(start)s AND timestamp < %(end)s"
_READINGS = f"""
WITH staged AS (
    SELECT DISTINCT ON (device_id, timestamp) device_id, timestamp, v, confidence, origin
    FROM pulsebase.stage WHERE {_INSIDE} ORDER BY device_id, timestamp, seq DESC
)
SELECT array_position(%(devices)s::text[], device_id) - 1 AS device, timestamp, v,
       coalesce(confidence, -1)::smallint AS confidence, origin
FROM (
    SELECT * FROM staged
    UNION ALL
    SELECT r.device_id, r.timestamp, (r.value * 100)::smallint, r.confidence, r.origin
    FROM public.activities_heart_intraday AS r
    WHERE {_INSIDE} AND NOT EXISTS (
        SELECT FROM staged AS s WHERE s.device_id = r.device_id AND s.timestamp = r.timestamp
    )
) AS every
ORDER BY 1, 2
"""
_TYPES = {"device": "i4", "timestamp": "t", "v": "i2", "confidence": "i2", "origin": "i4"}


def everything(connection: Connection) -> pa.Table:
    """`STORED_SCHEMA` rows of everybody."""
    people = [user_id for (user_id,) in connection.execute(_USERS, binary=True).fetchall()]
    tables = [of_person(connection, user_id, TimeRange(0, MAX_US)) for user_id in people]
    return pa.concat_tables([STORED_SCHEMA.empty_table(), *tables])


def of_person(connection: Connection, user_id: str, interval: TimeRange) -> pa.Table:
    """`STORED_SCHEMA` rows of one person inside the interval."""
    devices = [device_id for (device_id,) in connection.execute(_DEVICES, [user_id], binary=True).fetchall()]
    values = {"user": user_id, "devices": devices, "start": At(interval.start_us), "end": At(interval.end_us)}
    found = fetch_columns(connection, _READINGS, values, _TYPES)
    device_ids = pa.DictionaryArray.from_arrays(pa.array(found["device"]), pa.array(devices, pa.string()))
    confidence = pa.array(found["confidence"].astype(np.int8), pa.int8(), mask=found["confidence"] < 0)
    columns = [
        pa.repeat(user_id, len(found["device"])),
        device_ids.cast(pa.string()),
        pa.array(found["timestamp"]),
        pa.array(found["v"]),
        confidence,
        pa.array(found["origin"]),
    ]
    return pa.table(columns, schema=STORED_SCHEMA)
