"""Any store, with its questions timed and counted, and slow ones logged. The only metric code of the stores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from time import perf_counter
from typing import TypeVar

import pyarrow as pa

from pulsebase import telemetry, tracing
from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import Cancellation, Origin, OriginExtent, SeriesQuery, Store, TotalsQuery
from pulsebase.stores.wrapper import WrapperStore

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class MeteredStore(WrapperStore):
    """Times and counts what people ask. What imports ask is not timed, nor are exports: they take as long as whoever
    reads them.

    A question that takes `slow_query_ms` milliseconds or more is logged, never whom it is about; 0 logs none.
    """

    def __init__(self, inner: Store, slow_query_ms: float = 0) -> None:
        super().__init__(inner)
        self._slow_s = slow_query_ms / 1000 or float("inf")

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        rung, length_us = query.resolution.value, query.range.length_us
        return self._timed(query.kind, lambda: self._inner.series(query), rung, length_us)

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        return self._timed("totals", lambda: self._inner.totals(query), length_us=query.range.length_us)

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

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        """See `contract.Reader.annotations`."""
        return self._timed("annotations", lambda: self._inner.annotations(user_id, interval))

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        return self._timed("priorities", lambda: self._inner.priorities(user_id))

    def origins(self) -> list[Origin]:
        """See `contract.Reader.origins`."""
        return self._timed("origins", self._inner.origins)

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        return self._timed("origin_readings", lambda: self._inner.origin_readings(numbers, cancellation))

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        """See `contract.Reader.origin_extents`."""
        return self._timed("origin_extents", lambda: self._inner.origin_extents(user_id, cancellation))

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        """See `contract.Reader.last_time_us`."""
        return self._timed("last_time", lambda: self._inner.last_time_us(user_id, device_id, metric))

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`."""
        statistics = self._inner.statistics()
        for name, gauge in telemetry.STORE_STATISTICS.items():
            gauge.set(statistics.get(name, float("nan")))
        return statistics

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
