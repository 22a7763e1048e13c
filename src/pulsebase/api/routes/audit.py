"""Show the audit trail: who read and changed what."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from pulsebase.access.access_file import AuditEntry, AuditFilter
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.audit import AuditList, AuditParameters
from pulsebase.model.timerange import format_us


def router(services: RequestServices) -> APIRouter:
    """Return the route `/audit`."""
    routes = APIRouter(route_class=SharedRoute, tags=["access"])

    @routes.get("/audit", response_model=AuditList)
    def audit(parameters: Annotated[AuditParameters, Query()]) -> Response:
        """List what was read and changed, by whom and about whom, newest first, in pages."""
        limit = parameters.limit
        wanted = AuditFilter(parameters.user_id, parameters.key, before=parameters.cursor, limit=limit + 1)
        found = services.audit.entries(wanted)
        next_cursor = found[limit - 1].number if len(found) > limit else None
        body = {"data": [shown_entry(entry) for entry in found[:limit]], "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return routes


def shown_entry(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry of the audit trail as answers and exports show it."""
    return {
        "id": entry.number,
        "key": entry.key,
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "whom": entry.whom,
        "user_id": entry.user_id,
        "first": format_us(entry.first_us),
        "last": format_us(entry.last_us),
        "requests": entry.requests,
    }
