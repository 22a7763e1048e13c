"""Imports and exports of commands, over the owner's socket: readings, daily summaries, people and other records."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.bounded_response import BoundedResponse
from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.border.problems import ProblemError, field_errors
from pulsebase.api.codecs.answers import ARROW, JSON, NDJSON, arrow_stream
from pulsebase.api.codecs.json_bodies import decode_object
from pulsebase.api.codecs.request_body import read_body, require_json
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.admin import owner_only
from pulsebase.api.routes.imports import ImportId
from pulsebase.api.routes.people_edits import PeopleEditor
from pulsebase.api.schemas.admin import (
    BlockStored,
    ExportParameters,
    FinishedImport,
    OriginParameters,
    ReadingsExportParameters,
    RecordKindParameters,
    RecordsParameters,
    StoredPeople,
    StoredRecords,
)
from pulsebase.api.schemas.common import Accepted, NoParameters
from pulsebase.etl.load import IMPORT_KIND, ImportSink
from pulsebase.etl.records import RecordKeeper
from pulsebase.etl.transform.own_records import parse_records
from pulsebase.events.kinds import ImportCounts
from pulsebase.ingest import Candidates
from pulsebase.ingest.arrow_messages import BoundedMessages
from pulsebase.ingest.blocks import MalformedError, TooLargeError
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import asked_metric
from pulsebase.model.readings import Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import LAST_END_US, MAX_US, TimeRange, format_us, from_us, parse_range, zone_named
from pulsebase.query.exports import exported_records
from pulsebase.query.plan import metrics_named
from pulsebase.stores.records import Kind

_BLOCK_LIMIT_BYTES = 256 << 20
#: The most that a block may decompress to.
_READ_LIMIT_BYTES = 1 << 30
_IDS = pa.dictionary(pa.int32(), pa.string())
_BLOCK_COLUMNS = [
    ("user_id", _IDS),
    ("device_id", _IDS),
    ("time_us", pa.int64()),
    ("value", pa.float64()),
    ("confidence", pa.int8()),
    ("position", pa.int64()),
]


def router(services: RequestServices, people: PeopleEditor) -> APIRouter:
    """Return more routes under `/v1/admin`, see `admin`."""
    routes = APIRouter(route_class=LateRoute, prefix="/admin", tags=["admin"], dependencies=[Depends(owner_only)])

    @routes.post("/readings", status_code=202, response_model=BlockStored)
    async def store_readings(request: Request, origin: Annotated[OriginParameters, Query()]) -> Response:
        """Store one block of an import, readings of one metric: an Arrow stream of `user_id` and `device_id` (in
        dictionaries), `time_us`, `value`, `confidence` (-1 for none) and `position`, the place that refusals name. The
        whole block is one commit.
        """
        body = await read_body(request, _BLOCK_LIMIT_BYTES)
        answer = await run_in_threadpool(_store_block, services, body, origin)
        return Response(msgspec.json.encode(answer), 202, media_type=JSON)

    @routes.post("/imports/{import_id}/finished", status_code=204, response_model=None)
    def finish_import(import_id: ImportId, how: FinishedImport, _: Annotated[NoParameters, Query()]) -> Response:
        """Tell webhooks that an import by a command ended."""
        origins = services.store.origins()
        found = next((each for each in origins if each.number == import_id and each.kind == IMPORT_KIND), None)
        if found is None:
            raise ProblemError("not-found", "there is no import of that id")
        if services.imports.runs(found.name):
            raise ProblemError("conflict", "the import still runs")
        counts = ImportCounts(how.files, how.read, how.written, how.unchanged, how.rejected, how.people)
        services.webhooks.import_finished(import_id, how.status, counts)
        return Response(status_code=204)

    @routes.post("/summaries", status_code=202, response_model=Accepted)
    async def store_summaries(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Merge the daily summaries of an import, a JSON list, with those that are stored."""
        body = await read_body(request, _BLOCK_LIMIT_BYTES)
        await run_in_threadpool(_store_days, services, body)
        return Response(msgspec.json.encode({"status": "accepted"}), 202, media_type=JSON)

    @routes.get("/export", response_model=None, response_class=Response, responses={200: {"content": {ARROW: {}}}})
    def export(asked: Annotated[ReadingsExportParameters, Query()]) -> BoundedResponse:
        """Return every stored reading, counted or not, as an Arrow stream of `user_id`, `device_id`, `time`, `value`
        (in the metric's stored unit), `confidence` and `metric`, in order of UTC days and from one snapshot of the
        store.
        """
        for user_id in asked.user_ids or ():
            services.series.require(user_id)
        metrics = metrics_named(asked.metric)
        if metrics is None:
            raise RejectedError.of("metric", "daily summaries are records; see /admin/records")
        names = [metric.name for metric in metrics]
        batches = services.store.export(_export_range(asked), asked.user_ids, names)
        return BoundedResponse(arrow_stream(batches), services.options.export_timeout_s, media_type=ARROW)

    @routes.get("/records", response_model=None, response_class=Response, responses={200: {"content": {NDJSON: {}}}})
    def export_records(asked: Annotated[RecordsParameters, Query()]) -> BoundedResponse:
        """Return one kind of the records that are kept of people besides readings, as NDJSON lines of an export."""
        within = _export_range(asked)
        first, last = (from_us(at_us).date() for at_us in (within.start_us, within.end_us - 1))
        lines = exported_records(services.store, asked.kind, asked.user_ids, first, last)
        return BoundedResponse(lines, services.options.export_timeout_s, media_type=NDJSON)

    @routes.post("/records", response_model=StoredRecords)
    async def store_records(request: Request, what: Annotated[RecordKindParameters, Query()]) -> Response:
        """Store the records of an export. One that contradicts what is stored already is refused."""
        body = await read_body(request, _BLOCK_LIMIT_BYTES)
        answer = await run_in_threadpool(_store_records, services, what.kind, body)
        return Response(msgspec.json.encode(answer), media_type=JSON)

    @routes.post("/users", response_model=StoredPeople)
    async def store_people(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Create or replace the people of an import, all or none: `{"users": [{"user_id", …}, …]}` with the fields of
        `POST /users`.
        """
        require_json(request)
        body = await read_body(request, _BLOCK_LIMIT_BYTES)
        stored = await run_in_threadpool(lambda: people.put_all(decode_object(body, most_values=None)))
        return Response(msgspec.json.encode({"stored": stored}), media_type=JSON)

    return routes


def _export_range(asked: ExportParameters) -> TimeRange:
    everything = TimeRange(0, MAX_US)
    if asked.start is None and asked.end is None:
        return everything
    start, end = asked.start or format_us(0), asked.end or format_us(LAST_END_US)
    found = parse_range(start, end, zone_named("UTC"), start_field="start", end_field="end").range
    return TimeRange(found.start_us, everything.end_us if asked.end is None else found.end_us)


def _store_block(services: RequestServices, body: bytes, origin: OriginParameters) -> dict[str, Any]:
    candidates = replace(_candidates(body), metric=asked_metric(origin.metric).name, twins=origin.twins)
    number = services.ingestor.register_origin(origin.kind, origin.name)
    # The command that sends blocks waits and retries by itself, so one attempt is enough here.
    sink = ImportSink(services.ingestor, services.store, _keeper(services), services.rules, origin=number, attempts=1)
    stored = sink.readings(candidates)
    rejected = len(stored.refused)
    counts = {"accepted": len(candidates) - rejected, "rejected": rejected, "total": len(candidates)}
    return (
        {"status": "accepted", "errors": field_errors(stored.refused), "import_id": number}
        | counts
        | {
            "unchanged": _stretches(stored.unchanged),
            "repeated": _stretches(stored.repeated),
        }
    )


def _stretches(mask: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Return the runs where the mask is true, each as its first row and the row after its last."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    found: list[list[int]] = edges.reshape(-1, 2).tolist()
    return found


def _store_days(services: RequestServices, body: bytes) -> None:
    try:
        days = msgspec.json.decode(body, type=list[DailySummary])
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ProblemError("malformed-body", "the body is not a list of days") from None
    _keeper(services).put_together(days)


def _store_records(services: RequestServices, kind: Kind, body: bytes) -> dict[str, Any]:
    parsed = parse_records(kind, body.splitlines(), 1, datetime.now(UTC).date())
    kept = _keeper(services).keep(parsed.records)
    errors = [*parsed.errors, *(replace(error, index=parsed.places[error.index or 0]) for error in kept.errors)]
    stored = len(parsed.records) - len(kept.errors)
    return {"stored": stored, "unchanged": kept.unchanged, "errors": field_errors(errors)}


def _keeper(services: RequestServices) -> RecordKeeper:
    return RecordKeeper(services.store, services.rules, services.erasures.changing)


def _candidates(body: bytes) -> Candidates:
    malformed = ProblemError("malformed-body", "the body is not an Arrow stream of readings")
    try:
        messages = BoundedMessages(io.BytesIO(body), _BLOCK_LIMIT_BYTES, _READ_LIMIT_BYTES)
        stream = pa.ipc.open_stream(pa.PythonFile(messages, mode="r"))
        if [(field.name, field.type) for field in stream.schema] != _BLOCK_COLUMNS:
            raise malformed
        table = stream.read_all()
        table.validate(full=True)  # an offset outside the buffers would crash the process
        if any(column.null_count for column in table.columns):
            raise malformed
        users, devices = _ids(table["user_id"]), _ids(table["device_id"])
    except TooLargeError as error:
        raise ProblemError("body-too-large", str(error)) from None
    except MalformedError as error:
        raise ProblemError("malformed-body", str(error)) from None
    except (pa.ArrowException, OSError, ValueError):
        raise malformed from None
    return Candidates(users, devices, *(table[name].to_numpy() for name, _ in _BLOCK_COLUMNS[2:]))


def _ids(column: pa.ChunkedArray) -> Ids:
    """Return the ids of a body, with the dictionaries of its batches combined into one."""
    ids = column.unify_dictionaries().combine_chunks()
    if ids.dictionary.null_count:
        raise ValueError
    return Ids(ids.indices.to_numpy(), ids.dictionary.to_pylist())
