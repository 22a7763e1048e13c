"""`contract.Registry` in PostgreSQL, and what a reader asks of people without asking for readings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Protocol

from pulsebase.model.annotations import Annotation
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Origin
from pulsebase.stores.postgres import annotations as annotation_rows
from pulsebase.stores.postgres import commit_notes, horizon, origins, people, priorities, summaries
from pulsebase.stores.postgres.database import Connection, PostgresDatabase
from pulsebase.stores.postgres.erasures import PostgresErasureLog
from pulsebase.stores.postgres.locks import lock_commits, lock_merges


class PeoplesReadings(Protocol):
    """What a store does about its readings where something else changes of a person, in the same transaction.

    The transaction holds both locks (see `locks`).
    """

    def resolve_again(self, connection: Connection, user_id: str, device_id: str) -> None:
        """Make every answer agree with the priorities of this device, which have changed."""

    def remove(self, connection: Connection, series: Sequence[str]) -> int:
        """Remove everything that is kept of these series, by key; return how many readings there were."""


class PostgresRegistry:
    """People, priorities, summaries, origins, the horizon and the log of erasures. Methods keep the promises of their
    names in `contract.Store` and may be called from any thread.

    Args:
        database: where all of it is.
        readings: the store's part of changes that concern readings too.
    """

    def __init__(self, database: PostgresDatabase, readings: PeoplesReadings) -> None:
        self._database = database
        self._readings = readings

    # --- changes ----------------------------------------------------------------------------------------------------

    def put_users(self, users: Sequence[User]) -> None:
        self._database.change(lambda connection: people.put_users(connection, users))

    def put_priority(self, entry: DevicePriority) -> None:
        def put(connection: Connection) -> None:
            _lock_both(connection)
            people.make_known(connection, [entry.user_id], [(entry.user_id, entry.device_id)])
            priorities.put_priority(connection, entry)
            self._readings.resolve_again(connection, entry.user_id, entry.device_id)
            commit_notes.note(connection, lambda: commit_notes.everything_of(entry.user_id))

        self._database.change(put)

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        def remove(connection: Connection) -> int:
            _lock_both(connection)
            gone = priorities.remove_priorities(connection, user_id, device_id)
            if gone:
                self._readings.resolve_again(connection, user_id, device_id)
                commit_notes.note(connection, lambda: commit_notes.everything_of(user_id))
            return gone

        return self._database.change(remove)

    def put_summaries(self, days: Sequence[DailySummary]) -> None:
        def put(connection: Connection) -> None:
            lock_commits(connection)  # so that nobody is removed meanwhile
            people.make_known(connection, [day.user_id for day in days])
            summaries.put_summaries(connection, days)

        self._database.change(put)

    def put_annotations(self, notes: Sequence[Annotation]) -> None:
        def put(connection: Connection) -> None:
            lock_commits(connection)  # so that nobody is removed meanwhile
            people.make_known(connection, [note.user_id for note in notes])
            annotation_rows.put_annotations(connection, notes)

        self._database.change(put)

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        return self._database.change(
            lambda connection: annotation_rows.remove_annotation(connection, user_id, annotation_id)
        )

    def remove_user(self, user_id: str) -> int:
        def remove(connection: Connection) -> int:
            _lock_both(connection)
            gone = people.remove_person(connection, user_id, self._readings.remove)
            commit_notes.forget(connection, user_id)
            return gone

        return self._database.change(remove)

    def register_origin(self, kind: str, name: str) -> int:
        # Looked up first: a replica may have it and cannot make it. Not cached: another process may remove a person and
        # rename their origins.
        known = self._database.read(lambda connection: origins.find_origin(connection, kind, name))
        return known or self._database.change(lambda connection: _new_origin(connection, kind, name))

    # --- questions --------------------------------------------------------------------------------------------------

    def knows(self, user_id: str) -> bool:
        return self._database.read(lambda connection: people.knows(connection, user_id))

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        return self._database.read(lambda connection: people.unknown_users(connection, user_ids))

    def user(self, user_id: str) -> User | None:
        return self._database.read(lambda connection: people.get_user(connection, user_id))

    def known_numbers(self, numbers: Sequence[int]) -> set[int]:
        """Return those of the numbers (`user_no`) whose people have not been removed."""
        return self._database.read(lambda connection: people.known_numbers(connection, numbers))

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        return self._database.read(lambda connection: summaries.get_summaries(connection, user_id, first, last))

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        return self._database.read(lambda connection: annotation_rows.get_annotations(connection, user_id, interval))

    def priorities(self, user_id: str) -> list[DevicePriority]:
        return self._database.read(lambda connection: priorities.get_priorities(connection, user_id))

    def origins(self) -> list[Origin]:
        return self._database.read(origins.origins)

    def push_origins(self) -> list[int]:
        """Return the numbers of the origins by which devices push."""
        return self._database.read(origins.push_origins)

    def horizon_us(self) -> int:
        return self._database.read(horizon.horizon_us)

    def commit_notes(self) -> commit_notes.PostgresCommitNotes:
        """Return the notes of what commits changed."""
        return commit_notes.PostgresCommitNotes(self._database)

    def erasure_log(self) -> PostgresErasureLog:
        """Return the log of erased people that all processes of the installation share."""
        return PostgresErasureLog(self._database)


def _lock_both(connection: Connection) -> None:
    lock_merges(connection)
    lock_commits(connection)


def _new_origin(connection: Connection, kind: str, name: str) -> int:
    lock_commits(connection)  # nobody else makes one meanwhile
    return origins.find_origin(connection, kind, name) or origins.add_origin(connection, kind, name)
