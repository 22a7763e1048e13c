"""Which readings of a batch would change what is stored: they alone need to be written."""

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
    """A batch beside what is stored, row by row: whether the row is the last one of its reading in the batch, which is
    the one that holds; the place of the first one; what is stored, and whether that is just so.
    """

    last: Mask
    first: Places
    stored_values: StoredValues
    same: Mask

    @classmethod
    def of(cls, batch: ReadingBatch, reader: Reader) -> Comparison:
        """The batch beside what is stored now. It may be another thing once the batch is written: whose the readings
        are then, `contract.Writer.write` says.
        """
        stored_values = reader.stored_values(batch)
        same = (
            stored_values.there
            & (stored_values.values == batch.values)
            & (stored_values.confidences == batch.confidences)
        )
        return cls(*_ends_of_each(batch), stored_values, same)


def where(batch: ReadingBatch, wanted: Mask) -> ReadingBatch:
    """The rows of a batch that the mask keeps."""
    return batch if wanted.all() else batch.take(np.flatnonzero(wanted))


def _ends_of_each(batch: ReadingBatch) -> tuple[Mask, Places]:
    """Which rows are the last ones of their readings, and the place of each one's first row."""
    users, devices, times_us = batch.users.codes, batch.devices.codes, batch.times_us
    last: Mask = np.ones(len(batch), np.bool_)
    first: Places = np.arange(len(batch))
    changes = (users[1:] != users[:-1]) | (devices[1:] != devices[:-1])
    if (changes | (times_us[1:] > times_us[:-1])).all():
        # Each stretch of a device is in order of time; if each device has but one, no reading comes twice.
        starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
        if len(set(zip(users[starts].tolist(), devices[starts].tolist(), strict=True))) == len(starts):
            return last, first
    pairs: I64 = users.astype(np.int64) * len(batch.devices.texts) + devices
    order = np.lexsort((times_us, pairs))  # stable: the place decides among equals
    again = (pairs[order[1:]] == pairs[order[:-1]]) & (times_us[order[1:]] == times_us[order[:-1]])
    last[order[:-1][again]] = False
    first[order] = order[np.maximum.accumulate(np.where(np.concatenate(([True], ~again)), first, 0))]
    return last, first
