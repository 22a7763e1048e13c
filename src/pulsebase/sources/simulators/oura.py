"""Simulate the Oura API v2: OAuth 2.0, heart rates, periods of sleep, days, and the limit in five minutes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import DAY_US, TimeRange, format_all_us, from_us, parse_reading_time
from pulsebase.sources.simulators.authorization import AuthorizationServer, TokenRules
from pulsebase.sources.simulators.nights import MeasuredNight
from pulsebase.sources.simulators.server import RequestLimit, SimulatedCloud
from pulsebase.sources.simulators.world import World
from pulsebase.sources.synthetic import SyntheticPerson

#: Requests of a person in five minutes.
REQUEST_LIMIT = 5_000
#: The service's access tokens are valid for a day, these for a third of it, so that clients renew them more often.
_TOKENS = TokenRules(access_life_s=8 * 3_600, single_use_refresh=True)
_PAGE_DOCUMENTS = 5_000
_MOST_DAYS = 30
_HRV_INTERVAL_S = 300
Documents = Sequence[dict[str, Any]]


def oura_app(world: World, request_limit: int = REQUEST_LIMIT) -> Starlette:
    """Return the application for a world. A `request_limit` of 0 means no limit."""
    authorization = AuthorizationServer(world, _TOKENS)
    cloud = SimulatedCloud(world, authorization, RequestLimit(request_limit, 300), _failure, lambda *_: {})
    api = _Api(world)
    data = "/v2/usercollection"
    routes = [
        Route("/oauth/authorize", authorization.authorize),
        Route("/oauth/token", authorization.token, methods=["POST"]),
        Route("/oauth/revoke", authorization.revoke, methods=["POST"]),
        Route(f"{data}/personal_info", cloud.data(api.personal_info, lambda _: "personal")),
        Route(f"{data}/heartrate", cloud.data(api.heart_rate, lambda _: "heartrate")),
        Route(f"{data}/sleep", cloud.data(api.sleep, lambda _: "daily")),
        Route(f"{data}/daily_readiness", cloud.data(api.daily_readiness, lambda _: "daily")),
        Route(f"{data}/daily_spo2", cloud.data(api.daily_spo2, lambda _: "spo2Daily")),
    ]
    return cloud.app(list(routes))


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    def personal_info(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the account."""
        del request
        return JSONResponse({"id": person.user_id, "biological_sex": person.gender})

    def heart_rate(self, request: Request, person: SyntheticPerson) -> Response:
        """Return a page of the readings between two instants."""
        interval = TimeRange(*(_instant(request, name) for name in ("start_datetime", "end_datetime")))
        if not 0 < interval.length_us <= _MOST_DAYS * DAY_US:
            raise RejectedError.of("end_datetime", f"must be within {_MOST_DAYS} days after start_datetime")
        found = self._world.readings(person, interval)
        times = format_all_us(found.times_us)
        return _page(
            request,
            [
                {"bpm": bpm, "source": "awake", "timestamp": text.replace("Z", "+00:00")}
                for bpm, text in zip(found.bpm.astype(int).tolist(), times, strict=True)
            ],
        )

    def sleep(self, request: Request, person: SyntheticPerson) -> Response:
        """Return a page of the nights under some days, without the last of them, as the service does."""
        zone = ZoneInfo(person.time_zone)
        nights = self._nights(request, person)[:-1]
        return _page(request, [_sleep(night, zone) for night in nights if night.breaths_a_minute is not None])

    def daily_readiness(self, request: Request, person: SyntheticPerson) -> Response:
        """Return a page of what is told of some days."""
        return _page(
            request,
            [
                {
                    "id": f"readiness-{night.day}",
                    "day": str(night.day),
                    "temperature_deviation": round(night.skin_celsius - night.usual_celsius, 2),
                }
                for night in self._nights(request, person)
                if night.skin_celsius is not None and night.usual_celsius is not None
            ],
        )

    def daily_spo2(self, request: Request, person: SyntheticPerson) -> Response:
        """Return a page of the oxygen saturations of some days."""
        return _page(
            request,
            [
                {
                    "id": f"spo2-{night.day}",
                    "day": str(night.day),
                    "spo2_percentage": {"average": round(float(night.oxygen.mean()), 3)},
                }
                for night in self._nights(request, person)
                if night.breaths_a_minute is not None  # the ring tells of whole nights
            ],
        )

    def _nights(self, request: Request, person: SyntheticPerson) -> list[MeasuredNight]:
        first, last = (_day(request, name) for name in ("start_date", "end_date"))
        days = [first + timedelta(days=place) for place in range((last - first).days + 1)]
        return [self._world.night(person, day) for day in days]


def _sleep(night: MeasuredNight, zone: ZoneInfo) -> dict[str, Any]:
    def local(at_us: int) -> str:
        return from_us(at_us).astimezone(zone).isoformat()

    hrv = {"interval": _HRV_INTERVAL_S, "items": night.rmssd.tolist(), "timestamp": local(int(night.hrv_times_us[0]))}
    return {
        "id": f"sleep-{night.day}",
        "day": str(night.day),
        "type": "long_sleep",
        "bedtime_start": local(night.asleep.start_us),
        "bedtime_end": local(night.asleep.end_us),
        "average_breath": night.breaths_a_minute,
        "hrv": hrv,
    }


def _page(request: Request, documents: Documents) -> Response:
    first = _place(request.query_params.get("next_token"))
    body: dict[str, Any] = {"data": documents[first : first + _PAGE_DOCUMENTS], "next_token": None}
    if first + _PAGE_DOCUMENTS < len(documents):
        body["next_token"] = base64.urlsafe_b64encode(str(first + _PAGE_DOCUMENTS).encode()).decode()
    return Response(msgspec.json.encode(body), media_type="application/json")


def _place(token: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(token)) if token else 0
    except ValueError:
        raise RejectedError.of("next_token", "is none of ours") from None


def _instant(request: Request, name: str) -> int:
    try:
        return parse_reading_time(request.query_params.get(name, ""))
    except ValueError as error:
        raise RejectedError.of(name, str(error)) from None


def _day(request: Request, name: str) -> date:
    try:
        return date.fromisoformat(request.query_params.get(name, ""))
    except ValueError:
        raise RejectedError.of(name, "must be a date such as 2026-01-31") from None


def _failure(status: int, kind: str) -> Response:
    headers = {"WWW-Authenticate": f'Bearer error="{kind}"'} if kind == "insufficient_scope" else {}
    return JSONResponse({"status": status, "title": kind, "detail": kind}, status, headers=headers)
