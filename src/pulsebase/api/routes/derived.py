"""What is worked out from a person's stored readings: heart rate variability, and resting heart rates."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Path, Query, Request, Response

from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.request_shares import SharedRoute, rows_held
from pulsebase.api.codecs.answers import JSON, shown_time, tagged
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import PathIdentifier
from pulsebase.api.schemas.derived import DaysParameters, HeartRateVariability, RestingHeartRates, VariabilityParameters
from pulsebase.model import hrv, resting
from pulsebase.model.metrics import HEART_RATE, RR_INTERVAL
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange, format_all_us, format_us
from pulsebase.query.person_days import DaysQuestion
from pulsebase.query.resting import RestingDay
from pulsebase.query.variability import VariabilityAnswer
from pulsebase.stores.contract import Cancellation

UserId = Annotated[PathIdentifier, Path()]


def router(services: RequestServices) -> APIRouter:
    """`/users/{user_id}/hrv` and `/users/{user_id}/resting-heart-rate`."""
    routes = APIRouter(route_class=SharedRoute, tags=["derived"])

    @routes.get("/users/{user_id}/hrv", response_model=HeartRateVariability)
    async def heart_rate_variability(
        request: Request, user_id: UserId, parameters: Annotated[VariabilityParameters, Query()]
    ) -> Response:
        """RMSSD and SDNN of the person's stored beats, by five minutes or by night, for at most 366 days."""
        return await while_connected(
            request, lambda cancellation: by_window(request, user_id, parameters, cancellation)
        )

    @routes.get("/users/{user_id}/resting-heart-rate", response_model=RestingHeartRates)
    async def resting_heart_rate(
        request: Request, user_id: UserId, parameters: Annotated[DaysParameters, Query()]
    ) -> Response:
        """The person's resting heart rate by civil day, our own beside what sources state, for at most 366 days."""
        return await while_connected(request, lambda cancellation: by_day(request, user_id, parameters, cancellation))

    def by_window(
        request: Request, user_id: str, parameters: VariabilityParameters, cancellation: Cancellation
    ) -> Response:
        question = _question(user_id, parameters, cancellation)
        answer = services.derived.variability(question, parameters.window, rows_held(request))
        body = {
            **_frame(user_id, RR_INTERVAL.unit, answer.tz, answer.range),
            "window": answer.window,
            "least_beats": answer.least_beats,
            "methods": {hrv.METHOD_NAME: hrv.METHOD},
            "count": len(answer.windows),
            "columns": _variability_columns(answer),
        }
        return tagged(request, msgspec.json.encode(body), JSON)

    def by_day(request: Request, user_id: str, parameters: DaysParameters, cancellation: Cancellation) -> Response:
        answer = services.derived.resting(_question(user_id, parameters, cancellation), rows_held(request))
        body = {
            **_frame(user_id, HEART_RATE.unit, answer.tz, answer.range),
            "least_covered_minutes": resting.LEAST_COVERED_MINUTES,
            "methods": {resting.METHOD_NAME: resting.METHOD},
            "count": len(answer.days),
            "columns": _resting_columns(answer.days),
        }
        return tagged(request, msgspec.json.encode(body), JSON)

    return routes


def _question(user_id: str, parameters: DaysParameters, cancellation: Cancellation) -> DaysQuestion:
    return DaysQuestion(user_id, parameters.start_date, parameters.end_date, parameters.tz, cancellation=cancellation)


def _frame(user_id: str, unit: str, tz: str, answered: TimeRange) -> dict[str, Any]:
    start, end = format_us(answered.start_us), format_us(answered.end_us)
    return {"user_id": user_id, "unit": unit, "tz": tz, "start": start, "end": end}


def _variability_columns(answer: VariabilityAnswer) -> dict[str, list[Any]]:
    found = answer.windows
    dates = {"date": [morning.isoformat() for morning in answer.mornings]} if answer.window == "night" else {}
    return dates | {
        "timestamp": format_all_us(found.start_us),
        "rmssd": _with_nulls(found.rmssd),
        "sdnn": _with_nulls(found.sdnn),
        "beats": found.beats.tolist(),
        "left_out": found.left_out.tolist(),
        "method": [hrv.METHOD_NAME] * len(found),
    }


def _with_nulls(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _resting_columns(days: tuple[RestingDay, ...]) -> dict[str, list[Any]]:
    return {
        "date": [each.day.isoformat() for each in days],
        "resting_heart_rate": [None if each.own is None else each.own.bpm for each in days],
        "method": [None if each.own is None else resting.METHOD_NAME for each in days],
        "timestamp": [shown_time(None if each.own is None else each.own.start_us) for each in days],
        "covered_minutes": [each.covered_minutes for each in days],
        "stated": [[_stated(summary) for summary in each.stated] for each in days],
    }


def _stated(summary: DailySummary) -> dict[str, Any]:
    return {"resting_heart_rate": summary.resting_heart_rate, "method": summary.resting_heart_rate_method}
