"""Pulsebase inside a program or a notebook, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from pulsebase.model.metrics import HEART_RATE
from pulsebase.query.asked_values import Moment, Number
from pulsebase.query.cohorts import query_top, query_users
from pulsebase.stores import open as stores
from pulsebase.stores.contract import Store

__all__ = ["Library", "open_store", "query_top", "query_users"]


def open_store(url: str) -> Library:
    """Open the store at `duckdb:///relative.duckdb`, `duckdb:////absolute.duckdb` or `memory://`.

    An embedded store is made if it is not there. One process has it open at a time, so stop the server first, or ask
    the server.

    Raises:
        StopError: the URL is wrong, or the store cannot be opened (locked, damaged, of a newer version).
    """
    return Library(stores.open_store(url))


class Library:
    """An open store and the questions about it. Close it, or use it in a `with` block."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def query_users(
        self,
        min_age: int | None,
        gender: str | Sequence[str] | None,
        min_avg_heart_rate: Number | None,
        date_from: Moment,
        date_to: Moment,
        *,
        min_coverage: Number | None = None,
        tz: str = "UTC",
        metric: str = HEART_RATE.name,
        min_avg: Number | None = None,
        max_avg: Number | None = None,
        max_age: int | None = None,
    ) -> list[str]:
        """See `query.cohorts.query_users`."""
        return query_users(
            self.store,
            min_age,
            gender,
            min_avg_heart_rate,
            date_from,
            date_to,
            min_coverage=min_coverage,
            tz=tz,
            metric=metric,
            min_avg=min_avg,
            max_avg=max_avg,
            max_age=max_age,
        )

    def query_top(
        self,
        user_id: str | int,
        date_from: Moment,
        date_to: Moment,
        limit: int = 10,
        *,
        tz: str = "UTC",
        metric: str = HEART_RATE.name,
    ) -> list[float]:
        """See `query.cohorts.query_top`."""
        return query_top(self.store, user_id, date_from, date_to, limit, tz=tz, metric=metric)

    def close(self) -> None:
        """Let go of the store. Twice is once."""
        self.store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
