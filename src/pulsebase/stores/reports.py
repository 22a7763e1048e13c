"""What a store tells of what it holds and of what it has done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import TimeRange

#: The kind of origins by which devices send readings. What they sent was acknowledged, and is never taken back.
PUSH_KIND = "push"


@dataclass(frozen=True, slots=True)
class Origin:
    """What brought readings: a push stream, a sync, an import.

    `number` is what readings are kept under, `received_us` when it was registered, in microseconds UTC.
    """

    number: int
    kind: str
    name: str
    received_us: int


@dataclass(frozen=True, slots=True)
class OriginExtent:
    """What is stored of a person under the origin `number`: at least one reading. Times in microseconds UTC."""

    number: int
    readings: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class StoredValues:
    """What is stored of readings, row by row: whether they are `there`, and what they say. Where nothing is there, the
    other columns mean nothing. Confidences are `NO_CONFIDENCE` for none.
    """

    there: npt.NDArray[np.bool_]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]
    origins: npt.NDArray[np.int32]

    @classmethod
    def nothing(cls, count: int) -> StoredValues:
        """Nothing is stored of so many readings."""
        return cls(
            np.zeros(count, np.bool_), np.zeros(count, np.int16), np.zeros(count, np.int8), np.zeros(count, np.int32)
        )

    def put(
        self, rows: npt.NDArray[np.intp], values: npt.ArrayLike, confidences: npt.ArrayLike, origins: npt.ArrayLike
    ) -> None:
        """Say what is stored of the readings at these places, while this is put together."""
        self.there[rows], self.values[rows] = True, values
        self.confidences[rows], self.origins[rows] = confidences, origins


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check of a store compared, and each difference in words; no difference means sound."""

    readings: int
    rollup_rows: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expiry:
    """The horizon, before which raw readings have expired, in microseconds UTC, and how many went with this call."""

    horizon_us: int
    readings: int


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What a store took on the disk before it was scrubbed, and what it takes since."""

    before_bytes: int
    after_bytes: int


def origin_of_nobody(number: int) -> str:
    """What an origin is called once the person it was named after was removed."""
    return f"erased {number}"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A finished copy: its folder, the database file in it, and the bytes written."""

    folder: str
    database: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CommitNote:
    """What commits changed of a person's readings, noted with them.

    Attributes:
        number: by which it is dropped; of the same person, later commits have higher ones.
        user_id: the person; None for everybody.
        metric: the metric; None for all of them.
        range: half-open; it holds the times of everything that changed.
        readings: how many were written, a reading that came again included; 0 if readings only went, or count anew.
    """

    number: int
    user_id: str | None
    metric: str | None
    range: TimeRange
    readings: int
