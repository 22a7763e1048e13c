"""`db init`: create or migrate the tables of a server store."""

from __future__ import annotations

from pulsebase.cli.output import console
from pulsebase.settings import Settings
from pulsebase.wiring import set_up_database


def run_init(settings: Settings) -> None:
    """Set up the database and print what was done."""
    done, roles = set_up_database(settings)
    if done:
        console.print(f"The database is set up (schema {done[-1]}).", highlight=False)
    else:
        console.print("The database was set up already; nothing was changed.", highlight=False)
    if roles:
        console.print(f"Roles: {', '.join(roles)}.", highlight=False)
    else:
        console.print("There are no separate roles for serving and monitoring; see the guide.", highlight=False)
