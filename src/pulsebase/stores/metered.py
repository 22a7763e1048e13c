"""Any store, with its questions timed and counted. The only metric code of the stores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import date
from time import perf_counter

import pyarrow as pa

from pulsebase import telemetry
from pulsebase.model.errors import RejectedError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import CheckReport, Origin, SeriesQuery, Store, TotalsQuery


class MeteredStore:
    """Passes every call to the store it wraps."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write`."""
        self._inner.write(batches)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> int:
        """See `contract.Writer.delete`."""
        return self._inner.delete(user_id, interval, device_id)

    def register_origin(self, kind: str, name: str) -> int:
        """See `contract.Writer.register_origin`."""
        return self._inner.register_origin(kind, name)

    def put_user(self, user: User) -> None:
        """See `contract.Registry.put_user`."""
        self._inner.put_user(user)

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        self._inner.put_priority(priority)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        self._inner.put_summaries(summaries)

    def remove_user(self, user_id: str) -> int:
        """See `contract.Registry.remove_user`."""
        return self._inner.remove_user(user_id)

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        with _timed("series", query.resolution.value):
            return self._inner.series(query)

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        with _timed("totals"):
            return self._inner.totals(query)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        with _timed("user"):
            return self._inner.user(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        with _timed("users"):
            return self._inner.users(text, limit, after)

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        with _timed("overview"):
            return self._inner.overview(user_id)

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        with _timed("devices"):
            return self._inner.devices(user_id)

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """See `contract.Reader.summaries`."""
        with _timed("summaries"):
            return self._inner.summaries(user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        with _timed("priorities"):
            return self._inner.priorities(user_id)

    def last_time_us(self, user_id: str, device_id: str) -> int | None:
        """See `contract.Reader.last_time_us`."""
        with _timed("last_time"):
            return self._inner.last_time_us(user_id, device_id)

    def stored(self) -> pa.Table:
        """See `contract.Store.stored`."""
        return self._inner.stored()

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """See `contract.Store.readings`."""
        return self._inner.readings(user_id, interval)

    def origins(self) -> list[Origin]:
        """See `contract.Store.origins`."""
        return self._inner.origins()

    def check(self) -> CheckReport:
        """See `contract.Store.check`."""
        return self._inner.check()

    def settle(self) -> None:
        """See `contract.Store.settle`."""
        self._inner.settle()

    def ping(self) -> None:
        """See `contract.Store.ping`."""
        self._inner.ping()

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`."""
        statistics = self._inner.statistics()
        for name, gauge in telemetry.STORE_STATISTICS.items():
            gauge.set(statistics.get(name, 0))
        return statistics

    def close(self) -> None:
        """See `contract.Store.close`."""
        self._inner.close()


@contextlib.contextmanager
def _timed(kind: str, rung: str = "") -> Iterator[None]:
    started = perf_counter()
    try:
        yield
    except Exception as error:
        outcome = "rejected" if isinstance(error, RejectedError) else type(error).__name__
        telemetry.STORE_QUERY_FAILURES.labels(kind, outcome).inc()
        raise
    finally:
        telemetry.STORE_QUERY_SECONDS.labels(kind, rung).observe(perf_counter() - started)
