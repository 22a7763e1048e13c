"""One person's readings of one metric at one moment, inside one transaction of the database.

Hours without staged readings are answered from rollups, the others from the hypertable and the stage. An hour is dirty
if the stage has rows of it; there is no flag that could be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import I32, I64, Buckets, floors, merged
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At, Types, fetch_columns
from pulsebase.stores.postgres.series_keys import key_of
from pulsebase.stores.timescale.raw_tables import readings, table_of
from pulsebase.stores.timescale.rollup_sql import COUNTED, MERGED, WON, bucket, buckets_of

_BUCKET = {"start_at": "t", "n": "i8", "sum": "i8", "min": "i2", "max": "i2", "minutes": "i8"}
_RAW = {"timestamp": "t", "v": "i2", "device": "i4", "confidence": "i2"}
_INSIDE = "timestamp >= %(start)s AND timestamp < %(end)s"
_DAY_START = "(%(days)s::timestamptz[])[width_bucket(timestamp, %(days)s::timestamptz[])]"
_SPANS = "unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS span(since, until)"

#: The merged readings of one series inside the spans. `first` and `last` enclose all spans, by which the planner
#: excludes chunks.
_MERGED = f"""
SELECT {MERGED} FROM {_SPANS} CROSS JOIN LATERAL (
    {{readings}}
) AS r"""
_OF_SPAN = (
    "i.user_id = %(series)s AND i.timestamp >= span.since AND i.timestamp < span.until "
    "AND i.timestamp >= %(first)s AND i.timestamp < %(last)s"
)
#: The same together with staged readings; of each reading only the last row.
_MERGED_AND_STAGED = f"""
staged AS MATERIALIZED (
    SELECT DISTINCT ON (device_id, timestamp) user_id, device_id, timestamp, v, confidence
    FROM pulsebase.stage
    WHERE user_id = %(series)s AND timestamp >= %(first)s AND timestamp < %(last)s{{of_device}}
    ORDER BY device_id, timestamp, seq DESC
),
rows AS (
    {_MERGED}
    WHERE NOT EXISTS (SELECT FROM staged AS s WHERE s.device_id = r.device_id AND s.timestamp = r.timestamp)
    UNION ALL
    SELECT staged.* FROM staged JOIN {_SPANS} ON timestamp >= span.since AND timestamp < span.until
)"""


@dataclass(frozen=True, slots=True)
class TimescaleSelection:
    """Which of a person's readings a query is about: the resolved ones, one device's, or all."""

    device_id: str | None = None
    include_all: bool = False

    @property
    def resolved(self) -> bool:
        """Whether each minute shows only the device that wins it."""
        return self.device_id is None and not self.include_all


@dataclass(frozen=True, slots=True)
class Raw:
    """Readings by time, then device; `device` is an index into the snapshot's `devices`, a confidence of -1 is none."""

    time_us: I64
    value: npt.NDArray[np.int16]
    device: I32
    confidence: npt.NDArray[np.int16]


class TimescalePersonSnapshot:
    """What one transaction sees of a person in one metric.

    Readings and buckets of at most a minute end one row after `limit`.
    """

    def __init__(self, connection: Connection, user_id: str, metric: str, limit: int | None = None) -> None:
        self._connection = connection
        self._series = key_of(user_id, metric)
        self._table = table_of(metric)
        self._limit = "" if limit is None else f"LIMIT {limit + 1}"
        found = connection.execute(
            f"""
            SELECT ARRAY(SELECT device_id FROM pulsebase.devices WHERE user_id = %(user)s
                         ORDER BY device_id COLLATE "C"),
                   ARRAY(SELECT DISTINCT {bucket("1 hour")} FROM pulsebase.stage WHERE user_id = %(series)s)
            """,
            {"user": user_id, "series": self._series},
            binary=True,
        ).fetchone()
        assert found is not None
        #: Every device of the person, by id (bytes).
        self.devices: list[str] = found[0]
        self._dirty_hours = np.array(sorted(found[1]), np.int64)

    def raw(self, interval: TimeRange, selection: TimescaleSelection) -> Raw:
        """Return what a raw answer shows: counted readings of each minute's winner or of the device, or all."""
        relations, chosen = self._chosen(selection)
        statement = f"""
            WITH {relations}
            SELECT timestamp, v, array_position(%(devices)s::text[], device_id) - 1 AS device,
                   coalesce(confidence, -1)::smallint AS confidence
            FROM {"rows" if selection.include_all else chosen} WHERE {_INSIDE} ORDER BY 1, 3 {self._limit}"""
        columns = self._fetch(statement, _RAW, interval, selection, [interval.widened(MINUTE_US)])
        return Raw(columns["timestamp"], columns["v"], columns["device"], columns["confidence"])

    def short_buckets(self, interval: TimeRange, selection: TimescaleSelection, step: str) -> tuple[Buckets, I32]:
        """Return buckets of at most a minute, and the indices of their devices in `devices`."""
        relations, chosen = self._chosen(selection)
        statement = f"""
            WITH {relations}
            SELECT {bucket(step)} AS start_at, count(*) AS n, sum(v)::bigint AS sum, min(v) AS min, max(v) AS max,
                   1::bigint AS minutes, array_position(%(devices)s::text[], min(device_id)) - 1 AS device
            FROM {chosen} WHERE {_INSIDE} GROUP BY 1 ORDER BY 1 {self._limit}"""
        types = _BUCKET | {"device": "i4"}
        columns = self._fetch(statement, types, interval, selection, [interval.widened(MINUTE_US)])
        return _buckets(columns), columns["device"]

    def quarters(self, interval: TimeRange, selection: TimescaleSelection) -> Buckets:
        """Return whole quarters of an hour; the interval starts and ends with one."""
        if not selection.resolved:
            return self._from_raw(interval, selection, bucket("15 minutes"), [interval])
        dirty = self._dirty(interval.widened(HOUR_US), HOUR_US)
        kept = self._kept("q15", interval, selection)
        kept = kept.take(~np.isin(floors(kept.start_us, HOUR_US), dirty))
        return self._with_fresh(kept, interval, selection, bucket("15 minutes"), dirty)

    def hours(self, interval: TimeRange, selection: TimescaleSelection) -> Buckets:
        """Return hours: kept ones where they are whole and nothing is staged, else from raw, cut by the interval."""
        if selection.include_all:
            return self._from_raw(interval, selection, bucket("1 hour"), [interval])
        cut = {at_us // HOUR_US * HOUR_US for at_us in (interval.start_us, interval.end_us) if at_us % HOUR_US}
        apart = np.union1d(self._dirty(interval.widened(HOUR_US), HOUR_US), np.array(sorted(cut), np.int64))
        kept = self._kept("h1" if selection.device_id is None else "h1_dev", interval, selection)
        kept = kept.take(~np.isin(kept.start_us, apart))
        return self._with_fresh(kept, interval, selection, bucket("1 hour"), apart)

    def utc_days(self, interval: TimeRange) -> Buckets:
        """Return whole UTC days of the resolved series."""
        kept = self._kept("d1", interval, TimescaleSelection())
        dirty = self._dirty(interval, DAY_US)
        if len(dirty) == 0:
            return kept
        hours = self.hours(TimeRange(int(dirty[0]), int(dirty[-1]) + DAY_US), TimescaleSelection())
        hours = hours.take(np.isin(floors(hours.start_us, DAY_US), dirty))
        fresh = merged(hours, floors(hours.start_us, DAY_US))
        return Buckets.concatenated([kept.take(~np.isin(kept.start_us, dirty)), fresh])

    def days_from_raw(self, starts_us: Sequence[int], selection: TimescaleSelection) -> Buckets:
        """Return days that start at any times; the last start only ends a day."""
        interval = TimeRange(starts_us[0], starts_us[-1])
        return self._from_raw(interval, selection, _DAY_START, [interval], days=[At(each) for each in starts_us])

    def _dirty(self, interval: TimeRange, step_us: int) -> I64:
        hours = self._dirty_hours
        inside = hours[(hours >= interval.start_us) & (hours < interval.end_us)]
        return np.unique(floors(inside, step_us))

    def _with_fresh(
        self, kept: Buckets, interval: TimeRange, selection: TimescaleSelection, start_at: str, hours: I64
    ) -> Buckets:
        """Return the kept buckets, and from raw readings those of these hours."""
        if len(hours) == 0:
            return kept
        return Buckets.concatenated([kept, self._from_raw(interval, selection, start_at, _spans(hours))])

    def _kept(self, table: str, interval: TimeRange, selection: TimescaleSelection) -> Buckets:
        of_device = "" if selection.device_id is None else " AND device_id = %(device)s AND n > 0"
        statement = f"""
            SELECT start_at, n, sum, min, max, minutes FROM pulsebase.{table}
            WHERE user_id = %(series)s AND start_at >= %(start)s AND start_at < %(end)s{of_device} ORDER BY start_at"""
        values = {
            "series": self._series,
            "device": selection.device_id,
            "start": At(interval.start_us),
            "end": At(interval.end_us),
        }
        return _buckets(fetch_columns(self._connection, statement, values, _BUCKET))

    def _from_raw(
        self,
        interval: TimeRange,
        selection: TimescaleSelection,
        start_at: str,
        spans: Sequence[TimeRange],
        *,
        days: Sequence[At] = (),
    ) -> Buckets:
        relations, chosen = self._chosen(selection)
        buckets = buckets_of(chosen, start_at, condition=_INSIDE)
        statement = f"""
            WITH {relations}
            SELECT start_at, n, sum, min, max, minutes FROM ({buckets}) AS b ORDER BY 1"""
        widened = [span.widened(MINUTE_US) for span in spans]
        return _buckets(self._fetch(statement, _BUCKET, interval, selection, widened, days=days))

    def _chosen(self, selection: TimescaleSelection) -> tuple[str, str]:
        """Write the relations that lead to the readings a selection counts; return them and the name of the last one.

        A person with one device has nothing to resolve.
        """
        resolve = selection.resolved and len(self.devices) > 1
        rows = _MERGED_AND_STAGED if len(self._dirty_hours) else f"rows AS ({_MERGED})"
        of_device = "" if selection.device_id is None else " AND device_id = %(device)s"
        rows = rows.format(of_device=of_device, readings=readings(_OF_SPAN + of_device, [self._table]))
        return f"{rows}, {WON if resolve else COUNTED}", "won" if resolve else "counted"

    def _fetch(
        self,
        statement: str,
        types: Types,
        interval: TimeRange,
        selection: TimescaleSelection,
        spans: Sequence[TimeRange],
        *,
        days: Sequence[At] = (),
    ) -> dict[str, npt.NDArray[Any]]:
        """Run a statement over the readings inside the spans, which are whole minutes in order of time."""
        values = {
            "series": self._series,
            "device": selection.device_id,
            "devices": self.devices,
            "start": At(interval.start_us),
            "end": At(interval.end_us),
            "first": At(spans[0].start_us),
            "last": At(spans[-1].end_us),
            "starts": [At(span.start_us) for span in spans],
            "ends": [At(span.end_us) for span in spans],
            "days": list(days),
        }
        return fetch_columns(self._connection, statement, values, types)


def _spans(hours: I64) -> list[TimeRange]:
    """Join hours that follow one another."""
    first = np.flatnonzero(np.concatenate(([True], np.diff(hours) != HOUR_US)))
    last = np.append(first[1:], len(hours)) - 1
    return [TimeRange(int(hours[a]), int(hours[b]) + HOUR_US) for a, b in zip(first, last, strict=True)]


def _buckets(columns: dict[str, npt.NDArray[Any]]) -> Buckets:
    return Buckets(*(columns[name] for name in _BUCKET))
