"""The laws and the state machine over the embedded store."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from pulsebase.stores.duckdb.merge.merge import MergeBounds
from pulsebase.stores.duckdb.merge.stage import TOMBSTONE
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Harness, Kept, StoredRow
from tests.stores.laws import StoreLaws
from tests.stores.machine import machine_of
from tests.support.journal_files import commits_of, files_of

#: Merges happen where the tests say so, not when a clock says so.
BY_HAND = DuckdbOptions(merge_interval_s=3600, memory_limit="512MiB")


@functools.cache
def _empty_store() -> Path:
    """The folder of a store that was made and closed, to be copied: its tables take longer to make than most laws."""
    folder = Path(tempfile.mkdtemp(prefix="pulsebase-empty-"))
    atexit.register(shutil.rmtree, folder)
    DuckdbStore(folder / "store.duckdb", BY_HAND).close()
    return folder


class DuckdbHarness(Harness):
    """A store in a folder of its own."""

    options = BY_HAND

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pulsebase-laws-"))
        shutil.copytree(_empty_store(), self._folder, dirs_exist_ok=True)
        self.path = self._folder / "store.duckdb"
        self.store: DuckdbStore = DuckdbStore(self.path, self.options)

    def reopen(self) -> None:
        self.store.close()
        self.store = DuckdbStore(self.path, self.options)

    def settle(self) -> None:
        self.store.merge()

    def back_door(self) -> list[StoredRow]:
        """The table and the journal as they lie on the disk, put together without any code of the store's queries."""
        with self.store.parts.database.reading() as connection:
            merged_seq = connection.execute("SELECT merged_seq FROM state").fetchall()[0][0]
            users = dict(connection.execute("SELECT user_no, user_id FROM users").fetchall())
            devices = dict(connection.execute("SELECT device_no, device_id FROM devices").fetchall())
            metrics = dict(connection.execute("SELECT metric_no, name FROM metrics").fetchall())
            pushes = connection.execute("SELECT origin FROM origins WHERE kind = 'push'").fetchall()
            columns = "user_no, device_no, t, v, confidence, origin"
            found = connection.execute(f"SELECT {columns} FROM readings").fetchall()
            late = connection.execute(f"SELECT {columns} FROM late ORDER BY seq").fetchall()
        keys = {(user_no, device_no, time_us) for user_no, device_no, time_us, *_ in found}
        assert len(keys) == len(found), "a reading is stored twice"
        rows = [*found, *late]
        files = files_of(self.path.with_name("store.duckdb.journal"))
        for commit in (each for file in files for each in commits_of(file)):
            users |= commit.users
            devices |= commit.devices
            rows += commit.rows[max(merged_seq - commit.first_seq, 0) :]
        kept = Kept([number for (number,) in pushes])
        for user_no, device_no, time_us, value, confidence, origin in rows:
            key = users[user_no % 2**25], devices[device_no], time_us, metrics[user_no // 2**25]
            if value == TOMBSTONE:
                kept.drop(key)
            else:
                kept.add(key, value, None if confidence < 0 else confidence, origin)
        return kept.rows()

    def discard(self) -> None:
        try:
            report = self.store.check()
            super().discard()
        finally:
            shutil.rmtree(self._folder)
        assert report.problems == ()


class TestDuckdbStore(StoreLaws, harness=DuckdbHarness):
    pass


TestDuckdbMachine = machine_of(DuckdbHarness, max_examples=15)


class LateHarness(DuckdbHarness):
    """Every hour that is stored already counts as old, and is settled one hour at a time: all goes through `late`."""

    options = replace(BY_HAND, bounds=MergeBounds(search_rows=0, fetch_rows=0))

    def settle(self) -> None:
        self.store.maintenance.merge_staged()


class TestDuckdbStoreWithLateRows(StoreLaws, harness=LateHarness):
    pass


TestDuckdbMachineWithLateRows = machine_of(LateHarness, max_examples=15)
