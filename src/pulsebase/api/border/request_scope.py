"""What the scope of a request says besides what the framework reads: how it came, and whether a body is wanted."""

from __future__ import annotations

from starlette.types import Scope

#: Stands in the scope of a request that asked by HEAD, which is answered as GET up to its body.
HEAD_MARK = "pulsebase.head"


def is_head(scope: Scope) -> bool:
    """Whether the answer's body is wanted by nobody."""
    return HEAD_MARK in scope


def came_by_socket(scope: Scope) -> bool:
    """Whether the request came over the owner's Unix socket rather than the network."""
    server = scope.get("server")
    return server is not None and server[1] is None
