"""Deleting people's rows from a table of a shard, and waiting until none of its files has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.stores.clickhouse.engine import Server
from pulsebase.stores.clickhouse.stored import listed

#: How long one table may take to be written anew.
_TABLE_LIMIT_S = 3600.0
_PAUSE_S = 0.2
_MUTATIONS = """
SELECT count() AS n, countIf(latest_fail_reason != '') AS failed FROM system.mutations
WHERE database = currentDatabase() AND table = '{table}' AND NOT is_done
"""
_REPLACED = "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = '{table}' AND NOT active"


def wipe_out(server: Server, table: str, people: Collection[int], limit_s: float) -> None:
    """Delete the rows of these people, by number, from a table; each question may take `limit_s`.

    Raises:
        StoreUnavailableError: it takes too long, or there are rows of theirs again.
    """
    rows = f"SELECT count() AS n FROM {table} WHERE person IN {listed(people)}"
    if number(server, rows, limit_s):
        server.command(
            f"ALTER TABLE {table} DELETE WHERE person IN {listed(people)} SETTINGS mutations_sync = 0", limit_s
        )
        wait(
            lambda: _mutated(server, table, limit_s),
            _TABLE_LIMIT_S,
            f"the table {table} takes long to be written anew",
        )
    replaced = set(server.ask(_REPLACED.format(table=table), limit_s)["name"].to_pylist())
    wait(
        lambda: replaced.isdisjoint(server.ask(_REPLACED.format(table=table), limit_s)["name"].to_pylist()),
        _TABLE_LIMIT_S,
        f"replaced parts of the table {table} stay on the disk",
    )
    if number(server, rows, limit_s):
        raise StoreUnavailableError(f"rows of somebody who was removed came into the table {table}", 30)


def number(server: Server, question: str, limit_s: float) -> int:
    """Return the one number `n` that a question is answered with; 0 for none."""
    return int(server.ask(question, limit_s)["n"][0].as_py() or 0)


def wait(done: Callable[[], bool], limit_s: float, otherwise: str) -> None:
    """Wait until something is done.

    Raises:
        StoreUnavailableError: it takes longer than the limit.
    """
    give_up_at = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > give_up_at:
            raise StoreUnavailableError(otherwise, 60)
        time.sleep(_PAUSE_S)


def _mutated(server: Server, table: str, limit_s: float) -> bool:
    (row,) = server.ask(_MUTATIONS.format(table=table), limit_s).to_pylist()
    if row["failed"]:
        raise StoreUnavailableError(f"a server cannot write the table {table} anew now; it goes on trying", 60)
    return bool(row["n"] == 0)
