"""Connect people to wearable clouds, and show the state of connections and the results of runs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from pulsebase.api.border.browsers import page_of
from pulsebase.api.border.middleware import address_asked
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.request_body import FieldsRoute, read_body
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.admin import owner_only
from pulsebase.api.schemas.common import Identifier, NoParameters
from pulsebase.api.schemas.sources import (
    AuthorizeParameters,
    BeginConnection,
    BeginConsent,
    BegunConsent,
    CallbackParameters,
    ConnectionEntry,
    ConnectionList,
    ConsentPage,
    ConsentParameters,
    Disconnected,
    FinishConnection,
    RunList,
    RunNow,
    RunsParameters,
    SourceList,
)
from pulsebase.etl.connections import CONSENT_US, consent_cookie
from pulsebase.etl.registry import extractors
from pulsebase.etl.state import Connection, RunFilter, RunReport
from pulsebase.etl.sync import state_of
from pulsebase.model.errors import RejectedError, shown_name
from pulsebase.model.timerange import SECOND_US, format_us

#: The largest form sent by the consent page. It holds a ticket.
_FORM_BYTES = 8 << 10
_NOT_KEPT = {"Cache-Control": "no-store"}


def router(services: RequestServices) -> APIRouter:
    """Return the routes of sources, of people's connections to them, and of runs."""
    routes = APIRouter(route_class=FieldsRoute, tags=["sources"])
    connections = services.connections
    _add_lists(routes, services)

    def consent_page(request: Request, source: str, user_id: str) -> str:
        """Return the address of the page that asks the person to confirm."""
        ticket = connections.ticket(user_id, source)
        return f"{_address(services, request, source)}/consent?{urlencode({'ticket': ticket})}"

    @routes.post("/sources/{source}/authorize", response_model=ConsentPage)
    def begin_consent(
        request: Request, source: str, asked: BeginConsent, _: Annotated[NoParameters, Query()]
    ) -> Response:
        """Make an address for the person's browser, valid for ten minutes. The page there says who is about to be
        connected, and leads to the source.
        """
        answer = {"url": consent_page(request, source, asked.user_id)}
        return Response(msgspec.json.encode(answer), media_type=JSON, headers=_NOT_KEPT)

    @routes.get("/sources/{source}/authorize", status_code=302, response_model=None, response_class=RedirectResponse)
    def authorize(request: Request, source: str, parameters: Annotated[AuthorizeParameters, Query()]) -> Response:
        """Redirect a browser to the page that asks for confirmation. Nothing is connected yet."""
        return RedirectResponse(consent_page(request, source, parameters.user_id), 302, headers=_NOT_KEPT)

    @routes.get("/sources/{source}/consent", response_model=None, response_class=HTMLResponse)
    def consent(source: str, parameters: Annotated[ConsentParameters, Query()]) -> Response:
        """Show who is about to be connected to what, and ask for confirmation."""
        user_id = connections.offered(source, parameters.ticket)
        text = f"You are about to let this server read your {source} data and keep it as that of {user_id}."
        return _page(
            "Connect",
            f"<p>{html.escape(text)}<p>If that is not you, close this page."
            f'<form method="post"><input type="hidden" name="ticket" value="{html.escape(parameters.ticket)}">'
            f"<button>Go on to {html.escape(source)}</button></form>",
        )

    @routes.post("/sources/{source}/consent", status_code=303, response_model=None, response_class=RedirectResponse)
    async def agree(request: Request, source: str, _: Annotated[NoParameters, Query()]) -> Response:
        """Redirect the browser to the source, where the person gives consent. The same browser has to come back."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ProblemError("forbidden-host", "requests from pages of another site are refused")
        body = await read_body(request, _FORM_BYTES)
        ticket = dict(parse_qsl(body.decode("latin-1"))).get("ticket", "")
        address = _address(services, request, source)
        agreed = await run_in_threadpool(connections.agree, source, ticket, f"{address}/callback")
        answer = RedirectResponse(agreed.url, 303, headers=_NOT_KEPT)
        _set_cookie(answer, agreed.cookie, agreed.kept, f"{address}/callback", CONSENT_US // SECOND_US)
        return answer

    @routes.get("/sources/{source}/callback", response_model=None, response_class=HTMLResponse)
    def callback(request: Request, source: str, parameters: Annotated[CallbackParameters, Query()]) -> Response:
        """Finish a connection when the source sends the browser back. Other parameters of the source are ignored."""
        address = f"{_address(services, request, source)}/callback"
        cookie, state = consent_cookie(parameters.state), parameters.state
        kept = request.cookies.get(cookie)
        made = connections.come_back(source, state, kept, parameters.code, parameters.error)
        text = f"{made.user_id} is connected to {made.source}."
        way = f"/app/person?{urlencode({'people': made.user_id})}"
        answer = _page("Connected", _linked(text, way, f"Show {made.user_id}"))
        _set_cookie(answer, cookie, "", address, 0)
        return answer

    @routes.get("/users/{user_id}/sources", response_model=ConnectionList)
    def user_sources(user_id: Identifier, _: Annotated[NoParameters, Query()]) -> Response:
        """List the sources a person is connected to, when each last brought data, and what is wrong."""
        services.series.require(user_id)
        return _connection_list(services, connections.of(user_id))

    @routes.delete("/users/{user_id}/sources/{source}", response_model=Disconnected)
    def disconnect(user_id: Identifier, source: str, _: Annotated[NoParameters, Query()]) -> Response:
        """Disconnect a person from a source. Tokens are revoked and deleted; readings stay."""
        if not connections.disconnect(user_id, source):
            raise ProblemError("not-found", "the person is not connected to such a source")
        return Response(msgspec.json.encode({"disconnected": True}), media_type=JSON)

    return routes


def _add_lists(routes: APIRouter, services: RequestServices) -> None:
    @routes.get("/sources", response_model=SourceList)
    def sources(_: Annotated[NoParameters, Query()]) -> Response:
        """List the wearable clouds that people can be connected to, and what is missing for the others."""
        offers = services.connections.sources()
        data = [{"source": it.source, "server": _origin_of(it.authorize_url), "missing": it.missing} for it in offers]
        return Response(msgspec.json.encode({"data": data, "next_cursor": None}), media_type=JSON)

    @routes.get("/etl/runs", response_model=RunList)
    def runs(parameters: Annotated[RunsParameters, Query()]) -> Response:
        """List runs of the pipeline, newest first, in pages."""
        limit = parameters.limit
        wanted = RunFilter(parameters.user_id, parameters.source, before=parameters.cursor, limit=limit + 1)
        found = services.sync.runs(wanted)
        page = found[:limit]
        next_cursor = page[-1].number if len(found) > limit else None
        body = {"data": [{"id": each.number} | _run(each.run) for each in page], "next_cursor": next_cursor}
        return Response(msgspec.json.encode(body), media_type=JSON)


def admin_router(services: RequestServices) -> APIRouter:
    """Return the routes of the owner's commands, under `/v1/admin`. They exist only on the owner's socket."""
    routes = APIRouter(route_class=FieldsRoute, prefix="/admin", tags=["admin"], dependencies=[Depends(owner_only)])
    connections, sync = services.connections, services.sync

    @routes.get("/sources", response_model=ConnectionList)
    def all_sources(_: Annotated[NoParameters, Query()]) -> Response:
        """List everybody's connections."""
        return _connection_list(services, sync.noted())

    @routes.post("/sources/{source}/authorize", response_model=BegunConsent)
    def begin(source: str, asked: BeginConnection, _: Annotated[NoParameters, Query()]) -> Response:
        """Begin a connection. Return the address where the person gives consent; the browser then comes back to the
        command, which listens for it.
        """
        begun = connections.begin(asked.user_id, source, asked.redirect_uri)
        return Response(msgspec.json.encode(begun), media_type=JSON)

    @routes.post("/sources/{source}/callback", response_model=ConnectionEntry)
    def finish(source: str, came: FinishConnection, _: Annotated[NoParameters, Query()]) -> Response:
        """Finish a connection with the parameters that the browser brought back to the command."""
        made = connections.finish(source, came.state, came.code, came.error)
        return Response(msgspec.json.encode(_connection(services, made)), media_type=JSON)

    @routes.post("/etl/runs", response_model=RunList)
    def run_now(asked: RunNow, _: Annotated[NoParameters, Query()]) -> Response:
        """Bring every connection now, or those of one person or source, due or not; some data sets alone if they are
        named. The runs are in the answer.
        """
        unknown = sorted(set(asked.data_sets or ()) - extractors.keys())
        if unknown:
            raise RejectedError.of(
                "data_sets", f"{shown_name(unknown[0])} is no data set; there are {', '.join(extractors)}"
            )
        reports: list[RunReport] = []
        for each in sync.connections():
            if asked.user_id in (None, each.user_id) and asked.source in (None, each.source):
                reports += sync.run(each.user_id, each.source, asked.data_sets)
        body = {"data": [{"id": None} | _run(report) for report in reports], "next_cursor": None}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return routes


def _address(services: RequestServices, request: Request, source: str) -> str:
    """Return the address at which browsers reach the routes of a source."""
    return f"{address_asked(request, services.options)}/v1/sources/{quote(source, safe='')}"


def _origin_of(address: str | None) -> str | None:
    parts = urlsplit(address or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.hostname else None


def _page(title: str, content: str) -> Response:
    """Return a page of plain HTML. No other page may show it in a frame; see the headers in `middleware`."""
    return HTMLResponse(page_of(title, content), headers=_NOT_KEPT)


def _linked(text: str, address: str, link: str) -> str:
    """Return a sentence and a link below it as HTML."""
    return f'<p>{html.escape(text)}<p><a href="{html.escape(address)}">{html.escape(link)}</a>'


def _set_cookie(answer: Response, name: str, value: str, address: str, age_s: int) -> None:
    """Set a cookie for the callback alone. Scripts cannot read it; the browser sends it when the source redirects back,
    but not with requests that other sites make.
    """
    parts = urlsplit(address)
    answer.set_cookie(
        name, value, max_age=age_s, path=parts.path, secure=parts.scheme == "https", httponly=True, samesite="lax"
    )


def _connection_list(services: RequestServices, found: Sequence[Connection]) -> Response:
    body = {"data": [_connection(services, each) for each in found], "next_cursor": None}
    return Response(msgspec.json.encode(body), media_type=JSON)


def _connection(services: RequestServices, connection: Connection) -> dict[str, Any]:
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
