"""Answers of `/query` as bytes, in the shapes of InfluxDB 1: JSON, in one piece or in chunks, and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from pulsebase.influxql.select import AnsweredSeries
from pulsebase.influxql.service import StatementAnswer
from pulsebase.influxql.show import AnsweredList
from pulsebase.influxql.values import I64, Values
from pulsebase.model.timerange import format_all_us, from_us

Epoch = Literal["ns", "u", "µ", "ms", "s", "m", "h"]
#: How long each unit is, in nanoseconds.
_UNIT_NS = {
    "ns": 1,
    "u": 1_000,
    "µ": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_US_NS = 1_000
#: The zeros at the end of a fraction.
_ZEROS = re.compile(r"(?<=\d)0+(?=[+-])")


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How answers are written.

    Attributes:
        epoch: the unit of times as numbers; None for times as texts.
        chunk_rows: how many rows a series has at most in one piece of the answer; None for one piece.
        pretty: whether JSON is written over several lines.
    """

    epoch: Epoch | None = None
    chunk_rows: int | None = None
    pretty: bool = False


def as_json(answers: Sequence[StatementAnswer], form: AnswerForm) -> bytes:
    """Return answers as JSON; in chunks it is one document a line."""
    if form.chunk_rows is None:
        return _encoded([_result(number, answer, form) for number, answer in enumerate(answers)], form)
    return b"".join(
        _encoded([result], form)
        for number, answer in enumerate(answers)
        for result in _chunks(number, answer, form, form.chunk_rows)
    )


def as_csv(answers: Sequence[StatementAnswer], form: AnswerForm) -> bytes:
    """Return answers as CSV. The first columns are the series' name and tags, times are nanoseconds unless `epoch` has
    another unit. What cannot be answered is a table with the column `error`, since CSV has no other place for it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    form = AnswerForm(form.epoch or "ns")
    before: list[str] | None = None
    for answer in answers:
        if answer.error is not None:
            writer.writerows([*([[]] if before else []), ["error"], [answer.error]])
            before = ["error"]
        for series in answer.series:
            shown = _shown(series, form)
            tags = ",".join(f"{_escaped(name)}={_escaped(text)}" for name, text in shown.get("tags", {}).items())
            header = ["name", "tags", *shown["columns"]]
            if header != before:
                writer.writerows([*([[]] if before else []), header])
                before = header
            start = [shown.get("name", ""), tags]
            writer.writerows([*start, *map(_cell, row)] for row in shown["values"])
    return out.getvalue().encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _encoded(results: Sequence[dict[str, Any]], form: AnswerForm) -> bytes:
    body = msgspec.json.encode({"results": results})
    return (msgspec.json.format(body, indent=4) if form.pretty else body) + b"\n"


def _result(number: int, answer: StatementAnswer, form: AnswerForm) -> dict[str, Any]:
    result: dict[str, Any] = {"statement_id": number}
    if answer.series:
        result["series"] = [_shown(series, form) for series in answer.series]
    if answer.error is not None:
        result["error"] = answer.error
    return result


def _chunks(number: int, answer: StatementAnswer, form: AnswerForm, most: int) -> Iterator[dict[str, Any]]:
    """Yield an answer in pieces, of which all but the last are `partial`; so is a series that goes on in the next."""
    if not answer.series:
        yield _result(number, answer, form)
        return
    for place, series in enumerate(answer.series, 1):
        shown = _shown(series, form)
        rows = shown["values"]
        for first in range(0, len(rows), most):
            ends = first + most >= len(rows)
            piece = shown | {"values": rows[first : first + most]} | ({} if ends else {"partial": True})
            more = {} if ends and place == len(answer.series) else {"partial": True}
            yield {"statement_id": number, "series": [piece]} | more


def _shown(series: AnsweredSeries | AnsweredList, form: AnswerForm) -> dict[str, Any]:
    if isinstance(series, AnsweredList):
        named = {} if series.name is None else {"name": series.name}
        return named | {"columns": series.columns, "values": series.rows}
    columns = [each.listed() if isinstance(each, Values) else each.tolist() for each in series.columns.values()]
    tags = {"tags": dict(series.tags)} if series.tags else {}
    rows = list(zip(_times(series, form), *columns, strict=True))
    return {"name": series.name} | tags | {"columns": ["time", *series.columns], "values": rows}


def _times(series: AnsweredSeries, form: AnswerForm) -> Sequence[int] | Sequence[str]:
    times_us: I64 = series.times_us
    if form.epoch is not None:
        unit_ns = _UNIT_NS[form.epoch]
        scaled = times_us * (_US_NS // unit_ns) if unit_ns <= _US_NS else times_us // (unit_ns // _US_NS)
        numbers: list[int] = scaled.astype(np.int64).tolist()
        return numbers
    if series.zone is None or series.zone.key == "UTC":
        return format_all_us(times_us)
    texts = (from_us(at_us).astimezone(series.zone).isoformat() for at_us in times_us.tolist())
    return [_ZEROS.sub("", text) if "." in text else text for text in texts]
