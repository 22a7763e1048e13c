"""`GET /v1/cohorts/heart-rate` and `GET /v1/users/{user_id}/heart-rate/top-hours`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from pulsebase.model.users import User
from tests.api.conftest import Api, reading

COHORT = "/v1/cohorts/heart-rate"
TOP = "/v1/users/ann/heart-rate/top-hours"
DAY = {"start": "2024-01-15", "end": "2024-01-15"}
ASKED = DAY | {"min_avg_heart_rate": "60"}


def peopled(api: Api) -> Api:
    """Five people; the averages of two are equal, that of one is just the threshold, one has no reading."""
    for person in (
        User("ann", gender="female", birth_date=date(2000, 1, 15)),
        User("bob", gender="male", birth_date=date(1999, 12, 31)),
        User("cy", gender="other", birth_date=date(1950, 1, 1)),
        User("fay", gender="female", birth_date=date(1950, 1, 1)),
    ):
        api.parts.store.put_user(person)
    api.store(
        reading(heart_rate=61.5),
        reading(user_id="bob", heart_rate=72),
        reading("2024-01-15T10:01:00Z", 71, user_id="bob"),
        reading(user_id="cy", heart_rate=60),
        reading(user_id="dee", heart_rate=61.5),
    )
    return api


def found(api: Api, **parameters: Any) -> dict[str, Any]:
    answer = api.get(COHORT, params=ASKED | parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refused(api: Api, path: str, parameters: dict[str, Any]) -> list[str]:
    answer = api.get(path, params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(error["reason"] for error in answer.json()["errors"])
    return [error["field"] for error in answer.json()["errors"]]


def test_people_come_by_their_average_and_then_by_their_id(any_api: Api) -> None:
    peopled(any_api)
    assert found(any_api) == {"data": ["bob", "ann", "dee"], "count": 3, "next_cursor": None}
    assert found(any_api, min_avg_heart_rate="59.999999999999999999")["data"] == ["bob", "ann", "dee", "cy"]
    assert found(any_api, min_avg_heart_rate=71.5)["data"] == []


def test_age_and_gender_narrow_it(any_api: Api) -> None:
    peopled(any_api)
    assert found(any_api, gender="female")["data"] == ["ann"]
    assert found(any_api, gender=["male", "female"])["data"] == ["bob", "ann"]
    assert found(any_api, min_age=23)["data"] == ["bob", "ann"]
    assert found(any_api, min_age=24)["data"] == []
    assert found(any_api, min_age=23, gender="male")["count"] == 1


def test_the_first_day_is_that_of_the_zone(any_api: Api) -> None:
    peopled(any_api)
    period = {"start": "2024-01-14T23:30:00Z", "min_age": 23, "gender": "female"}
    assert found(any_api, **period)["data"] == []
    assert found(any_api, **period, tz="Europe/Berlin")["data"] == ["ann"]


def test_averages_come_with_what_they_are_of(any_api: Api) -> None:
    peopled(any_api)
    answer = found(any_api, include="averages", start="2024-01-15T10:00:00Z", end="2024-01-15T10:02:00Z")
    assert answer["data"][0] == {"user_id": "bob", "avg": 71.5, "count": 2, "minutes": 2, "coverage": 1.0}
    assert answer["data"][1] == {"user_id": "ann", "avg": 61.5, "count": 1, "minutes": 1, "coverage": 0.5}
    assert found(any_api, start="2024-01-15T10:00:00Z", end="2024-01-15T10:02:00Z", min_coverage=0.5)["count"] == 3
    assert found(any_api, start="2024-01-15T10:00:00Z", end="2024-01-15T10:02:00Z", min_coverage=0.51)["data"] == [
        "bob"
    ]


def test_the_period_is_clipped_exactly(any_api: Api) -> None:
    peopled(any_api)
    assert found(any_api, start="2024-01-15T10:00:00.000001Z")["data"] == ["bob"]
    assert found(any_api, end="2024-01-15T10:00:00Z")["data"] == []
    assert found(any_api, end="2024-01-15T10:00:00.000001Z")["count"] == 3


def test_pages_lead_on_and_the_count_is_of_all(any_api: Api) -> None:
    peopled(any_api)
    seen, cursor = [], None
    while True:
        page = found(any_api, limit=1, **({"cursor": cursor} if cursor else {}))
        assert page["count"] == 3
        seen += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["bob", "ann", "dee"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("min_age", "-1"),
        ("min_age", "151"),
        ("min_age", "old"),
        ("min_age", "24.5"),
        ("gender", "Male"),
        ("gender", ""),
        ("min_avg_heart_rate", "nan"),
        ("min_avg_heart_rate", "inf"),
        ("min_avg_heart_rate", "-Infinity"),
        ("min_avg_heart_rate", "sixty"),
        ("min_avg_heart_rate", ""),
        ("min_avg_heart_rate", "-1"),
        ("min_avg_heart_rate", "1e999999999"),
        ("min_coverage", "1.5"),
        ("min_coverage", "nan"),
        ("start", "yesterday"),
        ("end", "2024-01-14"),
        ("tz", "Mars/Olympus"),
        ("limit", "0"),
        ("limit", "1001"),
        ("cursor", "ann"),
        ("include", "everything"),
        ("min_heart_rate", "60"),
    ],
)
def test_a_wrong_parameter_of_a_cohort_is_named_with_its_reason(api: Api, field: str, wrong: str) -> None:
    assert refused(api, COHORT, ASKED | {field: wrong}) == [field]


def test_what_a_cohort_needs_is_named(api: Api) -> None:
    assert sorted(refused(api, COHORT, {})) == ["end", "min_avg_heart_rate", "start"]
    assert refused(api, COHORT, ASKED | {"start": ["2024-01-15", "2024-01-15"]}) == ["start"]


def test_top_hours_are_numbers_highest_first(any_api: Api) -> None:
    hours = {"09": 80, "10": 96, "11": 95.5, "12": 96}
    any_api.store(*(reading(f"2024-01-15T{hour}:00:00Z", rate) for hour, rate in hours.items()))
    assert any_api.get(TOP, params=DAY).json() == {"user_id": "ann", "data": [96.0, 95.5, 80.0]}
    assert any_api.get(TOP, params=DAY | {"limit": 2}).json()["data"] == [96.0, 95.5]
    assert any_api.get(TOP, params=DAY | {"include": "hours", "limit": 1}).json()["data"] == [
        {"hour": "2024-01-15T10:00:00Z", "avg": 96.0, "count": 1}
    ]


def test_a_cut_hour_counts_its_readings_inside(any_api: Api) -> None:
    any_api.store(reading("2024-01-15T10:10:00Z", 60), reading("2024-01-15T10:50:00Z", 90))
    cut = {"start": "2024-01-15T10:30:00", "end": "2024-01-15T12:00:00"}
    assert any_api.get(TOP, params=cut).json()["data"] == [90.0]
    assert any_api.get(TOP, params=cut | {"tz": "Europe/Berlin"}).json()["data"] == [75.0]


def test_the_unknown_are_not_found_and_the_known_may_be_empty(any_api: Api) -> None:
    assert any_api.get(TOP, params=DAY).status_code == 404
    any_api.parts.store.put_user(User("ann"))
    answer = any_api.get(TOP, params=DAY)
    assert (answer.status_code, answer.json()) == (200, {"user_id": "ann", "data": []})
    assert found(any_api) == {"data": [], "count": 0, "next_cursor": None}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("start", "soon"),
        ("end", "2024-01-14"),
        ("limit", "0"),
        ("limit", "1001"),
        ("include", "all"),
        ("tz", "Berlin"),
        ("interval", "1h"),
    ],
)
def test_a_wrong_parameter_of_top_hours_is_named_with_its_reason(api: Api, field: str, wrong: str) -> None:
    assert refused(api, TOP, DAY | {field: wrong}) == [field]


def test_a_wrong_id_is_named(api: Api) -> None:
    assert refused(api, "/v1/users/a!b/heart-rate/top-hours", DAY) == ["user_id"]


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_both_answer_at_the_root_too(api: Api, prefix: str) -> None:
    peopled(api)
    assert api.get(f"{prefix}/cohorts/heart-rate", params=ASKED).json()["count"] == 3
    assert api.get(f"{prefix}/users/bob/heart-rate/top-hours", params=DAY).json()["data"] == [71.5]


def test_both_questions_are_timed_under_names_of_their_own(api: Api) -> None:
    peopled(api)
    api.get(COHORT, params=ASKED)
    api.get("/v1/users/bob/heart-rate/top-hours", params=DAY)
    metrics = api.get("/metrics").text
    for kind, rung in (("totals", ""), ("top_hours", "1h")):
        assert f'pulsebase_store_query_seconds_count{{kind="{kind}",rung="{rung}"}}' in metrics
    assert "bob" not in metrics


def test_both_run_into_the_time_limit(installed: Callable[..., Api], tmp_path: Any) -> None:
    hurried = installed(store_url=f"duckdb:///{tmp_path / 'slow.duckdb'}", query_timeout_s=1e-9)
    peopled(hurried)
    for path, parameters in ((COHORT, ASKED), ("/v1/users/bob/heart-rate/top-hours", DAY)):
        answer = hurried.get(path, params=parameters)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:pulsebase:problem:query-timeout")


# --- other metrics --------------------------------------------------------------------------------------------------


def breathing(api: Api) -> Api:
    """Three people with oxygen saturation, one of them with heart rate too."""
    peopled(api)
    averages: dict[str, list[float]] = {"ann": [97.5], "bob": [95, 96], "eve": [91.25]}
    readings = [
        {"device_id": "ring", "user_id": user_id, "metric": "spo2", "timestamp": f"2024-01-15T10:0{n}:00Z"}
        | {"value": value}
        for user_id, values in averages.items()
        for n, value in enumerate(values)
    ]
    assert api.post("/v1/readings/batch", json={"readings": readings}).json()["accepted"] == 4
    return api


def test_people_by_another_metric(any_api: Api) -> None:
    breathing(any_api)

    def found(path: str = "oxygen-saturation", **parameters: Any) -> Any:
        answer = any_api.get(f"/v1/cohorts/{path}", params=DAY | parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert found() == {"data": ["ann", "bob", "eve"], "count": 3, "next_cursor": None}
    assert found("spo2", min_avg="95.5")["data"] == ["ann"]
    assert found("oxygen_saturation", min_avg=91, max_avg="95.5")["data"] == ["bob", "eve"]
    assert found(max_avg="97.49", include="averages")["data"] == [
        {"user_id": "bob", "avg": 95.5, "count": 2, "minutes": 2, "coverage": 2 / 1440},
        {"user_id": "eve", "avg": 91.25, "count": 1, "minutes": 1, "coverage": 1 / 1440},
    ]
    assert found(gender="male")["data"] == ["bob"]
    assert found(max_age=23)["data"] == []
    assert found(min_age=23, max_age=24)["data"] == ["ann", "bob"]
    first = found(limit=1)
    assert found(limit=1, cursor=first["next_cursor"])["data"] == ["bob"]
    assert found("respiratory-rate")["data"] == []
    assert any_api.get("/v1/cohorts/steps", params=DAY).status_code == 404


def test_heart_rate_has_an_upper_bound_too(any_api: Api) -> None:
    breathing(any_api)
    assert found(any_api, max_avg=61.5)["data"] == ["ann", "dee"]
    assert any_api.get(COHORT, params=DAY | {"max_avg": 60}).json()["data"] == ["cy"]
    assert any_api.get(COHORT, params=DAY | {"min_avg": "61.5"}).json()["data"] == ["bob"]
    assert found(any_api, min_age=23, max_age=24)["data"] == ["bob", "ann"]


@pytest.mark.parametrize("spelled", ["heart_rate", "activities_heart_intraday", "activities-heart-intraday"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"min_avg_heart_rate": "60", "include": "averages", "limit": "1"},
        {"min_avg": "61.5"},
        {"max_avg": "60", "gender": ["other", "female"], "min_age": "24", "min_coverage": "0.0001"},
        {"min_avg": "60", "min_avg_heart_rate": "60"},
        {"min_avg_heart_rate": "1001"},
        {"min_avg_heart_rate": "60", "zone": "fat burn"},
    ],
)
def test_heart_rate_under_every_spelling_is_the_same_question(api: Api, spelled: str, asked: dict[str, Any]) -> None:
    breathing(api)
    expected = api.get(COHORT, params=DAY | asked)
    answer = api.get(f"/v1/cohorts/{spelled}", params=DAY | asked)
    shown = [(each.status_code, each.json() | {"instance": "", "request_id": ""}) for each in (answer, expected)]
    assert shown[0] == shown[1]


def test_every_spelling_of_heart_rate_needs_a_bound(api: Api) -> None:
    breathing(api)
    for spelled in ("heart-rate", "heart_rate", "activities_heart_intraday"):
        answer = api.get(f"/v1/cohorts/{spelled}", params=DAY)
        assert answer.status_code == 400
        assert answer.json()["errors"] == [{"field": "min_avg_heart_rate", "reason": "is required"}]


def test_what_is_of_heart_rate_alone_says_so(api: Api) -> None:
    answer = api.get("/v1/cohorts/spo2", params=ASKED)
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "min_avg_heart_rate", "reason": "is of heart rate alone; min_avg is of oxygen_saturation"}
    ]
    missing = api.get(COHORT, params=DAY).json()["errors"]
    assert missing == [{"field": "min_avg_heart_rate", "reason": "is required"}]
    for wrong in ({"min_avg": "60", "min_avg_heart_rate": "60"}, {"min_avg": "70", "max_avg": "60"}):
        assert api.get(COHORT, params=DAY | wrong).status_code == 400
