"""Which readings of a batch would change what is stored: they alone need to be written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.rollups import I64, Mask
from pulsebase.stores.contract import Reader, Standing

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A batch beside what is stored, row by row: whether the row is the last one of its reading in the batch, which is
    the one that holds; the place of the first one; what is stored, and whether that is just so.
    """

    last: Mask
    first: Places
    standing: Standing
    same: Mask

    @classmethod
    def of(cls, batch: ReadingBatch, reader: Reader) -> Comparison:
        """The batch beside what is stored now. It may be another thing once the batch is written: whose the readings
        are then, `contract.Writer.write` says.
        """
        standing = reader.standing(batch)
        same = standing.there & (standing.values == batch.values) & (standing.confidences == batch.confidences)
        return cls(*_ends_of_each(batch), standing, same)


def where(batch: ReadingBatch, wanted: Mask) -> ReadingBatch:
    """The rows of a batch that the mask keeps."""
    return batch if wanted.all() else batch.take(np.flatnonzero(wanted))


def _ends_of_each(batch: ReadingBatch) -> tuple[Mask, Places]:
    """Which rows are the last ones of their readings, and the place of each one's first row."""
    pairs: I64 = batch.users.codes.astype(np.int64) * len(batch.devices.texts) + batch.devices.codes
    times_us = batch.times_us
    last: Mask = np.ones(len(batch), np.bool_)
    first: Places = np.arange(len(batch))
    stays = pairs[1:] == pairs[:-1]
    if (times_us[1:] > times_us[:-1])[stays].all():
        # Each stretch of a device is in order of time; if each device has but one, no reading comes twice.
        stretches = pairs[np.flatnonzero(np.concatenate(([True], ~stays)))]
        if len(np.unique(stretches)) == len(stretches):
            return last, first
    order = np.lexsort((times_us, pairs))  # stable: the place decides among equals
    again = (pairs[order[1:]] == pairs[order[:-1]]) & (times_us[order[1:]] == times_us[order[:-1]])
    last[order[:-1][again]] = False
    starts = np.concatenate(([True], ~again))
    first[order] = order[np.maximum.accumulate(np.where(starts, first, 0))]
    return last, first
