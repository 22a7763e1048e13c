"""Advisory locks that the processes of an installation share. A lock ends with its transaction, so a process that dies
holds none.

If both are needed, `lock_merges` comes first: then no two transactions wait for each other.
"""

from __future__ import annotations

from pulsebase.stores.postgres.database import Connection

#: The namespace "Puls", and the numbers of the locks in it.
_NAMESPACE = 0x50756C73
_COMMITS, _MERGES = 1, 2


def lock_commits(connection: Connection) -> None:
    """Keep others from committing readings and from registering origins until the end of this transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, {_COMMITS})")


def lock_merges(connection: Connection) -> None:
    """Keep others from changing what is merged until the end of this transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, {_MERGES})")
