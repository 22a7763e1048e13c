"""The numbers of series: a person and a metric in one number, by which readings and rollups are kept.

What holds for one series (identity, which device wins a minute, the order of storage) then needs no second key. The
metric's number stands above the person's. Heart rate has the number 0, so that its series has the person's number, as
in stores from before there were other metrics.

In the database the column of readings and rollups is called `user_no`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import numpy as np
import numpy.typing as npt

from pulsebase.model.metrics import HEART_RATE, require_known

I32 = npt.NDArray[np.int32]

_PEOPLE_BITS = 25
#: How many people and metrics a store can hold: 30 bits together, so that a number and a minute fit 64 bits.
MOST_PEOPLE = 1 << _PEOPLE_BITS
MOST_METRICS = 1 << 5
#: In SQL: the number of the person of a series.
PERSON_OF = f"({{column}} & {MOST_PEOPLE - 1})"
_MASK = np.int32(MOST_PEOPLE - 1)


def series_number(user_no: int, metric_no: int) -> int:
    """Return the number of a person's series."""
    return metric_no << _PEOPLE_BITS | user_no


def person_of(series_no: int) -> int:
    """Return the number of the person of a series."""
    return series_no & (MOST_PEOPLE - 1)


def people_of(series: I32) -> I32:
    """Return the numbers of the people of a column of series."""
    return series & _MASK


def metrics_of(series: I32) -> I32:
    """Return the numbers of the metrics of a column of series."""
    return series >> np.int32(_PEOPLE_BITS)


def dense(series: I32, people: int) -> npt.NDArray[np.int64]:
    """Return places for series in an array that has one for each of so many people and each metric. Of people beyond
    them the place is that of the last one.
    """
    places = np.minimum(people_of(series), people - 1).astype(np.int64)
    places += metrics_of(series).astype(np.int64) * people
    return places


def bounds_of_metric(metric_no: int) -> tuple[int, int]:
    """Return the lowest and the highest number of a series of this metric."""
    return series_number(0, metric_no), series_number(MOST_PEOPLE - 1, metric_no)


class MetricNumbers:
    """The metrics of which a store ever held readings, by number. Numbers are dense; heart rate has 0."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = (HEART_RATE.name,)

    @property
    def names(self) -> Sequence[str]:
        """The names, by number."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, series_no: int) -> str:
        """Return the name of the metric of a series."""
        return self._names[series_no >> _PEOPLE_BITS]

    def find(self, name: str) -> int | None:
        """Return the number of a metric, or None if nothing of it was ever stored."""
        return self._names.index(name) if name in self._names else None

    def chosen(self, metrics: Iterable[str] | None) -> list[int]:
        """Return the numbers of these metrics as far as there are any; None means every metric."""
        if metrics is None:
            return list(range(len(self._names)))
        return [number for number in map(self.find, dict.fromkeys(metrics)) if number is not None]

    def series_of(self, user_no: int, metric: str | None = None) -> list[int]:
        """Return the numbers of a person's series of one metric, or of every metric."""
        return [series_number(user_no, number) for number in self.chosen(None if metric is None else [metric])]

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take over what the database holds.

        Raises:
            StoreVersionError: it has readings of a metric that is unknown here, or was kept in other units.
        """
        rows = connection.execute("SELECT metric_no, name, scale FROM metrics ORDER BY metric_no").fetchall()
        for _, name, scale in rows:
            require_known(name, scale, "the store")
        self._names = tuple(name for _, name, _ in rows)
