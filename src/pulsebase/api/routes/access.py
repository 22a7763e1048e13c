"""What the caller may do here, and keys for devices and apps."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from pulsebase.access.caller import caller
from pulsebase.access.keys import SCOPES
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.request_body import FieldsRoute
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.access import CallerEntry, MadeKey, NewKey
from pulsebase.api.schemas.common import NoParameters


def router(services: RequestServices) -> APIRouter:
    """Return the routes `/access` and `/keys`."""
    routes = APIRouter(route_class=FieldsRoute, tags=["access"])

    @routes.get("/access", response_model=CallerEntry)
    def show_caller(_: Annotated[NoParameters, Query()]) -> Response:
        """Say whether keys are needed here, and what the caller's key may do."""
        principal = caller().principal
        body = {
            "access": "on" if services.keys.enforced else "off",
            "name": principal.name if principal.number > 0 else None,
            "scopes": [scope for scope in SCOPES if principal.holds(scope)],
            "for_everybody": principal.people is None,
            "max_people": services.series.limits.max_people,
        }
        return Response(msgspec.json.encode(body), media_type=JSON)

    @routes.post("/keys", status_code=201, response_model=MadeKey)
    def make_key(wanted: NewKey, _: Annotated[NoParameters, Query()]) -> Response:
        """Make a key with which a device, an app or a program sends readings, and does nothing else. Keys of other
        scopes are made by `pulsebase keys create`, by whoever runs the server.
        """
        if not services.keys.enforced:
            raise ProblemError("conflict", "access is off here, so readings are sent without a key")
        made, key = services.keys.make(wanted.name, wanted.user_ids)
        people = None if made.people is None else sorted(made.people)
        body = {"name": made.name, "scopes": sorted(made.scopes), "user_ids": people, "key": key}
        return Response(msgspec.json.encode(body), 201, {"Cache-Control": "no-store"}, JSON)

    return routes
