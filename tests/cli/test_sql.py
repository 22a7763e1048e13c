"""`pulsebase sql`: people's own questions, with a server on the store and without one."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from pulsebase.cli.session import session
from pulsebase.settings import Settings
from tests.cli.files import ISO_ROWS, US_ROWS
from tests.support.process import Place

IMPORTED = len(ISO_ROWS) + len(US_ROWS)


def rows(place: Place, statement: str, **environment: str) -> list[dict[str, object]]:
    done = place.run("sql", statement, "--format", "json", **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tables_and_views_hold_what_was_stored(stocked: Place) -> None:
    assert rows(stocked, "SELECT count(*) AS n FROM readings") == [{"n": IMPORTED}]
    first = rows(stocked, "SELECT * FROM activities_heart_intraday WHERE user_id = '8' ORDER BY timestamp LIMIT 1")
    assert first == [
        {"timestamp": "2016-04-12 21:00:00", "value": 80.0, "user_id": "8", "device_id": "csv", "confidence": None}
    ]
    average = sum(bpm for _, bpm in US_ROWS) / len(US_ROWS)
    rollup = {"user_id": "8", "min_heart_rate": 80.0, "max_heart_rate": 82.0, "avg_heart_rate": average}
    hours = rows(stocked, "SELECT * FROM activities_heart_intraday_1h WHERE user_id = '8'")
    assert hours == [rollup | {"hour": "2016-04-12 21:00:00", "record_count": 60}]
    days = rows(stocked, "FROM activities_heart_intraday_1d WHERE user_id = '8'")
    assert days == [rollup | {"day": "2016-04-12 00:00:00", "record_count": 60}]


def test_answers_come_as_a_table_csv_or_json(stocked: Place) -> None:
    statement = 'SELECT \'a,"b"\' AS "[red]name", NULL AS nothing, [1, 2] AS list, 1.5 AS number, 2 AS number'
    shown = stocked.run("sql", statement).stdout
    assert all(text in shown for text in ("[red]name", 'a,"b"', "[1, 2]", "1.5", "1 rows"))
    lines = list(csv.reader(io.StringIO(stocked.run("sql", statement, "--format", "csv").stdout)))
    assert lines == [["[red]name", "nothing", "list", "number", "number"], ['a,"b"', "", "[1, 2]", "1.5", "2"]]
    assert rows(stocked, "SELECT 1 AS one UNION ALL SELECT 2 ORDER BY one") == [{"one": 1}, {"one": 2}]
    assert "--format must be" in stocked.refusal("sql", "SELECT 1", "--format", "xml").replace(":", "")


def test_values_that_python_cannot_hold_are_shown_all_the_same(stocked: Place) -> None:
    found = rows(stocked, "SELECT TIMESTAMP_NS '2024-01-01 00:00:00.000000001' AS fine, 'infinity'::TIMESTAMP AS far")
    assert str(found[0]["fine"]).endswith("00.000000001")


@pytest.mark.parametrize(
    "statement",
    [
        "EXPLAIN SELECT * FROM h1",
        "EXPLAIN ANALYZE SELECT count(*) FROM h1",
        "DESCRIBE readings",
        "SHOW TABLES",
        "SUMMARIZE h1",
        "FROM readings",
        "WITH two AS (SELECT 2 AS n) SELECT n + 1 FROM two; -- done",
    ],
)
def test_explain_describe_and_with_are_questions_too(asked: Callable[[str], httpx.Response], statement: str) -> None:
    assert asked(statement).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM readings",
        "UPDATE readings SET v = 0",
        "INSERT INTO meta VALUES ('a', 'b')",
        "WITH gone AS (SELECT 1) DELETE FROM readings",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "DROP TABLE readings",
        "EXPLAIN ANALYZE DELETE FROM readings",
        "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE readings",
        "PRAGMA database_list",
        "SET memory_limit = '10GB'",
        "ATTACH 'other.duckdb'",
        "COPY readings TO 'stolen.csv'",
        "EXPLAIN ANALYZE COPY readings TO 'stolen.csv'",
        "EXPORT DATABASE 'stolen'",
        "CHECKPOINT",
        "BEGIN",
        "COMMIT",
        "LOAD json",
        "INSTALL httpfs",
        "CALL pragma_version()",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('iso.csv')",
        "SELECT * FROM 'iso.csv'",
        "SELECT * FROM glob('*')",
        "SELECT * FROM statement",
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT ?",
        "SELECT 'a'::INTEGER",
        ";",
        "-- nothing",
    ],
)
def test_what_does_not_only_read_is_refused(asked: Callable[[str], httpx.Response], statement: str) -> None:
    answer = asked(statement)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == ["statement"]
    assert asked("SELECT * FROM readings").status_code == 200
    assert not Path("stolen.csv").exists()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], httpx.Response]]:
    """Asks the route that the command asks, of a store that this process has opened."""
    url = f"duckdb:///{tmp_path_factory.mktemp('asked')}/store.duckdb"
    with session(Settings(_env_file=None, store_url=url)) as client:
        yield lambda statement: client.post("/v1/admin/sql", json={"statement": statement})


def test_a_refusal_is_one_line_and_changes_nothing(stocked: Place) -> None:
    said = stocked.refusal("sql", "DELETE FROM readings")
    assert said == "pulsebase: statement: must be one statement that only reads, such as SELECT"
    assert stocked.refusal("sql", "SELEC 1").startswith("pulsebase: statement: Parser Error: ")
    assert rows(stocked, "SELECT count(*) AS n FROM readings") == [{"n": IMPORTED}]
    assert stocked.run("check").returncode == 0


def test_rows_and_time_are_limited(tmp_path: Path) -> None:
    place = Place(tmp_path / "limited", max_rows="1000", query_timeout_s="0.5")
    assert len(rows(place, "SELECT * FROM range(1000)")) == 1000
    said = place.refusal("sql", "SELECT * FROM range(1001)")
    assert said == "pulsebase: statement: the answer has more than 1000 rows; add a LIMIT"
    began = time.monotonic()
    assert "time limit" in place.refusal("sql", "SELECT * FROM range(100000000000) WHERE hash(range) = 0")
    assert time.monotonic() - began < 20
