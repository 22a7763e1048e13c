"""Blocks of readings that name their metric each, divided into blocks of one metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pulsebase.ingest.blocks import Block, ReadingFields
from pulsebase.ingest.candidates import NO_METRIC, Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import MetricSpec, UnknownMetricError, known_metric, metric_named
from pulsebase.model.readings import Ids

#: For so many unknown names of a block the refusal says what they may mean, which takes a search each.
_EXPLAINED = 100
_UNEXPLAINED = "is no metric"
_NO_ROWS = Candidates([], [], np.empty(0, np.int64), np.empty(0), np.empty(0, np.int8), np.empty(0, np.int64))


def of_metrics(block: Block, fields: ReadingFields, metrics: Sequence[str], first_position: int) -> Iterator[Block]:
    """Yield the block by metric. `metrics` has a text for each of its readings, the first of which is at
    `first_position`; it is not asked for where readings do not name their metric.

    Readings of unknown metrics are refused by the name of the field. Readings that were refused before, and whose
    metric is not known, are of none (`NO_METRIC`).
    """
    if not fields.names_metric:
        metric = block.candidates.metric if fields.metric is None else fields.metric
        yield replace(block, candidates=replace(block.candidates, metric=metric))
        return
    named = metrics if isinstance(metrics, Ids) else Ids.of(metrics)
    known, reasons = _known(named)
    positions = _positions(block.candidates)
    places = named.codes[positions - first_position]
    errors = list(block.errors)
    for code, reason in reasons.items():
        errors += [FieldError("metric", reason, position) for position in positions[places == code].tolist()]
    errors_by_metric: dict[str, list[FieldError]] = {}
    for error in sorted(errors, key=lambda error: error.index or 0):
        code = -1 if error.index is None else int(named.codes[error.index - first_position])
        errors_by_metric.setdefault(known.get(code, NO_METRIC), []).append(error)
    codes_of: dict[str, list[int]] = {}
    for code in np.unique(places).tolist():
        if code in known:
            codes_of.setdefault(known[code], []).append(code)
    passed_over = block.passed_over
    for metric in dict.fromkeys([*codes_of, *errors_by_metric]):
        rows = _NO_ROWS
        if metric in codes_of:
            rows = block.candidates.take(np.flatnonzero(np.isin(places, codes_of[metric])))
        theirs = errors_by_metric.get(metric, [])
        yield Block(replace(rows, metric=metric), theirs, len(rows) + len(theirs), passed_over)
        passed_over = ()


def _known(named: Ids) -> tuple[dict[int, str], dict[int, str]]:
    """The metrics by their codes in the column, and why the others are none."""
    known: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for code in np.unique(named.codes).tolist():
        try:
            known[code] = _metric_of(named.texts[code], len(reasons)).name
        except UnknownMetricError as error:
            reasons[code] = str(error)
    return known, reasons


def _metric_of(text: str, unknown: int) -> MetricSpec:
    metric = metric_named(text) if unknown < _EXPLAINED else known_metric(text)
    if metric is None:
        raise UnknownMetricError(_UNEXPLAINED)
    return metric


def _positions(rows: Candidates) -> np.ndarray:
    return np.arange(len(rows)) if rows.positions is None else rows.positions
