"""Refuse ids in CSV files that a spreadsheet changed: they would merge people or turn one person into another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.identifiers import changed_in_table
from pulsebase.model.readings import Ids


def without_changed_ids(rows: Candidates) -> tuple[Candidates, list[FieldError]]:
    """Return the rows whose ids look unchanged, and the errors of the others, by position."""
    errors: list[FieldError] = []
    for name in ("user_id", "device_id"):
        column = rows.user_ids if name == "user_id" else rows.device_ids
        ids = column if isinstance(column, Ids) else Ids.of(column)
        # Many columns share one long list of texts, of which these rows use few.
        codes = [code for code in np.unique(ids.codes).tolist() if code >= 0]
        reasons = {code: reason for code in codes if (reason := changed_in_table(ids.texts[code])) is not None}
        if not reasons:
            continue
        bad = np.isin(ids.codes, list(reasons))
        positions = np.arange(len(rows)) if rows.positions is None else rows.positions
        errors += [FieldError(name, reasons[int(ids.codes[row])], int(positions[row])) for row in np.flatnonzero(bad)]
        rows = _taken(rows, np.flatnonzero(~bad))
    return rows, errors


def _taken(rows: Candidates, places: np.ndarray) -> Candidates:
    users, devices = (
        column.take(places) if isinstance(column, Ids) else [column[place] for place in places.tolist()]
        for column in (rows.user_ids, rows.device_ids)
    )
    positions = places if rows.positions is None else rows.positions[places]
    return replace(
        rows,
        user_ids=users,
        device_ids=devices,
        times_us=rows.times_us[places],
        values=rows.values[places],
        confidences=rows.confidences[places],
        positions=positions,
    )
