"""Retention: raw readings expire by UTC day, a set number of days after they were taken."""

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
    """Holds the horizon before which readings expire, and a thread that moves it. 0 days keep readings for ever."""

    def __init__(self, store: Store, days: int, now_us: Callable[[], int]) -> None:
        self._store, self._days, self._now_us = store, days, now_us
        self._reached_us = store.horizon_us()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-expire", daemon=True)
        if days:
            self._thread.start()

    def horizon_us(self) -> int:
        """Return the time before which new readings are refused, 0 if there is none. Older stored readings may not have
        been removed yet.
        """
        due_us = (self._now_us() // DAY_US - self._days) * DAY_US if self._days else 0
        return max(due_us, self._reached_us)

    def apply(self, *, dry_run: bool = False) -> Expiry:
        """Remove all readings before the horizon, or only count them."""
        found = self._store.expire(self.horizon_us(), dry_run=dry_run)
        if not dry_run:
            self._reached_us = found.horizon_us
            telemetry.READINGS_EXPIRED.inc(found.readings)
        return found

    def close(self) -> None:
        """Stop the thread after its current step."""
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
