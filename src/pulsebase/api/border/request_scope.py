"""What a request's scope says beyond what the framework reads: how it arrived, and whether a body is wanted."""

from __future__ import annotations

from starlette.types import Scope

#: Marks the scope of a HEAD request, which is handled as GET but answered without a body.
HEAD_MARK = "pulsebase.head"


def header_of(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this name, which is given in lower case, or None. Quicker than the framework's
    headers, since the hot path asks for several.
    """
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None


def is_head(scope: Scope) -> bool:
    """Whether this is a HEAD request, whose answer has no body."""
    return HEAD_MARK in scope


def came_by_socket(scope: Scope) -> bool:
    """Whether the request came over the owner's Unix socket rather than the network."""
    server = scope.get("server")
    return server is not None and server[1] is None
