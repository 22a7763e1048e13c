"""Find the readings of a batch that would change what is stored; only they need to be written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.rollups import I64, Mask
from pulsebase.stores.contract import Reader, StoredValues

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A batch compared with the store, row by row.

    Attributes:
        last: whether the row is the last one of its reading in the batch. That one is valid.
        first: the row number of the first row of the same reading.
        stored_values: what is stored.
        same: whether the stored reading equals the row.
    """

    last: Mask
    first: Places
    stored_values: StoredValues
    same: Mask

    @classmethod
    def of(cls, batch: ReadingBatch, reader: Reader) -> Comparison:
        """Compare the batch with what is stored now. That may change before the batch is written; see
        `contract.Writer.write` for whose readings they are then.
        """
        stored_values = reader.stored_values(batch)
        same = (
            stored_values.there
            & (stored_values.values == batch.values)
            & (stored_values.confidences == batch.confidences)
        )
        return cls(*_ends_of_each(batch), stored_values, same)


def where(batch: ReadingBatch, wanted: Mask) -> ReadingBatch:
    """Return the rows of a batch that the mask selects."""
    return batch if wanted.all() else batch.take(np.flatnonzero(wanted))


def _ends_of_each(batch: ReadingBatch) -> tuple[Mask, Places]:
    """Return which rows are the last of their reading, and for each row the number of the first row of its reading."""
    users, devices, times_us = batch.users.codes, batch.devices.codes, batch.times_us
    last: Mask = np.ones(len(batch), np.bool_)
    first: Places = np.arange(len(batch))
    changes = (users[1:] != users[:-1]) | (devices[1:] != devices[:-1])
    if (changes | (times_us[1:] > times_us[:-1])).all():
        # Each run of rows of one device is ascending in time; if each device has one run, no reading comes twice.
        starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
        if len(set(zip(users[starts].tolist(), devices[starts].tolist(), strict=True))) == len(starts):
            return last, first
    pairs: I64 = users.astype(np.int64) * len(batch.devices.texts) + devices
    order = np.lexsort((times_us, pairs))  # stable, so equal readings keep their order
    again = (pairs[order[1:]] == pairs[order[:-1]]) & (times_us[order[1:]] == times_us[order[:-1]])
    last[order[:-1][again]] = False
    first[order] = order[np.maximum.accumulate(np.where(np.concatenate(([True], ~again)), first, 0))]
    return last, first
