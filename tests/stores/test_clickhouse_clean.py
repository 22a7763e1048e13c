"""Rows of deleted readings leave the merged ones, and take nothing with them that is still there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.clean import clean
from tests.stores.clickhouse import OPTIONS, Parts, new_store, opened
from tests.stores.harness import Reading, at
from tests.support.postgres import execute

TEN = at("2024-01-15T10:00:00")
SECOND = 1_000_000


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store(), clean_readings=1) as found:
        yield found


def merged_rows(parts: Parts) -> int:
    return sum(
        server.ask("SELECT count() AS n FROM readings", 30)["n"][0].as_py()
        for server in parts.cluster.shards().values()
    )


def values(parts: Parts) -> list[list[int]]:
    return [[value for _, value, *_ in parts.read(person)] for person in ("ann", "bob")]


def deleted(parts: Parts) -> None:
    """Three readings of two people each, merged; the first deleted, the second too and then written again, all of
    which has left the stage.
    """
    parts.merge()
    before = commits.PARTITION - 4
    execute(
        parts.urls.postgres,
        f"UPDATE pulsebase.commit_marks SET (last, merging_to, merged, days_to) = ({', '.join([str(before)] * 4)})",
    )
    for server in parts.cluster.shards().values():
        # So that every replaced row is still there.
        server.command("ALTER TABLE readings MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1", 30)
    parts.write(*(Reading(TEN + n * SECOND, 7000 + n, user_id=person) for n in range(3) for person in ("ann", "bob")))
    parts.merge()
    for person in ("ann", "bob"):
        parts.writer.delete(person, TimeRange(TEN, TEN + 2 * SECOND))
    parts.merge()
    parts.write(*(Reading(TEN + SECOND, 8000, user_id=person) for person in ("ann", "bob")))
    parts.merge()
    parts.clock.now_s += OPTIONS.grace_s
    parts.merger.step()
    assert parts.database.read(commits.marks).dropped_to == commits.PARTITION - 1


def test_rows_of_deleted_readings_go_once_no_merge_can_bring_back_what_they_replaced(parts: Parts) -> None:
    deleted(parts)
    assert merged_rows(parts) == 2 * (3 + 2 + 1)
    assert parts.merger.clean() == 0, "it has left the stage just now"
    parts.clock.now_s += 2 * OPTIONS.lease_s
    assert parts.merger.clean() == 4
    for server in parts.cluster.shards().values():
        server.command("OPTIMIZE TABLE readings FINAL", 60)
    assert merged_rows(parts) == 4
    assert values(parts) == [[8000, 7002], [8000, 7002]]
    assert parts.merger.clean() == 0


def test_a_cleaning_that_ends_in_the_middle_shows_nothing_that_was_deleted(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted(parts)
    server = next(iter(parts.cluster.shards().values()))
    steps, command = list[str](), server.command

    def interrupted(statement: str, *rest: Any) -> None:
        if steps:
            raise StoreUnavailableError("a shard is gone", 1)
        steps.append(statement)
        command(statement, *rest)

    to = commits.PARTITION - 1
    with monkeypatch.context() as patched:
        patched.setattr(server, "command", interrupted)
        with pytest.raises(StoreUnavailableError):
            clean(server, to, 1, 30)
    assert values(parts) == [[8000, 7002], [8000, 7002]]
    assert sum(clean(each, to, 1, 30) for each in parts.cluster.shards().values()) == 4
    assert values(parts) == [[8000, 7002], [8000, 7002]]
