"""The store that is obviously right: plain Python over dicts. Every other store is tested against it.

It shares no bucket arithmetic with the rest of the package, or one mistake would pass on both sides of a comparison.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import FieldError, TooManyRowsError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE, ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.model.users import (
    DeviceOverview,
    DevicePriority,
    MetricOverview,
    User,
    UserOverview,
    default_priority,
    speaks_of,
)
from pulsebase.stores.contract import (
    EXPORT_BATCH_READINGS,
    PUSH_KIND,
    STORED_SCHEMA,
    TOTALS_SCHEMA,
    Cancellation,
    Capabilities,
    CheckReport,
    CommitNote,
    Expiry,
    Origin,
    OriginExtent,
    ScrubReport,
    SeriesQuery,
    Store,
    StoredValues,
    TotalsQuery,
    origin_of_nobody,
)
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.memory_rows import (
    DAY_US,
    HOUR_US,
    QUARTER_US,
    KeptBucket,
    KeptReading,
    bucket_table,
    is_inside,
    is_whole,
    raw_table,
    readings_of,
    record_batch,
    summary_order,
    table_of,
    totals_row,
)

_NO_DEADLINE = Deadline(None, Cancellation())


class _Notes:
    """See `contract.CommitNotes`; they live as long as the store."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._wanted = False
        self._kept: dict[int, CommitNote] = {}
        self._next = secrets.randbelow(1 << 62)  # no store before this one gave these numbers

    def want(self, wanted: bool) -> None:
        with self._lock:
            self._wanted = wanted
            self._kept = self._kept if wanted else {}

    def notes(self, most: int) -> list[CommitNote]:
        with self._lock:
            return list(self._kept.values())[:most]

    def drop(self, numbers: Collection[int]) -> None:
        with self._lock:
            self._kept = {number: note for number, note in self._kept.items() if number not in set(numbers)}

    def add(self, user_id: str, metric: str | None, times_us: Collection[int], readings: int = 0) -> None:
        """Add a note, if notes are wanted."""
        if self._wanted and times_us:
            interval = TimeRange(min(times_us), max(times_us) + 1)
            self._kept[self._next] = CommitNote(self._next, user_id, metric, interval, readings)
            self._next += 1

    def forget(self, user_id: str) -> None:
        """Drop the notes of a person."""
        self._kept = {number: note for number, note in self._kept.items() if note.user_id != user_id}


class MemoryStore(Store):
    """A store that lives as long as the object: no file, no rollups, every answer worked out from the readings."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._notes = _Notes(self._lock)
        self._users: dict[str, User] = {}
        self._readings: dict[str, dict[tuple[int, str, str], KeptReading]] = {}  # by time, device, metric
        self._priorities: dict[str, dict[tuple[str, int], DevicePriority]] = {}
        self._annotations: dict[str, dict[str, Annotation]] = {}
        self._summaries: dict[str, dict[tuple[date, str | None], DailySummary]] = {}
        self._origins: dict[tuple[str, str], tuple[int, int]] = {}  # number, when it was registered
        self._horizon_us = 0
        #: What expired readings came to, by metric: resolved quarters of an hour, and hours of each device.
        self._quarters: dict[str, dict[tuple[str, int], KeptBucket]] = {}
        self._device_hours: dict[str, dict[tuple[str, str, int], KeptBucket]] = {}
        self._expired: dict[str, list[tuple[str, int, str]]] = {}  # device, time and metric of every one

    # --- Writer ---

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        self._write(batches, afresh=False)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        self._write(batches, afresh=True)

    def _write(self, batches: Sequence[ReadingBatch], *, afresh: bool) -> None:
        # Read everything before anything is kept: a batch that cannot be read leaves no trace of the others.
        readings = [reading for batch in batches for reading in readings_of(batch)]
        with self._lock:
            for reading in readings if afresh else ():
                self._readings.get(reading.user_id, {}).pop(reading.key, None)
            pushes = {number for (kind, _), (number, _) in self._origins.items() if kind == PUSH_KIND}
            for reading in readings:
                if reading.time_us < self._horizon_us:
                    continue
                self._users.setdefault(reading.user_id, User(reading.user_id))
                kept = self._readings.setdefault(reading.user_id, {})
                known = kept.get(reading.key)
                if known is None or reading.origin in pushes or not reading.says_what(known):
                    kept[reading.key] = reading
            self._note([reading for reading in readings if reading.time_us >= self._horizon_us], written=True)

    def _note(self, readings: Sequence[KeptReading], *, written: bool) -> None:
        times: dict[tuple[str, str], list[int]] = {}
        for reading in readings:
            times.setdefault((reading.user_id, reading.metric), []).append(reading.time_us)
        for (user_id, metric), of_series in times.items():
            self._notes.add(user_id, metric, of_series, len(of_series) if written else 0)

    def has_room(self, max_wait_s: float) -> bool:
        del max_wait_s
        return True

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        pass

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        with self._lock:
            kept = self._readings.get(user_id, {})
            doomed = [
                key
                for key, reading in kept.items()
                if is_inside(reading, interval)
                and device_id in (None, reading.device_id)
                and metric in (None, reading.metric)
            ]
            self._note([kept[key] for key in doomed], written=False)
            for key in doomed:
                del kept[key]
            return len(doomed)

    def delete_origin(self, origin: int, most: int) -> int:
        with self._lock:
            of_origin = [each for kept in self._readings.values() for each in kept.values() if each.origin == origin]
            self._note(of_origin[:most], written=False)
            for reading in of_origin[:most]:
                del self._readings[reading.user_id][reading.key]
            return min(len(of_origin), most)

    def register_origin(self, kind: str, name: str) -> int:
        with self._lock:
            number, _ = self._origins.setdefault((kind, name), (len(self._origins) + 1, time.time_ns() // 1000))
            return number

    # --- Registry ---

    def put_user(self, user: User) -> None:
        with self._lock:
            self._users[user.user_id] = user

    def put_users(self, users: Sequence[User]) -> None:
        with self._lock:
            for user in users:
                self._users[user.user_id] = user

    def put_priority(self, priority: DevicePriority) -> None:
        with self._lock:
            self._users.setdefault(priority.user_id, User(priority.user_id))
            kept = self._priorities.setdefault(priority.user_id, {})
            kept[priority.device_id, priority.valid_from_us] = priority
            self._notes.add(priority.user_id, None, (0, MAX_US - 1))

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        with self._lock:
            kept = self._priorities.get(user_id, {})
            doomed = [key for key in kept if key[0] == device_id]
            for key in doomed:
                del kept[key]
            if doomed:
                self._notes.add(user_id, None, (0, MAX_US - 1))
            return len(doomed)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        with self._lock:
            for summary in summaries:
                self._users.setdefault(summary.user_id, User(summary.user_id))
                kept = self._summaries.setdefault(summary.user_id, {})
                kept[summary.day, summary.resting_heart_rate_method] = summary

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        with self._lock:
            for each in annotations:
                self._users.setdefault(each.user_id, User(each.user_id))
                self._annotations.setdefault(each.user_id, {})[each.annotation_id] = each

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        with self._lock:
            return self._annotations.get(user_id, {}).pop(annotation_id, None) is not None

    def remove_user(self, user_id: str) -> int:
        with self._lock:
            person = self._users.get(user_id)
            if person is None:
                return 0
            self._origins = {
                (kind, origin_of_nobody(kept[0]) if speaks_of(name, person) else name): kept
                for (kind, name), kept in self._origins.items()
            }
            self._notes.forget(user_id)
            for kept in (self._users, self._priorities, self._summaries, self._annotations):
                kept.pop(user_id, None)
            for frozen in (self._quarters, self._device_hours, self._expired):
                frozen.pop(user_id, None)
            return len(self._readings.pop(user_id, {}))

    # --- Reader ---

    def series(self, query: SeriesQuery) -> pa.Table:
        deadline = Deadline.after(query.timeout_s, query.cancellation)
        with self._lock:
            shown, frozen = self._shown(query, deadline), self._frozen(query)
        # Only now is the range cut: the winner of a minute depends on the whole minute.
        inside = [each for part in deadline.parts(shown) for each in part if is_inside(each, query.range)]
        if query.resolution.value == "raw":
            table = raw_table(inside, deadline)
        else:
            table = bucket_table(query, inside, frozen, deadline)
        deadline.check()
        if query.limit is not None and table.num_rows > query.limit:
            raise TooManyRowsError([FieldError("interval", f"would give more than {query.limit} rows")])
        return table

    def totals(self, query: TotalsQuery) -> pa.Table:
        rows = []
        deadline = Deadline.after(query.timeout_s, query.cancellation)
        with self._lock:
            for user in sorted(self._users.values(), key=lambda user: user.user_id.encode()):
                deadline.check()
                if query.genders is not None and user.gender not in query.genders:
                    continue
                if query.born_by is not None and (user.birth_date is None or user.birth_date > query.born_by):
                    continue
                if query.born_after is not None and (user.birth_date is None or user.birth_date <= query.born_after):
                    continue
                won = self._of_winners(self._of_metric(user.user_id, query.metric), deadline)
                counted = [each for each in won if each.counts and is_inside(each, query.range)]
                quarters = self._quarters.get(user.user_id, {}).items()
                frozen = [
                    bucket
                    for (metric, start_us), bucket in quarters
                    if metric == query.metric and is_whole(start_us, HOUR_US, query.range)
                ]
                rows.append(totals_row(user.user_id, counted, frozen))
        deadline.check()
        return pa.Table.from_pylist([row for row in rows if row["count"]], schema=TOTALS_SCHEMA)

    def knows(self, user_id: str) -> bool:
        with self._lock:
            return user_id in self._users

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        with self._lock:
            return set(user_ids) - self._users.keys()

    def user(self, user_id: str) -> User | None:
        with self._lock:
            return self._users.get(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        with self._lock:
            found = [user for user in self._users.values() if user.matches(text)]
            found.sort(key=lambda user: user.user_id.encode())
            if after is not None:
                found = [user for user in found if user.user_id.encode() > after.encode()]
            return [self._overview(user) for user in found[:limit]]

    def overview(self, user_id: str) -> UserOverview | None:
        with self._lock:
            user = self._users.get(user_id)
            return None if user is None else self._overview(user)

    def metrics(self, user_id: str) -> list[MetricOverview]:
        with self._lock:
            times = [(reading.metric, reading.time_us) for reading in self._readings.get(user_id, {}).values()]
            times += [(metric, time_us) for _, time_us, metric in self._expired.get(user_id, [])]
        found = []
        for metric in sorted({metric for metric, _ in times}):
            of_metric = [time_us for named, time_us in times if named == metric]
            found.append(MetricOverview(metric, len(of_metric), min(of_metric), max(of_metric)))
        return found

    def devices(self, user_id: str) -> list[DeviceOverview]:
        with self._lock:
            readings = list(self._readings.get(user_id, {}).values())
            expired = self._expired.get(user_id, [])
            known = {reading.device_id for reading in readings} | {device_id for device_id, _, _ in expired}
            known |= {device_id for device_id, _ in self._priorities.get(user_id, {})}
        found = []
        for device_id in sorted(known, key=str.encode):
            times = [reading.time_us for reading in readings if reading.device_id == device_id]
            times += [time_us for expired_of, time_us, _ in expired if expired_of == device_id]
            found.append(DeviceOverview(device_id, len(times), min(times, default=None), max(times, default=None)))
        return found

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        with self._lock:
            found = [day for day in self._summaries.get(user_id, {}).values() if first <= day.day <= last]
        return sorted(found, key=summary_order)

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        with self._lock:
            found = list(self._annotations.get(user_id, {}).values())
        if interval is not None:
            found = [each for each in found if each.touches(interval.start_us, interval.end_us)]
        return sorted(found, key=lambda each: (each.start_us, each.annotation_id.encode()))

    def priorities(self, user_id: str) -> list[DevicePriority]:
        with self._lock:
            found = list(self._priorities.get(user_id, {}).values())
        return sorted(found, key=lambda entry: (entry.device_id.encode(), entry.valid_from_us))

    def origins(self) -> list[Origin]:
        with self._lock:
            return [
                Origin(number, kind, name, received_us) for (kind, name), (number, received_us) in self._origins.items()
            ]

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        Deadline.after(None, cancellation).check()
        with self._lock:
            counts = Counter(reading.origin for kept in self._readings.values() for reading in kept.values())
        return {number: counts[number] for number in numbers}

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        Deadline.after(None, cancellation).check()
        times_us: dict[int, list[int]] = {}
        with self._lock:
            for reading in self._readings.get(user_id, {}).values():
                times_us.setdefault(reading.origin, []).append(reading.time_us)
        return [OriginExtent(number, len(of), min(of), max(of)) for number, of in sorted(times_us.items())]

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        answer = StoredValues.nothing(len(readings))
        with self._lock:
            for row, asked in enumerate(readings_of(readings)):
                known = self._readings.get(asked.user_id, {}).get(asked.key)
                if known is not None:
                    confidence = NO_CONFIDENCE if known.confidence is None else known.confidence
                    answer.put(np.array([row]), known.value, confidence, known.origin)
        return answer

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        with self._lock:
            people = list(self._readings) if user_ids is None else list(dict.fromkeys(user_ids))
            readings = [each for user_id in people for each in self._readings.get(user_id, {}).values()]
        days: dict[int, list[KeptReading]] = {}
        for reading in readings:
            if is_inside(reading, interval) and (metrics is None or reading.metric in metrics):
                days.setdefault(reading.time_us // DAY_US, []).append(reading)
        for day in sorted(days):
            with self._lock:
                of_day = [reading for reading in days[day] if reading.user_id in self._users]
            of_day.sort(key=lambda reading: (reading.user_id, reading.metric, reading.device_id, reading.time_us))
            for first in range(0, len(of_day), EXPORT_BATCH_READINGS):
                yield record_batch(of_day[first : first + EXPORT_BATCH_READINGS])

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        with self._lock:
            times = [each.time_us for each in self._of_metric(user_id, metric) if each.device_id == device_id]
            expired = self._expired.get(user_id, [])
            times += [time_us for of, time_us, what in expired if (of, what) == (device_id, metric)]
            return max(times, default=None)

    # --- Store ---

    def stored(self) -> pa.Table:
        with self._lock:
            return self._stored([reading for kept in self._readings.values() for reading in kept.values()])

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        with self._lock:
            kept = self._readings.get(user_id, {}).values()
            return self._stored([reading for reading in kept if is_inside(reading, interval)])

    @staticmethod
    def _stored(readings: list[KeptReading]) -> pa.Table:
        readings.sort(
            key=lambda each: (each.user_id.encode(), each.metric.encode(), each.device_id.encode(), each.time_us)
        )
        return table_of(readings, STORED_SCHEMA)

    def check(self) -> CheckReport:
        """Count the readings; nothing is kept twice here, so there is nothing to compare."""
        with self._lock:
            return CheckReport(sum(map(len, self._readings.values())), rollup_rows=0, problems=())

    def settle(self) -> None:
        """Do nothing: there is no background here."""

    def horizon_us(self) -> int:
        with self._lock:
            return self._horizon_us

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        assert before_us % DAY_US == 0
        with self._lock:
            old = [each for kept in self._readings.values() for each in kept.values() if each.time_us < before_us]
            if not dry_run:
                for user_id in {reading.user_id for reading in old}:
                    self._freeze(user_id, before_us)
                self._horizon_us = max(self._horizon_us, before_us)
            return Expiry(max(self._horizon_us, before_us), len(old))

    def scrub(self) -> ScrubReport:
        """Do nothing: there is no file."""
        return ScrubReport(0, 0)

    def capabilities(self) -> Capabilities:
        return Capabilities(writes_alone=True, commit_notes=self._notes)

    def ping(self) -> None:
        """Do nothing: memory always answers."""

    def statistics(self) -> dict[str, float]:
        with self._lock:
            readings = sum(map(len, self._readings.values()))
            return {"readings": readings, "unmerged_rows": 0, "merge_lag_seconds": 0, "size_bytes": 0}

    def close(self) -> None:
        """Do nothing: there is no file, and what is stored goes with the object."""

    # --- under the lock ---

    def _overview(self, user: User) -> UserOverview:
        times = [reading.time_us for reading in self._readings.get(user.user_id, {}).values()]
        times += [time_us for _, time_us, _ in self._expired.get(user.user_id, [])]
        return UserOverview(user, len(times), min(times, default=None), max(times, default=None))

    def _freeze(self, user_id: str, before_us: int) -> None:
        """Keep what the person's readings before the instant come to, and let go of them."""
        kept = self._readings[user_id]
        old = [reading for reading in kept.values() if reading.time_us < before_us]
        quarters: dict[tuple[str, int], list[KeptReading]] = {}
        hours: dict[tuple[str, str, int], list[KeptReading]] = {}
        for reading in self._of_winners(old, _NO_DEADLINE):
            if reading.counts:
                start_us = reading.time_us // QUARTER_US * QUARTER_US
                quarters.setdefault((reading.metric, start_us), []).append(reading)
        for reading in old:
            if reading.counts:
                start_us = reading.time_us // HOUR_US * HOUR_US
                hours.setdefault((reading.metric, reading.device_id, start_us), []).append(reading)
            del kept[reading.key]
        frozen = {key: KeptBucket.of(key[1], readings) for key, readings in quarters.items()}
        self._quarters.setdefault(user_id, {}).update(frozen)
        of_devices = {key: KeptBucket.of(key[2], readings) for key, readings in hours.items()}
        self._device_hours.setdefault(user_id, {}).update(of_devices)
        self._expired.setdefault(user_id, []).extend((each.device_id, each.time_us, each.metric) for each in old)

    def _frozen(self, query: SeriesQuery) -> list[KeptBucket]:
        """What is kept of expired readings that the query can be answered from."""
        step_us = {"15m": QUARTER_US, "1h": HOUR_US, "1d": QUARTER_US}.get(query.resolution.value)
        if step_us is None or query.include_all or any(start_us % QUARTER_US for start_us in query.day_starts):
            return []
        if query.device_id is None:
            quarters = self._quarters.get(query.user_id, {})
            found = [bucket for (metric, _), bucket in quarters.items() if metric == query.metric]
        elif query.resolution.value == "15m" or any(start_us % HOUR_US for start_us in query.day_starts):
            return []
        else:
            hours = self._device_hours.get(query.user_id, {})
            asked = (query.metric, query.device_id)
            found = [bucket for (*of, _), bucket in hours.items() if tuple(of) == asked]
            step_us = HOUR_US
        return [bucket for bucket in found if is_whole(bucket.start_us, step_us, query.range)]

    def _shown(self, query: SeriesQuery, deadline: Deadline) -> list[KeptReading]:
        """The readings the query is about, at any time."""
        readings = self._of_metric(query.user_id, query.metric)
        deadline.check()
        if query.device_id is not None:
            readings = [reading for reading in readings if reading.device_id == query.device_id]
        elif not query.include_all:
            readings = self._of_winners(readings, deadline)
        if query.include_all and query.resolution.value == "raw":
            return readings
        return [reading for reading in readings if reading.counts]

    def _of_metric(self, user_id: str, metric: str) -> list[KeptReading]:
        return [reading for reading in self._readings.get(user_id, {}).values() if reading.metric == metric]

    def _of_winners(self, readings: list[KeptReading], deadline: Deadline) -> list[KeptReading]:
        """The readings of each minute's winner, of one person; each metric has its own."""
        winners: dict[tuple[str, int], tuple[int, bytes]] = {}
        for part in deadline.parts(readings):
            for reading in part:
                if reading.counts:
                    rank = self._rank(reading)
                    minute = (reading.metric, reading.minute_us)
                    winners[minute] = min(rank, winners.get(minute, rank))
        parts = deadline.parts(readings)
        return [
            each for part in parts for each in part if winners.get((each.metric, each.minute_us)) == self._rank(each)
        ]

    def _rank(self, reading: KeptReading) -> tuple[int, bytes]:
        """Lowest first: the device's priority at the start of the minute, then its id by bytes."""
        own: DevicePriority | None = None
        for entry in self._priorities.get(reading.user_id, {}).values():
            holds = entry.device_id == reading.device_id and entry.valid_from_us <= reading.minute_us
            if holds and (own is None or entry.valid_from_us > own.valid_from_us):
                own = entry
        if own is None or own.priority is None:
            return default_priority(reading.device_id), reading.device_id.encode()
        return own.priority, reading.device_id.encode()
