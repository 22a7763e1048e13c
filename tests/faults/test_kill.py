"""The server dies at any moment: everything acknowledged is there at the next start, and nothing by halves."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.load import Client, Load
from tests.support.process import Place, Server, serving, wait_until

#: A start takes most of a round. `test_merge_kill` covers each step; here it is a whole server under load.
ROUNDS = 12


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Merges run all the time, so that some of them are hit too."""
    return Place(tmp_path, merge_interval_s="0.02", merge_readings="500")


def people(seed: int) -> list[Client]:
    return [Client(f"person-{number}", seed + number) for number in range(4)]


def settle(server: Server, clients: Sequence[Client]) -> None:
    for client in clients:
        client.settle(server.raw(client.user_id))


def busy(clients: Sequence[Client], answers: int) -> bool:
    return all(client.answers >= answers for client in clients)


def test_kills_at_random_moments_lose_nothing_acknowledged(place: Place) -> None:
    clients, moments = people(seed=1), random.Random(7)
    for _ in range(ROUNDS):
        with serving(place) as server:
            settle(server, clients)
            answers = [client.answers for client in clients]
            load = Load(clients, server.url)
            wait_until(
                lambda before=answers: all(c.answers > b for c, b in zip(clients, before, strict=True)), "answers"
            )
            time.sleep(moments.uniform(0, 0.25))
            server.kill()
            load.join()
    with serving(place) as server:
        settle(server, clients)
        assert [client.refusals for client in clients] == [[]] * len(clients)
        assert server.stop() == 0
    assert "The store is sound." in place.run("check").stdout


def test_a_stop_in_the_middle_of_a_load_answers_what_it_has_and_keeps_it(place: Place) -> None:
    clients = people(seed=100)
    with serving(place) as server:
        load = Load(clients, server.url)
        wait_until(lambda: busy(clients, 5), "answers")
        assert server.stop() == 0
        load.join()
        assert server.errors == ""
        assert "Stopping" in (place.folder / "server.out").read_text()
    assert all("shutting down" in refusal for client in clients for refusal in client.refusals)
    with serving(place) as server:
        settle(server, clients)
