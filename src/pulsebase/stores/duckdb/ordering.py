"""The order of stored readings: (UTC day, person, device, time), so that a day of one person lies together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import I64, Mask
from pulsebase.model.timerange import DAY_US
from pulsebase.stores.duckdb.stage import Rows

#: Bits of the microseconds of a day: 2**37 > 86.4e9.
_DAY_BITS = 37
_KEY_BITS = 63

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Order:
    """The order of storage of rows that are given in the order of their arrival.

    `kept` are the places of the rows that stay, the last of each (person, device, time), in the order of storage;
    `replaced` the places of the others.
    """

    kept: Places
    replaced: Places


def order_of(rows: Rows) -> Order:
    """How to bring rows into the order of storage."""
    none = np.empty(0, np.intp)
    if len(rows) == 0:
        return Order(none, none)
    keys = _keys(rows)
    order = np.argsort(keys)  # vectorised by NumPy; not stable, which the next step makes good
    ordered = keys[order]
    firsts = changes(ordered)
    if len(firsts) == len(rows):
        return Order(order, none)
    last = np.maximum.reduceat(order, firsts)
    replaced = np.ones(len(rows), np.bool_)
    replaced[last] = False
    return Order(last, np.flatnonzero(replaced))


def by_time(rows: Rows) -> Rows:
    """The rows in the order (UTC day, person, time), whatever the device."""
    return rows.take(np.argsort(_keys(rows, devices_apart=False))) if len(rows) else rows


def changes(*columns: npt.NDArray[np.generic]) -> Places:
    """The places where a group of equal neighbours starts, over all columns together."""
    count = len(columns[0])
    if count == 0:
        return np.empty(0, np.intp)
    starts: Mask = np.zeros(count, np.bool_)
    starts[0] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(starts)


def _keys(rows: Rows, *, devices_apart: bool = True) -> I64:
    """One number a row that orders as (day, person, device, time) does, or as (day, person, time)."""
    days = rows.t // DAY_US
    in_day = rows.t - days * DAY_US
    days -= days.min()
    groups = days * (int(rows.user_no.max()) + 1) + rows.user_no
    if devices_apart:
        groups = groups * (int(rows.device_no.max()) + 1) + rows.device_no
    if (int(groups.max()) + 1).bit_length() + _DAY_BITS > _KEY_BITS:
        # Too many combinations for the bits that are left: number those that occur.
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    groups <<= _DAY_BITS
    groups |= in_day
    return groups
