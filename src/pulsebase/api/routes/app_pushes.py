"""What phone apps push, in bodies of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from pulsebase.api.border.problems import ProblemError, field_errors
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.request_body import read_body, require_json, worked_out
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.readings import AppPushAccepted, AppPushParameters
from pulsebase.etl.transform.pushed import PushedReadings, TooManyObjectsError
from pulsebase.etl.transform.pushed_by_android import pushed_by_android
from pulsebase.etl.transform.pushed_by_iphone import pushed_by_iphone
from pulsebase.ingest.counting import count_readings
from pulsebase.model.metrics import METRICS

_SOURCE = "http"
#: How many refusals an answer lists.
_SHOWN_ERRORS = 100
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}
_Read = Callable[[bytes, str, str | None], PushedReadings]


def router(services: RequestServices) -> APIRouter:
    """Return the routes under `/push`."""
    routes = APIRouter(route_class=SharedRoute, tags=["readings"])

    @routes.post("/push/health-auto-export", status_code=202, response_model=AppPushAccepted, openapi_extra=_BODY)
    async def push_of_iphone(request: Request, parameters: Annotated[AppPushParameters, Query()]) -> Response:
        """Store what the app Health Auto Export sends as JSON. Single values are stored; summaries of minutes or longer
        are refused, and the error says what to set in the app. `passed_over` names data of no metric.
        """
        return await _pushed(services, request, parameters, pushed_by_iphone)

    @routes.post("/push/health-connect", status_code=202, response_model=AppPushAccepted, openapi_extra=_BODY)
    async def push_of_android(request: Request, parameters: Annotated[AppPushParameters, Query()]) -> Response:
        """Store what the app HC Webhook sends of Health Connect. As for the other app."""
        return await _pushed(services, request, parameters, pushed_by_android)

    return routes


async def _pushed(services: RequestServices, request: Request, parameters: AppPushParameters, read: _Read) -> Response:
    require_json(request)
    body = await read_body(request, services.options.body_limit_bytes)
    try:
        pushed = await worked_out(body, lambda: read(body, parameters.user_id, parameters.device_id))
    except TooManyObjectsError as error:
        raise ProblemError("body-too-large", str(error)) from None
    count_readings(_SOURCE, 0, Counter(error.field for error in pushed.errors))
    offered = [
        services.ingestor.offer(
            candidates, services.rules.of_metric(METRICS[metric], metric), services.push_origin, _SOURCE
        )
        for metric, candidates in pushed.candidates.items()
    ]
    outcomes = [await asyncio.wrap_future(each) for each in offered]
    errors = [*pushed.errors, *(error for outcome in outcomes for error in outcome.errors)]
    accepted = sum(outcome.accepted for outcome in outcomes)
    first = sorted(errors, key=lambda error: error.index or 0)[:_SHOWN_ERRORS]
    counts: dict[str, Any] = {"accepted": accepted, "rejected": len(errors), "total": pushed.total}
    counts |= {"errors": field_errors(first)}
    if pushed.total and not accepted:
        raise ProblemError("nothing-accepted", "no reading of the body was accepted", **counts)
    answer = {"status": "accepted"} | counts | {"passed_over": pushed.passed_over}
    return Response(msgspec.json.encode(answer), 202, media_type=JSON)
