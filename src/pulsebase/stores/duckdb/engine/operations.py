"""What an operator does with a store: check it, back it up, query it in SQL, and monitor it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb
import pyarrow as pa

from pulsebase.model.errors import DiskFullError, PulsebaseError, StoreCorruptError, StoreUnavailableError
from pulsebase.stores.contract import BackupReport, CheckReport
from pulsebase.stores.duckdb.engine import check
from pulsebase.stores.duckdb.engine.backup import copy_store
from pulsebase.stores.duckdb.engine.transactions import one_row, read_state
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.read.statement_check import check_statement
from pulsebase.stores.duckdb.read.user_sql import select


class Operations:
    """Checks, backups, SQL and statistics of an open store."""

    def __init__(self, parts: StoreParts, maintenance: Maintenance) -> None:
        self._parts, self._maintenance = parts, maintenance

    def check(self) -> CheckReport:
        """See `contract.Store.check`. Everything is merged first, so that the check covers every reading; where damaged
        tables prevent that, the report names them.
        """
        problems = check.unreadable(self._parts.database)
        if not problems:
            try:
                self._maintenance.merge()
                with self._parts.database.reading() as connection:
                    return check.check(connection)
            except StoreCorruptError as error:  # in an index, say, which no table shows
                problems = [str(error)]
        return CheckReport(0, 0, tuple(problems))

    def ping(self) -> None:
        """See `contract.Store.ping`."""
        if self._parts.database.damage is not None:
            raise self._parts.database.damage
        with self._parts.database.reading() as connection:
            read_state(connection)
        if not self._maintenance.is_alive():
            raise StoreUnavailableError("the store's maintenance has stopped")
        self._parts.journal.refuse_when_broken()

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`."""
        parts, maintenance = self._parts, self._maintenance
        staged_rows = len(parts.stage)
        statistics = {
            "unmerged_rows": staged_rows + parts.cached.late_rows,
            "staged_rows": staged_rows,
            "staged_limit_rows": maintenance.most_unmerged,
            "size_bytes": parts.size_bytes(),
            "merges": maintenance.merges,
            "merge_failures": maintenance.merge_failures,
            "merge_seconds": maintenance.merge_seconds,
            "merge_lag_seconds": maintenance.lag_seconds,
            "damaged": parts.database.damage is not None,
        }
        # The engine answers from its row groups: a millisecond for 30 million rows. Should it fail, the rest is shown.
        with contextlib.suppress(PulsebaseError, duckdb.Error), parts.database.reading() as connection:
            row = one_row(connection, "SELECT count(*) FROM readings")
            statistics["readings"] = row[0] if row else 0
        return statistics

    def backup(self, folder: Path) -> BackupReport:
        """See `contract.Embedded.backup`."""
        database, journal = self._parts.database, self._parts.journal
        with self._parts.write_lock:
            self._maintenance.checkpoint()
            if database.size_of_log():
                raise DiskFullError("the copy was given up: the disk has no room for a checkpoint", 60)
            return copy_store(database.path, journal.folder, journal.listed(), folder)

    def select(self, statement: str, limit: int, timeout_s: float | None) -> pa.Table:
        """See `contract.Embedded.select`. Everything is merged first, so that the tables hold every reading."""
        check_statement(statement)
        self._maintenance.merge()
        with (
            self._parts.database.reading() as connection,
            self._parts.watchdog.limit(connection, timeout_s),
        ):
            return select(connection, statement, limit)
