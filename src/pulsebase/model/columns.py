"""Rows kept as columns: what can be done with every shape of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

#: Places of rows, a mask, or a slice.
Selection = npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice


class Columns:
    """The base of dataclasses all of whose fields are columns of equal length: NumPy arrays, one row at each place."""

    __slots__ = ()
    #: The names of the fields, which dataclasses keep here.
    __match_args__: ClassVar[tuple[str, ...]]

    def __len__(self) -> int:
        return len(getattr(self, self.__match_args__[0]))

    def take(self, rows: Selection) -> Self:
        """The rows at these places, or where the mask is true."""
        return type(self)(*[getattr(self, name)[rows] for name in self.__match_args__])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All rows, part after part; there must be a part."""
        return cls(*[np.concatenate([getattr(part, name) for part in parts]) for name in cls.__match_args__])
