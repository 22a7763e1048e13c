"""What is stored of a person under each origin."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pulsebase.stores.contract import OriginExtent
from pulsebase.stores.duckdb.engine.transactions import relation
from pulsebase.stores.duckdb.merge.ordering import storage_order
from pulsebase.stores.duckdb.merge.origins import PushOrigins, last_of_each
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows
from pulsebase.stores.duckdb.read.person_snapshot import PersonSnapshot
from pulsebase.stores.duckdb.read.unmerged import SAME_KEY, keys_of

_MERGED = "SELECT r.origin, count(*), min(r.t), max(r.t) FROM readings AS r"
_REPLACED = (
    f"SELECT {', '.join(f'r.{name}' for name in DTYPES)} FROM readings AS r SEMI JOIN unmerged AS u ON {SAME_KEY}"
)


def origin_extents(snapshot: PersonSnapshot, pushes: PushOrigins) -> list[OriginExtent]:
    """Return what is stored of one metric of a person under each origin."""
    asked = {"user": snapshot.user_no}
    if not len(snapshot.staged):
        found = snapshot.connection.execute(f"{_MERGED} WHERE r.user_no = $user GROUP BY origin", asked).fetchall()
        return [OriginExtent(*row) for row in found]
    with relation(snapshot.connection, "unmerged", keys_of(snapshot.staged)):
        others = f"{_MERGED} ANTI JOIN unmerged AS u ON {SAME_KEY} WHERE r.user_no = $user GROUP BY origin"
        found = snapshot.connection.execute(others, asked).fetchall()
        replaced = Rows(**snapshot.connection.execute(_REPLACED).fetchnumpy())
    rows = Rows.joined([replaced, snapshot.arrived])
    snapshot.deadline.check()
    owned = last_of_each(rows, storage_order(rows), pushes, len(replaced))
    return [*(OriginExtent(*row) for row in found), *_extents_of(owned.take(owned.v != TOMBSTONE))]


def together(extents: Iterable[OriginExtent]) -> list[OriginExtent]:
    """Return one extent for each origin, by number."""
    found: dict[int, OriginExtent] = {}
    for each in extents:
        other = found.get(each.number, each)
        count = each.readings if other is each else each.readings + other.readings
        first_us, last_us = min(each.first_us, other.first_us), max(each.last_us, other.last_us)
        found[each.number] = OriginExtent(each.number, count, first_us, last_us)
    return [found[number] for number in sorted(found)]


def _extents_of(rows: Rows) -> list[OriginExtent]:
    times_us = {number: rows.t[rows.origin == number] for number in np.unique(rows.origin).tolist()}
    return [OriginExtent(number, len(of), int(of.min()), int(of.max())) for number, of in times_us.items()]
