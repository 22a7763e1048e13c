"""Readings in, readings out by the minute, readings away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase import telemetry
from pulsebase.api.body import read_body, require_json
from pulsebase.api.decode import decode_batch, decode_single
from pulsebase.api.encode import JSON, said_in_headers, timestamps
from pulsebase.api.errors import ProblemError, field_errors
from pulsebase.api.schemas import (
    Accepted,
    BatchAccepted,
    Deleted,
    DeleteParameters,
    HeartRate,
    HeartRateParameters,
    NoParameters,
)
from pulsebase.api.schemas import Reading as ReadingSchema
from pulsebase.api.schemas import ReadingBatch as ReadingBatchSchema
from pulsebase.api.services import Services
from pulsebase.ingest import validate
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import parse_range, zone_named
from pulsebase.query.plan import SeriesQuestion

_SOURCE = "http"
_FIELDS = frozenset({"device_id", "user_id", "timestamp", "heart_rate", "confidence"})


def _body_of(schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": reference}}}}


#: Schemas of bodies that msgspec decodes; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (ReadingSchema, ReadingBatchSchema)


def router(services: Services) -> APIRouter:
    """The routes under `/metrics/heart-rate`."""
    routes = APIRouter(tags=["readings"])
    limit_bytes = services.options.body_limit_bytes

    @routes.post("/metrics/heart-rate", status_code=202, response_model=Accepted, openapi_extra=_body_of("Reading"))
    async def ingest_reading(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store one reading. The answer comes once it is on the disk and visible to queries."""
        require_json(request)
        candidates = decode_single(await read_body(request, limit_bytes))
        verdict = validate(candidates, services.rules, services.push_origin)
        if verdict.accepted is None:
            count_readings(_SOURCE, 0, verdict.errors)
            raise RejectedError([FieldError(error.field, error.reason) for error in verdict.errors])
        await asyncio.wrap_future(services.ingestor.submit(verdict.accepted))
        count_readings(_SOURCE, 1, ())
        return _accepted({"status": "accepted"})

    @routes.post(
        "/metrics/heart-rate/batch",
        status_code=202,
        response_model=BatchAccepted,
        openapi_extra=_body_of("ReadingBatch"),
    )
    async def ingest_batch(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store up to 1,000 readings. Bad ones are refused one by one; the answer comes once the rest is on the
        disk.
        """
        require_json(request)
        candidates, errors, total = decode_batch(await read_body(request, limit_bytes))
        accepted = 0
        if len(candidates):
            verdict = validate(candidates, services.rules, services.push_origin)
            errors = sorted([*errors, *verdict.errors], key=lambda error: error.index or 0)
            if verdict.accepted is not None:
                await asyncio.wrap_future(services.ingestor.submit(verdict.accepted))
                accepted = len(verdict.accepted)
        count_readings(_SOURCE, accepted, errors)
        counts: dict[str, Any] = {"accepted": accepted, "rejected": total - accepted, "total": total}
        if accepted == 0:
            shown = field_errors(errors)
            raise ProblemError("nothing-accepted", "every reading of the batch was refused", errors=shown, **counts)
        return _accepted({"status": "accepted"} | counts | {"errors": field_errors(errors)})

    @routes.get("/metrics/heart-rate", response_model=HeartRate)
    def heart_rate(parameters: Annotated[HeartRateParameters, Query()]) -> Response:
        """A person's minutes, devices resolved. Nothing found is 404."""
        question = SeriesQuestion(
            parameters.start,
            parameters.end,
            interval=Resolution.MINUTE,
            device_id=parameters.device_id,
            start_field="start",
            end_field="end",
        )
        answer = services.series.one(parameters.user_id, question)
        columns = answer.series[0].columns
        if len(answer.series[0]) == 0:
            raise ProblemError("not-found", "there are no readings in this range")
        rows = zip(
            timestamps(columns["timestamp"]), columns["avg"].to_pylist(), columns["device_id"].to_pylist(), strict=True
        )
        data = [{"timestamp": at, "heart_rate": average, "device_id": device} for at, average, device in rows]
        body = {"user_id": parameters.user_id, "data": data, "count": len(data)}
        return Response(msgspec.json.encode(body), headers=said_in_headers(answer), media_type=JSON)

    @routes.delete("/metrics/heart-rate", response_model=Deleted)
    async def delete_readings(parameters: Annotated[DeleteParameters, Query()]) -> Response:
        """Delete a person's readings in a range, of one device or of all."""
        asked = parse_range(parameters.start, parameters.end, zone_named("UTC"), start_field="start", end_field="end")
        await run_in_threadpool(services.series.require, parameters.user_id)
        done = services.ingestor.submit_delete(parameters.user_id, asked.range, parameters.device_id)
        deleted = await asyncio.wrap_future(done)
        telemetry.INGEST_DELETED.inc(deleted)
        return Response(msgspec.json.encode({"deleted": deleted}), media_type=JSON)

    return routes


def _accepted(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), 202, media_type=JSON)


def count_readings(source: str, accepted: int, errors: Sequence[FieldError]) -> None:
    """Count what became of readings; fields that nobody knows share a label, since anything may stand there."""
    if accepted:
        telemetry.INGEST_ACCEPTED.labels(source).inc(accepted)
    for name, count in Counter(error.field for error in errors).items():
        telemetry.INGEST_REJECTED.labels(source, name if name in _FIELDS else "other").inc(count)
