"""Rows kept as columns: what can be done with every shape of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

#: Places of rows, a mask, or a slice.
Selection = npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice
#: Numbers up to so many times the number of rows are counted off rather than sorted.
_SPREAD = 4


class Column(Protocol):
    """A column that is no NumPy array, such as one of ids."""

    def __len__(self) -> int: ...

    def take(self, rows: Any, /) -> Self:
        """The rows at these places, or where the mask is true."""

    @classmethod
    def joined(cls, parts: Any, /) -> Self:
        """All rows, part after part."""


class Columns:
    """The base of dataclasses whose fields are columns of equal length, one row at each place.

    A field is a NumPy array, a `Column`, or `Columns` that belong together. The first one is always such a column; any
    other may hold something that is the same for all rows instead.
    """

    __slots__ = ()
    #: The names of the fields, which dataclasses keep here.
    __match_args__: ClassVar[tuple[str, ...]]

    def __len__(self) -> int:
        return len(getattr(self, self.__match_args__[0]))

    def take(self, rows: Selection) -> Self:
        """The rows at these places, or where the mask is true."""
        return type(self)(*[_taken(getattr(self, name), rows) for name in self.__match_args__])

    @classmethod
    def empty(cls) -> Self:
        """No rows. Shapes that may be joined of no parts say how."""
        raise TypeError(f"{cls.__name__} cannot tell its columns without a part")

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All rows, part after part. A single part is returned as it is.

        Raises:
            ValueError: what has to be the same for all rows differs.
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls(*[_joined([getattr(part, name) for part in parts]) for name in cls.__match_args__])


def distinct_numbers(numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the different numbers in order, and the place of each row's number among them. Numbers start at -1.

    The same as `np.unique`, without sorting as long as the highest number is not much larger than there are rows.
    """
    places_seen = numbers.astype(np.intp) + 1  # of any width and sign, so that adding one cannot overflow
    highest = int(places_seen.max(initial=0)) - 1
    if highest > _SPREAD * len(numbers):
        distinct, rows = np.unique(numbers, return_inverse=True)
        return distinct, rows
    seen = np.zeros(highest + 2, np.bool_)
    seen[places_seen] = True
    found = np.flatnonzero(seen)
    places = np.zeros(len(seen), np.intp)
    places[found] = np.arange(len(found))
    return (found - 1).astype(numbers.dtype), places[places_seen]


def _taken(column: Any, rows: Selection) -> Any:
    if isinstance(column, np.ndarray):
        return column[rows]
    return column.take(rows) if hasattr(column, "take") else column


def _joined(columns: Sequence[Any]) -> Any:
    first = columns[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(columns)
    if hasattr(first, "take"):
        return type(first).joined(columns)
    if any(other != first for other in columns):
        raise ValueError("parts that differ in what is the same for all their rows")
    return first
