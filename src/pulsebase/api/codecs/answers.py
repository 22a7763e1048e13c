"""Answers as bytes: JSON, CSV and Arrow."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from fastapi import Request, Response

from pulsebase.api.border.problems import ProblemError
from pulsebase.model.readings import READING_SCHEMA
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import format_all_us, format_us
from pulsebase.query.series import PersonSeries, SeriesAnswer, SummaryAnswer

JSON = "application/json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
FHIR_JSON = "application/fhir+json"
FHIR_NDJSON = "application/fhir+ndjson"
#: Open mHealth has registered no media type; this one is ours.
OPEN_MHEALTH = "application/vnd.openmhealth+ndjson"

_BUCKET_COLUMNS = ("timestamp", "avg", "min", "max", "count", "minutes")
_RAW_COLUMNS = ("timestamp", "value", "device_id", "confidence")


#: The media type for each entry of `Accept`.
_ANSWERS = {
    **{each: each for each in (JSON, CSV, ARROW, FHIR_JSON, FHIR_NDJSON, OPEN_MHEALTH)},
    **{"*/*": JSON, "application/*": JSON, "": JSON, "text/*": CSV},
}
#: Entries with another version of FHIR than this are not ours to answer.
_FHIR_VERSION = "5.0"


def negotiated(request: Request) -> str:
    """Return the media type to answer in: the entry of `Accept` with the highest quality that the series routes can
    write, the first of equal ones.

    Raises:
        ProblemError: `Accept` names none of them.
    """
    best, best_quality = "", 0.0
    for entry in ",".join(request.headers.getlist("accept") or ["*/*"]).split(","):
        wanted, _, parameters = entry.partition(";")
        quality = _quality(parameters)
        if wanted.strip().lower() in _ANSWERS and quality > best_quality and _is_our_fhir(parameters):
            best, best_quality = _ANSWERS[wanted.strip().lower()], quality
    if not best:
        raise ProblemError(
            "not-acceptable",
            f"answers come as {JSON}, {CSV} or {ARROW}; as FHIR {_FHIR_VERSION}, {FHIR_JSON} or {FHIR_NDJSON}; "
            f"and as {OPEN_MHEALTH}",
        )
    return best


def _is_our_fhir(parameters: str) -> bool:
    """Return whether an entry of `Accept` names no version of FHIR, or ours."""
    found = re.search(r'(?:^|;)\s*fhirversion="?([\d.]+)"?\s*(?:;|$)', parameters.lower(), re.ASCII)
    return found is None or found[1] in (_FHIR_VERSION, f"{_FHIR_VERSION}.0")


def _quality(parameters: str) -> float:
    """Return the `q` of an entry of `Accept`, 1 if it has no valid one."""
    found = re.search(r"(?:^|;)\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters.lower(), re.ASCII)
    return float(found[1]) if found else 1.0


def timestamps(times_us: pa.Array) -> list[str]:
    """`2024-01-15T10:00:00Z` for each time; fractions only where they are not zero."""
    return format_all_us(times_us.to_numpy(zero_copy_only=False))


def shown_time(at_us: int | None) -> str | None:
    """`2024-01-15T10:00:00Z`, or None where there is no time."""
    return None if at_us is None else format_us(at_us)


def column_names(answer: SeriesAnswer) -> tuple[str, ...]:
    """The columns that the answer shows."""
    return _RAW_COLUMNS if answer.plan.resolution is Resolution.RAW else _BUCKET_COLUMNS


def json_columns(person: PersonSeries, names: Sequence[str]) -> dict[str, list[Any]]:
    """A person's columns as JSON values."""
    return {
        name: timestamps(person.columns[name]) if name == "timestamp" else person.columns[name].to_pylist()
        for name in names
    }


def frame_of(answer: SeriesAnswer) -> dict[str, Any]:
    """Return the description of an answer: metric, unit, interval, table, zone and range."""
    plan = answer.plan
    return {
        "metric": plan.question.metric.table,
        "unit": plan.question.metric.unit,
        "interval": plan.resolution.value,
        "table": plan.table,
        "tz": plan.question.tz,
        "start": format_us(plan.range.start_us),
        "end": format_us(plan.range.end_us),
    }


def said_in_headers(answer: SeriesAnswer) -> dict[str, str]:
    """Return the description of an answer as headers, for bodies that have no place for it."""
    frame = frame_of(answer)
    said = {f"Pulsebase-{name.title()}": frame[name] for name in ("interval", "table", "tz", "start", "end")}
    return said | places_in_headers(answer)


def places_in_headers(answer: SeriesAnswer | SummaryAnswer) -> dict[str, str]:
    """Return who was not found, and where the next page begins, as headers."""
    said: dict[str, str] = {}
    if answer.missing:
        said["Pulsebase-Missing"] = ",".join(answer.missing)
    if answer.next_cursor is not None:
        said["Pulsebase-Next-Cursor"] = answer.next_cursor
    return said


def frame_of_several(answers: Sequence[SeriesAnswer]) -> dict[str, Any]:
    """Return what answers about several metrics have in common."""
    frame = frame_of(answers[0])
    return {name: frame[name] for name in ("interval", "tz", "start", "end")}


def part_of_several(answer: SeriesAnswer) -> dict[str, Any]:
    """Return what sets one of several metrics apart."""
    frame = frame_of(answer)
    return {name: frame[name] for name in ("metric", "unit", "table")}


def tabular_of_several(answers: Sequence[SeriesAnswer]) -> pa.Table:
    """Return a table of answers about several metrics at one resolution, with a column `metric` after `user_id`."""
    tables = []
    for answer in answers:
        table = tabular(answer)
        names = pa.array([answer.plan.question.metric.table] * table.num_rows, pa.string())
        tables.append(table.add_column(1, "metric", names))
    filled = [table for table in tables if table.num_rows] or tables[:1]
    return pa.concat_tables(filled).combine_chunks()


def tabular(answer: SeriesAnswer) -> pa.Table:
    """Return a table with one row for each bucket or reading, `user_id` first, times as UTC timestamps."""
    names = column_names(answer)
    parts = [
        pa.table([_repeated(person), *_typed(person, names)], names=["user_id", *names]) for person in answer.series
    ]
    if parts:
        return pa.concat_tables(parts).combine_chunks()
    return pa.table({name: pa.array([], pa.string()) for name in ("user_id", *names)})


def csv_bytes(table: pa.Table) -> bytes:
    """A table of an answer as CSV (RFC 4180), with a header line."""
    if table.num_rows:
        place = table.schema.get_field_index("timestamp")
        table = table.set_column(
            place, "timestamp", pa.array(timestamps(table["timestamp"].cast(pa.int64()).combine_chunks()))
        )
    out = io.BytesIO()
    out.write((",".join(table.column_names) + "\r\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed", eol="\r\n")
    pyarrow.csv.write_csv(table, out, options)
    return out.getvalue()


def arrow_bytes(table: pa.Table, frame: dict[str, Any]) -> bytes:
    """Return the table as an Arrow IPC stream, with the description of the answer in the schema's metadata."""
    return stream_bytes(table.replace_schema_metadata(frame))


def stream_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def arrow_stream(batches: Iterator[pa.RecordBatch]) -> Generator[bytes, None, None]:
    """Readings as an Arrow IPC stream, a batch at a time."""
    with contextlib.closing(batches):  # type: ignore[type-var]
        pieces = Pieces()
        with pa.ipc.new_stream(pa.PythonFile(pieces, mode="w"), READING_SCHEMA) as writer:
            for batch in batches:
                writer.write_batch(batch)
                yield pieces.take()
        yield pieces.take()


class Pieces:
    """A file to write to. What was written is taken out piece by piece, to be sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, part: bytes) -> int:
        """Keep the bytes until they are taken."""
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> bytes:
        """Return everything written since the last call."""
        joined = b"".join(self._parts)
        self._parts = []
        return joined

    def writable(self) -> bool:
        """Tell Arrow that this can be written."""
        return True

    def flush(self) -> None:
        """Do nothing; part of the file protocol."""

    def close(self) -> None:
        """Called by Arrow when it is done."""
        self.closed = True


def tagged(request: Request, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer with an ETag of its bytes, or 304 without a body if the client has them already."""
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    all_headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept"} | (headers or {})
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=all_headers)
    return Response(body, headers=all_headers, media_type=media_type)


def respond(request: Request, answer: SeriesAnswer, as_json: dict[str, Any], media_type: str) -> Response:
    """Return the answer in the negotiated media type."""
    if media_type == CSV:
        return tagged(request, csv_bytes(tabular(answer)), "text/csv; charset=utf-8", said_in_headers(answer))
    if media_type == ARROW:
        return tagged(request, arrow_bytes(tabular(answer), frame_of(answer)), ARROW, said_in_headers(answer))
    return tagged(request, msgspec.json.encode(as_json), JSON)


def respond_with_several(
    request: Request, answers: Sequence[SeriesAnswer], as_json: dict[str, Any], media_type: str
) -> Response:
    """Return answers about several metrics in the negotiated media type."""
    headers = said_in_headers(answers[0])
    headers["Pulsebase-Table"] = ",".join(answer.plan.table for answer in answers)
    if media_type == CSV:
        return tagged(request, csv_bytes(tabular_of_several(answers)), "text/csv; charset=utf-8", headers)
    if media_type == ARROW:
        body = arrow_bytes(tabular_of_several(answers), frame_of_several(answers))
        return tagged(request, body, ARROW, headers)
    return tagged(request, msgspec.json.encode(as_json), JSON)


def _repeated(person: PersonSeries) -> pa.Array:
    return pa.array([person.user_id] * len(person), pa.string())


def _typed(person: PersonSeries, names: Sequence[str]) -> list[pa.Array]:
    return [
        pc.cast(person.columns[name], pa.timestamp("us", tz="UTC")) if name == "timestamp" else person.columns[name]
        for name in names
    ]
