"""Programs that read from InfluxDB 1 ask us: its client library, and Grafana's panels, ours and those of others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import User
from tests.api.conftest import Api
from tests.deploy.files import DEPLOY, dashboard
from tests.influxql.conftest import START_S, Point, write
from tests.threats.conftest import Guarded, guarded

SPAN = f"time >= {START_S}000ms AND time < {START_S + 7200}000ms"


def points() -> list[Point]:
    """Two people, of whom ann has two devices, and vital signs of each kind that the dashboard shows."""
    found: list[Point] = [
        ("heart_rate", "ann", "Charge-6", second, 60 + second // 60 % 50) for second in range(0, 7200, 10)
    ]
    found += [("heart_rate", "ann", "phone", second, 90) for second in range(0, 7200, 600)]
    found += [("heart_rate", "bob", "strap", second, 120) for second in range(0, 7200, 60)]
    for metric, value in (
        ("oxygen_saturation", 97),
        ("respiratory_rate", 14),
        ("hrv_rmssd", 41),
        ("skin_temperature_delta", -0.3),
    ):
        found += [(metric, "ann", "Charge-6", second, value) for second in range(0, 7200, 300)]
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Guarded, int]]:
    with (
        guarded() as made,
        bound_socket("127.0.0.1", 0) as listener,
        serving(made.parts.app, [listener]),
    ):
        write(made.parts.store, points())
        yield made, listener.getsockname()[1]


@pytest.fixture(scope="module")
def reader(place: tuple[Guarded, int]) -> Iterator[InfluxDBClient]:
    """The client library, with a key that reads everybody's."""
    made, port = place
    client = InfluxDBClient("127.0.0.1", port, "grafana", made.key("reader", ["read"]), timeout=30)
    yield client
    client.close()


@pytest.fixture(scope="module")
def anns(place: tuple[Guarded, int]) -> Iterator[InfluxDBClient]:
    """The same with a key for ann alone."""
    made, port = place
    client = InfluxDBClient("127.0.0.1", port, "grafana", made.key("anns", ["read"], ["ann"]), timeout=30)
    yield client
    client.close()


def tags_of(client: InfluxDBClient, statement: str, **options: Any) -> list[dict[str, str]]:
    """The tags of each series of an answer."""
    return [series["tags"] for series in client.query(statement, **options).raw.get("series", ())]


# --- the client library -----------------------------------------------------------------------------------------------


def test_the_library_reads_what_it_asks(reader: InfluxDBClient) -> None:
    asked = f"SELECT mean(value), count(value) FROM heart_rate WHERE user_id = 'bob' AND {SPAN} GROUP BY time(1h)"
    first, second = reader.query(asked, epoch="s").get_points()
    assert first == {"time": START_S, "mean": 120, "count": 60}
    assert second["time"] == START_S + 3600
    assert {"name": "pulsebase"} in reader.get_list_database()
    assert [each["name"] for each in reader.get_list_measurements()] == [
        "heart_rate",
        "hrv_rmssd",
        "oxygen_saturation",
        "respiratory_rate",
        "skin_temperature_delta",
    ]
    assert reader.get_list_retention_policies("pulsebase")[0]["name"] == "autogen"
    reader.create_database("anything")


def test_the_library_reads_chunks_and_gives_parameters(reader: InfluxDBClient) -> None:
    chunks = list(reader.query("SELECT value FROM heart_rate WHERE user_id = 'bob'", chunked=True, chunk_size=50))
    assert [len(list(chunk.get_points())) for chunk in chunks] == [50, 50, 20]
    given = {"who": "bob", "least": 100}
    asked = "SELECT count(value) FROM heart_rate WHERE user_id = $who AND value > $least"
    ((found,),) = [list(each.get_points()) for each in [reader.query(asked, bind_params=given)]]
    assert found["count"] == 120


def test_the_library_is_told_what_is_wrong(reader: InfluxDBClient) -> None:
    for asked, said in {
        "SELEC": "found SELEC, expected SELECT, SHOW, CREATE at line 1, char 1",
        "DROP DATABASE x": "DROP is not answered here",
        "SELECT mode(value) FROM heart_rate": r"mode\(\) is not answered here",
        "SELECT value FROM heart_rate WHERE user_id = $who": "missing parameter: who",
    }.items():
        with pytest.raises(InfluxDBClientError, match=said) as caught:
            reader.query(asked)
        assert caught.value.code == 400
    with pytest.raises(InfluxDBClientError, match="makes more than 1000000 groups"):
        reader.query("SELECT mean(value) FROM heart_rate WHERE time > '2014-01-01' GROUP BY time(1s)")


def test_a_statement_that_fails_stops_those_after_it(place: tuple[Guarded, int]) -> None:
    made, _ = place
    client = made.client(made.key("several", ["read"]))
    asked = "SHOW DATABASES; SELECT mean(value) FROM heart_rate WHERE time > 0 GROUP BY time(1u); SHOW DATABASES"
    answer = client.get("/query", params={"q": asked})
    first, second, third = answer.json()["results"]
    assert answer.status_code == 200
    assert ("series" in first, second["statement_id"], third["error"]) == (True, 1, "not executed")
    assert second["error"].startswith("GROUP BY time makes more than")


# --- who may read what ------------------------------------------------------------------------------------------------


def test_a_key_for_one_person_finds_that_person_alone(anns: InfluxDBClient) -> None:
    assert tags_of(anns, "SELECT count(value) FROM heart_rate GROUP BY user_id") == [{"user_id": "ann"}]
    for who in ("user_id = 'bob'", "user_id =~ /bob|x/", "device_id = 'strap'"):
        assert list(anns.query(f"SELECT * FROM heart_rate WHERE {who}").get_points()) == []
    values = anns.query("SHOW TAG VALUES WITH KEY IN (user_id, device_id)").get_points()
    assert {each["value"] for each in values} == {"ann", "Charge-6", "phone"}


def test_questions_take_the_scope_read_and_are_in_the_trail(place: tuple[Guarded, int]) -> None:
    made, _ = place
    writer = made.client(made.key("writer", ["ingest"]))
    for asked in ("SELECT value FROM heart_rate", "SHOW MEASUREMENTS", "SHOW DATABASES; SHOW TAG KEYS"):
        answer = writer.get("/query", params={"q": asked})
        assert (answer.status_code, answer.json()["error"]) == (403, "the key has no scope read")
    curious = made.client(made.key("curious", ["read"]))
    assert curious.get("/query", params={"q": "SELECT last(value) FROM heart_rate WHERE user_id = 'ann'"}).is_success
    assert curious.get("/query", params={"q": "SELECT last(value) FROM heart_rate"}).is_success
    trail = made.owner.get("/v1/audit", params={"key": "curious"}).json()["data"]
    assert {(each["route"], each["whom"], each["user_id"]) for each in trail} == {
        ("/query", "person", "ann"),
        ("/query", "everybody", None),
    }


# --- forms of answers -------------------------------------------------------------------------------------------------


def test_grafana_asks_in_a_form_and_takes_gzip(place: tuple[Guarded, int]) -> None:
    made, _ = place
    client = made.client()
    form = {"q": f"SELECT value FROM heart_rate WHERE user_id = 'ann' AND {SPAN}", "db": "pulsebase", "epoch": "ms"}
    headers = {"accept-encoding": "gzip"}
    answer = client.post("/query", data=form, headers=headers, auth=("grafana", made.key("form", ["read"])))
    assert answer.headers["content-encoding"] == "gzip"
    rows = answer.json()["results"][0]["series"][0]["values"]
    assert (len(rows), rows[1]) == (720, [(START_S + 10) * 1000, 60])
    wrong = client.post("/query", data=form | {"colour": "red"}, auth=("grafana", made.key("wrong-form", ["read"])))
    assert (wrong.status_code, wrong.json()["error"]) == (400, "colour: is not a known parameter")


def test_answers_come_as_csv_and_over_several_lines(place: tuple[Guarded, int]) -> None:
    made, _ = place
    client = made.client(made.key("csv", ["read"]))
    asked = "SELECT count(value) FROM heart_rate GROUP BY device_id; SELECT mean(value) FROM oxygen_saturation"
    answer = client.get("/query", params={"q": asked, "epoch": "s"}, headers={"accept": "application/csv"})
    assert answer.headers["content-type"].startswith("application/csv")
    assert answer.text == (
        "name,tags,time,count\nheart_rate,device_id=Charge-6,0,720\nheart_rate,device_id=phone,0,12\n"
        "heart_rate,device_id=strap,0,120\n\nname,tags,time,mean\noxygen_saturation,,0,97\n"
    )
    pretty = client.get("/query", params={"q": "SHOW DATABASES", "pretty": "true"})
    assert pretty.text.startswith('{\n    "results": [\n        {\n            "statement_id": 0,')
    for name, value in (("epoch", "d"), ("chunk_size", "0"), ("params", "[1]"), ("q", " ")):
        answer = client.get("/query", params={"q": "SHOW DATABASES", name: value})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)


# --- panels -----------------------------------------------------------------------------------------------------------


def panels() -> list[tuple[str, str]]:
    """Title and statement of each panel and each variable of our dashboard."""
    read = dashboard(DEPLOY / "grafana" / "dashboards" / "readings.json")
    found = [(panel["title"], target["query"]) for panel in read["panels"] for target in panel.get("targets", ())]
    return found + [
        (variable["name"], variable["query"]) for variable in read["templating"]["list"] if variable["type"] == "query"
    ]


def sent(statement: str, interval: str) -> str:
    """A statement as Grafana sends it."""
    for name, text in {"$timeFilter": SPAN, "$__interval": interval, "$person": "ann", "$zone": "UTC"}.items():
        statement = statement.replace(name, text)
    assert "$" not in statement.replace("$/", "")
    return statement


@pytest.mark.parametrize(("title", "statement"), panels())
def test_every_panel_of_our_dashboard_shows_something(reader: InfluxDBClient, title: str, statement: str) -> None:
    for interval in ("1m", "5m"):
        found = reader.query(sent(statement, interval), database="pulsebase", epoch="ms")
        shown = [value for point in found.get_points() for name, value in point.items() if name != "time"]
        assert any(value is not None for value in shown), title


def test_panels_show_what_is_stored(reader: InfluxDBClient) -> None:
    asked = {title: sent(statement, "1h") for title, statement in panels()}

    def first(title: str) -> Any:
        point = next(iter(reader.query(asked[title], epoch="s").get_points()))
        return [value for name, value in point.items() if name != "time"]

    counted = 720  # of the minutes that both devices have, Charge-6 counts
    assert first("Readings") == [counted]
    assert first("Lowest") + first("Highest") == [60, 109]
    mean = sum(60 + second // 60 % 50 for second in range(0, 7200, 10)) / counted
    assert first("Mean heart rate") == [pytest.approx(mean)]
    assert first("Minutes above 100 bpm") == [sum(60 + minute % 50 > 100 for minute in range(120))]
    assert first("Oxygen saturation") == [97, 97]


@pytest.mark.parametrize(
    ("database", "measurement", "field", "metric"),
    [
        ("fitbit-grafana", "HeartRate_Intraday", "value", "heart_rate"),
        ("fitbit-grafana", "SPO2_Intraday", "value", "oxygen_saturation"),
        ("garmin-grafana", "HeartRateIntraday", "HeartRate", "heart_rate"),
        ("garmin-grafana", "BreathingRateIntraday", "BreathingRate", "respiratory_rate"),
        ("garmin-grafana", "HRV_Intraday", "hrvValue", "hrv_rmssd"),
        ("garmin-grafana", "SleepIntraday", "spo2Reading", "oxygen_saturation"),
    ],
)
def test_dashboards_of_writers_find_what_they_wrote(
    anns: InfluxDBClient, database: str, measurement: str, field: str, metric: str
) -> None:
    for columns, own in ((f'mean("{field}")', "mean(value)"), (f'"{field}"', "value")):
        group = "GROUP BY time(2m) fill(null)" if "mean" in columns else ""
        asked = f'SELECT {columns} FROM "{measurement}" WHERE {SPAN} {group}'
        theirs = [list(each.values()) for each in anns.query(asked, database=database).get_points()]
        ours = anns.query(f"SELECT {own} FROM {metric} WHERE {SPAN} {group}").get_points()
        assert theirs == [list(each.values()) for each in ours]
        assert theirs
    devices = tags_of(anns, f"SELECT count({field}) FROM {measurement} GROUP BY Device", database=database)
    assert {"Device": "Charge 6"} in devices, "as it was written"
    one = anns.query(f"SELECT count({field}) FROM {measurement} WHERE Device = 'Charge 6'", database=database)
    assert len(list(one.get_points())) == 1


@pytest.mark.parametrize(
    ("database", "measurement", "field"),
    [("fitbit-grafana", "RestingHR", "value"), ("garmin-grafana", "DailyStats", "restingHeartRate")],
)
def test_dashboards_find_the_resting_heart_rates_that_sources_stated(
    api: Api, database: str, measurement: str, field: str
) -> None:
    store = api.parts.store
    for user_id, zone in (("ann", "Europe/Berlin"), ("bob", "UTC")):
        store.put_user(User(user_id, time_zone=zone))
    for user_id, day, method, resting in (
        ("ann", 14, "fitbit", 58.5),
        ("ann", 15, "watch", 70.0),
        ("ann", 15, "fitbit", 57.0),  # the first by its name
        ("ann", 16, None, None),
        ("bob", 14, "fitbit", 66.0),
    ):
        store.put_summaries([DailySummary(user_id, date(2024, 1, day), resting, method)])

    def asked(what: str, where: str = "", after: str = "") -> Any:
        span = "time >= '2024-01-13T00:00:00Z' AND time < '2024-01-17T00:00:00Z'"
        statement = f'SELECT {what} FROM "{measurement}" WHERE {where or span} {after}'
        return series_of(statement)

    def series_of(statement: str) -> Any:
        answer = api.get("/query", params={"q": statement, "db": database})
        (result,) = answer.json()["results"]
        return [(each.get("tags"), each["values"]) for each in result.get("series", ())]

    ann = "user_id = 'ann'"
    # A panel's statement: means of days, which begin at an hour before midnight in UTC.
    ((_, groups),) = asked(
        f'mean("{field}")', f"{ann} AND time >= '2024-01-13' AND time < '2024-01-16'", "GROUP BY time(1d)"
    )
    assert [value for _, value in groups] == [58.5, 57.0, None]
    rows = [["2024-01-13T23:00:00Z", 58.5], ["2024-01-14T23:00:00Z", 57.0]]
    assert asked(f'"{field}"', ann) == [(None, rows)], "of any time"
    assert asked(f'last("{field}")', ann) == [(None, [rows[1]])]
    assert asked(f'"{field}"', f"{ann} AND {field} > 58") == [(None, rows[:1])]
    assert asked(f'max("{field}")', after="GROUP BY user_id") == [
        ({"user_id": "ann"}, [["2024-01-13T23:00:00Z", 58.5]]),
        ({"user_id": "bob"}, [["2024-01-14T00:00:00Z", 66.0]]),
    ]
    assert asked(f'"{field}"', f"{ann} AND \"Device\" = 'Charge 6'") == [], "no device stated it"
    assert asked("minHeartRate", ann) == []
    assert series_of("SHOW MEASUREMENTS") == [(None, [[measurement]])]
    assert series_of(f'SHOW FIELD KEYS FROM "{measurement}"') == [(None, [[field, "float"]])]


def test_what_a_writer_sent_and_was_passed_over_is_empty(anns: InfluxDBClient) -> None:
    asked = 'SELECT mean("restingHeartRate") FROM "DailyStats" WHERE time > now() - 30d GROUP BY time(1d) fill(null)'
    for statement in (asked, 'SELECT "HeartRate" FROM "ActivityGPS"', "SELECT nothing FROM HeartRateIntraday"):
        assert list(anns.query(statement, database="garmin-grafana").get_points()) == []
    asked = 'SHOW TAG VALUES FROM "ActivityGPS" WITH KEY = "ActivitySelector" WHERE time > 0'
    assert list(anns.query(asked, database="garmin-grafana").get_points()) == []


def test_home_assistant_is_asked_for_its_entities(anns: InfluxDBClient) -> None:
    def entities(where: str) -> list[str]:
        asked = f'SELECT count("value") FROM "bpm" {where} GROUP BY "entity_id"'
        return [tags["entity_id"] for tags in tags_of(anns, asked, database="home-assistant")]

    assert entities("") == ["Charge 6_heart_rate", "phone_heart_rate"]
    assert entities("WHERE \"entity_id\" = 'phone_heart_rate'") == ["phone_heart_rate"]
    assert entities('WHERE "entity_id" =~ /^phone/') == ["phone_heart_rate"]
    assert entities("WHERE \"entity_id\" = 'phone'") == []


def test_the_json_of_questions_is_rows_for_the_infinity_source(place: tuple[Guarded, int]) -> None:
    """As the guide says: CSV of the series route, which that source reads as rows."""
    made, _ = place
    client = made.client(made.key("infinity", ["read"]))
    asked = {"user_id": "bob", "interval": "1h"}
    asked |= {"start_date": "2024-01-15T10:00:00Z", "end_date": "2024-01-15T12:00:00Z"}
    answer = client.get("/v1/timeseries", params=asked, headers={"accept": "text/csv"})
    assert answer.text.splitlines()[:2] == [
        "user_id,timestamp,avg,min,max,count,minutes",
        '"bob","2024-01-15T10:00:00Z",120,120,120,60,60',
    ]
    columns = client.get("/v1/timeseries", params=asked).json()["columns"]
    assert [len(column) for column in columns.values()] == [2] * 6
