"""Readings in, by the minute out, and away."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.conftest import Api, reading

both_places = pytest.mark.parametrize("prefix", ["/v1", ""], ids=["v1", "root"])
TEN = {"user_id": "ann", "start": "2024-01-15T10:00:00Z", "end": "2024-01-15T11:00:00Z"}


@both_places
def test_a_reading_that_was_accepted_is_in_the_next_answer(any_api: Api, prefix: str) -> None:
    answer = any_api.post(f"{prefix}/metrics/heart-rate", json=reading())
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    answer = any_api.get(f"{prefix}/metrics/heart-rate", params=TEN)
    assert answer.status_code == 200
    assert answer.json() == {
        "user_id": "ann",
        "data": [{"timestamp": "2024-01-15T10:00:00Z", "heart_rate": 75.0, "device_id": "device_a"}],
        "count": 1,
    }
    assert answer.headers["Pulsebase-Table"] == "activities_heart_intraday_1m"


@both_places
def test_a_batch_says_what_became_of_each_reading(any_api: Api, prefix: str) -> None:
    body = {"readings": [reading(), reading(heart_rate=221), reading("2024-01-15T10:01:00Z")]}
    answer = any_api.post(f"{prefix}/metrics/heart-rate/batch", json=body)
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "accepted",
        "accepted": 2,
        "rejected": 1,
        "total": 3,
        "errors": [{"index": 1, "field": "heart_rate", "reason": "out of range 30–220"}],
    }


def test_a_batch_without_one_good_reading_is_a_problem_with_the_same_counts(api: Api) -> None:
    answer = api.post("/v1/metrics/heart-rate/batch", json={"readings": [reading(heart_rate=1), {}]})
    problem = answer.json()
    assert answer.status_code == 400
    assert problem["type"] == "urn:pulsebase:problem:nothing-accepted"
    assert (problem["accepted"], problem["rejected"], problem["total"]) == (0, 2, 2)
    assert problem["errors"] == [
        {"index": 0, "field": "heart_rate", "reason": "out of range 30–220"},
        {"index": 1, "field": "device_id", "reason": "is required"},
    ]


@both_places
def test_deleting_says_how_many_readings_went(any_api: Api, prefix: str) -> None:
    any_api.store(
        reading(), reading(device_id="device_b"), reading("2024-01-15T10:59:59.999999Z"), reading("2024-01-15T11:00Z")
    )
    deleted = any_api.delete(f"{prefix}/metrics/heart-rate", params=TEN | {"device_id": "device_b"})
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": 1})
    assert any_api.delete(f"{prefix}/metrics/heart-rate", params=TEN).json() == {"deleted": 2}
    assert any_api.delete(f"{prefix}/metrics/heart-rate", params=TEN).json() == {"deleted": 0}
    day = TEN | {"start": "2024-01-15", "end": "2024-01-15"}
    assert any_api.get("/v1/metrics/heart-rate", params=day).json()["count"] == 1
    assert any_api.delete(f"{prefix}/metrics/heart-rate", params=day).json() == {"deleted": 1}


def test_nothing_can_be_deleted_of_somebody_unknown(api: Api) -> None:
    assert api.delete("/v1/metrics/heart-rate", params=TEN).status_code == 404


def test_nobody_and_nothing_are_not_found_by_the_minute(any_api: Api) -> None:
    assert any_api.get("/v1/metrics/heart-rate", params=TEN).json()["detail"] == "nobody of that id is known"
    any_api.store(reading("2024-01-15T09:59:59Z"))
    answer = any_api.get("/v1/metrics/heart-rate", params=TEN)
    assert (answer.status_code, answer.json()["detail"]) == (404, "there are no readings in this range")


def test_the_better_device_wins_its_minute_and_any_device_can_be_asked_alone(any_api: Api) -> None:
    any_api.store(
        reading("2024-01-15T10:00:10Z", 60, device_id="device_a"),
        reading("2024-01-15T10:00:20Z", 90, device_id="device_b"),
        reading("2024-01-15T10:01:00Z", 90, device_id="device_b"),
        reading("2024-01-15T10:02:00Z", 50, device_id="device_a", confidence=0),
        reading("2024-01-15T10:02:00Z", 90, device_id="other"),
    )

    def minutes(**more: str) -> list[tuple[float, str]]:
        answer = any_api.get("/v1/metrics/heart-rate", params=TEN | more)
        return [(row["heart_rate"], row["device_id"]) for row in answer.json()["data"]]

    assert minutes() == [(60.0, "device_a"), (90.0, "device_b"), (90.0, "other")]
    assert minutes(device_id="device_b") == [(90.0, "device_b"), (90.0, "device_b")]
    assert minutes(device_id="other") == [(90.0, "other")]


def test_values_are_kept_to_two_decimals_and_averages_are_not_rounded(any_api: Api) -> None:
    any_api.store(reading(heart_rate=72.346))
    answer = any_api.get("/v1/metrics/heart-rate", params=TEN)
    assert answer.json()["data"][0]["heart_rate"] == 72.35
    any_api.store(reading("2024-01-15T10:00:01Z", 72), reading("2024-01-15T10:00:02Z", 73))
    answer = any_api.get("/v1/metrics/heart-rate", params=TEN)
    assert answer.json()["data"][0]["heart_rate"] == (7235 + 7200 + 7300) / 300


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_readings(api: Api, count: int) -> None:
    answer = api.post("/v1/metrics/heart-rate/batch", json={"readings": [reading()] * count})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["readings"]
    assert api.get("/v1/users").json()["data"] == []


def test_a_thousand_readings_are_a_batch(api: Api) -> None:
    api.store(*[reading(f"2024-01-15T10:{second // 60:02}:{second % 60:02}Z") for second in range(1000)])


ONE_FAULT: list[tuple[dict[str, Any], str]] = [
    ({"heart_rate": 29}, "heart_rate"),
    ({"heart_rate": 29.999}, "heart_rate"),
    ({"heart_rate": 220.001}, "heart_rate"),
    ({"heart_rate": 221}, "heart_rate"),
    ({"heart_rate": "72"}, "heart_rate"),
    ({"heart_rate": None}, "heart_rate"),
    ({"heart_rate": True}, "heart_rate"),
    ({"heart_rate": [72]}, "heart_rate"),
    ({"heart_rate": 10**4000}, "heart_rate"),
    ({"heart_rate": -(10**4000)}, "heart_rate"),
    ({"heart_rate": float("nan")}, "heart_rate"),
    ({"heart_rate": float("inf")}, "heart_rate"),
    ({"heart_rate": float("-inf")}, "heart_rate"),
    ({"timestamp": "2024-01-15"}, "timestamp"),
    ({"timestamp": "2024-02-30T10:00:00Z"}, "timestamp"),
    ({"timestamp": "2024-01-15T24:00:01Z"}, "timestamp"),
    ({"timestamp": "2024-01-15T10:00:60Z"}, "timestamp"),
    ({"timestamp": "2024-01-15T10:00:00+25:00"}, "timestamp"),
    ({"timestamp": "0000-01-01T00:00:00Z"}, "timestamp"),
    ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
    ({"timestamp": "1969-12-31T23:59:59.999999Z"}, "timestamp"),
    ({"timestamp": "9999-12-31T23:59:59Z"}, "timestamp"),
    ({"timestamp": "9999-12-31T23:59:59-14:00"}, "timestamp"),
    ({"timestamp": "٢٠٢٤-01-15T10:00:00Z"}, "timestamp"),
    ({"timestamp": "yesterday 😀"}, "timestamp"),
    ({"timestamp": ""}, "timestamp"),
    ({"timestamp": 1705312800}, "timestamp"),
    ({"timestamp": None}, "timestamp"),
    ({"user_id": ""}, "user_id"),
    ({"user_id": "a" * 129}, "user_id"),
    ({"user_id": "a b"}, "user_id"),
    ({"user_id": 'a"b'}, "user_id"),
    ({"user_id": "a'b"}, "user_id"),
    ({"user_id": "a/b"}, "user_id"),
    ({"user_id": "a\\b"}, "user_id"),
    ({"user_id": "a\n"}, "user_id"),
    ({"user_id": "a\x00"}, "user_id"),
    ({"user_id": "😀"}, "user_id"),
    ({"user_id": "\ud83d"}, "user_id"),
    ({"user_id": "é"}, "user_id"),
    ({"user_id": 1.5}, "user_id"),
    ({"user_id": True}, "user_id"),
    ({"user_id": None}, "user_id"),
    ({"user_id": {}}, "user_id"),
    ({"user_id": 10**4000}, "user_id"),
    ({"device_id": ""}, "device_id"),
    ({"device_id": None}, "device_id"),
    ({"device_id": "\udfff"}, "device_id"),
    ({"confidence": -1}, "confidence"),
    ({"confidence": 4}, "confidence"),
    ({"confidence": 1.5}, "confidence"),
    ({"confidence": 10**4000}, "confidence"),
    ({"confidence": "3"}, "confidence"),
    ({"confidence": False}, "confidence"),
    ({"extra": 1}, "extra"),
    ({"\ud800": 1}, "?"),
    ({"": 1}, ""),
]


def _json(body: Any) -> bytes:
    """JSON as Python writes it: with NaN, with lone surrogates."""
    return json.dumps(body).encode()


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(("changed", "field"), ONE_FAULT, ids=lambda value: ascii(value)[:40])
def test_a_bad_reading_is_refused_by_field_alone_and_never_sinks_a_batch(
    api: Api, changed: dict[str, Any], field: str
) -> None:
    bad = reading() | changed
    alone = api.post("/v1/metrics/heart-rate", content=_json(bad), headers=JSON)
    assert alone.status_code == 400
    assert [error["field"] for error in alone.json()["errors"]] == [field]
    reason = alone.json()["errors"][0]["reason"]
    batch = {"readings": [reading(), bad, reading("2024-01-15T10:01:00Z")]}
    together = api.post("/v1/metrics/heart-rate/batch", content=_json(batch), headers=JSON)
    assert together.status_code == 202
    assert together.json()["accepted"] == 2
    assert together.json()["errors"] == [{"index": 1, "field": field, "reason": reason}]
    assert api.get("/v1/metrics/heart-rate", params=TEN).json()["count"] == 2


@pytest.mark.parametrize("field", ["device_id", "user_id", "timestamp", "heart_rate", "confidence"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_too_long_for_python_is_refused_alone(api: Api, field: str, sign: str) -> None:
    bad = _json(reading() | {field: "here"}).replace(b'"here"', f"{sign}{'9' * 10_000}".encode())
    body = b'{"readings":[' + _json(reading()) + b"," + bad + b"]}"
    answer = api.post("/v1/metrics/heart-rate/batch", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert [(error["index"], error["field"]) for error in answer.json()["errors"]] == [(1, field)]


@pytest.mark.parametrize("missing", ["device_id", "user_id", "timestamp", "heart_rate"])
def test_a_missing_field_is_named(api: Api, missing: str) -> None:
    answer = api.post("/v1/metrics/heart-rate", json={k: v for k, v in reading().items() if k != missing})
    assert answer.json()["errors"] == [{"field": missing, "reason": "is required"}]


GOOD: list[tuple[dict[str, Any], tuple[str, int]]] = [
    ({"heart_rate": 30}, ("2024-01-15T10:00:00Z", 3000)),
    ({"heart_rate": 220}, ("2024-01-15T10:00:00Z", 22000)),
    ({"heart_rate": 72.5e0}, ("2024-01-15T10:00:00Z", 7250)),
    ({"timestamp": "2024-01-15T10:00:00"}, ("2024-01-15T10:00:00Z", 7500)),
    ({"timestamp": "2024-01-15 10:00"}, ("2024-01-15T10:00:00Z", 7500)),
    ({"timestamp": "2024-01-15t10:00:00z"}, ("2024-01-15T10:00:00Z", 7500)),
    ({"timestamp": "2024-01-15T11:00:00+01:00"}, ("2024-01-15T10:00:00Z", 7500)),
    ({"timestamp": "2024-01-15T15:45:00+0545"}, ("2024-01-15T10:00:00Z", 7500)),
    ({"timestamp": "2024-01-15T10:00:00,5Z"}, ("2024-01-15T10:00:00.5Z", 7500)),
    ({"timestamp": "2024-01-15T10:00:00.1234569Z"}, ("2024-01-15T10:00:00.123456Z", 7500)),
    ({"timestamp": "1970-01-01T00:00:00Z"}, ("1970-01-01T00:00:00Z", 7500)),
    ({"confidence": None}, ("2024-01-15T10:00:00Z", 7500)),
    ({"user_id": "a@b.c+d_e:F-9" + "x" * 115}, ("2024-01-15T10:00:00Z", 7500)),
    ({"user_id": 2022484408, "device_id": -1}, ("2024-01-15T10:00:00Z", 7500)),
]


@pytest.mark.parametrize(("changed", "kept"), GOOD, ids=lambda value: ascii(value)[:40])
def test_a_good_reading_is_kept_as_it_is(api: Api, changed: dict[str, Any], kept: tuple[str, int]) -> None:
    sent = reading() | changed
    assert api.post("/v1/metrics/heart-rate", json=sent).status_code == 202
    at, value = kept
    params = {"user_id": sent["user_id"], "start_date": at, "end_date": "2024-01-15T10:00:01Z", "interval": "raw"}
    columns = api.get("/v1/timeseries", params=params).json()["columns"]
    expected = {
        "timestamp": [at],
        "value": [value / 100],
        "device_id": [str(sent["device_id"])],
        "confidence": [sent.get("confidence")],
    }
    assert columns == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"readings":[{"device_id":"device_a"', "not JSON"),
        (b'{"readings":[]} []', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"readings":' * 100_000, "nested too deeply"),
        (b'{"readings":["\xff"]}', "not UTF-8"),
        (b'{"readings":["\xed\xa0\x80"]}', "not UTF-8"),
        ('{"readings":[]}'.encode("utf-16"), "not UTF-8"),
        (b"[]", "body: must be an object"),
        (b"null", "body: must be an object"),
        (b"1" * 5000, "body: must be an object"),
        (b"{}", "readings: must be a list"),
        (b'{"readings":{}}', "readings: must be a list"),
        (b'{"readings":null}', "readings: must be a list"),
        (b'{"readings":[],"more":1}', "more: is not a known field"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_body_that_is_no_batch_is_a_problem(api: Api, body: bytes, reason: str) -> None:
    answer = api.post("/v1/metrics/heart-rate/batch", content=body, headers=JSON)
    assert answer.status_code == 400
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"[]", b"3", b'"text"', b"null", b"NaN"])
def test_a_body_that_is_no_reading_is_a_problem(api: Api, body: bytes) -> None:
    answer = api.post("/v1/metrics/heart-rate", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["detail"]) == (400, "reading: must be an object")


def test_of_a_key_given_twice_the_last_one_holds_whichever_way_the_body_is_read(api: Api) -> None:
    twice = (
        b'{"device_id":"device_a","user_id":"ann","timestamp":"2024-01-15T10:00:00Z","heart_rate":1,"heart_rate":75}'
    )
    mixed = twice.replace(b'"heart_rate":1', b'"heart_rate":"x"')
    for body in (twice, mixed):
        assert api.post("/v1/metrics/heart-rate", content=body, headers=JSON).status_code == 202


def test_a_byte_order_mark_does_no_harm(api: Api) -> None:
    body = b"\xef\xbb\xbf" + _json(reading())
    assert api.post("/v1/metrics/heart-rate", content=body, headers=JSON).status_code == 202


def test_times_are_told_apart_even_where_they_would_fit_when_joined(api: Api) -> None:
    body = {"readings": [reading("2024-01-15T10:00:00Z2"), reading("024-01-15T10:00:00Z")]}
    answer = api.post("/v1/metrics/heart-rate/batch", json=body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["timestamp", "timestamp"]


def test_a_reading_from_the_future_is_refused(api: Api) -> None:
    now = datetime.now(UTC)
    assert api.post("/v1/metrics/heart-rate", json=reading((now + timedelta(minutes=5)).isoformat())).status_code == 202
    answer = api.post("/v1/metrics/heart-rate", json=reading((now + timedelta(hours=10)).isoformat()))
    assert answer.json()["errors"] == [{"field": "timestamp", "reason": "is more than 10 minutes in the future"}]


def test_an_unknown_field_is_named_but_never_at_full_length(api: Api) -> None:
    answer = api.post("/v1/metrics/heart-rate", json=reading() | {"x" * 1000: 1})
    assert answer.json()["errors"] == [{"field": "x" * 64, "reason": "is not a known field"}]


def test_a_refused_reading_brings_nobody_into_being(any_api: Api) -> None:
    readings = [reading(user_id="ann"), reading(user_id="bad id!"), reading(user_id="bob", heart_rate=300)]
    answer = any_api.post("/v1/metrics/heart-rate/batch", json={"readings": readings}).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 2)
    assert [user["user_id"] for user in any_api.get("/v1/users").json()["data"]] == ["ann"]
