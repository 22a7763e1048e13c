"""What Health Auto Export pushes from an iPhone.

The app sends single values or summaries of minutes, hours or days, and a body does not say which. Of heart rate a
summary has a minimum and a maximum that differ, and all of them begin on the minute; of others the summaries of hours
begin on the hour. Summaries are refused as a whole: stored as readings, they would be averages that nobody measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import msgspec

from pulsebase.etl.transform.devices import LONGEST_NAME
from pulsebase.etl.transform.pushed import PushedReadings, decoded, device_named
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_SDNN,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SKIN_TEMPERATURE,
)
from pulsebase.model.timerange import to_us

#: The device of readings without a source.
DEVICE_ID = "health-auto-export"
_HEART = HEART_RATE.name
#: Metrics by the app's names.
_METRICS = {
    "heart_rate": HEART_RATE,
    "blood_oxygen_saturation": OXYGEN_SATURATION,
    "respiratory_rate": RESPIRATORY_RATE,
    "heart_rate_variability": HRV_SDNN,
    "body_temperature": BODY_TEMPERATURE,
    "apple_sleeping_wrist_temperature": SKIN_TEMPERATURE,
}
_UNITS = {
    HEART_RATE: ("count/min", "bpm", "count"),
    OXYGEN_SATURATION: ("%",),
    RESPIRATORY_RATE: ("count/min", "bpm"),
    HRV_SDNN: ("ms",),
    BODY_TEMPERATURE: ("degC", "°C", "degF", "°F"),
    SKIN_TEMPERATURE: ("degC", "°C", "degF", "°F"),
}
_FAHRENHEIT = ("degF", "°F")
#: So many values on the hour are no chance.
_HOURS_SEEN = 3
_SET = (
    "single values are needed. In the app's automation turn off Summarize Data, or set the time grouping (Interval) to "
    "Default or Seconds"
)

# With a 12-hour clock there is an ordinary, a no-break or a narrow no-break space before AM and PM.
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d) (\d{1,2}):(\d\d):(\d\d)(?:[ \u00a0\u202f]?([AaPp])\.?[Mm]\.?)? ([+-])(\d\d):?(\d\d)",
    re.ASCII,
)
_NO_DATE = "must be a time such as 2024-02-06 14:30:05 -0800"


class _Point(msgspec.Struct, gc=False):
    date: str | None = None
    qty: float | None = None
    avg: float | None = msgspec.field(name="Avg", default=None)
    low: float | None = msgspec.field(name="Min", default=None)
    high: float | None = msgspec.field(name="Max", default=None)
    source: str | None = None
    units: str | None = None


class _Metric(msgspec.Struct):
    name: str
    units: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Workout(msgspec.Struct):
    heart_rates: list[_Point] = msgspec.field(name="heartRateData", default_factory=list)


class _Data(msgspec.Struct):
    metrics: list[_Metric] = []
    workouts: list[_Workout] = []


class _Body(msgspec.Struct):
    data: _Data


_bodies = msgspec.json.Decoder(_Body)
_points: msgspec.json.Decoder[Sequence[_Point]] = msgspec.json.Decoder(list[_Point])


@dataclass(frozen=True, slots=True)
class _Value:
    """A point that could be read; `clock` is the time of day as written."""

    time_us: int
    clock: tuple[int, int, int]
    value: float
    spread: bool
    device_id: str


def pushed_by_iphone(body: bytes, user_id: str, device_id: str | None = None) -> PushedReadings:
    """Return the readings of a body of Health Auto Export. Without a given device, their sources name it.

    Raises:
        TooManyObjectsError: the body holds far too many objects.
        RejectedError: it is not what the app sends, or holds summaries; says what to set in the app.
    """
    data = decoded(body, _bodies).data
    found = PushedReadings(user_id)
    for metric in data.metrics:
        if metric.name in _METRICS:
            _take(found, metric, decoded(bytes(metric.data), _points), device_id)
        else:
            found.pass_over(metric.name[:64])
    for workout in data.workouts:
        _take(found, _Metric(_HEART, "bpm"), workout.heart_rates, device_id)
    return found


def _take(found: PushedReadings, metric: _Metric, points: Sequence[_Point], device_id: str | None) -> None:
    """Add the readings of a metric, unless they are summaries."""
    spec = _METRICS[metric.name]
    if points and metric.units not in _UNITS[spec]:
        raise RejectedError.of(metric.name, f"is in a unit that is not known; there are {', '.join(_UNITS[spec])}")
    read = [_read(point, metric.units, device_id) for point in points]
    _refuse_summaries(metric.name, [each for each in read if isinstance(each, _Value)])
    for each in read:
        if isinstance(each, _Value):
            found.add(spec.name, each.device_id, each.time_us, each.value)
        else:
            found.refuse(*each)


def _read(point: _Point, units: str, device_id: str | None) -> _Value | tuple[str, str]:
    """Return the point's value, or the field at fault and the reason."""
    value = point.qty if point.avg is None else point.avg
    if value is None:
        return ("qty", "is required")
    match = None if point.date is None else _DATE.fullmatch(point.date)
    if match is None:
        return ("date", _NO_DATE)
    try:
        moment = _moment(match)
    except ValueError:
        return ("date", "is not a time that exists")
    device = device_named(point.source, device_id, DEVICE_ID)
    if device is None:
        return ("source", f"is longer than {LONGEST_NAME:,} characters")
    if units in _FAHRENHEIT:
        value = (value - 32) / 1.8
    clock = moment.hour, moment.minute, moment.second
    spread = point.low is not None and point.high is not None and point.low < point.high
    return _Value(to_us(moment), clock, max(-1e6, min(1e6, value)), spread, device)


def _moment(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second = (int(digits) for digits in match.groups()[:6])
    half = match[7]
    if half is not None:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half in "Pp" else 0)
    east = timedelta(hours=int(match[9]), minutes=int(match[10]))
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone(-east if match[8] == "-" else east))


def _refuse_summaries(name: str, values: Sequence[_Value]) -> None:
    clocks = [each.clock for each in values]
    if not clocks or any(second for _, _, second in clocks):
        return
    if any(each.spread for each in values):
        raise RejectedError.of(name, f"is summarized by minutes or longer; {_SET}")
    if all(clock == (0, 0, 0) for clock in clocks):
        raise RejectedError.of(name, f"is summarized by days; {_SET}")
    if len(clocks) >= _HOURS_SEEN and not any(minute for _, minute, _ in clocks):
        raise RejectedError.of(name, f"is summarized by hours; {_SET}")
