"""Readings that nobody checked yet, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.ingest.times import read_times
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns of equal length.

    Ids are any texts, quickest as `Ids`. `times_us` are microseconds since 1970, `values` in the
    metric's unit, `confidences` -1 for none. `positions` are the rows' places in the request where rows were already
    left out; by default row i is at place i.
    """

    user_ids: Sequence[str]
    device_ids: Sequence[str]
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]
    positions: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Columns of equal length as JSON brings them: times are ISO 8601 texts, confidences None for none.

    Lists, and not read any further, because requests that wait for the same commit are put together first: what is
    then done for thousands of rows at once costs each of them less, and hands the interpreter's lock over less often.
    """

    user_ids: list[str]
    device_ids: list[str]
    times: list[str]
    values: list[float]
    confidences: list[int | None]

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def joined(cls, parts: Sequence[Decoded]) -> Decoded:
        """All rows, part after part."""
        if len(parts) == 1:
            return parts[0]
        whole = cls([], [], [], [], [])
        for part in parts:
            whole.user_ids.extend(part.user_ids)
            whole.device_ids.extend(part.device_ids)
            whole.times.extend(part.times)
            whole.values.extend(part.values)
            whole.confidences.extend(part.confidences)
        return whole

    def read(self, first_position: int = 0) -> tuple[Candidates, list[FieldError]]:
        """The rows whose times can be read, and why the others cannot; row i is at place `first_position` + i."""
        times_us, unread = read_times(self.times)
        errors = [FieldError("timestamp", reason, first_position + row) for row, reason in unread]
        positions = np.arange(first_position, first_position + len(self)) if unread or first_position else None
        values = np.array(self.values, np.float64)
        confidences = np.fromiter(map(_CONFIDENCE_CODES.__getitem__, self.confidences), np.int8, len(self))
        if not unread:
            return Candidates(self.user_ids, self.device_ids, times_us, values, confidences, positions), errors
        rows = np.delete(np.arange(len(self)), [row for row, _ in unread])
        users = [self.user_ids[row] for row in rows.tolist()]
        devices = [self.device_ids[row] for row in rows.tolist()]
        positions = rows + first_position
        return Candidates(users, devices, times_us[rows], values[rows], confidences[rows], positions), errors


class _ConfidenceCodes(dict[int | None, int]):
    def __missing__(self, stated: int | None) -> int:
        return NOT_A_CONFIDENCE


#: Stands for whatever is no confidence, and is refused as such.
NOT_A_CONFIDENCE = 100
_CONFIDENCE_CODES = _ConfidenceCodes({None: NO_CONFIDENCE, 0: 0, 1: 1, 2: 2, 3: 3})
