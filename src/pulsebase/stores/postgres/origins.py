"""What brought readings: the numbers of push streams, syncs and imports."""

from __future__ import annotations

from collections.abc import Collection

from pulsebase.model.users import User, speaks_of
from pulsebase.stores.contract import PUSH_KIND, Origin, origin_of_nobody
from pulsebase.stores.postgres.database import Connection

#: The query for the numbers of the origins by which devices push.
PUSHES = f"SELECT origin FROM pulsebase.origins WHERE kind = '{PUSH_KIND}'"


def find_origin(connection: Connection, kind: str, name: str) -> int | None:
    """The number of an origin, if it has one."""
    row = connection.execute(
        "SELECT origin FROM pulsebase.origins WHERE kind = %s AND name = %s", [kind, name], binary=True
    ).fetchone()
    return None if row is None else int(row[0])


def add_origin(connection: Connection, kind: str, name: str) -> int:
    """Add an origin and return its number. The caller holds a lock, so that nobody else adds one meanwhile."""
    ((number,),) = connection.execute(
        "INSERT INTO pulsebase.origins (origin, kind, name) "
        "SELECT coalesce(max(origin), 0) + 1, %s, %s FROM pulsebase.origins RETURNING origin",
        [kind, name],
        binary=True,
    ).fetchall()
    return int(number)


def origins(connection: Connection) -> list[Origin]:
    """Every origin, by number."""
    rows = connection.execute(
        "SELECT origin, kind, name, received_at FROM pulsebase.origins ORDER BY origin", binary=True
    ).fetchall()
    return [Origin(*row) for row in rows]


def push_origins(connection: Connection) -> list[int]:
    """Return the numbers of the origins by which devices push."""
    return [origin for (origin,) in connection.execute(PUSHES, binary=True).fetchall()]


def kinds_of(connection: Connection, numbers: Collection[int]) -> dict[int, bool]:
    """Return whether devices push by these origins, by number, of those that there are."""
    found = connection.execute(
        "SELECT origin, kind = %s FROM pulsebase.origins WHERE origin = ANY(%s)", [PUSH_KIND, list(numbers)]
    )
    return dict(found.fetchall())


def forget_person(connection: Connection, person: User) -> None:
    """Rename the origins whose names speak of a person who is removed."""
    for origin, name in connection.execute("SELECT origin, name FROM pulsebase.origins", binary=True).fetchall():
        if speaks_of(name, person):
            changed = [origin_of_nobody(origin), origin]
            connection.execute("UPDATE pulsebase.origins SET name = %s WHERE origin = %s", changed)
