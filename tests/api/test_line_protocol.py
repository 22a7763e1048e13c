"""The line protocol, by hand and with a client library of it."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from typing import Any

import pytest
from influxdb_client import InfluxDBClient, Point, WritePrecision  # type: ignore[attr-defined]
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from pulsebase.api.server.http_server import bound_socket, serving
from tests.api.conftest import Api

WRITE = "/api/v2/write"
START_S = 1_705_312_800  # 2024-01-15T10:00:00Z
START_US = START_S * 1_000_000


def write(api: Api, *lines: str, **parameters: str) -> Any:
    return api.post(WRITE, params={"bucket": "b", "org": "o"} | parameters, content="\n".join(lines).encode())


def stored(api: Api) -> list[tuple[Any, ...]]:
    rows = api.parts.store.stored().to_pylist()
    return [(row["user_id"], row["device_id"], row["time_us"], row["value"], row["confidence"]) for row in rows]


def refusal(api: Api, line: str, **parameters: str) -> str:
    """What is said about one line, which must not be stored."""
    answer = write(api, line, **parameters)
    body = answer.json()
    assert (answer.status_code, body["code"], stored(api)) == (400, "invalid", [])
    message: str = body["message"]
    return message.removeprefix("partial write: line 1: ").removesuffix("; dropped=1")


def test_good_lines_are_stored_and_answered_by_204(any_api: Api) -> None:
    answer = write(
        any_api,
        "# a comment",
        f"heart_rate,user_id=ann,device_id=strap bpm=72i,confidence=3i {START_S}000000000",
        "",
        f"heart_rate,device_id=strap,user_id=ann bpm=72.346 {START_S + 1}000000999\r",
        f"heart_rate,user_id=7,host=gateway bpm=60u {START_S + 2}000000000",
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert stored(any_api) == [
        ("7", "influx", START_US + 2_000_000, 6000, None),
        ("ann", "strap", START_US, 7200, 3),
        ("ann", "strap", START_US + 1_000_000, 7235, None),
    ]


def test_a_line_may_be_of_any_metric_and_of_several(any_api: Api) -> None:
    answer = write(
        any_api,
        f"oxygen_saturation,user_id=ann,device_id=ring value=96.5 {START_S}",
        f"oxygen-saturation,user_id=ann,device_id=ring value=97,confidence=2i {START_S + 60}",
        f"vital_signs,user_id=ann,device_id=ring heart_rate=61i,spo2=98,respiratory_rate=14.2 {START_S + 120}",
        f"vital_signs,user_id=ann,device_id=ring spo2=0.98,respiratory_rate=14.4 {START_S + 180}",
        f"skin_temperature_delta,user_id=ann,device_id=ring value=-0.4 {START_S}",
        precision="s",
    )
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "partial write: line 4: oxygen_saturation out of range 50–100; send percent, 97 rather than 0.97; dropped=1"
    )
    found = [
        (row["metric"], (row["time_us"] - START_US) // 1_000_000, row["value"], row["confidence"])
        for row in any_api.parts.store.stored().to_pylist()
    ]
    assert sorted(found) == [
        ("heart_rate", 120, 6100, None),
        ("oxygen_saturation", 0, 9650, None),
        ("oxygen_saturation", 60, 9700, 2),
        ("oxygen_saturation", 120, 9800, None),
        ("respiratory_rate", 120, 1420, None),
        ("respiratory_rate", 180, 1440, None),
        ("skin_temperature_delta", 0, -40, None),
    ]


@pytest.mark.parametrize(("precision", "factor"), [("ns", 1_000_000_000), ("us", 1_000_000), ("ms", 1000), ("s", 1)])
def test_times_are_read_in_the_precision_named(api: Api, precision: str, factor: int) -> None:
    assert write(api, f"heart_rate,user_id=ann bpm=60 {START_S * factor}", precision=precision).status_code == 204
    assert [row[2] for row in stored(api)] == [START_US]


def test_a_line_without_a_time_is_of_now(api: Api) -> None:
    before = time.time_ns() // 1000
    assert write(api, "heart_rate,user_id=ann bpm=60", precision="s").status_code == 204
    assert before <= stored(api)[0][2] <= time.time_ns() // 1000


def test_escapes_are_taken_away(api: Api) -> None:
    line = rf"heart_rate,user\_id=x,user_id=ann,note=a\ b\,c\=d,path=C:\dir bpm=60 {START_S}"
    assert write(api, line, precision="s").status_code == 204
    assert [row[0] for row in stored(api)] == ["ann"]


@pytest.mark.parametrize("number", ["60", "60i", "60u", "60.0", "6e1", "+60", "60."])
def test_numbers_have_many_forms(api: Api, number: str) -> None:
    assert write(api, f"heart_rate,user_id=ann bpm={number}").status_code == 204
    assert [row[3] for row in stored(api)] == [6000]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("heart_rate", "line is not line protocol"),
        ("heart_rate,user_id=ann", "line is not line protocol"),
        ("heart_rate,user_id= bpm=60", "line is not line protocol"),
        ("heart_rate,user_id=ann bpm=60 soon", "line is not line protocol"),
        ("heart_rate,user_id=ann bpm=60 ٣", "line is not line protocol"),
        (
            "heart_rat,user_id=ann bpm=60",
            "measurement is no metric; do you mean heart_rate?; or send vital_signs, with a field for each metric",
        ),
        ("spo2,user_id=ann bpm=97", "bpm is not a known field; send value and, if wanted, confidence"),
        ("spo2,user_id=ann confidence=1", "value is required as a field"),
        (
            "spo2,user_id=ann value=0.97",
            "oxygen_saturation out of range 50–100; send percent, 97 rather than 0.97",
        ),
        ("vital_signs,user_id=ann confidence=1", "fields must name a metric"),
        ("vital_signs,user_id=ann spo2=97,SpO2=97", "SpO2 is no metric; do you mean oxygen_saturation?"),
        (
            "vital_signs,user_id=ann spo2=97,oxygen-saturation=98",
            "oxygen-saturation is the metric that spo2 is too",
        ),
        ('vital_signs,user_id=ann heart_rate=60,spo2="97"', "spo2 must be a number"),
        ("vital_signs,user_id=ann heart_rate=300", "heart_rate out of range 30–220"),
        ("heart_rate bpm=60", "user_id is required as a tag"),
        ("heart_rate,user_id=ann confidence=1", "bpm is required as a field"),
        ("heart_rate,user_id=ann bpm=60,steps=1", "steps is not a known field; send bpm and, if wanted, confidence"),
        ('heart_rate,user_id=ann bpm="60"', "bpm must be a number"),
        ("heart_rate,user_id=ann bpm=60.5i", "bpm must be a number"),
        ("heart_rate,user_id=ann bpm=٦٠", "bpm must be a number"),
        ("heart_rate,user_id=ann bpm=true", "bpm must be a number"),
        ("heart_rate,user_id=ann bpm=nan", "bpm must be a number"),
        ("heart_rate,user_id=ann bpm=300", "heart_rate out of range 30–220"),
        ("heart_rate,user_id=ann bpm=1e999", "heart_rate out of range 30–220"),
        ("heart_rate,user_id=ann bpm=60,confidence=4i", "confidence must be 0, 1, 2 or 3"),
        ("heart_rate,user_id=ann bpm=60,confidence=1.5", "confidence must be 0, 1, 2 or 3"),
        (r"heart_rate,user_id=an\ n bpm=60", "user_id must be 1–128 characters of A–Z a–z 0–9 . _ : @ + -"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(api: Api, line: str, said: str) -> None:
    assert refusal(api, line) == said
    assert refusal(api, line, precision="s") == said


@pytest.mark.parametrize(("stated", "kept"), [("2", 2), ("2i", 2), ("2.0", 2), ("0.", 0), ("NaN", None), ("nan", None)])
def test_a_confidence_is_a_whole_number_and_no_number_is_none(api: Api, stated: str, kept: int | None) -> None:
    line = f"heart_rate,user_id=ann bpm=60,confidence={stated} {START_S}"
    assert write(api, line, precision="s").status_code == 204
    assert [row[4] for row in stored(api)] == [kept]


@pytest.mark.parametrize(
    ("stated", "precision", "where"),
    [
        (f"{START_S}", "ns", "before the year 2000"),
        (f"{START_S}", "ms", "before the year 2000"),
        (f"{START_S}000", "us", "before the year 2000"),
        (f"{START_S}000", "s", "after the year 2199"),
        (f"{START_S}000000000", "us", "after the year 2199"),
        ("946684799", "s", "before the year 2000"),
        ("7258118400", "s", "after the year 2199"),
        ("-1", "ns", "before the year 2000"),
        ("-9999999999999999999", "s", "before the year 2000"),
        ("9999999999999999999", "ns", "after the year 2199"),
    ],
)
def test_a_time_in_another_unit_than_named_is_refused_and_the_parameter_is_named(
    api: Api, stated: str, precision: str, where: str
) -> None:
    said = f"timestamp is {where} if read in {precision}; name its unit in the parameter precision"
    assert refusal(api, f"heart_rate,user_id=ann bpm=60 {stated}", precision=precision) == said


def test_times_from_2000_on_are_taken_and_those_a_little_ahead_refused_as_such(api: Api) -> None:
    ahead = f"heart_rate,user_id=ann bpm=60 {int(time.time()) + 3600}"
    assert refusal(api, ahead, precision="s") == "timestamp is more than 10 minutes in the future"
    assert write(api, "heart_rate,user_id=ann bpm=60 946684800", precision="s").status_code == 204
    assert [row[2] for row in stored(api)] == [946_684_800_000_000]


def test_good_lines_beside_bad_ones_are_stored(any_api: Api) -> None:
    answer = write(
        any_api,
        f"heart_rate,user_id=ann bpm=60 {START_S}",
        "nonsense",
        f"heart_rate,user_id=ann bpm=500 {START_S + 1}",
        f"heart_rate,user_id=ann bpm=61 {START_S + 2}",
        precision="s",
    )
    assert answer.status_code == 400
    said = "line 2: line is not line protocol; line 3: heart_rate out of range 30–220; dropped=2"
    assert answer.json() == {"code": "invalid", "message": f"partial write: {said}"}
    assert [row[3] for row in stored(any_api)] == [6000, 6100]


def test_bodies_may_be_packed_and_need_not_be_utf_8(api: Api) -> None:
    body = gzip.compress(f"heart_rate,user_id=ann bpm=60 {START_S}".encode())
    headers = {"Content-Encoding": "gzip"}
    assert api.post(WRITE, params={"precision": "s"}, content=body, headers=headers).status_code == 204
    assert api.post(WRITE, content=b"heart_rate,user_id=\xff bpm=60").json()["code"] == "invalid"
    assert api.post(WRITE, content=b"").status_code == 204
    assert len(stored(api)) == 1


def test_an_unknown_parameter_or_precision_is_refused(api: Api) -> None:
    for parameters in ({"precision": "h"}, {"colour": "red"}):
        assert write(api, "heart_rate,user_id=ann bpm=60", **parameters).status_code == 400
    assert stored(api) == []


# --- a client library ----------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def client(request: pytest.FixtureRequest, api: Api) -> Iterator[InfluxDBClient]:
    with bound_socket("127.0.0.1", 0) as listener, serving(api.parts.app, [listener]):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with InfluxDBClient(url, token="any", org="home", enable_gzip=request.param) as client:
            yield client


def point(second: int, bpm: float) -> Point:
    made: Point = Point("heart_rate").tag("user_id", "ann").tag("device_id", "strap").tag("room", "living room, left")
    made.field("bpm", bpm).time(START_S + second, WritePrecision.S)
    return made


def test_a_client_library_writes(api: Api, client: InfluxDBClient) -> None:
    with client.write_api(write_options=SYNCHRONOUS) as writer:
        writer.write("readings", record=[point(second, 60 + second / 4) for second in range(5)])
        writer.write("readings", record=point(9, 70), write_precision=WritePrecision.S)
    assert [(row[2] - START_US, row[3]) for row in stored(api)] == [
        *((second * 1_000_000, 6000 + 25 * second) for second in range(5)),
        (9_000_000, 7000),
    ]


def test_a_client_library_shows_what_was_not_written(api: Api, client: InfluxDBClient) -> None:
    with client.write_api(write_options=SYNCHRONOUS) as writer, pytest.raises(ApiException) as caught:
        writer.write("readings", record=[point(0, 60), point(1, 500)])
    assert caught.value.status == 400
    assert caught.value.message == "partial write: line 2: heart_rate out of range 30–220; dropped=1"
    assert len(stored(api)) == 1
