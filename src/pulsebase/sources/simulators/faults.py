"""Faults of a simulated cloud. They are chosen by options or over the control API, and reproducible in every run."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import format_us, parse_reading_time

#: Every fault and its effect.
FAULTS: Mapping[str, str] = {
    "server_error": "requests for data are answered 500 or 503",
    "dropped": "requests for data are cut off in the middle of the answer",
    "garbled": "answers are no JSON",
    "forbidden": "requests for data are answered 403",
    "unauthorized": "requests for data are answered 401 although the token is good",
    "refresh_refused": "refresh tokens are refused",
    "token_error": "requests for tokens are answered 503",
    "no_intraday": "the application may not see second-level readings",
    "late_sync": "hours of readings appear 1 to 20 hours late",
    "missing_resting": "days have no resting heart rate",
    "missing_minutes": "days have no minutes in zones",
    "missing_calories": "days have no calories in zones",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """How often a fault happens: to a share of all requests it applies to, or to the next few, within an interval of
    the simulator's clock. Bounds are in microseconds UTC.
    """

    share: float = 0.0
    next: int = 0
    from_us: int | None = None
    until_us: int | None = None

    def within(self, now_us: int) -> bool:
        """Return whether the fault is active at this time."""
        return (self.from_us is None or self.from_us <= now_us) and (self.until_us is None or now_us < self.until_us)


class Faults:
    """The faults that are switched on."""

    def __init__(self, seed: int) -> None:
        self._seed, self._lock = seed, threading.Lock()
        self._on: dict[str, Fault] = {}

    def set(self, name: str, fault: Fault | None) -> None:
        """Turn a fault on, or off.

        Raises:
            RejectedError: no fault has that name, or its share is not valid.
        """
        if name not in FAULTS:
            raise RejectedError.of("fault", f"must be one of {', '.join(FAULTS)}")
        if fault is not None and not (0 <= fault.share <= 1 and fault.next >= 0):
            raise RejectedError.of("fault", "the share must be 0 to 1, and the next ones not fewer than 0")
        with self._lock:
            self._on.pop(name, None)
            if fault is not None:
                self._on[name] = fault

    def any_on(self) -> bool:
        """Return whether any fault is switched on."""
        with self._lock:
            return bool(self._on)

    def is_on(self, name: str) -> bool:
        """Return whether the fault is switched on."""
        with self._lock:
            return name in self._on

    def hits(self, name: str, now_us: int, *about: object) -> bool:
        """Return whether the fault hits `about`. The answer is the same for the same seed and arguments."""
        with self._lock:
            fault = self._on.get(name)
            if fault is None or not fault.within(now_us):
                return False
            if fault.next:
                left = replace(fault, next=fault.next - 1)
                self._on.pop(name)
                if left.next or left.share:
                    self._on[name] = left
                return True
        return self.chance(name, *about) < fault.share

    def chance(self, *about: object) -> float:
        """Return a number from 0 to 1, the same for the same seed and arguments."""
        digest = hashlib.sha256(repr((self._seed, *about)).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def as_json(self) -> dict[str, dict[str, object]]:
        """Return the faults that are switched on."""
        with self._lock:
            return {
                name: {
                    "share": fault.share,
                    "next": fault.next,
                    "from": None if fault.from_us is None else format_us(fault.from_us),
                    "until": None if fault.until_us is None else format_us(fault.until_us),
                }
                for name, fault in self._on.items()
            }


def parse_fault(text: str) -> tuple[str, Fault]:
    """Parse a fault from an option: `NAME`, `NAME=SHARE` or `NAME=SHARE@FROM/UNTIL`, where each time may be left out.

    Raises:
        RejectedError: the text is not a fault.
    """
    name, _, rest = text.partition("=")
    share, _, span = rest.partition("@")
    start, _, end = span.partition("/")
    try:
        bounds = [parse_reading_time(bound) if bound else None for bound in (start, end)]
        return name, Fault(share=float(share or 1), from_us=bounds[0], until_us=bounds[1])
    except ValueError as error:
        raise RejectedError.of("--fault", f"must be NAME=SHARE@FROM/UNTIL; {error}") from None
