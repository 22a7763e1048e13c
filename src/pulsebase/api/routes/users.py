"""People and what is stored about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON, shown_time
from pulsebase.api.codecs.json_bodies import decode_object
from pulsebase.api.codecs.request_body import read_body, require_json, worked_out
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.people_edits import PeopleEditor
from pulsebase.api.schemas.common import NoParameters, PathIdentifier, body_of
from pulsebase.api.schemas.people import NewPerson, PersonFields, PersonMetrics, UserEntry, UserList, UsersParameters
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.metrics import METRICS
from pulsebase.model.users import UserOverview

#: Schemas of bodies that are decoded here; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (PersonFields, NewPerson)

UserId = Annotated[PathIdentifier, Path()]
Nothing = Annotated[NoParameters, Query()]
AnswerT = TypeVar("AnswerT")


def router(services: RequestServices, people: PeopleEditor) -> APIRouter:
    """Return the routes under `/users`."""
    routes = APIRouter(route_class=SharedRoute, tags=["people"])

    async def changed(request: Request, change: Callable[[dict[str, Any]], AnswerT]) -> AnswerT:
        require_json(request)
        body = await read_body(request, services.options.body_limit_bytes)
        fields = await worked_out(body, lambda: decode_object(body))
        return await run_in_threadpool(change, fields)

    @routes.get("/users", response_model=UserList)
    def list_users(parameters: Annotated[UsersParameters, Query()]) -> Response:
        """List people in order of their ids, in pages."""
        found = services.store.users(parameters.query, parameters.limit + 1, parameters.cursor)
        page = found[: parameters.limit]
        next_cursor = page[-1].user.user_id if len(found) > parameters.limit else None
        body = {"data": [_entry(overview) for overview in page], "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)

    @routes.post("/users", status_code=201, response_model=UserEntry, openapi_extra=body_of("NewPerson"))
    async def create_user(request: Request, _: Nothing) -> Response:
        """Create a person. If the id is in use already, the status is 409."""
        return _answer(await changed(request, people.create), 201)

    @routes.get("/users/{user_id}", response_model=UserEntry)
    def show_user(user_id: UserId, _: Nothing) -> Response:
        """Show one person and what is stored about them."""
        overview = services.store.overview(user_id)
        if overview is None:
            raise UnknownUserError
        return _answer(overview)

    @routes.get("/users/{user_id}/metrics", response_model=PersonMetrics)
    def list_metrics(user_id: UserId, _: Nothing) -> Response:
        """List the metrics a person has readings of, with the number of readings and the first and last time."""
        services.series.require(user_id)
        data = [
            {
                "metric": each.metric,
                "title": METRICS[each.metric].title,
                "unit": METRICS[each.metric].unit,
                "readings": each.readings,
                "first_reading": shown_time(each.first_us),
                "last_reading": shown_time(each.last_us),
            }
            for each in services.store.metrics(user_id)
        ]
        return Response(msgspec.json.encode({"user_id": user_id, "data": data}), media_type=JSON)

    @routes.put(
        "/users/{user_id}",
        response_model=UserEntry,
        responses={201: {"model": UserEntry, "description": "The person is new."}},
        openapi_extra=body_of("PersonFields"),
    )
    async def put_user(request: Request, user_id: UserId, _: Nothing) -> Response:
        """Create a person, or replace all their fields. Readings stay."""
        overview, is_new = await changed(request, lambda fields: people.put(user_id, fields))
        return _answer(overview, 201 if is_new else 200)

    @routes.patch("/users/{user_id}", response_model=UserEntry, openapi_extra=body_of("PersonFields"))
    async def change_user(request: Request, user_id: UserId, _: Nothing) -> Response:
        """Change the given fields of a person and no others. A null clears a field."""
        return _answer(await changed(request, lambda fields: people.change(user_id, fields)))

    return routes


def _answer(overview: UserOverview, status: int = 200) -> Response:
    return Response(msgspec.json.encode(_entry(overview)), status, media_type=JSON)


def _entry(overview: UserOverview) -> dict[str, Any]:
    user = overview.user
    return {
        "user_id": user.user_id,
        "name": user.name,
        "gender": user.gender,
        "birth_date": None if user.birth_date is None else user.birth_date.isoformat(),
        "time_zone": user.time_zone,
        "readings": overview.readings,
        "first_reading": shown_time(overview.first_us),
        "last_reading": shown_time(overview.last_us),
    }
