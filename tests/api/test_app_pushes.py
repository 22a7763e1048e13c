"""What phone apps push, in their own bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulsebase.etl.transform.pushed import MOST_OBJECTS
from tests.api.conftest import Api

IPHONE, ANDROID = "/v1/push/health-auto-export", "/v1/push/health-connect"
START_S = 1_707_258_600  # 2024-02-06T22:30:00Z, 14:30 in California


def stored(api: Api) -> list[tuple[Any, ...]]:
    """Device, metric, seconds after the start and value of what is stored, all of it Ann's."""
    rows = api.parts.store.stored().to_pylist()
    assert {row["user_id"] for row in rows} <= {"ann"}
    return sorted(
        (row["device_id"], row["metric"], row["time_us"] / 1_000_000 - START_S, row["value"] / 100) for row in rows
    )


def push(api: Api, path: str, body: Any, **parameters: str) -> Any:
    return api.post(path, params={"user_id": "ann"} | parameters, json=body)


def beat(date: str, bpm: float, **more: Any) -> dict[str, Any]:
    return {"date": date, "Min": bpm, "Avg": bpm, "Max": bpm, "source": "Ann’s Apple\N{NO-BREAK SPACE}Watch"} | more


def of_iphone(*metrics: tuple[str, str, list[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    found = [{"name": name, "units": units, "data": data} for name, units, data in metrics]
    return {"data": {"metrics": found, "workouts": []} | more}


WATCH = "Ann-s-Apple-Watch"


def test_an_iphone_pushes_single_values_of_every_metric(any_api: Api) -> None:
    body = of_iphone(
        (
            "heart_rate",
            "count/min",
            [
                beat("2024-02-06 14:30:05 -0800", 71),
                beat("2024-02-06 2:30:06\N{NARROW NO-BREAK SPACE}PM -0800", 72),
                beat("2024-02-06 11:30:07 p.m. +0100", 73),
                beat("2024-02-07 12:30:08 AM +0200", 74, source="Strap"),
                {"date": "2024-02-06 22:30:09 +0000", "qty": 75.5},
            ],
        ),
        ("resting_heart_rate", "count/min", [{"date": "2024-02-06 00:00:00 -0800", "qty": 58}]),
        ("blood_oxygen_saturation", "%", [{"date": "2024-02-06 14:31:00 -0800", "qty": 97}]),
        ("heart_rate_variability", "ms", [{"date": "2024-02-06 14:32:00 -0800", "qty": 41.25}]),
        ("respiratory_rate", "count/min", [{"date": "2024-02-06 14:33:00 -0800", "qty": 14}]),
        ("body_temperature", "degF", [{"date": "2024-02-06 14:34:00 -0800", "qty": 98.24}]),
        ("sleep_analysis", "hr", [{"date": "2024-02-06", "asleep": [], "sleepStart": {}}]),
        ("step_count", "count", [{"date": "2024-02-06 14:30:00 -0800", "qty": "many"}]),
        workouts=[
            {"name": "Run", "heartRateData": [beat("2024-02-06 14:40:10 -0800", 150)], "route": [{"lat": 1}]},
            {"name": "Swim"},
        ],
    )
    answer = push(any_api, IPHONE, body)
    passed_over = ["resting_heart_rate", "sleep_analysis", "step_count"]
    counts = {"accepted": 10, "rejected": 0, "total": 10, "errors": [], "passed_over": passed_over}
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"} | counts)
    assert stored(any_api) == sorted(
        [
            *((WATCH, "heart_rate", second, 66.0 + second) for second in (5, 6, 7)),
            ("Strap", "heart_rate", 8, 74.0),
            ("health-auto-export", "heart_rate", 9, 75.5),
            (WATCH, "heart_rate", 610, 150.0),
            ("health-auto-export", "oxygen_saturation", 60, 97.0),
            ("health-auto-export", "hrv_sdnn", 120, 41.25),
            ("health-auto-export", "respiratory_rate", 180, 14.0),
            ("health-auto-export", "body_temperature", 240, 36.8),
        ]
    )
    assert push(any_api, IPHONE, body).json()["accepted"] == 10, "it comes again every time the app syncs"
    assert len(stored(any_api)) == 10


SUMMARIES = [
    ("minutes or longer", [beat("2024-02-06 14:30:00 -0800", 71, Min=60), beat("2024-02-06 14:31:00 -0800", 70)]),
    ("minutes or longer", [beat("2024-02-06 00:00:00 -0800", 65, Min=48, Max=151)]),
    ("days", [beat("2024-02-06 00:00:00 -0800", 65)]),
    ("hours", [beat(f"2024-02-06 {hour}:00:00 AM -0800", 65) for hour in (1, 2, 3)]),
]


@pytest.mark.parametrize(("size", "points"), SUMMARIES)
def test_summaries_of_an_iphone_are_refused_and_told_what_to_set(
    api: Api, size: str, points: list[dict[str, Any]]
) -> None:
    oxygen = ("blood_oxygen_saturation", "%", [{"date": "2024-02-06 14:31:00 -0800", "qty": 97}])
    for body in (
        of_iphone(oxygen, ("heart_rate", "bpm", points)),
        of_iphone(oxygen, workouts=[{"heartRateData": points}]),
    ):
        answer = push(api, IPHONE, body)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["field"]) == (400, "heart_rate")
        assert error["reason"].startswith(f"is summarized by {size}; single values are needed. In the app's automation")
    assert stored(api) == [], "nothing of such a body is kept, or nobody would see that something is wrong"


def test_values_of_a_second_are_no_summary_even_if_two_sources_differ(api: Api) -> None:
    points = [beat("2024-02-06 14:30:00 -0800", 71, Min=70, Max=72), beat("2024-02-06 14:30:01 -0800", 73)]
    assert push(api, IPHONE, of_iphone(("heart_rate", "bpm", points))).status_code == 202
    on_the_hour = [{"date": f"2024-02-06 {hour}:00:00 +0100", "qty": 97} for hour in (10, 11)]
    assert push(api, IPHONE, of_iphone(("blood_oxygen_saturation", "%", on_the_hour))).status_code == 202
    assert len(stored(api)) == 4


def of_android(**records: Any) -> dict[str, Any]:
    return {"timestamp": "2024-02-06T22:45:00Z", "app_version": "1.9.3"} | records


def pixel(model: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"data_origin": "com.fitbit.FitbitMobile", "recording_method": "automatically_recorded"}
    return {"metadata": metadata | ({"device": {"manufacturer": "Google", "model": model, "type": 1}} if model else {})}


def test_an_android_phone_pushes_records_of_every_metric(any_api: Api) -> None:
    body = of_android(
        heart_rate=[
            {"bpm": 71, "time": "2024-02-06T22:30:05.250Z"},
            {"bpm": 72, "time": "2024-02-06T22:30:06Z"} | pixel(None),
            {"bpm": 73, "time": "2024-02-06T22:30:07Z"} | pixel("Pixel Watch 2"),
        ],
        heart_rate_variability=[{"rmssd_millis": 41.2, "time": "2024-02-06T22:31:00Z"}],
        oxygen_saturation=[{"percentage": 97.5, "time": "2024-02-06T22:32:00Z"}],
        respiratory_rate=[{"rate": 14.5, "time": "2024-02-06T22:33:00Z"}],
        body_temperature=[{"celsius": 36.8, "time": "2024-02-06T22:34:00Z"}],
        skin_temperature=[{"delta_celsius": -0.2, "baseline_celsius": 34.1, "time": "2024-02-06T22:35:00Z"}],
        steps=[{"count": 12, "start_time": "2024-02-06T00:00:00Z", "end_time": "2024-02-06T22:45:00Z"}],
        resting_heart_rate=[{"bpm": 58, "time": "2024-02-06T06:00:00Z"}],
        something_new=[{"x": 1}],
    )
    answer = push(any_api, ANDROID, body)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 8)
    assert answer.json()["passed_over"] == ["resting_heart_rate", "steps"]
    phone = "health-connect"
    assert stored(any_api) == sorted(
        [
            (phone, "heart_rate", 5.25, 71.0),
            (phone, "heart_rate", 6, 72.0),
            ("Google-Pixel-Watch-2", "heart_rate", 7, 73.0),
            (phone, "hrv_rmssd", 60, 41.2),
            (phone, "oxygen_saturation", 120, 97.5),
            (phone, "respiratory_rate", 180, 14.5),
            (phone, "body_temperature", 240, 36.8),
            (phone, "skin_temperature_delta", 300, -0.2),
        ]
    )


@pytest.mark.parametrize(
    "body",
    [
        of_android(heart_rate=[{"time": "2024-02-06T22:30:00Z", "avg": 71, "min": 60, "max": 80}]),
        of_android(
            heart_rate=[{"bpm": 70, "time": "2024-02-06T22:30:00Z"}, {"time": "2024-02-06T22:31:00Z", "avg": 71}]
        ),
    ],
)
def test_averages_of_an_android_phone_are_refused_and_told_what_to_set(api: Api, body: Any) -> None:
    answer = push(api, ANDROID, body)
    said = (
        "is averaged over minutes; single values are needed. In the app, under Data Types, set its Resolution to Full"
    )
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"field": "heart_rate", "reason": said}])
    assert stored(api) == []


# --- both -----------------------------------------------------------------------------------------------------------


def test_a_device_may_be_stated_for_all_readings(api: Api) -> None:
    heart = ("heart_rate", "bpm", [beat("2024-02-06 14:30:05 -0800", 71)])
    push(api, IPHONE, of_iphone(heart), device_id="watch")
    record = {"bpm": 72, "time": "2024-02-06T22:30:06Z"} | pixel("Pixel Watch 2")
    push(api, ANDROID, of_android(heart_rate=[record]), device_id="watch")
    assert stored(api) == [("watch", "heart_rate", 5, 71.0), ("watch", "heart_rate", 6, 72.0)]


@pytest.mark.parametrize(
    ("path", "body", "errors"),
    [
        (
            IPHONE,
            of_iphone(
                (
                    "heart_rate",
                    "bpm",
                    [
                        beat("2024-02-06 14:30:05 -0800", 71),
                        beat("2024-02-06 14:30:06 -0800", 500),
                        beat("06.02.2024 14:30:07", 70),
                        beat("2024-02-30 14:30:08 -0800", 70),
                        beat("2024-02-06 14:30:09 PM -0800", 70),
                        {"date": "2024-02-06 14:30:10 -0800"},
                        beat("2024-02-06 14:30:11 -0800", 70, source="x" * 1001),
                        {"qty": 70},
                    ],
                )
            ),
            [
                (1, "heart_rate", "out of range 30–220"),
                (2, "date", "must be a time such as 2024-02-06 14:30:05 -0800"),
                (3, "date", "is not a time that exists"),
                (4, "date", "is not a time that exists"),
                (5, "qty", "is required"),
                (6, "source", "is longer than 1,000 characters"),
                (7, "date", "must be a time such as 2024-02-06 14:30:05 -0800"),
            ],
        ),
        (
            ANDROID,
            of_android(
                heart_rate=[
                    {"bpm": 71, "time": "2024-02-06T22:30:05Z"},
                    {"bpm": 10, "time": "2024-02-06T22:30:05Z"},
                    {"bpm": 70},
                    {"time": "2024-02-06T22:30:05Z"},
                    {"bpm": 70, "time": "2024-02-06T22:30:08Z"} | pixel("x" * 1001),
                ],
                oxygen_saturation=[{"percentage": 0.97, "time": "2024-02-06T22:30:05Z"}],
            ),
            [
                (1, "heart_rate", "out of range 30–220"),
                (2, "time", "must be an ISO 8601 time such as 2024-01-15T10:00:00Z"),
                (3, "bpm", "is required"),
                (4, "metadata", "names a device with more than 1,000 characters"),
                (5, "oxygen_saturation", "out of range 50–100; send percent, 97 rather than 0.97"),
            ],
        ),
    ],
    ids=["iphone", "android"],
)
def test_bad_readings_are_refused_one_by_one(
    api: Api, path: str, body: Any, errors: list[tuple[int, str, str]]
) -> None:
    answer = push(api, path, body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["errors"] == [{"index": at, "field": field, "reason": why} for at, field, why in errors]
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, len(errors))
    assert len(stored(api)) == 1


@pytest.mark.parametrize("path", [IPHONE, ANDROID])
def test_a_body_without_anything_for_us_is_accepted_so_that_the_app_goes_on(api: Api, path: str) -> None:
    body = of_iphone() if path == IPHONE else of_android()
    answer = push(api, path, body)
    assert (answer.status_code, answer.json()["total"], answer.json()["passed_over"]) == (202, 0, [])


@pytest.mark.parametrize(
    ("path", "body", "slug", "said"),
    [
        (IPHONE, "{", "invalid-request", "body: is not what the app sends: Input data was truncated"),
        (IPHONE, "{}", "invalid-request", "body: is not what the app sends: Object missing required field `data`"),
        (IPHONE, b"\xff", "invalid-request", "body: is not what the app sends"),
        (
            IPHONE,
            '{"data":{"metrics":[{"name":"heart_rate","data":{}}]}}',
            "invalid-request",
            "body: is not what the app",
        ),
        (
            ANDROID,
            '{"heart_rate":[{"bpm":"71"}]}',
            "invalid-request",
            "body: is not what the app sends: Expected `float",
        ),
        (ANDROID, '{"heart_rate":[{"bpm":9,"time":"2024-02-06T22:30:05Z"}]}', "nothing-accepted", "no reading"),
        (
            IPHONE,
            json.dumps(of_iphone(("heart_rate", "furlongs", [beat("2024-02-06 14:30:05 -0800", 71)]))),
            "invalid-request",
            "heart_rate: is in a unit that is not known; there are count/min, bpm, count",
        ),
        (ANDROID, "[" + "{}," * MOST_OBJECTS + "{}]", "body-too-large", "the body holds more than 100000 objects"),
    ],
)
def test_a_wrong_body_is_refused_with_the_reason(api: Api, path: str, body: str | bytes, slug: str, said: str) -> None:
    headers = {"content-type": "application/json"}
    answer = api.post(path, params={"user_id": "ann"}, content=body, headers=headers)
    assert answer.status_code in (400, 413)
    assert answer.json()["type"] == f"urn:pulsebase:problem:{slug}"
    assert answer.json()["detail"].startswith(said)
    assert stored(api) == []


def test_csv_and_a_missing_person_are_refused(api: Api) -> None:
    answer = api.post(IPHONE, params={"user_id": "ann"}, content=b"x", headers={"content-type": "multipart/form-data"})
    assert answer.status_code == 415
    assert api.post(ANDROID, json=of_android()).json()["errors"] == [{"field": "user_id", "reason": "is required"}]
    assert push(api, ANDROID, of_android(), colour="red").status_code == 400
