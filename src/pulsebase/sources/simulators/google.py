"""Simulate the Google Health API v4: OAuth 2.0, data points in pages, identity, settings and the limit per minute."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import DAY_US, TimeRange, format_us, from_us, parse_reading_time
from pulsebase.sources.simulators.authorization import AuthorizationServer, TokenRules
from pulsebase.sources.simulators.nights import MeasuredNight
from pulsebase.sources.simulators.server import RequestLimit, SimulatedCloud
from pulsebase.sources.simulators.world import World
from pulsebase.sources.synthetic import SyntheticPerson, civil_days

#: Requests per minute and user.
MINUTE_LIMIT = 300
_DAY_S = 86_400
#: Refresh tokens of applications in testing are valid for a week, and may be used repeatedly.
_TOKENS = TokenRules(access_life_s=8 * 3_600, single_use_refresh=False, refresh_life_s=7 * _DAY_S)
_PAGE_POINTS, _DEFAULT_PAGE_POINTS = 10_000, 1_440
_FILTER = re.compile(r'([\w.]+) >= "([^"]*)" AND \1 < "([^"]*)"')
_ZONE_TYPES = ("LIGHT", "MODERATE", "VIGOROUS", "PEAK")
_SCOPE = "https://www.googleapis.com/auth/googlehealth."
_MEASUREMENTS = f"{_SCOPE}health_metrics_and_measurements.readonly"
_ACTIVITY = f"{_SCOPE}activity_and_fitness.readonly"
_SETTINGS = f"{_SCOPE}settings.readonly"
Points = Sequence[dict[str, Any]]
#: The points on a page that match the filter, and their number on all pages.
PointsOf = Callable[[SyntheticPerson, str, str, slice], tuple[Points, int]]


def google_app(world: World, minute_limit: int = MINUTE_LIMIT) -> Starlette:
    """Return the application for a world. A `minute_limit` of 0 means no limit."""
    authorization = AuthorizationServer(world, _TOKENS)
    cloud = SimulatedCloud(world, authorization, RequestLimit(minute_limit, 60), _failure, lambda *_: {})
    api = _Api(world)
    me = "/v4/users/me"
    routes = [
        Route("/o/oauth2/v2/auth", authorization.authorize),
        Route("/token", authorization.token, methods=["POST"]),
        Route("/revoke", authorization.revoke, methods=["POST"]),
        Route(f"{me}/identity", cloud.data(api.identity, lambda _: "")),
        Route(f"{me}/settings", cloud.data(api.settings, lambda _: _SETTINGS)),
        Route(f"{me}/dataTypes/{{type}}/dataPoints", cloud.data(api.data_points, _scope_of)),
    ]
    return cloud.app(list(routes))


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world
        self._types: dict[str, tuple[str, PointsOf]] = {
            "heart-rate": ("heart_rate.sample_time.physical_time", self._heart_rate),
            "oxygen-saturation": ("oxygen_saturation.sample_time.physical_time", _paged(self._oxygen)),
            "heart-rate-variability": ("heart_rate_variability.sample_time.physical_time", _paged(self._variability)),
            "daily-respiratory-rate": ("daily_respiratory_rate.date", _paged(self._respiratory)),
            "daily-sleep-temperature-derivations": (
                "daily_sleep_temperature_derivations.date",
                _paged(self._temperatures),
            ),
            "daily-resting-heart-rate": ("daily_resting_heart_rate.date", _paged(self._resting)),
            "daily-heart-rate-zones": ("daily_heart_rate_zones.date", _paged(self._zones)),
            "time-in-heart-rate-zone": ("time_in_heart_rate_zone.interval.start_time", _paged(self._time_in_zones)),
        }

    def identity(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the identity of the account."""
        del request
        return JSONResponse({"name": "users/me/identity", "legacyUserId": person.user_id})

    def settings(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the person's settings."""
        del request
        return JSONResponse({"name": "users/me/settings", "timeZone": person.time_zone})

    def data_points(self, request: Request, person: SyntheticPerson) -> Response:
        """Return a page of points of one type that match the filter, oldest first."""
        name, asked = request.path_params["type"], request.query_params
        if name not in self._types:
            raise RejectedError.of("parent", "is no data type of this simulator")
        field, points_of = self._types[name]
        found = _FILTER.fullmatch(asked.get("filter", ""))
        if found is None or found[1] != field:
            raise RejectedError.of("filter", f'must be {field} >= "…" AND {field} < "…"')
        size = min(_PAGE_POINTS, max(1, int(asked.get("pageSize", _DEFAULT_PAGE_POINTS))))
        first = _place(asked.get("pageToken"), asked["filter"])
        page, count = points_of(person, found[2], found[3], slice(first, first + size))
        body: dict[str, Any] = {"dataPoints": page}
        if first + size < count:
            body["nextPageToken"] = _token(first + size, asked["filter"])
        return Response(msgspec.json.encode(body), media_type="application/json")

    def _heart_rate(self, person: SyntheticPerson, start: str, end: str, page: slice) -> tuple[Points, int]:
        samples = self._world.readings(person, TimeRange(_instant(start), _instant(end)))
        zone = ZoneInfo(person.time_zone)
        source = {"platform": "FITBIT", "device": {"displayName": "Simulated wristband"}}
        offsets: dict[int, str] = {}
        points = []
        times_us = samples.times_us[page]
        # Wristbands record whole seconds.
        times = np.datetime_as_string(times_us.astype("datetime64[us]"), unit="s", timezone="UTC")
        rows = zip(times_us.tolist(), times.tolist(), samples.bpm[page].astype(int).tolist(), strict=True)
        for at_us, text, bpm in rows:
            quarter = at_us // 900_000_000
            if quarter not in offsets:
                offsets[quarter] = _offset(at_us, zone)
            time = {"physicalTime": text, "utcOffset": offsets[quarter]}
            heart_rate = {"beatsPerMinute": str(bpm), "sampleTime": time, "metadata": {"motionContext": "SEDENTARY"}}
            points.append({"heartRate": heart_rate, "dataSource": source})
        return points, len(samples)

    def _oxygen(self, person: SyntheticPerson, start: str, end: str) -> Points:
        points = []
        for night in self._nights(person, start, end):
            for at_us, value in zip(night.oxygen_times_us.tolist(), night.oxygen.tolist(), strict=True):
                points.append((at_us, "oxygenSaturation", {"percentage": value}))
        return _sampled(person, points, start, end)

    def _variability(self, person: SyntheticPerson, start: str, end: str) -> Points:
        points = []
        for night in self._nights(person, start, end):
            columns = night.hrv_times_us.tolist(), night.rmssd.tolist(), night.sdnn.tolist()
            for at_us, rmssd, sdnn in zip(*columns, strict=True):
                said = {
                    "rootMeanSquareOfSuccessiveDifferencesMilliseconds": rmssd,
                    "standardDeviationMilliseconds": sdnn,
                }
                points.append((at_us, "heartRateVariability", said))
        return _sampled(person, points, start, end)

    def _respiratory(self, person: SyntheticPerson, start: str, end: str) -> Points:
        nights = [self._world.night(person, day) for day in _days(start, end)]
        return [
            {"dailyRespiratoryRate": {"date": _civil(night.day), "breathsPerMinute": night.breaths_a_minute}}
            for night in nights
            if night.breaths_a_minute is not None
        ]

    def _temperatures(self, person: SyntheticPerson, start: str, end: str) -> Points:
        nights = [self._world.night(person, day) for day in _days(start, end)]
        return [
            {
                "dailySleepTemperatureDerivations": {
                    "date": _civil(night.day),
                    "nightlyTemperatureCelsius": night.skin_celsius,
                    "baselineTemperatureCelsius": night.usual_celsius,
                    "relativeNightlyStddev30dCelsius": 0.2,
                }
            }
            for night in nights
            if night.skin_celsius is not None
        ]

    def _nights(self, person: SyntheticPerson, start: str, end: str) -> list[MeasuredNight]:
        """The nights that may touch the interval."""
        around = TimeRange(_instant(start), _instant(end) + DAY_US)
        return [self._world.night(person, day) for day in civil_days(person, around)]

    def _resting(self, person: SyntheticPerson, start: str, end: str) -> Points:
        days = [self._world.day(person, day) for day in _days(start, end)]
        return [
            {
                "dailyRestingHeartRate": {
                    "date": _civil(day.day),
                    "beatsPerMinute": str(day.resting),
                    "dailyRestingHeartRateMetadata": {"calculationMethod": "WITH_SLEEP"},
                }
            }
            for day in days
            if day.resting is not None
        ]

    def _zones(self, person: SyntheticPerson, start: str, end: str) -> Points:
        points = []
        for day in _days(start, end):
            zones = [
                {
                    "heartRateZoneType": kind,
                    "minBeatsPerMinute": str(spent.zone.min_bpm),
                    "maxBeatsPerMinute": str(spent.zone.max_bpm),
                }
                for kind, spent in zip(_ZONE_TYPES, self._world.day(person, day).zones, strict=True)
            ]
            points.append({"dailyHeartRateZones": {"date": _civil(day), "heartRateZones": zones}})
        return points

    def _time_in_zones(self, person: SyntheticPerson, start: str, end: str) -> Points:
        asked, zone = TimeRange(_instant(start), _instant(end)), ZoneInfo(person.time_zone)
        points = []
        for day in civil_days(person, asked):
            for span, place in self._world.day(person, day).stretches:
                if asked.start_us <= span.start_us < asked.end_us:
                    interval = {
                        "startTime": format_us(span.start_us),
                        "startUtcOffset": _offset(span.start_us, zone),
                        "endTime": format_us(span.end_us),
                        "endUtcOffset": _offset(span.end_us, zone),
                    }
                    kind = _ZONE_TYPES[place]
                    points.append({"timeInHeartRateZone": {"interval": interval, "heartRateZoneType": kind}})
        return points


def _sampled(
    person: SyntheticPerson, samples: Sequence[tuple[int, str, dict[str, Any]]], start: str, end: str
) -> Points:
    """Points of the samples (instant, name of the type, fields) inside the interval."""
    start_us, end_us, zone = _instant(start), _instant(end), ZoneInfo(person.time_zone)
    return [
        {name: {"sampleTime": {"physicalTime": format_us(at_us), "utcOffset": _offset(at_us, zone)}, **fields}}
        for at_us, name, fields in samples
        if start_us <= at_us < end_us
    ]


def _scope_of(request: Request) -> str:
    """The time in zones is activity; everything else of this simulator is measured."""
    return _ACTIVITY if request.path_params["type"] == "time-in-heart-rate-zone" else _MEASUREMENTS


def _paged(all_points: Callable[[SyntheticPerson, str, str], Points]) -> PointsOf:
    def points_of(person: SyntheticPerson, start: str, end: str, page: slice) -> tuple[Points, int]:
        points = all_points(person, start, end)
        return points[page], len(points)

    return points_of


def _instant(text: str) -> int:
    try:
        return parse_reading_time(text)
    except ValueError as error:
        raise RejectedError.of("filter", str(error)) from None


def _days(start: str, end: str) -> list[date]:
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except ValueError:
        raise RejectedError.of("filter", "must compare with dates such as 2026-01-31") from None
    return [first + timedelta(days=place) for place in range((last - first).days)]


def _offset(at_us: int, zone: ZoneInfo) -> str:
    offset = from_us(at_us).astimezone(zone).utcoffset()
    return f"{int(offset.total_seconds()) if offset else 0}s"


def _civil(day: date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}


def _token(place: int, where: str) -> str:
    """Return a page token, which is valid only for the same query."""
    return base64.urlsafe_b64encode(msgspec.json.encode([place, where])).decode()


def _place(token: str | None, where: str) -> int:
    if not token:
        return 0
    try:
        place, asked = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, str])
    except (ValueError, msgspec.DecodeError):
        raise RejectedError.of("pageToken", "is none of ours") from None
    if asked != where:
        raise RejectedError.of("pageToken", "belongs to another filter")
    return place


def _failure(status: int, kind: str) -> Response:
    error: dict[str, Any] = {"code": status, "message": kind, "status": kind.upper()}
    if kind == "insufficient_scope":
        error["status"] = "PERMISSION_DENIED"
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com"}]
    return JSONResponse({"error": error}, status)
