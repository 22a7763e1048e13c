"""Readings that nobody checked yet, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.ingest.known_ids import known_ids
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE, Ids

#: Stands for the metric of rows whose metric nobody knows; none of them can be stored.
NO_METRIC = ""
#: Stands for any value that is not a valid confidence; the check refuses it.
NOT_A_CONFIDENCE = 100


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns of equal length, of readings of one metric.

    Ids may be any sequence of texts; `Ids` is the fastest. `times_us` are microseconds since 1970, `values` are in the
    metric's unit, a confidence of -1 means none. `positions` are the rows' places in the request, needed once rows were
    left out; by default row i is at place i. `twins` says that readings may be stored already under another name of
    their device, see `etl.twins`.
    """

    user_ids: Sequence[str]
    device_ids: Sequence[str]
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]
    positions: npt.NDArray[np.int64] | None = None
    metric: str = HEART_RATE.name
    twins: bool = False

    def __len__(self) -> int:
        return len(self.times_us)

    def take(self, rows: npt.NDArray[np.intp]) -> Candidates:
        """The rows at these places, which keep their positions."""
        users, devices = (ids if isinstance(ids, Ids) else Ids.of(ids) for ids in (self.user_ids, self.device_ids))
        positions = rows.astype(np.int64) if self.positions is None else self.positions[rows]
        columns = self.times_us[rows], self.values[rows], self.confidences[rows]
        return Candidates(users.take(rows), devices.take(rows), *columns, positions, self.metric, self.twins)

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Return all rows, part after part, numbered through from 0. All parts are of one metric."""
        (metric,) = {part.metric for part in parts}
        return cls(
            Ids.joined([part.user_ids for part in parts]),
            Ids.joined([part.device_ids for part in parts]),
            np.concatenate([part.times_us for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.confidences for part in parts]),
            np.arange(sum(map(len, parts))),
            metric,
            any(part.twins for part in parts),
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """Columns of equal length, decoded but not yet parsed in full. Row i is at place `first_position` + i.

    `users` and `devices` are coded by `known_ids`; `times` are ISO 8601 texts, one a line. Each request gets this far
    on its own, while its decoded data is still in the processor's cache. The remaining work is done at once for all
    requests that wait for the same commit: that costs less per reading and switches threads less often.
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
        """Build from lists of equal length, with None for no confidence.

        Raises:
            ValueError: a value cannot stand in a column (a time holds a line break, say), so that the rows have to be
                parsed one by one.
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
        """Return all rows, part after part, numbered through from 0."""
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
    """Return confidences as stored codes, `NOT_A_CONFIDENCE` for anything that is not valid."""
    return np.fromiter(map(_CONFIDENCE_CODES.__getitem__, stated), np.int8, len(stated))


class _ConfidenceCodes(dict[float | None, int]):
    def __missing__(self, stated: float | None) -> int:
        return NOT_A_CONFIDENCE


_CONFIDENCE_CODES = _ConfidenceCodes({None: NO_CONFIDENCE, 0: 0, 1: 1, 2: 2, 3: 3})
