"""What is stored of a person under each origin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pulsebase.stores.contract import OriginExtent
from pulsebase.stores.duckdb.engine.transactions import relation
from pulsebase.stores.duckdb.merge.origins import PushOrigins
from pulsebase.stores.duckdb.merge.stage import TOMBSTONE
from pulsebase.stores.duckdb.read.person_snapshot import PersonSnapshot
from pulsebase.stores.duckdb.read.unmerged import SAME_KEY, keys_of, owned_rows

_MERGED = "SELECT r.origin, count(*), min(r.t), max(r.t) FROM readings AS r"
_OF_SERIES = "WHERE r.user_no = $user GROUP BY origin"


def origin_extents(snapshots: Iterable[PersonSnapshot], pushes: PushOrigins) -> list[OriginExtent]:
    """Return what is stored of a person under each origin, by number, from snapshots of the person's metrics."""
    found: dict[int, list[OriginExtent]] = {}
    for snapshot in snapshots:
        for each in (*_merged(snapshot), *_unmerged(snapshot, pushes)):
            found.setdefault(each.number, []).append(each)
    return [
        OriginExtent(
            number,
            sum(each.readings for each in of),
            min(each.first_us for each in of),
            max(each.last_us for each in of),
        )
        for number, of in sorted(found.items())
    ]


def _merged(snapshot: PersonSnapshot) -> list[OriginExtent]:
    """Return what is merged of a metric, without what unmerged rows replace."""
    asked = {"user": snapshot.user_no}
    if not len(snapshot.staged):
        rows = snapshot.connection.execute(f"{_MERGED} {_OF_SERIES}", asked).fetchall()
    else:
        with relation(snapshot.connection, "unmerged", keys_of(snapshot.staged)):
            others = f"{_MERGED} ANTI JOIN unmerged AS u ON {SAME_KEY} {_OF_SERIES}"
            rows = snapshot.connection.execute(others, asked).fetchall()
    return [OriginExtent(*row) for row in rows]


def _unmerged(snapshot: PersonSnapshot, pushes: PushOrigins) -> Iterator[OriginExtent]:
    rows = owned_rows(snapshot.connection, snapshot.deadline, snapshot.arrived, snapshot.staged, pushes)
    rows = rows.take(rows.v != TOMBSTONE)
    for number in np.unique(rows.origin).tolist():
        times_us = rows.t[rows.origin == number]
        yield OriginExtent(number, len(times_us), int(times_us.min()), int(times_us.max()))
