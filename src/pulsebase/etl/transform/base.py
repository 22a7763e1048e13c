"""The contract of every transformer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

PageT = TypeVar("PageT")
RowsT = TypeVar("RowsT")


class Transformer(ABC, Generic[PageT, RowsT]):
    """Turns a page of one data set into rows. It is pure: no clock, no file, no network, no memory of other pages."""

    @abstractmethod
    def transform(self, page: PageT) -> RowsT:
        """Return the page's rows. Their number is what the run counts as read."""
