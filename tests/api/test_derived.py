"""`GET /v1/users/{user_id}/hrv` and `/resting-heart-rate`, over every store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pulsebase.model.hrv import METHOD_NAME
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US
from pulsebase.model.users import DevicePriority, User
from tests.api.conftest import Api
from tests.support.tachograms import tachogram

DAY_OF_US = 1_705_276_800_000_000  # 2024-01-15T00:00:00Z
DAY = {"start_date": "2024-01-15", "end_date": "2024-01-15"}
HRV, RESTING = "/v1/users/ann/hrv", "/v1/users/ann/resting-heart-rate"


def keep(api: Api, times: Any, values: Any, metric: str = "rr_interval", device: str = "strap") -> None:
    count = len(times)
    batch = ReadingBatch.of_columns(["ann"] * count, [device] * count, times, values, None, 1, metric=metric)
    api.parts.store.write([batch])


def columns(api: Api, path: str, **parameters: str) -> dict[str, Any]:
    answer = api.get(path, params=DAY | parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["columns"]
    return found


def test_variability_of_beats_as_they_come(any_api: Api) -> None:
    times, intervals = tachogram(3, 2_000, DAY_OF_US + 2 * HOUR_US, ectopic=0.02, missed=0.02)
    dice = np.random.default_rng(2)
    order = dice.permutation(len(times))
    for part in np.array_split(np.concatenate([order, order[:300]]), 3):
        keep(any_api, times[part], intervals[part])
        any_api.parts.store.settle()
    any_api.parts.store.put_user(User("ann", time_zone="America/Los_Angeles"))
    body = any_api.get(HRV, params=DAY | {"tz": "UTC"}).json()
    assert {name: body[name] for name in ("user_id", "unit", "tz", "start", "end", "window", "least_beats")} == {
        "user_id": "ann",
        "unit": "ms",
        "tz": "UTC",
        "start": "2024-01-15T00:00:00Z",
        "end": "2024-01-16T00:00:00Z",
        "window": "5m",
        "least_beats": 100,
    }
    found = body["columns"]
    assert list(found) == ["timestamp", "rmssd", "sdnn", "beats", "left_out", "method"]
    assert found["timestamp"][:2] == ["2024-01-15T02:00:00Z", "2024-01-15T02:05:00Z"]
    assert sum(found["beats"]) + sum(found["left_out"]) == len(times)
    assert sum(found["left_out"]) > 10
    assert all(10 < value < 100 for value in (*found["rmssd"][:3], *found["sdnn"][:3]))
    assert set(found["method"]) == set(body["methods"]) == {METHOD_NAME}
    assert body["count"] == len(found["beats"])
    night = any_api.get(HRV, params={"start_date": "2024-01-14", "end_date": "2024-01-15", "window": "night"}).json()
    # Two in the morning in UTC is six in the evening in Los Angeles: no night.
    assert (night["tz"], night["count"], night["start"], night["end"]) == (
        "America/Los_Angeles",
        0,
        "2024-01-14T06:00:00Z",
        "2024-01-15T15:00:00Z",
    )


def test_a_night_goes_by_its_morning_and_crosses_midnight(any_api: Api) -> None:
    intervals = np.resize([8_000, 8_100], 5_000)
    times = DAY_OF_US - HOUR_US // 2 + np.cumsum(intervals) * 100
    keep(any_api, times, intervals)
    found = columns(any_api, HRV, window="night")
    assert found == {
        "date": ["2024-01-15"],
        "timestamp": ["2024-01-14T22:00:00Z"],
        "rmssd": [10.0],
        "sdnn": [pytest.approx(5.0005)],
        "beats": [5_000],
        "left_out": [0],
        "method": [METHOD_NAME],
    }
    before = columns(any_api, HRV, start_date="2024-01-14", end_date="2024-01-14", window="night")
    assert before["date"] == []
    short = columns(any_api, HRV, start_date="2024-01-15T00:00:00Z", end_date="2024-01-15T00:01:00Z", window="night")
    assert short == found


def test_a_change_of_device_is_no_difference(any_api: Api) -> None:
    keep(any_api, DAY_OF_US + np.arange(1, 1_400) * 800_000, [8_000] * 1_399, device="a")
    keep(any_api, DAY_OF_US + np.arange(1, 1_300) * 900_000, [9_000] * 1_299, device="b")
    any_api.parts.store.put_priority(DevicePriority("ann", "b", 5))
    for minute in range(20):  # the two win in turns
        since_us = DAY_OF_US + minute * MINUTE_US
        any_api.parts.store.put_priority(DevicePriority("ann", "a", 2 + minute % 2 * 10, since_us))
    found = columns(any_api, HRV)
    assert found["rmssd"][:3] == [0.0] * 3
    assert all(value > 40 for value in found["sdnn"][:3])


def test_a_late_beat_and_a_deletion_change_the_next_answer(any_api: Api) -> None:
    keep(any_api, DAY_OF_US + np.arange(1, 200) * 1_000_000, [10_000] * 199)
    any_api.parts.store.settle()
    assert columns(any_api, HRV)["beats"] == [199]
    late = {"user_id": "ann", "device_id": "strap", "timestamp": "2024-01-15T00:04:00Z", "value": 1_000}
    assert any_api.post("/v1/metrics/rr-interval", json=late).status_code == 202
    assert columns(any_api, HRV)["beats"] == [200]
    gone = {"user_id": "ann", "start": "2024-01-15T00:00:00Z", "end": "2024-01-15T00:02:00Z"}
    assert any_api.delete("/v1/metrics/rr-interval", params=gone).json() == {"deleted": 119}
    found = columns(any_api, HRV)
    assert (found["beats"], found["rmssd"], found["sdnn"]) == ([81], [None], [None])


def test_a_resting_heart_rate_of_our_own_beside_the_sources(any_api: Api) -> None:
    times = DAY_OF_US + np.arange(700) * MINUTE_US
    values = np.where((np.arange(700) >= 200) & (np.arange(700) < 230), 5_250, 7_000)
    keep(any_api, times, values, "heart_rate")
    keep(any_api, times[:100] + DAY_US, values[:100], "heart_rate")
    any_api.parts.store.put_summaries([DailySummary("ann", date(2024, 1, 15), 57.5, "fitbit")])
    body = any_api.get(RESTING, params=DAY | {"end_date": "2024-01-17"}).json()
    assert body["columns"] == {
        "date": ["2024-01-15", "2024-01-16"],
        "resting_heart_rate": [52.5, None],
        "method": ["lowest-30-minutes", None],
        "timestamp": ["2024-01-15T03:20:00Z", None],
        "covered_minutes": [700, 100],
        "stated": [[{"resting_heart_rate": 57.5, "method": "fitbit"}], []],
    }
    assert (body["unit"], body["tz"], body["end"], body["count"]) == ("bpm", "UTC", "2024-01-18T00:00:00Z", 2)
    assert body["least_covered_minutes"] == 600
    assert list(body["methods"]) == ["lowest-30-minutes"]


def test_of_expired_days_nothing_is_worked_out(any_api: Api) -> None:
    times = DAY_OF_US + np.arange(1_000) * MINUTE_US
    keep(any_api, times, [6_000] * 1_000, "heart_rate")
    keep(any_api, times, [10_000] * 1_000)
    any_api.parts.store.expire(DAY_OF_US + DAY_US)
    found = columns(any_api, RESTING)
    assert (found["covered_minutes"], found["resting_heart_rate"]) == ([1_000], [None])
    assert columns(any_api, HRV)["beats"] == []


@pytest.mark.parametrize("path", [HRV, RESTING])
def test_nobody_is_not_found_and_nothing_is_empty(any_api: Api, path: str) -> None:
    assert any_api.get(path, params=DAY).status_code == 404
    any_api.parts.store.put_user(User("ann"))
    assert set(map(len, columns(any_api, path).values())) == {0}
    keep(any_api, [DAY_OF_US], [9_700], "oxygen_saturation")
    assert set(map(len, columns(any_api, path).values())) == {0}
    assert any_api.delete("/v1/users/ann").status_code in {200, 202}
    assert any_api.get(path, params=DAY).status_code == 404


@pytest.mark.parametrize("tz", ["America/Los_Angeles", "Pacific/Kiritimati", "Africa/Monrovia", "Asia/Kathmandu"])
def test_at_the_ends_of_time_too(any_api: Api, tz: str) -> None:
    keep(any_api, np.arange(700) * MINUTE_US, [6_000] * 700, "heart_rate")
    keep(any_api, np.arange(1, 5_000) * 1_000_000, [10_000] * 4_999)
    first = {"start_date": "1970-01-01T00:00:00Z", "end_date": "1970-01-01T12:00:00Z", "tz": tz}
    last = {"start_date": "2199-12-30T00:00:00Z", "end_date": "2200-01-01T00:00:00Z", "tz": tz}
    resting = columns(any_api, RESTING, **first)
    assert sum(resting["covered_minutes"]) in {700, 701}, "a minute may lie in two days where midnight cuts it"
    assert sum(columns(any_api, HRV, **first)["beats"]) == 4_999
    for path, parameters in ((RESTING, {}), (HRV, {}), (HRV, {"window": "night"})):
        columns(any_api, path, **first | parameters)
        assert set(map(len, columns(any_api, path, **last | parameters).values())) == {0}


@pytest.mark.parametrize("path", [HRV, RESTING])
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"start_date": "2024-01-15"}, "end_date"),
        (DAY | {"end_date": "2025-01-15"}, "end_date"),
        (DAY | {"end_date": "9999-12-31"}, "end_date"),
        (DAY | {"end_date": "2024-01-14"}, "end_date"),
        (DAY | {"start_date": "yesterday"}, "start_date"),
        (DAY | {"tz": "Mars/Olympus"}, "tz"),
        (DAY | {"tz": ""}, "tz"),
        (DAY | {"window": "7m"}, "window"),
        (DAY | {"metric": "heart_rate"}, "metric"),
    ],
)
def test_a_wrong_question_is_refused_by_name(api: Api, path: str, parameters: dict[str, str], field: str) -> None:
    api.parts.store.put_user(User("ann"))
    answer = api.get(path, params=parameters)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("path", [HRV, RESTING])
def test_an_unchanged_answer_is_304(api: Api, path: str) -> None:
    api.parts.store.put_user(User("ann"))
    first = api.get(path, params=DAY)
    assert api.get(path, params=DAY, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("path", [HRV, RESTING])
def test_without_the_prefix_too(api: Api, path: str) -> None:
    api.parts.store.put_user(User("ann"))
    assert api.get(path.removeprefix("/v1"), params=DAY).json() == api.get(path, params=DAY).json()


def test_a_long_question_runs_into_the_time_limit(installed: Callable[..., Api]) -> None:
    api = installed(query_timeout_s=0.001)
    times = DAY_OF_US + np.arange(20_000) * 100_000
    keep(api, times, [8_000] * len(times))
    answer = api.get(HRV, params=DAY)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:pulsebase:problem:query-timeout")


def test_a_year_of_windows_ascends(api: Api) -> None:
    for day in (0, 3, 200):
        keep(api, *tachogram(day, 2_000, DAY_OF_US + day * DAY_US))
    found = columns(api, HRV, end_date="2024-12-31")
    assert len(found["timestamp"]) > 12
    assert all(earlier < later for earlier, later in pairwise(found["timestamp"]))
    json.dumps(found, allow_nan=False)
