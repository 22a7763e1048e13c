"""Simulate the Withings API: OAuth 2.0 in its own shape, signatures, what a watch measures, sleep, and the limit of an
application in a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import DAY_US, MINUTE_US, SECOND_US, TimeRange, from_us
from pulsebase.sources.simulators.authorization import AuthorizationServer, TokenRules
from pulsebase.sources.simulators.nights import MeasuredNight
from pulsebase.sources.simulators.server import ApplicationLimit, Endpoint, SimulatedCloud
from pulsebase.sources.simulators.world import World
from pulsebase.sources.synthetic import SyntheticPerson

#: Requests of an application in a minute.
REQUEST_LIMIT = 120
#: The secret of every application, which signs revocations.
CLIENT_SECRET = "not a secret"
_TOKENS = TokenRules(access_life_s=3 * 3_600, single_use_refresh=True, has_pkce=False)
#: How its answers call what HTTP has statuses for.
_STATUS_OF = {400: 503, 401: 401, 403: 277, 429: 601}
_SCOPE = "user.activity"
_PAGE_NIGHTS = 20
_BODY_BYTES = 64 << 10


def withings_app(world: World, request_limit: int = REQUEST_LIMIT) -> Starlette:
    """Return the application for a world. A `request_limit` of 0 means no limit."""
    authorization = AuthorizationServer(world, _TOKENS)
    cloud = SimulatedCloud(world, authorization, ApplicationLimit(request_limit, 60), _failure, lambda *_: {})
    api, tokens = _Api(world), _Tokens(authorization)
    routes = [
        Route("/oauth2_user/authorize2", authorization.authorize),
        Route("/v2/oauth2", tokens.oauth2, methods=["POST"]),
        Route("/v2/signature", tokens.signature, methods=["POST"]),
        Route("/v2/measure", _with_form(cloud.data(api.measure, lambda _: _SCOPE)), methods=["POST"]),
        Route("/v2/sleep", _with_form(cloud.data(api.sleep, lambda _: _SCOPE)), methods=["POST"]),
    ]
    return cloud.app(list(routes))


class _Tokens:
    """Tokens for codes, and revocation by who can sign for the application."""

    def __init__(self, authorization: AuthorizationServer) -> None:
        self._authorization = authorization
        self._nonces: set[str] = set()

    async def oauth2(self, request: Request) -> Response:
        """Give tokens, or revoke those of an account."""
        form = await _form(request)
        if form.get("action") == "revoke":
            fresh = form.get("nonce", "") in self._nonces
            self._nonces.discard(form.get("nonce", ""))
            if not fresh or not _is_signed(form, "nonce"):
                return _failure(401, "invalid signature")
            self._authorization.revoke_account(form.get("userid", ""))
            return _success({})
        if form.get("action") != "requesttoken" or form.get("client_secret") != CLIENT_SECRET:
            return _failure(400, "invalid params")
        answer = await self._authorization.token(request)
        said = msgspec.json.decode(answer.body)
        if answer.status_code != 200:
            return answer if answer.status_code >= 500 else _failure(400, "invalid refresh_token or code")
        return _success(said | {"userid": self._authorization.account_of(said["access_token"])})

    async def signature(self, request: Request) -> Response:
        """Return a number to be used once."""
        form = await _form(request)
        if form.get("action") != "getnonce" or not _is_signed(form, "timestamp"):
            return _failure(401, "invalid signature")
        nonce = secrets.token_hex(16)
        self._nonces.add(nonce)
        return _success({"nonce": nonce})


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    def measure(self, request: Request, person: SyntheticPerson) -> Response:
        """Return what the watch measured by day, and oxygen saturations, in the first day of an interval."""
        form, interval = request.state.form, _interval(request.state.form)
        if form.get("action") != "getintradayactivity":
            raise RejectedError.of("action", "is no action of this simulator")
        series: dict[str, dict[str, float | str]] = {}
        fields = form.get("data_fields", "").split(",")
        if "heart_rate" in fields:
            for second, bpm in self._heart_rates(person, interval, asleep=False).items():
                series[second] = {"heart_rate": bpm, "model": "Simulated watch", "deviceid": "0"}
        if "spo2_auto" in fields:
            for night in self._nights(person, interval):
                columns = night.oxygen_times_us, night.oxygen
                for second, value in _seconds(*columns, interval).items():
                    series.setdefault(second, {})["spo2_auto"] = value
        return _success({"series": series or []})

    def sleep(self, request: Request, person: SyntheticPerson) -> Response:
        """Return what was measured asleep in the first day of an interval, or a page of nights."""
        form = request.state.form
        if form.get("action") == "getsummary":
            return self._summary(form, person)
        if form.get("action") != "get":
            raise RejectedError.of("action", "is no action of this simulator")
        interval, fields = _interval(form), form.get("data_fields", "").split(",")
        phases = []
        for night in self._nights(person, interval):
            both = TimeRange(
                max(night.asleep.start_us, interval.start_us), min(night.asleep.end_us, interval.end_us + SECOND_US)
            )
            if both.length_us <= 0:
                continue
            found: dict[str, Any] = {}
            if "hr" in fields:
                found["hr"] = self._heart_rates(person, both, asleep=True)
            if "rmssd" in fields:
                found["rmssd"] = _seconds(night.hrv_times_us, night.rmssd, interval)
            if "sdnn_1" in fields:
                found["sdnn_1"] = _seconds(night.hrv_times_us, night.sdnn, interval)
            state = {"state": 1, "startdate": night.asleep.start_us // SECOND_US}
            phases.append(state | {name: values or [] for name, values in found.items()})
        return _success({"series": phases, "model": 16})

    def _summary(self, form: Mapping[str, str], person: SyntheticPerson) -> Response:
        first, last = (_day(form, name) for name in ("startdateymd", "enddateymd"))
        days = [first + timedelta(days=place) for place in range((last - first).days + 1)]
        nights = [self._world.night(person, day) for day in days]
        whole = [night for night in nights if night.breaths_a_minute is not None]
        at = int(form.get("offset", "0"))
        series = [
            {
                "date": str(night.day),
                "timezone": person.time_zone,
                "startdate": night.asleep.start_us // SECOND_US,
                "enddate": night.asleep.end_us // SECOND_US,
                "data": {"rr_average": night.breaths_a_minute} if "rr_average" in form.get("data_fields", "") else [],
            }
            for night in whole[at : at + _PAGE_NIGHTS]
        ]
        more = at + _PAGE_NIGHTS < len(whole)
        return _success({"series": series, "more": more, "offset": at + _PAGE_NIGHTS if more else 0})

    def _heart_rates(self, person: SyntheticPerson, interval: TimeRange, *, asleep: bool) -> dict[str, float]:
        """Return the heart rates of the interval that were measured asleep, or those that were not."""
        found = self._world.readings(person, TimeRange(interval.start_us, interval.end_us + SECOND_US))
        times = [night.asleep for night in self._nights(person, interval)]
        return {
            str(at_us // SECOND_US): bpm
            for at_us, bpm in zip(found.times_us.tolist(), found.bpm.tolist(), strict=True)
            if any(each.start_us <= at_us < each.end_us for each in times) == asleep
        }

    def _nights(self, person: SyntheticPerson, interval: TimeRange) -> list[MeasuredNight]:
        zone = ZoneInfo(person.time_zone)
        first, last = (from_us(at_us).astimezone(zone).date() for at_us in (interval.start_us, interval.end_us))
        days = [first + timedelta(days=place) for place in range((last - first).days + 2)]
        return [self._world.night(person, day) for day in days]


def _with_form(endpoint: Endpoint) -> Endpoint:
    """Have the form of a request at hand when it is answered."""

    async def with_form(request: Request) -> Response:
        request.state.form = await _form(request)
        return await endpoint(request)

    return with_form


async def _form(request: Request) -> Mapping[str, str]:
    body = (await request.body())[:_BODY_BYTES].decode("ascii", "replace")
    return {name: values[0] for name, values in parse_qs(body).items()}


def _is_signed(form: Mapping[str, str], third: str) -> bool:
    text = ",".join(form.get(name, "") for name in ("action", "client_id", third))
    wanted = hmac.new(CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, form.get("signature", ""))


def _seconds(times_us: Any, values: Any, interval: TimeRange) -> dict[str, float]:
    return {
        str(at_us // SECOND_US): value
        for at_us, value in zip(times_us.tolist(), values.tolist(), strict=True)
        if interval.start_us <= at_us <= interval.end_us
    }


def _interval(form: Mapping[str, str]) -> TimeRange:
    """Return what is asked for, of which only the first day is answered."""
    try:
        start_us, end_us = (int(form.get(name, "")) * SECOND_US for name in ("startdate", "enddate"))
    except ValueError:
        raise RejectedError.of("startdate", "and enddate must be seconds since 1970") from None
    return TimeRange(start_us, min(end_us, start_us + DAY_US + MINUTE_US))


def _day(form: Mapping[str, str], name: str) -> date:
    try:
        return date.fromisoformat(form.get(name, ""))
    except ValueError:
        raise RejectedError.of(name, "must be a date such as 2026-01-31") from None


def _success(body: Mapping[str, Any]) -> Response:
    return Response(msgspec.json.encode({"status": 0, "body": body}), media_type="application/json")


def _failure(status: int, kind: str) -> Response:
    if status >= 500 or kind == "insufficient_permissions":  # something before the service refuses
        return JSONResponse({"error": kind}, status)
    return JSONResponse({"status": _STATUS_OF[status], "body": {}, "error": kind})
