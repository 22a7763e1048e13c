"""A person's devices, and which of them is believed."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.body import read_body, require_json
from pulsebase.api.decode import decode_object
from pulsebase.api.encode import JSON, shown_time
from pulsebase.api.people import People
from pulsebase.api.schemas import (
    DeviceEntry,
    DeviceList,
    NoParameters,
    PathIdentifier,
    PrioritySetting,
    RemovedPriorities,
    body_of,
)
from pulsebase.api.services import Services
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.timerange import format_us
from pulsebase.model.users import DeviceOverview, DevicePriority, priority_at

#: Schemas of bodies that are decoded here; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (PrioritySetting,)

Id = Annotated[PathIdentifier, Path()]
Nothing = Annotated[NoParameters, Query()]


def router(services: Services, people: People) -> APIRouter:
    """`/users/{user_id}/devices`."""
    routes = APIRouter(prefix="/users/{user_id}/devices", tags=["people"])

    def devices_of(user_id: str) -> list[dict[str, Any]]:
        services.series.require(user_id)
        history, now_us = services.store.priorities(user_id), wall_clock_us()
        return [_entry(device, history, now_us) for device in services.store.devices(user_id)]

    @routes.get("", response_model=DeviceList)
    def list_devices(user_id: Id, _: Nothing) -> Response:
        """The devices the person has readings of, or priorities for."""
        body = {"user_id": user_id, "data": devices_of(user_id)}
        return Response(msgspec.json.encode(body), media_type=JSON)

    @routes.put("/{device_id}/priority", response_model=DeviceEntry, openapi_extra=body_of("PrioritySetting"))
    async def set_priority(request: Request, user_id: Id, device_id: Id, _: Nothing) -> Response:
        """Set the device's priority for this person from an instant on, until the next setting. Every answer for the
        person follows it at once.
        """
        require_json(request)
        fields = decode_object(await read_body(request, services.options.body_limit_bytes))

        def work() -> dict[str, Any]:
            people.set_priority(user_id, device_id, fields)
            return next(entry for entry in devices_of(user_id) if entry["device_id"] == device_id)

        return Response(msgspec.json.encode(await run_in_threadpool(work)), media_type=JSON)

    @routes.delete("/{device_id}/priority", response_model=RemovedPriorities)
    def remove_priorities(user_id: Id, device_id: Id, _: Nothing) -> Response:
        """Take the person's own settings for the device back, all of them: the default holds at all times."""
        removed = people.remove_priorities(user_id, device_id)
        return Response(msgspec.json.encode({"removed_entries": removed}), media_type=JSON)

    return routes


def _entry(device: DeviceOverview, history: list[DevicePriority], now_us: int) -> dict[str, Any]:
    return {
        "device_id": device.device_id,
        "readings": device.readings,
        "first_reading": shown_time(device.first_us),
        "last_reading": shown_time(device.last_us),
        "priority": priority_at(history, device.device_id, now_us),
        "priorities": [
            {"valid_from": format_us(entry.valid_from_us), "priority": entry.priority}
            for entry in history
            if entry.device_id == device.device_id
        ],
    }
