"""Series over HTTP: the rung, the range, the forms of an answer."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pulsebase.model.metrics import METRICS
from pulsebase.model.summaries import DailySummary, HeartRateZone
from tests.api.conftest import Api, reading

both_places = pytest.mark.parametrize("prefix", ["/v1", ""], ids=["v1", "root"])


def series(api: Api, start: str, end: str, prefix: str = "/v1", **more: Any) -> dict[str, Any]:
    params = {"user_id": "ann", "start_date": start, "end_date": end} | more
    answer = api.get(f"{prefix}/timeseries", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def every(step: timedelta, start: str, count: int, **fields: Any) -> list[dict[str, Any]]:
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return [reading((first + step * place).isoformat(), 60 + place % 40, **fields) for place in range(count)]


@both_places
def test_a_week_as_typed_comes_by_the_hour_through_its_last_day(any_api: Api, prefix: str) -> None:
    any_api.store(*every(timedelta(minutes=20), "2025-06-29", 8 * 72))
    body = series(any_api, "2025-06-29", "2025-07-06", prefix)
    columns = body.pop("columns")
    assert body == {
        "user_id": "ann",
        "metric": "activities_heart_intraday",
        "unit": "bpm",
        "interval": "1h",
        "table": "activities_heart_intraday_1h",
        "tz": "UTC",
        "start": "2025-06-29T00:00:00Z",
        "end": "2025-07-07T00:00:00Z",
        "count": 192,
    }
    assert list(columns) == ["timestamp", "avg", "min", "max", "count", "minutes"]
    assert {len(column) for column in columns.values()} == {192}
    assert (columns["timestamp"][0], columns["timestamp"][-1]) == ("2025-06-29T00:00:00Z", "2025-07-06T23:00:00Z")
    assert (columns["avg"][0], columns["min"][0], columns["max"][0]) == (61.0, 60.0, 62.0)
    assert (columns["count"][0], columns["minutes"][0]) == (3, 3)


@pytest.mark.parametrize(
    ("start", "end", "interval"),
    [
        ("2025-06-29T10:00:00Z", "2025-06-29T10:00:00.000001Z", "raw"),
        ("2025-06-29T10:00:00Z", "2025-06-29T10:01:59.999999Z", "raw"),
        ("2025-06-29T10:00:00Z", "2025-06-29T10:02:00Z", "1m"),
        ("2025-06-29T10:00:00Z", "2025-06-29T12:00:00Z", "1m"),
        ("2025-06-29T10:00:00Z", "2025-06-29T12:00:00.000001Z", "1h"),
        ("2025-06-29", "2025-06-29", "1h"),
        ("2025-06-29", "2025-07-06", "1h"),
        ("2025-06-29T10:30:00Z", "2025-07-06T10:30:00Z", "1h"),
        ("2025-06-29T10:30:00Z", "2025-07-06T10:30:00.000001Z", "1d"),
        ("2025-06-29", "2025-07-07", "1d"),
        ("1970-01-01", "9999-12-31", "1d"),
    ],
)
def test_the_length_as_typed_picks_the_rung(api: Api, start: str, end: str, interval: str) -> None:
    api.store(reading("2025-06-29T10:00:00Z"))
    body = series(api, start, end)
    suffix = "" if interval == "raw" else f"_{interval}"
    assert (body["interval"], body["table"]) == (interval, f"activities_heart_intraday{suffix}")
    assert body["count"] == len(body["columns"]["timestamp"])


def test_a_week_stays_a_week_where_the_clocks_change(api: Api) -> None:
    api.store(reading("2025-03-30T10:00:00Z"))
    for start, end in (("2025-03-25", "2025-04-01"), ("2025-10-22", "2025-10-29")):
        assert series(api, start, end, tz="Europe/Berlin")["interval"] == "1h"


@pytest.mark.parametrize(
    ("interval", "start", "end", "count"),
    [
        ("raw", "2025-06-29T10:07:00Z", "2025-06-29T11:08:00Z", 184),
        ("1s", "2025-06-29T10:07:00Z", "2025-06-29T11:08:00Z", 184),
        ("1m", "2025-06-29T10:07:00Z", "2025-06-29T11:08:00Z", 61),
        ("15m", "2025-06-29T10:00:00Z", "2025-06-29T11:15:00Z", 5),
        ("1h", "2025-06-29T10:00:00Z", "2025-06-29T12:00:00Z", 2),
        ("1d", "2025-06-29T00:00:00Z", "2025-06-30T00:00:00Z", 1),
    ],
)
def test_any_rung_can_be_asked_for_and_the_widened_range_is_stated(
    any_api: Api, interval: str, start: str, end: str, count: int
) -> None:
    any_api.store(*every(timedelta(seconds=20), "2025-06-29T10:00:00", 400))
    body = series(any_api, "2025-06-29T10:07:00Z", "2025-06-29T11:08:00.000001Z", interval=interval)
    wider = {"raw": "11:08:00.000001Z", "1s": "11:08:01Z", "1m": "11:09:00Z"}.get(interval)
    end = f"2025-06-29T{wider}" if wider else end
    count += {"1m": 1}.get(interval, 0)
    assert (body["interval"], body["start"], body["end"], body["count"]) == (interval, start, end, count)


def test_raw_shows_each_reading_and_its_device(any_api: Api) -> None:
    any_api.store(
        reading("2025-06-29T10:00:10.5Z", 60.25, confidence=3),
        reading("2025-06-29T10:00:20Z", 61, confidence=0),
        reading("2025-06-29T10:00:05Z", 90, device_id="device_b"),
        reading("2025-06-29T10:01:05Z", 91, device_id="device_b"),
    )
    asked = ("2025-06-29T10:00:00Z", "2025-06-29T10:01:59Z")
    assert series(any_api, *asked)["columns"] == {
        "timestamp": ["2025-06-29T10:00:10.5Z", "2025-06-29T10:01:05Z"],
        "value": [60.25, 91.0],
        "device_id": ["device_a", "device_b"],
        "confidence": [3, None],
    }
    assert series(any_api, *asked, device_id="device_b")["columns"]["value"] == [90.0, 91.0]
    assert series(any_api, *asked, device_id="nobodys")["count"] == 0
    everything = series(any_api, *asked, include="all")["columns"]
    assert everything["value"] == [90.0, 60.25, 61.0, 91.0]
    assert everything["confidence"] == [None, 3, 0, None]
    assert series(any_api, *asked, include="all", interval="1m")["columns"]["count"] == [2, 1]


def test_max_points_picks_the_finest_rung_that_fits(any_api: Api) -> None:
    any_api.store(*every(timedelta(seconds=1), "2025-06-29T10:00:00", 600))
    asked = ("2025-06-29T10:00:00Z", "2025-06-29T10:10:00Z")
    for max_points, interval in ((600, "raw"), (599, "1m"), (10, "1m"), (9, "15m"), (1, "15m")):
        body = series(any_api, *asked, max_points=max_points)
        assert (body["interval"], body["count"] <= max_points) == (interval, True)


def test_where_raw_is_denser_than_a_second_max_points_steps_up(any_api: Api) -> None:
    any_api.store(*every(timedelta(milliseconds=100), "2025-06-29T10:00:00", 300))
    body = series(any_api, "2025-06-29T10:00:00Z", "2025-06-29T10:00:30Z", max_points=30)
    assert (body["interval"], body["table"], body["count"]) == ("1s", "activities_heart_intraday", 30)


def test_days_of_a_zone_have_23_24_or_25_hours(any_api: Api) -> None:
    any_api.store(*every(timedelta(hours=1), "2025-03-28T12:00:00", 96))
    any_api.store(*every(timedelta(hours=1), "2025-10-24T12:00:00", 96))
    spring = series(any_api, "2025-03-29", "2025-03-31", tz="Europe/Berlin", interval="1d")
    assert spring["columns"]["timestamp"] == ["2025-03-28T23:00:00Z", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"]
    assert spring["columns"]["count"] == [24, 23, 24]
    assert (spring["tz"], spring["start"], spring["end"]) == (
        "Europe/Berlin",
        "2025-03-28T23:00:00Z",
        "2025-03-31T22:00:00Z",
    )
    autumn = series(any_api, "2025-10-25", "2025-10-27", tz="Europe/Berlin", interval="1d")
    assert autumn["columns"]["count"] == [24, 25, 24]


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Asia/Kolkata", "2025-06-28T18:30:00Z"),
        ("Asia/Kathmandu", "2025-06-28T18:15:00Z"),
        ("Etc/GMT+5", "2025-06-29T05:00:00Z"),
        ("Pacific/Kiritimati", "2025-06-28T10:00:00Z"),
    ],
)
def test_a_day_starts_where_its_zone_says(any_api: Api, zone: str, start: str) -> None:
    any_api.store(*every(timedelta(minutes=15), "2025-06-28T00:00:00", 240))
    body = series(any_api, "2025-06-29", "2025-06-29", tz=zone, interval="1d")
    assert (body["start"], body["columns"]["timestamp"], body["columns"]["count"]) == (start, [start], [96])


@pytest.mark.parametrize(
    ("zone", "start", "end", "at"),
    [
        ("Europe/Berlin", "2024-03-31T02:00", "2024-03-31T03:00", "2024-03-31T01:00:00Z"),
        ("Australia/Lord_Howe", "2024-10-06T02:00", "2024-10-06T02:30", "2024-10-05T15:30:00Z"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30", "2011-12-30T10:00:00Z"),
    ],
)
def test_a_range_that_clocks_make_empty_is_an_empty_answer(
    any_api: Api, zone: str, start: str, end: str, at: str
) -> None:
    before = datetime.fromisoformat(at).replace(tzinfo=None) - timedelta(minutes=90)
    any_api.store(*every(timedelta(minutes=1), before.isoformat(), 180))
    asked = {"start_date": start, "end_date": end, "tz": zone}
    rungs: list[dict[str, Any]] = [{"interval": interval} for interval in ("raw", "1s", "1m", "15m", "1h", "1d")]
    for more in ({}, {"max_points": 9}, *rungs):
        for path, who in (("/v1/timeseries", {"user_id": "ann"}), ("/v1/multi-user/timeseries", {"user_ids": "ann"})):
            body = any_api.get(path, params=who | asked | more).json()
            answer = body if "columns" in body else body | body["series"][0]
            assert (answer["start"], answer["end"], answer["count"]) == (at, at, 0), body
            assert answer["interval"] == more.get("interval", answer["interval"])
            names = (
                {"timestamp", "value"} if answer["interval"] == "raw" else {"timestamp", "avg", "min", "max", "count"}
            )
            assert names <= answer["columns"].keys()
            assert not any(answer["columns"].values())
    days = any_api.get("/v1/timeseries", params={"user_id": "ann", "metric": "activities_heart_summary"} | asked)
    assert (days.status_code, days.json()["columns"]["date"]) == (200, [])
    within = {"start": start, "end": end, "tz": zone}
    cohort = any_api.get("/v1/cohorts/heart-rate", params=within | {"min_avg_heart_rate": 0, "min_coverage": 0.5})
    assert (cohort.status_code, cohort.json()["data"], cohort.json()["count"]) == (200, [], 0)
    assert any_api.get("/v1/users/ann/heart-rate/top-hours", params=within).json()["data"] == []
    assert any_api.get("/v1/timeseries", params={"user_id": "eve"} | asked).status_code == 404


def test_a_plus_that_became_a_space_is_read_as_a_plus(api: Api) -> None:
    api.store(reading("2025-06-29T10:00:00Z", user_id="ann+1", device_id="a+b"))
    plain = "start_date=2025-06-29T12:00:00+02:00&end_date=2025-06-29T12:01:00+02:00&tz=Etc/GMT+5"
    answer = api.get(f"/v1/timeseries?user_id=ann+1&device_id=a+b&{plain}")
    assert answer.status_code == 200
    assert (answer.json()["tz"], answer.json()["start"]) == ("Etc/GMT+5", "2025-06-29T10:00:00Z")
    assert answer.json()["columns"]["device_id"] == ["a+b"]


def test_a_known_person_without_readings_there_has_empty_columns(any_api: Api) -> None:
    any_api.store(reading("2025-06-29T10:00:00Z"))
    for interval in ("raw", "1s", "1m", "15m", "1h", "1d"):
        body = series(any_api, "2024-01-01", "2024-01-02", interval=interval)
        assert body["count"] == 0
        assert all(column == [] for column in body["columns"].values())


def test_somebody_unknown_is_not_found_alone_and_missing_among_others(any_api: Api) -> None:
    any_api.store(reading("2025-06-29T10:00:00Z"))
    params: dict[str, Any] = {"start_date": "2025-06-29", "end_date": "2025-06-29"}
    assert any_api.get("/v1/timeseries", params=params | {"user_id": "nobody"}).status_code == 404
    answer = any_api.get("/v1/multi-user/timeseries", params=params | {"user_ids": ["nobody", "ann", "ann"]})
    assert answer.status_code == 200
    assert answer.json()["missing"] == ["nobody"]
    assert [person["user_id"] for person in answer.json()["series"]] == ["ann"]


@both_places
def test_several_people_share_one_rung(any_api: Api, prefix: str) -> None:
    any_api.store(*[reading("2025-06-29T10:00:00Z", 60 + place, user_id=f"p{place}") for place in range(7)])
    params: dict[str, Any] = {"start_date": "2025-06-29", "end_date": "2025-06-29"}
    body = any_api.get(f"{prefix}/multi-user/timeseries", params=params).json()
    people = body.pop("series")
    assert body == {
        "metric": "activities_heart_intraday",
        "unit": "bpm",
        "interval": "1h",
        "table": "activities_heart_intraday_1h",
        "tz": "UTC",
        "start": "2025-06-29T00:00:00Z",
        "end": "2025-06-30T00:00:00Z",
        "missing": [],
        "next_cursor": None,
    }
    assert people == [
        {
            "user_id": f"p{place}",
            "count": 1,
            "columns": {
                "timestamp": ["2025-06-29T10:00:00Z"],
                "avg": [60.0 + place],
                "min": [60.0 + place],
                "max": [60.0 + place],
                "count": [1],
                "minutes": [1],
            },
        }
        for place in range(7)
    ]
    first = any_api.get("/v1/multi-user/timeseries", params=params | {"limit": 5}).json()
    assert ([person["user_id"] for person in first["series"]][-1], first["next_cursor"]) == ("p4", "p4")
    rest = any_api.get("/v1/multi-user/timeseries", params=params | {"limit": 5, "cursor": "p4"}).json()
    assert ([person["user_id"] for person in rest["series"]], rest["next_cursor"]) == (["p5", "p6"], None)


def test_nobody_at_all_is_an_empty_answer_in_every_form(any_api: Api) -> None:
    url = "/v1/multi-user/timeseries?start_date=2025-06-29&end_date=2025-06-29"
    assert any_api.get(url).json()["series"] == []
    in_csv = any_api.get(url, headers={"Accept": "text/csv"})
    assert in_csv.text == "user_id,timestamp,avg,min,max,count,minutes\r\n"
    table = _arrow(any_api.get(url, headers={"Accept": "application/vnd.apache.arrow.stream"}).content)
    assert table.num_rows == 0


def _arrow(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all()


@pytest.mark.parametrize("interval", ["raw", "1s", "1m", "1h", "1d"])
def test_csv_and_arrow_say_what_json_says(any_api: Api, interval: str) -> None:
    for user_id in ("ann", "bob"):
        any_api.store(*every(timedelta(milliseconds=17_300), "2025-06-29T10:00:00", 300, user_id=user_id))
    url = f"/v1/multi-user/timeseries?start_date=2025-06-29&end_date=2025-06-30&interval={interval}&user_ids=ann"
    url += "&user_ids=bob&user_ids=nobody"
    in_json = any_api.get(url, headers={"Accept": "application/json"}).json()
    rows = [
        (person["user_id"], *values)
        for person in in_json["series"]
        for values in zip(*person["columns"].values(), strict=True)
    ]
    names = ["user_id", *in_json["series"][0]["columns"]]
    assert len(rows) == sum(person["count"] for person in in_json["series"]) > 0

    answer = any_api.get(url, headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    header, *lines = list(csv.reader(io.StringIO(answer.text)))
    assert header == names
    assert [_typed(names, line) for line in lines] == rows
    said = {name: answer.headers[f"Pulsebase-{name}"] for name in ("Interval", "Table", "Tz", "Start", "End")}
    assert said == {name.title(): in_json[name] for name in ("interval", "table", "tz", "start", "end")}
    assert answer.headers["Pulsebase-Missing"] == "nobody"

    answer = any_api.get(url, headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    table = _arrow(answer.content)
    assert table.schema.metadata[b"table"].decode() == in_json["table"]
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == names
    assert [(row[0], _text(row[1]), *row[2:]) for row in frame.rows()] == rows


def _typed(names: list[str], line: list[str]) -> tuple[Any, ...]:
    kinds = {"user_id": str, "timestamp": str, "device_id": str, "count": int, "minutes": int, "confidence": int}
    return tuple(None if text == "" else kinds.get(name, float)(text) for name, text in zip(names, line, strict=True))


def _text(at: datetime) -> str:
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0')}Z" if "." in text else f"{text}Z"


def test_a_page_of_people_as_csv_says_where_the_next_one_starts(api: Api) -> None:
    api.store(*[reading(user_id=f"p{place}") for place in range(3)])
    url = "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-15&limit=2"
    answer = api.get(url, headers={"Accept": "text/csv"})
    assert answer.headers["Pulsebase-Next-Cursor"] == "p1"
    assert "Pulsebase-Missing" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/*", "text/csv; charset=utf-8"),
        ("TEXT/CSV;header=present", "text/csv; charset=utf-8"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("application/json;q=0.1, text/csv;q=0.9", "text/csv; charset=utf-8"),
        ("application/json;q=0, text/csv", "text/csv; charset=utf-8"),
        ("image/png, text/csv, application/json", "text/csv; charset=utf-8"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
    ],
)
def test_accept_picks_the_form(api: Api, accept: str, media_type: str) -> None:
    api.store(reading())
    url = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
    answer = api.get(url, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "text/html"])
def test_a_form_nobody_can_give_is_not_acceptable(api: Api, accept: str) -> None:
    api.store(reading())
    url = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
    assert api.get(url, headers={"Accept": accept}).status_code == 406


@pytest.mark.parametrize("path", ["timeseries?user_id=ann", "multi-user/timeseries?user_ids=ann"])
def test_an_answer_that_the_client_has_is_not_sent_again(any_api: Api, path: str) -> None:
    any_api.store(reading())
    url = f"/v1/{path}&start_date=2024-01-15&end_date=2024-01-15"
    for accept in ("application/json", "text/csv", "application/vnd.apache.arrow.stream"):
        etag = any_api.get(url, headers={"Accept": accept}).headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = any_api.get(url, headers={"Accept": accept, "If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    any_api.store(reading("2024-01-15T10:00:01Z"))
    changed = any_api.get(url, headers={"Accept": accept, "If-None-Match": etag})
    assert (changed.status_code, changed.headers["ETag"] != etag) == (200, True)


def test_stored_days_come_as_they_were_stated(any_api: Api) -> None:
    zone = HeartRateZone("Fat Burn", 90, 120, 35, 210.5)
    days = [
        DailySummary("ann", datetime(2025, 6, day, tzinfo=UTC).date(), 58.5, "vendor", (zone,)) for day in range(1, 8)
    ]
    any_api.parts.store.put_summaries(days)
    body = series(any_api, "2025-06-02", "2025-06-03", metric="activities_heart_summary")
    assert body == {
        "user_id": "ann",
        "metric": "activities_heart_summary",
        "unit": "bpm",
        "interval": "1d",
        "table": "activities_heart_summary",
        "tz": "UTC",
        "start": "2025-06-02T00:00:00Z",
        "end": "2025-06-04T00:00:00Z",
        "count": 2,
        "columns": {
            "date": ["2025-06-02", "2025-06-03"],
            "resting_heart_rate": [58.5, 58.5],
            "resting_heart_rate_method": ["vendor", "vendor"],
            "heart_rate_zones": [
                [{"name": "Fat Burn", "min": 90, "max": 120, "minutes": 35, "caloriesOut": 210.5}] for _ in range(2)
            ],
            "custom_heart_rate_zones": [[], []],
        },
    }
    url = "/v1/multi-user/timeseries?start_date=2025-06-02&end_date=2025-06-03&metric=activities_heart_summary"
    shared = any_api.get(f"{url}&user_ids=ann&user_ids=nobody").json()
    assert ([person["count"] for person in shared["series"]], shared["missing"]) == ([2], ["nobody"])
    assert any_api.get(url, headers={"Accept": "text/csv"}).status_code == 406


@pytest.mark.parametrize("more", ["interval=1d", "max_points=5", "device_id=device_a", "include=all"])
def test_parameters_that_mean_nothing_for_stored_days_are_refused(api: Api, more: str) -> None:
    api.store(reading())
    url = "/v1/timeseries?user_id=ann&start_date=2025-06-02&end_date=2025-06-03&metric=activities_heart_summary"
    answer = api.get(f"{url}&{more}")
    assert [error["field"] for error in answer.json()["errors"]] == [more.split("=", maxsplit=1)[0]]


BAD: list[tuple[str, str]] = [
    ("start_date", "yesterday"),
    ("start_date", ""),
    ("start_date", "2025-02-29"),
    ("start_date", "2025-06-29T25:00:00Z"),
    ("start_date", "1969-12-31"),
    ("start_date", "2200-01-01"),
    ("start_date", "9999-12-31"),
    ("start_date", "0000-01-01"),
    ("start_date", "20250629"),
    ("start_date", "1751155200"),
    ("start_date", "٢٠٢٥-٠٦-٢٩"),
    ("start_date", "2025-06-29\x00"),
    ("start_date", "x" * 10_000),
    ("end_date", "2025-06-28"),
    ("end_date", "2025-06-29T00:00:00Z"),
    ("end_date", "😀"),
    ("metric", "steps"),
    ("metric", "activities_heart_intraday_1h"),
    ("interval", "5m"),
    ("interval", "RAW"),
    ("interval", ""),
    ("max_points", "0"),
    ("max_points", "-1"),
    ("max_points", "10000001"),
    ("max_points", "9" * 5000),
    ("max_points", "many"),
    ("tz", "Mars/Olympus"),
    ("tz", ""),
    ("tz", "../../etc/passwd"),
    ("tz", "localtime"),
    ("tz", "UTC\x00"),
    ("include", "some"),
    ("include", ""),
    ("device_id", ""),
    ("device_id", "a/b"),
    ("user_id", ""),
    ("user_id", "a" * 129),
    ("user_id", "' OR 1=1 --"),
    ("user_id", '"'),
    ("user_id", "😀"),
    ("user_id", "a\x00b"),
    ("unknown", "1"),
    ("query", "1"),
    ("body", "1"),
    ("user_ids", "ann"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_wrong_parameter_is_refused_by_name_and_its_value_not_repeated(api: Api, name: str, value: str) -> None:
    api.store(reading())
    params = {"user_id": "ann", "start_date": "2025-06-29", "end_date": "2025-06-30"} | {name: value}
    answer = api.get("/v1/timeseries", params=params)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] in ([name], ["end_date"])
    if len(value) > 2 and name not in ("metric", "end_date", "user_ids"):
        assert value not in answer.text


def test_more_metrics_than_there_are_is_refused_in_plain_words(api: Api) -> None:
    asked = {"user_id": "ann", "start_date": "2025-06-29", "end_date": "2025-06-30", "metric": ["spo2"] * 10}
    answer = api.get("/v1/timeseries", params=asked)
    assert answer.json()["errors"] == [{"field": "metric", "reason": f"takes at most {len(METRICS)} of them"}]


def test_interval_and_max_points_exclude_each_other(api: Api) -> None:
    url = "/v1/timeseries?user_id=ann&start_date=2025-06-29&end_date=2025-06-30&interval=1m&max_points=100"
    assert [error["field"] for error in api.get(url).json()["errors"]] == ["max_points"]


def test_max_points_fewer_than_days_is_refused(api: Api) -> None:
    api.store(reading())
    url = "/v1/timeseries?user_id=ann&start_date=2025-06-01&end_date=2025-06-30&max_points=29"
    assert [error["field"] for error in api.get(url).json()["errors"]] == ["max_points"]


@pytest.mark.parametrize(("zone", "interval"), [("Asia/Tokyo", "1h"), ("America/New_York", "1d"), ("UTC", "raw")])
@pytest.mark.parametrize("end", ["9999-12-31", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59-14:00"])
def test_a_range_without_end_ends_where_time_does(api: Api, zone: str, interval: str, end: str) -> None:
    api.store(reading("2024-01-15T10:00:00Z", 60))
    body = series(api, "2024-01-01", end, tz=zone, interval=interval)
    assert body["end"] == ("2200-01-01T05:00:00Z" if zone == "America/New_York" else "2200-01-01T00:00:00Z")
    assert body["count"] == 1


def test_the_whole_of_time_can_be_asked_by_the_day(any_api: Api) -> None:
    any_api.store(reading("1970-01-01T12:00:00Z", 50), reading("2024-01-15T10:00:00Z", 60))
    body = series(any_api, "1970-01-01", "9999-12-31", tz="America/New_York")
    assert (body["interval"], body["count"]) == ("1d", 2)


@pytest.mark.parametrize("name", ["user_id", "start_date", "interval", "tz"])
def test_a_parameter_given_twice_is_refused_by_name(api: Api, name: str) -> None:
    url = "/v1/timeseries?user_id=ann&start_date=2025-06-29&end_date=2025-06-30&interval=1m&tz=UTC"
    answer = api.get(f"{url}&{name}=x")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": name, "reason": "is given more than once"}]
