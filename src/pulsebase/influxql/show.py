"""Answers `SHOW`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pulsebase.influxql.databases import InfluxMeasurement
from pulsebase.influxql.patterns import matches
from pulsebase.influxql.people import FoundSeries, PeopleAsked, series_of
from pulsebase.influxql.readings import resting_days
from pulsebase.influxql.select import Measurements, named_measurements
from pulsebase.influxql.syntax import FromMeasurement, Pattern, Show, references_in
from pulsebase.influxql.times import split_off_times
from pulsebase.model.errors import RejectedError

_POLICY = ("autogen", "0s", "168h0m0s", 1, True)
_POLICY_COLUMNS = ("name", "duration", "shardGroupDuration", "replicaN", "default")


@dataclass(frozen=True, slots=True)
class AnsweredList:
    """A list that `SHOW` answers: its name, if it has one, and its rows."""

    name: str | None
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Lists:
    """Answers `SHOW` statements of one request."""

    people: PeopleAsked
    databases: Sequence[str]
    measurements_of: Callable[[str | None], Measurements]
    now_us: int

    def answer(self, show: Show) -> list[AnsweredList]:
        """Return the lists of a statement that was checked.

        Raises:
            RejectedError: it is about too many people.
        """
        if show.what == "databases":
            return [AnsweredList("databases", ("name",), [(name,) for name in self.databases])]
        if show.what == "retention policies":
            return [AnsweredList(None, _POLICY_COLUMNS, [_POLICY])]
        if show.what == "measurements":
            names = [
                measurement.name for measurement in self._measurements(show) if self._has_series(show, measurement)
            ]
            rows = _part(show, [(name,) for name in names])
            return [AnsweredList("measurements", ("name",), rows)] if rows else []
        found = []
        for measurement in self._measurements(show):
            columns, listed = self._listed(show, measurement)
            if rows := _part(show, listed):
                found.append(AnsweredList(measurement.name, columns, rows))
        return found

    def _measurements(self, show: Show) -> list[InfluxMeasurement]:
        sources: Iterable[FromMeasurement] = show.sources or (FromMeasurement(None, ""),)
        found: dict[str, InfluxMeasurement] = {}
        for source in sources:
            for measurement in named_measurements(source, self.measurements_of(source.database or show.database)):
                found[measurement.name] = measurement
        return [found[name] for name in sorted(found)]

    def _listed(self, show: Show, measurement: InfluxMeasurement) -> tuple[Sequence[str], list[Sequence[Any]]]:
        if show.what == "field keys":
            kinds = {name: measurement.fields[name].stored.column for name in measurement.listed_fields}
            rows = [(name, "integer" if kind == "confidence" else "float") for name, kind in kinds.items()]
            return ("fieldKey", "fieldType"), list(rows)
        if show.what == "tag keys":
            return ("tagKey",), [(tag,) for tag in measurement.tags] if self._has_series(show, measurement) else []
        pairs: set[tuple[str, str]] = set()
        for tag in _keys(show, measurement):
            for each in self._series(show, measurement, by_device=tag == measurement.device_tag):
                if (text := each.text_of(measurement, tag)) and self._is_stored(each):
                    pairs.add((tag, text))
        return ("key", "value"), [*sorted(pairs)]

    def _has_series(self, show: Show, measurement: InfluxMeasurement) -> bool:
        """Whether anything of a measurement is stored of people in the caller's reach; of very many none looks."""
        try:
            return any(self._is_stored(each) for each in self._series(show, measurement, by_device=False))
        except RejectedError:
            return True

    def _is_stored(self, found: FoundSeries) -> bool:
        """Whether there are readings of a series, counted or not, or what sources stated of its days."""
        user_id, device_id = found.series.user_id, found.series.device_id
        reader = self.people.reader
        if any(stored.of_days for stored in found.fields.values()) and len(resting_days(reader, user_id).times_us):
            return True
        metrics = {stored.metric.name for stored in found.fields.values() if not stored.of_days}
        if device_id is None:
            return not metrics.isdisjoint(overview.metric for overview in reader.metrics(user_id))
        return any(reader.last_time_us(user_id, device_id, metric) is not None for metric in metrics)

    def _series(self, show: Show, measurement: InfluxMeasurement, *, by_device: bool) -> list[FoundSeries]:
        _, condition = split_off_times(show.condition, self.now_us, None)
        names = list(measurement.fields)
        by_device |= any(each.name == measurement.device_tag for each in references_in(condition))
        return series_of(measurement, names, condition, self.people, by_device=by_device)


def _keys(show: Show, measurement: InfluxMeasurement) -> list[str]:
    """Return the tags of a measurement that `WITH KEY` asks for."""
    wanted: set[str] = set()
    for key in show.keys:
        if isinstance(key, Pattern):
            tags = measurement.tags
            wanted |= {tag for tag, fits in zip(tags, matches(key.text, tags), strict=True) if fits}
        else:
            wanted.add(key)
    return [tag for tag in measurement.tags if (tag in wanted) is not show.without_keys]


def _part(show: Show, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    return list(rows[show.offset : show.offset + show.limit if show.limit else None])
