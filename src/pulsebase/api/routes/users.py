"""People and what is stored of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from pulsebase.api.encode import JSON
from pulsebase.api.schemas import UserList, UsersParameters
from pulsebase.api.services import Services
from pulsebase.model.timerange import format_us
from pulsebase.model.users import UserOverview


def router(services: Services) -> APIRouter:
    """`/users`."""
    routes = APIRouter(tags=["people"])

    @routes.get("/users", response_model=UserList)
    def list_users(parameters: Annotated[UsersParameters, Query()]) -> Response:
        """People by id, a page at a time."""
        found = services.store.users(parameters.query, parameters.limit + 1, parameters.cursor)
        page = found[: parameters.limit]
        next_cursor = page[-1].user.user_id if len(found) > parameters.limit else None
        body = {"data": [_entry(overview) for overview in page], "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return routes


def _entry(overview: UserOverview) -> dict[str, Any]:
    return {
        "user_id": overview.user.user_id,
        "name": overview.user.name,
        "readings": overview.readings,
        "first_reading": None if overview.first_us is None else format_us(overview.first_us),
        "last_reading": None if overview.last_us is None else format_us(overview.last_us),
    }
