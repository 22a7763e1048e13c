"""Store readings, return them by the minute, and delete them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase import telemetry
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute, rows_held
from pulsebase.api.codecs.answers import JSON, said_in_headers, timestamps
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.push import PushHandlers
from pulsebase.api.schemas.common import Accepted, Deleted, NoParameters, body_of
from pulsebase.api.schemas.readings import BatchAccepted, DeleteParameters, HeartRate, HeartRateParameters
from pulsebase.api.schemas.readings import Reading as ReadingSchema
from pulsebase.api.schemas.readings import ReadingsBody as ReadingBatchSchema
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import parse_range, zone_named
from pulsebase.query.plan import SeriesQuestion

#: Schemas of bodies that msgspec decodes; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (ReadingSchema, ReadingBatchSchema)


def router(services: RequestServices, doors: PushHandlers) -> APIRouter:
    """The routes under `/metrics/heart-rate`."""
    routes = APIRouter(route_class=SharedRoute, tags=["readings"])

    @routes.post("/metrics/heart-rate", status_code=202, response_model=Accepted, openapi_extra=body_of("Reading"))
    async def ingest_reading(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store one reading. The answer comes once it is on the disk and visible to queries."""
        return await doors.single(request)

    @routes.post(
        "/metrics/heart-rate/batch",
        status_code=202,
        response_model=BatchAccepted,
        openapi_extra=body_of("ReadingsBody"),
    )
    async def ingest_batch(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store up to 1,000 readings. Bad ones are refused one by one; the answer comes once the rest is on the
        disk.
        """
        return await doors.batch(request)

    @routes.get("/metrics/heart-rate", response_model=HeartRate)
    def heart_rate(request: Request, parameters: Annotated[HeartRateParameters, Query()]) -> Response:
        """A person's minutes, devices resolved. Nothing found is 404."""
        question = SeriesQuestion(
            parameters.start,
            parameters.end,
            interval=Resolution.MINUTE,
            device_id=parameters.device_id,
            start_field="start",
            end_field="end",
        )
        answer = services.series.one(parameters.user_id, question, rows_held(request))
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
