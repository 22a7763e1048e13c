"""A small disk that a test may fill."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import need_root


class SmallDisk:
    """A mounted file system, and one file on it that takes the room away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, *, left_bytes: int = 0) -> None:
        """Leave no more room than this, whatever others write or remove meanwhile."""
        with self._filler.open("ab", buffering=0) as file:
            while (room_bytes := self._room_bytes() - left_bytes) > 0:
                with contextlib.suppress(OSError):  # somebody was quicker
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), room_bytes)

    def _room_bytes(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def make_room(self) -> None:
        self._filler.unlink()


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[SmallDisk]:
    """A disk in memory at this folder, with these mount options."""
    need_root("mount a disk of its own")
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
