"""The parts of an installation as the caller of a request may use them.

Routes are given nothing else, so a route cannot forget to ask whom its caller may know of: every way to people's data
leads through here. People out of reach are unknown, in every method, so answers and errors for them are those for
somebody who never was. What is asked about whom is noted on the way, for the trail.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import date
from typing import BinaryIO
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.access.caller import Caller, caller
from pulsebase.access.service import Access
from pulsebase.access.shares import EVERYBODY, who_is
from pulsebase.access.state import Deed, DeedFilter
from pulsebase.access.trail import Trail
from pulsebase.api.erasures import Erasures
from pulsebase.api.siblings import Siblings
from pulsebase.api.streams import EventStream, Streams
from pulsebase.etl.connections import Agreed, Begun, Connections
from pulsebase.etl.extract.parts import FileOwner
from pulsebase.etl.import_jobs import ImportJobs, ImportReport
from pulsebase.etl.state import Connection, RunFilter, RunRecord, RunReport
from pulsebase.etl.sync import Synchronizer
from pulsebase.ingest import Candidates, Ingestor, ReadingRules
from pulsebase.ingest.candidates import Decoded
from pulsebase.ingest.committer import SHORT_PATIENCE_S, Outcome
from pulsebase.ingest.feed import ALL_TIME, Changed
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    STORED_SCHEMA,
    CheckReport,
    Expiry,
    Origin,
    ScrubReport,
    SeriesQuery,
    Standing,
    Store,
    TotalsQuery,
)
from pulsebase.stores.erasures import Erasure

_PAGE = 1_000


class ReachedStore:
    """A store of the people in the caller's reach."""

    def __init__(self, inner: Store, access: Access) -> None:
        self._inner, self._access = inner, access

    # --- one person ---

    def knows(self, user_id: str) -> bool:
        """See `contract.Reader.knows`."""
        return caller().reaches(user_id) and self._inner.knows(user_id)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        return self._inner.user(user_id) if caller().reaches(user_id) else None

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        return self._inner.overview(user_id) if caller().reaches(user_id) else None

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        return self._inner.devices(user_id) if caller().reaches(user_id) else []

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """See `contract.Reader.summaries`."""
        return self._inner.summaries(user_id, first, last) if caller().reaches(user_id) else []

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        return self._inner.priorities(user_id) if caller().reaches(user_id) else []

    def last_time_us(self, user_id: str, device_id: str) -> int | None:
        """See `contract.Reader.last_time_us`."""
        return self._inner.last_time_us(user_id, device_id) if caller().reaches(user_id) else None

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        if caller().reaches(query.user_id):
            return self._inner.series(query)
        return (RAW_SCHEMA if query.resolution is Resolution.RAW else BUCKET_SCHEMA).empty_table()

    # --- several people ---

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        people = caller().ask_everybody()
        if people is None:
            return self._inner.users(text, limit, after)
        found: list[UserOverview] = []
        for user_id in sorted(people, key=str.encode):
            if len(found) == limit:
                break
            if after is None or user_id.encode() > after.encode():
                overview = self._inner.overview(user_id)
                if overview is not None and _matches(overview.user, text):
                    found.append(overview)
        return found

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        people = caller().ask_everybody()
        table = self._inner.totals(query)
        return table if people is None else table.filter(pc.is_in(table["user_id"], _texts(people)))

    def standing(self, readings: ReadingBatch) -> Standing:
        """See `contract.Reader.standing`."""
        caller().require_all(readings.users)
        return self._inner.standing(readings)

    def export(self, interval: TimeRange, user_ids: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`."""
        if user_ids is None:
            people = caller().ask_everybody()
            return self._inner.export(interval, None if people is None else sorted(people))
        return self._inner.export(interval, [user_id for user_id in user_ids if caller().reaches(user_id)])

    def origins(self) -> list[Origin]:
        """See `contract.Reader.origins`. A caller for some people has the imports they brought themselves alone: what
        is stored of others would show in the counts.
        """
        found = self._inner.origins()
        if caller().ask_everybody() is None:
            return found
        own = self._access.state.imports_of(caller().principal.number)
        return [origin for origin in found if origin.number in own]

    def origins_of(self, user_id: str, numbers: Iterable[int]) -> Mapping[int, Origin]:
        """What the caller may know of the origins that brought a person's readings, by number: with a key for some
        people, of the imports that came with it.
        """
        if not caller().reaches(user_id):
            return {}
        principal, wanted = caller().principal, set(numbers)
        if principal.people is not None:
            wanted &= self._access.state.imports_of(principal.number)
        return {origin.number: origin for origin in self._inner.origins() if origin.number in wanted}

    def origin_readings(self, numbers: Sequence[int]) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        for number in numbers:
            _require_everybody_or(number, self._access)
        return self._inner.origin_readings(numbers)

    # --- changes ---

    def put_user(self, user: User) -> None:
        """See `contract.Registry.put_user`."""
        caller().require([user.user_id])
        self._inner.put_user(user)

    def put_users(self, users: Sequence[User]) -> None:
        """See `contract.Registry.put_users`."""
        caller().require(user.user_id for user in users)
        self._inner.put_users(users)

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        caller().require([priority.user_id])
        self._inner.put_priority(priority)

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """See `contract.Registry.remove_priorities`."""
        caller().require([user_id])
        return self._inner.remove_priorities(user_id, device_id)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        caller().require(summary.user_id for summary in summaries)
        self._inner.put_summaries(summaries)

    def remove_user(self, user_id: str) -> int:
        """See `contract.Registry.remove_user`. What access knows of the person goes with them."""
        caller().require([user_id])
        person = self._inner.user(user_id) or User(user_id)
        removed = self._inner.remove_user(user_id)
        self._access.state.forget(person)
        return removed

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write`."""
        for batch in batches:
            caller().require_all(batch.users)
        self._inner.write(batches)

    def has_room(self, patience_s: float) -> bool:
        """See `contract.Writer.has_room`."""
        return self._inner.has_room(patience_s)

    def pace(self, readings: int, patience_s: float, *, within_turn: bool = False) -> None:
        """See `contract.Writer.pace`."""
        self._inner.pace(readings, patience_s, within_turn=within_turn)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write_afresh`."""
        for batch in batches:
            caller().require_all(batch.users)
        self._inner.write_afresh(batches)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> int:
        """See `contract.Writer.delete`."""
        caller().require([user_id])
        return self._inner.delete(user_id, interval, device_id)

    def delete_origin(self, origin: int, most: int) -> int:
        """See `contract.Writer.delete_origin`."""
        _require_everybody_or(origin, self._access)
        return self._inner.delete_origin(origin, most)

    def register_origin(self, kind: str, name: str) -> int:
        """See `contract.Writer.register_origin`."""
        return self._inner.register_origin(kind, name)

    # --- the store as a whole ---

    def stored(self) -> pa.Table:
        """See `contract.Store.stored`."""
        people = caller().ask_everybody()
        table = self._inner.stored()
        return table if people is None else table.filter(pc.is_in(table["user_id"], _texts(people)))

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """See `contract.Store.readings`."""
        return self._inner.readings(user_id, interval) if caller().reaches(user_id) else STORED_SCHEMA.empty_table()

    def check(self) -> CheckReport:
        """See `contract.Store.check`."""
        return self._inner.check()

    def settle(self) -> None:
        """See `contract.Store.settle`."""
        self._inner.settle()

    def horizon_us(self) -> int:
        """See `contract.Store.horizon_us`."""
        return self._inner.horizon_us()

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        """See `contract.Store.expire`."""
        return self._inner.expire(before_us, dry_run=dry_run)

    def scrub(self) -> ScrubReport:
        """See `contract.Store.scrub`."""
        return self._inner.scrub()

    def ping(self) -> None:
        """See `contract.Store.ping`."""
        self._inner.ping()

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`."""
        return self._inner.statistics()

    def close(self) -> None:
        """Routes close nothing."""


class ReachedIngestor:
    """The write path, for readings of people in the caller's reach."""

    def __init__(self, inner: Ingestor, access: Access) -> None:
        self._inner, self._access = inner, access

    def pace(self, readings: int, patience_s: float, *, within_turn: bool = False) -> None:
        """See `Ingestor.pace`."""
        self._inner.pace(readings, patience_s, within_turn=within_turn)

    def submit(self, batch: ReadingBatch, patience_s: float = SHORT_PATIENCE_S) -> Future[None]:
        """See `Ingestor.submit`.

        Raises:
            UnknownUserError: somebody in the batch is out of reach; rules of the caller refuse such rows before.
        """
        caller().require_all(batch.users)
        return self._inner.submit(batch, patience_s)

    def offer(self, readings: Candidates | Decoded, rules: ReadingRules, origin: int) -> Future[Outcome]:
        """See `Ingestor.offer`; readings of others are refused one by one."""
        asking = caller()
        asking.name(readings.users if isinstance(readings, Decoded) else readings.user_ids)
        return self._inner.offer(readings, rules_for(asking.principal.people, rules), origin)

    def submit_delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> Future[int]:
        """See `Ingestor.submit_delete`."""
        caller().require([user_id])
        return self._inner.submit_delete(user_id, interval, device_id)

    def submit_delete_origin(self, origin: int, most: int) -> Future[int]:
        """See `Ingestor.submit_delete_origin`."""
        _require_everybody_or(origin, self._access)
        return self._inner.submit_delete_origin(origin, most)

    def register_origin(self, kind: str, name: str) -> int:
        """See `Ingestor.register_origin`."""
        return self._inner.register_origin(kind, name)

    def write(self, batch: ReadingBatch) -> None:
        """See `Ingestor.write`."""
        caller().require_all(batch.users)
        self._inner.write(batch)

    @property
    def alive(self) -> bool:
        """See `Ingestor.alive`."""
        return self._inner.alive


class ReachedImports:
    """Imports of readings of people in the caller's reach; with a key for some people, those of that key alone."""

    def __init__(self, inner: ImportJobs, access: Access, siblings: Siblings) -> None:
        self._inner, self._access, self._siblings = inner, access, siblings

    def admit(self, owner: FileOwner) -> None:
        """Refuse before the upload is taken what would be refused after it.

        Raises:
            UnknownUserError: the owner is out of reach.
            StoreUnavailableError, ShareFullError: too many wait already.
        """
        if owner.user_id is not None:
            caller().require([owner.user_id])
        self._inner.refuse_when_full(_sender(caller()))

    def start(self, name: str, upload: BinaryIO, owner: FileOwner, ended: Callable[[], None]) -> ImportReport:
        """See `ImportJobs.start`."""
        asking = caller()
        try:
            self.admit(owner)
            return self._inner.start(
                name,
                upload,
                owner,
                asking.principal.people,
                changes_people=asking.principal.holds("admin"),
                noted=lambda number: self._access.state.note_import(number, asking.principal.number),
                who=_sender(asking),
                ended=ended,
            )
        except BaseException:
            upload.close()
            ended()
            raise

    def reports(self, numbers: Sequence[int]) -> Mapping[int, ImportReport]:
        """How imports stand, by number; see `ImportJobs.report`. Whichever worker runs one is asked."""
        if caller().principal.people is not None:
            own = self._access.state.imports_of(caller().principal.number)
            numbers = [number for number in numbers if number in own]
        found = reports_of(self._inner, numbers)
        if missing := [number for number in numbers if number not in found]:
            for answer in self._siblings.ask("imports", missing).values():
                found |= msgspec.convert(answer, dict[int, ImportReport])
        return found

    def cancel(self, number: int) -> bool:
        """See `ImportJobs.cancel`; also what another worker runs. Of those that `reports` knows."""
        if number not in self.reports([number]):
            return False
        return self._inner.cancel(number) or any(self._siblings.ask("cancel", number).values())

    def runs(self, origin: str) -> bool:
        """See `ImportJobs.runs`. Whoever knows the name may see the import."""
        return self._inner.runs(origin)


def _sender(asking: Caller) -> Hashable:
    who = who_is(asking)
    return None if who == EVERYBODY else who


def reports_of(imports: ImportJobs, numbers: Sequence[int]) -> dict[int, ImportReport]:
    """How those of the imports stand that this process knows of."""
    return {number: report for number in numbers if (report := imports.report(number)) is not None}


class ReachedConnections:
    """Connections of people in the caller's reach."""

    def __init__(self, inner: Connections) -> None:
        self._inner = inner

    def begin(self, user_id: str, source: str, redirect_uri: str) -> Begun:
        """See `Connections.begin`."""
        caller().require([user_id])
        return self._inner.begin(user_id, source, redirect_uri)

    def finish(self, source: str, state: str, code: str | None, error: str | None) -> Connection:
        """See `Connections.finish`. The state stands for the right that `begin` asked for."""
        made = self._inner.finish(source, state, code, error)
        caller().asked.add(made.user_id)
        return made

    def ticket(self, user_id: str, source: str) -> str:
        """See `Connections.ticket`."""
        caller().require([user_id])
        return self._inner.ticket(user_id, source)

    def offered(self, source: str, ticket: str) -> str:
        """See `Connections.offered`. The ticket stands for the right that `ticket` asked for."""
        user_id = self._inner.offered(source, ticket)
        caller().asked.add(user_id)
        return user_id

    def agree(self, source: str, ticket: str, redirect_uri: str) -> Agreed:
        """See `Connections.agree`, and `offered`."""
        self.offered(source, ticket)
        return self._inner.agree(source, ticket, redirect_uri)

    def come_back(self, source: str, state: str, kept: str | None, code: str | None, error: str | None) -> Connection:
        """See `Connections.come_back`. What the browser kept stands for that right."""
        made = self._inner.come_back(source, state, kept, code, error)
        caller().asked.add(made.user_id)
        return made

    def disconnect(self, user_id: str, source: str) -> bool:
        """See `Connections.disconnect`."""
        return caller().reaches(user_id) and self._inner.disconnect(user_id, source)

    def of(self, user_id: str) -> Sequence[Connection]:
        """See `Connections.of`."""
        return self._inner.of(user_id) if caller().reaches(user_id) else ()


class ReachedSync:
    """What the pipeline did for people in the caller's reach."""

    def __init__(self, inner: Synchronizer) -> None:
        self._inner = inner

    @property
    def schedule(self) -> threading.Thread | None:
        """See `Synchronizer.schedule`."""
        return self._inner.schedule

    @property
    def zone_of(self) -> Callable[[str], ZoneInfo]:
        """See `Synchronizer.zone_of`. For threads, which know no caller; somebody out of reach has no zone."""
        people, zone_of = caller().ask_everybody(), self._inner.zone_of
        return lambda user_id: zone_of(user_id) if people is None or user_id in people else ZoneInfo("UTC")

    @contextlib.contextmanager
    def kept_out(self, user_id: str, source: str) -> Iterator[bool]:
        """See `Synchronizer.kept_out`."""
        caller().require([user_id])
        with self._inner.kept_out(user_id, source) as mine:
            yield mine

    def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """See `SyncState.runs`."""
        asking = caller()
        if wanted.user_id is not None:
            return self._inner.state.runs(wanted) if asking.reaches(wanted.user_id) else ()
        return self._inner.state.runs(replace(wanted, people=asking.ask_everybody()))

    def noted(self) -> Sequence[Connection]:
        """See `SyncState.connections`."""
        return self._in_reach(self._inner.state.connections())

    def connections(self) -> Sequence[Connection]:
        """See `Synchronizer.connections`."""
        return self._in_reach(self._inner.connections())

    def run(self, user_id: str, source: str) -> Sequence[RunReport]:
        """See `Synchronizer.run`."""
        caller().require([user_id])
        return self._inner.run(user_id, source)

    def last_us(self, connection: Connection) -> int | None:
        """See `Synchronizer.last_us`."""
        return self._inner.last_us(connection)

    def measure(self) -> None:
        """See `Synchronizer.measure`."""
        self._inner.measure()

    def _in_reach(self, found: Sequence[Connection]) -> Sequence[Connection]:
        people = caller().ask_everybody()
        return found if people is None else [each for each in found if each.user_id in people]


@dataclass(frozen=True, slots=True)
class ReachedTrail:
    """The trail of what was done to people in the caller's reach."""

    trail: Trail
    siblings: Siblings

    def deeds(self, wanted: DeedFilter) -> Sequence[Deed]:
        """See `Trail.deeds`. What other workers have noted is included."""
        asking = caller()
        self.siblings.ask("flush")
        if wanted.user_id is not None:
            return self.trail.deeds(wanted) if asking.reaches(wanted.user_id) else ()
        return self.trail.deeds(replace(wanted, people=asking.ask_everybody()))

    def about(self, user_id: str) -> Iterator[Deed]:
        """Every entry about one person, the newest first, a page at a time."""
        wanted = DeedFilter(user_id, limit=_PAGE)
        while found := self.deeds(wanted):
            yield from found
            wanted = replace(wanted, before=found[-1].number)


class ReachedStreams:
    """What is committed to people in the caller's reach, as it is committed. A stream ends when its key does."""

    def __init__(self, inner: Streams, access: Access) -> None:
        self._inner, self._access = inner, access

    def tell_changed(self, user_id: str) -> None:
        """Tell who listens that what they have of a person has to be asked for again."""
        caller().require([user_id])
        self._inner.feed.publish_change(Changed(user_id, ALL_TIME))

    def open(self, user_ids: Sequence[str], last_event_id: str | None) -> EventStream:
        """The answer that tells it. People out of reach are unknown, and stay so."""
        asking = caller()
        reached = [user_id for user_id in user_ids if asking.reaches(user_id)]
        unknown = set(user_ids).difference(reached)
        return EventStream(
            self._inner, reached, last_event_id, unknown, lambda: self._access.still_takes(asking.principal)
        )


class ReachedErasures:
    """Erasing people in the caller's reach."""

    def __init__(self, inner: Erasures, streams: ReachedStreams) -> None:
        self._inner, self._streams = inner, streams
        self.changing = inner.changing

    def erase(self, user_id: str) -> Erasure:
        """See `Erasures.erase`."""
        caller().require([user_id])
        erasure = self._inner.erase(user_id)
        self._streams.tell_changed(user_id)
        return erasure

    def allow(self, user_id: str) -> None:
        """See `Erasures.allow`."""
        caller().require([user_id])
        self._inner.allow(user_id)

    def find(self, erasure_id: str) -> Erasure | None:
        """See `Erasures.find`. A receipt says of nobody whose it is; who has its id was given it."""
        return self._inner.find(erasure_id)

    def receipts(self) -> Sequence[Erasure]:
        """See `Erasures.receipts`. How many there are is nothing for a caller for some people."""
        return self._inner.receipts() if caller().ask_everybody() is None else ()


def rules_for(people: frozenset[str] | None, rules: ReadingRules) -> ReadingRules:
    """The rules, for readings of these people alone. The same rules for the same set of people, so that what waits for
    one commit can be checked at once.
    """
    if people is None:
        return rules
    kept = _rules.get(id(people))
    if kept is None or kept.people is not people or kept.now_us is not rules.now_us:
        if len(_rules) >= _MOST_RULES:
            _rules.clear()
        kept = _rules[id(people)] = replace(rules, people=people)
    return kept


#: By the identity of the set, which the rules hold on to, so that no other can have it meanwhile.
_rules: dict[int, ReadingRules] = {}
_MOST_RULES = 10_000


def _require_everybody_or(origin: int, access: Access) -> None:
    """Raises `UnknownUserError` unless the caller may undo what came by this origin."""
    if caller().ask_everybody() is None:
        return
    if origin not in access.state.imports_of(caller().principal.number):
        raise UnknownUserError


def _matches(user: User, text: str) -> bool:
    """As the stores find people, see `contract.Reader.users`."""
    wanted = text.lower()
    return wanted in user.user_id.lower() or wanted in (user.name or "").lower()


def _texts(people: frozenset[str]) -> pa.Array:
    return pa.array(sorted(people), pa.string())
