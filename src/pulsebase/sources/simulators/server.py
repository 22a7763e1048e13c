"""What all simulated clouds share: faults before the answer, limits by the simulator's clock, and the control API."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import SECOND_US, format_us, parse_reading_time
from pulsebase.sources.simulators.authorization import AuthorizationServer
from pulsebase.sources.simulators.faults import Fault
from pulsebase.sources.simulators.world import World
from pulsebase.sources.synthetic import SyntheticPerson

Answer = Callable[[Request, SyntheticPerson], Response]
#: The scope that a request takes, "" for any.
ScopeOf = Callable[[Request], str]
Endpoint = Callable[[Request], Awaitable[Response]]
Failure = Callable[[int, str], Response]


class RequestLimit:
    """Limits the requests of each person in a window of the clock. Windows begin at whole multiples of their length.

    `requests` is the limit; 0 means no limit.
    """

    def __init__(self, requests: int, window_s: int) -> None:
        self.requests, self._window_us = requests, window_s * SECOND_US
        self._seen: dict[str, tuple[int, int]] = {}

    def count(self, account: str, now_us: int) -> tuple[bool, int, int]:
        """Count a request. Return whether it exceeds the limit, how many are left, and the seconds until the window
        ends.
        """
        window = now_us // self._window_us
        began, seen = self._seen.get(account, (window, 0))
        seen = seen + 1 if began == window else 1
        self._seen[account] = window, min(seen, self.requests + 1)
        reset_s = ceil(((window + 1) * self._window_us - now_us) / SECOND_US)
        return 0 < self.requests < seen, max(0, self.requests - seen), reset_s


class ApplicationLimit(RequestLimit):
    """One limit for all people."""

    def count(self, account: str, now_us: int) -> tuple[bool, int, int]:
        """Count a request, see `RequestLimit.count`."""
        del account
        return super().count("", now_us)


class SimulatedCloud:
    """A cloud's application. `failure` writes a refusal in the vendor's format; `headers` state what is left of the
    limit.
    """

    def __init__(
        self,
        world: World,
        authorization: AuthorizationServer,
        limit: RequestLimit,
        failure: Failure,
        headers: Callable[[int, int, int], Mapping[str, str]],
    ) -> None:
        self.world, self.requests = world, Counter[str]()
        self._authorization, self._limit, self._failure, self._headers = authorization, limit, failure, headers
        self._sent = 0

    def app(self, routes: list[BaseRoute]) -> Starlette:
        """Return the application: the vendor's routes and the control API."""
        control = [
            Route("/control/clock", self._clock, methods=["GET", "PUT"]),
            Route("/control/faults", self._faults, methods=["GET", "PUT"]),
            Route("/control/requests", self._requests, methods=["GET"]),
        ]
        app = Starlette(routes=[*routes, *control])
        app.state.authorization = self._authorization  # for tests that look inside
        return app

    def data(self, answer: Answer, scope: ScopeOf) -> Endpoint:
        """A route for data: the token, the limit, the faults and the scope it takes come first."""

        async def endpoint(request: Request) -> Response:
            self._sent += 1
            now_us, faults = self.world.clock.now_us(), self.world.faults
            grant = self._authorization.grant_of(request)
            if grant is None:
                return self._counted(self._failure(401, "expired_token"))
            person = grant.person
            too_many, left, reset_s = self._limit.count(person.user_id, now_us)
            headers = dict(self._headers(self._limit.requests, left, reset_s)) if self._limit.requests else {}
            if too_many:
                response = self._failure(429, "rate_limited")
                response.headers["Retry-After"] = str(reset_s)
            elif faults.hits("server_error", now_us, self._sent):
                response = self._failure(500 if self._sent % 2 else 503, "system")
            elif faults.hits("forbidden", now_us, self._sent):
                response = self._failure(403, "insufficient_permissions")
            elif scope(request) not in grant.scopes | {""}:
                response = self._failure(403, "insufficient_scope")
            elif faults.hits("garbled", now_us, self._sent):
                response = Response(b'{"activities-heart', media_type="application/json")
            else:
                response = self._answered(answer, request, person)
                if faults.hits("dropped", now_us, self._sent):
                    response = CutOffResponse(bytes(response.body))
            response.headers.update(headers)
            return self._counted(response)

        return endpoint

    def _answered(self, answer: Answer, request: Request, person: SyntheticPerson) -> Response:
        try:
            return answer(request, person)
        except RejectedError as error:
            return self._failure(400, str(error))

    def _counted(self, response: Response) -> Response:
        self.requests[str(response.status_code)] += 1
        return response

    async def _clock(self, request: Request) -> Response:
        """Set the clock: `{"now": "…Z"}` stops it there, `{"now": null}` follows the wall clock, `{"advance_s": 60}`
        moves it.
        """
        if not _is_local(request):
            return Response(status_code=404)
        if request.method == "PUT":
            try:
                asked: dict[str, Any] = msgspec.json.decode(await request.body(), type=dict[str, Any])
                if "advance_s" in asked:
                    self.world.clock.advance(int(asked["advance_s"] * SECOND_US))
                else:
                    now = asked["now"]
                    self.world.clock.set(None if now is None else parse_reading_time(now))
            except (KeyError, TypeError, ValueError, msgspec.DecodeError):
                return JSONResponse({"error": 'must be {"now": "…Z"}, {"now": null} or {"advance_s": 60}'}, 400)
        return JSONResponse({"now": format_us(self.world.clock.now_us())})

    async def _faults(self, request: Request) -> Response:
        """Turn faults on with `{"NAME": {"share", "next", "from", "until"}}`, and off with `{"NAME": null}`."""
        if not _is_local(request):
            return Response(status_code=404)
        if request.method == "PUT":
            try:
                for name, asked in msgspec.json.decode(await request.body(), type=dict[str, Any]).items():
                    self.world.faults.set(name, None if asked is None else _fault_of(asked))
            except (KeyError, TypeError, ValueError, AttributeError, RejectedError, msgspec.DecodeError) as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self.world.faults.as_json())

    async def _requests(self, request: Request) -> Response:
        """Return how many requests for data were answered, by status."""
        return JSONResponse(dict(self.requests)) if _is_local(request) else Response(status_code=404)


class CutOffResponse(StreamingResponse):
    """Announces a whole answer and breaks off half-way, like a lost connection."""

    def __init__(self, body: bytes) -> None:
        super().__init__(iter(()), headers={"Content-Length": str(len(body) + 1)}, media_type="application/json")
        self._half = body[: len(body) // 2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send only the first half."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._half, "more_body": True})
        # Returning without the rest makes the server close the connection.


def _fault_of(asked: dict[str, Any]) -> Fault:
    known = {"share", "next", "from", "until"}
    if not asked.keys() <= known:
        raise ValueError(f"a fault has {', '.join(sorted(known))}")
    bounds = [parse_reading_time(asked[name]) if asked.get(name) else None for name in ("from", "until")]
    return Fault(float(asked.get("share", 0)), int(asked.get("next", 0)), bounds[0], bounds[1])


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
