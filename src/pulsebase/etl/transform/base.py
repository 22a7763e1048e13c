"""The contract of every transformer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

PageT = TypeVar("PageT")
RowsT = TypeVar("RowsT")


class Transformer(ABC, Generic[PageT, RowsT]):
    """Turns a page of one data set into our rows. Pure: no clock, no file, no network, no memory of other pages."""

    @abstractmethod
    def transform(self, page: PageT) -> RowsT:
        """The page's rows; their number is what the run counts as read."""
