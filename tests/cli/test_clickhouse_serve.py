"""Two servers over a cluster, as processes that are killed, and a program that opens the same store."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulsebase
from pulsebase.model.errors import StopError
from tests.stores.harness import rows_of
from tests.support.clickhouse.store import Urls, new_store
from tests.support.load import Client, Load
from tests.support.process import Place, serving, wait_until

#: They have different numbers, and so lie on both shards.
PEOPLE = [f"person-{number}" for number in range(4)]


@pytest.fixture
def urls() -> Urls:
    return new_store()


def place_of(folder: Path, urls: Urls) -> Place:
    place = Place(folder, store_url=urls.postgres, clickhouse_url=urls.cluster, pool_size="1")
    place.environment["XDG_DATA_HOME"] = str(folder.parent)
    return place


def test_a_server_that_is_killed_loses_nothing_and_another_goes_on(tmp_path: Path, urls: Urls) -> None:
    places = [place_of(tmp_path / name, urls) for name in ("one", "two")]
    clients = [Client(user_id, seed) for seed, user_id in enumerate(PEOPLE)]
    with serving(places[0]) as killed, serving(places[1]) as other:
        load = Load(clients[:2], killed.url)
        wait_until(lambda: all(client.answers > 4 for client in clients[:2]), "the one answers")
        on = Load(clients[2:], other.url)
        wait_until(lambda: all(client.answers > 2 for client in clients[2:]), "the other answers")
        killed.kill()
        load.join()
        before = [client.answers for client in clients[2:]]
        wait_until(lambda: all(c.answers > n for c, n in zip(clients[2:], before, strict=True)), "the other goes on")
        for client in clients[:2]:  # who go over to the other; what was in flight is there or not, as a whole
            client.settle(other.raw(client.user_id))
        over = Load(clients[:2], other.url)
        before = [client.answers for client in clients]
        wait_until(lambda: all(c.answers > n for c, n in zip(clients, before, strict=True)), "all are answered")
        other.kill()
        for each in (on, over):
            each.join()
    done = places[1].run("check")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "The store is sound." in done.stdout
    with pulsebase.open_store(urls.postgres, clickhouse_url=urls.cluster) as library:
        found: dict[str, dict[int, float]] = {user_id: {} for user_id in PEOPLE}
        for user_id, _, time_us, value, *_ in rows_of(library.store.stored()):
            found[user_id][time_us] = value / 100
        for client in clients:
            client.settle(found[client.user_id])
            assert client.refusals == []


def test_a_program_opens_the_store_or_is_told_what_is_missing(urls: Urls) -> None:
    with pytest.raises(StopError, match="PULSEBASE_CLICKHOUSE_URL has to name it, or in a program clickhouse_url"):
        pulsebase.open_store(urls.postgres)
    with pytest.raises(StopError, match="cluster needs"):
        pulsebase.open_store(urls.postgres, clickhouse_url="clickhouse://127.0.0.1/x")
    with pytest.raises(StopError, match="needs PULSEBASE_STORE_URL=postgresql"):
        pulsebase.open_store("memory://", clickhouse_url=urls.cluster)
