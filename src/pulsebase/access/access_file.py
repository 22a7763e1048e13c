"""Keys, and the audit of what was done with them: a SQLite file beside the store, shared by all processes.

People are recorded by number, as in the store. When a person is removed, their id is deleted in this one place, and the
audit can still count what was done about whom.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulsebase.access.keys import BROKER, NOBODY, OWNER, Key, Scope, key_of_nobody
from pulsebase.files import sqlite as sqlite_file
from pulsebase.model.errors import RejectedError, RetryLaterError, StopError
from pulsebase.model.users import User, speaks_of

#: Stand in for a person's number where an entry is about no single known person.
NO_PERSON, EVERYBODY, UNKNOWN = 0, -1, -2
#: Audit entries removed in one transaction, so that other writers get their turn.
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
#: The statements that bring a file from each version to the next.
_STEPS = (_SCHEMA, _QUESTIONS)
#: Counts one more question, unless there were `most` that day. If the clock goes back, the day does not.
_ASK = """
INSERT INTO questions VALUES (:key, :day, 1) ON CONFLICT (key) DO UPDATE SET
    asked = CASE WHEN day < excluded.day THEN 1 ELSE asked + 1 END, day = max(day, excluded.day)
WHERE day < excluded.day OR asked < :most RETURNING asked
"""
_EMPTY_LOG = "PRAGMA wal_checkpoint(TRUNCATE)"
_PAUSE_S = 10
#: Keys that are for this one person alone.
_KEYS_OF_ONE = "SELECT key FROM key_people GROUP BY key HAVING max(person) = ? AND count(*) = 1"
#: The name of who acted: the key's name, or that of `NOBODY` (no key), `BROKER` or `OWNER`; and its parameters.
_NAME_OF_KEY = "coalesce(keys.name, CASE trail.key WHEN ? THEN ? WHEN ? THEN ? ELSE ? END)"
_NAMES_WITHOUT_KEY = (NOBODY.number, NOBODY.name, BROKER.number, BROKER.name, OWNER.name)
_TAKEN = frozenset({OWNER.name, NOBODY.name, BROKER.name})
_KEY = "number, name, scopes, for_people, created_us, expires_us, revoked_us"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Equal requests within one minute: who asked what, about whom, and the outcome. Times are microseconds UTC.

    `user_id` is the person, or None, and then `whom` says why: `nobody` in particular, `everybody` the key is for,
    somebody `unknown`, or somebody who was `removed` since. `key` is `owner` for commands, `nobody` for browsers
    without a key, and `mqtt-broker` for messages of the MQTT broker.
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
    """Selects audit entries: those with a number below `before`, newest first.

    With `people`, only entries about one of them are selected.
    """

    user_id: str | None = None
    key: str | None = None
    people: frozenset[str] | None = None
    before: int | None = None
    limit: int = 100


#: What identifies an entry: minute, key, method, route, status, and the person's id or one of the numbers above.
EntryName = tuple[int, int, str, str, int, str | int]
#: The first and last time in microseconds, and the number of requests.
EntryCount = tuple[int, int, int]


@dataclass(slots=True)
class AccessFile:
    """The file. Every method may be called from any thread; its changes are on the disk when it returns."""

    path: Path
    _connection: sqlite3.Connection = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    #: Cached numbers of people, valid while `changes` equals `_numbers_of`.
    _numbers: dict[str, int] = field(init=False, default_factory=dict)
    _numbers_of: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        # With secure_delete SQLite overwrites deleted content, so that a removed person is gone from the file's pages.
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
        """Store a new key.

        Raises:
            RejectedError: a key has or had that name; names tell keys apart in the audit, so none is used twice.
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
        """Revoke a key. Return False if there is no unrevoked key of that name."""
        with self._changing() as connection:
            done = connection.execute(
                "UPDATE keys SET revoked_us = ? WHERE name = ? AND revoked_us IS NULL", (now_us, name)
            )
            connection.execute("UPDATE changes SET number = number + 1")
            return done.rowcount > 0

    def all_keys(self) -> Sequence[tuple[bytes, Key]]:
        """Return every key, revoked ones included, with its hash, ordered by number."""
        with self._asking() as connection:
            rows = connection.execute(f"SELECT hash, {_KEY} FROM keys ORDER BY number").fetchall()
            pairs = connection.execute("SELECT key, user_id FROM key_people JOIN people ON number = person").fetchall()
        return [(row[0], _key_of(row[1:], pairs)) for row in rows]

    def changes(self) -> int:
        """Return a number that grows whenever any process changes a key."""
        with self._asking() as connection:
            (number,) = connection.execute("SELECT number FROM changes").fetchone()
            return int(number)

    def people(self) -> Sequence[str]:
        """Return the ids of everybody whom a key or the audit names."""
        return [user_id for (user_id,) in self._rows("SELECT user_id FROM people WHERE user_id IS NOT NULL")]

    def forget(self, person: User) -> None:
        """Forget a person: no key is for them any more, and neither the audit nor a key's name reveals them.

        A key that was for them alone is then for nobody, not for everybody. Such a key, and every key whose name
        mentions them, is renamed (`key_of_nobody`): in the audit the old name would tell whose it was.
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
            connection.execute(_EMPTY_LOG)  # the write-ahead log still holds the id, perhaps from earlier writes too

    def scrub(self) -> None:
        """Remove the last traces of forgotten people from the disk. Deleted content is overwritten in the database
        (secure_delete), so that only the write-ahead log is left to empty.

        Raises:
            RetryLaterError: another process is reading, so that the log cannot be emptied now.
        """
        with self._asking() as connection:
            (is_busy, *_) = connection.execute(_EMPTY_LOG).fetchone()
        if is_busy:
            raise RetryLaterError("what is kept of keys is in use", _PAUSE_S)

    # --- questions ---

    def ask(self, key: int, day: int, most: int) -> int | None:
        """Count a question of a key, which may ask `most` a day. `day` counts days since 1970. Return how many are left
        then, or None if none was left to take.

        Raises:
            StoreUnavailableError: it cannot be counted, since the disk is full.
        """
        with self._changing() as connection:
            row = connection.execute(_ASK, {"key": key, "day": day, "most": most}).fetchone()
        return None if row is None else most - int(row[0])

    # --- imports ---

    def note_import(self, number: int, key: int) -> None:
        """Note which key started an import."""
        with self._changing() as connection:
            connection.execute("INSERT OR REPLACE INTO imports VALUES (?, ?)", (number, key))

    def key_of_import(self, number: int) -> int | None:
        """Return the number of the key that started an import; None if no request did."""
        with self._asking() as connection:
            row = connection.execute("SELECT key FROM imports WHERE number = ?", (number,)).fetchone()
        return None if row is None else int(row[0])

    def imports_of(self, key: int) -> frozenset[int]:
        """Return the numbers of the imports that this key started."""
        with self._asking() as connection:
            rows = connection.execute("SELECT number FROM imports WHERE key = ?", (key,)).fetchall()
        return frozenset(number for (number,) in rows)

    # --- the audit ---

    def add_entries(self, entries: Iterable[tuple[EntryName, EntryCount]], known: Callable[[str], bool]) -> None:
        """Add entries to the audit. An equal entry of the same minute is counted up instead.

        Ids of people who are not `known` are not stored: they may belong to somebody who was removed, or be anything at
        all. `known` is asked inside the transaction, so that `forget`, called once the person is gone, misses nothing.
        """
        numbers = self._numbers_of
        self._numbers_of = -1  # numbers cached below are valid only once the transaction is committed
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
        """Return entries of the audit, newest first."""
        conditions: list[tuple[str, list[Any]]] = []
        if wanted.before is not None:
            conditions.append(("trail.number < ?", [wanted.before]))
        if wanted.user_id is not None:
            conditions.append(("people.user_id = ?", [wanted.user_id]))
        if wanted.key is not None:
            conditions.append((f"{_NAME_OF_KEY} = ?", [*_NAMES_WITHOUT_KEY, wanted.key]))
        if wanted.people is not None:
            marks = ", ".join("?" * len(wanted.people))
            conditions.append((f"people.user_id IN ({marks})", sorted(wanted.people)))
        rows = self._rows(
            f"SELECT trail.number, {_NAME_OF_KEY}, method, route, status, person, people.user_id, first_us, last_us, "
            "requests FROM trail LEFT JOIN keys ON keys.number = trail.key LEFT JOIN people ON people.number = person "
            f"WHERE {' AND '.join(['true', *(text for text, _ in conditions)])} ORDER BY trail.number DESC LIMIT ?",
            *_NAMES_WITHOUT_KEY,
            *(value for _, values in conditions for value in values),
            wanted.limit,
        )
        return [
            AuditEntry(number, name, method, route, status, _whom(person, user_id), user_id, *counts)
            for number, name, method, route, status, person, user_id, *counts in rows
        ]

    def prune(self, before_minute: int) -> int:
        """Remove some of the older entries. Return how many; 0 means that nothing older is left."""
        with self._changing() as connection:
            return connection.execute(
                "DELETE FROM trail WHERE number IN (SELECT number FROM trail WHERE minute < ? LIMIT ?)",
                (before_minute, _PRUNED_AT_ONCE),
            ).rowcount

    def close(self) -> None:
        """Close the file."""
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
        """Return the person's number, assigning one if need be. Called within a transaction."""
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
