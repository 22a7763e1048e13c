"""What straps tell over Bluetooth Low Energy: the Heart Rate service of the Bluetooth SIG, a measurement
about each second.

A measurement has no time: it is of the moment at which it is received.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Assigned numbers of the Bluetooth SIG: the service 0x180D, and its characteristic 0x2A37.
HEART_RATE_SERVICE = "0000180d-0000-1000-8000-00805f9b34fb"
HEART_RATE_MEASUREMENT = "00002a37-0000-1000-8000-00805f9b34fb"

_WIDE_VALUE = 0x01
_CONTACT_DETECTED = 0x02
_CONTACT_KNOWN = 0x04
_HAS_ENERGY = 0x08
_HAS_INTERVALS = 0x10
_INTERVALS_PER_S = 1024

#: Clocks of straps drift, and measurements come late; beats that are further off than this are timed anew.
_MOST_DRIFT_US = 1_500_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement.

    Attributes:
        heart_rate_bpm: None if the strap has no contact to the skin, or found no beat.
        intervals_ms: from beat to beat, the oldest first; empty without contact.
    """

    heart_rate_bpm: int | None
    intervals_ms: tuple[float, ...] = ()


def measurement_of(data: bytes) -> Measurement:
    """Read a value of the characteristic 0x2A37, see the Heart Rate Service 1.0, section 3.1.

    Raises:
        ValueError: it is shorter than its flags say.
    """
    if len(data) < 2:
        raise ValueError("a measurement has two bytes at least")
    flags = data[0]
    at = 3 if flags & _WIDE_VALUE else 2
    heart_rate_bpm = int.from_bytes(data[1:at], "little")
    intervals_at = at + (2 if flags & _HAS_ENERGY else 0)
    if len(data) < intervals_at:
        raise ValueError("a measurement is shorter than its flags say")
    if (flags & _CONTACT_KNOWN and not flags & _CONTACT_DETECTED) or heart_rate_bpm == 0:
        return Measurement(None)
    raw = data[intervals_at:] if flags & _HAS_INTERVALS else b""
    units = [int.from_bytes(raw[i : i + 2], "little") for i in range(0, len(raw) - 1, 2)]
    return Measurement(heart_rate_bpm, tuple(unit * 1000 / _INTERVALS_PER_S for unit in units))


class ReceivedBeats:
    """Times beats: each is its interval after the one before, since measurements come late and in bunches."""

    def __init__(self) -> None:
        self._last_us: int | None = None

    def times_us(self, intervals_ms: Sequence[float], now_us: int) -> list[int]:
        """Return when the beats were that end these intervals, of a measurement that was received now.

        They follow the beats before. After a gap the last one is now.
        """
        lengths_us = [round(interval_ms * 1000) for interval_ms in intervals_ms]
        total_us = sum(lengths_us)
        at_us = self._last_us
        if at_us is None or abs(at_us + total_us - now_us) > _MOST_DRIFT_US:
            at_us = now_us - total_us
        times_us = []
        for length_us in lengths_us:
            at_us += length_us
            times_us.append(at_us)
        self._last_us = at_us
        return times_us

    def restart(self) -> None:
        """Forget the beats before: some were missed."""
        self._last_us = None
