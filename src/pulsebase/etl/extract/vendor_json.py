"""Read the JSON files of other vendors: Samsung Health, Oura, Polar, pages of Fitbit's Web API, and LifeSnaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from pulsebase.etl.extract.json_objects import objects_in
from pulsebase.etl.extract.parts import Damage, FileOwner, Part, PassedOver, Stream, SummaryBlock, clock_remarks
from pulsebase.etl.extract.vendor_csv import utc_us_of
from pulsebase.etl.transform.fitbit import DaysPage, FitbitSummaryTransformer
from pulsebase.etl.transform.gathered import GatheredReadings, wall_us_of
from pulsebase.model.errors import FieldError, shown_name
from pulsebase.model.identifiers import text_problem
from pulsebase.model.metrics import (
    HEART_RATE,
    HRV_RMSSD,
    HRV_SDNN,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SKIN_TEMPERATURE,
)
from pulsebase.model.timerange import SECOND_US
from pulsebase.sources.fitbit_shapes import Day

_BLOCK_READINGS = 20_000
#: How many lines may pass before whoever waits hears of it.
_MOST_SILENT = 100_000
_MILLISECOND_US = SECOND_US // 1000
_MOST_KINDS = 100
_MOST_DEVICE_CHARACTERS = 200

# --- Samsung Health --------------------------------------------------------------------------------------------------

#: The metrics of the fields of a minute.
SAMSUNG_FIELDS = {
    "heart_rate": HEART_RATE.name,
    "spo2": OXYGEN_SATURATION.name,
    "respiratory_rate": RESPIRATORY_RATE.name,
    "rmssd": HRV_RMSSD.name,
    "sdnn": HRV_SDNN.name,
    "temperature": SKIN_TEMPERATURE.name,
}


def samsung_minutes(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """`….binning_data.json`: the minutes of an interval, in UTC; positions count them. A value of 0 is none."""
    readings = _gathered(owner, "samsung-health")
    without = 0
    damage = Damage()
    for number, minute in damage.before(objects_in(stream)):
        start_ms = minute.get("start_time")
        at_us = start_ms * _MILLISECOND_US if isinstance(start_ms, int) else None
        for field, metric in SAMSUNG_FIELDS.items():
            if field in minute and minute[field] in (0, None):
                without += 1
            elif field in minute:
                readings.add(metric, number, at_us, minute[field])
        if len(readings) >= _BLOCK_READINGS or number % _MOST_SILENT == 0:
            yield from readings.so_far()
    yield from readings.taken()
    if without:
        yield PassedOver("values of 0, which stand for none", without)
    damage.tell()


# --- Oura ------------------------------------------------------------------------------------------------------------


def oura(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """`{"data": [{"bpm": 62, "source": "awake", "timestamp": "…+00:00"}]}`; positions count the readings."""
    readings = _gathered(owner, "oura")
    damage = Damage()
    for number, each in damage.before(objects_in(stream, ("data",))):
        readings.add(HEART_RATE.name, number, _utc_us(each.get("timestamp")), each.get("bpm"))
        if len(readings) >= _BLOCK_READINGS:
            yield from readings.taken()
    yield from readings.taken()
    damage.tell()


# --- Polar -----------------------------------------------------------------------------------------------------------


def polar(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Days of continuous heart rate, as AccessLink answers and as an account's export (`247ohr_….json`) has them.

    Times are local. An export names the device of a day. Positions count the samples of all days.
    """
    readings = _gathered(owner, "polar")
    place = 0
    damage = Damage()
    for number, day in damage.before(objects_in(stream, ("heart_rates", "deviceDays"))):
        if number % _MOST_SILENT == 0:
            yield from readings.so_far()
        device = str(day.get("deviceId") or "")[:_MOST_DEVICE_CHARACTERS]
        midnight_us = _midnight_us(day.get("date"))
        samples = day.get("heart_rate_samples") or day.get("samples")
        for sample in samples if isinstance(samples, list) else ():
            place += 1
            if isinstance(sample, dict):
                bpm = sample.get("heart_rate", sample.get("heartRate"))
                readings.add_local(HEART_RATE.name, place, _in_day_us(midnight_us, sample), bpm, device)
            else:
                readings.refuse(HEART_RATE.name, place, "samples", "is not an object")
            if len(readings) >= _BLOCK_READINGS:
                yield from readings.taken()
    yield from readings.taken()
    yield from clock_remarks(readings)
    damage.tell()


def _in_day_us(midnight_us: int | None, sample: Mapping[str, Any]) -> int | None:
    """Return the local time of a sample."""
    seconds = sample.get("secondsFromDayStart")
    if midnight_us is None:
        return None
    if isinstance(seconds, int) and 0 <= seconds < 90_000:  # some days have 25 hours
        return midnight_us + seconds * SECOND_US
    clock_us = wall_us_of(f"1970-01-01T{sample.get('sample_time')}")
    return None if clock_us is None else midnight_us + clock_us


# --- Fitbit's Web API ------------------------------------------------------------------------------------------------

_DAYS, _INTRADAY = "activities-heart", "activities-heart-intraday"
_MEANS = "holds means of {} minutes; ask the API for 1sec or 1min"
_FITBIT_DEVICE_ID = "fitbit"


def fitbit_pages(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Pages of heart rates as the Web API answered: readings of one day in local time, and summaries of days.

    They come under the device and the method that the source of that name has. Positions count the readings of all
    pages, those of a day's summary the days.
    """
    readings = _gathered(owner, _FITBIT_DEVICE_ID)
    place = 0
    damage = Damage()
    for number, page in damage.before(objects_in(stream)):
        if number % _MOST_SILENT == 0:
            yield from readings.so_far()
        yield from _summaries(page, owner)
        intraday = page.get(_INTRADAY)
        points = intraday.get("dataset") if isinstance(intraday, dict) else None
        if not isinstance(intraday, dict) or not isinstance(points, list) or not points:
            continue
        interval = intraday.get("datasetInterval")
        if intraday.get("datasetType") == "minute" and isinstance(interval, int) and interval > 1:
            readings.refuse(HEART_RATE.name, place + 1, _INTRADAY, _MEANS.format(interval))
            continue
        midnight_us = _day_of(page)
        for point in points:
            place += 1
            stated = point if isinstance(point, dict) else {}
            clock_us = wall_us_of(f"1970-01-01T{stated.get('time')}")
            wall_us = None if clock_us is None or midnight_us is None else midnight_us + clock_us
            readings.add_local(HEART_RATE.name, place, wall_us, stated.get("value"))
            if len(readings) >= _BLOCK_READINGS:
                yield from readings.taken()
    yield from readings.taken()
    yield from clock_remarks(readings)
    damage.tell()


def _day_of(page: Mapping[str, Any]) -> int | None:
    """Return the midnight of the one day that a page is of; None if it is of several or says none."""
    days = page.get(_DAYS)
    if not isinstance(days, list) or len(days) != 1 or not isinstance(days[0], dict):
        return None
    return _midnight_us(days[0].get("dateTime"))


def _summaries(page: Mapping[str, Any], owner: FileOwner) -> Iterator[Part]:
    days: list[Day] = []
    errors: list[FieldError] = []
    stated = page.get(_DAYS)
    for number, each in enumerate(stated if isinstance(stated, list) else (), 1):
        try:
            days.append(msgspec.convert(each, Day))
        except msgspec.ValidationError:
            errors.append(FieldError(_DAYS, "is not a day as the Web API states it", number))
    summaries = FitbitSummaryTransformer().transform(DaysPage(owner.person, days))
    if summaries or errors:
        yield SummaryBlock(summaries, errors, len(summaries) + len(errors))


# --- LifeSnaps -------------------------------------------------------------------------------------------------------


def lifesnaps(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Lines of the LifeSnaps data set, which are Fitbit's records with the person beside them; times are in UTC.

    Positions count the lines. Records of other types are counted.
    """
    people: dict[str, GatheredReadings] = {}
    nobody = GatheredReadings("", owner.zone_of, owner.device_id, "lifesnaps")
    others: Counter[str] = Counter()
    gathered = 0
    damage = Damage()
    for number, line in damage.before(objects_in(stream)):
        if number % _MOST_SILENT == 0:
            yield from nobody.so_far()
        kind, data = line.get("type"), line.get("data")
        if kind != "heart_rate" or not isinstance(data, dict):
            known = shown_name(str(kind))
            others[known if known in others or len(others) < _MOST_KINDS else "others"] += 1
            continue
        person = line.get("id")
        user_id = person.get("$oid") if isinstance(person, dict) else person
        if not isinstance(user_id, str):
            nobody.refuse(HEART_RATE.name, number, "id", "does not say whose it is")
            continue
        problem = text_problem(user_id)
        if problem is not None:
            nobody.refuse(HEART_RATE.name, number, "id", problem)
            continue
        value = data.get("value")
        stated = value if isinstance(value, dict) else {}
        readings = people.get(user_id)
        if readings is None:
            readings = people[user_id] = GatheredReadings(user_id, owner.zone_of, owner.device_id, "lifesnaps")
        at_us, confidence = _utc_us(data.get("dateTime")), stated.get("confidence")
        readings.add_sure(HEART_RATE.name, number, at_us, stated.get("bpm"), confidence)
        gathered += 1
        if gathered >= _BLOCK_READINGS:
            for each in (*people.values(), nobody):
                yield from each.taken()
            people, gathered = {}, 0
    for each in (*people.values(), nobody):
        yield from each.taken()
    for what, count in others.most_common():
        yield PassedOver(what, count)
    damage.tell()


# ---------------------------------------------------------------------------------------------------------------------


def _gathered(owner: FileOwner, fallback: str) -> GatheredReadings:
    return GatheredReadings(owner.person, owner.zone_of, owner.device_id, fallback)


def _utc_us(text: object) -> int | None:
    return utc_us_of(text) if isinstance(text, str) else None


def _midnight_us(text: object) -> int | None:
    """Return the midnight of a date such as `2024-01-15` as a local time."""
    try:
        return wall_us_of(f"{date.fromisoformat(text)}T00:00") if isinstance(text, str) else None
    except ValueError:
        return None
