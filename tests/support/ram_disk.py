"""Temporary files of the tests in memory, where there is plenty of it.

Most tests make a store and throw it away; what a disk takes to sync each of them adds up to minutes. What tests show of
syncing they show by the calls that are made, or by a disk of their own, so that it does not matter where files lie.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
#: What a run may need at once, and what is left to everything else.
_FILES_BYTES, _OTHERS_BYTES = 4 << 30, 4 << 30


def use_if_there_is_room(memory: Path = _MEMORY) -> None:
    """Make new temporary files in memory, also those of processes that are started from here; unless `TMPDIR` says
    where, or there is too little memory. They go when this process ends.
    """
    if "TMPDIR" in os.environ or not _has_room(memory):
        return
    _remove_what_others_left(memory)
    folder = memory / f"pb-{os.getpid()}"  # short, since sockets lie in it
    with contextlib.suppress(OSError):
        folder.mkdir()
        folder.chmod(0o1777)  # database servers of the tests run as somebody else
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None


def _has_room(memory: Path) -> bool:
    try:
        state = os.statvfs(memory)
        found = re.search(r"^MemAvailable: *(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return False
    available = int(found[1]) << 10 if found else 0
    return state.f_bavail * state.f_frsize >= _FILES_BYTES and available >= _FILES_BYTES + _OTHERS_BYTES


def _remove_what_others_left(memory: Path) -> None:
    """Of runs that were killed."""
    for folder in memory.glob("pb-*"):
        if not Path("/proc", folder.name.removeprefix("pb-")).exists():
            shutil.rmtree(folder, ignore_errors=True)
