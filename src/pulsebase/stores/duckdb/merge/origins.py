"""Which origin a reading has after several writes of it, by the rule of `contract.Writer.write`.

A merge or a query that combines the rows of one reading has them in order of arrival. Their order decides: the origin
is that of the last row that changed something or that a device sent. So it does not depend on which merges ran in
between.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import numpy as np

from pulsebase.model.rollups import I32, Mask
from pulsebase.stores.contract import PUSH_KIND
from pulsebase.stores.duckdb.merge.ordering import StorageOrder, group_starts
from pulsebase.stores.duckdb.merge.stage import Rows


class PushOrigins:
    """The numbers of the origins by which devices push. One thread at a time adds to them; any thread may read."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = np.array(sorted(numbers), np.int32)

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection) -> PushOrigins:
        """Read those that are registered."""
        found = connection.execute("SELECT origin FROM origins WHERE kind = ?", [PUSH_KIND]).fetchall()
        return cls(number for (number,) in found)

    def add(self, number: int) -> None:
        """Add one, before it brings its first reading."""
        self._numbers = np.union1d(self._numbers, np.array([number], np.int32))

    def are_all(self, origins: I32) -> bool:
        """Whether all of the origins are push origins. Mostly there is just one."""
        if len(origins) and (origins == origins[0]).all():
            origins = origins[:1]
        return bool(self.among(origins).all())

    def among(self, origins: I32) -> Mask:
        """Say which of the origins are push origins."""
        return np.isin(origins, self._numbers)


def last_of_each(rows: Rows, order: StorageOrder, pushes: PushOrigins, stored_rows: int = 0) -> Rows:
    """Return the rows that stay, `order.kept`, each under the origin of its reading.

    `rows` are in order of arrival; the first `stored_rows` of them are in the database already.
    """
    kept = rows.take(order.kept)
    if order.codes is None or pushes.are_all(rows.origin[stored_rows:]):
        return kept
    again = np.unique(np.searchsorted(order.codes[order.kept], order.codes[order.replaced]))
    chain = np.concatenate([order.replaced, order.kept[again]])
    chain = chain[np.lexsort((chain, order.codes[chain]))]
    codes, values, confidences = order.codes[chain], rows.v[chain], rows.confidence[chain]
    brings = pushes.among(rows.origin[chain])
    brings[0] = True
    brings[1:] |= (codes[1:] != codes[:-1]) | (values[1:] != values[:-1]) | (confidences[1:] != confidences[:-1])
    latest = np.maximum.accumulate(np.where(brings, np.arange(len(chain)), 0))
    ends = np.append(group_starts(codes), len(chain))[1:] - 1
    kept.origin[again] = rows.origin[chain[latest[ends]]]  # `take` made a copy
    return kept
