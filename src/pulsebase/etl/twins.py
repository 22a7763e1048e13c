"""Find readings that are stored already under another name of their device.

Since 2024 a Google Takeout has the same readings twice. Fitbit's files name no device and state times to the second;
Google's name the device of each line, may have fractions of seconds, and state no confidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import NO_CONFIDENCE, Ids, ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, SECOND_US, TimeRange
from pulsebase.stores.contract import Reader, SeriesQuery

#: What is stored is looked at for so long at a time, so that it takes bounded memory.
_LOOKED_AT_US = 4 * DAY_US
#: Two devices are one if so many of their readings agree where both have any. Those of two devices seldom do.
_LEAST_SHARE = 0.5

_Ints = npt.NDArray[np.int64]
_Places = npt.NDArray[np.intp]


def as_stored(batch: ReadingBatch, reader: Reader) -> ReadingBatch:
    """Return the batch with each reading that is stored under another name as it is stored: of that device, at that
    time. It keeps its confidence and, without one, takes the stored one.

    A reading is the same if its second and its value are, and if most readings of the two devices agree.
    """
    changed = _Changed.of(batch)
    for rows in _pieces(batch):
        user_id = batch.users.texts[batch.users.codes[rows[0]]]
        times_us = batch.times_us[rows]
        range_ = TimeRange(_whole(int(times_us.min())), _whole(int(times_us.max())) + SECOND_US)
        query = SeriesQuery(user_id, range_, Resolution.RAW, include_all=True, metric=batch.metric)
        stored = reader.series(query)
        if not stored.num_rows:
            continue
        known = _Known(
            Ids.of(stored["device_id"].to_pylist()),
            np.asarray(stored["time_us"].to_numpy(), np.int64),
            np.asarray(stored["value"].to_numpy(), np.int16),
            np.asarray(stored["confidence"].fill_null(NO_CONFIDENCE).to_numpy(), np.int8),
        )
        for device in np.unique(batch.devices.codes[rows]):
            changed.take(batch, rows[batch.devices.codes[rows] == device], known)
    return changed.batch(batch)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of one person."""

    devices: Ids
    times_us: _Ints
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]

    def of_device(self, code: int) -> _Places:
        return np.flatnonzero(self.devices.codes == code)


@dataclass(slots=True)
class _Changed:
    """The columns of a batch that change."""

    devices: list[str]
    codes: npt.NDArray[np.int32]
    times_us: _Ints
    confidences: npt.NDArray[np.int8]

    @classmethod
    def of(cls, batch: ReadingBatch) -> _Changed:
        return cls(
            list(batch.devices.texts), batch.devices.codes.copy(), batch.times_us.copy(), batch.confidences.copy()
        )

    def take(self, batch: ReadingBatch, rows: _Places, known: _Known) -> None:
        """Give these rows, which are of one device, the name and the times of the stored device that agrees best."""
        ours = _keys(batch.times_us[rows], batch.values[rows])
        best: tuple[_Places, _Places] | None = None
        for code in range(len(known.devices.texts)):
            theirs = known.of_device(code)
            found = _agreeing(ours, _keys(known.times_us[theirs], known.values[theirs]))
            if found is not None and (best is None or len(found[0]) > len(best[0])):
                best = found[0], theirs[found[1]]
        if best is None:
            return
        at, stored = rows[best[0]], best[1]
        name = known.devices.texts[known.devices.codes[stored[0]]]
        if name not in self.devices:
            self.devices.append(name)
        self.codes[at], self.times_us[at] = self.devices.index(name), known.times_us[stored]
        unsure = self.confidences[at] == NO_CONFIDENCE
        self.confidences[at[unsure]] = known.confidences[stored[unsure]]

    def batch(self, batch: ReadingBatch) -> ReadingBatch:
        return replace(
            batch, devices=Ids(self.codes, self.devices), times_us=self.times_us, confidences=self.confidences
        )


def _pieces(batch: ReadingBatch) -> Iterator[_Places]:
    """Yield the rows of each person, so many days at a time."""
    for user in np.unique(batch.users.codes):
        rows = np.flatnonzero(batch.users.codes == user)
        pieces = batch.times_us[rows] // _LOOKED_AT_US
        for piece in np.unique(pieces):
            yield rows[pieces == piece]


def _whole(at_us: int) -> int:
    return at_us - at_us % SECOND_US


def _keys(times_us: _Ints, values: npt.NDArray[np.int16]) -> _Ints:
    """Return numbers that are equal if second and value are, in the order of time."""
    keys: _Ints = (times_us // SECOND_US << 16) | values.astype(np.int64)
    return keys


def _agreeing(ours: _Ints, theirs: _Ints) -> tuple[_Places, _Places] | None:
    """Return the places of equal keys in both, None if so few are equal that the two are different series."""
    order = np.argsort(theirs, kind="stable")
    sorted_ = theirs[order]
    at = np.minimum(np.searchsorted(sorted_, ours), len(sorted_) - 1)
    equal = np.flatnonzero(sorted_[at] == ours)
    first, last = max(ours.min(), sorted_[0]) >> 16, min(ours.max(), sorted_[-1]) >> 16
    both = [int(np.count_nonzero((keys >> 16 >= first) & (keys >> 16 <= last))) for keys in (ours, theirs)]
    if not len(equal) or len(equal) < _LEAST_SHARE * min(both):
        return None
    return equal, order[at[equal]]
