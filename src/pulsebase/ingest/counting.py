"""Counting what became of readings, whichever way they came: the only place that does."""

from __future__ import annotations

from collections.abc import Mapping

from pulsebase import telemetry
from pulsebase.ingest.blocks import COLUMNS
from pulsebase.model.metrics import METRICS

_FIELDS = frozenset((*COLUMNS, "value", "metric", *METRICS))


def count_readings(source: str, accepted: int, refused: Mapping[str, int]) -> None:
    """Count readings of a source that are stored now, and refused ones by the field at fault. Fields that nobody knows
    share a label, since anything may stand there.
    """
    if accepted:
        telemetry.INGEST_ACCEPTED.labels(source).inc(accepted)
    for name, readings in refused.items():
        telemetry.INGEST_REJECTED.labels(source, name if name in _FIELDS else "other").inc(readings)
