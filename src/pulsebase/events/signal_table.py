"""Signals, their episodes and what became of them, in the file of events."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pulsebase.events.event_file import EventFile
from pulsebase.events.kinds import Event
from pulsebase.events.signals import Episode, EpisodeChange, PeopleFilter, Signal
from pulsebase.events.webhooks import Told

_SIGNAL = "number, signal_id, metric, rule, threshold, for_us, people, cohort, key, created_us"
_OF_EPISODE = "signal = ? AND user_id = ? AND start_us = ?"


@dataclass(frozen=True, slots=True)
class Touched:
    """A stretch in which readings changed, so that rules have to be looked at again: of a person or everybody (None),
    of a metric or all, and for one signal or all.
    """

    number: int
    user_id: str | None
    metric: str | None
    start_us: int
    end_us: int
    signal: int | None


@dataclass(frozen=True, slots=True)
class SignalEvent:
    """What became of an episode, as streams tell it."""

    number: int
    signal: int
    user_id: str
    type: str
    data: bytes
    at_us: int


@dataclass(frozen=True, slots=True)
class SignalTable:
    """Every method may be called from any thread; its changes are on the disk when it returns."""

    file: EventFile

    def add(self, signal: Signal) -> Signal:
        """Store a new signal, which is worked out from its beginning; return it with its number."""
        cohort = signal.cohort
        with self.file.changing() as connection:
            number = connection.execute(
                f"INSERT INTO signals ({_SIGNAL.removeprefix('number, ')}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(signal.signal_id, signal.metric, signal.rule, signal.threshold, signal.for_us),
                    None if signal.people is None else json.dumps(sorted(signal.people)),
                    None if cohort is None else msgspec.json.encode(cohort).decode(),
                    *(signal.key, signal.created_us),
                ),
            ).lastrowid
            connection.execute(
                "INSERT INTO touched (user_id, metric, start_us, end_us, signal) VALUES (NULL, ?, ?, ?, ?)",
                (signal.metric, signal.since_us, 1 << 62, number),
            )
        return replace(signal, number=int(number or 0))

    def all(self) -> Sequence[Signal]:
        """Return every signal, the oldest first."""
        with self.file.asking() as connection:
            rows = connection.execute(f"SELECT {_SIGNAL} FROM signals ORDER BY number").fetchall()
        return [_signal_of(row) for row in rows]

    def remove(self, number: int) -> None:
        """Remove a signal with its episodes."""
        with self.file.changing() as connection:
            for table in ("touched", "episodes", "signal_events"):
                connection.execute(f"DELETE FROM {table} WHERE signal = ?", (number,))
            connection.execute("DELETE FROM signals WHERE number = ?", (number,))

    def touched(self, limit: int) -> Sequence[Touched]:
        """Return stretches that have to be looked at again."""
        with self.file.asking() as connection:
            rows = connection.execute(
                "SELECT number, user_id, metric, start_us, end_us, signal FROM touched ORDER BY number LIMIT ?",
                (limit,),
            ).fetchall()
        return [Touched(*row) for row in rows]

    def spread(self, touched: Touched, people: Iterable[str]) -> None:
        """Have a stretch of everybody looked at person by person."""
        with self.file.changing() as connection:
            connection.executemany(
                "INSERT INTO touched (user_id, metric, start_us, end_us, signal) VALUES (?, ?, ?, ?, ?)",
                [
                    (user_id, touched.metric, touched.start_us, touched.end_us, touched.signal)
                    for user_id in people
                    if not self.file.erased(user_id)
                ],
            )
            connection.execute("DELETE FROM touched WHERE number = ?", (touched.number,))

    def done(self, numbers: Collection[int]) -> None:
        """Say that these stretches were looked at."""
        with self.file.changing() as connection:
            connection.executemany("DELETE FROM touched WHERE number = ?", [(number,) for number in numbers])

    def episodes(self, signal: int, user_id: str, start_us: int, end_us: int) -> Sequence[Episode]:
        """Return a person's episodes that overlap a stretch, by time."""
        with self.file.asking() as connection:
            rows = connection.execute(
                "SELECT start_us, end_us, is_open FROM episodes WHERE signal = ? AND user_id = ? AND end_us > ? "
                "AND start_us < ? ORDER BY start_us",
                (signal, user_id, start_us, end_us),
            ).fetchall()
        return [Episode(start, end, bool(is_open)) for start, end, is_open in rows]

    def open_episodes(self, signal: int) -> dict[str, Episode]:
        """Return the episodes that have not ended, by person."""
        with self.file.asking() as connection:
            rows = connection.execute(
                "SELECT user_id, start_us, end_us FROM episodes WHERE signal = ? AND is_open = 1 ORDER BY user_id",
                (signal,),
            ).fetchall()
        return {user_id: Episode(start_us, end_us, is_open=True) for user_id, start_us, end_us in rows}

    def apply(
        self,
        signal: int,
        user_id: str,
        changes: Sequence[EpisodeChange],
        events: Sequence[Event],
        told: Sequence[Told],
        *,
        now_us: int,
    ) -> None:
        """Keep what became of episodes, and what is told of it, all or nothing."""
        if not changes:
            return
        with self.file.changing() as connection:
            known = connection.execute("SELECT 1 FROM signals WHERE number = ?", (signal,)).fetchone()
            if known is None or self.file.erased(user_id):
                return
            for change in changes:
                if change.before is not None:
                    connection.execute(
                        f"DELETE FROM episodes WHERE {_OF_EPISODE}", (signal, user_id, change.before.start_us)
                    )
            for change in changes:
                if change.after is not None:
                    connection.execute(
                        "INSERT OR REPLACE INTO episodes VALUES (?, ?, ?, ?, ?)",
                        (signal, user_id, change.after.start_us, change.after.end_us, change.after.is_open),
                    )
            connection.executemany(
                "INSERT INTO signal_events (signal, user_id, type, data, at_us) VALUES (?, ?, ?, ?, ?)",
                [(signal, user_id, each.type, msgspec.json.encode(each.data), now_us) for each in events],
            )
            self.file.add_told(connection, told, now_us)

    def place(self) -> int:
        """Return the place after the last event of now."""
        with self.file.asking() as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'signal_events'").fetchone()
        return 0 if row is None else int(row[0])

    def events(self, after: int, limit: int) -> Sequence[SignalEvent]:
        """Return what happened after a place, in order."""
        with self.file.asking() as connection:
            rows = connection.execute(
                "SELECT number, signal, user_id, type, data, at_us FROM signal_events WHERE number > ? "
                "ORDER BY number LIMIT ?",
                (after, limit),
            ).fetchall()
        return [SignalEvent(*row) for row in rows]


def _signal_of(row: tuple[Any, ...]) -> Signal:
    number, signal_id, metric, rule, threshold, for_us, people, cohort, key, created_us = row
    named = None if people is None else frozenset(json.loads(people))
    group = None if cohort is None else msgspec.json.decode(cohort, type=PeopleFilter)
    return Signal(number, signal_id, metric, rule, threshold, for_us, named, group, key, created_us)
