"""The horizon, before which raw readings have expired."""

from __future__ import annotations

from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At

#: The expression for it in a statement.
HORIZON = "(SELECT start_at FROM pulsebase.horizon)"


def horizon_us(connection: Connection) -> int:
    """Return it in microseconds UTC; 0 if no readings ever expired."""
    ((at_us,),) = connection.execute("SELECT start_at FROM pulsebase.horizon", binary=True).fetchall()
    return int(at_us)


def move_horizon(connection: Connection, to_us: int) -> None:
    """Move it forward to this time; it never moves back."""
    connection.execute("UPDATE pulsebase.horizon SET start_at = greatest(start_at, %s)", [At(to_us)])
