"""Advisory locks that the processes of an installation share. A lock ends with its transaction, or with its session, so
a process that dies holds none.

If both are needed, `lock_merges` comes first: then no two transactions wait for each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pulsebase.stores.postgres.database import Connection

#: The namespace "Puls", and the numbers of the locks in it.
_NAMESPACE = 0x50756C73
_COMMITS, _MERGES, _SET_UP = 1, 2, 3


def lock_commits(connection: Connection) -> None:
    """Keep others from committing readings and from registering origins until the end of this transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, {_COMMITS})")


def lock_merges(connection: Connection) -> None:
    """Keep others from changing what is merged until the end of this transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, {_MERGES})")


@contextlib.contextmanager
def setting_up(connection: Connection) -> Iterator[None]:
    """Keep others from setting the store up during the block, which may have many transactions. It has to hold no other
    lock. Whoever uses the connection until the end knows that it still holds this one.
    """
    connection.execute(f"SELECT pg_advisory_lock({_NAMESPACE}, {_SET_UP})")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(f"SELECT pg_advisory_unlock({_NAMESPACE}, {_SET_UP})")
