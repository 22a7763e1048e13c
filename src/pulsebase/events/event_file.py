"""Webhooks and what they are to be told of: a SQLite file beside the store, shared by the processes of one machine."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from pulsebase.events.event_rows import (
    DELIVERY_COLUMNS,
    STEPS,
    WEBHOOK_COLUMNS,
    columns_of,
    delivery_of,
    webhook_of,
)
from pulsebase.events.kinds import Stretch
from pulsebase.events.webhooks import Delivery, DeliveryState, OpenDay, Told, Webhook
from pulsebase.files import sqlite as sqlite_file
from pulsebase.files.sealed import Seal
from pulsebase.model.errors import RetryLaterError, StopError
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import User, speaks_of
from pulsebase.stores.contract import CommitNote

_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON")
_PAUSE_S = 10
#: How many delivered and how many dead ones are kept of a webhook.
KEPT_DELIVERED, KEPT_DEAD = 1_000, 10_000
_FULL = "too many deliveries waited already"
_SEALED_FOR = "webhook"
#: A condition: a delivery is about nobody or one of the people of a JSON list, unless there is none.
_WITHIN = "({0} IS NULL OR user_id IS NULL OR user_id IN (SELECT value FROM json_each({0})))"


@dataclass(frozen=True, slots=True)
class WebhookBacklog:
    """How many deliveries wait, how many are kept that were given up, and when the oldest that waits happened."""

    waiting: int
    dead: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """Which deliveries nobody can have sent yet, so that readings may join them: those after a number, but for some."""

    after: int
    sending: Collection[int]

    def holds(self, number: int, attempts: int) -> bool:
        """Whether a delivery that was noted as sent so many times is one."""
        return attempts == 0 and number > self.after and number not in self.sending


@dataclass(slots=True)
class EventFile:
    """The file. Every method may be called from any thread; its changes are on the disk when it returns.

    Args:
        path: where it is.
        seal: seals the secrets of webhooks, which must be read to sign with.
        erased: whether somebody was erased; nothing is kept of them then. Asked inside of transactions, so that
            `forget`, which is called after that is known, misses nothing.
        most_waiting: how many deliveries may wait for one webhook; those beyond are given up at once.
    """

    path: Path
    seal: Seal
    erased: Callable[[str], bool]
    most_waiting: int = 100_000
    _connection: sqlite3.Connection = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._connection = sqlite_file.opened(self.path, _PRAGMAS, self._migrate)

    # --- webhooks ---

    def add_webhook(self, webhook: Webhook, secret: str) -> Webhook:
        """Store a new webhook; return it with its number."""
        sealed = self.seal.seal(secret.encode(), _SEALED_FOR, webhook.webhook_id)
        people = None if webhook.people is None else json.dumps(sorted(webhook.people))
        with self.changing() as connection:
            number = connection.execute(
                "INSERT INTO webhooks (webhook_id, url, secret, events, people, key, created_us) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    webhook.webhook_id,
                    webhook.url,
                    sealed,
                    " ".join(sorted(webhook.events)),
                    people,
                    webhook.key,
                    webhook.created_us,
                ),
            ).lastrowid
        return replace(webhook, number=int(number or 0))

    def webhooks(self) -> Sequence[Webhook]:
        """Return every webhook, the oldest first."""
        return [webhook_of(row) for row in self._rows(f"SELECT {WEBHOOK_COLUMNS} FROM webhooks ORDER BY number")]

    def secret_of(self, webhook: Webhook) -> str | None:
        """Return a webhook's secret; None if it cannot be read with the key in use, or the webhook is gone."""
        rows = self._rows("SELECT secret FROM webhooks WHERE number = ?", webhook.number)
        secret = self.seal.opened(rows[0][0], _SEALED_FOR, webhook.webhook_id) if rows else None
        return None if secret is None else secret.decode()

    def remove_webhook(self, number: int) -> None:
        """Remove a webhook with its deliveries."""
        with self.changing() as connection:
            connection.execute("DELETE FROM deliveries WHERE webhook = ?", (number,))
            connection.execute("DELETE FROM webhooks WHERE number = ?", (number,))

    def end_webhook(self, number: int, reason: str, now_us: int) -> None:
        """Tell a webhook nothing any more, and give up what waits for it."""
        with self.changing() as connection:
            connection.execute("UPDATE webhooks SET ended = ? WHERE number = ?", (reason, number))
            connection.execute(
                "UPDATE deliveries SET state = 'dead', problem = ?, done_us = ? "
                "WHERE webhook = ? AND state = 'waiting'",
                (reason, now_us, number),
            )

    # --- deliveries ---

    def note(self, told: Iterable[Told], now_us: int) -> None:
        """Note events for the webhooks that are told of them."""
        with self.changing() as connection:
            self.add_told(connection, told, now_us)

    def move(
        self,
        told: Iterable[Told],
        days: Iterable[OpenDay],
        notes: Sequence[CommitNote],
        now_us: int,
        unsent: Unsent,
        *,
        for_signals: bool = False,
    ) -> None:
        """Take notes of commits over: the events that come of them, the days that they open, and which notes these are,
        so that they are not taken over again. Readings join deliveries that are `unsent`. With `for_signals`, what
        changed is to be looked at for signals.
        """
        with self.changing() as connection:
            self.add_told(connection, told, now_us, unsent)
            connection.executemany(
                "INSERT OR IGNORE INTO days VALUES (?, ?, ?, ?, 0)",
                [(day.user_id, day.day, day.time_zone, day.due_us) for day in days if not self.erased(day.user_id)],
            )
            if for_signals:
                connection.executemany(
                    "INSERT INTO touched (user_id, metric, start_us, end_us) VALUES (?, ?, ?, ?)",
                    [
                        (note.user_id, note.metric, note.range.start_us, note.range.end_us)
                        for note in notes
                        if note.user_id is None or not self.erased(note.user_id)
                    ],
                )
            connection.executemany("INSERT OR IGNORE INTO moved VALUES (?)", [(note.number,) for note in notes])

    def last_delivery(self) -> int:
        """Return the highest number of a delivery so far."""
        ((number,),) = self._rows("SELECT coalesce(max(number), 0) FROM deliveries")
        return int(number)

    def moved(self) -> set[int]:
        """Return the notes that were taken over and may not be dropped yet."""
        return {number for (number,) in self._rows("SELECT number FROM moved")}

    def forget_moved(self, up_to: int | None = None) -> None:
        """Say that the notes up to this number were dropped, or all of them."""
        self._change("DELETE FROM moved WHERE ?1 IS NULL OR number <= ?1", up_to)

    def due(
        self, webhooks: Collection[int], sending: Collection[int], now_us: int, far_us: int, most: int
    ) -> Sequence[Delivery]:
        """Return the first delivery that waits of each of these webhooks and each person, as far as it is due and not
        being sent: at most so many of each webhook, the longest due first. What is due later than `far_us`, which no
        wait reaches, is due too: a clock was wrong when it was noted.
        """
        rows = self._rows(
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE number IN (SELECT number FROM (SELECT number, "
            "row_number() OVER (PARTITION BY webhook ORDER BY due_us, number) AS place FROM deliveries "
            "JOIN (SELECT min(number) AS first FROM deliveries WHERE state = 'waiting' "
            "AND webhook IN (SELECT value FROM json_each(?1)) GROUP BY webhook, coalesce(user_id, '')) "
            "ON number = first WHERE (due_us <= ?2 OR due_us > ?3) "
            "AND number NOT IN (SELECT value FROM json_each(?4))) WHERE place <= ?5) ORDER BY due_us, number",
            *(json.dumps(sorted(webhooks)), now_us, far_us, json.dumps(sorted(sending)), most),
        )
        return [delivery_of(row) for row in rows]

    def delivered(self, number: int, attempts: int, status: int | None, now_us: int) -> None:
        """Note that a delivery was taken. What it said is not kept."""
        self._change(
            "UPDATE deliveries SET state = 'delivered', attempts = ?, status = ?, problem = NULL, data = NULL, "
            "done_us = ? WHERE number = ?",
            *(attempts, status, now_us, number),
        )

    def failed(self, number: int, attempts: int, status: int | None, problem: str | None, due_us: int) -> None:
        """Note that a delivery was not taken, and when it is sent again."""
        self._change(
            "UPDATE deliveries SET attempts = ?, status = ?, problem = ?, due_us = ? WHERE number = ?",
            *(attempts, status, problem, due_us, number),
        )

    def give_up(self, number: int, attempts: int, status: int | None, problem: str | None, now_us: int) -> None:
        """Note that a delivery is given up."""
        self._change(
            "UPDATE deliveries SET state = 'dead', attempts = ?, status = ?, problem = ?, done_us = ? WHERE number = ?",
            *(attempts, status, problem, now_us, number),
        )

    def deliveries(
        self,
        webhook: int,
        state: DeliveryState | None,
        before: int | None,
        limit: int,
        people: Collection[str] | None = None,
    ) -> Sequence[Delivery]:
        """Return deliveries of a webhook, the newest first; those of a state, and those before a number, if given. With
        `people`, only those about them or about nobody.
        """
        rows = self._rows(
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE webhook = ?1 AND (?2 IS NULL OR state = ?2) "
            f"AND (?3 IS NULL OR number < ?3) AND {_WITHIN.format('?5')} ORDER BY number DESC LIMIT ?4",
            *(webhook, state, before, limit, _json_of(people)),
        )
        return [delivery_of(row) for row in rows]

    def retry(
        self, webhook: int, numbers: Collection[int] | None, people: Collection[str] | None, now_us: int
    ) -> int | None:
        """Have dead deliveries of a webhook wait again, all or those of these numbers: the oldest, as many as may wait.
        With `people`, only those about them or about nobody. Return how many; None, and none of them wait, if one of
        the numbers is not of a dead one. None wait either if the webhook has ended.
        """
        found = (
            "SELECT number FROM deliveries WHERE webhook = ?1 AND state = 'dead' "
            "AND (?2 IS NULL OR number IN (SELECT value FROM json_each(?2))) "
            f"AND {_WITHIN.format('?3')}"
        )
        asked = webhook, _json_of(numbers), _json_of(people)
        with self.changing() as connection:
            if numbers is not None:
                ((count,),) = connection.execute(f"SELECT count(*) FROM ({found})", asked).fetchall()
                if count < len(set(numbers)):
                    return None
            room = max(0, self.most_waiting - _waiting_for(connection, webhook))
            return connection.execute(
                "UPDATE deliveries SET state = 'waiting', due_us = ?4, done_us = NULL, retried_us = ?4, "
                f"attempts_before = attempts WHERE number IN ({found} ORDER BY number LIMIT ?5) "
                "AND EXISTS (SELECT 1 FROM webhooks WHERE number = ?1 AND ended IS NULL)",
                (*asked, now_us, room),
            ).rowcount

    def backlog(self) -> WebhookBacklog:
        """Return how much waits and how much was given up."""
        waiting, oldest_us = self._rows("SELECT count(*), min(noted_us) FROM deliveries WHERE state = 'waiting'")[0]
        ((dead,),) = self._rows("SELECT count(*) FROM deliveries WHERE state = 'dead'")
        return WebhookBacklog(waiting, dead, oldest_us)

    def prune(self, before_us: int) -> None:
        """Remove what ended before this time, and all but the newest that ended of each webhook."""
        with self.changing() as connection:
            connection.execute("DELETE FROM deliveries WHERE state <> 'waiting' AND done_us < ?", (before_us,))
            connection.execute("DELETE FROM days WHERE told = 1 AND due_us < ?", (before_us,))
            connection.execute("DELETE FROM signal_events WHERE at_us < ?", (before_us,))
            for (number,) in connection.execute("SELECT number FROM webhooks").fetchall():
                for state, kept in (("delivered", KEPT_DELIVERED), ("dead", KEPT_DEAD)):
                    connection.execute(
                        "DELETE FROM deliveries WHERE webhook = ?1 AND state = ?2 AND number <= coalesce("
                        "(SELECT number FROM deliveries WHERE webhook = ?1 AND state = ?2 "
                        "ORDER BY number DESC LIMIT 1 OFFSET ?3), 0)",
                        (number, state, kept),
                    )

    # --- days ---

    def due_days(self, now_us: int, limit: int) -> Sequence[OpenDay]:
        """Return days that are to be closed now."""
        rows = self._rows(
            "SELECT user_id, day, time_zone, due_us FROM days WHERE told = 0 AND due_us <= ? ORDER BY due_us LIMIT ?",
            *(now_us, limit),
        )
        return [OpenDay(*row) for row in rows]

    def close_day(self, day: OpenDay, told: Iterable[Told], now_us: int) -> None:
        """Note that a day was closed, and the events of it; it is not opened again."""
        with self.changing() as connection:
            changed = connection.execute(
                "UPDATE days SET told = 1 WHERE user_id = ? AND day = ? AND told = 0", (day.user_id, day.day)
            )
            if changed.rowcount:
                self.add_told(connection, told, now_us)

    # --- erasure ---

    def people(self) -> Sequence[str]:
        """Return the ids of everybody who is named."""
        named = {user_id for (user_id,) in self._rows("SELECT user_id FROM deliveries WHERE user_id IS NOT NULL")}
        for table in ("days", "episodes", "signal_events"):
            named |= {user_id for (user_id,) in self._rows(f"SELECT DISTINCT user_id FROM {table}")}
        return sorted(named.union(*(webhook.people or () for webhook in self.webhooks())))

    def forget(self, person: User) -> None:
        """Remove what is to be told of a person, and webhooks whose URL names them; no webhook is about them any more.
        One that was about them alone is then about nobody, not about everybody.
        """
        webhooks = self.webhooks()
        with self.changing() as connection:
            for table in ("deliveries", "days", "touched", "episodes", "signal_events"):
                connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (person.user_id,))
            for number, people in connection.execute("SELECT number, people FROM signals").fetchall():
                named = [] if people is None else json.loads(people)
                if person.user_id in named:
                    left = json.dumps([each for each in named if each != person.user_id])
                    connection.execute("UPDATE signals SET people = ? WHERE number = ?", (left, number))
            for webhook in webhooks:
                if speaks_of(webhook.url, person):
                    connection.execute("DELETE FROM deliveries WHERE webhook = ?", (webhook.number,))
                    connection.execute("DELETE FROM webhooks WHERE number = ?", (webhook.number,))
                elif person.user_id in (webhook.people or ()):
                    left = json.dumps(sorted((webhook.people or frozenset()) - {person.user_id}))
                    connection.execute("UPDATE webhooks SET people = ? WHERE number = ?", (left, webhook.number))

    def scrub(self) -> None:
        """Remove the last traces of removed rows from the disk.

        Raises:
            RetryLaterError: another process uses the file now.
        """
        with self.asking() as connection:
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise RetryLaterError("what is kept of webhooks is in use", _PAUSE_S)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # --- inside ---

    def add_told(
        self, connection: sqlite3.Connection, told: Iterable[Told], now_us: int, unsent: Unsent | None = None
    ) -> None:
        """Note events for the webhooks that are told of them, in the transaction of the caller. Readings join what is
        `unsent`.
        """
        room: dict[int, int] = {}
        for each in told:
            user_id = each.event.user_id
            if user_id is not None and self.erased(user_id):
                continue
            event_id = f"evt_{secrets.token_urlsafe(16)}"
            for webhook in each.webhooks:
                if webhook not in room:
                    room[webhook] = self.most_waiting - _waiting_for(connection, webhook)
                stretch = each.event.stretch
                if stretch and unsent and _joins(connection, webhook, user_id, stretch, unsent):
                    continue
                has_room = room[webhook] > 0
                room[webhook] -= 1
                connection.execute(
                    f"INSERT INTO deliveries ({DELIVERY_COLUMNS.removeprefix('number, ')}) "
                    "SELECT number, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, NULL, ?, ?, NULL, 0 "
                    "FROM webhooks WHERE number = ? AND ended IS NULL",
                    (
                        *(event_id, each.event.type, user_id),
                        None if each.event.data is None else msgspec.json.encode(each.event.data),
                        *columns_of(stretch),
                        now_us,
                        "waiting" if has_room else "dead",
                        now_us,
                        *((None, None) if has_room else (_FULL, now_us)),
                        webhook,  # which may be gone by now, or have ended
                    ),
                )

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.asking() as connection:
            return connection.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: Any) -> None:
        with self.changing() as connection:
            connection.execute(statement, values)

    def changing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Run a block as a transaction, see `files.sqlite.changing`."""
        return sqlite_file.changing(self._connection, self._lock, self.path)

    def asking(self) -> AbstractContextManager[sqlite3.Connection]:
        """Run queries in a block, see `files.sqlite.asking`."""
        return sqlite_file.asking(self._connection, self._lock, self.path)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # two processes may open a new file at once
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(STEPS):
                raise StopError(f"{self.path} was written by a newer version of the program")
            for step in STEPS[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def _json_of(values: Collection[int] | Collection[str] | None) -> str | None:
    return None if values is None else json.dumps(list(values))


def _waiting_for(connection: sqlite3.Connection, webhook: int) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM deliveries WHERE webhook = ? AND state = 'waiting'", (webhook,)
    ).fetchone()
    return int(count)


def _joins(connection: sqlite3.Connection, webhook: int, user_id: str | None, stretch: Stretch, unsent: Unsent) -> bool:
    """Add stored readings to what a delivery says that was never sent, if there is one that only such others follow."""
    rows = connection.execute(
        "SELECT number, type, metric, start_us, end_us, readings, attempts FROM deliveries "
        "WHERE webhook = ? AND coalesce(user_id, '') = ? AND state = 'waiting' ORDER BY number DESC LIMIT 32",
        (webhook, user_id or ""),
    )
    for number, type_, metric, start_us, end_us, readings, attempts in rows:
        if type_ != "readings.stored" or not unsent.holds(number, attempts):
            return False
        if metric == stretch.metric:
            both = stretch.joined(Stretch(metric, TimeRange(start_us, end_us), readings))
            connection.execute(
                "UPDATE deliveries SET start_us = ?, end_us = ?, readings = ? WHERE number = ?",
                (both.range.start_us, both.range.end_us, both.readings, number),
            )
            return True
    return False
