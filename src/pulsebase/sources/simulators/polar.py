"""Simulate the Polar AccessLink API v3: OAuth 2.0 with tokens for years, registration, days in local time, nights, and
the limit of an application in fifteen minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import from_us
from pulsebase.sources.simulators.authorization import AuthorizationServer, TokenRules
from pulsebase.sources.simulators.server import ApplicationLimit, SimulatedCloud
from pulsebase.sources.simulators.world import World
from pulsebase.sources.synthetic import SyntheticPerson, day_range

#: Requests of an application in fifteen minutes: 500, and 20 for each person.
REQUEST_LIMIT = 540
_TEN_YEARS_S = 315_359_999
_TOKENS = TokenRules(
    _TEN_YEARS_S, single_use_refresh=False, has_pkce=False, gives_refresh=False, says_account=True, account="x_user_id"
)
_SCOPE = "accesslink.read_all"
_MOST_DAYS = 28


def polar_app(world: World, request_limit: int = REQUEST_LIMIT) -> Starlette:
    """Return the application for a world. A `request_limit` of 0 means no limit."""
    authorization = AuthorizationServer(world, _TOKENS)
    cloud = SimulatedCloud(world, authorization, ApplicationLimit(request_limit, 900), _failure, _limits)
    api = _Api(world, authorization)
    routes = [
        Route("/oauth2/authorization", authorization.authorize),
        Route("/v2/oauth2/token", authorization.token, methods=["POST"]),
        Route("/v3/users", cloud.data(api.register, lambda _: ""), methods=["POST"]),
        Route("/v3/users/continuous-heart-rate", cloud.data(api.heart_rates, lambda _: _SCOPE)),
        Route("/v3/users/nightly-recharge", cloud.data(api.recharges, lambda _: _SCOPE)),
        Route("/v3/users/{account}", cloud.data(api.remove, lambda _: ""), methods=["DELETE"]),
    ]
    return cloud.app(list(routes))


class _Api:
    def __init__(self, world: World, authorization: AuthorizationServer) -> None:
        self._world, self._authorization = world, authorization
        self._registered: set[str] = set()

    def register(self, request: Request, person: SyntheticPerson) -> Response:
        """Register the person with the application."""
        del request
        if person.user_id in self._registered:
            return JSONResponse({"message": "already registered"}, 409)
        self._registered.add(person.user_id)
        return JSONResponse({"polar-user-id": person.user_id})

    def remove(self, request: Request, person: SyntheticPerson) -> Response:
        """Remove the person from the application, and revoke their tokens."""
        if request.path_params["account"] != person.user_id:
            return _failure(403, "another account")
        self._registered.discard(person.user_id)
        self._authorization.revoke_account(person.user_id)
        return Response(status_code=204)

    def heart_rates(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the heart rates of some days, without days that have none."""
        first, last = (_day(request, name) for name in ("from", "to"))
        if not 0 <= (last - first).days < _MOST_DAYS:
            raise RejectedError.of("to", f"must be within {_MOST_DAYS} days after from")
        if person.user_id not in self._registered:
            return _failure(403, "not registered")
        zone = ZoneInfo(person.time_zone)
        days = []
        for place in range((last - first).days + 1):
            day = first + timedelta(days=place)
            found = self._world.readings(person, day_range(person, day))
            samples = [
                {"heart_rate": int(bpm), "sample_time": f"{from_us(at_us).astimezone(zone):%H:%M:%S}"}
                for at_us, bpm in zip(found.times_us.tolist(), found.bpm.tolist(), strict=True)
            ]
            if samples:
                days.append(
                    {"polar_user": f"/v3/users/{person.user_id}", "date": str(day), "heart_rate_samples": samples}
                )
        return _answer({"heart_rates": days}) if days else Response(status_code=204)

    def recharges(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the nights of the last four weeks."""
        del request
        if person.user_id not in self._registered:
            return _failure(403, "not registered")
        today = from_us(self._world.clock.now_us()).astimezone(ZoneInfo(person.time_zone)).date()
        nights = [self._world.night(person, today - timedelta(days=place)) for place in range(_MOST_DAYS)]
        found = [
            {
                "date": str(night.day),
                "heart_rate_variability_avg": round(float(night.rmssd.mean())),
                "breathing_rate_avg": night.breaths_a_minute,
            }
            for night in nights
            if night.breaths_a_minute is not None
        ]
        return _answer({"recharges": found}) if found else Response(status_code=204)


def _day(request: Request, name: str) -> date:
    try:
        return date.fromisoformat(request.query_params.get(name, ""))
    except ValueError:
        raise RejectedError.of(name, "must be a date such as 2026-01-31") from None


def _answer(body: Mapping[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _limits(limit: int, left: int, reset_s: int) -> Mapping[str, str]:
    """Return the headers: those of fifteen minutes, and of a day, which has no end here."""
    return {
        "RateLimit-Limit": f"{limit}, {100 * limit}",
        "RateLimit-Usage": f"{limit - left}, {limit - left}",
        "RateLimit-Reset": f"{reset_s}, 86400",
    }


def _failure(status: int, kind: str) -> Response:
    headers = {"WWW-Authenticate": f'Bearer error="{kind}"'} if kind == "insufficient_scope" else {}
    return JSONResponse({"status": status, "message": kind}, status, headers=headers)
