"""The continuous aggregates that people's own SQL reads: refreshed after merges, beside the server's own policies."""

from __future__ import annotations

import logging
import time

from psycopg import errors

from pulsebase.model.timerange import TimeRange
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import At

logger = logging.getLogger(__name__)

AGGREGATES = ("activities_heart_intraday_1m", "activities_heart_intraday_1h", "activities_heart_intraday_1d")
_ATTEMPTS = 4
_PAUSE_S = 0.5


def refresh(connection: Connection, interval: TimeRange) -> bool:
    """Compute the buckets inside the interval again that have changed. An aggregate that the server refreshes itself at
    this moment is left to it, after a few attempts; says whether there was none.
    """
    is_done = True
    for name in AGGREGATES:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                connection.execute(
                    f"CALL refresh_continuous_aggregate('public.{name}', %s, %s)",
                    [At(interval.start_us), At(interval.end_us)],
                )
                break
            except errors.LockNotAvailable:
                if attempt == _ATTEMPTS:
                    is_done = False
                    logger.info("%s is being refreshed by the server", name)
                time.sleep(_PAUSE_S * attempt)
    return is_done
