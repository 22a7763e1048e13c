"""Series of one person or several, at the resolution that fits the range."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute, rows_held
from pulsebase.api.codecs.answers import (
    ARROW,
    CSV,
    FHIR_JSON,
    FHIR_NDJSON,
    JSON,
    OPEN_MHEALTH,
    column_names,
    frame_of,
    frame_of_several,
    json_columns,
    negotiated,
    part_of_several,
    respond,
    respond_with_several,
    tagged,
)
from pulsebase.api.codecs.health_answers import (
    HEALTH_FORMATS,
    require_writable,
    respond_in_health_format,
    respond_with_resting,
)
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.series import MultiSeries, MultiSeriesParameters, Series, SeriesParameters, SeveralMetrics
from pulsebase.model.metrics import HEART_RATE, HEART_RATE_SUMMARY_TABLE
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import format_us
from pulsebase.query.plan import SeriesQuestion, metrics_named
from pulsebase.query.series import SeriesAnswer, SummaryAnswer
from pulsebase.stores.contract import Cancellation

_FORMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {each: {} for each in (CSV, ARROW, FHIR_JSON, FHIR_NDJSON, OPEN_MHEALTH)}},
    304: {"description": "Not Modified"},
}


def router(services: RequestServices) -> APIRouter:
    """Return the routes `/timeseries` and `/multi-user/timeseries`."""
    routes = APIRouter(route_class=SharedRoute, tags=["series"])
    timeout_s = services.options.export_timeout_s

    @routes.get("/timeseries", response_model=Series | SeveralMetrics, responses=_FORMS)
    async def timeseries(request: Request, parameters: Annotated[SeriesParameters, Query()]) -> Response:
        """Return one person's series as JSON, CSV, Arrow, FHIR R5 or Open mHealth, by `Accept`. Several metrics share
        one resolution.
        """
        return await while_connected(request, lambda cancellation: one(request, parameters, cancellation))

    @routes.get("/multi-user/timeseries", response_model=MultiSeries | SeveralMetrics, responses=_FORMS)
    async def multi_user_timeseries(
        request: Request, parameters: Annotated[MultiSeriesParameters, Query()]
    ) -> Response:
        """Return several people's series at one resolution, as JSON, CSV, Arrow, FHIR R5 or Open mHealth, chosen by
        `Accept`. Unknown people are listed in `missing`.
        """
        return await while_connected(request, lambda cancellation: many(request, parameters, cancellation))

    def one(request: Request, parameters: SeriesParameters, cancellation: Cancellation) -> Response:
        media_type, rows = negotiated(request), rows_held(request)
        question = _question(parameters, cancellation)
        metrics = metrics_named(parameters.metric)
        if metrics is None:
            services.series.require(parameters.user_id)
            summaries = services.series.summaries([parameters.user_id], question, 1, None)
            columns = _summary_columns(summaries.summaries[0][1])
            body = {"user_id": parameters.user_id} | _summary_frame(summaries)
            body |= {"count": len(columns["date"]), "columns": columns}
            return _summary_answer(request, media_type, summaries, body, timeout_s)
        require_writable(metrics, media_type)
        answers = services.series.several(metrics, question, partial(services.series.one, parameters.user_id), rows)
        if media_type in HEALTH_FORMATS:
            return respond_in_health_format(answers, media_type, timeout_s)
        if len(metrics) > 1:
            return respond_with_several(
                request, answers, {"user_id": parameters.user_id} | several(answers), media_type
            )
        (answer,) = answers
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
        metrics = metrics_named(parameters.metric)
        if metrics is None:
            summaries = services.series.summaries(parameters.user_ids, question, limit, parameters.cursor)
            people = [
                {"user_id": user_id, "count": len(found), "columns": _summary_columns(found)}
                for user_id, found in summaries.summaries
            ]
            tail = {"series": people, "missing": summaries.missing, "next_cursor": summaries.next_cursor}
            return _summary_answer(request, media_type, summaries, _summary_frame(summaries) | tail, timeout_s)
        require_writable(metrics, media_type)
        ask = partial(services.series.many, parameters.user_ids, limit=limit, cursor=parameters.cursor)
        answers = services.series.several(metrics, question, ask, rows_held(request))
        if media_type in HEALTH_FORMATS:
            return respond_in_health_format(answers, media_type, timeout_s)
        if len(metrics) > 1:
            tail = {"missing": answers[0].missing, "next_cursor": answers[0].next_cursor}
            return respond_with_several(request, answers, several(answers, with_people=True) | tail, media_type)
        (answer,) = answers
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


def several(answers: Sequence[SeriesAnswer], *, with_people: bool = False) -> dict[str, Any]:
    """Return answers about several metrics as JSON values."""
    series = [
        ({"user_id": person.user_id} if with_people else {})
        | part_of_several(answer)
        | {"count": len(person), "columns": json_columns(person, column_names(answer))}
        for answer in answers
        for person in answer.series
    ]
    return frame_of_several(answers) | {"series": series}


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
        "metric": HEART_RATE_SUMMARY_TABLE,
        "unit": HEART_RATE.unit,
        "interval": Resolution.DAY.value,
        "table": HEART_RATE_SUMMARY_TABLE,
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
    """Return heart-rate zones with the field names that sources and exports use."""
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


def _summary_answer(
    request: Request, media_type: str, summaries: SummaryAnswer, body: dict[str, Any], timeout_s: float
) -> Response:
    if media_type in (FHIR_JSON, FHIR_NDJSON):
        return respond_with_resting(summaries, media_type, timeout_s)
    if media_type != JSON:
        forms = f"{JSON}, {FHIR_JSON} and {FHIR_NDJSON}"
        raise ProblemError("not-acceptable", f"{HEART_RATE_SUMMARY_TABLE} is available as {forms} only")
    return tagged(request, msgspec.json.encode(body), JSON)
