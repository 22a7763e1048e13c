"""A loader of readings of several metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pulsebase.etl.load import HeartRateLoader, Loader, LoadResult
from pulsebase.etl.transform.vital_signs import MetricCandidates
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.ingest.blocks import VALUE_FIELDS
from pulsebase.model.metrics import METRICS
from pulsebase.stores.contract import Reader


class VitalSignsLoader(Loader[MetricCandidates]):
    """Readings of any metric, each as heart rate is loaded; a commit a metric."""

    def __init__(self, ingestor: Ingestor, reader: Reader, rules: ReadingRules, *, upsert: bool = True) -> None:
        self._loaders = {
            name: HeartRateLoader(ingestor, reader, rules.of_metric(spec, VALUE_FIELDS.value), upsert=upsert)
            for name, spec in METRICS.items()
        }

    def stored_us(self, source: str, user_id: str, device_id: str) -> int | None:
        times = [loader.stored_us(source, user_id, device_id) for loader in self._loaders.values()]
        return max((time_us for time_us in times if time_us is not None), default=None)

    def load(self, source: str, user_id: str, rows: Sequence[MetricCandidates]) -> LoadResult:
        found: dict[str, list[MetricCandidates]] = {}
        for each in rows:
            found.setdefault(each.metric, []).append(each)
        results = [
            self._loaders[metric].load(source, user_id, [each.candidates for each in parts])
            for metric, parts in found.items()
        ]
        reasons: Counter[str] = Counter()
        for result in results:
            reasons.update(result.reasons)
        return LoadResult(
            sum(result.written for result in results),
            sum(result.unchanged for result in results),
            sum(result.rejected for result in results),
            dict(reasons),
            max((result.last_us for result in results if result.last_us is not None), default=None),
        )
