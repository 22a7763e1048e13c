"""Looking up what is stored of readings that are about to be written, see `contract.Reader.stored_values`.

An import asks this for every block, mostly about days without stored readings, which one statement finds out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import Ids, ReadingBatch
from pulsebase.stores.contract import StoredValues
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At, fetch_columns
from pulsebase.stores.postgres.series_keys import keyed
from pulsebase.stores.timescale.fresh import of_fresh_days
from pulsebase.stores.timescale.origins import staged
from pulsebase.stores.timescale.raw_tables import RawTable, readings, table_of

_TYPES = {"place": "i8", "v": "i2", "confidence": "i2", "origin": "i4"}
_INSIDE = "timestamp >= %(first)s AND timestamp <= %(last)s"


def _standing(table: RawTable) -> str:
    staged_ones = staged(f"user_id = ANY(%(users)s) AND {_INSIDE}", [table])
    of_asked = (
        "i.user_id = a.user_id AND i.device_id = a.device_id AND i.timestamp = a.timestamp "
        "AND i.timestamp >= %(first)s AND i.timestamp <= %(last)s"
    )
    return f"""
WITH asked AS MATERIALIZED (
    SELECT place, user_id, device_id, timestamp
    FROM unnest(%(user)s::int[], %(device)s::int[], %(times)s::timestamptz[]) WITH ORDINALITY
        AS a (user_no, device_no, timestamp, place)
    JOIN unnest(%(users)s::text[]) WITH ORDINALITY AS u (user_id, user_no) USING (user_no)
    JOIN unnest(%(devices)s::text[]) WITH ORDINALITY AS d (device_id, device_no) USING (device_no)
),
fresh AS MATERIALIZED (
    SELECT place, v, confidence, origin
    FROM ({staged_ones}) AS s JOIN asked USING (user_id, device_id, timestamp)
)
SELECT place - 1 AS place, v, coalesce(confidence, -1)::smallint AS confidence, origin
FROM (
    SELECT * FROM fresh
    UNION ALL
    SELECT place, r.v, r.confidence, r.origin FROM asked AS a CROSS JOIN LATERAL (
        {readings(of_asked, [table])}
    ) AS r WHERE place NOT IN (SELECT place FROM fresh)
) AS every
"""


def stored_values(connection: Connection, batch: ReadingBatch) -> StoredValues:
    """Look readings up in one transaction."""
    answer = StoredValues.nothing(len(batch))
    if not len(batch):
        return answer
    series = keyed(batch.users, batch.metric)
    rows = np.flatnonzero(~of_fresh_days(connection, series, batch.times_us))
    if not len(rows):
        return answer
    asked = batch.take(rows)
    (users, user), (devices, device) = _numbered(series.take(rows)), _numbered(asked.devices)
    values = {
        "users": users,
        "user": user.tolist(),
        "devices": devices,
        "device": device.tolist(),
        "times": [At(time_us) for time_us in asked.times_us.tolist()],
        "first": At(int(asked.times_us.min())),
        "last": At(int(asked.times_us.max())),
    }
    found = fetch_columns(connection, _standing(table_of(batch.metric)), values, _TYPES)
    answer.put(rows[found["place"]], found["v"], found["confidence"], found["origin"])
    return answer


def _numbered(ids: Ids) -> tuple[list[str], npt.NDArray[np.intp]]:
    """Return the ids that occur in rows, and the index of each row's id among them, counted from 1."""
    used, places = np.unique(ids.codes, return_inverse=True)
    return [ids.texts[code] for code in used.tolist()], places + 1
