"""What assistants may ask, and answers that say what they cover and how they were worked out."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, Literal

from pulsebase.library.answers import Answer
from pulsebase.library.client import Library
from pulsebase.model.errors import RejectedError, UnknownUserError
from pulsebase.model.metrics import HEART_RATE, asked_metric
from pulsebase.model.timerange import zone_named

#: The most people, buckets, hours, windows and days that one answer holds: an assistant reads all of it.
MOST_PEOPLE, MOST_POINTS, MOST_HOURS, MOST_WINDOWS, MOST_DAYS = 200, 1_000, 50, 400, 3_660
_SHOWN_MISSING_DAYS = 31
_WINDOWS = {"night": timedelta(days=1), "5m": timedelta(minutes=5)}

#: How averages are made, whatever the question.
METHOD = (
    "Averages weigh every counted reading the same. Where devices overlap, the one that takes precedence counts; "
    "readings of confidence 0 do not. Buckets without readings are left out; nothing is interpolated."
)

Json = dict[str, Any]


class Questions:
    """Answers questions from a library. Periods are dates, or times; `tz` is the person's own zone unless given."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def people(self, query: str, limit: int) -> Json:
        """Return people whose id or name contains the text, and what is stored of them."""
        _check("limit", limit, MOST_PEOPLE)
        found = self._library.people(query, limit=limit + 1).to_rows()
        shown = ("user_id", "name", "time_zone", "readings", "first_reading", "last_reading")
        rows = [{name: _plain(row[name]) for name in shown} for row in found[:limit]]
        return {"people": rows, "and_more": len(found) > limit}

    def coverage(self, user_id: str, start: str, end: str, metric: str | None, tz: str | None) -> Json:
        """Return which metrics a person has, and how much of a period is covered by one, day by day."""
        metrics = [
            {name: _plain(value) for name, value in row.items()} for row in self._library.metrics(user_id).to_rows()
        ]
        spec = asked_metric(metric or HEART_RATE.name)
        days = self._days(user_id, start, end, spec.name, tz)
        with_readings = {_day_of(at, days.about["tz"]) for at in days["timestamp"]}
        missing = [day for day in _days_between(days) if day not in with_readings]
        return {
            "user_id": user_id,
            "metrics": metrics,
            "metric": spec.name,
            "days": len(with_readings) + len(missing),
            "days_with_readings": len(with_readings),
            "days_without": [day.isoformat() for day in missing[:_SHOWN_MISSING_DAYS]],
            "and_more_days_without": max(0, len(missing) - _SHOWN_MISSING_DAYS),
            **_covered(days),
        }

    def series(self, user_id: str, start: str, end: str, *, metric: str, max_points: int, tz: str | None) -> Json:
        """Return a series at the finest rung that stays within `max_points`."""
        _check("max_points", max_points, MOST_POINTS)
        zone = self._zone(user_id, tz)
        found = self._library.series(user_id, start, end, metric=metric, max_points=max_points, tz=zone)
        rows = [{name: _plain(value) for name, value in row.items() if name != "user_id"} for row in found.to_rows()]
        said = {name: found.about[name] for name in ("interval", "table", "unit")}
        return {"user_id": user_id, **said, "points": rows, **_covered(found), "method": METHOD}

    def summary(self, user_id: str, start: str, end: str, metric: str, tz: str | None) -> Json:
        """Return what a period comes to: mean, extremes, and the days with the highest and lowest mean."""
        days = self._days(user_id, start, end, metric, tz)
        answer = {"user_id": user_id, "unit": days.about["unit"], **_figures(days), **_covered(days), "method": METHOD}
        if asked_metric(metric) is HEART_RATE:
            answer["resting_heart_rate"] = self._resting(user_id, start, end, days.about["tz"])
        return answer

    def compare_periods(
        self, user_id: str, first: tuple[str, str], second: tuple[str, str], metric: str, tz: str | None
    ) -> Json:
        """Return the summaries of two periods, and how much the second mean is above the first."""
        both = [self.summary(user_id, start, end, metric, tz) for start, end in (first, second)]
        before, after = both[0]["mean"], both[1]["mean"]
        difference = None if before is None or after is None else after - before
        return {
            "first": both[0],
            "second": both[1],
            "difference_of_means": difference,
            "note": "A difference says nothing about its cause. Compare the coverage before the means: periods that "
            "cover other hours of the day differ for that reason alone.",
        }

    def top_hours(self, user_id: str, start: str, end: str, *, metric: str, limit: int, tz: str | None) -> Json:
        """Return a person's highest distinct averages of UTC hours."""
        _check("limit", limit, MOST_HOURS)
        zone = self._zone(user_id, tz)
        found = self._library.top_hours(user_id, start, end, limit=limit, metric=metric, tz=zone)
        rows = [{name: _plain(value) for name, value in row.items()} for row in found.to_rows()]
        covered = _covered(self._library.series(user_id, start, end, metric=metric, tz=zone))
        return {"user_id": user_id, "unit": found.about["unit"], "hours": rows, **covered, "method": METHOD}

    def hrv(self, user_id: str, start: str, end: str, window: Literal["night", "5m"], tz: str | None) -> Json:
        """Return heart rate variability by night, or by five minutes."""
        found = self._library.hrv(user_id, start, end, window=window, tz=tz)
        if len(found) > MOST_WINDOWS:
            raise RejectedError.of("end", f"is too far: the answer would have more than {MOST_WINDOWS} windows")
        rows = [{name: _plain(value) for name, value in row.items() if name != "method"} for row in found.to_rows()]
        answer = {name: found.about[name] for name in ("unit", "tz", "start", "end", "window", "least_beats")}
        stated = sum(value is not None for value in found["rmssd"])
        length = _WINDOWS[window]
        asked = math.ceil((_instant(found, "end") - _instant(found, "start")) / length)
        coverage = {"windows_in_period": asked, "windows_with_beats": len(rows), "windows_with_a_value": stated}
        return {"user_id": user_id, **answer, "windows": rows, "coverage": coverage, "method": found.about["methods"]}

    def _days(self, user_id: str, start: str, end: str, metric: str, tz: str | None) -> Answer:
        for name, value in (("start", start), ("end", end)):
            try:
                date.fromisoformat(value)
            except ValueError:
                raise RejectedError.of(name, "must be a date such as 2024-01-15, for this question") from None
        if (date.fromisoformat(end) - date.fromisoformat(start)).days >= MOST_DAYS:
            raise RejectedError.of("end", f"is too far: at most {MOST_DAYS} days are summed up")
        zone = self._zone(user_id, tz)
        return self._library.series(user_id, start, end, metric=metric, interval="1d", tz=zone)

    def _zone(self, user_id: str, tz: str | None) -> str:
        if tz is not None:
            return tz
        for row in self._library.people(user_id).to_rows():
            if row["user_id"] == user_id:
                return row["time_zone"] or "UTC"
        raise UnknownUserError("nobody of that id is known")

    def _resting(self, user_id: str, start: str, end: str, tz: str) -> Json | None:
        if (date.fromisoformat(end) - date.fromisoformat(start)).days >= 366:
            return None  # the question takes no more days
        found = self._library.resting_heart_rate(user_id, start, end, tz=tz)
        stated = [value for value in found["resting_heart_rate"] if value is not None]
        middle = median(stated) if stated else None
        return {"median": middle, "days_with_a_value": len(stated), "method": found.about["methods"]}


def _figures(days: Answer) -> Json:
    counts, means = days["count"], days["avg"]
    if not counts:
        return {"mean": None, "min": None, "max": None, "readings": 0, "highest_day": None, "lowest_day": None}
    by_day = sorted(zip(means, days["timestamp"], strict=True))
    ends = [{"date": _day_of(at, days.about["tz"]).isoformat(), "mean": mean} for mean, at in (by_day[-1], by_day[0])]
    return {
        "mean": math.fsum(mean * count for mean, count in zip(means, counts, strict=True)) / sum(counts),
        "min": min(days["min"]),
        "max": max(days["max"]),
        "readings": sum(counts),
        "highest_day": ends[0],
        "lowest_day": ends[1],
    }


def _covered(found: Answer) -> Json:
    """Return the period of an answer, and how many of its minutes hold a reading."""
    asked = math.ceil((_instant(found, "end") - _instant(found, "start")) / timedelta(minutes=1))
    if found.about["interval"] in ("raw", "1s"):
        covered = len({at.replace(second=0, microsecond=0) for at in found["timestamp"]})
    else:
        covered = sum(found["minutes"])
    coverage = {"minutes_with_readings": covered, "minutes_in_period": asked, "share": covered / max(asked, 1)}
    return {**{name: found.about[name] for name in ("start", "end", "tz")}, "coverage": coverage}


def _days_between(days: Answer) -> list[date]:
    first, last = (_day_of(_instant(days, name), days.about["tz"]) for name in ("start", "end"))
    return [first + timedelta(days=number) for number in range((last - first).days)]


def _instant(found: Answer, name: str) -> datetime:
    return datetime.fromisoformat(found.about[name])


def _day_of(at: datetime, tz: str) -> date:
    return at.astimezone(zone_named(tz)).date()


def _check(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise RejectedError.of(name, f"must be from 1 to {most}")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(each) for each in value] if isinstance(value, list) else value
