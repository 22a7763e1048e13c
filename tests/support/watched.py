"""A memory store that remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pulsebase.model.resolution import Resolution
from pulsebase.stores.contract import SeriesQuery
from pulsebase.stores.memory import MemoryStore


class WatchedStore(MemoryStore):
    """A memory store that remembers questions for series; `meanwhile` is called during each."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[SeriesQuery] = []
        self.meanwhile: Callable[[], Any] = lambda: None

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        self.asked.append(query)
        found = super().series(query)
        self.meanwhile()
        return found

    def at(self, resolution: Resolution) -> list[SeriesQuery]:
        """The questions at this rung."""
        return [query for query in self.asked if query.resolution is resolution]
