"""A person's devices, and which of them takes precedence."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON, shown_time
from pulsebase.api.codecs.json_bodies import decode_object
from pulsebase.api.codecs.request_body import read_body, require_json, worked_out
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.people_edits import Device, PeopleEditor
from pulsebase.api.schemas.common import NoParameters, PathIdentifier, body_of
from pulsebase.api.schemas.people import DeviceEntry, DeviceList, PrioritySetting, RemovedPriorities
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.timerange import format_us
from pulsebase.model.users import priority_at

#: Schemas of bodies that are decoded here; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (PrioritySetting,)

Id = Annotated[PathIdentifier, Path()]
Nothing = Annotated[NoParameters, Query()]


def router(services: RequestServices, people: PeopleEditor) -> APIRouter:
    """Return the routes under `/users/{user_id}/devices`."""
    routes = APIRouter(route_class=SharedRoute, prefix="/users/{user_id}/devices", tags=["people"])

    @routes.get("", response_model=DeviceList)
    def list_devices(user_id: Id, _: Nothing) -> Response:
        """List the devices a person has readings from, or priorities for."""
        body = {"user_id": user_id, "data": list(map(_entry, people.devices(user_id)))}
        return Response(msgspec.json.encode(body), media_type=JSON)

    @routes.put("/{device_id}/priority", response_model=DeviceEntry, openapi_extra=body_of("PrioritySetting"))
    async def set_priority(request: Request, user_id: Id, device_id: Id, _: Nothing) -> Response:
        """Set a device's priority for a person, from an instant until the next setting. It applies to every answer
        about the person at once.
        """
        require_json(request)
        body = await read_body(request, services.options.body_limit_bytes)
        fields = await worked_out(body, lambda: decode_object(body))
        device = await run_in_threadpool(people.set_priority, user_id, device_id, fields)
        services.streams.tell_changed(user_id)
        return Response(msgspec.json.encode(_entry(device)), media_type=JSON)

    @routes.delete("/{device_id}/priority", response_model=RemovedPriorities)
    def remove_priorities(user_id: Id, device_id: Id, _: Nothing) -> Response:
        """Remove all of a person's priority settings for a device. The default applies again at all times."""
        removed = people.remove_priorities(user_id, device_id)
        services.streams.tell_changed(user_id)
        return Response(msgspec.json.encode({"removed_entries": removed}), media_type=JSON)

    return routes


def _entry(device: Device) -> dict[str, Any]:
    stored = device.stored
    return {
        "device_id": stored.device_id,
        "readings": stored.readings,
        "first_reading": shown_time(stored.first_us),
        "last_reading": shown_time(stored.last_us),
        "priority": priority_at(device.history, stored.device_id, wall_clock_us()),
        "priorities": [
            {"valid_from": format_us(entry.valid_from_us), "priority": entry.priority} for entry in device.history
        ],
    }
