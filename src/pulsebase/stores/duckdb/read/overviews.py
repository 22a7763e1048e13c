"""Overviews: who is known, how many readings they have, and the first and the last, by person and by device.

A page of people takes a few statements, however many they are: kept hours cover everything except the hours with
unmerged rows, whose readings are counted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from pulsebase.model.timerange import HOUR_US, SECOND_US
from pulsebase.model.users import DeviceOverview, MetricOverview, User, UserOverview, folded
from pulsebase.stores.duckdb.engine.transactions import one_row, read_state, relation
from pulsebase.stores.duckdb.merge.ordering import storage_order
from pulsebase.stores.duckdb.merge.rollup_sql import IN_RANGE
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows, StageSnapshot
from pulsebase.stores.duckdb.people import people
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN, IdNumbers
from pulsebase.stores.duckdb.people.series_numbers import MOST_METRICS, MetricNumbers, dense, people_of, person_of

_KEPT = """
SELECT user_no, device_no, sum(n_all)::BIGINT, min(first_t), max(last_t)
FROM h1_dev SEMI JOIN wanted USING (user_no) ANTI JOIN dirty USING (user_no, hour) GROUP BY user_no, device_no
"""
_LATE = "SELECT * EXCLUDE (seq) FROM late SEMI JOIN wanted USING (user_no) ORDER BY seq"
_DIRTY_AND_KEPT = "SELECT DISTINCT user_no, hour FROM h1_dev SEMI JOIN dirty USING (user_no, hour)"
_STORED = f"""
SELECT user_no, device_no, t FROM readings JOIN stored_hours USING (user_no)
WHERE second // {HOUR_US // SECOND_US} = hour AND {IN_RANGE}
"""


@dataclass(frozen=True, slots=True)
class Extent:
    """How many readings there are, and the times of the first and the last in microseconds; None without readings."""

    readings: int = 0
    first_us: int | None = None
    last_us: int | None = None

    def joined(self, other: Extent) -> Extent:
        """Combine two extents."""
        firsts = [at for at in (self.first_us, other.first_us) if at is not None]
        lasts = [at for at in (self.last_us, other.last_us) if at is not None]
        return Extent(self.readings + other.readings, min(firsts, default=None), max(lasts, default=None))


#: By the numbers of series and device.
Extents = dict[tuple[int, int], Extent]


@dataclass(frozen=True, slots=True)
class OverviewSnapshot:
    """One state of the store: a stage snapshot, and the database as of a transaction that began after it."""

    connection: duckdb.DuckDBPyConnection
    stage: StageSnapshot
    users: IdNumbers
    devices: IdNumbers
    metrics: MetricNumbers

    def page(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        new = [
            (user_no, User(user_id))
            for user_no, user_id in self._not_in_database()
            if user_id > (after or FORGOTTEN) and folded(text) in folded(user_id)
        ]
        found = [*people.find_users(self.connection, text, limit, after), *new]
        found.sort(key=lambda numbered: numbered[1].user_id)  # ids are ASCII: their order is that of their bytes
        shown = found[:limit]
        extents = _of_people(self.extents([each for user_no, _ in shown for each in self.metrics.series_of(user_no)]))
        return [_overview(user, extents.get(user_no, Extent())) for user_no, user in shown]

    def person(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        user_no = self.users.find(user_id)
        if user_no is None:
            return None
        stored = people.get_user(self.connection, user_no)
        if stored is None and user_no not in dict(self._not_in_database()):
            return None  # known by a commit after this state
        if stored is not None and stored.user_id == FORGOTTEN:
            return None
        extent = _of_people(self.extents(self.metrics.series_of(user_no))).get(user_no, Extent())
        return _overview(stored or User(user_id), extent)

    def metrics_of(self, user_id: str) -> list[MetricOverview]:
        """See `contract.Reader.metrics`."""
        user_no = self.users.find(user_id)
        if user_no is None:
            return []
        found: dict[int, Extent] = {}
        for (series_no, _), extent in self.extents(self.metrics.series_of(user_no)).items():
            found[series_no] = found.get(series_no, Extent()).joined(extent)
        named = ((self.metrics.name_of(series_no), extent) for series_no, extent in found.items() if extent.readings)
        return [MetricOverview(name, each.readings, each.first_us, each.last_us) for name, each in sorted(named)]

    def devices_of(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        user_no = self.users.find(user_id)
        if user_no is None:
            return []
        found: dict[int, Extent] = {}
        for (_, device_no), extent in self.extents(self.metrics.series_of(user_no)).items():
            if extent.readings:
                found[device_no] = found.get(device_no, Extent()).joined(extent)
        for device_no, _, _ in people.get_priorities(self.connection, user_no):
            found.setdefault(device_no, Extent())
        named = sorted((self.devices.text(device_no), extent) for device_no, extent in found.items())
        return [DeviceOverview(name, extent.readings, extent.first_us, extent.last_us) for name, extent in named]

    def extents(self, series: Sequence[int]) -> Extents:
        """Return the extents of the readings of these series, counted or not, by device."""
        with relation(self.connection, "wanted", pa.table({"user_no": pa.array(series, pa.int32())})):
            unmerged = self._unmerged(series)
            hours = unmerged.t // HOUR_US
            dirty = pa.table({"user_no": unmerged.user_no, "hour": hours}).group_by(["user_no", "hour"]).aggregate([])
            with relation(self.connection, "dirty", dirty):
                kept = self.connection.execute(_KEPT).fetchall()
                extents = {(series_no, device_no): Extent(*extent) for series_no, device_no, *extent in kept}
                if len(unmerged):
                    stored_hours = pa.table(self.connection.execute(_DIRTY_AND_KEPT).fetchnumpy())
        if len(unmerged):
            fresh = Rows.joined([self._stored_in(stored_hours), unmerged])
            for key, extent in _counted(fresh):
                extents[key] = extents.get(key, Extent()).joined(extent)
        return extents

    def expired(self, series: Sequence[int]) -> int:
        """Count the readings of these series that extents include although they have expired."""
        statement = (
            "SELECT coalesce(sum(n_all), 0)::BIGINT FROM h1_dev WHERE user_no IN (SELECT unnest(?)) "
            "AND hour < (SELECT horizon_hour FROM state)"
        )
        (count,) = one_row(self.connection, statement, [list(series)]) or (0,)
        return int(count)

    def _not_in_database(self) -> Iterable[tuple[int, str]]:
        """Return the people who are known by staged readings alone."""
        (known,) = one_row(self.connection, "SELECT count(*) FROM users") or (0,)
        parts = self.stage.since(read_state(self.connection).merged_seq)
        numbers = set()
        for part in parts:
            people_no = people_of(part.user_no)
            numbers |= {int(number) for number in np.unique(people_no[people_no >= known])}
        named = ((number, self.users.text(number)) for number in numbers)
        return [(number, user_id) for number, user_id in named if user_id != FORGOTTEN]

    def _unmerged(self, series: Sequence[int]) -> Rows:
        """Return the late and staged rows of the series in the relation `wanted`, in order of arrival."""
        state = read_state(self.connection)
        parts = [Rows(**self.connection.execute(_LATE).fetchnumpy())] if state.late_rows else []
        people = len(self.users) + 1  # numbers given since then map to the last place, which is False
        is_wanted = np.zeros(people * MOST_METRICS, np.bool_)
        is_wanted[dense(np.array(series, np.int32), people)] = True
        for part in self.stage.since(state.merged_seq):
            parts.append(part.take(is_wanted[dense(part.user_no, people)]))
        return Rows.joined([part for part in parts if len(part)])

    def _stored_in(self, hours: pa.Table) -> Rows:
        """Fetch the stored readings of these people and hours; only their keys are filled in."""
        if hours.num_rows == 0:
            return Rows.empty()
        of_hour = hours["hour"].to_numpy()
        with relation(self.connection, "stored_hours", hours):
            found = self.connection.execute(
                _STORED, {"start": int(of_hour.min()) * HOUR_US, "end": (int(of_hour.max()) + 1) * HOUR_US}
            ).fetchnumpy()
        count = len(found["t"])
        return Rows(**found, **{name: np.zeros(count, DTYPES[name]) for name in ("v", "confidence", "origin")})


def _counted(rows: Rows) -> Iterable[tuple[tuple[int, int], Extent]]:
    """Compute the extents of rows that are in order of arrival."""
    rows = rows.take(storage_order(rows).kept)
    rows = rows.take(rows.v != TOMBSTONE)
    table = pa.table({"user_no": rows.user_no, "device_no": rows.device_no, "t": rows.t})
    groups = table.group_by(["user_no", "device_no"]).aggregate([("t", "count"), ("t", "min"), ("t", "max")])
    for row in groups.to_pylist():
        yield (row["user_no"], row["device_no"]), Extent(row["t_count"], row["t_min"], row["t_max"])


def _of_people(extents: Extents) -> dict[int, Extent]:
    """Combine the metrics and devices of each person."""
    found: dict[int, Extent] = {}
    for (series_no, _), extent in extents.items():
        user_no = person_of(series_no)
        found[user_no] = found.get(user_no, Extent()).joined(extent)
    return found


def _overview(user: User, extent: Extent) -> UserOverview:
    return UserOverview(user, extent.readings, extent.first_us, extent.last_us)
