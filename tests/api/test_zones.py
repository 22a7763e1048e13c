"""Minutes in zones of our own, beside what sources say."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.users import User
from tests.api.conftest import Api, reading
from tests.api.test_border import assert_problem

#: A day of Berlin on which clocks spring forward: 23 hours, from 23:00 to 22:00 UTC.
DAY = "&start_date=2024-03-31&end_date=2024-03-31&tz=Europe/Berlin"
SUMMARY = "/v1/timeseries?metric=activities_heart_summary&user_id=ann"


@pytest.fixture
def stocked(any_api: Api) -> Api:
    store = any_api.parts.store
    store.put_user(User("ann", birth_date=date(1994, 3, 31)))  # 30 that day: 190
    store.put_summaries(
        [DailySummary("ann", date(2024, 3, 31), 60.0, "fitbit", (HeartRateZone("Peak", None, None, 9),))]
    )
    any_api.store(
        reading("2024-03-30T22:59:59Z", 180),  # the day before
        reading("2024-03-30T23:00:00Z", 94),
        reading("2024-03-30T23:00:30Z", 95),  # 94.5 that minute, half up: fat burn
        reading("2024-03-31T08:00:00Z", 60),
        reading("2024-03-31T08:01:00Z", 130),
        reading("2024-03-31T08:01:30Z", 70, confidence=0),  # off the wrist
        reading("2024-03-31T21:59:59Z", 170),
        reading("2024-03-31T22:00:00Z", 180),  # the day after
    )
    return any_api


def days(api: Api, query: str) -> list[tuple[Any, ...]]:
    """(method, minutes by zone) of each entry."""
    columns = api.get(SUMMARY + DAY + query).json()["columns"]
    minutes = [[zone["minutes"] for zone in zones] for zones in columns["heart_rate_zones"]]
    return list(zip(columns["date"], columns["resting_heart_rate_method"], minutes, strict=True))


def test_our_own_minutes_stand_beside_the_vendors(stocked: Api) -> None:
    vendors = ("2024-03-31", "fitbit", [9])
    assert days(stocked, "") == [vendors]
    assert days(stocked, "&zones=age") == [vendors, ("2024-03-31", "zones-age", [1, 2, 0, 1])]
    assert days(stocked, "&zones=karvonen") == [vendors, ("2024-03-31", "zones-karvonen", [2, 1, 1, 0])]


def test_several_people_may_be_asked_for(stocked: Api) -> None:
    stocked.store(reading("2024-03-31T08:00:00Z", 130, user_id="bob"))  # whose birth date is not known
    path = "/v1/multi-user/timeseries?metric=activities_heart_summary&user_ids=ann&user_ids=bob&zones=age"
    assert [person["count"] for person in stocked.get(path + DAY).json()["series"]] == [2, 0]


def test_zones_go_with_summaries_of_a_year_at_most(api: Api) -> None:
    api.store(reading())
    series = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
    for path in (
        f"{series}&zones=age",
        f"{series}&zones=mine",
        f"{SUMMARY}&start_date=2020-01-01&end_date=2024-01-15&zones=age",
    ):
        body = assert_problem(api.get(path), 400, "invalid-request")
        assert [error["field"] for error in body["errors"]] == ["zones"]
