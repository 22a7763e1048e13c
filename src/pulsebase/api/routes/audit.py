"""Who read and changed what."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from pulsebase.access.state import Deed, DeedFilter
from pulsebase.api.encode import JSON
from pulsebase.api.fairness import FairRoute
from pulsebase.api.schemas.audit import AuditParameters, DeedList
from pulsebase.api.services import Services
from pulsebase.model.timerange import format_us


def router(services: Services) -> APIRouter:
    """`/audit`."""
    routes = APIRouter(route_class=FairRoute, tags=["access"])

    @routes.get("/audit", response_model=DeedList)
    def audit(parameters: Annotated[AuditParameters, Query()]) -> Response:
        """What was read and changed, by whom and of whom, the newest first, a page at a time."""
        limit = parameters.limit
        wanted = DeedFilter(parameters.user_id, parameters.key, before=parameters.cursor, limit=limit + 1)
        found = services.trail.deeds(wanted)
        next_cursor = found[limit - 1].number if len(found) > limit else None
        body = {"data": [shown_deed(deed) for deed in found[:limit]], "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return routes


def shown_deed(deed: Deed) -> dict[str, Any]:
    """An entry of the trail as answers and exports show it."""
    return {
        "id": deed.number,
        "key": deed.key,
        "method": deed.method,
        "route": deed.route,
        "status": deed.status,
        "whom": deed.whom,
        "user_id": deed.user_id,
        "first": format_us(deed.first_us),
        "last": format_us(deed.last_us),
        "requests": deed.requests,
    }
