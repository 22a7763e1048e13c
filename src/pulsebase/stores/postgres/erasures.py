"""The log of erased people, in the database that every process of an installation shares."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pulsebase.model.errors import RetryLaterError
from pulsebase.stores.erasures import Erasure, packed, unpacked
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

_KEY_BYTES = 32
_PUT = (
    "INSERT INTO pulsebase.erasure_receipts VALUES (%s, %s, %s) "
    "ON CONFLICT (erasure_id) DO UPDATE SET receipt = excluded.receipt"
)


@dataclass(frozen=True, slots=True)
class PostgresErasureLog:
    """See `stores.erasures.ErasureLog`."""

    database: PostgresDatabase

    def key(self) -> bytes | None:
        """Return the key; make one if there is none. A replica cannot, but has no marks either, so any key does."""
        fresh = secrets.token_bytes(_KEY_BYTES)

        def make(connection: Connection) -> None:
            connection.execute("INSERT INTO pulsebase.erasure_key (key) VALUES (%s) ON CONFLICT DO NOTHING", [fresh])

        if not (found := self._keys()):
            with contextlib.suppress(RetryLaterError):
                self.database.change(make)
            found = self._keys()
        return found[0] if found else fresh

    def _keys(self) -> list[bytes]:
        rows = self.database.read(lambda connection: _rows(connection, "SELECT key FROM pulsebase.erasure_key"))
        return [bytes(key) for (key,) in rows]

    def marks(self) -> frozenset[bytes]:
        rows = self.database.read(lambda connection: _rows(connection, "SELECT mark FROM pulsebase.erased"))
        return frozenset(bytes(mark) for (mark,) in rows)

    def add(self, mark: bytes, erasure: Erasure) -> None:
        def put(connection: Connection) -> None:
            connection.execute("INSERT INTO pulsebase.erased VALUES (%s) ON CONFLICT DO NOTHING", [mark])
            connection.execute(_PUT, [erasure.erasure_id, erasure.requested_us, packed(erasure)])

        self.database.change(put)

    def update(self, erasure: Erasure) -> None:
        values = [erasure.erasure_id, erasure.requested_us, packed(erasure)]
        self.database.change(lambda connection: connection.execute(_PUT, values).rowcount)

    def allow(self, mark: bytes) -> bool:
        delete = "DELETE FROM pulsebase.erased WHERE mark = %s"
        return self.database.change(lambda connection: connection.execute(delete, [mark]).rowcount > 0)

    def find(self, erasure_id: str) -> Erasure | None:
        return next((each for each in self.receipts() if each.erasure_id == erasure_id), None)

    def receipts(self) -> Sequence[Erasure]:
        newest_first = "SELECT receipt FROM pulsebase.erasure_receipts ORDER BY requested_us DESC"
        return [unpacked(text) for (text,) in self.database.read(lambda connection: _rows(connection, newest_first))]

    def close(self) -> None:
        """Do nothing: the connections are the store's."""


def _rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement, binary=True).fetchall()
