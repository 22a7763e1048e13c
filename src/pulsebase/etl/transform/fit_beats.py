"""When the beats of a FIT file were whose messages (`hrv`) give intervals alone."""

from __future__ import annotations

from itertools import accumulate

from pulsebase.model.timerange import SECOND_US

_MS_US = 1_000
#: How far beats may be from the time that the file has come to: sensors hand them over late, and some are lost.
_APART_US = 5 * SECOND_US


class BeatClock:
    """Tells when beats were whose messages give intervals alone.

    Beats go on from those before. The first ones, and those that would be far from the time that the file has come to,
    after a pause for example, end at that time. A message that comes twice in a row has its beats where they were.
    """

    def __init__(self) -> None:
        self._last_us: int | None = None
        self._before: tuple[list[int], int, int] | None = None  # intervals, the file's time, when they began

    def ends_us(self, intervals_ms: list[int], time_s: int) -> list[int]:
        """Return when each interval ended, in microseconds since FIT's epoch. The file has come to `time_s`."""
        told_us, length_us = time_s * SECOND_US, sum(intervals_ms) * _MS_US
        if self._before is not None and len(intervals_ms) > 1 and self._before[:2] == (intervals_ms, time_s):
            begin_us = self._before[2]
        else:
            begin_us = told_us - length_us if self._last_us is None else self._last_us
            if abs(begin_us + length_us - told_us) > _APART_US:
                begin_us = told_us - length_us
        self._before = intervals_ms, time_s, begin_us
        self._last_us = begin_us + length_us
        return [begin_us + each * _MS_US for each in accumulate(intervals_ms)]
