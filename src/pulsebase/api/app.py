"""The application: routers, errors, guard, page and the OpenAPI document."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from pulsebase import __version__
from pulsebase.api import errors
from pulsebase.api.doors import Doors
from pulsebase.api.guard import Guard, Shortcut
from pulsebase.api.page import mount_page
from pulsebase.api.people import People
from pulsebase.api.routes import (
    admin,
    bulk,
    cohorts,
    devices,
    erasures,
    exports,
    imports,
    readings,
    series,
    service,
    sources,
    users,
)
from pulsebase.api.schemas.service import Problem
from pulsebase.api.services import Services
from pulsebase.model.errors import RejectedError, shown_name

Application = FastAPI
_REPEATABLE = frozenset({"user_ids", "gender"})
PAGE_FOLDER = Path(__file__).parent / "page"


def create_app(services: Services, page_folder: Path = PAGE_FOLDER) -> FastAPI:
    """The application over built parts. It neither opens nor closes them."""
    app = FastAPI(
        title="Pulsebase",
        version=__version__,
        summary="Heart-rate time series: in by HTTP, out at the right resolution.",
        dependencies=[Depends(_refuse_repeated_parameters)],
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(service.router(services))
    doors = Doors(services)
    people = People(services.store, services.erasures.changing)
    routers = (
        readings.router(services, doors),
        bulk.router(services),
        series.router(services),
        users.router(services, people),
        devices.router(services, people),
        cohorts.router(services),
        imports.router(services),
        exports.router(services),
        erasures.router(services),
        sources.router(services),
    )
    for router in routers:
        app.include_router(router, prefix="/v1")
        # The same at the root, for callers of the older paths.
        app.include_router(router, include_in_schema=False)
    app.include_router(bulk.line_protocol_router(services))
    app.include_router(admin.router(services, people), prefix="/v1")
    app.include_router(sources.admin_router(services), prefix="/v1")
    mount_page(app, page_folder)
    errors.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_middleware(Guard, options=services.options, shortcuts=_shortcuts(doors))
    return app


def _shortcuts(doors: Doors) -> dict[str, Shortcut]:
    """The hot paths, which the guard answers without the framework. Both places of a route share a template."""
    handlers = {"/metrics/heart-rate": doors.single, "/metrics/heart-rate/batch": doors.batch}
    return {prefix + path: Shortcut(path, handler) for path, handler in handlers.items() for prefix in ("", "/v1")}


async def _refuse_repeated_parameters(request: Request) -> None:
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if count > 1 and name not in _REPEATABLE:
            raise RejectedError.of(shown_name(name), "is given more than once")


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        bodies = (*readings.BODY_SCHEMAS, *users.BODY_SCHEMAS, *devices.BODY_SCHEMAS)
        wanted = [(model, "validation") for model in bodies] + [(Problem, "serialization")]
        _, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        document["components"]["schemas"] |= definitions["$defs"]
        _answer_problems(document)
        app.openapi_schema = document
    return app.openapi_schema


def _answer_problems(document: dict[str, Any]) -> None:
    """Every operation can answer a problem; none answers the framework's own validation errors."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for status in ("4XX", "5XX"):
                operation["responses"][status] = {"description": "A problem (RFC 9457).", "content": content}
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
