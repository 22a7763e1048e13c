"""Every request of the framework's routes holds a part of its caller's share until the client has taken the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from fastapi import Request
from starlette.types import Message, Receive, Scope, Send

from pulsebase.access.caller import caller
from pulsebase.access.scopes import need_of
from pulsebase.access.shares import HeldShare, Resource, Shares
from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.border.request_scope import came_by_socket
from pulsebase.model.errors import RetryLaterError

#: Routes that take another resource than a place among the questions.
_TAKES: Mapping[str, Resource | None] = {
    "POST /metrics/heart-rate": None,  # the hot path, which the middleware answers; large bodies hold their bytes
    "POST /metrics/heart-rate/batch": None,
    "POST /metrics/{metric}": None,
    "POST /metrics/{metric}/batch": None,
    "POST /readings": None,
    "POST /readings/batch": None,
    "POST /api/v2/write": None,
    "POST /write": None,
    "POST /push/health-auto-export": None,
    "POST /push/health-connect": None,
    "GET /metrics": None,  # monitoring has to see what is wrong, even when all shares are in use
    "POST /metrics/heart-rate/bulk": "uploads",
    "POST /metrics/{metric}/bulk": "uploads",
    "POST /readings/bulk": "uploads",
    "POST /imports": "uploads",
    "GET /users/{user_id}/export": "exports",
    "GET /stream": "streams",
    "GET /signals/stream": "streams",
}
#: Answers are sent in pieces this large, so that the connection does not buffer an untaken answer that no share counts.
_PIECE_BYTES = 256 << 10
_HELD, _BODY = "pulsebase.held", "pulsebase.body"


def held(scope: Scope) -> HeldShare:
    """Return what the current request holds."""
    found: HeldShare = scope[_HELD]
    return found


def rows_held(request: Request) -> Callable[[int], None]:
    """Return a function that has the request hold so many answer rows. It may block, so call it in a thread."""
    mine = held(request.scope)
    return lambda rows: mine.resize("answer rows", rows)


async def hold(mine: HeldShare, resource: Resource, units: int = 1) -> None:
    """Hold units, waiting for other requests to free them if need be.

    Raises:
        ShareFullError, PoolFullError: the units did not come in time.
    """
    done = mine.ask(resource, units)
    if done.done():
        return
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), mine.wait_s(resource))
    except TimeoutError:
        mine.give_up(resource, units, done)
    except asyncio.CancelledError:
        with contextlib.suppress(RetryLaterError):
            mine.give_up(resource, units, done)
        raise


async def hold_bytes(request: Request, size: int) -> None:
    """Has the request hold so many bytes of its body in all, until it is answered (`let_go_of_body`).

    Raises:
        ShareFullError, PoolFullError: there are none for a while.
    """
    if came_by_socket(request.scope):
        return
    mine: HeldShare | None = request.scope.get(_BODY)
    if mine is None:
        mine = request.scope[_BODY] = request.app.state.shares.of(caller())
    more = min(size, mine.most("body bytes")) - mine.holds("body bytes")
    if more > 0:
        await hold(mine, "body bytes", more)
    else:
        mine.resize("body bytes", size)


def let_go_of_body(scope: Scope) -> None:
    """Give back what a request held of the memory for bodies, now that it is answered."""
    mine: HeldShare | None = scope.pop(_BODY, None)
    if mine is not None:
        mine.close()


class SharedRoute(LateRoute):
    """A route whose requests hold what they take of the application's `state.shares` until the client has taken the
    answer.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        resource = _taken_by(scope["method"], self.path_format)
        if resource is None:
            await super().handle(scope, receive, send)
            return

        async def send_in_pieces(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= _PIECE_BYTES:
                await send(message)
                return
            last = (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES
            for first in range(0, last, _PIECE_BYTES):
                piece = body[first : first + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": body[last:], "more_body": more})

        shares: Shares = scope["app"].state.shares
        mine = scope[_HELD] = shares.of(caller())
        try:
            await hold(mine, resource)
            await super().handle(scope, receive, send_in_pieces)
        finally:
            mine.close()


def _taken_by(method: str, template: str) -> Resource | None:
    name = f"{method} {template.removeprefix('/v1')}"
    if name in _TAKES:
        return _TAKES[name]
    return None if need_of(method, template) in ("open", "owner", None) else "questions"
