"""A table of ids that were checked once and are numbers from then on, so that a reading costs one look-up per id on
its whole way into a store.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.model.identifiers import text_problem
from pulsebase.model.readings import Ids

NO_ID = -1
#: Beyond this size a new table is begun, so that ids seen only once do not fill the memory.
_MOST_BYTES = 64 << 20
#: What an entry takes besides its characters: the text and number objects, and their places in the table.
_ENTRY_BYTES = 200


class KnownIds:
    """A table of the ids of people and devices; any thread may ask it."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._table = _Table()

    def codes(self, ids: Sequence[str | int]) -> Ids:
        """Return the column coded by the table, `NO_ID` for anything that is not a valid id. Integers count as their
        decimal texts.
        """
        if self._table.size_bytes >= self._most_bytes:
            self._table = _Table()
        table = self._table
        if isinstance(ids, Ids):
            if ids.texts is table.texts:
                return ids
            return Ids(_looked_up(table, ids.texts).take(ids.codes), table.texts)
        return Ids(_looked_up(table, ids), table.texts)


class _Table(dict[str | int, int]):
    """Code by id. Asking for an id that is not there checks and adds it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.size_bytes = 0
        self._adding = threading.Lock()

    def __missing__(self, asked: str | int) -> int:
        text = str(asked)
        if text_problem(text) is not None:
            return NO_ID
        with self._adding:
            code = self.get(text)
            if code is None:
                code = len(self.texts)
                self.texts.append(text)
                self[text] = code
            self[asked] = code
            self.size_bytes += len(text) + _ENTRY_BYTES
            return code


def _looked_up(table: _Table, ids: Sequence[str | int]) -> npt.NDArray[np.int32]:
    return np.fromiter(map(table.__getitem__, ids), np.int32, len(ids))


#: One table for the whole process, so that readings from every entrance can share a commit.
known_ids = KnownIds()
