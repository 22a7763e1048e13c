"""Tables of another program, on a real server, by the command."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import execute, plain_postgres
from tests.support.process import Place

#: 2024-03-31 02:00 does not exist in Berlin; in summer the clock is two hours ahead, before that one.
TABLES = """
CREATE TABLE users (id integer PRIMARY KEY, name varchar, gender varchar, age integer);
CREATE TABLE heart_rates (
    id integer PRIMARY KEY, user_id integer REFERENCES users (id), timestamp timestamp, heart_rate double precision
);
INSERT INTO users VALUES (1, 'Ann', 'female', 40), (2, NULL, 'unknown', 300), (3, 'Cid', 'male', NULL);
INSERT INTO heart_rates VALUES
    (10, 1, '2024-03-31 03:30', 61.25), (11, 1, '2024-03-31 01:30', 70), (9, 1, '2024-03-31 03:30', 99),
    (12, 2, '2024-03-31 12:00', 80), (13, 2, '2024-03-31 12:01', 300), (14, NULL, NULL, 80),
    (15, 2, 'infinity', 80), (16, 2, '2024-03-31 12:02', NULL), (17, 2, '0044-03-15 BC', 80),
    (18, 2, '9999-12-31 23:59', 80), (19, 2, '290000-01-01', 80);
"""
ROWS = "SELECT user_id, device_id, timestamp::VARCHAR AS t, value FROM activities_heart_intraday ORDER BY ALL"


@pytest.fixture
def url() -> str:
    """A new database that holds nothing."""
    return plain_postgres().bare_database()


def stored(place: Place, statement: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in place.run("sql", statement, "--format", "json").stdout.splitlines()]


def test_people_and_readings_of_a_database_come_in_and_are_one_import(url: str, tmp_path: Path) -> None:
    execute(url, TABLES)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    place = Place(tmp_path)
    arguments = ("import", url, "--tz", "Europe/Berlin", "--age-on", "2024-07-01", "--rejects", "rejects.ndjson")
    done = place.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        f"{name}: 3 people stored",
        "  row 2: gender: must be one of female, male, other",
        "  row 2: age: must be 0–150 years",
        "heart_rates: 11 read, 3 written, 1 repeated, 7 rejected, 2024-03-31",
        "  row 13: heart_rate: out of range 30–220",
        "  row 14: user_id: is required",
        "  row 15: timestamp: is required",
        "  row 16: heart_rate: is required",
        "  row 17: timestamp: is before 1970-01-01T00:00:00Z",
        "  row 18: timestamp: is after the year 2199; check the unit it was written in",
        "  row 19: timestamp: is after the year 2199; check the unit it was written in",
    ):
        assert line in done.stdout.splitlines(), done.stdout
    assert len((tmp_path / "rejects.ndjson").read_text().splitlines()) == 9
    expected = [
        {"user_id": "1", "device_id": "heart_rates", "t": "2024-03-31 00:30:00", "value": 70},
        {"user_id": "1", "device_id": "heart_rates", "t": "2024-03-31 01:30:00", "value": 61.25},
        {"user_id": "2", "device_id": "heart_rates", "t": "2024-03-31 10:00:00", "value": 80},
    ]
    found = [row | {"t": str(row["t"])[:19]} for row in stored(place, ROWS)]
    assert found == expected
    shown = place.run("users", "show", "1").stdout
    assert "Ann" in shown
    assert "1984-07-01" in shown
    assert place.run(*arguments).returncode == 0
    assert len(stored(place, ROWS)) == 3
    # The second import found everything there: it owns nothing, so its undoing takes nothing.
    assert place.run("imports", "undo", "3").stdout.startswith("0 readings removed")
    assert place.run("imports", "undo", "2").stdout.startswith("3 readings removed")


def test_many_rows_come_block_after_block(url: str, tmp_path: Path) -> None:
    execute(url, TABLES)
    execute(
        url,
        "ALTER TABLE heart_rates ALTER timestamp TYPE timestamptz, ALTER heart_rate TYPE numeric; "
        "TRUNCATE heart_rates; INSERT INTO heart_rates "
        "SELECT n, 1 + n % 3, TIMESTAMPTZ '2024-01-01Z' + n * INTERVAL '1 second', 60 + n % 100 "
        "FROM generate_series(1, 250000) AS n",
    )
    place = Place(tmp_path)
    done = place.run("import", url, "--device", "clinic", "--tz", "Europe/Berlin")
    said = "heart_rates: 250,000 read, 250,000 written, 0 rejected, 2024-01-01 to 2024-01-03"
    assert said in done.stdout.splitlines(), done.stdout
    counted = stored(
        place,
        "SELECT count(*) AS n, sum(value)::BIGINT AS sum, min(device_id) AS device, max(timestamp)::VARCHAR AS last "
        "FROM activities_heart_intraday",
    )
    assert counted[0] | {"last": str(counted[0]["last"])[:19]} == {
        "n": 250_000,
        "sum": sum(60 + n % 100 for n in range(1, 250_001)),
        "device": "clinic",
        "last": "2024-01-03 21:26:40",
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DROP TABLE heart_rates", "the database has no table heart_rates"),
        ("ALTER TABLE users DROP age", "the table users differs: its column age is missing, not smallint or"),
        (
            "ALTER TABLE heart_rates ALTER timestamp TYPE text",
            "the table heart_rates differs: its column timestamp is text, not timestamp without time zone or",
        ),
        ("DROP TABLE users CASCADE; CREATE SCHEMA pulsebase; CREATE TABLE pulsebase.migrations ()", "pulsebase copy"),
    ],
)
def test_other_tables_are_refused_by_the_difference(url: str, tmp_path: Path, change: str, named: str) -> None:
    execute(url, TABLES)
    execute(url, change)
    assert named in Place(tmp_path).refusal("import", url)


def test_what_cannot_be_asked_is_said_without_the_password(tmp_path: Path) -> None:
    place = Place(tmp_path)
    refused = place.refusal("import", "postgresql://nobody:secret@127.0.0.1:1/clinic")
    assert "the database cannot be reached" in refused
    assert "secret" not in refused
    assert "--age-on" in place.refusal("import", "postgresql://nobody@127.0.0.1:1/clinic", "--age-on", "soon")
