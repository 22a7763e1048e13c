"""Readings that nobody checked yet, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.ingest.known_ids import known_ids
from pulsebase.model.readings import NO_CONFIDENCE, Ids

#: Stands for whatever is no confidence, and is refused as such.
NOT_A_CONFIDENCE = 100


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns of equal length.

    Ids are any texts, quickest as `Ids`. `times_us` are microseconds since 1970, `values` in the metric's unit,
    `confidences` -1 for none. `positions` are the rows' places in the request where rows were already left out; by
    default row i is at place i.
    """

    user_ids: Sequence[str]
    device_ids: Sequence[str]
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]
    positions: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.times_us)

    def take(self, rows: npt.NDArray[np.intp]) -> Candidates:
        """The rows at these places, which keep their positions."""
        users, devices = (ids if isinstance(ids, Ids) else Ids.of(ids) for ids in (self.user_ids, self.device_ids))
        positions = rows.astype(np.int64) if self.positions is None else self.positions[rows]
        columns = self.times_us[rows], self.values[rows], self.confidences[rows]
        return Candidates(users.take(rows), devices.take(rows), *columns, positions)

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """All rows, part after part, at their places in the whole."""
        return cls(
            Ids.joined([part.user_ids for part in parts]),
            Ids.joined([part.device_ids for part in parts]),
            np.concatenate([part.times_us for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.confidences for part in parts]),
            np.arange(sum(map(len, parts))),
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """Columns of equal length as they come from JSON, whose row i is at place `first_position` + i.

    `users` and `devices` are in the codes of `known_ids`, `times` ISO 8601 texts, a line each. That far a request is
    read on its own, while what was decoded is in the processor's cache. The rest is done for all requests that wait
    for the same commit at once: it costs each reading less, and hands the interpreter's lock over less often.
    """

    users: Ids
    devices: Ids
    times: str
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]
    first_position: int = 0

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(  # noqa: PLR0917 a column each
        cls,
        user_ids: Sequence[str | int],
        device_ids: Sequence[str | int],
        times: Sequence[str],
        values: Sequence[float],
        confidences: Sequence[float | None],
        first_position: int = 0,
    ) -> Decoded:
        """Lists of equal length, None for no confidence.

        Raises:
            ValueError: a time or an id is so far from being one that the rows have to be looked at one by one.
        """
        lines = "\n".join(times)
        if lines.count("\n") != max(len(times) - 1, 0):
            raise ValueError("a time holds a line break")
        return cls(
            known_ids.codes(user_ids),
            known_ids.codes(device_ids),
            lines,
            np.array(values, np.float64),
            confidence_codes(confidences),
            first_position,
        )

    def goes_with(self, other: Decoded) -> bool:
        """Whether both can be `joined`: both are whole requests, with ids in the codes of one table."""
        whole = self.first_position == other.first_position == 0
        return whole and self.users.texts is other.users.texts and self.devices.texts is other.devices.texts

    @classmethod
    def joined(cls, parts: Sequence[Decoded]) -> Decoded:
        """All rows, part after part, at their places in the whole."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            Ids(np.concatenate([part.users.codes for part in parts]), parts[0].users.texts),
            Ids(np.concatenate([part.devices.codes for part in parts]), parts[0].devices.texts),
            "\n".join([part.times for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.confidences for part in parts]),
        )


def confidence_codes(stated: Sequence[float | None]) -> npt.NDArray[np.int8]:
    """Confidences as columns keep them, `NOT_A_CONFIDENCE` for what is none."""
    return np.fromiter(map(_CONFIDENCE_CODES.__getitem__, stated), np.int8, len(stated))


class _ConfidenceCodes(dict[float | None, int]):
    def __missing__(self, stated: float | None) -> int:
        return NOT_A_CONFIDENCE


_CONFIDENCE_CODES = _ConfidenceCodes({None: NO_CONFIDENCE, 0: 0, 1: 1, 2: 2, 3: 3})
