"""InfluxDB 1.6 and we, asked the same of the same points, answer the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pulsebase.api.codecs.influx_answers import AnswerForm, as_json
from tests.influxql.conftest import InfluxDB, Ours

HOURS = "time >= '2024-01-15T10:00:00Z' AND time < '2024-01-15T16:00:00Z'"
ANN = f"{HOURS} AND user_id = 'ann'"
BEN = "time >= '2024-01-15T12:20:00Z' AND time <= '2024-01-18T01:00:00Z' AND user_id = 'ben'"
SHORT = "time >= '2024-01-15T10:03:10Z' AND time < '2024-01-15T10:20:30Z' AND user_id = 'ann'"
LATER = "time >= '2024-01-15T11:00:00Z' AND time < '2024-01-15T12:00:00Z' AND user_id = 'ann'"

STATEMENTS = [
    # groups of times
    *(
        f"SELECT {name}(value) FROM heart_rate WHERE {where} GROUP BY time({length}) fill({fill})"
        for name, where, length, fill in (
            ("mean", ANN, "30m", "null"),
            ("mean", ANN, "1h", "none"),
            ("mean", ANN, "20m", "previous"),
            ("mean", ANN, "20m", "linear"),
            ("mean", ANN, "20m", "-1.5"),
            ("mean", SHORT, "1m", "null"),
            ("mean", SHORT, "7s", "none"),
            ("count", ANN, "30m", "null"),
            ("count", ANN, "30m", "previous"),
            ("count", ANN, "30m", "linear"),
            ("count", ANN, "30m", "7"),
            ("count", BEN, "1d", "null"),
            ("sum", BEN, "1d", "null"),
            ("max", BEN, "6h", "null"),
            ("min", BEN, "1h", "null"),
            ("spread", BEN, "12h", "null"),
            ("median", ANN, "30m", "null"),
            ("first", ANN, "45m", "null"),
            ("last", ANN, "5m", "0"),
            ("stddev", ANN, "1h", "null"),
            ("distinct", SHORT, "10m", "null"),
        )
    ),
    f"SELECT percentile(value, 90) FROM heart_rate WHERE {ANN} GROUP BY time(1h)",
    f"SELECT percentile(value, 0.1) FROM heart_rate WHERE {ANN} GROUP BY time(1h)",
    f"SELECT mean(value), max(value), count(value) FROM heart_rate WHERE {ANN} GROUP BY time(1h)",
    f"SELECT mean(value) FROM heart_rate WHERE {ANN} GROUP BY time(1h, 10m)",
    f"SELECT mean(value) FROM heart_rate WHERE {ANN} GROUP BY time(1h, -25m) ORDER BY time DESC LIMIT 3 OFFSET 1",
    f"SELECT count(value) FROM heart_rate WHERE {BEN} GROUP BY time(1w)",
    f"SELECT mean(value) FROM heart_rate WHERE {HOURS} GROUP BY time(2h), user_id",
    f"SELECT mean(value) FROM heart_rate WHERE {HOURS} GROUP BY time(2h), * SLIMIT 2 SOFFSET 1",
    f"SELECT mean(value) FROM heart_rate WHERE {HOURS} GROUP BY /device.*/, user_id",
    f"SELECT count(value) FROM heart_rate WHERE {HOURS} GROUP BY nope",
    # zones
    f"SELECT mean(value) FROM heart_rate WHERE {BEN} GROUP BY time(1d) tz('Europe/Berlin')",
    f"SELECT count(value) FROM heart_rate WHERE {BEN} GROUP BY time(6h) tz('America/New_York')",
    f"SELECT max(value) FROM heart_rate WHERE {BEN} GROUP BY time(1h) fill(none) tz('Asia/Kathmandu')",
    "SELECT count(value) FROM heart_rate WHERE time >= '2024-01-15 18:00:00' AND time < '2024-01-16' "
    "AND user_id = 'ben' tz('Asia/Kolkata')",
    "SELECT mean(value) FROM heart_rate WHERE time >= '2024-03-30' AND time < '2024-04-02' GROUP BY time(1d) "
    "fill(0) tz('Europe/Berlin')",
    # all of it
    *(
        f"SELECT {what} FROM heart_rate WHERE {ANN}"
        for what in (
            "mean(value)",
            "count(value)",
            "sum(value)",
            "max(value)",
            "min(value)",
            "first(value)",
            "last(value)",
            "median(value)",
            "spread(value)",
            "percentile(value, 50)",
            "distinct(value)",
            "count(distinct(value))",
            "max(value), min(value)",
            "first(value), last(value), mean(value)",
            "max(value) - min(value)",
            "mean(value) * 2 + 1",
            "mean(value) / 0",
            "last(value), device_id",
            "max(value) AS highest, user_id, device_id",
            "mean(*)",
            "max(*)",
            "mean(value) AS m, mean(value), mean(value)",
            "mean(nope)",
            "stddev(value)",
        )
    ),
    "SELECT stddev(value) FROM heart_rate WHERE time = 1705312800000000000 AND user_id = 'ann'",
    "SELECT stddev(value), count(value) FROM heart_rate WHERE time = 1705312800000000000 AND user_id = 'ann'",
    "SELECT first(value) FROM heart_rate",
    "SELECT last(value) FROM heart_rate WHERE user_id = 'ben'",
    "SELECT mean(value) FROM heart_rate",
    "SELECT max(value) FROM heart_rate WHERE user_id = 'ben'",
    "SELECT count(value) FROM heart_rate, oxygen_saturation",
    "SELECT mean(value) FROM /.*/ WHERE user_id = 'ann'",
    "SELECT mean(value) FROM nothing",
    # rows
    f"SELECT value FROM heart_rate WHERE {ANN} LIMIT 4",
    f"SELECT value FROM heart_rate WHERE {ANN} ORDER BY time DESC LIMIT 4 OFFSET 3",
    f"SELECT * FROM heart_rate WHERE {HOURS} LIMIT 9",
    f"SELECT value, device_id, nope FROM heart_rate WHERE {HOURS} LIMIT 3",
    f"SELECT value * 2 - 1, value % 7, value / 0 FROM heart_rate WHERE {ANN} LIMIT 3",
    f"SELECT -value, (value + 1) * 2 AS more FROM heart_rate WHERE {ANN} LIMIT 3",
    f"SELECT value FROM heart_rate WHERE {ANN} AND value > 74.5 AND (value < 76 OR device_id = 'ring')",
    f"SELECT value FROM heart_rate WHERE {ANN} AND value + 1 >= 77",
    f"SELECT value FROM heart_rate WHERE {ANN} AND value = 'x'",
    "SELECT value FROM heart_rate WHERE time = 1705312800000000000",
    "SELECT value FROM heart_rate WHERE time > 1705312799s AND time <= 1705312837000ms",
    "SELECT value FROM heart_rate WHERE '2024-01-15T10:00:37Z' >= time AND time > '2024-01-15T09:00:00.5Z'",
    f"SELECT value FROM heart_rate WHERE {HOURS} GROUP BY user_id LIMIT 2",
    "SELECT device_id FROM heart_rate",
    "SELECT * FROM heart_rate ORDER BY time DESC LIMIT 1",
    f"SELECT distinct(value) FROM heart_rate WHERE {ANN} AND value < 65",
    f"SELECT DISTINCT value FROM heart_rate WHERE {ANN} AND value > 70",
    # tags
    *(
        f"SELECT count(value) FROM heart_rate WHERE {HOURS} AND {condition}"
        for condition in (
            "device_id = 'ring'",
            "device_id != 'ring'",
            "device_id =~ /^(ring|x)$/",
            "device_id !~ /^r/",
            "device_id =~ /(?i)WATCH/ AND user_id =~ /^ann$/",
            "(device_id =~ /./ OR user_id = 'ben')",
            "(user_id = 'ann' OR user_id = 'ben') AND device_id = 'watch'",
            "nope = ''",
            "nope != 'x'",
            "nope = 'x'",
            "device_id = 'it\\'s'",
            "device_id::tag = 'ring' AND value::field > 72",
            "device_id > 'a'",
            "device_id = 5",
            "'ring' = device_id",
            "\"user_id\" = 'ann' AND \"device_id\" <> 'ring'",
        )
    ),
    # functions of rows and of groups
    f"SELECT moving_average(mean(value), 2) FROM heart_rate WHERE {ANN} GROUP BY time(30m)",
    f"SELECT moving_average(mean(value), 3) FROM heart_rate WHERE {ANN} GROUP BY time(5m)",
    f"SELECT moving_average(mean(value), 2) FROM heart_rate WHERE {LATER} GROUP BY time(15m)",
    f"SELECT moving_average(value, 4) FROM heart_rate WHERE {SHORT}",
    f"SELECT derivative(mean(value), 1m) FROM heart_rate WHERE {LATER} GROUP BY time(10m) fill(0)",
    f"SELECT derivative(mean(value)) FROM heart_rate WHERE {ANN} GROUP BY time(30m)",
    f"SELECT derivative(value) FROM heart_rate WHERE {SHORT}",
    f"SELECT derivative(value, 1m), difference(value) FROM heart_rate WHERE {SHORT} LIMIT 5",
    f"SELECT non_negative_derivative(value, 10s) FROM heart_rate WHERE {SHORT}",
    f"SELECT non_negative_difference(max(value)) FROM heart_rate WHERE {ANN} GROUP BY time(20m)",
    f"SELECT difference(mean(value)), mean(value) FROM heart_rate WHERE {ANN} GROUP BY time(1h)",
    f"SELECT cumulative_sum(count(value)) FROM heart_rate WHERE {ANN} GROUP BY time(1h)",
    f"SELECT cumulative_sum(value) FROM heart_rate WHERE {SHORT}",
    f"SELECT elapsed(value, 1s) FROM heart_rate WHERE {SHORT}",
    f"SELECT moving_average(mean(value), 2) * 2 FROM heart_rate WHERE {ANN} GROUP BY time(1h)",
    # statements of statements
    f"SELECT mean(m) FROM (SELECT max(value) AS m FROM heart_rate WHERE {HOURS} GROUP BY time(1h), device_id)",
    f"SELECT m FROM (SELECT mean(value) AS m FROM heart_rate WHERE {ANN} GROUP BY time(10m) fill(null)) WHERE m > 68",
    f"SELECT m FROM (SELECT mean(value) AS m FROM heart_rate WHERE {ANN} GROUP BY time(1h)) WHERE m <= 68 OR m > 72",
    f"SELECT max(m) FROM (SELECT mean(value) AS m FROM heart_rate WHERE {ANN} GROUP BY time(10m))",
    "SELECT mean(mean) FROM (SELECT mean(value) FROM heart_rate GROUP BY time(1h), user_id) "
    f"WHERE {HOURS} GROUP BY time(2h), user_id",
    f"SELECT count(value) FROM (SELECT value FROM heart_rate WHERE {ANN} AND value > 70)",
    f"SELECT m, user_id FROM (SELECT mean(value) AS m FROM heart_rate WHERE {HOURS} GROUP BY user_id)",
    f"SELECT derivative(m, 1h) FROM (SELECT max(value) AS m FROM heart_rate WHERE {ANN} GROUP BY time(1h))",
    # lists
    "SHOW MEASUREMENTS",
    "SHOW MEASUREMENTS WITH MEASUREMENT = heart_rate",
    "SHOW MEASUREMENTS WITH MEASUREMENT =~ /oxy/",
    "SHOW TAG KEYS FROM heart_rate",
    "SHOW TAG VALUES FROM heart_rate WITH KEY = device_id",
    "SHOW TAG VALUES FROM heart_rate WITH KEY = \"user_id\" WHERE device_id = 'ring'",
    "SHOW TAG VALUES FROM heart_rate WITH KEY IN (user_id, nope)",
    "SHOW TAG VALUES FROM heart_rate WITH KEY =~ /user/ LIMIT 1",
    "SHOW RETENTION POLICIES",
    "SHOW RETENTION POLICIES ON points",
]


def same(ours: Any, theirs: Any) -> bool:
    """Whether two answers are the same, but for the last digits of what was worked out."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return bool(ours == theirs)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_answers_are_the_same(ours: Ours, influxdb: InfluxDB, statement: str) -> None:
    theirs = influxdb.json(statement)
    assert "error" not in theirs
    assert same(found := ours.json(statement), theirs), f"{found}\n{theirs}"


@pytest.mark.parametrize("epoch", ["ns", "u", "ms", "s", "m", "h"])
def test_times_are_numbers_of_the_same_unit(ours: Ours, influxdb: InfluxDB, epoch: Any) -> None:
    statement = f"SELECT value FROM heart_rate WHERE {ANN} LIMIT 3; SELECT mean(value) FROM heart_rate GROUP BY user_id"
    assert same(ours.json(statement, AnswerForm(epoch)), influxdb.json(statement, epoch=epoch))


def test_csv_and_chunks_are_the_same(ours: Ours, influxdb: InfluxDB) -> None:
    statement = (
        f"SELECT value, device_id FROM heart_rate WHERE {ANN} LIMIT 3;"
        f"SELECT count(value) FROM heart_rate WHERE {HOURS} GROUP BY time(3h), user_id;"
        "SHOW TAG VALUES FROM heart_rate WITH KEY = device_id"
    )
    assert ours.csv(statement) == influxdb.text(statement, "application/csv")
    assert ours.csv(statement, AnswerForm("s")) == influxdb.text(statement, "application/csv", epoch="s")
    whole = influxdb.text(statement, "application/json", pretty="true")
    assert same(json.loads(as_json(ours.answers(statement), AnswerForm(pretty=True))), json.loads(whole))
    chunks = influxdb.text(statement, "application/json", chunked="true", chunk_size="2").splitlines()
    pieces = as_json(ours.answers(statement), AnswerForm(chunk_rows=2)).splitlines()
    assert len(chunks) == len(pieces)
    assert all(same(json.loads(piece), json.loads(chunk)) for piece, chunk in zip(pieces, chunks, strict=True))
