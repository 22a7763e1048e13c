"""Export everything that is stored about one person, to be handed to that person."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Generator, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response

from pulsebase.api.border.bounded_response import BoundedResponse
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import Pieces
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.audit import shown_entry
from pulsebase.api.routes.origins import origin_entries
from pulsebase.api.schemas.common import NoParameters, PathIdentifier
from pulsebase.etl.state import RUNS_KEPT, RunFilter
from pulsebase.model.exported import MANIFEST, manifest, readings_name, record_name
from pulsebase.model.metrics import HEART_RATE, METRICS
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.query.exports import exported_records, in_units, ndjson_lines, values_in_units
from pulsebase.stores.records import KINDS

_ZIP = "application/zip"
_ANSWER: dict[int | str, dict[str, Any]] = {200: {"content": {_ZIP: {}}}}
#: The fastest compression level. Readings are so alike that they compress well even at this one.
_PACKING = 1


def router(services: RequestServices) -> APIRouter:
    """Return the route `/users/{user_id}/export`."""
    routes = APIRouter(route_class=SharedRoute, tags=["people"])

    @routes.get("/users/{user_id}/export", response_model=None, response_class=Response, responses=_ANSWER)
    def export_person(
        user_id: Annotated[PathIdentifier, Path()], _: Annotated[NoParameters, Query()]
    ) -> BoundedResponse:
        """Everything of one person as a zip: an export that `pulsebase import` and `POST /imports` read
        (`people.ndjson`, `priorities.ndjson`, `summaries.ndjson`, `readings.ndjson` and for each other metric a file
        such as `readings-oxygen-saturation.ndjson`), and for the person `devices.json`, `connections.json` (without
        tokens), `runs.json`, `imports.json` (what brought the readings) and `audit.json` (who asked what about them).
        """
        services.series.require(user_id)
        texts = {MANIFEST: _text(manifest())}
        for kind in KINDS:
            texts[record_name(kind)] = b"".join(exported_records(services.store, kind, [user_id]))
        texts |= {
            "devices.json": _text(services.store.devices(user_id)),
            "connections.json": _text(services.connections.of(user_id)),
            "runs.json": _text([each.run for each in services.sync.runs(RunFilter(user_id, limit=RUNS_KEPT))]),
        }
        others = [each.metric for each in services.store.metrics(user_id) if each.metric != HEART_RATE.name]
        headers = {"Content-Disposition": 'attachment; filename="pulsebase-export.zip"'}
        timeout_s = services.options.export_timeout_s
        return BoundedResponse(_archive(services, user_id, texts, others), timeout_s, headers=headers, media_type=_ZIP)

    return routes


def _text(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


def _archive(
    services: RequestServices, user_id: str, texts: dict[str, bytes], others: Sequence[str]
) -> Generator[bytes, None, None]:
    """Yield the bytes of the archive. `others` are the person's metrics besides heart rate; each has a file."""
    pieces = Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED, compresslevel=_PACKING) as archive:
        for name, value in texts.items():
            archive.writestr(name, value)
        for metric in (HEART_RATE, *(METRICS[name] for name in others)):
            name = readings_name(metric)
            batches = services.store.export(TimeRange(0, MAX_US), [user_id], [metric.name])
            with (
                contextlib.closing(batches),  # type: ignore[type-var]
                archive.open(f"{name}.ndjson", "w", force_zip64=True) as file,
            ):
                for batch in batches:
                    file.write(ndjson_lines(in_units(batch) if metric is HEART_RATE else values_in_units(batch)))
                    yield pieces.take()
        archive.writestr("imports.json", _text(origin_entries(services, user_id)))
        with archive.open("audit.json", "w", force_zip64=True) as file:
            before = b"[\n"
            for entry in services.audit.about(user_id):
                file.write(before + msgspec.json.encode(shown_entry(entry)))
                before = b",\n"
                yield pieces.take()
            file.write(b"[]" if before[:1] == b"[" else b"\n]")
    yield pieces.take()
