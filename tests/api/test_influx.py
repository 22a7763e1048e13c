"""Programs that write to InfluxDB, as they are: their client libraries, their requests and their points."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from influxdb import InfluxDBClient as InfluxDBClient1
from influxdb.exceptions import InfluxDBClientError
from influxdb_client import InfluxDBClient  # type: ignore[attr-defined]
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from pulsebase import telemetry
from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.model.errors import SettingsError
from pulsebase.model.timerange import LAST_END_US, TimeRange
from pulsebase.settings import Settings
from pulsebase.wiring_options import line_mappings
from tests.threats.conftest import Guarded, guarded

START = datetime(2024, 1, 15, 10, tzinfo=UTC)
START_S = int(START.timestamp())
MAPPINGS = """
[FitbitHealthStats]
preset = "fitbit-grafana"
user_id = "ann"

[GarminStats]
preset = "garmin-grafana"
user_tag = "User_ID"
user_id = "ben"

[home_assistant]
preset = "home-assistant"
user_id = "cleo"

[[home_assistant.lines]]
tags.entity_id = "dan_*_heart_rate"
metric = "heart-rate"
user_id = "dan"
device_id = "ring"

[[home_assistant.lines]]
measurement = "%"
tags.entity_id = "*battery*"
pass_over = true

[gateway]
user_id = "eva"
device_id = "gateway"
[[gateway.lines]]
measurement = "vitals"
field = "pulse"
metric = "heart_rate"
[[gateway.lines]]
measurement = "vitals"
field = "pulse_again"
metric = "heart_rate"
[[gateway.lines]]
measurement = "vitals"
field = "saturation"
metric = "spo2"
"""


class Place:
    """A server that needs keys, with mappings, and where it is."""

    def __init__(self, made: Guarded, port: int) -> None:
        self.parts, self.port = made.parts, port
        self.key, self.client = made.key, made.client

    def influx1(self, key: str, database: str, **options: Any) -> InfluxDBClient1:
        client = InfluxDBClient1("127.0.0.1", self.port, "anybody", key, timeout=30, **options)
        client.switch_database(database)
        return client

    @contextmanager
    def influx2(self, key: str) -> Iterator[Any]:
        url = f"http://127.0.0.1:{self.port}"
        with InfluxDBClient(url, token=key, org="home") as client:
            yield client.write_api(write_options=SYNCHRONOUS)

    def stored(self, *users: str) -> list[tuple[Any, ...]]:
        """Person, device, metric, seconds after the start and value of what is stored of these people."""
        rows = self.parts.store.stored().to_pylist()
        return sorted(
            (row["user_id"], row["device_id"], row["metric"], row["time_us"] // 1_000_000 - START_S, row["value"] / 100)
            for row in rows
            if row["user_id"] in users
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    file = tmp_path_factory.mktemp("influx") / "mappings.toml"
    file.write_text(MAPPINGS)
    with (
        guarded(influx_mappings=file) as made,
        bound_socket("127.0.0.1", 0) as listener,
        serving(made.parts.app, [listener]),
    ):
        yield Place(made, listener.getsockname()[1])


def after(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


# --- programs ---------------------------------------------------------------------------------------------------------


def fitbit_points(device: str = "Charge 6") -> list[dict[str, Any]]:
    """What fitbit-grafana gathers in one round."""
    tags = {"Device": device}
    return [
        *(
            {
                "measurement": "HeartRate_Intraday",
                "time": after(second),
                "tags": tags,
                "fields": {"value": 60 + second},
            }
            for second in (0, 5, 11)
        ),
        {"measurement": "Steps_Intraday", "time": after(0), "tags": tags, "fields": {"value": 12}},
        {"measurement": "HRV", "time": after(0), "tags": tags, "fields": {"dailyRmssd": 41.2, "deepRmssd": None}},
        {"measurement": "SPO2_Intraday", "time": after(60), "tags": tags, "fields": {"value": 96.5}},
        {
            "measurement": "Skin Temperature Variation",
            "time": after(0),
            "tags": tags,
            "fields": {"RelativeValue": -0.4},
        },
        {"measurement": "RestingHR", "time": after(0), "tags": tags, "fields": {"value": 58}},
        {"measurement": "DeviceBatteryLevel", "time": after(0), "fields": {"value": 77.0}},
        {
            "measurement": "Sleep Levels",
            "time": after(0),
            "tags": {**tags, "isMainSleep": True},
            "fields": {"level": 2},
        },
    ]


def fitbit_readings(user_id: str) -> list[tuple[Any, ...]]:
    return [
        *((user_id, "Charge-6", "heart_rate", second, 60.0 + second) for second in (0, 5, 11)),
        (user_id, "Charge-6", "oxygen_saturation", 60, 96.5),
    ]


def passed_over_lines() -> float:
    return telemetry.REGISTRY.get_sample_value("pulsebase_ingest_lines_passed_over_total") or 0


def test_fitbit_grafana_writes_to_influxdb_1(place: Place) -> None:
    passed_over = passed_over_lines()
    client = place.influx1(place.key("fitbit-1", ["ingest"]), "FitbitHealthStats")
    assert client.write_points(fitbit_points())
    assert place.stored("ann") == fitbit_readings("ann")
    assert passed_over_lines() == passed_over + 6


def test_fitbit_grafana_writes_to_influxdb_2_by_a_preset_and_the_key_of_a_person(place: Place) -> None:
    with place.influx2(place.key("fitbit-2", ["ingest"], ["fay"])) as writer:
        writer.write(bucket="fitbit-grafana", org="home", record=fitbit_points())
    assert place.stored("fay") == fitbit_readings("fay")


def test_garmin_grafana_tries_a_point_writes_and_asks_how_far_it_was(place: Place) -> None:
    client = place.influx1(place.key("garmin", ["ingest"]), "GarminStats")
    demo = {
        "measurement": "DemoPoint",
        "time": after(0),
        "tags": {"DemoTag": "DemoTagValue"},
        "fields": {"DemoField": 0},
    }
    assert client.write_points([demo]), "it gives up otherwise"
    asked = "SELECT * FROM HeartRateIntraday ORDER BY time DESC LIMIT 1"
    with pytest.raises(InfluxDBClientError, match="the key has no scope read"):
        client.query(asked)  # it goes back a week then
    tags = {"Device": "Forerunner 965", "Database_Name": "GarminStats"}
    points = [
        {"measurement": measurement, "time": after(second), "tags": tags | more, "fields": fields}
        for measurement, second, more, fields in (
            ("HeartRateIntraday", 0, {}, {"HeartRate": 61}),
            ("HeartRateIntraday", 120, {"User_ID": "gus"}, {"HeartRate": 62}),
            ("BreathingRateIntraday", 120, {}, {"BreathingRate": 14.0}),
            ("HRV_Intraday", 300, {}, {"hrvValue": 41}),
            ("SleepIntraday", 60, {}, {"spo2Reading": 95}),
            ("SleepIntraday", 60, {}, {"SleepStageLevel": 1}),
            ("StressIntraday", 0, {}, {"stressLevel": 20}),
            ("ActivityGPS", 7, {"ActivityID": 9}, {"HeartRate": 121.0, "Speed": 2.5, "ActivityName": "a run, 5 km"}),
            ("DailyStats", 0, {}, {"restingHeartRate": 52, "minHeartRate": 48}),
        )
    ]
    assert client.write_points(points)
    watch = "Forerunner-965"
    assert place.stored("ben", "gus") == [
        ("ben", watch, "heart_rate", 0, 61.0),
        ("ben", watch, "heart_rate", 7, 121.0),
        ("ben", watch, "hrv_rmssd", 300, 41.0),
        ("ben", watch, "oxygen_saturation", 60, 95.0),
        ("ben", watch, "respiratory_rate", 120, 14.0),
        ("gus", watch, "heart_rate", 120, 62.0),
    ]
    reader = place.influx1(place.key("garmin-reader", ["ingest", "read"]), "GarminStats")
    (last,) = reader.query(asked).get_points()
    assert (last["time"], last["HeartRate"], last["Device"]) == ("2024-01-15T10:02:00Z", 62, "Forerunner 965")


def state(second: float, entity: str, unit: str | None, value: float | str, **attributes: Any) -> dict[str, Any]:
    """A point that Home Assistant makes of a new state."""
    fields: dict[str, Any] = {"state": value} if isinstance(value, str) else {"value": value}
    fields |= {f"{name}_str": text for name, text in attributes.items()}
    return {
        "measurement": unit or f"sensor.{entity}",
        "tags": {"domain": "sensor", "entity_id": entity},
        "time": START + timedelta(seconds=second),
        "fields": fields,
    }


STATES = [
    state(0.25, "pixel_watch_heart_rate", "bpm", 71.0, friendly_name="Cleo's, heart", state_class="measurement"),
    state(1, "pixel_watch_oxygen_saturation", "%", 97.0, icon="mdi:water-percent"),
    state(2, "pixel_watch_respiratory_rate", "bpm", 14.0),
    state(3, "pixel_watch_resting_heart_rate", "bpm", 55.0),
    state(4, "pixel_watch_battery_level", "%", 80.0, device_class="battery"),
    state(5, "dan_ring_heart_rate", "bpm", 66.0),
    state(6, "kitchen_door", None, "on"),
]
HOME = [
    ("cleo", "pixel_watch", "heart_rate", 0, 71.0),
    ("cleo", "pixel_watch", "oxygen_saturation", 1, 97.0),
    ("cleo", "pixel_watch", "respiratory_rate", 2, 14.0),
    ("dan", "ring", "heart_rate", 5, 66.0),
]


def test_home_assistant_tries_and_writes_to_influxdb_1(place: Place) -> None:
    client = place.influx1(place.key("home-1", ["ingest"]), "home_assistant")
    client.write_points([], time_precision=None)  # its test whether the settings are right
    names = [each["name"] for each in client.query("SHOW DATABASES;").get_points()]
    assert "home_assistant" in names
    assert client.write_points(STATES, time_precision=None)
    assert place.stored("cleo", "dan") == HOME


def test_home_assistant_tries_and_writes_to_influxdb_2(place: Place) -> None:
    with place.influx2(place.key("home-2", ["ingest"])) as writer:
        writer.write(bucket="home_assistant", record=b"")
        writer.write(bucket="home_assistant", record=STATES)
    assert place.stored("cleo", "dan") == HOME


def test_telegraf_makes_its_database_and_writes_lines_to_influxdb_1(place: Place) -> None:
    """As `outputs.influxdb` sends them."""
    client = place.client()
    key, agent = place.key("telegraf", ["ingest"]), {"user-agent": "Telegraf/1.30.0 Go/1.22.0"}
    form = {"content-type": "application/x-www-form-urlencoded"} | agent
    answer = client.post("/query", content=b"q=CREATE+DATABASE+%22gateway%22", headers=form, auth=("telegraf", key))
    assert (answer.status_code, answer.json()) == (200, {"results": [{"statement_id": 0}]})
    lines = (
        f"vitals,host=pi pulse=72i,saturation=97 {START_S}000000000\n"
        f"vitals,host=pi pulse=300i,saturation=98 {START_S + 1}000000000\n"
        f"cpu,cpu=cpu-total,host=pi usage_idle=97.1 {START_S}000000000\n"
    )
    headers = {"content-type": "text/plain; charset=utf-8", "content-encoding": "gzip"} | agent
    answer = client.post(
        "/write?db=gateway&rp=autogen&consistency=any",
        content=gzip.compress(lines.encode()),
        headers=headers,
        auth=("telegraf", key),
    )
    said = "partial write: line 2: heart_rate out of range 30–220; dropped=1"
    assert (answer.status_code, answer.json()) == (400, {"error": said})
    assert place.stored("eva") == [
        ("eva", "gateway", "heart_rate", 0, 72.0),
        ("eva", "gateway", "oxygen_saturation", 0, 97.0),
        ("eva", "gateway", "oxygen_saturation", 1, 98.0),
    ]


def test_two_fields_of_a_line_cannot_be_the_same_reading(place: Place) -> None:
    key = place.key("same-reading", ["ingest"])
    place.parts.ingestor.submit_delete("eva", TimeRange(0, LAST_END_US)).result()
    lines = f"vitals pulse=70,pulse_again=71 {START_S}\nvitals pulse_again=72 {START_S + 1}"
    answer = place.client().post("/write", params={"db": "gateway", "precision": "s", "p": key}, content=lines)
    said = "line 1: pulse_again is of the same metric, person and device as pulse"
    assert (answer.status_code, answer.json()["error"]) == (400, f"partial write: {said}; dropped=1")
    assert place.stored("eva") == [("eva", "gateway", "heart_rate", 1, 72.0)]


# --- what clients ask, and how they are told -----------------------------------------------------------------------


def test_ping_answers_everybody_with_the_version_of_the_protocol(place: Place) -> None:
    client = place.client()
    for answer in (client.get("/ping"), client.head("/ping"), client.get("/ping?wait_for_leader=30s")):
        assert (answer.status_code, answer.content, answer.headers["x-influxdb-version"]) == (204, b"", "1.8.10")
        assert answer.headers["x-influxdb-build"] == "Pulsebase"
    assert client.get("/ping?verbose=true").json() == {"version": "1.8.10"}
    assert place.influx1("wrong", "any").ping() == "1.8.10"
    with InfluxDBClient(f"http://127.0.0.1:{place.port}", token="wrong", org="o") as library:
        assert library.ping()


def test_a_key_for_one_person_is_shown_no_database_of_another(place: Place) -> None:
    presets = {"fitbit-grafana", "garmin-grafana", "home-assistant", "pulsebase"}
    for who, shown in (("ann", {"FitbitHealthStats"}), ("eva", {"gateway"}), ("zoe", set())):
        client = place.influx1(place.key(f"list-{who}", ["ingest"], [who]), "any")
        assert {each["name"] for each in client.get_list_database()} == presets | shown
        client.create_database('a "quoted" name')
    with pytest.raises(InfluxDBClientError, match="partial write: line 1: user_id is nobody whose readings"):
        client.write_points(fitbit_points()[:1], database="FitbitHealthStats")


def test_databases_are_shown_and_made_with_a_key_that_writes(place: Place) -> None:
    client = place.client()
    auth = ("", place.key("statements", ["ingest"]))
    both = client.get("/query", params={"q": "show databases; CREATE DATABASE x WITH DURATION 1d"}, auth=auth)
    assert [set(each) for each in both.json()["results"]] == [{"statement_id", "series"}, {"statement_id"}]


@pytest.mark.parametrize("precision", ["n", "ns", "u", "us", "ms", "s", "m", "h"])
def test_times_of_influxdb_1_have_its_units(place: Place, precision: str) -> None:
    nanoseconds = {
        "n": 1,
        "ns": 1,
        "u": 10**3,
        "us": 10**3,
        "ms": 10**6,
        "s": 10**9,
        "m": 60 * 10**9,
        "h": 3600 * 10**9,
    }
    line = f"vitals pulse=70 {START_S * 10**9 // nanoseconds[precision]}"
    key = place.key(f"unit-{precision}", ["ingest"])
    place.parts.ingestor.submit_delete("eva", TimeRange(0, LAST_END_US)).result()
    answer = place.client().post("/write", params={"db": "gateway", "precision": precision, "p": key}, content=line)
    assert answer.status_code == 204, answer.text
    assert place.stored("eva") == [("eva", "gateway", "heart_rate", 0, 70.0)]


@pytest.mark.parametrize("path", ["/write", "/query"])
def test_clients_of_influxdb_1_show_their_key_as_a_password(place: Place, path: str) -> None:
    client, key = place.client(), place.key(f"password{path[1:]}", ["ingest"])
    asked: dict[str, Any] = {"params": {"q": "SHOW DATABASES"}} if path == "/query" else {"content": b""}
    parameters = asked.pop("params", {})
    for wrong in ({"auth": ("u", "root")}, {"headers": {"authorization": "Basic !"}}, {}):
        answer = client.post(path, params=parameters, **wrong, **asked)
        assert answer.status_code == 401
        assert answer.json()["error"] in ("a key is needed", "the key is unknown, expired or revoked")
    assert client.post(path, params=parameters | {"p": "wrong"}, **asked).status_code == 401
    assert client.post(path, params=parameters, headers={"authorization": f"Token {key}"}, **asked).status_code == 401
    for right in ({"auth": ("u", key)}, {"headers": {"authorization": f"Bearer {key}"}}):
        assert client.post(path, params=parameters, **right, **asked).is_success
    assert client.post(path, params=parameters | {"u": "x", "p": key}, **asked).is_success
    assert client.get("/v1/users", params={"p": key}).status_code == 401
    assert client.get("/v1/users", auth=("u", key)).status_code == 401
    other = place.key(f"other{path[1:]}", ["aggregate"])
    answer = client.post(path, params=parameters, auth=("u", other), **asked)
    need = "ingest" if path == "/write" else "ingest or read"
    assert (answer.status_code, answer.json()["error"]) == (403, f"the key has no scope {need}")


def test_clients_show_the_error_whatever_it_is(place: Place) -> None:
    key = place.key("errors", ["ingest"])
    with pytest.raises(InfluxDBClientError, match="the key is unknown"):
        place.influx1("wrong", "any").write_points(fitbit_points())
    with place.influx2("wrong") as writer, pytest.raises(ApiException) as caught:
        writer.write(bucket="any", record="vitals pulse=70")
    assert (caught.value.status, caught.value.message) == (401, "the key is unknown, expired or revoked")
    with place.influx2(key) as writer, pytest.raises(ApiException) as caught:
        writer.write(bucket="fitbit-grafana", record=fitbit_points()[:1])
    assert caught.value.message == (
        "partial write: line 1: user_id is said neither by the line nor by the mapping of this database; "
        "name it there, or use a key for one person; dropped=1"
    )
    answer = place.client(key).post("/api/v2/write", params={"colour": "red"})
    assert (answer.json()["code"], answer.json()["message"]) == ("invalid", "colour: is not a known parameter")


def test_lines_of_a_database_without_a_mapping_are_as_those_of_influxdb_2(place: Place) -> None:
    client = place.influx1(place.key("own", ["ingest"]), "anything")
    assert client.write(
        ["heart_rate,user_id=hal,device_id=d bpm=70 0"[:-1] + str(START_S)], {"precision": "s"}, protocol="line"
    )
    assert place.stored("hal") == [("hal", "d", "heart_rate", 0, 70.0)]


# --- the file of mappings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "Expected ']' at the end of a table declaration"),
        ("a = 1", "[a]: must be a table"),
        ("[a]", "[a]: needs a preset or lines"),
        ('[a]\npreset = "grafana"', "[a] preset: must be one of fitbit-grafana, garmin-grafana, home-assistant"),
        ('[a]\npreset = "fitbit-grafana"\ncolour = "red"', "[a] colour: is not known; there are preset, user_id"),
        ('[a]\npreset = "fitbit-grafana"\nuser_id = "ann b"', "[a] user_id: must be 1–128 characters"),
        ('[a]\npreset = "fitbit-grafana"\nuser_id = 7', "[a] user_id: must be a text"),
        ("[a]\nlines = 1", "[a] lines: must be written as [[a.lines]]"),
        ('[[a.lines]]\nfield = "x"', "[a] lines 1 metric: is required, unless pass_over is true"),
        ('[[a.lines]]\nmetric = "pulse"', "[a] lines 1 metric: is no metric"),
        ('[[a.lines]]\nmetric = "spo2"\npass_over = true', "[a] lines 1 metric: is required, unless"),
        ("[[a.lines]]\npass_over = 1", "[a] lines 1 pass_over: must be true or false"),
        ('[[a.lines]]\nmetric = "spo2"\ntags.entity_id = 7', "[a] lines 1 tags entity_id: must be a text"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_in_it(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mappings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        line_mappings(Settings(_env_file=None, influx_mappings=file))
    assert str(caught.value).startswith(f"PULSEBASE_INFLUX_MAPPINGS: {said}")
    with pytest.raises(SettingsError, match="No such file"):
        line_mappings(Settings(_env_file=None, influx_mappings=tmp_path / "none"))
