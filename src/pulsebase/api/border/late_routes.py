"""Routes that are worked out when the first request comes to each.

The framework works out a route's parameters and answers when the route is made, and again, for all routes of a router,
when the first request comes to an application that includes that router. There are over a hundred routes, and most
processes, above all commands without a server, answer requests of one or two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match, compile_path, get_name
from starlette.types import Scope

#: Held while a route is worked out: the document of all routes may be made while requests come to some of them.
_WORKING_OUT = threading.RLock()


class LateRoute(APIRoute):
    """A route of which nothing but its path and its methods is known before somebody asks for more."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path, self.endpoint = path, endpoint
        self._fixed = path.partition("{")[0]
        self.name = options.get("name") or get_name(endpoint)
        self.methods = {method.upper() for method in options["methods"]}
        self.include_in_schema = options["include_in_schema"]
        self._options = options
        #: The route as its router has it: without the prefix under which the application has that router.
        self._own: APIRoute = self

    def __getattr__(self, name: str) -> Any:
        """Work out the rest, of which this is a part."""
        state = vars(self)
        if name.startswith("__") or "_options" not in state:
            raise AttributeError(name)
        with _WORKING_OUT:
            return state[name] if name in state else self._worked_out(name, state)

    def _worked_out(self, name: str, state: dict[str, Any]) -> Any:
        if "app" in state:  # which is worked out last
            raise AttributeError(name)
        if name in ("path_regex", "path_format", "param_convertors"):
            self.path_regex, self.path_format, self.param_convertors = compile_path(self.path)
            return state[name]
        super().__init__(self.path, self.endpoint, **self._options)
        return getattr(self, name)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a request is for this route; others then find the route in the scope without any prefix."""
        if self._fixed not in scope["path"]:  # nearly all routes are not meant
            return Match.NONE, {}
        match, found = super().matches(scope)
        if match is not Match.NONE:
            found["route"] = self._own
        return match, found

    def under(self, app: FastAPI, prefix: str, *, in_schema: bool) -> LateRoute:
        """Return the same route below this prefix, as one of the application's."""
        more = {
            "dependencies": [*app.router.dependencies, *self._options["dependencies"]],
            "include_in_schema": in_schema and self.include_in_schema,
        }
        route = type(self)(prefix + self.path, self.endpoint, **self._options | more)
        route._own = self
        return route


def include(app: FastAPI, router: APIRouter, prefix: str = "", *, in_schema: bool = True) -> None:
    """Give the application a router's routes, below a prefix."""
    for route in router.routes:
        if not isinstance(route, LateRoute):
            raise TypeError(f"{route} is not made with `route_class=LateRoute`")
        app.router.routes.append(route.under(app, prefix, in_schema=in_schema))
