"""Which rows of a check are refused, and why. Kept as columns: of a million rows ten thousand may be refused, of which
only a few are reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pulsebase.model.errors import FieldError

_Mask = npt.NDArray[np.bool_]
_Places = npt.NDArray[np.int64]


class Refusals:
    """The refused rows. Each row is refused once, for the fault that was found first."""

    def __init__(self, rows: int, positions: int | _Places = 0) -> None:
        """`positions` are the rows' positions in the request; a single number is the position of the first row."""
        self._positions = positions
        self._refused: _Mask = np.zeros(rows, np.bool_)
        self._faults: list[tuple[str, str]] = []  # field and reason
        self._places: list[_Places] = []  # the positions of the rows with each of them

    def __len__(self) -> int:
        return sum(map(len, self._places))

    def add(self, faulty: _Mask, name: str, reason: str) -> None:
        """Refuse the rows of the mask that are not refused yet."""
        self._add(np.flatnonzero(faulty & ~self._refused), name, reason)

    def add_rows(self, rows: npt.NDArray[np.intp], name: str, reason: str) -> None:
        """Refuse rows by number, none of which is refused yet."""
        self._add(rows, name, reason)

    def add_unread(self, unread: Sequence[tuple[int, str]]) -> None:
        """Refuse rows whose times cannot be read, each with its reason."""
        for row, reason in unread:
            self._add(np.array([row]), "timestamp", reason)

    def left(self) -> npt.NDArray[np.intp]:
        """Return the row numbers that are not refused."""
        return np.flatnonzero(~self._refused)

    def left_positions(self) -> _Places:
        """Return the positions of the rows that are not refused."""
        at, left = self._positions, self.left()
        return left + at if isinstance(at, int) else at[left]

    def by_field(self) -> Counter[str]:
        """How many rows are refused for each field."""
        counts: Counter[str] = Counter()
        for (name, _), places in zip(self._faults, self._places, strict=True):
            counts[name] += len(places)
        return counts

    def errors(self, most: int | None = None) -> list[FieldError]:
        """Return one error for each refused row, ordered by position; only the first `most`, if given."""
        places, faults = self._ordered()
        return self._named(places[:most], faults[:most])

    def errors_by_part(self, lengths: Sequence[int]) -> list[list[FieldError]]:
        """Split the errors among parts of these lengths, which were checked in one pass. Positions then count from the
        start of each part.
        """
        if not self._places:
            return [[] for _ in lengths]
        places, faults = self._ordered()
        starts = np.concatenate([[0], np.cumsum(lengths)])
        cuts = np.searchsorted(places, starts).tolist()
        return [
            self._named(places[first:last] - start, faults[first:last])
            for (first, last), start in zip(pairwise(cuts), starts.tolist(), strict=False)
        ]

    def _add(self, rows: npt.NDArray[np.intp], name: str, reason: str) -> None:
        at = self._positions
        self._faults.append((name, reason))
        self._places.append(rows + at if isinstance(at, int) else at[rows])
        self._refused[rows] = True

    def _ordered(self) -> tuple[_Places, _Places]:
        """Return the positions in ascending order, and the fault number of each."""
        if not self._places:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        places = np.concatenate(self._places)
        faults = np.repeat(np.arange(len(self._places)), [len(part) for part in self._places])
        order = np.argsort(places, kind="stable")
        return places[order], faults[order]

    def _named(self, places: _Places, faults: _Places) -> list[FieldError]:
        named = []
        for place, fault in zip(places.tolist(), faults.tolist(), strict=True):
            name, reason = self._faults[fault]
            named.append(FieldError(name, reason, place))
        return named
