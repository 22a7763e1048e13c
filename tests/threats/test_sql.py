"""Somebody whose SQL is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.model.errors import RejectedError
from pulsebase.model.readings import ReadingBatch
from pulsebase.stores.duckdb.store import DuckdbStore

READING = (
    "SELECT count(*) FROM activities_heart_intraday",
    "WITH a AS (SELECT * FROM activities_heart_intraday_1d) SELECT user_id, max(max_heart_rate) FROM a GROUP BY ALL",
    "SELECT row_number() OVER (ORDER BY timestamp), lag(value) OVER (ORDER BY timestamp), timestamp::DATE, "
    "date_trunc('hour', timestamp), strftime(timestamp, '%Y'), time_bucket(INTERVAL 1 HOUR, timestamp), "
    "extract(year FROM timestamp), [x + 1 FOR x IN [1, 2]], {'a': 1}, upper(user_id), user_id LIKE 'a%', "
    "value % 7, CASE WHEN value BETWEEN 1 AND 2 THEN 1 END, timestamp AT TIME ZONE 'UTC', random() "
    "FROM activities_heart_intraday",
    "SELECT quantile_cont(value, 0.5), histogram(value), count(*) FILTER (WHERE value > 60), "
    "string_agg(user_id, ',' ORDER BY user_id), arg_max(user_id, value) FROM activities_heart_intraday",
    "FROM activities_heart_intraday_1h",
    "VALUES (1)",
    "SELECT * FROM range(3), unnest([1, 2])",
    "EXPLAIN SELECT * FROM activities_heart_intraday",
    "EXPLAIN ANALYZE SELECT count(*) FROM activities_heart_intraday",
    "DESCRIBE activities_heart_intraday",
    "SUMMARIZE activities_heart_intraday",
    "SHOW TABLES",
)
#: `{store}` is the database's own file, which the engine may open.
DOING_MORE = (
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{store}'",
    "EXPLAIN /* reads */ ANALYZE COPY (SELECT 1) TO '{store}'",
    "EXPLAIN ANALYZE (FORMAT json) COPY (SELECT 1) TO '{store}'",
    "COPY (SELECT 1) TO '{store}'",
    "EXPLAIN ANALYZE DELETE FROM users",
    "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
    "SELECT * FROM checkpoint()",
    "SELECT checkpoint()",
    "CALL checkpoint()",
    "FROM force_checkpoint()",
    "FROM enable_logging()",
    "FROM enable_profiling()",
    "SELECT write_log('x')",
    "SELECT nextval('s')",
    "SELECT sleep_ms(10000)",
    "FROM query('SELECT * FROM checkpoint()')",
    "FROM query_table('users')",
    "SELECT (SELECT count(*) FROM read_text('/etc/passwd'))",
    "FROM read_blob('{store}')",
    "FROM read_duckdb('{store}')",
    "FROM glob('/*')",
    "FROM sniff_csv('{store}')",
    "FROM duckdb_secrets()",
    "FROM json_execute_serialized_sql('x')",
    "SELECT 1; DROP TABLE users",
    "SET threads = 1",
    "PRAGMA database_size",
    "ATTACH '{store}.other'",
    "INSTALL httpfs",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    opened = DuckdbStore(tmp_path / "pulse.duckdb")
    opened.write([ReadingBatch.of_columns(["ann"], ["a"], [1], [7000], None, 0)])
    yield opened
    opened.close()


@pytest.mark.parametrize("statement", READING)
def test_statements_that_read_are_answered(store: DuckdbStore, statement: str) -> None:
    assert store.select(statement, 10_000, 30).num_rows > 0


@pytest.mark.parametrize("statement", DOING_MORE)
def test_statements_that_do_more_are_refused_and_change_nothing(
    store: DuckdbStore, tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "pulse.duckdb"
    before = path.read_bytes()
    with pytest.raises(RejectedError):
        store.select(statement.format(store=path), 10_000, 30)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir() if ".other" in each.name) == []
    assert store.select("SELECT count(*) AS n FROM users", 10, 30)["n"].to_pylist() == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT repeat('a', 3000000000)",
        "SELECT length('a'.repeat(3e9))",
        "SELECT repeat('a', 3000000000::BIGINT)",
        "SELECT repeat('a', value::BIGINT * 1000000) FROM activities_heart_intraday",
        "SELECT repeat(s, 1000) FROM (SELECT repeat('a', 1000) AS s)",
        "SELECT lpad('a', 2000000000, 'b')",
        "SELECT RPAD('a', 100001, 'b')",
        "SELECT list_resize([1], 1000000000)",
        "SELECT [array_resize([1], 1000000000)]",
        "EXPLAIN ANALYZE SELECT main.repeat('a', 3000000000)",
    ],
)
def test_one_value_that_would_outlive_the_time_limit_is_refused(store: DuckdbStore, statement: str) -> None:
    with pytest.raises(RejectedError, match="without a plain number up to 100,000, in all"):
        store.select(statement, 10, 30)


def test_values_of_a_moderate_length_are_made(store: DuckdbStore) -> None:
    statement = (
        "SELECT length(repeat('a', 1000)) AS a, length(repeat('b', 100)) AS b, lpad('7', 2, '0') AS c, "
        "len(list_resize([1], 5)) AS d, repeat('a', -1) AS e, (SELECT count(*) FROM repeat('a', 200000)) AS f"
    )
    (row,) = store.select(statement, 10, 30).to_pylist()
    assert row == {"a": 1000, "b": 100, "c": "07", "d": 5, "e": "", "f": 200_000}


def test_a_file_is_no_table(store: DuckdbStore, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(RejectedError):
        store.select(f"SELECT * FROM '{tmp_path / 'secret.csv'}'", 10, 30)
    secret = [1]
    with pytest.raises(RejectedError):
        store.select("SELECT * FROM secret", 10, 30)
    assert secret == [1]
