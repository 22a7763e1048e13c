"""What only the owner may ask, over the Unix socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.body import read_body, require_json
from pulsebase.api.decode import decode_object
from pulsebase.api.encode import ARROW, JSON, arrow_stream, stream_bytes
from pulsebase.api.errors import ProblemError, field_errors
from pulsebase.api.held import HeldResponse
from pulsebase.api.people import People
from pulsebase.api.schemas.admin import (
    BackupFolder,
    BackupResult,
    BlockStored,
    CheckResult,
    ExportParameters,
    OriginParameters,
    RetentionRequest,
    RetentionResult,
    Statement,
    StoredPeople,
)
from pulsebase.api.schemas.common import Accepted, NoParameters
from pulsebase.api.services import Services, came_by_socket
from pulsebase.etl.load import ImportSink, put_together
from pulsebase.ingest import Candidates
from pulsebase.model.errors import RejectedError
from pulsebase.model.readings import Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import LAST_END_US, MAX_US, TimeRange, format_us, parse_range, zone_named
from pulsebase.stores.contract import Embedded

_BLOCK_LIMIT_BYTES = 256 << 20


def owner_only(request: Request) -> None:
    """Let nobody in but the owner, who comes by the socket."""
    if not came_by_socket(request.scope):
        raise ProblemError("not-found", "there is no such route")


def router(services: Services, people: People) -> APIRouter:
    """Under `/v1/admin`; unknown to anybody who does not come by the socket."""
    routes = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(owner_only)])

    @routes.post("/check", response_model=CheckResult)
    def check(_: Annotated[NoParameters, Query()]) -> Response:
        """Compare every rollup with a recomputation from the raw readings."""
        return Response(msgspec.json.encode(services.store.check()), media_type=JSON)

    @routes.post("/retention", response_model=RetentionResult)
    def retention(how: RetentionRequest, _: Annotated[NoParameters, Query()]) -> Response:
        """Let raw readings that are older than they are kept expire now, or count them."""
        found = services.retention.apply(dry_run=how.dry_run)
        horizon = format_us(found.horizon_us) if found.horizon_us else None
        body = {"horizon": horizon, "readings": found.readings, "dry_run": how.dry_run}
        return Response(msgspec.json.encode(body), media_type=JSON)

    @routes.post("/backup", response_model=BackupResult)
    def backup(where: BackupFolder, _: Annotated[NoParameters, Query()]) -> Response:
        """Write a consistent copy of the store into a new folder, while everything goes on."""
        if not Path(where.folder).is_absolute():
            raise RejectedError.of("folder", "must be an absolute path")
        report = _embedded(services, "a database server has its own backups (pg_dump, say)").backup(Path(where.folder))
        return Response(msgspec.json.encode(report), media_type=JSON)

    @routes.post("/sql", response_model=None, response_class=Response, responses={200: {"content": {ARROW: {}}}})
    def sql(question: Statement, _: Annotated[NoParameters, Query()]) -> Response:
        """The answer to one reading statement in the store's own SQL, as an Arrow stream."""
        limits = services.series.limits
        embedded = _embedded(services, "a database server is asked by its own tools (psql, say)")
        table = embedded.select(question.statement, limits.max_rows, limits.timeout_s)
        return Response(stream_bytes(table), media_type=ARROW)

    @routes.post("/settle", status_code=204, response_model=None)
    def settle(_: Annotated[NoParameters, Query()]) -> Response:
        """Bring what the store does in the background with the readings stored so far to its end."""
        services.store.settle()
        return Response(status_code=204)

    @routes.post("/readings", status_code=202, response_model=BlockStored)
    async def store_readings(request: Request, origin: Annotated[OriginParameters, Query()]) -> Response:
        """Store one block of an import: an Arrow stream of `user_id` and `device_id` (in dictionaries), `time_us`,
        `value`, `confidence` (-1 for none) and `position`, the place that refusals name. The whole block is one commit.
        """
        body = await read_body(request, _BLOCK_LIMIT_BYTES)
        answer = await run_in_threadpool(_store_block, services, body, origin)
        return Response(msgspec.json.encode(answer), 202, media_type=JSON)

    @routes.post("/summaries", status_code=202, response_model=Accepted)
    async def store_summaries(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Put the days of an import, a JSON list, together with what is stored of them."""
        body = await read_body(request, _BLOCK_LIMIT_BYTES)
        try:
            days = msgspec.json.decode(body, type=list[DailySummary])
        except (msgspec.DecodeError, ValueError):
            raise ProblemError("malformed-body", "the body is not a list of days") from None
        await run_in_threadpool(put_together, services.store, days)
        return Response(msgspec.json.encode({"status": "accepted"}), 202, media_type=JSON)

    @routes.get("/export", response_model=None, response_class=Response, responses={200: {"content": {ARROW: {}}}})
    def export(asked: Annotated[ExportParameters, Query()]) -> HeldResponse:
        """Every stored reading, counted or not, as an Arrow stream of `user_id`, `device_id`, `time`, `value` (in
        hundredths of a bpm) and `confidence`; by UTC day, of one state of the store.
        """
        for user_id in asked.user_ids or ():
            services.series.require(user_id)
        batches = services.store.export(_export_range(asked), asked.user_ids)
        return HeldResponse(arrow_stream(batches), services.options.export_timeout_s, media_type=ARROW)

    @routes.post("/users", response_model=StoredPeople)
    async def store_people(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Create or replace the people of an import, all or none: `{"users": [{"user_id", …}, …]}` with the fields of
        `POST /users`.
        """
        require_json(request)
        body = decode_object(await read_body(request, _BLOCK_LIMIT_BYTES))
        stored = await run_in_threadpool(people.put_all, body)
        return Response(msgspec.json.encode({"stored": stored}), media_type=JSON)

    return routes


def _export_range(asked: ExportParameters) -> TimeRange:
    everything = TimeRange(0, MAX_US)
    if asked.start is None and asked.end is None:
        return everything
    start, end = asked.start or format_us(0), asked.end or format_us(LAST_END_US)
    found = parse_range(start, end, zone_named("UTC"), start_field="start", end_field="end").range
    return TimeRange(found.start_us, everything.end_us if asked.end is None else found.end_us)


def _embedded(services: Services, instead: str) -> Embedded:
    if services.embedded is None:
        raise ProblemError("not-found", f"this is for embedded stores, in files of their own; {instead}")
    return services.embedded


def _store_block(services: Services, body: bytes, origin: OriginParameters) -> dict[str, Any]:
    candidates = _candidates(body)
    number = services.ingestor.register_origin(origin.kind, origin.name)
    sink = ImportSink(services.ingestor, services.store, services.rules, number, attempts=1)  # who sends blocks waits
    accepted, errors = sink.readings(candidates)
    counts = {"accepted": accepted, "rejected": len(errors), "total": len(candidates)}
    return {"status": "accepted"} | counts | {"errors": field_errors(errors), "import_id": number}


def _candidates(body: bytes) -> Candidates:
    try:
        table = pa.ipc.open_stream(body).read_all()
        if any(column.null_count for column in table.columns):
            raise ValueError
        return Candidates(
            _ids(table["user_id"]),
            _ids(table["device_id"]),
            table["time_us"].to_numpy().astype(np.int64),
            table["value"].to_numpy().astype(np.float64),
            table["confidence"].to_numpy().astype(np.int8),
            table["position"].to_numpy().astype(np.int64),
        )
    except (pa.ArrowException, KeyError, ValueError, TypeError):
        raise ProblemError("malformed-body", "the body is not an Arrow stream of readings") from None


def _ids(column: pa.ChunkedArray) -> Ids:
    """The ids of a body with one list of texts."""
    if not pa.types.is_dictionary(column.type):
        raise TypeError
    ids = column.unify_dictionaries().combine_chunks().cast(pa.dictionary(pa.int32(), pa.string()))
    if ids.dictionary.null_count:
        raise ValueError
    return Ids(ids.indices.to_numpy(), ids.dictionary.to_pylist())
