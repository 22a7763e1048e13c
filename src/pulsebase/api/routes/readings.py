"""Store readings, return them by the minute, and delete them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase import telemetry
from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute, rows_held
from pulsebase.api.codecs.answers import JSON, said_in_headers, timestamps
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.metric_paths import metric_in_path
from pulsebase.api.routes.push import PushHandlers
from pulsebase.api.schemas.common import Accepted, Deleted, NoParameters, body_of
from pulsebase.api.schemas.readings import (
    BatchAccepted,
    DeleteParameters,
    HeartRate,
    HeartRateParameters,
    MetricList,
    MetricMinutes,
    MetricReading,
    MetricReadingsBody,
    Reading,
    ReadingsBody,
    ValueReading,
    ValueReadingsBody,
)
from pulsebase.ingest.blocks import fields_of
from pulsebase.model.metrics import HEART_RATE, METRICS, MetricSpec
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import parse_range, zone_named
from pulsebase.query.plan import SeriesQuestion

#: Schemas of bodies that msgspec decodes; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (Reading, ReadingsBody, ValueReading, ValueReadingsBody, MetricReading, MetricReadingsBody)


def router(services: RequestServices, doors: PushHandlers) -> APIRouter:
    """Return the routes under `/metrics/heart-rate`."""
    routes = APIRouter(route_class=SharedRoute, tags=["readings"])

    @routes.post("/metrics/heart-rate", status_code=202, response_model=Accepted, openapi_extra=body_of("Reading"))
    async def ingest_reading(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store one reading. The answer comes after it is on disk and visible to queries."""
        return await doors.single(request)

    @routes.post(
        "/metrics/heart-rate/batch",
        status_code=202,
        response_model=BatchAccepted,
        openapi_extra=body_of("ReadingsBody"),
    )
    async def ingest_batch(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store up to 1,000 readings. Invalid ones are refused individually. The answer comes after the others are on
        disk.
        """
        return await doors.batch(request)

    @routes.get("/metrics/heart-rate", response_model=HeartRate)
    def heart_rate(request: Request, parameters: Annotated[HeartRateParameters, Query()]) -> Response:
        """A person's minutes, devices resolved. Nothing found is 404."""
        return _minutes(services, request, parameters, HEART_RATE)

    @routes.delete("/metrics/heart-rate", response_model=Deleted)
    async def delete_readings(parameters: Annotated[DeleteParameters, Query()]) -> Response:
        """Delete a person's readings in a range, of one device or of all."""
        return await _deleted(services, parameters, HEART_RATE)

    return routes


def metrics_router(services: RequestServices, doors: PushHandlers) -> APIRouter:
    """Return the routes under `/metrics/{metric}`, and those for readings that name their metric."""
    routes = APIRouter(route_class=SharedRoute, tags=["readings"])

    @routes.post("/metrics/{metric}", status_code=202, response_model=Accepted, openapi_extra=body_of("ValueReading"))
    async def ingest_reading_of(
        request: Request, metric: Annotated[str, Path()], _: Annotated[NoParameters, Query()]
    ) -> Response:
        """Store one reading of a metric, in the metric's unit. In the path, hyphens and underscores are the same."""
        spec = metric_in_path(metric)
        return await (doors.single(request) if spec is HEART_RATE else doors.single_of(request, spec))

    @routes.post(
        "/metrics/{metric}/batch",
        status_code=202,
        response_model=BatchAccepted,
        openapi_extra=body_of("ValueReadingsBody"),
    )
    async def ingest_batch_of(
        request: Request, metric: Annotated[str, Path()], _: Annotated[NoParameters, Query()]
    ) -> Response:
        """Store up to 1,000 readings of a metric."""
        return await doors.batch_of(request, metric_in_path(metric))

    @routes.post("/readings", status_code=202, response_model=Accepted, openapi_extra=body_of("MetricReading"))
    async def ingest_reading_of_any(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store one reading that names its metric."""
        return await doors.single_of_any(request)

    @routes.post(
        "/readings/batch",
        status_code=202,
        response_model=BatchAccepted,
        openapi_extra=body_of("MetricReadingsBody"),
    )
    async def ingest_batch_of_any(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store up to 1,000 readings, each of which names its metric."""
        return await doors.batch_of_any(request)

    @routes.get("/metrics/{metric}", response_model=MetricMinutes | HeartRate)
    def minutes_of(
        request: Request, metric: Annotated[str, Path()], parameters: Annotated[HeartRateParameters, Query()]
    ) -> Response:
        """A person's minutes of a metric, devices resolved. Nothing found is 404. The field is `value`; of heart rate,
        however it is spelled, `heart_rate`.
        """
        return _minutes(services, request, parameters, metric_in_path(metric))

    @routes.delete("/metrics/{metric}", response_model=Deleted)
    async def delete_readings_of(
        metric: Annotated[str, Path()], parameters: Annotated[DeleteParameters, Query()]
    ) -> Response:
        """Delete a person's readings of a metric in a range, of one device or of all."""
        return await _deleted(services, parameters, metric_in_path(metric))

    return routes


def list_router(services: RequestServices) -> APIRouter:
    """Return the route `/v1/metrics`. It has no twin at the root, where that path is the one Prometheus scrapes."""
    routes = APIRouter(route_class=LateRoute, prefix="/v1", tags=["readings"])

    @routes.get("/metrics", response_model=MetricList)
    def metrics(_: Annotated[NoParameters, Query()]) -> Response:
        """List the metrics that can be stored and asked for, with the bounds of accepted values."""
        data = []
        for spec in METRICS.values():
            low, high = services.rules.bounds_of(spec)
            data.append({"metric": spec.name, "title": spec.title, "unit": spec.unit, "min": low, "max": high})
        return Response(msgspec.json.encode({"data": data}), media_type=JSON)

    return routes


def _minutes(
    services: RequestServices, request: Request, parameters: HeartRateParameters, metric: MetricSpec
) -> Response:
    value = fields_of(metric).value
    question = SeriesQuestion(
        parameters.start,
        parameters.end,
        interval=Resolution.MINUTE,
        device_id=parameters.device_id,
        start_field="start",
        end_field="end",
        metric=metric,
    )
    answer = services.series.one(parameters.user_id, question, rows=rows_held(request))
    columns = answer.series[0].columns
    if len(answer.series[0]) == 0:
        raise ProblemError("not-found", "there are no readings in this range")
    rows = zip(
        timestamps(columns["timestamp"]), columns["avg"].to_pylist(), columns["device_id"].to_pylist(), strict=True
    )
    data = [{"timestamp": at, value: average, "device_id": device} for at, average, device in rows]
    body = {"user_id": parameters.user_id, "data": data, "count": len(data)}
    return Response(msgspec.json.encode(body), headers=said_in_headers(answer), media_type=JSON)


async def _deleted(services: RequestServices, parameters: DeleteParameters, metric: MetricSpec) -> Response:
    asked = parse_range(parameters.start, parameters.end, zone_named("UTC"), start_field="start", end_field="end")
    await run_in_threadpool(services.series.require, parameters.user_id)
    ingestor = services.ingestor
    done = ingestor.submit_delete(parameters.user_id, asked.range, parameters.device_id, metric.name)
    deleted = await asyncio.wrap_future(done)
    telemetry.INGEST_DELETED.inc(deleted)
    return Response(msgspec.json.encode({"deleted": deleted}), media_type=JSON)
