"""The store, as the caller of a request may use it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.access.caller import caller
from pulsebase.access.newcomers import NewcomerShares
from pulsebase.access.service import Access
from pulsebase.authorization.rules import require_everybody_or
from pulsebase.ingest.newcomers import admitted
from pulsebase.model.annotations import Annotation
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    STORED_SCHEMA,
    Cancellation,
    Capabilities,
    Origin,
    OriginExtent,
    SeriesQuery,
    Store,
    StoredValues,
    TotalsQuery,
)
from pulsebase.stores.wrapper import WrapperStore, passing_on

#: What is passed on as it is, whoever asks, and why that tells them of nobody. Whatever the contract has beyond this
#: and the methods below is refused. Which routes a key opens at all is in `access.scopes`.
PASSED_ON: Mapping[str, str] = {
    "has_room": "how busy the store is",
    "pace": "how busy the store is",
    "register_origin": "gives a number to a name that the server makes up; reading or undoing what came by it asks",
    "check": "counts and names of tables, for whoever looks after the store",
    "settle": "changes no answer",
    "horizon_us": "one instant for everybody",
    "expire": "one instant for everybody, and a count, for whoever looks after the store",
    "scrub": "changes no answer",
    "ping": "whether the store answers",
    "statistics": "sizes and counts of the whole store",
}


@passing_on(PASSED_ON)
class AuthorizedStore(WrapperStore):
    """A store of the people in the caller's reach."""

    def __init__(self, inner: Store, access: Access, newcomers: NewcomerShares) -> None:
        super().__init__(inner)
        self._access, self._newcomers = access, newcomers

    # --- one person ---

    def knows(self, user_id: str) -> bool:
        """See `contract.Reader.knows`."""
        return caller().reaches(user_id) and self._inner.knows(user_id)

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        """See `contract.Reader.unknown_users`."""
        reached = {user_id for user_id in user_ids if caller().reaches(user_id)}
        return set(user_ids) - reached | self._inner.unknown_users(reached)

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

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        """See `contract.Reader.annotations`."""
        return self._inner.annotations(user_id, interval) if caller().reaches(user_id) else []

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        return self._inner.priorities(user_id) if caller().reaches(user_id) else []

    def metrics(self, user_id: str) -> list[MetricOverview]:
        """See `contract.Reader.metrics`."""
        return self._inner.metrics(user_id) if caller().reaches(user_id) else []

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        """See `contract.Reader.last_time_us`."""
        return self._inner.last_time_us(user_id, device_id, metric) if caller().reaches(user_id) else None

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
                if overview is not None and overview.user.matches(text):
                    found.append(overview)
        return found

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        people = caller().ask_everybody()
        table = self._inner.totals(query)
        return table if people is None else table.filter(pc.is_in(table["user_id"], _texts(people)))

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        """See `contract.Reader.stored_values`."""
        caller().require_all(readings.users)
        return self._inner.stored_values(readings)

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`."""
        if user_ids is None:
            people = caller().ask_everybody()
            return self._inner.export(interval, None if people is None else sorted(people), metrics)
        return self._inner.export(interval, [user_id for user_id in user_ids if caller().reaches(user_id)], metrics)

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

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        for number in numbers:
            require_everybody_or(number, self._access)
        return self._inner.origin_readings(numbers, cancellation)

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        """See `contract.Reader.origin_extents`."""
        return self._inner.origin_extents(user_id, cancellation) if caller().reaches(user_id) else []

    # --- changes ---

    def put_user(self, user: User) -> None:
        """See `contract.Registry.put_user`."""
        caller().require([user.user_id])
        with self._admitted([user.user_id]):
            self._inner.put_user(user)

    def put_users(self, users: Sequence[User]) -> None:
        """See `contract.Registry.put_users`."""
        caller().require(user.user_id for user in users)
        with self._admitted([user.user_id for user in users]):
            self._inner.put_users(users)

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        caller().require([priority.user_id])
        with self._admitted([priority.user_id]):
            self._inner.put_priority(priority)

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """See `contract.Registry.remove_priorities`."""
        caller().require([user_id])
        return self._inner.remove_priorities(user_id, device_id)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        caller().require(summary.user_id for summary in summaries)
        with self._admitted([summary.user_id for summary in summaries]):
            self._inner.put_summaries(summaries)

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        """See `contract.Registry.put_annotations`."""
        caller().require(annotation.user_id for annotation in annotations)
        with self._admitted([annotation.user_id for annotation in annotations]):
            self._inner.put_annotations(annotations)

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        """See `contract.Registry.remove_annotation`."""
        caller().require([user_id])
        return self._inner.remove_annotation(user_id, annotation_id)

    def _admitted(self, user_ids: Sequence[str]) -> AbstractContextManager[None]:
        return admitted(self._newcomers.of(caller()), self._inner.unknown_users, user_ids)

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

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write_afresh`."""
        for batch in batches:
            caller().require_all(batch.users)
        self._inner.write_afresh(batches)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        """See `contract.Writer.delete`."""
        caller().require([user_id])
        return self._inner.delete(user_id, interval, device_id, metric)

    def delete_origin(self, origin: int, most: int) -> int:
        """See `contract.Writer.delete_origin`."""
        require_everybody_or(origin, self._access)
        return self._inner.delete_origin(origin, most)

    # --- the store as a whole ---

    def capabilities(self) -> Capabilities:
        """See `contract.Store.capabilities`. None of what leads past this class."""
        return Capabilities(self._inner.capabilities().writes_alone)

    def stored(self) -> pa.Table:
        """See `contract.Store.stored`."""
        people = caller().ask_everybody()
        table = self._inner.stored()
        return table if people is None else table.filter(pc.is_in(table["user_id"], _texts(people)))

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """See `contract.Store.readings`."""
        return self._inner.readings(user_id, interval) if caller().reaches(user_id) else STORED_SCHEMA.empty_table()

    def close(self) -> None:
        """Routes close nothing."""


def _texts(people: frozenset[str]) -> pa.Array:
    return pa.array(sorted(people), pa.string())
