"""The format of an export: the names of its files, and the fields of its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pulsebase.model.annotations import Annotation
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import format_us
from pulsebase.model.users import DevicePriority, User

Record = User | DevicePriority | DailySummary | Annotation

#: The first file of an export. It states the format and version.
MANIFEST = "manifest.json"
FORMAT = "pulsebase-export"
#: Increased when a reader of the previous version would misread the files.
VERSION = 1
#: The folder of the readings of heart rate, or their file's name without the ending.
READINGS = "readings"


def manifest() -> Mapping[str, Any]:
    """Return the content of the first file."""
    return {"format": FORMAT, "version": VERSION}


def readings_name(metric: MetricSpec) -> str:
    """Return the name of the folder, or of the file without the ending, that holds a metric's readings."""
    return READINGS if metric is HEART_RATE else f"{READINGS}-{metric.path}"


def record_name(kind: str) -> str:
    """Return the name of the file with one kind of records."""
    return f"{kind}.ndjson"


def fields_of(record: Record) -> Mapping[str, Any]:
    """Return the fields of a record as they are written: times as texts; dates are left to the JSON encoder."""
    fields = asdict(record)
    if isinstance(record, DevicePriority):
        fields["valid_from"] = format_us(fields.pop("valid_from_us"))
    if isinstance(record, Annotation):
        start_us, end_us = fields.pop("start_us"), fields.pop("end_us")
        fields |= {"start": format_us(start_us), "end": None if end_us is None else format_us(end_us)}
    return fields
