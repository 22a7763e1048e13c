"""What the engine's errors mean."""

from __future__ import annotations

from pathlib import Path

import duckdb

from pulsebase.model.errors import StoreCorruptError

#: Words of engine errors that mean the file cannot be accessed, rather than that it is damaged.
INACCESSIBLE = ("lock", "Permission", "Cannot open file", "Is a directory")
#: After these errors the engine refuses everything until it is opened again.
FATAL = (duckdb.FatalException, duckdb.InternalException)
INVALIDATED = "database has been invalidated"
#: Words of engine errors that mean it read something other than was written.
_DAMAGED = (
    "Corrupt database file",
    "does not match stored checksum",
    "Could not read",
    "Failed to deserialize",
    "SerializationException",
)


def tells_of_damage(error: duckdb.Error) -> bool:
    """Whether the engine read something other than was written."""
    return any(words in str(error) for words in _DAMAGED)


def damaged(path: Path, text: str) -> StoreCorruptError:
    """Return the error that says a file is damaged, and what to do."""
    return StoreCorruptError(f"{path} is damaged: {first_line(text)}; restore a backup", path.name)


def first_line(text: str) -> str:
    """Return the first line: what follows it speaks of the engine's inside."""
    return text.splitlines()[0]
