"""The Fitbit-shaped Web API, simulated: OAuth 2.0, intraday readings, daily summaries, nights, the hourly limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import DAY_US, MINUTE_US, SECOND_US, TimeRange, from_us
from pulsebase.sources.simulators.authorization import AuthorizationServer, TokenRules
from pulsebase.sources.simulators.nights import MeasuredNight
from pulsebase.sources.simulators.server import Answer, Endpoint, RequestLimit, SimulatedCloud
from pulsebase.sources.simulators.world import VendorDay, World
from pulsebase.sources.synthetic import Samples, SyntheticPerson, day_range

#: Requests per hour and user, as the vendor allowed.
HOURLY_LIMIT = 150
_TOKENS = TokenRules(access_life_s=8 * 3_600, single_use_refresh=True, says_account=True)
_DETAILS = {"1sec": (1, "second"), "1min": (1, "minute"), "5min": (5, "minute"), "15min": (15, "minute")}
_PERIOD_DAYS = {"1d": 1, "7d": 7, "1w": 7, "30d": 30, "1m": 30}
_RANGE_DAYS = 366
#: The most days in one question about nights.
_NIGHTS = 30
_FAHRENHEIT_A_CELSIUS = 1.8
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_JSON = "application/json"
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_TIMES = tuple(f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400))


def fitbit_app(world: World, hourly_limit: int = HOURLY_LIMIT) -> Starlette:
    """Return the application for a world. An `hourly_limit` of 0 means no limit."""
    authorization = AuthorizationServer(world, _TOKENS)
    cloud = SimulatedCloud(world, authorization, RequestLimit(hourly_limit, 3_600), _failure, _limit_headers)
    api, nights = _Api(world), _Nights(world)
    user = "/1/user/{user}"
    heart = f"{user}/activities/heart/date/{{date}}"

    def data(answer: Answer, scope: str) -> Endpoint:
        return cloud.data(answer, lambda _: scope)

    routes = [
        Route("/oauth2/authorize", authorization.authorize),
        Route("/oauth2/token", authorization.token, methods=["POST"]),
        Route("/oauth2/revoke", authorization.revoke, methods=["POST"]),
        Route(f"{heart}/1d/{{detail}}.json", data(api.intraday, "heartrate")),
        Route(f"{heart}/1d/{{detail}}/time/{{start}}/{{end}}.json", data(api.intraday, "heartrate")),
        Route(f"{heart}/{{end}}.json", data(api.summary, "heartrate")),
        Route(f"{user}/spo2/date/{{date}}/{{end}}/all.json", data(nights.oxygen, "oxygen_saturation")),
        Route(f"{user}/hrv/date/{{date}}/{{end}}/all.json", data(nights.variability, "heartrate")),
        Route(f"{user}/br/date/{{date}}/{{end}}.json", data(nights.breathing, "respiratory_rate")),
        Route(f"{user}/temp/skin/date/{{date}}/{{end}}.json", data(nights.skin_temperature, "temperature")),
        Route(f"{user}/profile.json", data(api.profile, "profile")),
    ]
    return cloud.app(list(routes))


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    def intraday(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the readings of a day, or of a window of minutes. Of the window's last minute only the first second is
        included.
        """
        asked = request.path_params
        _check_user(asked["user"], person)
        day, in_utc = _day(asked["date"]), request.query_params.get("timezone") == "UTC"
        if asked["detail"] not in _DETAILS:
            raise RejectedError.of("detail-level", "must be 1sec, 1min, 5min or 15min")
        step, unit = _DETAILS[asked["detail"]]
        body: dict[str, Any] = {"activities-heart": [_day_json(self._world.day(person, day))]}
        if not self._world.faults.hits("no_intraday", self._world.clock.now_us(), person.seed):
            zone = ZoneInfo("UTC" if in_utc else person.time_zone)
            midnight_us = (day.toordinal() - _EPOCH_ORDINAL) * DAY_US
            span = TimeRange(midnight_us, midnight_us + DAY_US) if in_utc else day_range(person, day)
            samples = self._world.readings(person, span)
            seconds = _seconds_of_day(samples, zone)
            kept = np.ones(len(samples), np.bool_)
            if "start" in asked:
                kept = (seconds >= _minute(asked["start"]) * 60) & (seconds <= _minute(asked["end"]) * 60)
            points = _points(seconds[kept], samples.bpm[kept], 1 if unit == "second" else step * 60)
            body["activities-heart-intraday"] = {"dataset": points, "datasetInterval": step, "datasetType": unit}
        return Response(msgspec.json.encode(body), media_type=_JSON)

    def summary(self, request: Request, person: SyntheticPerson) -> Response:
        """Return the days of a period that ends on a date, or from one date to another."""
        asked = request.path_params
        _check_user(asked["user"], person)
        first, end = _day(asked["date"]), asked["end"]
        last = first
        if end in _PERIOD_DAYS:
            first = last - timedelta(days=_PERIOD_DAYS[end] - 1)
        else:
            last = _day(end)
        count = (last - first).days + 1
        if not 1 <= count <= _RANGE_DAYS:
            raise RejectedError.of("end-date", "must not be before the start, nor more than a year after it")
        days = [self._world.day(person, first + timedelta(days=place)) for place in range(count)]
        return Response(msgspec.json.encode({"activities-heart": [_day_json(day) for day in days]}), media_type=_JSON)

    def profile(self, request: Request, person: SyntheticPerson) -> Response:
        """What the person set."""
        _check_user(request.path_params["user"], person)
        return JSONResponse({"user": {"encodedId": person.user_id, "timezone": person.time_zone}})


class _Nights:
    """Signs that are measured asleep, under the day of getting up. Times are local, without an offset."""

    def __init__(self, world: World) -> None:
        self._world = world

    def oxygen(self, request: Request, person: SyntheticPerson) -> Response:
        """Percent by minute."""
        days = []
        for night in self._asked(request, person):
            times = _wall_clocks(night.oxygen_times_us, person)
            minutes = [
                {"value": value, "minute": f"{at:%Y-%m-%dT%H:%M:%S}"}
                for at, value in zip(times, night.oxygen.tolist(), strict=True)
            ]
            if minutes:
                days.append({"dateTime": night.day.isoformat(), "minutes": minutes})
        return JSONResponse(days)

    def variability(self, request: Request, person: SyntheticPerson) -> Response:
        """Milliseconds by five minutes."""
        days = []
        for night in self._asked(request, person):
            times = _wall_clocks(night.hrv_times_us, person)
            minutes = [
                {
                    "minute": f"{at:%Y-%m-%dT%H:%M:%S}.000",
                    "value": {"rmssd": value, "coverage": 0.98, "hf": 412.8, "lf": 731.6},
                }
                for at, value in zip(times, night.rmssd.tolist(), strict=True)
            ]
            if minutes:
                days.append({"minutes": minutes, "dateTime": night.day.isoformat()})
        return JSONResponse({"hrv": days})

    def breathing(self, request: Request, person: SyntheticPerson) -> Response:
        """Breaths a minute, a value a night."""
        return JSONResponse(
            {
                "br": [
                    {"value": {"breathingRate": night.breaths_a_minute}, "dateTime": night.day.isoformat()}
                    for night in self._asked(request, person)
                    if night.breaths_a_minute is not None
                ]
            }
        )

    def skin_temperature(self, request: Request, person: SyntheticPerson) -> Response:
        """The deviation from the usual, in the unit of the locale, a value a night."""
        in_us_units = request.headers.get("accept-language") == "en_US"
        factor = _FAHRENHEIT_A_CELSIUS if in_us_units else 1.0
        return JSONResponse(
            {
                "tempSkin": [
                    {
                        "dateTime": night.day.isoformat(),
                        "value": {"nightlyRelative": round((night.skin_celsius - night.usual_celsius) * factor, 1)},
                        "logType": "dedicated_temp_sensor",
                    }
                    for night in self._asked(request, person)
                    if night.skin_celsius is not None and night.usual_celsius is not None
                ]
            }
        )

    def _asked(self, request: Request, person: SyntheticPerson) -> list[MeasuredNight]:
        asked = request.path_params
        _check_user(asked["user"], person)
        first, last = _day(asked["date"]), _day(asked["end"])
        count = (last - first).days + 1
        if not 1 <= count <= _NIGHTS:
            raise RejectedError.of("end-date", f"must not be before the start, nor {_NIGHTS} days after it")
        return [self._world.night(person, first + timedelta(days=place)) for place in range(count)]


def _wall_clocks(times_us: Any, person: SyntheticPerson) -> list[datetime]:
    zone = ZoneInfo(person.time_zone)
    return [from_us(at_us).astimezone(zone) for at_us in times_us.tolist()]


def _check_user(user: str, person: SyntheticPerson) -> None:
    if user not in ("-", person.user_id):
        raise RejectedError.of("user-id", "is not the user of the token")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RejectedError.of("date", "must be yyyy-MM-dd") from None


def _minute(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise RejectedError.of("time", "must be HH:mm")
    return int(found[1]) * 60 + int(found[2])


def _seconds_of_day(samples: Samples, zone: ZoneInfo) -> Any:
    """Return the wall clock's time at each reading, in seconds since midnight. It steps back when clocks do."""
    seconds = samples.times_us // SECOND_US
    quarters, place = np.unique(samples.times_us // (15 * MINUTE_US), return_inverse=True)
    offsets = [from_us(int(quarter) * 15 * MINUTE_US).astimezone(zone).utcoffset() for quarter in quarters.tolist()]
    offset_s = np.array([int(offset.total_seconds()) if offset else 0 for offset in offsets], np.int64)
    return (seconds + offset_s[place]) % 86_400 if len(seconds) else seconds


def _points(seconds: Any, bpm: Any, step_s: int) -> list[dict[str, object]]:
    if step_s > 1:  # the mean of each stretch that has a reading, under its first second
        starts, place = np.unique(seconds // step_s * step_s, return_inverse=True)
        bpm = np.floor(np.bincount(place, bpm, len(starts)) / np.bincount(place, minlength=len(starts)) + 0.5)
        seconds = starts
    values: Sequence[int] = bpm.astype(np.int64).tolist()
    return [{"time": _TIMES[at], "value": value} for at, value in zip(seconds.tolist(), values, strict=True)]


def _day_json(day: VendorDay) -> dict[str, Any]:
    zones = []
    for spent in day.zones:
        zone: dict[str, Any] = {"name": spent.zone.name, "min": spent.zone.min_bpm, "max": spent.zone.max_bpm}
        if spent.minutes is not None:
            zone["minutes"] = spent.minutes
        if spent.calories is not None:
            zone["caloriesOut"] = spent.calories
        zones.append(zone)
    value: dict[str, Any] = {"customHeartRateZones": [], "heartRateZones": zones}
    if day.resting is not None:
        value["restingHeartRate"] = day.resting
    return {"dateTime": day.day.isoformat(), "value": value}


def _failure(status: int, kind: str) -> Response:
    return JSONResponse({"errors": [{"errorType": kind, "message": kind}], "success": False}, status)


def _limit_headers(limit: int, left: int, reset_s: int) -> dict[str, str]:
    return {
        "Fitbit-Rate-Limit-Limit": str(limit),
        "Fitbit-Rate-Limit-Remaining": str(left),
        "Fitbit-Rate-Limit-Reset": str(reset_s),
    }
