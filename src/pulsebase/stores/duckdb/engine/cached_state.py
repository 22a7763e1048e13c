"""What memory holds of the database, so that no write has to ask for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import duckdb

from pulsebase.model.errors import StoreCorruptError
from pulsebase.stores.duckdb.engine.transactions import read_state
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.people.series_numbers import MetricNumbers, series_number


class CachedState:
    """The numbers of people and devices, and how many rows are late.

    It is loaded whenever the database file is opened, and updated after each change of the database.

    Attributes:
        users: people and their numbers.
        devices: devices and their numbers.
        metrics: the metrics of which there ever were readings, and their numbers.
        late_rows: how many rows the table `late` holds.
        commit_lock: held while rows are committed or numbers are given; holding it keeps journal and numbers as they
            are. If the right to write the database is needed too, that is taken first.
        ids_are_certain: False after a transaction with new numbers whose outcome is unknown: no numbers are given
            until the file is opened again.
    """

    def __init__(self) -> None:
        self.users = IdNumbers()
        self.devices = IdNumbers()
        self.metrics = MetricNumbers()
        self.late_rows = 0
        self.commit_lock = threading.RLock()
        self.ids_are_certain = True

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take over what the database holds; a last change of unknown outcome is there or not.

        Called with the right to write the database.
        """
        self.late_rows = read_state(connection).late_rows
        self.metrics.load(connection)
        with self.commit_lock:
            self.users.follow(_ids_by_number(connection, "user_no", "user_id", "users"))
            self.devices.follow(_ids_by_number(connection, "device_no", "device_id", "devices"))
            self.ids_are_certain = True

    def series_no(self, user_id: str, metric: str) -> int | None:
        """Return the number of a person's series; None if nobody has the id, or there never was any of the metric."""
        user_no, metric_no = self.users.find(user_id), self.metrics.find(metric)
        return None if user_no is None or metric_no is None else series_number(user_no, metric_no)

    @contextlib.contextmanager
    def new_ids(self) -> Iterator[None]:
        """Publish the numbers that are given in the block at its end, or withdraw them if it raises."""
        try:
            yield
        except BaseException:
            self.users.withdraw()
            self.devices.withdraw()
            raise
        self.users.publish()
        self.devices.publish()


def _ids_by_number(connection: duckdb.DuckDBPyConnection, number: str, text: str, table: str) -> list[str]:
    rows = connection.execute(f"SELECT {number}, {text} FROM {table} ORDER BY {number}").fetchall()
    if [row[0] for row in rows] != list(range(len(rows))):
        raise StoreCorruptError(f"the database has lost rows of {table}; restore a backup")
    return [row[1] for row in rows]
