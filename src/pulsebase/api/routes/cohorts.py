"""Questions about groups of people, and about a person's highest hours."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from pulsebase.access.caller import caller
from pulsebase.access.keys import LEAST_GROUP_PEOPLE
from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.metric_paths import metric_in_path
from pulsebase.api.schemas.cohorts import (
    Cohort,
    CohortParameters,
    CohortSummaryAnswer,
    HeartRateCohortParameters,
    TopHours,
    TopHoursParameters,
)
from pulsebase.api.schemas.common import Identifier
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.timerange import format_us
from pulsebase.query.cohorts import CohortMember, CohortQuestion, average_above, cursor_of, page_after
from pulsebase.query.top_hours import TopHour, TopHoursQuestion
from pulsebase.stores.contract import Cancellation


def router(services: RequestServices) -> APIRouter:
    """`/cohorts/heart-rate` and `/users/{user_id}/heart-rate/top-hours`, and those of every other metric."""
    routes = APIRouter(route_class=SharedRoute, tags=["cohorts"])

    @routes.get("/cohorts/heart-rate", response_model=Cohort | CohortSummaryAnswer)
    async def heart_rate_cohort(
        request: Request, parameters: Annotated[HeartRateCohortParameters, Query()]
    ) -> Response:
        """People by age, gender and average heart rate over a period, the highest average first.

        A key with the scope `aggregate` gets only figures of the whole group, and none for fewer than ten people. The
        number of its questions per day is limited.
        """
        return await answered(request, parameters, HEART_RATE)

    @routes.get("/cohorts/{metric}", response_model=Cohort | CohortSummaryAnswer)
    async def cohort_of(
        request: Request, metric: Annotated[str, Path()], parameters: Annotated[CohortParameters, Query()]
    ) -> Response:
        """People by age, gender and their average of a metric over a period, the highest average first; without bounds
        everybody with a reading in it. Keys with the scope `aggregate` are answered as about heart rate.
        """
        spec = metric_in_path(metric)
        return await answered(request, _of_heart_rate(parameters) if spec is HEART_RATE else parameters, spec)

    @routes.get("/users/{user_id}/heart-rate/top-hours", response_model=TopHours)
    async def top_hours(
        request: Request, user_id: Annotated[Identifier, Path()], parameters: Annotated[TopHoursParameters, Query()]
    ) -> Response:
        """Return a person's highest distinct hourly averages (UTC hours), highest first."""
        return await while_connected(request, lambda cancellation: top(user_id, parameters, cancellation, HEART_RATE))

    @routes.get("/users/{user_id}/{metric}/top-hours", response_model=TopHours)
    async def top_hours_of(
        request: Request,
        user_id: Annotated[Identifier, Path()],
        metric: Annotated[str, Path()],
        parameters: Annotated[TopHoursParameters, Query()],
    ) -> Response:
        """Return a person's highest distinct hourly averages (UTC hours) of a metric, highest first."""
        spec = metric_in_path(metric)
        return await while_connected(request, lambda cancellation: top(user_id, parameters, cancellation, spec))

    async def answered(request: Request, parameters: CohortParameters, metric: MetricSpec) -> Response:
        answer = cohort if caller().principal.holds("read") else summary
        return await while_connected(request, lambda cancellation: answer(parameters, metric, cancellation))

    def summary(parameters: CohortParameters, metric: MetricSpec, cancellation: Cancellation) -> Response:
        if of_people := sorted(parameters.model_fields_set & {"include", "limit", "cursor"}):
            raise RejectedError([FieldError(name, "takes the scope read") for name in of_people])
        left = services.ask()
        found = services.cohorts.summary(_question(parameters, metric, cancellation), LEAST_GROUP_PEOPLE)
        shown: dict[str, Any] = {"fewer_than_ten": True, "people": None, "avg": None, "spread": None}
        if found is not None:
            shown = {"fewer_than_ten": False, "people": found.people, "avg": found.average, "spread": found.spread}
        return Response(msgspec.json.encode(shown | {"questions_left": left}), media_type=JSON)

    def cohort(parameters: CohortParameters, metric: MetricSpec, cancellation: Cancellation) -> Response:
        members = services.cohorts.cohort(_question(parameters, metric, cancellation))
        left = page_after(members, parameters.cursor, metric)
        page = left[: parameters.limit]
        shown = [_member(member) if parameters.include else member.user_id for member in page]
        next_cursor = cursor_of(page[-1]) if len(left) > len(page) else None
        body = {"data": shown, "count": len(members), "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)

    def top(user_id: str, parameters: TopHoursParameters, cancellation: Cancellation, metric: MetricSpec) -> Response:
        question = TopHoursQuestion(
            user_id,
            parameters.start,
            parameters.end,
            parameters.limit,
            parameters.tz,
            start_field="start",
            end_field="end",
            cancellation=cancellation,
            metric=metric,
        )
        hours = services.cohorts.top_hours(question)
        shown = [_hour(hour) if parameters.include else hour.average for hour in hours]
        return Response(msgspec.json.encode({"user_id": user_id, "data": shown}), media_type=JSON)

    return routes


def _of_heart_rate(parameters: CohortParameters) -> HeartRateCohortParameters:
    """Read the parameters of another spelling of heart rate as `/cohorts/heart-rate` reads them.

    Raises:
        RequestValidationError: they are refused there.
    """
    try:
        return HeartRateCohortParameters.model_validate(parameters.model_dump(exclude_unset=True))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def _question(parameters: CohortParameters, metric: MetricSpec, cancellation: Cancellation) -> CohortQuestion:
    min_avg, min_avg_field = average_above(metric, parameters.min_avg, parameters.min_avg_heart_rate)
    return CohortQuestion(
        parameters.start,
        parameters.end,
        min_avg,
        parameters.min_age,
        parameters.gender,
        parameters.min_coverage,
        parameters.tz,
        start_field="start",
        end_field="end",
        cancellation=cancellation,
        metric=metric,
        max_avg=parameters.max_avg,
        max_age=parameters.max_age,
        min_avg_field=min_avg_field,
    )


def _member(member: CohortMember) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "avg": member.average,
        "count": member.count,
        "minutes": member.minutes,
        "coverage": member.coverage,
    }


def _hour(hour: TopHour) -> dict[str, Any]:
    return {"hour": format_us(hour.hour_us), "avg": hour.average, "count": hour.count}
