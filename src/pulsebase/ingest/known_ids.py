"""Ids that were checked once and are numbered from then on, so that a reading costs one look-up an id on its whole way
into a store.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.model.identifiers import text_problem
from pulsebase.model.readings import Ids

#: Beyond so many a new table is begun, so that ids that come once do not fill the memory.
MOST_IDS = 1 << 20
NO_ID = -1


class _Codes(dict[str, int]):
    """Code by id. Looking up a text that is not there checks and adds it; one that is no id has the code `NO_ID`."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._adding = threading.Lock()

    def __missing__(self, text: str) -> int:
        if text_problem(text) is not None:
            return NO_ID
        with self._adding:
            code = self.get(text)
            if code is None:
                code = len(self.texts)
                self.texts.append(text)
                self[text] = code
            return code


class KnownIds:
    """A table of ids; any thread may ask it."""

    def __init__(self, most: int = MOST_IDS) -> None:
        self._most = most
        self._codes = _Codes()

    def checked(self, ids: Sequence[str]) -> Ids:
        """The same column in the codes of the table, `NO_ID` for texts that are no ids."""
        codes = self._table()
        if isinstance(ids, Ids):
            return Ids(_looked_up(codes, ids.texts)[ids.codes], codes.texts)
        return Ids(_looked_up(codes, ids), codes.texts)

    def _table(self) -> _Codes:
        if len(self._codes) >= self._most:
            self._codes = _Codes()
        return self._codes


def _looked_up(codes: _Codes, texts: Sequence[str]) -> npt.NDArray[np.int32]:
    return np.fromiter(map(codes.__getitem__, texts), np.int32, len(texts))
