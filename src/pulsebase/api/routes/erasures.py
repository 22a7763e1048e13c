"""Erase people, and show the receipts."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response

from pulsebase import telemetry
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON, shown_time
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import NoParameters, PathIdentifier
from pulsebase.api.schemas.people import AllowedUser, DeletedRows, ErasureList, ErasureReceipt
from pulsebase.stores.erasures import Erasure

UserId = Annotated[PathIdentifier, Path()]
ErasureId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Nothing = Annotated[NoParameters, Query()]

#: What no erasure can reach. Every receipt lists it.
OUT_OF_REACH = (
    "copies made by backup, copy or export before, and whatever else took files away",
    "logs, replicas and copies of a database server, and of clouds that readings came from",
    "free space of disks and file systems, and their snapshots",
)


def router(services: RequestServices) -> APIRouter:
    """Return the routes that erase people and show the receipts."""
    routes = APIRouter(route_class=SharedRoute, tags=["people"])
    erasures = services.erasures

    @routes.delete(
        "/users/{user_id}",
        response_model=ErasureReceipt,
        responses={202: {"model": ErasureReceipt, "description": "It continues by itself; see `problem`."}},
    )
    def erase_user(user_id: UserId, _: Nothing) -> Response:
        """Erase a person. Once this returns, no answer contains them; a while later, no file of the store does. Nothing
        is accepted for that id any more until it is allowed again. The status is 202 if a full or
        failing disk prevents the erasure now: it is recorded, and continues by itself.
        """
        erasure = erasures.erase(user_id)
        telemetry.INGEST_DELETED.inc(erasure.deleted.get("readings", 0))
        return _answer(_receipt(erasure), 202 if erasure.stage == "requested" else 200)

    @routes.post("/users/{user_id}/allow", response_model=AllowedUser)
    def allow_user(user_id: UserId, _: Nothing) -> Response:
        """Allow the id of an erased person to be used again."""
        erasures.allow(user_id)
        return _answer({"user_id": user_id})

    @routes.get("/erasures", response_model=ErasureList)
    def list_erasures(_: Nothing) -> Response:
        """List every receipt, newest first. A receipt does not say who was erased."""
        return _answer({"data": [_receipt(each) for each in erasures.receipts()]})

    @routes.get("/erasures/{erasure_id}", response_model=ErasureReceipt)
    def show_erasure(erasure_id: ErasureId, _: Nothing) -> Response:
        """Show how far an erasure has got."""
        erasure = erasures.find(erasure_id)
        if erasure is None:
            raise ProblemError("not-found", "there is no such erasure")
        return _answer(_receipt(erasure))

    return routes


def _receipt(erasure: Erasure) -> dict[str, Any]:
    return {
        "erasure_id": erasure.erasure_id,
        "stage": erasure.stage,
        "requested_at": shown_time(erasure.requested_us),
        "hidden_at": shown_time(erasure.hidden_us),
        "scrubbed_at": shown_time(erasure.scrubbed_us),
        "deleted": DeletedRows(**erasure.deleted).model_dump() if erasure.deleted else None,
        "bytes_before": erasure.before_bytes,
        "bytes_after": erasure.after_bytes,
        "problem": erasure.problem,
        "out_of_reach": OUT_OF_REACH,
    }


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)
