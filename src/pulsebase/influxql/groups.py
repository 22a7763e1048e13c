"""Groups of series that a statement makes one series of: stored readings, or the rows of a subquery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from pulsebase.influxql.conditions import fulfilled
from pulsebase.influxql.databases import InfluxMeasurement
from pulsebase.influxql.people import FoundSeries
from pulsebase.influxql.readings import GroupTotals, Readings, StoredColumn, as_values
from pulsebase.influxql.syntax import references_in
from pulsebase.influxql.times import Windows
from pulsebase.influxql.values import I64, ReadingRows, Texts, Values, joined_rows, same_text
from pulsebase.model.metrics import MetricSpec
from pulsebase.model.timerange import DAY_US, HOUR_US, TimeRange

_LONGEST_SLICE_US = 64 * DAY_US


class Group(Protocol):
    """Series whose rows a statement looks at together."""

    def extent(self) -> TimeRange | None:
        """Return the times between which there are rows, None if there are none."""

    def totals(self, name: str, windows: Windows, /) -> tuple[GroupTotals, int] | None:
        """Return what a field comes to in each group of times, and how many stored units make one of its unit; None if
        that takes the rows.
        """

    def narrowed(self, name: str, what: str, interval: TimeRange, /) -> TimeRange | None:
        """Return a range that holds the row that a selector picks: a shorter one if that can be told."""

    def rows(self, fields: Sequence[str], tags: Sequence[str], interval: TimeRange) -> ReadingRows:
        """Return the rows inside the range that have any of the fields, by time, with these tags."""

    def first_rows(
        self, fields: Sequence[str], tags: Sequence[str], interval: TimeRange, most: int, *, descending: bool
    ) -> ReadingRows:
        """Return at least the first `most` rows inside the range, or the last ones (`descending`), if there are."""


class StoredGroup:
    """Series of readings."""

    def __init__(self, readings: Readings, measurement: InfluxMeasurement, series: Sequence[FoundSeries]) -> None:
        self._readings, self._measurement, self._series = readings, measurement, series

    def extent(self) -> TimeRange | None:
        """See `Group.extent`."""
        found = []
        for each in self._series:
            for stored in {_source_of(stored): stored for stored in each.fields.values()}.values():
                extent = self._extent_of(each, stored)
                if extent is not None:
                    found.append(extent)
        if not found:
            return None
        return TimeRange(min(each.start_us for each in found), max(each.end_us for each in found))

    def _extent_of(self, found: FoundSeries, stored: StoredColumn) -> TimeRange | None:
        if not stored.of_days:
            return self._readings.extent(found.series, stored.metric)
        times_us = self._readings.resting(found.series.user_id).times_us
        return TimeRange(int(times_us[0]), int(times_us[-1]) + 1) if len(times_us) else None

    def totals(self, name: str, windows: Windows) -> tuple[GroupTotals, int] | None:
        """See `Group.totals`."""
        metric = self._metric(name)
        if metric is None:
            return None
        many = [each.series for each in self._series if name in each.fields]
        return self._readings.totals(many, metric, windows), metric.scale

    def narrowed(self, name: str, what: str, interval: TimeRange) -> TimeRange | None:
        """See `Group.narrowed`."""
        metric = self._metric(name)
        if metric is None or what not in ("first", "last", "min", "max"):
            return interval
        many = [each.series for each in self._series if name in each.fields]
        return self._readings.narrowed(many, metric, interval, what)

    def rows(self, fields: Sequence[str], tags: Sequence[str], interval: TimeRange) -> ReadingRows:
        """See `Group.rows`."""
        return joined_rows([self._rows_of(each, fields, tags, interval) for each in self._series])

    def first_rows(
        self, fields: Sequence[str], tags: Sequence[str], interval: TimeRange, most: int, *, descending: bool
    ) -> ReadingRows:
        """See `Group.first_rows`."""
        parts: list[ReadingRows] = []
        found = 0
        for part in _slices(interval, descending=descending):
            rows = self.rows(fields, tags, part)
            found += len(rows)
            parts.append(rows)
            if found >= most:
                break
        return joined_rows(parts[::-1] if descending else parts) if parts else self.rows(fields, tags, interval)

    def _metric(self, name: str) -> MetricSpec | None:
        """Return the metric whose values a field has, if no row has to be looked at."""
        stored = next((each.fields[name] for each in self._series if name in each.fields), None)
        if stored is None or stored.column != "value" or any(each.condition is not None for each in self._series):
            return None
        return stored.metric

    def _rows_of(
        self, found: FoundSeries, fields: Sequence[str], tags: Sequence[str], interval: TimeRange
    ) -> ReadingRows:
        asked = [reference.name for reference in references_in(found.condition)]
        by_source: dict[tuple[str, bool], list[str]] = {}
        for name in dict.fromkeys((*fields, *asked)):
            if name in found.fields:
                by_source.setdefault(_source_of(found.fields[name]), []).append(name)
        parts = [self._rows_of_source(found, names, tags, interval) for names in by_source.values()]
        rows = _side_by_side(parts) if parts else ReadingRows(np.empty(0, np.int64), {})
        if found.condition is not None:
            rows = rows.take(fulfilled(found.condition, rows))
        return _with_any(rows, fields)

    def _rows_of_source(
        self, found: FoundSeries, names: Sequence[str], tags: Sequence[str], interval: TimeRange
    ) -> ReadingRows:
        if found.fields[names[0]].of_days:
            days = self._readings.resting(found.series.user_id).within(interval)
            of_days = {tag: same_text(found.text_of(self._measurement, tag), len(days.times_us)) for tag in tags}
            return ReadingRows(days.times_us, {name: Values.of(days.values) for name in names}, of_days)
        table = self._readings.raw(found.series, found.fields[names[0]].metric, interval)
        texts: dict[str, Texts] = {}
        for tag in tags:
            if tag == self._measurement.device_tag and found.series.device_id is None:
                codes = table["device_id"].combine_chunks().dictionary_encode()
                called = [found.name_of(device_id) for device_id in codes.dictionary.to_pylist()]
                texts[tag] = np.array(called, np.object_)[codes.indices.to_numpy()]
            else:
                texts[tag] = same_text(found.text_of(self._measurement, tag), table.num_rows)
        fields = {name: as_values(table, found.fields[name]) for name in names}
        return ReadingRows(table["time_us"].to_numpy(), fields, texts)


def _source_of(stored: StoredColumn) -> tuple[str, bool]:
    """Return what tells apart where fields are read from."""
    return stored.metric.name, stored.of_days


class RowGroup:
    """Rows that another statement answered."""

    def __init__(self, rows: ReadingRows) -> None:
        self._rows = rows

    def extent(self) -> TimeRange | None:
        """See `Group.extent`."""
        times_us = self._rows.times_us
        return TimeRange(int(times_us[0]), int(times_us[-1]) + 1) if len(times_us) else None

    def totals(self, _name: str, _windows: Windows, /) -> tuple[GroupTotals, int] | None:
        """See `Group.totals`: there are none."""
        return None

    def narrowed(self, _name: str, _what: str, interval: TimeRange, /) -> TimeRange | None:
        """See `Group.narrowed`: no shorter one is known."""
        return interval

    def rows(self, fields: Sequence[str], tags: Sequence[str], interval: TimeRange) -> ReadingRows:
        """See `Group.rows`."""
        rows = self._rows
        inside = rows.take((rows.times_us >= interval.start_us) & (rows.times_us < interval.end_us))
        known = {tag: texts for tag, texts in inside.tags.items() if tag in tags}
        return _with_any(ReadingRows(inside.times_us, inside.fields, known), fields)

    def first_rows(
        self, fields: Sequence[str], tags: Sequence[str], interval: TimeRange, most: int, *, descending: bool
    ) -> ReadingRows:
        """See `Group.first_rows`."""
        rows = self.rows(fields, tags, interval)
        return rows.take(np.arange(max(0, len(rows) - most) if descending else 0, len(rows))[:most])


def _slices(interval: TimeRange, *, descending: bool) -> Iterator[TimeRange]:
    """Yield pieces of a range from its beginning, or its end, each longer than the one before."""
    start_us, end_us, length_us = interval.start_us, interval.end_us, HOUR_US
    while start_us < end_us:
        length_us = min(length_us, end_us - start_us)
        if descending:
            yield TimeRange(end_us - length_us, end_us)
            end_us -= length_us
        else:
            yield TimeRange(start_us, start_us + length_us)
            start_us += length_us
        length_us = min(8 * length_us, _LONGEST_SLICE_US)


def _with_any(rows: ReadingRows, fields: Sequence[str]) -> ReadingRows:
    """Return the rows that have any of the fields."""
    there = [rows.fields[name].there for name in fields if name in rows.fields]
    if not there:
        return rows.take(np.zeros(len(rows), np.bool_))
    any_there = np.logical_or.reduce(there)
    return rows if any_there.all() else rows.take(any_there)


def _side_by_side(parts: Sequence[ReadingRows]) -> ReadingRows:
    """Return the rows of several metrics of one series: those of one time and device become one."""
    if len(parts) == 1:
        return parts[0]
    rows = joined_rows(list(parts))
    if len(rows) == 0:
        return rows
    keys = _codes_of(rows.tags, len(rows))
    order = np.lexsort((keys, rows.times_us))
    rows, keys = rows.take(order), keys[order]
    opens = np.ones(len(rows), np.bool_)
    opens[1:] = (rows.times_us[1:] != rows.times_us[:-1]) | (keys[1:] != keys[:-1])
    starts, places = np.flatnonzero(opens), np.cumsum(opens) - 1
    fields = {}
    for name, values in rows.fields.items():
        merged = Values.missing(len(starts))
        merged.numbers[places[values.there]] = values.numbers[values.there]
        merged.there[places[values.there]] = True
        fields[name] = Values(merged.numbers, merged.there, values.whole)
    return ReadingRows(rows.times_us[starts], fields, {name: texts[starts] for name, texts in rows.tags.items()})


def _codes_of(tags: Mapping[str, Texts], count: int) -> I64:
    codes = np.zeros(count, np.int64)
    for texts in tags.values():
        known, inverse = np.unique(texts.astype(str), return_inverse=True)
        codes = codes * len(known) + inverse
    return codes
