"""Memory that the server and a decoder share: columns go through it with a copy on each side, and no system call."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsebase.decoding.channel import ChannelError

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
#: Columns begin at multiples of this, as processors like them to.
_ALIGNMENT_BYTES = 64


class Arena:
    """A piece of shared memory with a descriptor, which the other side gets.

    Neither side can change its size: reading what another process has cut off would end this one.
    """

    def __init__(self, file: int) -> None:
        self.file = file
        self._memory = mmap.mmap(file, os.fstat(file).st_size)

    @classmethod
    def new(cls, size: int) -> Arena:
        """Memory of this many bytes."""
        file = os.memfd_create("pulsebase-decoder", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(file, size)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            return cls(file)
        except OSError:
            os.close(file)
            raise

    def put(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        """Write columns, one behind the other.

        Raises:
            ValueError: there is no room for them.
        """
        for column, place in zip(columns, _places([column.nbytes for column in columns]), strict=True):
            room = np.frombuffer(self._memory, column.dtype, len(column), place)
            room[:] = column

    def take(self, kinds: Sequence[npt.DTypeLike], rows: int) -> list[npt.NDArray[Any]]:
        """Copies of columns of these kinds: what the other side does to its own later changes nothing.

        Raises:
            ChannelError: there is no room for so many rows.
        """
        sizes = [np.dtype(kind).itemsize * rows for kind in kinds]
        places = _places(sizes)
        if places[-1] + sizes[-1] > len(self._memory):
            raise ChannelError("a block is too large")
        return [
            np.frombuffer(self._memory, kind, rows, place).copy() for kind, place in zip(kinds, places, strict=True)
        ]

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()
        os.close(self.file)


def _places(sizes: Sequence[int]) -> list[int]:
    places, end = [], 0
    for size in sizes:
        places.append(end)
        end += -(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    return places
