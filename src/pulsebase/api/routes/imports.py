"""Import uploaded files, and list and undo imports."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, BinaryIO

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.problems import ProblemError, partly_done
from pulsebase.api.border.request_shares import SharedRoute, held
from pulsebase.api.border.threads import UPLOADS
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.body_stream import BodyStream, BrokenOffError, SpooledBody
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import Deleted, NoParameters
from pulsebase.api.schemas.imports import ImportDetail, ImportList, ImportParameters, ImportsParameters
from pulsebase.etl.extract.parts import FileOwner, OwnZones, everybody_in
from pulsebase.etl.import_jobs import ImportReport, Turn
from pulsebase.etl.load import IMPORT_KIND, SYNC_KIND, synced_by
from pulsebase.etl.summary import in_all
from pulsebase.etl.totals import UnreadFiles
from pulsebase.files.disk_errors import meaning_of, translated
from pulsebase.ingest.processor import TooCostlyError
from pulsebase.model.errors import RetryLaterError, StopError, StoreUnavailableError, after
from pulsebase.model.metrics import asked_metric
from pulsebase.model.timerange import format_us, zone_named
from pulsebase.stores.contract import Cancellation, Origin

_PIECE_BYTES = 4 << 20
#: How many readings one commit removes when an import is undone, so that other writes get their turn in between.
_UNDONE_AT_ONCE = 100_000

ImportId = Annotated[int, Path(ge=1, le=2**31 - 1)]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def router(services: RequestServices) -> APIRouter:
    """Return the routes under `/imports`."""
    routes = APIRouter(route_class=SharedRoute, tags=["imports"])

    @routes.post("/imports", status_code=202, response_model=ImportDetail, openapi_extra=_BODY)
    async def import_file(request: Request, parameters: Annotated[ImportParameters, Query()]) -> Response:
        """Import one file or archive (zip, tar, tgz), which is the body: Takeout, Apple Health, FIT,
        any CSV, or what `pulsebase export` wrote; told by what is in it. It is read in the background; ask for the
        import by its id. One of which nothing was read, or every record refused, ends as `failed`.
        """
        zone_of = everybody_in(zone_named(parameters.tz)) if parameters.tz else OwnZones(services.sync.zone_of)
        metric = None if parameters.metric is None else asked_metric(parameters.metric).name
        owner = FileOwner(parameters.user_id, parameters.device_id, zone_of, metric, parameters.csv)
        services.imports.admit(owner)
        body = BodyStream(request, services.options.import_limit_bytes, services.options.processor)
        feeding = asyncio.create_task(body.feed())
        try:
            upload = await UPLOADS.run(lambda: _kept(body.to_spool()))
        finally:
            body.abandon()
            feeding.cancel()
        holding = held(request.scope).pass_on("spooled bytes")
        turn = Turn(partial(holding.wait, "decoders"), holding.close)
        start = partial(services.imports.start, parameters.name, upload, owner, turn, body.sent_bytes)
        report = await run_in_threadpool(start)
        with after(f"the file was taken all the same, and is import {report.number}"):
            origin = await run_in_threadpool(_origin, services, report.number)
        # Nothing is stored under a new number yet, and counting would mean to look at every reading.
        answer = _entry(services, origin, 0, report) | {"course": _course(report)}
        return Response(msgspec.json.encode(answer), 202, {"Location": f"/v1/imports/{report.number}"}, JSON)

    @routes.get("/imports", response_model=ImportList)
    async def list_imports(request: Request, parameters: Annotated[ImportsParameters, Query()]) -> Response:
        """List imports of files, by upload or by command, and what each connection to a source has brought, newest
        first, with the number of their readings that are stored now.
        """
        return await while_connected(request, lambda cancellation: _listed(services, parameters, cancellation))

    @routes.get("/imports/{import_id}", response_model=ImportDetail)
    async def show_import(request: Request, import_id: ImportId, _: Annotated[NoParameters, Query()]) -> Response:
        """Show one import: its progress, its files, and what was refused."""
        return await while_connected(request, lambda cancellation: _shown(services, import_id, cancellation))

    @routes.delete("/imports/{import_id}", response_model=Deleted, responses={202: {"model": Deleted}})
    def undo_import(import_id: ImportId, _: Annotated[NoParameters, Query()]) -> Response:
        """Remove the readings of an import or of a connection that are still stored. Readings that they replaced do not
        come back, and daily summaries stay. A source that is still connected brings its readings again. An import that
        waits or runs is cancelled instead, with status 202; send the same request again to remove what it had stored.
        """
        origin = _origin(services, import_id)
        deleted = 0
        if origin.kind == IMPORT_KIND and services.imports.cancel(import_id):
            return Response(msgspec.json.encode({"deleted": 0}), 202, media_type=JSON)
        with _standing_still(services, origin):
            try:
                while step := services.ingestor.submit_delete_origin(import_id, _UNDONE_AT_ONCE).result():
                    deleted += step
                    services.store.settle()
            except (RetryLaterError, StopError) as error:
                if not deleted:
                    raise
                raise partly_done(error, f"{deleted} readings were removed, send the same again") from error
        return Response(msgspec.json.encode({"deleted": deleted}), media_type=JSON)

    return routes


def _kept(body: SpooledBody) -> BinaryIO:
    """Write the body to a temporary file without a name, and return that."""
    with translated("the upload"):
        file = tempfile.TemporaryFile(prefix="pulsebase-import-")  # noqa: SIM115 closed by the import
    try:
        while piece := body.read(_PIECE_BYTES):
            file.write(piece)
        return file
    except (BrokenOffError, TooCostlyError) as error:
        file.close()
        slug = "body-too-costly" if isinstance(error, TooCostlyError) else "malformed-body"
        raise ProblemError(slug, f"{error}; nothing was imported") from None
    except OSError as error:
        file.close()
        unnamed = StoreUnavailableError(f"the upload cannot be kept: {error.strerror}", retry_after_s=60)
        raise meaning_of(error, "the upload") or unnamed from error
    except BaseException:
        file.close()
        raise


def _origins(services: RequestServices) -> list[Origin]:
    return [origin for origin in services.store.origins() if origin.kind in (IMPORT_KIND, SYNC_KIND)]


def _origin(services: RequestServices, import_id: int) -> Origin:
    for origin in _origins(services):
        if origin.number == import_id:
            return origin
    raise ProblemError("not-found", "there is no import of that id")


@contextlib.contextmanager
def _standing_still(services: RequestServices, origin: Origin) -> Iterator[None]:
    """Ensure that nothing is stored under the origin while the block runs.

    Raises:
        ProblemError: an import or a run of the origin is under way.
    """
    if origin.kind == SYNC_KIND:
        source, user_id = synced_by(origin)
        with services.sync.kept_out(user_id, source) as mine:
            if not mine:
                raise ProblemError("conflict", "a run is under way; its readings can be removed once it has ended")
            yield
        return
    report = services.imports.reports([origin.number]).get(origin.number)
    if _status(services, origin, report) in ("waiting", "running"):
        raise ProblemError("conflict", "the import still runs; it can be undone once it has ended")
    yield


def _listed(services: RequestServices, parameters: ImportsParameters, cancellation: Cancellation) -> Response:
    origins = sorted(_origins(services), key=lambda origin: -origin.number)
    if parameters.cursor is not None:
        origins = [origin for origin in origins if origin.number < parameters.cursor]
    page = origins[: parameters.limit]
    next_cursor = page[-1].number if len(origins) > len(page) else None
    body = {"data": _entries(services, page, cancellation), "next_cursor": next_cursor}
    return Response(msgspec.json.encode(body), media_type=JSON)


def _shown(services: RequestServices, import_id: int, cancellation: Cancellation) -> Response:
    origin, report = _origin(services, import_id), services.imports.reports([import_id]).get(import_id)
    readings = services.store.origin_readings([import_id], cancellation)[import_id]
    body = _entry(services, origin, readings, report) | {"course": None if report is None else _course(report)}
    return Response(msgspec.json.encode(body), media_type=JSON)


def _entries(services: RequestServices, origins: Sequence[Origin], cancellation: Cancellation) -> list[dict[str, Any]]:
    numbers = [origin.number for origin in origins]
    counts = services.store.origin_readings(numbers, cancellation)
    reports = services.imports.reports(numbers)
    return [_entry(services, origin, counts[origin.number], reports.get(origin.number)) for origin in origins]


def _status(services: RequestServices, origin: Origin, report: ImportReport | None) -> str:
    """Return the status of an import. One that a command runs, or ran, is known only by its lock."""
    if report is not None:
        return report.status
    return "running" if origin.kind == IMPORT_KIND and services.imports.runs(origin.name) else "past"


def _entry(services: RequestServices, origin: Origin, readings: int, report: ImportReport | None) -> dict[str, Any]:
    return {
        "id": origin.number,
        "kind": origin.kind,
        "name": origin.name,
        "received_at": format_us(origin.received_us),
        "readings": readings,
        "status": _status(services, origin, report),
    }


def _course(report: ImportReport) -> dict[str, Any]:
    total = in_all(report.kinds)
    shown = ("size_bytes", "read_bytes", "file_count", "days", "failure", "remark", "people")
    counted = ("read", "written", "unchanged", "repeated", "rejected")
    return {
        **{name: getattr(report, name) for name in (*shown, *counted)},
        **{name: getattr(total, name) for name in ("first_day", "last_day")},
        "metrics": [asdict(count) for count in total.metrics],
        "refused": [{"reason": reason, "count": count} for reason, count in report.refused.items()],
        "kinds": [asdict(each) for each in report.kinds],
        "unread": _unread(report.unread),
        "files": [_without(asdict(result), "counts") for result in report.files],
        "errors": [{"file": each.file, "counts": each.counts} | asdict(each.error) for each in report.refusals],
    }


def _unread(unread: UnreadFiles) -> dict[str, Any]:
    return asdict(unread) | {"named": [{"name": each.name, "what": each.what} for each in unread.named]}


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
