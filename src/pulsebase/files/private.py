"""Files that only their owner may read or change: health data, keys and locks."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pulsebase.model.errors import StopError

#: The umask for this program's files and folders, whatever the starting shell has set.
UMASK = 0o077
_OTHERS = 0o077
#: How many files one log message names.
_NAMED = 3

logger = logging.getLogger(__name__)


def open_own(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file and return its descriptor, after checking that it belongs to the user who runs this: another user
    may have put a file or link of theirs in its place.

    Raises:
        StopError: it is a link, or belongs to another user.
        OSError: it cannot be opened.
    """
    try:
        file = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StopError(f"{path} is a link, which is not followed; remove it") from error
        raise
    if not _is_own(os.fstat(file)):
        os.close(file)
        raise StopError(f"{path} belongs to another user; remove it, or run this as that user")
    return file


def require_own(path: Path) -> None:
    """Raise `StopError` if the file or folder belongs to another user."""
    if not _is_own(path.stat()):
        raise StopError(f"{path} belongs to another user, who could have written anything into it")


def make_private(path: Path) -> list[Path]:
    """Remove all rights of other users to a file, or to a folder and everything below it. Return what was changed.

    Links are not followed, and other users' files are left alone.
    """
    return [each for each in _below(path) if _tightened(each)]


def tell_of_private(changed: Iterable[Path]) -> None:
    """Log which files others could read until now."""
    paths = [str(path) for path in changed]
    if paths:
        more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
        logger.warning("others could read %s%s; now the owner alone can", ", ".join(paths[:_NAMED]), more)


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.exists():
        return
    yield path
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def _tightened(path: Path) -> bool:
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or not found.st_mode & _OTHERS or not _is_own(found):
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    except FileNotFoundError:  # gone meanwhile
        return False
    return True


def _is_own(found: os.stat_result) -> bool:
    """Whether it belongs to the user who runs this, or to root. Root itself may use anybody's files."""
    return os.geteuid() == 0 or found.st_uid in (os.geteuid(), 0)
