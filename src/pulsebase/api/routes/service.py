"""Information about the server itself, with health and metrics."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST

from pulsebase.api.border.browsers import PAGE, wants_page
from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.border.threads import WATCH
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import NoParameters
from pulsebase.api.schemas.service import Health, Information
from pulsebase.api.server.prometheus import exposition
from pulsebase.model.errors import StoreCorruptError

logger = logging.getLogger(__name__)

SERVICE_NAME = "heart-rate-metrics"


def router(services: RequestServices) -> APIRouter:
    """Return the route `/`, which exists only at the root."""
    routes = APIRouter(route_class=LateRoute, tags=["service"])

    @routes.get("/", response_model=Information)
    def information(request: Request, _: Annotated[NoParameters, Query()]) -> Response | Information:
        """Say what this server is, and where its parts are. A browser is led to the page instead."""
        if wants_page(request.scope):
            return RedirectResponse(PAGE, headers={"Vary": "Accept"})
        links = {
            "page": PAGE,
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "health": "/health",
            "api": "/v1",
        }
        demo = ("complete" if services.sync.caught_up else "filling") if services.is_demo else None
        return Information(name="Pulsebase", version=version("pulsebase"), links=links, demo=demo)

    return routes


def watch_router(services: RequestServices) -> APIRouter:
    """Return the routes `/health` and `/metrics`, which exist only at the root."""
    routes = APIRouter(route_class=LateRoute, tags=["service"])

    @routes.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health(_: Annotated[NoParameters, Query()]) -> Response:
        """Report whether every part works: 200 if so, otherwise 503. `checks` names the part that does not."""
        return await WATCH.run(look_at_health)

    def look_at_health() -> Response:
        checks = {"store": _store_state(services), "ingest": "ok" if services.ingestor.alive else "stopped"}
        if services.sync.schedule is not None:
            checks["schedule"] = "ok" if services.sync.schedule.is_alive() else "stopped"
        if services.access_works is not None:
            checks["access"] = "ok" if services.access_works else "stopped"
        healthy = all(state == "ok" for state in checks.values())
        body = {"status": "healthy" if healthy else "unhealthy", "service": SERVICE_NAME, "checks": checks}
        return Response(msgspec.json.encode(body), 200 if healthy else 503, media_type=JSON)

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(_: Annotated[NoParameters, Query()]) -> Response:
        """Return metrics in the Prometheus text format."""
        return await WATCH.run(measure)

    def measure() -> Response:
        services.store.statistics()  # brings the store's gauges up to date
        services.sync.measure()
        return Response(exposition(services.other_workers), media_type=CONTENT_TYPE_LATEST)

    return routes


def _store_state(services: RequestServices) -> str:
    """Return `ok` or what is wrong. For damage also say which file and what helps, since waiting does not."""
    try:
        services.store.ping()
    except StoreCorruptError as error:
        return f"damaged: {error.file or 'the database'} is not what was written; restore a backup"
    except Exception:
        logger.exception("the store does not answer")
        return "unavailable"
    return "ok"
