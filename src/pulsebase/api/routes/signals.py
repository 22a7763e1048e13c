"""Make, list and remove signals, and stream what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.json_bodies import checked_object
from pulsebase.api.codecs.request_body import FIELDS_BYTES, read_body, require_json
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import NoParameters, body_of
from pulsebase.api.schemas.signals import NewSignal, RemovedSignal, SignalEntry, SignalList
from pulsebase.api.server.event_streams import EVENT_STREAM
from pulsebase.api.server.signal_stream import SignalStream
from pulsebase.events.evaluator import rule_of
from pulsebase.events.signal_service import SignalRequest
from pulsebase.events.signals import PeopleFilter, Signal
from pulsebase.model.timerange import format_us

#: Schemas of bodies that are decoded here; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (NewSignal,)
#: The most people that an answer lists of a signal.
_MOST_SHOWN = 1_000

SignalId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Nothing = Annotated[NoParameters, Query()]


def router(services: RequestServices) -> APIRouter:
    """Return the routes under `/signals`."""
    routes = APIRouter(route_class=SharedRoute, tags=["signals"])
    signals = services.signals

    def entry(signal: Signal) -> dict[str, Any]:
        raised = signals.raised(signal)
        return {
            "signal_id": signal.signal_id,
            "metric": signal.metric,
            **rule_of(signal),
            "user_ids": None if signal.people is None else sorted(signal.people),
            "cohort": None if signal.cohort is None else _shown(signal.cohort),
            "created_at": format_us(signal.created_us),
            "raised": [
                {"user_id": user_id, "start": format_us(episode.start_us)}
                for user_id, episode in list(raised.items())[:_MOST_SHOWN]
            ],
            "raised_people": len(raised),
        }

    def found(signal_id: str) -> Signal:
        signal = signals.find(signal_id)
        if signal is None:
            raise ProblemError("not-found", "there is no such signal")
        return signal

    def created(wanted: NewSignal) -> dict[str, Any]:
        group = wanted.cohort
        cohort = None
        if group is not None:
            genders = None if group.gender is None else frozenset(group.gender)
            cohort = PeopleFilter(genders, group.min_age, group.max_age)
        rule = wanted.above, wanted.below, wanted.silent_for, wanted.for_
        return entry(signals.create(SignalRequest(wanted.metric, *rule, wanted.user_ids, cohort, 0)))

    @routes.post("/signals", status_code=201, response_model=SignalEntry, openapi_extra=body_of("NewSignal"))
    async def create_signal(request: Request, _: Nothing) -> Response:
        """Make a signal: a rule that is looked at again whenever readings change. It is no diagnosis."""
        require_json(request)
        wanted = checked_object(await read_body(request, FIELDS_BYTES), NewSignal)
        return _answer(await run_in_threadpool(created, wanted), 201)

    @routes.get("/signals", response_model=SignalList)
    def list_signals(_: Nothing) -> Response:
        """List signals, the oldest first, and of whom each holds now."""
        return _answer({"data": [entry(signal) for signal in signals.all()]})

    @routes.get(
        "/signals/stream",
        response_class=Response,
        responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}},
    )
    async def stream_signals(request: Request, _: Nothing) -> Response:
        """Stream what becomes of signals, as server-sent events. `Last-Event-ID` resumes a stream, even after a restart
        of the server.
        """
        following = signals.following()
        place = await run_in_threadpool(signals.place)
        return SignalStream(services.streams, following, place, request.headers.get("last-event-id"))

    @routes.get("/signals/{signal_id}", response_model=SignalEntry)
    def show_signal(signal_id: SignalId, _: Nothing) -> Response:
        """Show a signal, and of whom it holds now."""
        return _answer(entry(found(signal_id)))

    @routes.delete("/signals/{signal_id}", response_model=RemovedSignal)
    def remove_signal(signal_id: SignalId, _: Nothing) -> Response:
        """Remove a signal. What is raised is not cleared: nobody looks any more."""
        signals.remove(found(signal_id))
        return _answer({"signal_id": signal_id})

    return routes


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)


def _shown(cohort: PeopleFilter) -> dict[str, Any]:
    genders = None if cohort.genders is None else sorted(cohort.genders)
    return {"gender": genders, "min_age": cohort.min_age, "max_age": cohort.max_age}
