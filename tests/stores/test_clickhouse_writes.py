"""Writes by known numbers, afresh and behind the horizon, and origins that are removed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pulsebase.model.metrics import HEART_RATE
from pulsebase.stores.clickhouse import commits
from tests.stores.clickhouse import IMPORTED, PUSHED, SYNCED, Parts, empty_store, opened
from tests.stores.harness import Kept, Reading, at, batch_of
from tests.support.postgres import execute

TEN = at("2024-01-15T10:00:00")
SECOND = 1_000_000


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(empty_store()) as found:
        yield found


def numbers(parts: Parts) -> dict[str, int]:
    """The number of everybody."""
    asked = "SELECT user_id, user_no FROM pulsebase.users"
    return parts.database.read(lambda connection: dict(connection.execute(asked).fetchall()))


def test_whoever_was_removed_comes_again_under_another_number_by_a_writer_that_knew_the_first(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000, user_id="ann"), Reading(TEN, 7000, user_id="bob"))
    before = numbers(parts)
    execute(parts.urls.postgres, "DELETE FROM pulsebase.devices WHERE user_id = 'ann'")
    execute(parts.urls.postgres, "DELETE FROM pulsebase.users WHERE user_id = 'ann'")
    parts.write(Reading(TEN + SECOND, 7100, user_id="ann"), Reading(TEN + SECOND, 7100, user_id="bob"))
    after = numbers(parts)
    assert after["bob"] == before["bob"]
    assert after["ann"] not in before.values()
    assert [value for _, value, *_ in parts.read("ann")] == [7100]
    assert [value for _, value, *_ in parts.read("bob")] == [7000, 7100]
    state = parts.database.read(commits.snapshot)
    assert (state.last, state.hidden) == (2, ()), "the number that was taken for nobody was given back"


def test_readings_before_the_horizon_are_left_out_also_by_a_writer_that_does_not_know_it_yet(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000))
    execute(parts.urls.postgres, "UPDATE pulsebase.horizon SET start_at = '2024-01-15T10:00:01Z'")
    for _ in range(2):
        parts.write(Reading(TEN, 7100), Reading(TEN + SECOND, 7200))
    parts.write(Reading(TEN, 7100))
    parts.write(Reading(TEN, 7100, user_id="bob"), Reading(TEN + SECOND, 7100, user_id="cleo"))
    parts.write(Reading(TEN, 7100, user_id="dora"))
    assert [value for _, value, *_ in parts.read("ann")] == [7000, 7200], "questions see what was there for a while"
    assert [value for _, value, *_ in parts.read("cleo")] == [7100]
    assert numbers(parts).keys() == {"ann", "cleo"}
    assert parts.staged() == 4


def test_readings_that_are_written_afresh_get_the_origin_of_their_first_row(parts: Parts) -> None:
    def afresh(*rows: tuple[int, int]) -> None:
        batches = [batch_of([Reading(TEN, value)], origin, HEART_RATE.name) for value, origin in rows]
        parts.writer.write(batches, {PUSHED}, afresh=True)
        parts.merge()

    parts.write(Reading(TEN, 7000), origin=SYNCED)
    afresh((7000, IMPORTED))
    assert parts.origins() == [IMPORTED]
    afresh((7000, SYNCED), (7000, IMPORTED))
    assert parts.origins() == [SYNCED]
    afresh((7000, IMPORTED), (7000, PUSHED))
    assert parts.origins() == [PUSHED]
    afresh((7000, IMPORTED), (7100, SYNCED))
    assert parts.origins() == [SYNCED]


def test_the_origins_by_which_devices_push_are_looked_up(parts: Parts) -> None:
    def write(origin: int) -> None:
        parts.writer.write([batch_of([Reading(TEN, 7000)], origin, HEART_RATE.name)])

    write(SYNCED)  # which has no row of its own yet
    execute(parts.urls.postgres, f"INSERT INTO pulsebase.origins (origin, kind, name) VALUES ({PUSHED}, 'push', 'p')")
    execute(parts.urls.postgres, f"INSERT INTO pulsebase.origins (origin, kind, name) VALUES ({IMPORTED}, 'file', 'f')")
    write(IMPORTED)
    parts.merge()
    assert parts.origins() == [SYNCED]
    write(PUSHED)
    parts.merge()
    assert parts.origins() == [PUSHED]


@pytest.mark.parametrize("seed", range(2))
def test_an_origin_goes_step_by_step_with_what_is_stored_under_it(parts: Parts, seed: int) -> None:
    dice, kept = random.Random(seed), Kept({PUSHED})
    for _ in range(16):
        origin = dice.choice([PUSHED, SYNCED, IMPORTED])
        rows = [
            Reading(TEN + dice.randrange(8) * SECOND, 7000 + dice.randrange(2), "a", None, dice.choice(["ann", "bob"]))
            for _ in range(dice.randrange(1, 8))
        ]
        parts.write(*rows, origin=origin)
        for row in rows:
            kept.add((row.user_id, row.device_id, row.time_us, HEART_RATE.name), row.value, None, origin)
        if dice.random() < 0.3:
            parts.merge()
    doomed = [row for row in kept.rows() if row[6] == SYNCED]
    assert doomed
    counts: list[int] = []
    while counts[-1:] != [0]:
        counts.append(parts.writer.delete_origin(SYNCED, 2))
        if dice.random() < 0.3:
            parts.merge()
    assert sum(counts) == len(doomed)
    assert max(counts) <= 2
    for _ in range(2):
        for person in ("ann", "bob"):
            left = sorted((row[2], row[3]) for row in kept.rows() if row[0] == person and row[6] != SYNCED)
            assert [(time_us, value) for time_us, value, *_ in parts.read(person)] == left
        parts.merge()
