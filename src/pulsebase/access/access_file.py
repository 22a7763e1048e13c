"""Keys, and the audit of what was done with them: a SQLite file beside the store, which processes share.

People are noted by number, as the store does it: who is removed loses their name here, in one place, and what was done
to whom stays countable.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulsebase.access.keys import NOBODY, OWNER, Key, Scope, key_of_nobody
from pulsebase.files import sqlite as sqlite_file
from pulsebase.model.errors import RejectedError, RetryLaterError, StopError
from pulsebase.model.users import User, speaks_of

#: What stands in place of a person's number.
NO_PERSON, EVERYBODY, UNKNOWN = 0, -1, -2
#: Entries of the audit that are removed at a time, so that others get their turn.
_PRUNED_AT_ONCE = 5_000
_MOST_NUMBERS = 100_000

_SCHEMA = """
CREATE TABLE people (number INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT UNIQUE);
CREATE TABLE keys (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, hash BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL, for_people INTEGER NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER,
    revoked_us INTEGER
);
CREATE TABLE key_people (
    key INTEGER NOT NULL REFERENCES keys, person INTEGER NOT NULL REFERENCES people, PRIMARY KEY (key, person)
) WITHOUT ROWID;
CREATE TABLE changes (number INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TABLE imports (number INTEGER PRIMARY KEY, key INTEGER NOT NULL);
CREATE TABLE trail (
    number INTEGER PRIMARY KEY AUTOINCREMENT, minute INTEGER NOT NULL, key INTEGER NOT NULL, method TEXT NOT NULL,
    route TEXT NOT NULL, status INTEGER NOT NULL, person INTEGER NOT NULL, first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL, requests INTEGER NOT NULL, UNIQUE (minute, key, method, route, status, person)
);
CREATE INDEX trail_of_people ON trail (person, number);
CREATE INDEX trail_of_keys ON trail (key, number);
"""
_QUESTIONS = """
CREATE TABLE questions (key INTEGER PRIMARY KEY, day INTEGER NOT NULL, asked INTEGER NOT NULL)
"""
#: What brings a file to each version from the one before.
_STEPS = (_SCHEMA, _QUESTIONS)
#: One question more, unless there were `most` that day. Should the clock go back, the day stays.
_ASK = """
INSERT INTO questions VALUES (:key, :day, 1) ON CONFLICT (key) DO UPDATE SET
    asked = CASE WHEN day < excluded.day THEN 1 ELSE asked + 1 END, day = max(day, excluded.day)
WHERE day < excluded.day OR asked < :most RETURNING asked
"""
_EMPTY_LOG = "PRAGMA wal_checkpoint(TRUNCATE)"
_PAUSE_S = 10
#: Keys that are for one person alone.
_KEYS_OF_ONE = "SELECT key FROM key_people GROUP BY key HAVING max(person) = ? AND count(*) = 1"
#: Whose act it was: a key's, somebody's without one, or the owner's; takes the number and name of the second, and the
#: name of the third.
_NAME_OF_KEY = "coalesce(keys.name, CASE trail.key WHEN ? THEN ? ELSE ? END)"
_TAKEN = frozenset({OWNER.name, NOBODY.name})
_KEY = "number, name, scopes, for_people, created_us, expires_us, revoked_us"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Equal requests of one minute: who asked what, with which outcome, about whom. Times in microseconds UTC.

    `user_id` is the person, or None with `whom` saying why: `nobody` in particular, `everybody` the key is for,
    somebody `unknown`, or somebody who was `removed` since. `key` is `owner` for commands,
    and `nobody` for browsers without one.
    """

    number: int
    key: str
    method: str
    route: str
    status: int
    whom: str
    user_id: str | None
    first_us: int
    last_us: int
    requests: int


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for: those with a number below `before`, the newest first.

    `people`: about one of these alone, and nobody else.
    """

    user_id: str | None = None
    key: str | None = None
    people: frozenset[str] | None = None
    before: int | None = None
    limit: int = 100


#: An entry as it is counted: minute, key, method, route, status, and the person's id or one of the numbers above.
EntryName = tuple[int, int, str, str, int, str | int]
#: When it was done first and last, and how often.
EntryCount = tuple[int, int, int]


@dataclass(slots=True)
class AccessFile:
    """The file. Every method may be called from any thread; what it changed is on the disk when it returns."""

    path: Path
    _connection: sqlite3.Connection = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    #: Numbers of people, as they were when `changes` was as beside it.
    _numbers: dict[str, int] = field(init=False, default_factory=dict)
    _numbers_of: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        # Deletions are secure, so that who is removed is gone from its pages too.
        pragmas = "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"
        self._connection = sqlite_file.opened(self.path, pragmas, self._migrate)

    # --- keys ---

    def add_key(  # noqa: PLR0917 a column each
        self,
        name: str,
        key_hash: bytes,
        scopes: Iterable[Scope],
        people: Iterable[str] | None,
        now_us: int,
        expires_us: int | None,
    ) -> Key:
        """Keep a new key.

        Raises:
            RejectedError: there is or was one of that name; names tell keys apart in the audit.
        """
        people = None if people is None else frozenset(people)
        with self._changing() as connection:
            if connection.execute("SELECT 1 FROM keys WHERE name = ?", (name,)).fetchone() or name in _TAKEN:
                raise RejectedError.of("name", "is the name of another key; names are not used again")
            number = connection.execute(
                "INSERT INTO keys (name, hash, scopes, for_people, created_us, expires_us) VALUES (?, ?, ?, ?, ?, ?)",
                (name, key_hash, " ".join(sorted(scopes)), people is not None, now_us, expires_us),
            ).lastrowid
            connection.executemany(
                "INSERT INTO key_people VALUES (?, ?)", [(number, self._person(each)) for each in people or ()]
            )
            connection.execute("UPDATE changes SET number = number + 1")
        return Key(int(number or 0), name, frozenset(scopes), people, now_us, expires_us)

    def revoke_key(self, name: str, now_us: int) -> bool:
        """Let a key open nothing any more; False if no such key is in use."""
        with self._changing() as connection:
            done = connection.execute(
                "UPDATE keys SET revoked_us = ? WHERE name = ? AND revoked_us IS NULL", (now_us, name)
            )
            connection.execute("UPDATE changes SET number = number + 1")
            return done.rowcount > 0

    def all_keys(self) -> Sequence[tuple[bytes, Key]]:
        """Every key there is or was, with its hash, by number."""
        with self._asking() as connection:
            rows = connection.execute(f"SELECT hash, {_KEY} FROM keys ORDER BY number").fetchall()
            pairs = connection.execute("SELECT key, user_id FROM key_people JOIN people ON number = person").fetchall()
        return [(row[0], _key_of(row[1:], pairs)) for row in rows]

    def changes(self) -> int:
        """A number that grows whenever a key changes, in whichever process."""
        with self._asking() as connection:
            (number,) = connection.execute("SELECT number FROM changes").fetchone()
            return int(number)

    def people(self) -> Sequence[str]:
        """The ids of everybody whom a key or the audit names."""
        return [user_id for (user_id,) in self._rows("SELECT user_id FROM people WHERE user_id IS NOT NULL")]

    def forget(self, person: User) -> None:
        """Forget a person: keys are for them no more, and neither the audit nor a key's name says who it was.

        A key that was for them alone is for nobody then, not for everybody. It loses its name (`key_of_nobody`), as
        does every key whose name speaks of them: in the audit it would say whose it was.
        """
        with self._changing() as connection:
            found = connection.execute("SELECT number FROM people WHERE user_id = ?", (person.user_id,)).fetchone()
            row = found or (NO_PERSON,)
            theirs = {number for (number,) in connection.execute(_KEYS_OF_ONE, row)}
            named = connection.execute("SELECT number, name FROM keys").fetchall()
            renamed = [number for number, name in named if number in theirs or speaks_of(name, person)]
            if found is None and not renamed:
                return
            for number in renamed:
                connection.execute("UPDATE keys SET name = ? WHERE number = ?", (key_of_nobody(number), number))
            connection.execute("DELETE FROM key_people WHERE person = ?", row)
            connection.execute("UPDATE people SET user_id = NULL WHERE number = ?", row)
            connection.execute("UPDATE changes SET number = number + 1")
            self._numbers = {}
        with self._asking() as connection:
            connection.execute(_EMPTY_LOG)  # it had the id, and may have kept it the last time

    def scrub(self) -> None:
        """Leave no byte on the disk of who was forgotten before: deletions are secure, so that the log is what is left.

        Raises:
            RetryLaterError: not while another process reads.
        """
        with self._asking() as connection:
            (is_busy, *_) = connection.execute(_EMPTY_LOG).fetchone()
        if is_busy:
            raise RetryLaterError("what is kept of keys is in use", _PAUSE_S)

    # --- questions ---

    def ask(self, key: int, day: int, most: int) -> int | None:
        """Count a question of a key on a day since 1970, of which it has `most`; how many are left then, or None if
        there was none.

        Raises:
            StoreUnavailableError: it cannot be counted, since the disk is full.
        """
        with self._changing() as connection:
            row = connection.execute(_ASK, {"key": key, "day": day, "most": most}).fetchone()
        return None if row is None else most - int(row[0])

    # --- imports ---

    def note_import(self, number: int, key: int) -> None:
        """Note whose import this is."""
        with self._changing() as connection:
            connection.execute("INSERT OR REPLACE INTO imports VALUES (?, ?)", (number, key))

    def imports_of(self, key: int) -> frozenset[int]:
        """The imports that came with this key."""
        with self._asking() as connection:
            rows = connection.execute("SELECT number FROM imports WHERE key = ?", (key,)).fetchall()
        return frozenset(number for (number,) in rows)

    # --- the audit ---

    def add_entries(self, entries: Iterable[tuple[EntryName, EntryCount]], known: Callable[[str], bool]) -> None:
        """Add to the audit; what is in it of the same minute is counted on.

        Ids of people who are not `known` are not kept: they may be of somebody who was removed, or anything at all. It
        is asked inside of the change, so that `forget`, once the person is gone, misses nothing.
        """
        numbers = self._numbers_of
        self._numbers_of = -1  # what is made up below holds once the change is made
        with self._changing() as connection:
            (changes,) = connection.execute("SELECT number FROM changes").fetchone()
            if changes != numbers or len(self._numbers) > _MOST_NUMBERS:
                self._numbers = {}
            connection.executemany(
                "INSERT INTO trail (minute, key, method, route, status, person, first_us, last_us, requests) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "last_us = max(last_us, excluded.last_us), requests = requests + excluded.requests",
                [(*name[:5], self._whom(name[5], known), *count) for name, count in entries],
            )
        self._numbers_of = changes

    def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Entries of the audit, the newest first."""
        conditions: list[tuple[str, list[Any]]] = []
        if wanted.before is not None:
            conditions.append(("trail.number < ?", [wanted.before]))
        if wanted.user_id is not None:
            conditions.append(("people.user_id = ?", [wanted.user_id]))
        if wanted.key is not None:
            conditions.append((f"{_NAME_OF_KEY} = ?", [NOBODY.number, NOBODY.name, OWNER.name, wanted.key]))
        if wanted.people is not None:
            marks = ", ".join("?" * len(wanted.people))
            conditions.append((f"people.user_id IN ({marks})", sorted(wanted.people)))
        rows = self._rows(
            f"SELECT trail.number, {_NAME_OF_KEY}, method, route, status, person, people.user_id, first_us, last_us, "
            "requests FROM trail LEFT JOIN keys ON keys.number = trail.key LEFT JOIN people ON people.number = person "
            f"WHERE {' AND '.join(['true', *(text for text, _ in conditions)])} ORDER BY trail.number DESC LIMIT ?",
            *(NOBODY.number, NOBODY.name, OWNER.name),
            *(value for _, values in conditions for value in values),
            wanted.limit,
        )
        return [
            AuditEntry(number, name, method, route, status, _whom(person, user_id), user_id, *counts)
            for number, name, method, route, status, person, user_id, *counts in rows
        ]

    def prune(self, before_minute: int) -> int:
        """Remove some of what is older; how many entries went. 0 says that nothing older is left."""
        with self._changing() as connection:
            return connection.execute(
                "DELETE FROM trail WHERE number IN (SELECT number FROM trail WHERE minute < ? LIMIT ?)",
                (before_minute, _PRUNED_AT_ONCE),
            ).rowcount

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _whom(self, person: str | int, known: Callable[[str], bool]) -> int:
        if isinstance(person, int):
            return person
        if not known(person):
            return UNKNOWN
        number = self._numbers.get(person)
        if number is None:
            number = self._numbers[person] = self._person(person)
        return number

    def _person(self, user_id: str) -> int:
        """The person's number, a new one if need be. Called within a change."""
        row = self._connection.execute("SELECT number FROM people WHERE user_id = ?", (user_id,)).fetchone()
        if row is not None:
            return int(row[0])
        return int(self._connection.execute("INSERT INTO people (user_id) VALUES (?)", (user_id,)).lastrowid or 0)

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._asking() as connection:
            return connection.execute(statement, values).fetchall()

    def _changing(self) -> AbstractContextManager[sqlite3.Connection]:
        return sqlite_file.changing(self._connection, self._lock, self.path)

    def _asking(self) -> AbstractContextManager[sqlite3.Connection]:
        return sqlite_file.asking(self._connection, self._lock, self.path)

    def _migrate(self, opened: sqlite3.Connection) -> None:
        # Two processes may open a new file at once.
        with sqlite_file.changing(opened, self._lock, self.path) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(_STEPS):
                raise StopError(f"{self.path} was written by a newer version of the program")
            for step in _STEPS[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            if version < len(_STEPS):
                connection.execute(f"PRAGMA user_version = {len(_STEPS)}")


def _key_of(row: Sequence[Any], pairs: Sequence[tuple[int, str]]) -> Key:
    number, name, scopes, for_people, created_us, expires_us, revoked_us = row
    people = frozenset(user_id for key, user_id in pairs if key == number) if for_people else None
    return Key(number, name, frozenset(scopes.split()), people, created_us, expires_us, revoked_us)


def _whom(person: int, user_id: str | None) -> str:
    if user_id is not None:
        return "person"
    return {NO_PERSON: "nobody", EVERYBODY: "everybody", UNKNOWN: "unknown"}.get(person, "removed")
