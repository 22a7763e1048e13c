"""Any store, with its questions timed and counted, and slow ones logged. The only metric code of the stores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from time import perf_counter
from typing import TypeVar

import pyarrow as pa

from pulsebase import telemetry, tracing
from pulsebase.model.errors import RejectedError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    Cancellation,
    CheckReport,
    Expiry,
    Origin,
    ScrubReport,
    SeriesQuery,
    Store,
    StoredValues,
    TotalsQuery,
)

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class MeteredStore:
    """Passes every call to the store it wraps.

    A question that takes `slow_query_ms` milliseconds or more is logged, never whom it is about; 0 logs none.
    """

    def __init__(self, inner: Store, slow_query_ms: float = 0) -> None:
        self._inner = inner
        self._slow_s = slow_query_ms / 1000 or float("inf")

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

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> int:
        """See `contract.Writer.delete`."""
        return self._inner.delete(user_id, interval, device_id)

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

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        self._inner.put_summaries(summaries)

    def remove_user(self, user_id: str) -> int:
        """See `contract.Registry.remove_user`."""
        return self._inner.remove_user(user_id)

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        rung, length_us = query.resolution.value, query.range.length_us
        return self._timed(query.kind, lambda: self._inner.series(query), rung, length_us)

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        return self._timed("totals", lambda: self._inner.totals(query), length_us=query.range.length_us)

    def knows(self, user_id: str) -> bool:
        """See `contract.Reader.knows`."""
        return self._inner.knows(user_id)

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        """See `contract.Reader.unknown_users`. Not timed: it is asked by commits, not by people."""
        return self._inner.unknown_users(user_ids)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        return self._timed("user", lambda: self._inner.user(user_id))

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        return self._timed("users", lambda: self._inner.users(text, limit, after))

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        return self._timed("overview", lambda: self._inner.overview(user_id))

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        return self._timed("devices", lambda: self._inner.devices(user_id))

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """See `contract.Reader.summaries`."""
        return self._timed("summaries", lambda: self._inner.summaries(user_id, first, last))

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        return self._timed("priorities", lambda: self._inner.priorities(user_id))

    def origins(self) -> list[Origin]:
        """See `contract.Reader.origins`."""
        return self._timed("origins", self._inner.origins)

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        return self._timed("origin_readings", lambda: self._inner.origin_readings(numbers, cancellation))

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        """See `contract.Reader.stored_values`. Not timed: it is asked by imports, not by people."""
        return self._inner.stored_values(readings)

    def export(self, interval: TimeRange, user_ids: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`. Not timed: it takes as long as whoever reads it."""
        return self._inner.export(interval, user_ids)

    def last_time_us(self, user_id: str, device_id: str) -> int | None:
        """See `contract.Reader.last_time_us`."""
        return self._timed("last_time", lambda: self._inner.last_time_us(user_id, device_id))

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
        statistics = self._inner.statistics()
        for name, gauge in telemetry.STORE_STATISTICS.items():
            gauge.set(statistics.get(name, float("nan")))
        return statistics

    def close(self) -> None:
        """See `contract.Store.close`."""
        self._inner.close()

    def _timed(self, kind: str, ask: Callable[[], _Answer], rung: str = "", length_us: int | None = None) -> _Answer:
        started = perf_counter()
        outcome, rows = "answered", None
        try:
            with tracing.span(f"store {kind}", rung=rung):
                answer = ask()
            rows = len(answer) if isinstance(answer, (pa.Table, list)) else None
            return answer
        except Exception as error:
            outcome = "rejected" if isinstance(error, RejectedError) else type(error).__name__
            telemetry.STORE_QUERY_FAILURES.labels(kind, outcome).inc()
            raise
        finally:
            elapsed_s = perf_counter() - started
            telemetry.STORE_QUERY_SECONDS.labels(kind, rung).observe(elapsed_s)
            if elapsed_s >= self._slow_s:
                period_s = None if length_us is None else length_us // SECOND_US
                _log_slow(kind=kind, rung=rung or None, period_s=period_s, rows=rows, outcome=outcome, s=elapsed_s)


def _log_slow(s: float, **said: str | int | None) -> None:
    known = {name: value for name, value in said.items() if value is not None} | {"elapsed_ms": round(s * 1000)}
    words = " ".join(f"{name}={value}" for name, value in known.items())
    logger.warning("slow query: %s", words, extra={"fields": known})
