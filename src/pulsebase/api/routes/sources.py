"""Connecting people to wearable clouds, how the connections are, and what the runs came to."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pulsebase.api.encode import JSON
from pulsebase.api.errors import ProblemError
from pulsebase.api.routes.admin import owner_only
from pulsebase.api.schemas.common import Identifier, NoParameters
from pulsebase.api.schemas.sources import (
    AuthorizeParameters,
    BeginConnection,
    Begun,
    CallbackParameters,
    ConnectionEntry,
    ConnectionList,
    Disconnected,
    FinishConnection,
    RunList,
    RunNow,
    RunsParameters,
)
from pulsebase.api.services import Services
from pulsebase.etl.state import Connection, RunFilter, RunReport
from pulsebase.etl.sync import state_of
from pulsebase.model.timerange import format_us


def router(services: Services) -> APIRouter:
    """`/sources`, `/users/{user_id}/sources` and `/etl/runs`."""
    routes = APIRouter(tags=["sources"])
    connections = services.connections

    @routes.get("/sources/{source}/authorize", status_code=302, response_model=None, response_class=RedirectResponse)
    def authorize(request: Request, source: str, parameters: Annotated[AuthorizeParameters, Query()]) -> Response:
        """Lead the person's browser to the source, where they say yes; it comes back to `callback`."""
        here = (services.options.public_url or str(request.base_url)).rstrip("/")
        begun = connections.begin(parameters.user_id, source, f"{here}/v1/sources/{source}/callback")
        return RedirectResponse(begun.url, 302, headers={"Cache-Control": "no-store"})

    @routes.get("/sources/{source}/callback", response_model=None, response_class=HTMLResponse)
    def callback(source: str, parameters: Annotated[CallbackParameters, Query()]) -> Response:
        """Where the source sends the browser back to. Parameters that sources add of their own are not read."""
        made = connections.finish(source, parameters.state, parameters.code, parameters.error)
        text = f"{made.user_id} is connected to {made.source}."
        return HTMLResponse(
            f"<!doctype html><title>Connected</title><p>{html.escape(text)} You can close this page.",
            headers={"Cache-Control": "no-store"},
        )

    @routes.get("/users/{user_id}/sources", response_model=ConnectionList)
    def user_sources(user_id: Identifier, _: Annotated[NoParameters, Query()]) -> Response:
        """What the person is connected to, when it last brought data, and what is wrong."""
        services.series.require(user_id)
        return _connection_list(services, connections.of(user_id))

    @routes.delete("/users/{user_id}/sources/{source}", response_model=Disconnected)
    def disconnect(user_id: Identifier, source: str, _: Annotated[NoParameters, Query()]) -> Response:
        """Disconnect: tokens are revoked and forgotten; readings stay."""
        if not connections.disconnect(user_id, source):
            raise ProblemError("not-found", "the person is not connected to such a source")
        return Response(msgspec.json.encode({"disconnected": True}), media_type=JSON)

    @routes.get("/etl/runs", response_model=RunList)
    def runs(parameters: Annotated[RunsParameters, Query()]) -> Response:
        """Runs of the pipeline, the newest first, a page at a time."""
        limit = parameters.limit
        wanted = RunFilter(parameters.user_id, parameters.source, before=parameters.cursor, limit=limit + 1)
        found = services.sync.runs(wanted)
        page = found[:limit]
        next_cursor = page[-1].number if len(found) > limit else None
        body = {"data": [{"id": each.number} | _run(each.run) for each in page], "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return routes


def admin_router(services: Services) -> APIRouter:
    """What the owner's commands ask: under `/v1/admin`, unknown to anybody who does not come by the socket."""
    routes = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(owner_only)])
    connections, sync = services.connections, services.sync

    @routes.get("/sources", response_model=ConnectionList)
    def all_sources(_: Annotated[NoParameters, Query()]) -> Response:
        """Everybody's connections."""
        return _connection_list(services, sync.noted())

    @routes.post("/sources/{source}/authorize", response_model=Begun)
    def begin(source: str, asked: BeginConnection, _: Annotated[NoParameters, Query()]) -> Response:
        """Where the person says yes; the browser then comes back to a listener of the command."""
        begun = connections.begin(asked.user_id, source, asked.redirect_uri)
        return Response(msgspec.json.encode(begun), media_type=JSON)

    @routes.post("/sources/{source}/callback", response_model=ConnectionEntry)
    def finish(source: str, came: FinishConnection, _: Annotated[NoParameters, Query()]) -> Response:
        """What came back to the command's listener."""
        made = connections.finish(source, came.state, came.code, came.error)
        return Response(msgspec.json.encode(_connection(services, made)), media_type=JSON)

    @routes.post("/etl/runs", response_model=RunList)
    def run_now(asked: RunNow, _: Annotated[NoParameters, Query()]) -> Response:
        """Bring every connection now, or those of one person or source, due or not. The runs are in the answer."""
        reports: list[RunReport] = []
        for each in sync.connections():
            if asked.user_id in (None, each.user_id) and asked.source in (None, each.source):
                reports += sync.run(each.user_id, each.source)
        body = {"data": [{"id": None} | _run(report) for report in reports], "next_cursor": None}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return routes


def _connection_list(services: Services, found: Sequence[Connection]) -> Response:
    body = {"data": [_connection(services, each) for each in found], "next_cursor": None}
    return Response(msgspec.json.encode(body), media_type=JSON)


def _connection(services: Services, connection: Connection) -> dict[str, Any]:
    return {
        "user_id": connection.user_id,
        "source": connection.source,
        "state": state_of(connection),
        "account": connection.account,
        "connected": format_us(connection.connected_us),
        "last_reading": _time(services.sync.last_us(connection)),
        "last_run": _time(connection.tried_us),
        "next_try": _time(connection.due_us),
        "problem": connection.problem,
    }


def _run(run: RunReport) -> dict[str, Any]:
    return {
        "user_id": run.user_id,
        "source": run.source,
        "data_set": run.data_set,
        "outcome": run.outcome,
        "started": format_us(run.started_us),
        "duration_s": round(run.duration_s, 3),
        "read": run.read,
        "written": run.written,
        "unchanged": run.unchanged,
        "rejected": run.rejected,
        "reasons": dict(run.reasons),
        "error": run.error,
    }


def _time(at_us: int | None) -> str | None:
    return None if at_us is None else format_us(at_us)
