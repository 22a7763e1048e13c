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
from pulsebase.model.users import DeviceOverview, User, UserOverview, folded
from pulsebase.stores.duckdb.engine.database import one_row, read_state, relation
from pulsebase.stores.duckdb.merge.ordering import storage_order
from pulsebase.stores.duckdb.merge.rollup_sql import IN_RANGE
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows, StageSnapshot
from pulsebase.stores.duckdb.people import people
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN, IdNumbers

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


#: By the numbers of person and device.
Extents = dict[tuple[int, int], Extent]


@dataclass(frozen=True, slots=True)
class OverviewSnapshot:
    """One state of the store: a stage snapshot, and the database as of a transaction that began after it."""

    connection: duckdb.DuckDBPyConnection
    stage: StageSnapshot
    users: IdNumbers
    devices: IdNumbers

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
        extents = _of_people(self.extents([user_no for user_no, _ in shown]))
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
        extent = _of_people(self.extents([user_no])).get(user_no, Extent())
        return _overview(stored or User(user_id), extent)

    def devices_of(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        user_no = self.users.find(user_id)
        if user_no is None:
            return []
        found = {device_no: extent for (_, device_no), extent in self.extents([user_no]).items() if extent.readings}
        for device_no, _, _ in people.get_priorities(self.connection, user_no):
            found.setdefault(device_no, Extent())
        named = sorted((self.devices.text(device_no), extent) for device_no, extent in found.items())
        return [DeviceOverview(name, extent.readings, extent.first_us, extent.last_us) for name, extent in named]

    def extents(self, user_nos: Sequence[int]) -> Extents:
        """Return the extents of these people's readings, counted or not, by device."""
        with relation(self.connection, "wanted", pa.table({"user_no": pa.array(user_nos, pa.int32())})):
            unmerged = self._unmerged(user_nos)
            hours = unmerged.t // HOUR_US
            dirty = pa.table({"user_no": unmerged.user_no, "hour": hours}).group_by(["user_no", "hour"]).aggregate([])
            with relation(self.connection, "dirty", dirty):
                kept = self.connection.execute(_KEPT).fetchall()
                extents = {(user_no, device_no): Extent(*extent) for user_no, device_no, *extent in kept}
                if len(unmerged):
                    stored_hours = pa.table(self.connection.execute(_DIRTY_AND_KEPT).fetchnumpy())
        if len(unmerged):
            fresh = Rows.concatenated([self._stored_in(stored_hours), unmerged])
            for key, extent in _counted(fresh):
                extents[key] = extents.get(key, Extent()).joined(extent)
        return extents

    def expired(self, user_no: int) -> int:
        """Count the person's readings that extents include although they have expired."""
        statement = (
            "SELECT coalesce(sum(n_all), 0)::BIGINT FROM h1_dev WHERE user_no = ? "
            "AND hour < (SELECT horizon_hour FROM state)"
        )
        (count,) = one_row(self.connection, statement, [user_no]) or (0,)
        return int(count)

    def _not_in_database(self) -> Iterable[tuple[int, str]]:
        """Return the people who are known by staged readings alone."""
        (known,) = one_row(self.connection, "SELECT count(*) FROM users") or (0,)
        parts = self.stage.since(read_state(self.connection).merged_seq)
        numbers = {int(number) for part in parts for number in np.unique(part.user_no[part.user_no >= known])}
        named = ((number, self.users.text(number)) for number in numbers)
        return [(number, user_id) for number, user_id in named if user_id != FORGOTTEN]

    def _unmerged(self, user_nos: Sequence[int]) -> Rows:
        """Return the late and staged rows of the people in the relation `wanted`, in order of arrival."""
        state = read_state(self.connection)
        parts = [Rows(**self.connection.execute(_LATE).fetchnumpy())] if state.late_rows else []
        is_wanted = np.zeros(len(self.users) + 1, np.bool_)
        is_wanted[list(user_nos)] = True
        for part in self.stage.since(state.merged_seq):
            known = np.minimum(
                part.user_no, len(is_wanted) - 1
            )  # numbers given since then map to the last slot, which is False
            parts.append(part.take(is_wanted[known]))
        return Rows.concatenated([part for part in parts if len(part)])

    def _stored_in(self, hours: pa.Table) -> Rows:
        """Fetch the stored readings of these people and hours; only their keys are filled in."""
        if hours.num_rows == 0:
            return Rows.concatenated([])
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
    """Combine the devices of each person."""
    found: dict[int, Extent] = {}
    for (user_no, _), extent in extents.items():
        found[user_no] = found.get(user_no, Extent()).joined(extent)
    return found


def _overview(user: User, extent: Extent) -> UserOverview:
    return UserOverview(user, extent.readings, extent.first_us, extent.last_us)
