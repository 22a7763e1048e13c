"""What an export consists of: the names in it, and records as the fields they have there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import format_us
from pulsebase.model.users import DevicePriority, User

Record = User | DevicePriority | DailySummary

#: The file that comes first, and says what the others are.
MANIFEST = "manifest.json"
FORMAT = "pulsebase-export"
#: Raised when a reader of the version before would go wrong.
VERSION = 1
#: Where the readings are, a folder or the beginning of a file's name.
READINGS = "readings"


def manifest() -> Mapping[str, Any]:
    """What the first file holds."""
    return {"format": FORMAT, "version": VERSION}


def record_name(kind: str) -> str:
    """The file of one kind of records."""
    return f"{kind}.ndjson"


def fields_of(record: Record) -> Mapping[str, Any]:
    """A record as it is written: times as texts, dates to be written by whoever encodes it."""
    fields = asdict(record)
    if isinstance(record, DevicePriority):
        fields["valid_from"] = format_us(fields.pop("valid_from_us"))
    return fields
