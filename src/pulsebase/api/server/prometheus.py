"""The metrics in Prometheus' text format: those of this process, or of all workers of the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pulsebase import telemetry
from pulsebase.worker_rpc import OtherWorkers

_WHOLE = frozenset(metric._name for metric in telemetry.WHOLE)


class Family(msgspec.Struct, array_like=True):
    """One metric. A sample is a name, labels and a value."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, dict[str, str], float]]


def families() -> list[Family]:
    """Return every metric of this process."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            [(sample.name, sample.labels, float(sample.value)) for sample in metric.samples],
        )
        for metric in telemetry.REGISTRY.collect()
    ]


def exposition(other_workers: OtherWorkers) -> bytes:
    """Return the metrics as text. With several workers, metrics about a single worker have the label `worker`, its
    number.
    """
    if other_workers.folder is None:
        return generate_latest(telemetry.REGISTRY)
    answers: dict[int, Any] = other_workers.ask("metrics")
    told = {number: msgspec.convert(answer, list[Family]) for number, answer in answers.items()}
    told[other_workers.number] = families()
    return generate_latest(_Joined(told, other_workers.number))


class _Joined(Collector):
    """Joins the metrics of several workers. Metrics about the whole server are taken from one worker, the speaker."""

    def __init__(self, told: Mapping[int, Sequence[Family]], speaker: int) -> None:
        self._told, self._speaker = told, speaker

    def collect(self) -> Iterator[Metric]:
        joined: dict[str, Metric] = {}
        for number, found in sorted(self._told.items()):
            for family in found:
                is_whole = family.name in _WHOLE
                if is_whole and number != self._speaker:
                    continue
                metric = joined.setdefault(family.name, Metric(family.name, family.help, family.kind))
                for name, labels, value in family.samples:
                    metric.add_sample(name, labels if is_whole else {"worker": str(number), **labels}, value)
        yield from joined.values()
