"""The registry: people, their priorities of devices, and their daily summaries; each change is one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import date

import duckdb

from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.merge.merge import persist_names, resolve_contested
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people import people


class PeopleRegistry:
    """Keeps people, priorities and summaries in the database's tables. Writers take turns."""

    def __init__(self, parts: StoreParts, maintenance: Maintenance) -> None:
        self._parts, self._maintenance = parts, maintenance
        self._users, self._devices = parts.cached.users, parts.cached.devices

    def put_users(self, users: Sequence[User]) -> None:
        """See `contract.Registry.put_users`."""
        last = {user.user_id: user for user in users}
        with self._transaction(list(last), []) as connection:
            people.put_users(connection, [(self._users.number(user_id), user) for user_id, user in last.items()])

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        with self._transaction([priority.user_id], [priority.device_id]) as connection:
            user_no, device_no = self._users.number(priority.user_id), self._devices.number(priority.device_id)
            people.put_priority(connection, user_no, device_no, priority)
            resolve_contested(connection, self._parts.cached.metrics.series_of(user_no), device_no)
            self._parts.notes.add_everything_of(user_no)
        self._parts.notes.add_everything_of(user_no)  # again: the one before may have been read too early

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """See `contract.Registry.remove_priorities`."""
        with self._parts.write_lock:
            user_no, device_no = self._users.find(user_id), self._devices.find(device_id)
            if user_no is None or device_no is None:
                return 0
            with self._parts.database.writing() as connection:
                removed = people.remove_priorities(connection, user_no, device_no)
                if removed:
                    resolve_contested(connection, self._parts.cached.metrics.series_of(user_no), device_no)
                    self._parts.notes.add_everything_of(user_no)
            if removed:
                self._parts.notes.add_everything_of(user_no)
            self._maintenance.checkpoint_after()
            return removed

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        with self._transaction([summary.user_id for summary in summaries], []) as connection:
            people.put_summaries(connection, [(self._users.number(each.user_id), each) for each in summaries])

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        """See `contract.Registry.put_annotations`."""
        with self._transaction([each.user_id for each in annotations], []) as connection:
            people.put_annotations(connection, [(self._users.number(each.user_id), each) for each in annotations])

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        """See `contract.Registry.remove_annotation`."""
        with self._parts.write_lock:
            user_no = self._users.find(user_id)
            if user_no is None:
                return False
            with self._parts.database.writing() as connection:
                removed = people.remove_annotation(connection, user_no, annotation_id)
            self._maintenance.checkpoint_after()
            return removed

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        """See `contract.Reader.annotations`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return []
        with self._parts.database.reading() as connection:
            return people.get_annotations(connection, user_no, user_id, interval)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return None
        with self._parts.database.reading() as connection:
            stored = people.get_user(connection, user_no) or User(user_id)
        return stored if stored.user_id == user_id else None  # removed meanwhile

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """See `contract.Reader.summaries`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return []
        with self._parts.database.reading() as connection:
            return people.get_summaries(connection, user_no, user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return []
        with self._parts.database.reading() as connection:
            entries = people.get_priorities(connection, user_no)
        found = [
            DevicePriority(user_id, self._devices.text(device_no), priority, valid_from)
            for device_no, valid_from, priority in entries
        ]
        return sorted(found, key=lambda entry: (entry.device_id, entry.valid_from_us))

    @contextlib.contextmanager
    def _transaction(self, user_ids: Sequence[str], device_ids: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run the block in a transaction, after which these people and devices are known.

        Commits of readings go on meanwhile, unless one of them is new.
        """
        with self._parts.write_lock:
            known = all(map(self._users.is_persisted, user_ids)) and all(map(self._devices.is_persisted, device_ids))
            change = self._parts.database.writing() if known else self._with_new_ids(user_ids, device_ids)
            with change as connection:
                yield connection
            self._maintenance.checkpoint_after()

    @contextlib.contextmanager
    def _with_new_ids(self, user_ids: Sequence[str], device_ids: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run the block in a transaction that also stores the numbers of these people and devices."""
        cached, users, devices = self._parts.cached, self._users, self._devices
        with cached.commit_lock:
            self._parts.journal.refuse_when_broken()
            try:
                with cached.new_ids(), self._parts.database.writing() as connection:
                    for names, texts in ((users, user_ids), (devices, device_ids)):
                        for text in texts:
                            names.number(text)
                    persist_names(connection, users.unpersisted() + users.new(), devices.unpersisted() + devices.new())
                    yield connection
            except StoreUnavailableError as error:
                cached.ids_are_certain = error.kept != "unknown"
                raise
            # Still under the lock: a number that a commit gives next is not in the database yet.
            users.persisted, devices.persisted = len(users), len(devices)
