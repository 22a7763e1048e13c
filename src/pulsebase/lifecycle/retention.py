"""Letting raw readings expire, on a UTC day, a number of days after they were taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pulsebase import telemetry
from pulsebase.model.errors import PulsebaseError
from pulsebase.model.timerange import DAY_US
from pulsebase.stores.contract import Expiry, Store

logger = logging.getLogger(__name__)

_ROUND_S = 600.0


class Retention:
    """Where the horizon is, and a thread that moves it while readings are kept for so many days; 0 is for ever."""

    def __init__(self, store: Store, days: int, now_us: Callable[[], int]) -> None:
        self._store, self._days, self._now_us = store, days, now_us
        self._reached_us = store.horizon_us()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-expire", daemon=True)
        if days:
            self._thread.start()

    def horizon_us(self) -> int:
        """Readings before it are not taken; 0 where there is none. What is stored of them may not have gone yet."""
        due_us = (self._now_us() // DAY_US - self._days) * DAY_US if self._days else 0
        return max(due_us, self._reached_us)

    def apply(self, *, dry_run: bool = False) -> Expiry:
        """Let everything before the horizon expire, or only count it."""
        found = self._store.expire(self.horizon_us(), dry_run=dry_run)
        if not dry_run:
            self._reached_us = found.horizon_us
            telemetry.READINGS_EXPIRED.inc(found.readings)
        return found

    def close(self) -> None:
        """End the thread, once it is done with what it is at."""
        self._stopping.set()
        if self._days:
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                if self.horizon_us() > self._reached_us:
                    self.apply()
            except Exception as error:
                if not isinstance(error, PulsebaseError):
                    logger.exception("readings did not expire; it will be tried again")
                else:
                    logger.warning("readings did not expire; it will be tried again: %s", error)
            if self._stopping.wait(_ROUND_S):
                return
