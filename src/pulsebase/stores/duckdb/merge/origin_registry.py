"""The streams, syncs and imports that brought readings, and their numbers."""

from __future__ import annotations

import time

from pulsebase.stores.contract import PUSH_KIND, Origin
from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.parts import StoreParts


class OriginRegistry:
    """Registers origins, and remembers their numbers by kind and name."""

    def __init__(self, parts: StoreParts, maintenance: Maintenance) -> None:
        self._parts, self._maintenance = parts, maintenance
        self._numbers: dict[tuple[str, str], int] = {}

    def register(self, kind: str, name: str) -> int:
        """See `contract.Writer.register_origin`."""
        known = self._numbers.get((kind, name))
        if known is None:
            known = self._numbers[kind, name] = self._find_or_insert(kind, name)
        return known

    def all(self) -> list[Origin]:
        """See `contract.Reader.origins`."""
        with self._parts.database.reading() as connection:
            statement = "SELECT origin, kind, name, received_at FROM origins ORDER BY origin"
            return [Origin(*row) for row in connection.execute(statement).fetchall()]

    def forget_names(self) -> None:
        """Forget the remembered numbers, since removing a person renames origins."""
        self._numbers.clear()

    def _find_or_insert(self, kind: str, name: str) -> int:
        with self._parts.write_lock:
            with self._parts.database.writing() as connection:
                row = one_row(connection, "SELECT origin FROM origins WHERE kind = ? AND name = ?", [kind, name])
                row = row or one_row(
                    connection,
                    "INSERT INTO origins SELECT coalesce(max(origin), 0) + 1, $kind, $name, $now FROM origins "
                    "RETURNING origin",
                    {"kind": kind, "name": name, "now": time.time_ns() // 1000},
                )
            assert row is not None
            origin = int(row[0])
            if kind == PUSH_KIND:
                self._parts.push_origins.add(origin)
            self._maintenance.checkpoint_after()
            return origin
