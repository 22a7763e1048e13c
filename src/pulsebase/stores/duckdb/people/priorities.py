"""A cache of everybody's own priorities of devices, valid until one changes."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from pulsebase.model.rollups import PriorityHistory
from pulsebase.stores.duckdb.people import people

#: Person number → their history.
Histories = Mapping[int, PriorityHistory]


class Priorities:
    """Holds the newest priorities seen so far; a transaction that sees older ones reads them for itself."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, epoch: int) -> None:
        self._newest = (epoch, _read(connection))

    def at(self, connection: duckdb.DuckDBPyConnection, epoch: int) -> Histories:
        """Return the priorities as the transaction of `connection`, which sees this epoch, sees them."""
        known_epoch, known = self._newest
        if known_epoch == epoch:
            return known
        found = _read(connection)
        if epoch > known_epoch:
            self._newest = (epoch, found)
        return found


def _read(connection: duckdb.DuckDBPyConnection) -> Histories:
    of_user: dict[int, dict[int, list[tuple[int, int | None]]]] = {}
    for user_no, device_no, valid_from, priority in people.all_priorities(connection):
        of_user.setdefault(user_no, {}).setdefault(device_no, []).append((valid_from, priority))
    return dict(of_user)
