"""Which readings may be stored. Works on whole columns; every refusal names the row, the field and the reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.errors import FieldError
from pulsebase.model.identifiers import text_problem
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.readings import READING_SCHEMA, ReadingBatch

NO_CONFIDENCE = -1


def wall_clock_us() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """The bounds of what is accepted. `low` and `high` are inclusive, in the metric's unit, and judge the value as
    sent.

    A reading further ahead of the clock than `future_tolerance_us` is refused: it would freeze every sync that resumes
    at the last stored time.
    """

    low: float = HEART_RATE.low
    high: float = HEART_RATE.high
    future_tolerance_us: int = 600_000_000
    now_us: Callable[[], int] = field(default=wall_clock_us)
    metric: MetricSpec = HEART_RATE


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns of equal length that nobody checked yet.

    Ids are texts, or an Arrow dictionary of texts. `times_us` are microseconds since 1970, `values` in the metric's
    unit, `confidences` -1 for none. `positions` are the rows' places in the request where rows were already left out;
    by default row i is at place i.
    """

    user_ids: Sequence[str] | pa.DictionaryArray
    device_ids: Sequence[str] | pa.DictionaryArray
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]
    positions: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.user_ids)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be stored (None if nothing), and why the rest may not: one error a refused row, by position."""

    accepted: ReadingBatch | None
    errors: list[FieldError]


def validate(candidates: Candidates, rules: ReadingRules, origin: int) -> Verdict:
    """Sort the rows into a batch and refusals. A row is refused for the first of its faults, in the order of the
    fields.
    """
    users, devices = _encoded(candidates.user_ids), _encoded(candidates.device_ids)
    faults: list[tuple[npt.NDArray[np.bool_], str, str]] = [
        *_id_faults(devices, "device_id"),
        *_id_faults(users, "user_id"),
        (candidates.times_us < 0, "timestamp", "is before 1970-01-01T00:00:00Z"),
        (
            candidates.times_us > rules.now_us() + rules.future_tolerance_us,
            "timestamp",
            f"is more than {rules.future_tolerance_us // 60_000_000} minutes in the future",
        ),
        (
            ~((candidates.values >= rules.low) & (candidates.values <= rules.high)),
            rules.metric.name,
            f"out of range {rules.low:g}–{rules.high:g}",
        ),
        (
            (candidates.confidences < NO_CONFIDENCE) | (candidates.confidences > 3),
            "confidence",
            "must be 0, 1, 2 or 3",
        ),
    ]
    refused = np.zeros(len(candidates), np.bool_)
    errors: list[FieldError] = []
    for mask, name, reason in faults:
        for row in np.flatnonzero(mask & ~refused):
            position = int(row if candidates.positions is None else candidates.positions[row])
            errors.append(FieldError(name, reason, position))
        refused |= mask
    errors.sort(key=lambda error: error.index or 0)
    if refused.all():
        return Verdict(None, errors)
    table = _table(users, devices, candidates, rules)
    return Verdict(ReadingBatch(table.filter(pa.array(~refused)) if errors else table, origin), errors)


def stored_values(values: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.int16]:
    """Values in stored units, rounded half to even as decimals.

    The product of a double and the scale can miss a decimal tie by an ulp (`57.005 * 100`), so it is first rounded to
    six decimals, which puts every value of up to six decimals back on its tie.
    """
    return np.rint(np.round(values * scale, 6)).astype(np.int16)


def _encoded(ids: Sequence[str] | pa.DictionaryArray) -> pa.DictionaryArray:
    if isinstance(ids, pa.DictionaryArray):
        return ids
    # In Python, since a call into Arrow lets other threads in, and waiting for one's turn again costs more than this.
    codes = {text: code for code, text in enumerate(dict.fromkeys(ids))}
    indices = np.fromiter(map(codes.__getitem__, ids), np.int32, len(ids))
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(codes), pa.string()))


def _table(users: pa.DictionaryArray, devices: pa.DictionaryArray, rows: Candidates, rules: ReadingRules) -> pa.Table:
    plausible = np.where(np.abs(rows.values) < 300, rows.values, 0.0)  # refused rows must not overflow the cast
    confidences = pa.array(rows.confidences, pa.int8(), mask=rows.confidences == NO_CONFIDENCE)
    times = pa.array(rows.times_us, pa.int64()).cast(READING_SCHEMA.field("time").type)
    values = pa.array(stored_values(plausible, rules.metric.scale))
    return pa.table([users, devices, times, values, confidences], schema=READING_SCHEMA)


def _id_faults(ids: pa.DictionaryArray, name: str) -> list[tuple[npt.NDArray[np.bool_], str, str]]:
    codes = ids.indices.to_numpy(zero_copy_only=False)
    faults = []
    for code, problem in enumerate(map(text_problem, ids.dictionary.to_pylist())):
        if problem is not None:
            faults.append((codes == code, name, problem))
    return faults
