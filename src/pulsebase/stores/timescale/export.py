"""Reading every stored reading: for exports, copies and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa

from pulsebase.model.timerange import DAY_US, MAX_US, TimeRange
from pulsebase.stores.contract import STORED_SCHEMA
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At, fetch_columns
from pulsebase.stores.postgres.series_keys import keys_of, metric_of, parts_of, person_of, require_known_metrics
from pulsebase.stores.postgres.spool import Spool, grouped
from pulsebase.stores.timescale.origins import staged
from pulsebase.stores.timescale.raw_tables import readings, tables_of
from pulsebase.stores.timescale.rollup_sql import bucket

_USERS = "SELECT user_id FROM pulsebase.users"
_DEVICES = "SELECT user_id, device_id FROM pulsebase.devices WHERE user_id = ANY(%s)"
_INSIDE = "user_id = ANY(%(users)s) AND timestamp >= %(start)s AND timestamp < %(end)s"
_READINGS = """
WITH staged AS ({staged})
SELECT place - 1, timestamp, v, coalesce(confidence, -1)::smallint, origin
FROM (
    SELECT user_id, device_id, timestamp, v, confidence, origin FROM staged
    UNION ALL
    SELECT r.user_id, r.device_id, r.timestamp, r.v, r.confidence, r.origin
    FROM ({readings}) AS r
    WHERE NOT EXISTS (
        SELECT FROM staged AS s
        WHERE s.user_id = r.user_id AND s.device_id = r.device_id AND s.timestamp = r.timestamp
    )
) AS every
JOIN unnest(%(owners)s::text[], %(devices)s::text[]) WITH ORDINALITY AS d(user_id, device_id, place)
  USING (user_id, device_id)
ORDER BY 1, 2
"""
_TYPES = {"place": "i8", "timestamp": "t", "v": "i2", "confidence": "i2", "origin": "i4"}


#: About how many readings people have on each day of the interval: staged ones may be counted twice.
_DAYS = f"""
SELECT ({bucket("1 day", "start_at")}), user_no, users.user_id, sum(n)::bigint FROM (
    SELECT start_at, user_id, n_all AS n FROM pulsebase.d1_dev
    WHERE start_at > %(start)s - INTERVAL '1 day' AND start_at < %(end)s
    UNION ALL
    SELECT {bucket("1 day")}, user_id, 1 FROM pulsebase.stage WHERE timestamp >= %(start)s AND timestamp < %(end)s
) AS parts JOIN pulsebase.users ON users.user_id = {person_of("parts.user_id")}
WHERE (%(users)s::text[] IS NULL OR users.user_id = ANY(%(users)s))
  AND (%(metrics)s::text[] IS NULL OR {metric_of("parts.user_id")} = ANY(%(metrics)s))
GROUP BY 1, 2, 3 ORDER BY 1, users.user_id COLLATE "C"
"""


def spool(
    connection: Connection,
    interval: TimeRange,
    user_ids: Sequence[str] | None,
    metrics: Sequence[str] | None,
    into: Spool,
) -> None:
    """Write the answer of `contract.Reader.export` into a file, from one state of the database. A snapshot held until
    it is read would keep the server from vacuuming any table of its database.

    Raises:
        StoreVersionError: every metric is asked for, and there is one that only a newer version knows.
    """
    if metrics is None:
        require_known_metrics(connection)
    values = {"start": At(interval.start_us), "end": At(interval.end_us)}
    chosen = {"users": user_ids and list(set(user_ids)), "metrics": metrics and list(set(metrics))}
    with into.filled() as keep:
        if interval.length_us <= 0 or any(each is not None and not each for each in (user_ids, metrics)):
            return
        for day_us, of_day in groupby(
            connection.execute(_DAYS, values | chosen, binary=True).fetchall(), itemgetter(0)
        ):
            day = TimeRange(max(day_us, interval.start_us), min(day_us + DAY_US, interval.end_us))
            for group in grouped((number, user_id, count) for _, number, user_id, count in of_day):
                keep(of_people(connection, list(group), day, metrics), group)


def everything(connection: Connection) -> pa.Table:
    """Return `STORED_SCHEMA` rows of everybody."""
    people = [user_id for (user_id,) in connection.execute(_USERS, binary=True).fetchall()]
    return of_people(connection, people, TimeRange(0, MAX_US))


def of_people(
    connection: Connection, user_ids: Sequence[str], interval: TimeRange, metrics: Sequence[str] | None = None
) -> pa.Table:
    """Return `STORED_SCHEMA` rows of these people and metrics inside the interval, in the order of `Store.stored`."""
    devices: dict[str, list[str]] = {}
    for user_id, device_id in connection.execute(_DEVICES, [list(user_ids)], binary=True).fetchall():
        devices.setdefault(user_id, []).append(device_id)
    keys = keys_of(connection, user_ids, metrics)
    # In the order of the answer; the index of one stands for its person, metric and device.
    places_of = [
        (key, device_id)
        for key in sorted(keys, key=parts_of)
        for device_id in sorted(devices.get(parts_of(key)[0], ()))
    ]
    if not places_of:
        return STORED_SCHEMA.empty_table()
    parts = [parts_of(key) for key, _ in places_of]
    values = {
        "users": list(keys),
        "owners": [key for key, _ in places_of],
        "devices": [device_id for _, device_id in places_of],
        "start": At(interval.start_us),
        "end": At(interval.end_us),
    }
    tables = tables_of(keys)
    statement = _READINGS.format(staged=staged(_INSIDE, tables), readings=readings(_INSIDE, tables))
    found = fetch_columns(connection, statement, values, _TYPES)
    places = pa.array(found["place"])
    confidence = pa.array(found["confidence"].astype(np.int8), pa.int8(), mask=found["confidence"] < 0)
    columns = [
        pa.array([user_id for user_id, _ in parts], pa.string()).take(places),
        pa.array([device_id for _, device_id in places_of], pa.string()).take(places),
        pa.array(found["timestamp"]),
        pa.array(found["v"]),
        confidence,
        pa.array([metric for _, metric in parts], pa.string()).take(places),
        pa.array(found["origin"]),
    ]
    return pa.table(columns, schema=STORED_SCHEMA)
