"""Runs: the readings of one person, metric, device and UTC day, as formats of exchange write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.metrics import METRICS, MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US
from pulsebase.query.series import SeriesAnswer

#: The most readings of a run. A day of one reading a second is nine runs; as text each stays far below the 1 MiB that
#: FHIR allows a string.
RUN_READINGS = 10_000


@dataclass(frozen=True, slots=True)
class Run:
    """Readings in order of time; at least one, at most `RUN_READINGS`.

    `values` are in the metric's unit, a confidence of -1 means none.
    """

    user_id: str
    metric: MetricSpec
    device_id: str
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def first_us(self) -> int:
        """Return the time of the first reading."""
        return int(self.times_us[0])

    @property
    def last_us(self) -> int:
        """Return the time of the last reading."""
        return int(self.times_us[-1])


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a rung says of the readings from `start_us` up to, not including, `end_us`, in the metric's unit."""

    user_id: str
    metric: MetricSpec
    start_us: int
    end_us: int
    avg: float
    min: float
    max: float
    count: int
    minutes: int


class RunGatherer:
    """Makes runs of the batches of an export, in which a person's readings of a metric lie together on each day.

    Where the batches end makes no difference: what is gathered of one person and metric is held until the day's
    readings of them have all come.
    """

    def __init__(self) -> None:
        self._key: tuple[str, str, int] | None = None
        self._parts: list[tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int8]]] = []

    def add(self, batch: pa.RecordBatch) -> Iterator[Run]:
        """Take a batch of `READING_SCHEMA`, of one UTC day, and yield the runs that are complete."""
        if not batch.num_rows:
            return
        users = batch["user_id"].cast(pa.string()).dictionary_encode()
        metrics = batch["metric"].cast(pa.string()).dictionary_encode()
        times_us = batch["time"].cast(pa.int64()).to_numpy()
        values, confidences = batch["value"].to_numpy(), _confidences(batch["confidence"])
        devices = batch["device_id"].cast(pa.string())
        user_codes, metric_codes = users.indices.to_numpy(), metrics.indices.to_numpy()
        changes = (np.diff(user_codes) != 0) | (np.diff(metric_codes) != 0)
        edges = [0, *(np.flatnonzero(changes) + 1).tolist(), batch.num_rows]
        day = int(times_us[0]) // DAY_US
        for first, end in pairwise(edges):
            metric = metrics.dictionary[int(metric_codes[first])].as_py()
            key = users.dictionary[int(user_codes[first])].as_py(), metric, day
            if key != self._key:
                yield from self.rest()
                self._key = key
            rows = slice(first, end)
            in_unit = values[rows] / np.float64(METRICS[metric].scale)
            self._parts.append((devices[first:end], times_us[rows], in_unit, confidences[rows]))

    def rest(self) -> Iterator[Run]:
        """Yield the runs of what is still held."""
        parts, self._parts = self._parts, []
        if self._key is None or not parts:
            return
        user_id, metric, _ = self._key
        devices = pa.concat_arrays([part[0] for part in parts])
        columns = [np.concatenate([part[place] for part in parts]) for place in (1, 2, 3)]
        yield from _runs(user_id, METRICS[metric], devices, *columns)


def runs_of(answer: SeriesAnswer) -> Iterator[Run]:
    """Yield the runs of an answer with raw readings, person by person."""
    for person in answer.series:
        columns = person.columns
        if not len(person):
            continue
        times_us = columns["timestamp"].cast(pa.int64()).to_numpy()
        values = columns["value"].to_numpy()
        devices, confidences = columns["device_id"].cast(pa.string()), _confidences(columns["confidence"])
        yield from _runs(person.user_id, answer.plan.question.metric, devices, times_us, values, confidences)


def buckets_of(answer: SeriesAnswer) -> Iterator[Bucket]:
    """Yield the buckets of an answer at a coarser rung, person by person."""
    plan = answer.plan
    ends_us = dict(zip(plan.day_starts, plan.day_starts[1:], strict=False))
    for person in answer.series:
        columns = person.columns
        starts_us: list[int] = columns["timestamp"].cast(pa.int64()).to_pylist()
        figures = (columns[name].to_pylist() for name in ("avg", "min", "max", "count", "minutes"))
        for start_us, *found in zip(starts_us, *figures, strict=True):
            of_day = plan.resolution is Resolution.DAY
            end_us = ends_us[start_us] if of_day else start_us + plan.resolution.step_us
            yield Bucket(person.user_id, plan.question.metric, start_us, end_us, *found)


def _runs(  # noqa: PLR0917 a column each
    user_id: str,
    metric: MetricSpec,
    devices: pa.Array,
    times_us: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    confidences: npt.NDArray[np.int8],
) -> Iterator[Run]:
    """Yield the runs of one person's readings of a metric, by day, then device, in whatever order they are."""
    encoded = devices.dictionary_encode()
    names: Sequence[str] = encoded.dictionary.to_pylist()
    rank = np.argsort(np.argsort(np.array(names)))
    ranks, days = rank[encoded.indices.to_numpy()], times_us // DAY_US
    order = np.lexsort((times_us, ranks, days))
    of_device, of_day = ranks[order], days[order]
    named = sorted(names)
    changes = (np.diff(of_device) != 0) | (np.diff(of_day) != 0)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(order)]
    for first, end in pairwise(edges):
        for begin in range(first, end, RUN_READINGS):
            rows = order[begin : min(begin + RUN_READINGS, end)]
            device_id = named[int(of_device[begin])]
            yield Run(user_id, metric, device_id, times_us[rows], values[rows], confidences[rows])


def _confidences(column: pa.Array) -> npt.NDArray[np.int8]:
    return np.asarray(column.fill_null(NO_CONFIDENCE).to_numpy(zero_copy_only=False), np.int8)
