"""The cluster of the tests itself: rows lie where they should, answers are whole, and a dead shard is an error."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.support.clickhouse.cluster import CLUSTER, GIVEN_URL, Cluster, two_shards
from tests.support.needs import need

COLUMNS = (
    "person UInt64, n Int64, name String, note Nullable(String), marks Array(Tuple(UInt8, String)), at DateTime64(6)"
)
ROWS = (
    "SELECT number % 7, number, concat('n', toString(number)), if(number % 3, NULL, 'é ''quoted'''), "
    "arrayMap(x -> (x, toString(x)), range(number % 4)), toDateTime64(number, 6) FROM numbers({})"
)
AT_ONCE = {"distributed_foreground_insert": 1}
WHOLE = {"distributed_group_by_no_merge": 1, "optimize_skip_unused_shards": 1}


@pytest.fixture
def cluster() -> Cluster:
    need(GIVEN_URL not in os.environ, "the cluster of the tests, which it is about")
    return two_shards()


@pytest.fixture
def clients(cluster: Cluster) -> Iterator[list[Client]]:
    """A client of each shard, in a database with the tables `rows` (of the shard), `everywhere`, and `alone`, which no
    other shard knows of.
    """
    database = cluster.new_database()
    clients = [shard.client(database=database) for shard in cluster.shards]
    for client in clients:
        for table in ("rows", "alone"):
            client.command(f"CREATE TABLE {table} ({COLUMNS}) ENGINE = MergeTree ORDER BY (person, n)")
        client.command(f"CREATE TABLE everywhere AS rows ENGINE = Distributed('{CLUSTER}', {database}, rows, person)")
    yield clients
    for client in clients:
        client.command(f"DROP DATABASE {database}")
        client.close()


def fill(client: Client, table: str, rows: int) -> None:
    client.command(f"INSERT INTO {table} {ROWS.format(rows)}", settings=AT_ONCE)


def ask(client: Client, question: str) -> list[tuple[object, ...]]:
    return sorted((tuple(row) for row in client.query(question, settings=WHOLE).result_rows), key=repr)


def test_rows_lie_on_the_shards_of_their_people(clients: list[Client]) -> None:
    fill(clients[0], "everywhere", 700)
    there = [ask(client, "SELECT person, count() AS n FROM rows GROUP BY person") for client in clients]
    assert there == [[(0, 100), (2, 100), (4, 100), (6, 100)], [(1, 100), (3, 100), (5, 100)]]


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM {} WHERE person = 3",
        "SELECT * FROM {}",
        "SELECT person, count() AS rows, sum(n) AS sum FROM {} GROUP BY person",
        "SELECT person, argMax(name, n) AS l, groupArraySorted(3)(at) AS f FROM {} GROUP BY person HAVING l > ''",
        "SELECT note, marks FROM {} WHERE n IN (3, 6, 7)",
    ],
)
def test_answers_of_all_shards_are_those_of_one_table(clients: list[Client], question: str) -> None:
    for table in ("everywhere", "alone"):
        fill(clients[0], table, 500)
    expected = ask(clients[0], question.format("alone"))
    assert expected
    assert [ask(client, question.format("everywhere")) for client in clients] == [expected, expected]


def test_a_question_about_one_person_asks_one_shard(cluster: Cluster, clients: list[Client]) -> None:
    before = [len(shard.asked()) for shard in cluster.shards]
    ask(clients[0], "SELECT n FROM everywhere WHERE person = 2")  # its own
    assert [len(shard.asked()) for shard in cluster.shards] == before
    ask(clients[0], "SELECT n FROM everywhere WHERE person = 3")
    assert [len(shard.asked()) for shard in cluster.shards] == [before[0], before[1] + 1]


def test_an_answer_in_part_is_refused(clients: list[Client]) -> None:
    with pytest.raises(DatabaseError, match="NOT_IMPLEMENTED"):
        clients[0].query("SELECT sum(n) AS s FROM everywhere")


def test_an_error_of_the_other_shard_is_told_and_the_connection_goes_on(clients: list[Client]) -> None:
    for client in clients:
        client.command("ALTER TABLE rows ADD CONSTRAINT small CHECK n < 100")
    with pytest.raises(DatabaseError, match="VIOLATED_CONSTRAINT"):
        clients[0].command("INSERT INTO everywhere (person, n) SELECT 1, 100", settings=AT_ONCE)
    fill(clients[0], "everywhere", 10)
    with pytest.raises(DatabaseError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        ask(clients[0], "SELECT throwIf(n = 1) AS thrown FROM everywhere WHERE person = 1")
    assert len(ask(clients[0], "SELECT n FROM everywhere WHERE person IN (1, 3, 5)")) == 4


def test_a_dead_shard_is_an_error_at_once_and_comes_back_with_its_rows(cluster: Cluster, clients: list[Client]) -> None:
    fill(clients[0], "everywhere", 70)
    cluster.shards[1].kill()
    try:
        begun = time.monotonic()
        with pytest.raises(DatabaseError, match="ALL_CONNECTION_TRIES_FAILED"):
            ask(clients[0], "SELECT n FROM everywhere")
        with pytest.raises(DatabaseError, match="ALL_CONNECTION_TRIES_FAILED"):
            fill(clients[0], "everywhere", 70)
        assert time.monotonic() - begun < 20  # far below any time limit: nobody waited for the dead
        assert len(ask(clients[0], "SELECT n FROM everywhere WHERE person = 2")) > 0
    finally:
        cluster.shards[1].start()
    assert len(ask(clients[0], "SELECT n FROM everywhere WHERE person IN (1, 3, 5)")) == 30


def test_values_and_columns_pass_by_http(clients: list[Client]) -> None:
    asked = {"text": "it's a \\ tab\t and é {x}", "numbers": [1, 2]}
    answer = clients[0].query("SELECT {text:String} AS t, {numbers:Array(UInt8)} AS n", parameters=asked)
    assert answer.result_rows == [(asked["text"], asked["numbers"])]
    fill(clients[0], "alone", 100)
    table = clients[0].query_arrow("SELECT person, n FROM alone WHERE n < 50")
    clients[0].insert_arrow("rows", table.append_column("name", [["x"] * 50]))
    assert ask(clients[0], "SELECT count() AS n FROM rows WHERE name = 'x'") == [(50,)]
