"""Routes that only the owner can call, over the Unix socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_scope import came_by_socket
from pulsebase.api.codecs.answers import ARROW, JSON, stream_bytes
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.admin import (
    BackupFolder,
    BackupResult,
    CheckResult,
    RetentionRequest,
    RetentionResult,
    Statement,
)
from pulsebase.api.schemas.common import NoParameters
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import format_us
from pulsebase.stores.contract import Embedded


def owner_only(request: Request) -> None:
    """Refuse every request that did not come over the owner's socket."""
    if not came_by_socket(request.scope):
        raise ProblemError("not-found", "there is no such route")


def router(services: RequestServices) -> APIRouter:
    """Return the routes under `/v1/admin`. Over the network they do not exist."""
    routes = APIRouter(route_class=LateRoute, prefix="/admin", tags=["admin"], dependencies=[Depends(owner_only)])

    @routes.post("/check", response_model=CheckResult)
    def check(_: Annotated[NoParameters, Query()]) -> Response:
        """Compare every rollup with a recomputation from the raw readings."""
        return Response(msgspec.json.encode(services.store.check()), media_type=JSON)

    @routes.post("/retention", response_model=RetentionResult)
    def retention(how: RetentionRequest, _: Annotated[NoParameters, Query()]) -> Response:
        """Delete raw readings older than the retention period now, or only count them."""
        found = services.retention.apply(dry_run=how.dry_run)
        horizon = format_us(found.horizon_us) if found.horizon_us else None
        body = {"horizon": horizon, "readings": found.readings, "dry_run": how.dry_run}
        return Response(msgspec.json.encode(body), media_type=JSON)

    @routes.post("/backup", response_model=BackupResult)
    def backup(where: BackupFolder, _: Annotated[NoParameters, Query()]) -> Response:
        """Write a consistent copy of the store into a new folder. The server keeps answering meanwhile."""
        if not Path(where.folder).is_absolute():
            raise RejectedError.of("folder", "must be an absolute path")
        report = _embedded(services, "a database server has its own backups (pg_dump, say)").backup(Path(where.folder))
        return Response(msgspec.json.encode(report), media_type=JSON)

    @routes.post("/sql", response_model=None, response_class=Response, responses={200: {"content": {ARROW: {}}}})
    def sql(question: Statement, _: Annotated[NoParameters, Query()]) -> Response:
        """Run one read-only statement in the store's SQL dialect, and return the rows as an Arrow stream."""
        limits = services.series.limits
        embedded = _embedded(services, "a database server is asked by its own tools (psql, say)")
        table = embedded.select(question.statement, limits.max_rows, limits.timeout_s)
        return Response(stream_bytes(table), media_type=ARROW)

    @routes.post("/settle", status_code=204, response_model=None)
    def settle(_: Annotated[NoParameters, Query()]) -> Response:
        """Wait until the store has finished its background work on the readings stored so far."""
        services.store.settle()
        return Response(status_code=204)

    return routes


def _embedded(services: RequestServices, instead: str) -> Embedded:
    if services.embedded is None:
        raise ProblemError("not-found", f"only an embedded store can do this; {instead}")
    return services.embedded
