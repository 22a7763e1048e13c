"""Stream readings to clients as they are committed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.series import StreamParameters
from pulsebase.api.server.event_streams import EVENT_STREAM, EventStream
from pulsebase.model.errors import RejectedError
from pulsebase.query.plan import metrics_named


def router(services: RequestServices) -> APIRouter:
    """Return the route `/stream`."""
    routes = APIRouter(route_class=SharedRoute, tags=["series"])

    @routes.get(
        "/stream", response_class=Response, responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}
    )
    async def stream(request: Request, parameters: Annotated[StreamParameters, Query()]) -> Response:
        """Stream people's readings as they are committed, as server-sent events. `Last-Event-ID` resumes a stream."""
        most = services.series.limits.max_people
        if len(parameters.user_ids) > most:
            raise RejectedError.of("user_ids", f"at most {most} people at a time")
        metrics = metrics_named(parameters.metric)
        if metrics is None:
            raise RejectedError.of("metric", "daily summaries are not streamed")
        return EventStream(services.streams.open(parameters.user_ids, request.headers.get("last-event-id")), metrics)

    return routes
