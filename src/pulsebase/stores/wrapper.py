"""A store around another one. The contract is forwarded here, once; who wraps a store overrides what it changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar

import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview
from pulsebase.stores.contract import (
    Cancellation,
    Capabilities,
    CheckReport,
    Expiry,
    Origin,
    OriginExtent,
    ScrubReport,
    SeriesQuery,
    Store,
    StoredValues,
    TotalsQuery,
)

#: The name of everything a store promises.
CONTRACT = frozenset(
    name
    for part in Store.__mro__
    if part not in {object, Protocol} and part.__module__ == Store.__module__
    for name in vars(part)
    if not name.startswith("_")
)

_Wrapper = TypeVar("_Wrapper", bound="type[WrapperStore]")


class WrapperStore:
    """Passes every call to the store it wraps."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write`."""
        self._inner.write(batches)

    def has_room(self, max_wait_s: float) -> bool:
        """See `contract.Writer.has_room`."""
        return self._inner.has_room(max_wait_s)

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        """See `contract.Writer.pace`."""
        self._inner.pace(readings, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write_afresh`."""
        self._inner.write_afresh(batches)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        """See `contract.Writer.delete`."""
        return self._inner.delete(user_id, interval, device_id, metric)

    def delete_origin(self, origin: int, most: int) -> int:
        """See `contract.Writer.delete_origin`."""
        return self._inner.delete_origin(origin, most)

    def register_origin(self, kind: str, name: str) -> int:
        """See `contract.Writer.register_origin`."""
        return self._inner.register_origin(kind, name)

    def put_user(self, user: User) -> None:
        """See `contract.Registry.put_user`."""
        self._inner.put_user(user)

    def put_users(self, users: Sequence[User]) -> None:
        """See `contract.Registry.put_users`."""
        self._inner.put_users(users)

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        self._inner.put_priority(priority)

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """See `contract.Registry.remove_priorities`."""
        return self._inner.remove_priorities(user_id, device_id)

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        """See `contract.Registry.put_annotations`."""
        self._inner.put_annotations(annotations)

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        """See `contract.Registry.remove_annotation`."""
        return self._inner.remove_annotation(user_id, annotation_id)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        self._inner.put_summaries(summaries)

    def remove_user(self, user_id: str) -> int:
        """See `contract.Registry.remove_user`."""
        return self._inner.remove_user(user_id)

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        return self._inner.series(query)

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        return self._inner.totals(query)

    def knows(self, user_id: str) -> bool:
        """See `contract.Reader.knows`."""
        return self._inner.knows(user_id)

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        """See `contract.Reader.unknown_users`."""
        return self._inner.unknown_users(user_ids)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        return self._inner.user(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        return self._inner.users(text, limit, after)

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        return self._inner.overview(user_id)

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        return self._inner.devices(user_id)

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        """See `contract.Reader.annotations`."""
        return self._inner.annotations(user_id, interval)

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """See `contract.Reader.summaries`."""
        return self._inner.summaries(user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        return self._inner.priorities(user_id)

    def origins(self) -> list[Origin]:
        """See `contract.Reader.origins`."""
        return self._inner.origins()

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        return self._inner.origin_readings(numbers, cancellation)

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        """See `contract.Reader.origin_extents`."""
        return self._inner.origin_extents(user_id, cancellation)

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        """See `contract.Reader.stored_values`."""
        return self._inner.stored_values(readings)

    def metrics(self, user_id: str) -> list[MetricOverview]:
        """See `contract.Reader.metrics`."""
        return self._inner.metrics(user_id)

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`."""
        return self._inner.export(interval, user_ids, metrics)

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        """See `contract.Reader.last_time_us`."""
        return self._inner.last_time_us(user_id, device_id, metric)

    def capabilities(self) -> Capabilities:
        """See `contract.Store.capabilities`. Those of the wrapped store, which they speak to directly."""
        return self._inner.capabilities()

    def stored(self) -> pa.Table:
        """See `contract.Store.stored`."""
        return self._inner.stored()

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """See `contract.Store.readings`."""
        return self._inner.readings(user_id, interval)

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
        """See `contract.Store.close`."""
        self._inner.close()


def passing_on(names: Collection[str]) -> Callable[[_Wrapper], _Wrapper]:
    """For a wrapper that is a border: of the contract it answers what it overrides and passes on these names alone.
    Everything else fails, so what the contract gains later does not slip through.
    """

    def closed(wrapper: _Wrapper) -> _Wrapper:
        for name in CONTRACT.difference(names, vars(wrapper)):
            setattr(wrapper, name, _Undecided(name))
        return wrapper

    return closed


class _Undecided:
    """A name of the contract that a border has not decided on."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, store: object, owner: type) -> object:
        if store is None:
            return self
        raise NotImplementedError(f"{owner.__name__} does not say who may use `{self._name}`")
