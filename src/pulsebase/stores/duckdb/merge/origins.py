"""Which origin a reading has after several writes of it; the law is that of `contract.Writer.write`.

Whoever puts rows of one reading together, a merge or a question, has them in the order of their arrival. It decides
there: the origin is that of the last row that brought something, or that a device sent. So it is the same whatever
merges took in between.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import numpy as np

from pulsebase.model.rollups import I32, Mask
from pulsebase.stores.contract import PUSH_KIND
from pulsebase.stores.duckdb.merge.ordering import Order, changes
from pulsebase.stores.duckdb.merge.stage import Rows


class PushOrigins:
    """The numbers of the origins by which devices send. One thread at a time adds to them; anybody looks."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = np.array(sorted(numbers), np.int32)

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection) -> PushOrigins:
        """Those that are registered."""
        found = connection.execute("SELECT origin FROM origins WHERE kind = ?", [PUSH_KIND]).fetchall()
        return cls(number for (number,) in found)

    def add(self, number: int) -> None:
        """Note one that is about to bring its first reading."""
        self._numbers = np.union1d(self._numbers, np.array([number], np.int32))

    def are_all(self, origins: I32) -> bool:
        """Whether all of the origins are such. Mostly there is but one."""
        if len(origins) and (origins == origins[0]).all():
            origins = origins[:1]
        return bool(self.among(origins).all())

    def among(self, origins: I32) -> Mask:
        """Which of the origins are such."""
        return np.isin(origins, self._numbers)


def last_of_each(rows: Rows, order: Order, pushes: PushOrigins, stored_rows: int = 0) -> Rows:
    """Of rows in the order of their arrival those that stay, `order.kept`, each under the origin of its reading. The
    first `stored_rows` are what a merge had stored before.
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
    ends = np.append(changes(codes), len(chain))[1:] - 1
    kept.origin[again] = rows.origin[chain[latest[ends]]]  # `take` made a copy
    return kept
