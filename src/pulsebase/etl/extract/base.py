"""What every extractor promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

from pulsebase.model.timerange import TimeRange

PageT = TypeVar("PageT")


class Extractor(ABC, Generic[PageT]):
    """Asks one source for one data set.

    `source` names it in reports, metrics and origins. `device_id` is the device whose last stored time says how far the
    source was read: its readings reach as far as those of any other device in a page.
    """

    source: ClassVar[str]
    device_id: ClassVar[str]

    @abstractmethod
    def extract(self, user_id: str, interval: TimeRange) -> Iterator[PageT]:
        """What the source has of the person in the interval, in pages, oldest first.

        The same question gets the same pages, plus whatever the source learned meanwhile. An interval cut in two gives,
        taken together, what the whole gives.

        Raises:
            UnknownUserError: the source knows nobody of that id.
            RetryLaterError: the source cannot answer now.
        """
