"""Answers `SELECT`: finds the series, groups them, and has each column worked out from rollups or from rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from pulsebase.influxql.checks import aggregates_in, single_selector, transforms_in
from pulsebase.influxql.columns import SelectedColumn, columns_of
from pulsebase.influxql.conditions import TextTag, decided, fulfilled
from pulsebase.influxql.databases import InfluxMeasurement
from pulsebase.influxql.evaluation import GroupedColumns, RowColumns, Shown, aligned, any_of, fields_in
from pulsebase.influxql.functions import TRANSFORMS, groups_before
from pulsebase.influxql.groups import Group, RowGroup, StoredGroup
from pulsebase.influxql.patterns import matches
from pulsebase.influxql.people import FoundSeries, PeopleAsked, series_of
from pulsebase.influxql.readings import Readings
from pulsebase.influxql.syntax import (
    Binary,
    Call,
    Expression,
    FromMeasurement,
    Reference,
    Select,
    Wildcard,
    parts_of,
    references_in,
)
from pulsebase.influxql.times import Bounds, one_window, split_off_times, windows_of
from pulsebase.influxql.values import I64, ReadingRows, Values, joined_rows, same_text
from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.timerange import LAST_END_US, TimeRange

Measurements = Mapping[str, InfluxMeasurement]
#: An answer of as many rows as there may be has so many values in each.
_VALUES_A_ROW = 4


@dataclass(frozen=True, slots=True)
class AnsweredSeries:
    """A series of an answer: its name and tags, and its rows as columns. Times are in microseconds UTC."""

    name: str
    tags: Mapping[str, str]
    times_us: I64
    columns: Mapping[str, Shown]
    zone: ZoneInfo | None = None

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True)
class _Found:
    """The series of one source, by the tags they are grouped by; and what can be selected from them. `other_tags` are
    those that they are not grouped by.
    """

    name: str
    fields: Sequence[str]
    tags: Sequence[str]
    other_tags: Sequence[str]
    groups: Sequence[tuple[Mapping[str, str], Group]]


class SeriesSelection:
    """Answers `SELECT` statements of one request."""

    def __init__(
        self,
        readings: Readings,
        measurements_of: Callable[[str | None], Measurements],
        people: PeopleAsked,
        now_us: int,
        most_rows: int,
    ) -> None:
        self._readings, self._measurements_of, self._now_us = readings, measurements_of, now_us
        self._people, self._most_rows = people, most_rows
        self._cells = 0

    def answer(self, select: Select) -> list[AnsweredSeries]:
        """Return the series of a statement that was checked.

        Raises:
            RejectedError: it is about too many people, or needs or has too many rows.
            QuerySyntaxError: it has a condition on time, or a pattern, that is not answered.
        """
        found = self._series(select, Bounds())
        if select.series_offset or select.series_limit:
            last = select.series_offset + select.series_limit if select.series_limit else None
            found = found[select.series_offset : last]
        return found

    def _series(self, select: Select, outer: Bounds) -> list[AnsweredSeries]:
        bounds, condition = split_off_times(select.condition, self._now_us, select.zone)
        bounds = bounds.within(outer)
        answered: list[AnsweredSeries] = []
        for found in self._sources(select, bounds, condition):
            for tags, group in found.groups:
                series = self._one(select, found, tags, group, bounds)
                if series is None:
                    continue
                self._require_room(len(series), len(series.columns))
                self._cells += len(series) * len(series.columns)
                answered.append(series)
        return answered

    def _require_room(self, rows: int, columns: int) -> None:
        """Raise `TooManyRowsError` if the answers of this request would have too many rows, or too many values."""
        most_values = _VALUES_A_ROW * self._most_rows
        if rows > self._most_rows or self._cells + rows * columns > most_values:
            said = f"the answer would have more than {self._most_rows} rows, or {most_values} values"
            raise TooManyRowsError.of("q", said)

    # --- what a statement is about ---

    def _sources(self, select: Select, bounds: Bounds, condition: Expression | None) -> Iterator[_Found]:
        for source in select.sources:
            if isinstance(source, Select):
                yield from self._of_subquery(select, source, bounds, condition)
            else:
                for measurement in named_measurements(source, self._measurements_of(source.database)):
                    yield self._of_measurement(select, measurement, condition)

    def _of_measurement(self, select: Select, measurement: InfluxMeasurement, condition: Expression | None) -> _Found:
        dimensions = _dimensions(select.dimensions, measurement.tags)
        tags = measurement.tags, [tag for tag in measurement.tags if tag not in dimensions]
        columns = columns_of(select.fields, measurement.listed_fields, tags[1])
        named = [name for name in fields_in(columns) if name in measurement.fields]
        asked = [each.name for each in references_in(condition) if each.name in measurement.fields]
        if not named:
            return _Found(measurement.name, measurement.listed_fields, *tags, ())
        by_device = measurement.device_tag is not None and (
            measurement.device_tag in dimensions
            or any(each.name == measurement.device_tag for each in references_in(condition))
        )
        series = series_of(
            measurement,
            list(dict.fromkeys([*named, *asked])),
            condition,
            self._people,
            by_device=by_device,
        )
        together: dict[tuple[str, ...], list[FoundSeries]] = {}
        for each in series:
            if any(name in each.fields for name in named):
                together.setdefault(tuple(each.text_of(measurement, tag) for tag in dimensions), []).append(each)
        groups = [
            (dict(zip(dimensions, texts, strict=True)), StoredGroup(self._readings, measurement, many))
            for texts, many in sorted(together.items())
        ]
        return _Found(measurement.name, measurement.listed_fields, *tags, groups)

    def _of_subquery(
        self, select: Select, inner: Select, bounds: Bounds, condition: Expression | None
    ) -> Iterator[_Found]:
        by_name: dict[str, list[AnsweredSeries]] = {}
        for series in self._series(inner, bounds):
            by_name.setdefault(series.name, []).append(series)
        for name, many in by_name.items():
            fields = [column for column, shown in many[0].columns.items() if isinstance(shown, Values)]
            tags = sorted(many[0].tags)
            dimensions = _dimensions(select.dimensions, tags)
            together: dict[tuple[str, ...], list[ReadingRows]] = {}
            for series in many:
                rows = _fulfilling(_rows_of(series), series.tags, condition)
                if rows is not None:
                    together.setdefault(tuple(series.tags.get(tag, "") for tag in dimensions), []).append(rows)
            groups = [
                (dict(zip(dimensions, texts, strict=True)), RowGroup(joined_rows(rows)))
                for texts, rows in sorted(together.items())
            ]
            yield _Found(name, sorted(fields), tags, [tag for tag in tags if tag not in dimensions], groups)

    # --- one series ---

    def _one(
        self, select: Select, found: _Found, tags: Mapping[str, str], group: Group, bounds: Bounds
    ) -> AnsweredSeries | None:
        columns = columns_of(select.fields, found.fields, found.other_tags)
        interval = self._range(select, bounds, group)
        if interval is None or not columns:
            return None
        if aggregates_in(select):
            answer = self._of_groups(select, columns, found, group, interval, bounds=bounds)
        elif transforms_in(select):
            answer = self._of_transforms(columns, group, interval)
        else:
            answer = self._of_rows(select, columns, found, group, interval)
        if answer is None or len(answer[0]) == 0:
            return None
        times_us, shown = _limited(select, *answer)
        if len(times_us) == 0:
            return None
        names = [column.name for column in columns]
        return AnsweredSeries(found.name, tags, times_us, dict(zip(names, shown, strict=True)), select.zone)

    def _range(self, select: Select, bounds: Bounds, group: Group) -> TimeRange | None:
        """Return what is looked at: what is asked for, as far as there are readings where nothing says otherwise."""
        start_us, end_us = bounds.start_us, bounds.end_us
        if end_us is None and select.interval_ns is not None:
            end_us = self._now_us
        if start_us is None or end_us is None:
            extent = group.extent()
            if extent is None:
                return None
            start_us = extent.start_us if start_us is None else start_us
            end_us = extent.end_us if end_us is None else end_us
        end_us = min(end_us, LAST_END_US)
        return TimeRange(start_us, end_us) if start_us < end_us else None

    def _of_groups(
        self,
        select: Select,
        columns: Sequence[SelectedColumn],
        found: _Found,
        group: Group,
        interval: TimeRange,
        *,
        bounds: Bounds,
    ) -> tuple[I64, list[Shown]] | None:
        first_us = 0
        if select.interval_ns is None:
            windows = one_window(interval, bounds.start_us or 0)
        else:
            step_us, offset_us = select.interval_ns // 1_000, select.interval_offset_ns // 1_000
            windows = windows_of(interval, step_us, offset_us, select.zone, self._most_rows)
            if bounds.start_us is not None and (earlier := groups_before(transforms_in(select))):
                first_us = int(windows.labels[0])
                longer = TimeRange(max(0, first_us - earlier * step_us), interval.end_us)
                windows = windows_of(longer, step_us, offset_us, select.zone, self._most_rows)
        self._require_room(len(windows), len(columns))
        worked_out = GroupedColumns(group, windows, select.interval_ns, select.fill)
        selector = single_selector([column.expression for column in columns])
        if selector is not None and (select.interval_ns is None or len(columns) > 1):
            return _of_selector(columns, selector, worked_out, found.tags)
        if (distinct := _distinct_in(columns)) is not None:
            points = worked_out.distinct(distinct)
            return points.times_us, [points.values]
        times_us, values = aligned([worked_out.points(column.expression) for column in columns])
        if not worked_out.any_there:
            return None
        kept = times_us >= first_us
        if select.interval_ns is not None and (select.fill.kind == "none" or not _shows_groups(columns)):
            kept &= any_of(values)
        return times_us[kept], [each.take(kept) for each in values]

    def _of_rows(
        self, select: Select, columns: Sequence[SelectedColumn], found: _Found, group: Group, interval: TimeRange
    ) -> tuple[I64, list[Shown]]:
        names = fields_in(columns)
        tags = [name for name in names if name in found.tags]
        if select.limit:
            most = select.limit + select.offset
            rows = group.first_rows(names, tags, interval, most, descending=select.descending)
            rows = rows.take(np.arange(max(0, len(rows) - most) if select.descending else 0, len(rows))[:most])
        else:
            rows = group.rows(names, tags, interval)
        self._require_room(len(rows), len(columns))
        worked_out = RowColumns(rows, tags)
        shown = [worked_out.shown(column.expression) for column in columns]
        there = any_of(shown) if any(isinstance(each, Values) for each in shown) else np.zeros(len(rows), np.bool_)
        if there.all():
            return rows.times_us, shown
        return rows.times_us[there], [each.take(there) if isinstance(each, Values) else each[there] for each in shown]

    def _of_transforms(
        self, columns: Sequence[SelectedColumn], group: Group, interval: TimeRange
    ) -> tuple[I64, list[Shown]]:
        rows = group.rows(fields_in(columns), (), interval)
        self._require_room(len(rows), len(columns))
        worked_out = RowColumns(rows, ())
        if len(columns) == 1:
            points = worked_out.points(columns[0].expression)
            return points.times_us, [points.values]
        times_us, values = aligned([worked_out.points(column.expression) for column in columns])
        return times_us, list(values)


def named_measurements(source: FromMeasurement, measurements: Measurements) -> list[InfluxMeasurement]:
    """Return the measurements that `FROM` names, by name."""
    if source.pattern is None:
        found = measurements.get(source.name or "")
        return [] if found is None else [found]
    names = sorted(name for name, each in measurements.items() if each.listed)
    return [measurements[name] for name, fits in zip(names, matches(source.pattern, names), strict=True) if fits]


def _dimensions(asked: Sequence[Reference | Wildcard], tags: Sequence[str]) -> list[str]:
    """Return the tags that are grouped by, sorted."""
    found: set[str] = set()
    for each in asked:
        if isinstance(each, Reference):
            found.add(each.name)
        elif each.pattern is None:
            found |= set(tags)
        elif tags:
            found |= {tag for tag, fits in zip(tags, matches(each.pattern, tags), strict=True) if fits}
    return sorted(found)


def _shows_groups(columns: Sequence[SelectedColumn]) -> bool:
    """Whether a column has a row for each group of times, be there a value or not."""
    return any(
        not any(isinstance(part, Call) and part.name in TRANSFORMS for part in parts_of(column.expression))
        for column in columns
    )


def _distinct_in(columns: Sequence[SelectedColumn]) -> Call | None:
    """Return `distinct` if it is the only column."""
    expression = columns[0].expression
    return expression if isinstance(expression, Call) and expression.name == "distinct" else None


def _of_selector(
    columns: Sequence[SelectedColumn], selector: Call, worked_out: GroupedColumns, tags: Sequence[str]
) -> tuple[I64, list[Shown]]:
    """Return the rows that the only selector of a statement picks, with the other fields and tags of those rows."""
    picked = selector.arguments[0]
    names = fields_in(columns)
    rows = worked_out.picked(selector, [name for name in names if name in tags], names)
    shown = RowColumns(rows, tags)
    return rows.times_us, [shown.shown(_with_call_replaced(column.expression, selector, picked)) for column in columns]


def _with_call_replaced(expression: Expression, call: Call, by: Expression) -> Expression:
    if expression == call:
        return by
    if isinstance(expression, Binary):
        left, right = (_with_call_replaced(each, call, by) for each in (expression.left, expression.right))
        return Binary(expression.operator, left, right)
    return expression


def _limited(select: Select, times_us: I64, shown: Sequence[Shown]) -> tuple[I64, list[Shown]]:
    """Return the rows in the order, and of the part, that are asked for."""
    places = np.arange(len(times_us))
    if select.descending:
        places = places[::-1]
    places = places[select.offset : select.offset + select.limit if select.limit else None]
    return times_us[places], [each.take(places) if isinstance(each, Values) else each[places] for each in shown]


def _rows_of(series: AnsweredSeries) -> ReadingRows:
    """Return the rows of an answer, in order of time, for another statement."""
    fields = {name: shown for name, shown in series.columns.items() if isinstance(shown, Values)}
    texts = {name: shown for name, shown in series.columns.items() if not isinstance(shown, Values)}
    tags = texts | {tag: same_text(text, len(series)) for tag, text in series.tags.items()}
    return ReadingRows(series.times_us, fields, tags).take(np.argsort(series.times_us, kind="stable"))


def _fulfilling(rows: ReadingRows, tags: Mapping[str, str], condition: Expression | None) -> ReadingRows | None:
    """Return the rows of which a condition is true, None if it is true of none."""

    def tag_of(name: Reference) -> TextTag | None:
        is_field = name.kind == "field" or (name.kind is None and name.name in rows.fields)
        return None if is_field else TextTag(tags.get(name.name, ""))

    left = decided(condition, tag_of)
    if isinstance(left, bool):
        return rows if left else None
    return rows.take(fulfilled(left, rows))
