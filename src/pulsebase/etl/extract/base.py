"""What every extractor promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date, timedelta
from typing import ClassVar, Generic, TypeVar

from pulsebase.model.timerange import TimeRange, from_us

PageT = TypeVar("PageT")
#: How far the clocks of any zone are from UTC.
FURTHEST = timedelta(hours=14)


def days_around(interval: TimeRange) -> tuple[date, date]:
    """The first and the last civil day that touch the interval in whatever zone a person lives."""
    return (from_us(interval.start_us) - FURTHEST).date(), (from_us(interval.end_us) + FURTHEST).date()


class Extractor(ABC, Generic[PageT]):
    """Asks one source for one data set.

    `source` names it in reports, metrics and origins. `device_id` is the device that its readings are stored under, or
    the one of them that reaches furthest. `slice_days` is how many UTC days one question takes at most.
    """

    source: ClassVar[str]
    device_id: ClassVar[str]
    slice_days: ClassVar[int] = 1

    @abstractmethod
    def extract(self, user_id: str, interval: TimeRange) -> Iterator[PageT]:
        """What the source has of the person in the interval, in pages, oldest first.

        The interval touches no more than `slice_days` UTC days. The same question gets the same pages, plus whatever
        the source learned meanwhile. An interval cut in two gives, taken together, what the whole gives.

        Raises:
            RetryLaterError: the source cannot answer now.
            RejectedError: the source finds the question wrong, or its answer cannot be read.
            StopError: a person has to act.
        """
