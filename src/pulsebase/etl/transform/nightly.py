"""What sources state by the night: local times without an offset, and values of a whole night or day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import UnreadableAnswerError
from pulsebase.model.nights import morning_us
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.timerange import TimeRange

NightT = TypeVar("NightT")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NightsPage(Generic[NightT]):
    """Nights of a person who lives in `zone`. What lies inside `interval` is wanted."""

    user_id: str
    device_id: str
    zone: ZoneInfo
    interval: TimeRange
    nights: Sequence[NightT]


def by_local_time(page: NightsPage[NightT], samples: Iterable[tuple[str, float]]) -> Candidates:
    """Return the values at local times inside the page's interval. The times are in the order they passed in, which
    tells an hour that the clocks went through twice.

    Raises:
        UnreadableAnswerError: one of the times is none.
    """
    pairs = list(samples)
    texts = [text for text, _ in pairs]
    try:
        if not all(map(_LOCAL.fullmatch, texts)):
            raise ValueError
        wall_us = np.array(texts, "datetime64[us]").astype(np.int64)
    except ValueError:
        raise UnreadableAnswerError.of("minute", "must be yyyy-MM-ddTHH:mm:ss") from None
    zone = page.zone
    times_us = LocalClocks(lambda _: zone).instants(wall_us, Ids.repeated(page.user_id, len(pairs)))
    return values_inside(page.user_id, page.device_id, page.interval, times_us, [value for _, value in pairs])


def by_night(page: NightsPage[NightT], values: Iterable[tuple[date, float | None]]) -> Candidates:
    """Return the values of whole nights or days, as of when the night into that day ends (`morning_us`), those inside
    the page's interval. Days without a value have none.
    """
    pairs = [(morning_us(day, page.zone), value) for day, value in values if value is not None]
    times_us = np.array([at_us for at_us, _ in pairs], np.int64)
    return values_inside(page.user_id, page.device_id, page.interval, times_us, [value for _, value in pairs])


def values_inside(
    user_id: str, device_id: str, interval: TimeRange, times_us: npt.NDArray[np.int64], values: Sequence[float]
) -> Candidates:
    """Return the values of a device whose times lie inside the interval."""
    inside = (times_us >= interval.start_us) & (times_us < interval.end_us)
    count = int(inside.sum())
    return Candidates(
        Ids.repeated(user_id, count),
        Ids.repeated(device_id, count),
        times_us[inside],
        np.array(values, np.float64)[inside],
        np.full(count, NO_CONFIDENCE, np.int8),
    )
