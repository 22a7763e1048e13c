"""Gives metrics their numbers in a store, the first time something of them is written."""

from __future__ import annotations

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.metrics import METRICS
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people.series_numbers import MOST_METRICS


class MetricRegistry:
    """Registers metrics. A number is in the database before the journal has a row with it."""

    def __init__(self, parts: StoreParts, maintenance: Maintenance) -> None:
        self._parts, self._maintenance = parts, maintenance
        self._numbers = parts.cached.metrics

    def number(self, name: str) -> int:
        """Return the number of a metric; give it one if it has none yet.

        Raises:
            StoreUnavailableError: the store has no number left, or cannot be written now.
        """
        known = self._numbers.find(name)
        return self._register(name) if known is None else known

    def _register(self, name: str) -> int:
        spec = METRICS[name]
        with self._parts.write_lock:
            known = self._numbers.find(name)
            if known is not None:
                return known
            if len(self._numbers) == MOST_METRICS:
                raise StoreUnavailableError(f"a store holds at most {MOST_METRICS} metrics", retry_after_s=3600)
            with self._parts.database.writing() as connection:
                connection.execute(
                    "INSERT INTO metrics SELECT max(metric_no) + 1, $name, $unit, $scale FROM metrics",
                    {"name": spec.name, "unit": spec.unit, "scale": spec.scale},
                )
            self._maintenance.checkpoint_after()
            with self._parts.database.reading() as connection:
                self._numbers.load(connection)
            number = self._numbers.find(name)
            assert number is not None
            return number
