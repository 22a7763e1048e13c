"""Everything that is stored of one person, to take along."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Generator, Iterator
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from fastapi import APIRouter, Path, Query, Response

from pulsebase.api.encode import Pieces
from pulsebase.api.fairness import FairRoute
from pulsebase.api.held import HeldResponse
from pulsebase.api.schemas.common import NoParameters, PathIdentifier
from pulsebase.api.services import Services
from pulsebase.etl.state import RUNS_KEPT, RunFilter
from pulsebase.model.exported import MANIFEST, READINGS, manifest, record_name
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.query.exports import exported_records, in_units, ndjson_lines
from pulsebase.stores.records import KINDS

_ZIP = "application/zip"
_ANSWER: dict[int | str, dict[str, Any]] = {200: {"content": {_ZIP: {}}}}
#: As little time for packing as there can be: readings are alike, and pack well all the same.
_PACKING = 1


def router(services: Services) -> APIRouter:
    """`/users/{user_id}/export`."""
    routes = APIRouter(route_class=FairRoute, tags=["people"])

    @routes.get("/users/{user_id}/export", response_model=None, response_class=Response, responses=_ANSWER)
    def export_person(user_id: Annotated[PathIdentifier, Path()], _: Annotated[NoParameters, Query()]) -> HeldResponse:
        """Everything of one person as a zip: an export that `pulsebase import` and `POST /imports` read
        (`people.ndjson`, `priorities.ndjson`, `summaries.ndjson`, `readings.ndjson`), and for the person
        `devices.json`, `connections.json` (without tokens) and `runs.json`.
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
        batches = services.store.export(TimeRange(0, MAX_US), [user_id])
        headers = {"Content-Disposition": 'attachment; filename="pulsebase-export.zip"'}
        timeout_s = services.options.export_timeout_s
        return HeldResponse(_archive(texts, batches), timeout_s, headers=headers, media_type=_ZIP)

    return routes


def _text(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


def _archive(texts: dict[str, bytes], batches: Iterator[pa.RecordBatch]) -> Generator[bytes, None, None]:
    with contextlib.closing(batches):  # type: ignore[type-var]
        pieces = Pieces()
        with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED, compresslevel=_PACKING) as archive:
            for name, value in texts.items():
                archive.writestr(name, value)
            with archive.open(f"{READINGS}.ndjson", "w", force_zip64=True) as file:
                for batch in batches:
                    file.write(ndjson_lines(in_units(batch)))
                    yield pieces.take()
        yield pieces.take()
