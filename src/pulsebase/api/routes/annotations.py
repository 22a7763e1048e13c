"""What people note about times: read, written, replaced and removed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.json_bodies import decode_object
from pulsebase.api.codecs.request_body import read_body, require_json, worked_out
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.people_edits import refuse_others
from pulsebase.api.schemas.annotations import (
    AnnotationEntry,
    AnnotationList,
    AnnotationsParameters,
    NewAnnotation,
    RemovedAnnotation,
)
from pulsebase.api.schemas.common import NoParameters, PathIdentifier, body_of
from pulsebase.model.annotations import MOST_ANNOTATIONS, Annotation, annotation_problem
from pulsebase.model.errors import RejectedError, UnknownUserError
from pulsebase.model.timerange import LAST_END_US, TimeRange, format_us, instant_of, parse_instant

#: Schemas of bodies that are decoded here; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (NewAnnotation,)

Id = Annotated[PathIdentifier, Path()]
Nothing = Annotated[NoParameters, Query()]


def router(services: RequestServices) -> APIRouter:
    """Return the routes under `/users/{user_id}/annotations`."""
    routes = APIRouter(route_class=SharedRoute, prefix="/users/{user_id}/annotations", tags=["people"])
    store = services.store

    @routes.get("", response_model=AnnotationList)
    def list_annotations(user_id: Id, parameters: Annotated[AnnotationsParameters, Query()]) -> Response:
        """List what a person has noted about times inside a range, or about all of them."""
        interval = _interval(parameters)
        _require_known(user_id)
        entries = [_entry(each) for each in store.annotations(user_id, interval)]
        return Response(msgspec.json.encode({"user_id": user_id, "data": entries}), media_type=JSON)

    @routes.post("", status_code=201, response_model=AnnotationEntry, openapi_extra=body_of("NewAnnotation"))
    async def add_annotation(request: Request, user_id: Id, _: Nothing) -> Response:
        """Note something about a moment, or a stretch of time, of a person who is known."""
        return await put(request, user_id, uuid.uuid4().hex, 201)

    @routes.put("/{annotation_id}", response_model=AnnotationEntry, openapi_extra=body_of("NewAnnotation"))
    async def put_annotation(request: Request, user_id: Id, annotation_id: Id, _: Nothing) -> Response:
        """Keep an annotation under an id of one's own, in place of what is kept under it."""
        return await put(request, user_id, annotation_id, 200)

    @routes.delete("/{annotation_id}", response_model=RemovedAnnotation)
    def remove_annotation(user_id: Id, annotation_id: Id, _: Nothing) -> Response:
        """Remove an annotation."""
        _require_known(user_id)
        removed = int(store.remove_annotation(user_id, annotation_id))
        return Response(msgspec.json.encode({"removed": removed}), media_type=JSON)

    async def put(request: Request, user_id: str, annotation_id: str, status: int) -> Response:
        require_json(request)
        body = await read_body(request, services.options.body_limit_bytes)
        fields = await worked_out(body, lambda: decode_object(body))
        annotation = _annotation(user_id, annotation_id, fields)
        await run_in_threadpool(keep, annotation)
        return Response(msgspec.json.encode(_entry(annotation)), status, media_type=JSON)

    def keep(annotation: Annotation) -> None:
        with services.erasures.changing():
            _require_known(annotation.user_id)
            known = store.annotations(annotation.user_id)
            is_new = all(each.annotation_id != annotation.annotation_id for each in known)
            if is_new and len(known) >= MOST_ANNOTATIONS:
                raise RejectedError.of("user_id", f"has {MOST_ANNOTATIONS} annotations, which is the most")
            store.put_annotations([annotation])

    def _require_known(user_id: str) -> None:
        if not store.knows(user_id):
            raise UnknownUserError

    return routes


def _interval(parameters: AnnotationsParameters) -> TimeRange | None:
    if parameters.start is None and parameters.end is None:
        return None
    start_us = 0 if parameters.start is None else parse_instant(parameters.start, "start")
    end_us = LAST_END_US if parameters.end is None else parse_instant(parameters.end, "end")
    if end_us <= start_us:
        raise RejectedError.of("end", "must be after the start")
    return TimeRange(start_us, end_us)


def _annotation(user_id: str, annotation_id: str, fields: Mapping[str, Any]) -> Annotation:
    refuse_others(fields, "start", "end", "text")
    for name in ("start", "text"):
        if not isinstance(fields.get(name), str):
            raise RejectedError.of(name, "is required, as a text")
    end = fields.get("end")
    found = Annotation(
        user_id,
        annotation_id,
        parse_instant(fields["start"], "start"),
        None if end is None else instant_of(end, "end"),
        fields["text"],
    )
    problem = annotation_problem(found)
    if problem is not None:
        raise RejectedError([problem])
    return found


def _entry(annotation: Annotation) -> dict[str, Any]:
    end_us = annotation.end_us
    return {
        "annotation_id": annotation.annotation_id,
        "start": format_us(annotation.start_us),
        "end": None if end_us is None else format_us(end_us),
        "text": annotation.text,
    }
