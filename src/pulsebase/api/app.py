"""The application: routers, error handlers, middleware, web page and the OpenAPI document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from fastapi import Depends, FastAPI, Request, Response
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from pulsebase.api.border import problems as errors
from pulsebase.api.border.authentication import require_scope, route_requires_scope
from pulsebase.api.border.late_routes import include
from pulsebase.api.border.middleware import BorderMiddleware, Handler, Shortcut
from pulsebase.api.components import Components, RequestServices
from pulsebase.api.openapi import Document, cached, document_of
from pulsebase.api.routes import (
    access,
    admin,
    admin_transfer,
    app_pushes,
    audit,
    bulk,
    cohorts,
    derived,
    devices,
    erasures,
    events,
    exports,
    imports,
    influx,
    influx_queries,
    origins,
    readings,
    series,
    service,
    signals,
    sources,
    users,
    webhooks,
)
from pulsebase.api.routes import annotations as annotation_routes
from pulsebase.api.routes.people_edits import PeopleEditor
from pulsebase.api.routes.push import PushHandlers
from pulsebase.api.server.web_page import mount_page
from pulsebase.model.errors import RejectedError, shown_name

_REPEATABLE = frozenset({"user_ids", "gender", "metric", "time_column"})
PAGE_FOLDER = Path(__file__).parent / "page"


class Application(FastAPI):
    """The framework's application, with the border around all of it, so that the hot paths pass nothing else.

    The framework's own outermost layer is left out: it would answer unexpected errors before the border can.
    """

    def __init__(self, built: Components, shortcuts: Mapping[str, Shortcut], **options: Any) -> None:
        super().__init__(**options)
        self._built, self._shortcuts = built, shortcuts
        #: The document of the owner's routes; `openapi` is that of all others.
        self.owner_openapi: Callable[[], Document] = dict

    def build_middleware_stack(self) -> ASGIApp:
        """Return what handles every request, the outermost layer first."""
        framework = cast(ServerErrorMiddleware, super().build_middleware_stack()).app
        return BorderMiddleware(framework, self._built.options, self._built.access, self._shortcuts)


def create_app(built: Components, page_folder: Path = PAGE_FOLDER) -> Application:
    """Return the application over built parts. It neither opens nor closes them.

    Routes get `RequestServices`, through which each caller can use the parts as far as allowed, and nothing else.
    """
    services = RequestServices(built)
    push_handlers = PushHandlers(services, built)
    app = Application(
        built,
        _shortcuts(push_handlers),
        title="Pulsebase",
        version=version("pulsebase"),
        summary="Heart-rate time series: in by HTTP, out at the right resolution.",
        dependencies=[Depends(route_requires_scope), Depends(_refuse_repeated_parameters)],
        docs_url=None,
        redoc_url=None,
    )
    include(app, service.router(services))
    include(app, service.watch_router(services))
    people = PeopleEditor(services.store, services.erasures.changing)
    routers = (
        readings.router(services, push_handlers),
        readings.metrics_router(services, push_handlers),
        bulk.router(services),
        app_pushes.router(services),
        series.router(services),
        events.router(services),
        users.router(services, people),
        devices.router(services, people),
        origins.router(services),
        annotation_routes.router(services),
        cohorts.router(services),
        derived.router(services),
        imports.router(services),
        exports.router(services),
        erasures.router(services),
        sources.router(services),
        audit.router(services),
        access.router(services),
        signals.router(services),
        webhooks.router(services),
    )
    for router in routers:
        include(app, router, prefix="/v1")
        # The same routes at the root, for clients that use the older paths.
        include(app, router, in_schema=False)
    include(app, readings.list_router(services))
    include(app, influx.router(services))
    include(app, influx_queries.router(services))
    include(app, admin.router(services), prefix="/v1")
    include(app, admin_transfer.router(services, people), prefix="/v1")
    include(app, sources.admin_router(services), prefix="/v1")
    mount_page(app, page_folder)
    errors.install(app)
    app.state.streams = built.streams
    app.state.shares = built.shares
    app.state.give_up = built.give_up
    with_bodies = (readings, users, devices, annotation_routes, signals, webhooks)
    bodies = [model for routes in with_bodies for model in routes.BODY_SCHEMAS]
    app.openapi = cached(lambda: document_of(app, bodies, owners=False))  # type: ignore[method-assign]
    app.owner_openapi = cached(lambda: document_of(app, bodies, owners=True))
    return app


def create_watch_app(built: Components) -> Application:
    """Return the application of a process that serves no data: `/health` and `/metrics`, nothing else."""
    app = Application(
        built, {}, openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(route_requires_scope)]
    )
    include(app, service.watch_router(RequestServices(built)))
    errors.install(app)
    return app


def _shortcuts(push_handlers: PushHandlers) -> dict[str, Shortcut]:
    """Return the hot paths, which the middleware answers without the framework. With and without `/v1`, a route has the
    same template.
    """
    handlers = {"/metrics/heart-rate": push_handlers.single, "/metrics/heart-rate/batch": push_handlers.batch}
    shortcuts = {path: Shortcut(path, _scoped("POST", path, handler)) for path, handler in handlers.items()}
    return {prefix + path: shortcut for path, shortcut in shortcuts.items() for prefix in ("", "/v1")}


def _scoped(method: str, template: str, handler: Handler) -> Handler:
    """Return the handler behind the same scope check that the framework's routes have."""

    async def checked(request: Request) -> Response:
        require_scope(method, template)
        return await handler(request)

    return checked


async def _refuse_repeated_parameters(request: Request) -> None:
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if count > 1 and name not in _REPEATABLE:
            raise RejectedError.of(shown_name(name), "is given more than once")
