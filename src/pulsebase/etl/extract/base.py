"""The contract of every extractor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

from pulsebase.model.errors import DataSetMissingError
from pulsebase.model.timerange import TimeRange, from_us

PageT = TypeVar("PageT")
#: The time zone that a person set, None if it is not known.
ZoneOf = Callable[[str], ZoneInfo | None]
#: The largest offset of any time zone from UTC.
FURTHEST = timedelta(hours=14)


def known_zone(zone_of: ZoneOf, user_id: str) -> ZoneInfo:
    """Return the person's time zone.

    Raises:
        DataSetMissingError: it is not known, so local times and nights have no instant.
    """
    zone = zone_of(user_id)
    if zone is None:
        raise DataSetMissingError("the source states local times, and the person's time zone is not known; set it")
    return zone


def days_around(interval: TimeRange) -> tuple[date, date]:
    """Return the first and the last civil day that can touch the interval, whatever zone the person lives in."""
    return (from_us(interval.start_us) - FURTHEST).date(), (from_us(interval.end_us) + FURTHEST).date()


class Extractor(ABC, Generic[PageT]):
    """Fetches one data set from one source.

    `source` names it in reports, metrics and origins. `device_id` is the device under which its readings are stored; of
    several devices, the one with the latest readings. `slice_days` is the most UTC days of one request. `scopes` are
    what the person has to allow.
    """

    source: ClassVar[str]
    device_id: ClassVar[str]
    slice_days: ClassVar[int] = 1
    scopes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def extract(self, user_id: str, interval: TimeRange) -> Iterator[PageT]:
        """Yield the person's data in the interval in pages, oldest first.

        The interval touches no more than `slice_days` UTC days. The same request yields the same pages, plus whatever
        the source has received meanwhile. The two halves of an interval together yield the same as the whole.

        Raises:
            RetryLaterError: the source cannot answer now.
            RejectedError: the source finds the question wrong, or its answer cannot be read.
            DataSetMissingError: the person did not allow this data set, or something it takes is not known.
            StopError: a person has to act.
        """
