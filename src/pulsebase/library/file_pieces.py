"""Files and folders, piece by piece."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pulsebase.model.errors import StopError

_PIECE_BYTES = 1 << 20


def file_pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, or of an archive of a folder.

    Raises:
        StopError: it cannot be read.
    """
    try:
        if path.is_dir():
            yield from _folder_pieces(path)
            return
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise StopError(f"{error.filename or path}: {error.strerror}") from error


def _folder_pieces(folder: Path) -> Iterator[bytes]:
    with tempfile.TemporaryFile(prefix="pulsebase-import-") as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(folder, folder.resolve().name)
        packed.seek(0)
        while piece := packed.read(_PIECE_BYTES):
            yield piece
