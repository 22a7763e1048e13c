"""Series at the right resolution, of one person or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute, rows_held
from pulsebase.api.codecs.answers import (
    ARROW,
    CSV,
    JSON,
    column_names,
    frame_of,
    json_columns,
    negotiated,
    respond,
    tagged,
)
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.series import MultiSeries, MultiSeriesParameters, Series, SeriesParameters
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import format_us
from pulsebase.query.plan import SeriesQuestion, metric_named
from pulsebase.query.series import SummaryAnswer
from pulsebase.stores.contract import Cancellation

_FORMS: dict[int | str, dict[str, Any]] = {200: {"content": {CSV: {}, ARROW: {}}}, 304: {"description": "Not Modified"}}


def router(services: RequestServices) -> APIRouter:
    """`/timeseries` and `/multi-user/timeseries`."""
    routes = APIRouter(route_class=SharedRoute, tags=["series"])

    @routes.get("/timeseries", response_model=Series, responses=_FORMS)
    async def timeseries(request: Request, parameters: Annotated[SeriesParameters, Query()]) -> Response:
        """One person's series; JSON, CSV or Arrow by `Accept`."""
        return await while_connected(request, lambda cancellation: one(request, parameters, cancellation))

    @routes.get("/multi-user/timeseries", response_model=MultiSeries, responses=_FORMS)
    async def multi_user_timeseries(
        request: Request, parameters: Annotated[MultiSeriesParameters, Query()]
    ) -> Response:
        """Several people's series at one rung; JSON, CSV or Arrow by `Accept`. Unknown people are in `missing`."""
        return await while_connected(request, lambda cancellation: many(request, parameters, cancellation))

    def one(request: Request, parameters: SeriesParameters, cancellation: Cancellation) -> Response:
        media_type = negotiated(request)
        question = _question(parameters, cancellation)
        if metric_named(parameters.metric):
            services.series.require(parameters.user_id)
            summaries = services.series.summaries([parameters.user_id], question, 1, None)
            columns = _summary_columns(summaries.summaries[0][1])
            body = {"user_id": parameters.user_id} | _summary_frame(summaries)
            return _summary_answer(request, media_type, body | {"count": len(columns["date"]), "columns": columns})
        answer = services.series.one(parameters.user_id, question, rows_held(request))
        if media_type != JSON:
            return respond(request, answer, {}, media_type)
        person = answer.series[0]
        columns = json_columns(person, column_names(answer))
        body = {"user_id": person.user_id} | frame_of(answer) | {"count": len(person), "columns": columns}
        return respond(request, answer, body, media_type)

    def many(request: Request, parameters: MultiSeriesParameters, cancellation: Cancellation) -> Response:
        media_type = negotiated(request)
        question = _question(parameters, cancellation)
        limit = min(parameters.limit, services.series.limits.max_people)
        if metric_named(parameters.metric):
            summaries = services.series.summaries(parameters.user_ids, question, limit, parameters.cursor)
            people = [
                {"user_id": user_id, "count": len(found), "columns": _summary_columns(found)}
                for user_id, found in summaries.summaries
            ]
            tail = {"series": people, "missing": summaries.missing, "next_cursor": summaries.next_cursor}
            return _summary_answer(request, media_type, _summary_frame(summaries) | tail)
        answer = services.series.many(parameters.user_ids, question, limit, parameters.cursor, rows_held(request))
        if media_type != JSON:
            return respond(request, answer, {}, media_type)
        names = column_names(answer)
        series = [
            {"user_id": person.user_id, "count": len(person), "columns": json_columns(person, names)}
            for person in answer.series
        ]
        tail = {"series": series, "missing": answer.missing, "next_cursor": answer.next_cursor}
        return respond(request, answer, frame_of(answer) | tail, media_type)

    return routes


def _question(parameters: SeriesParameters | MultiSeriesParameters, cancellation: Cancellation) -> SeriesQuestion:
    return SeriesQuestion(
        parameters.start_date,
        parameters.end_date,
        tz=parameters.tz,
        interval=None if parameters.interval == "auto" else Resolution(parameters.interval),
        max_points=parameters.max_points,
        device_id=parameters.device_id,
        include_all=parameters.include == "all",
        zones=parameters.zones,
        cancellation=cancellation,
    )


def _summary_frame(answer: SummaryAnswer) -> dict[str, Any]:
    return {
        "metric": HEART_RATE.summary_table,
        "unit": HEART_RATE.unit,
        "interval": Resolution.DAY.value,
        "table": HEART_RATE.summary_table,
        "tz": answer.tz,
        "start": format_us(answer.range.start_us),
        "end": format_us(answer.range.end_us),
    }


def _summary_columns(summaries: Sequence[DailySummary]) -> dict[str, list[Any]]:
    return {
        "date": [summary.day.isoformat() for summary in summaries],
        "resting_heart_rate": [summary.resting_heart_rate for summary in summaries],
        "resting_heart_rate_method": [summary.resting_heart_rate_method for summary in summaries],
        "heart_rate_zones": [_zones(summary.zones) for summary in summaries],
        "custom_heart_rate_zones": [_zones(summary.custom_zones) for summary in summaries],
    }


def _zones(zones: Sequence[HeartRateZone]) -> list[dict[str, Any]]:
    """Zones with the field names that their sources and the stored exports use."""
    return [
        {
            "name": zone.name,
            "min": zone.min_bpm,
            "max": zone.max_bpm,
            "minutes": zone.minutes,
            "caloriesOut": zone.calories,
        }
        for zone in zones
    ]


def _summary_answer(request: Request, media_type: str, body: dict[str, Any]) -> Response:
    if media_type != JSON:
        raise ProblemError("not-acceptable", f"{HEART_RATE.summary_table} comes as {JSON} only")
    return tagged(request, msgspec.json.encode(body), JSON)
