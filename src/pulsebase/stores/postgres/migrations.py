"""Migrations: numbered schema files, of this room and of the store that uses it, each applied once.

A migration is what both folders have under a number: the room's statements, then the store's. The database notes
numbers alone. So a new file of either gets a number that is higher than any in both.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from psycopg import errors

from pulsebase.model.errors import StopError, StoreVersionError
from pulsebase.stores.postgres.database import Connection, first_line
from pulsebase.stores.postgres.locks import lock_merges
from pulsebase.stores.postgres.people import fold_names
from pulsebase.stores.postgres.series_keys import require_known_metrics

_ROOM = "pulsebase.stores.postgres"
_NUMBERED = re.compile(r"(\d{4})_\w+\.sql")
#: What the program does after a migration, because the server cannot.
_AFTERWARDS: Mapping[int, Callable[[Connection], None]] = {5: fold_names}


@dataclass(frozen=True, slots=True)
class PostgresMigration:
    """The statements of a number."""

    number: int
    sql: str

    def apply(self, connection: Connection) -> None:
        """Apply it and note that; takes part in the transaction of `migrating`."""
        connection.execute(self.sql)
        if self.number in _AFTERWARDS:
            _AFTERWARDS[self.number](connection)
        connection.execute("INSERT INTO pulsebase.migrations (number) VALUES (%s)", [self.number])


def migrations_with(*packages: str) -> list[PostgresMigration]:
    """Return the migrations of this room and those in the folder `schema` of each of a store's packages, in order."""
    found: dict[int, list[str]] = {}
    for each in (_ROOM, *packages):
        for entry in resources.files(each).joinpath("schema").iterdir():
            match = _NUMBERED.fullmatch(entry.name)
            if match:
                found.setdefault(int(match[1]), []).append(entry.read_text(encoding="utf-8"))
    return [PostgresMigration(number, "\n".join(found[number])) for number in sorted(found)]


def require_migrated(connection: Connection, wanted: Sequence[PostgresMigration]) -> None:
    """Raise `StopError` unless the database has all of these migrations, and no newer ones and no unknown metrics."""
    applied = _applied(connection)
    newest = wanted[-1].number
    if not applied:
        raise StopError("the database is not set up for Pulsebase: run pulsebase db init")
    if max(applied) > newest:
        raise StoreVersionError(
            f"the database has schema version {max(applied)}, this program knows {newest}: install a newer Pulsebase"
        )
    if any(each.number not in applied for each in wanted):
        raise StopError(f"the database has schema version {max(applied)}, {newest} is needed: run pulsebase db init")
    require_known_metrics(connection)


@contextlib.contextmanager
def migrating(connection: Connection) -> Iterator[set[int]]:
    """Run the block in one transaction, under a lock, in which it migrates the database; it gets the numbers of the
    migrations that were applied before.

    Raises:
        StopError: the database user may not do what the block does. Nothing was changed.
    """
    try:
        with _transaction(connection):
            lock_merges(connection)
            if connection.execute("SELECT to_regnamespace('pulsebase') IS NULL").fetchone() == (True,):
                connection.execute("CREATE SCHEMA pulsebase")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS pulsebase.migrations "
                "(number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            yield _applied(connection)
    except errors.InsufficientPrivilege as error:
        raise StopError(f"the database user may not do what is needed: {first_line(error)}") from error


def relation_exists(connection: Connection, name: str) -> bool:
    """Whether there is a table, view or the like of this name, which may be with its schema."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return bool(row and row[0])


@contextlib.contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if not connection.closed:
            connection.execute("ROLLBACK")
        raise


def _applied(connection: Connection) -> set[int]:
    if not relation_exists(connection, "pulsebase.migrations"):
        return set()
    return {number for (number,) in connection.execute("SELECT number FROM pulsebase.migrations").fetchall()}
