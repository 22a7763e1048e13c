"""What brought a person's readings: streams, connections, and imports of files."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import NoParameters, PathIdentifier
from pulsebase.api.schemas.people import OriginList
from pulsebase.model.timerange import format_us
from pulsebase.stores.contract import Cancellation, Origin, OriginExtent


def router(services: RequestServices) -> APIRouter:
    """Return the route `/users/{user_id}/origins`."""
    routes = APIRouter(route_class=SharedRoute, tags=["people"])

    @routes.get("/users/{user_id}/origins", response_model=OriginList)
    async def list_origins(
        request: Request, user_id: Annotated[PathIdentifier, Path()], _: Annotated[NoParameters, Query()]
    ) -> Response:
        """List what brought the readings that are stored of a person now: streams of devices, connections to sources
        and imports of files, with the first and the last reading of each. A key limited to some people is told only
        the names of imports that were made with it.
        """
        return await while_connected(request, lambda cancellation: _listed(services, user_id, cancellation))

    return routes


def _listed(services: RequestServices, user_id: str, cancellation: Cancellation) -> Response:
    services.series.require(user_id)
    body = {"user_id": user_id, "data": origin_entries(services, user_id, cancellation)}
    return Response(msgspec.json.encode(body), media_type=JSON)


def origin_entries(
    services: RequestServices, user_id: str, cancellation: Cancellation | None = None
) -> list[dict[str, Any]]:
    """Return what brought the person's stored readings, by number, as far as the caller may know."""
    extents = services.store.origin_extents(user_id, cancellation)
    known = services.store.origins_of(user_id, [extent.number for extent in extents])
    return [_entry(extent, known.get(extent.number)) for extent in extents]


def _entry(extent: OriginExtent, origin: Origin | None) -> dict[str, Any]:
    return {
        "id": extent.number,
        "kind": None if origin is None else origin.kind,
        "name": None if origin is None else origin.name,
        "received_at": None if origin is None else format_us(origin.received_us),
        "readings": extent.readings,
        "first_reading": format_us(extent.first_us),
        "last_reading": format_us(extent.last_us),
    }
