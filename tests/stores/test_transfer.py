"""Moving everything from one store into another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import DAY_US
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores import transfer
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.metered import MeteredStore
from pulsebase.stores.timescale.store import TimescaleStore
from pulsebase.stores.transfer import Progress, copy_everything, differences
from tests.stores.harness import Reading, at, batch_of, rows_of, span
from tests.stores.laws import scattered
from tests.stores.test_timescale import BY_HAND
from tests.support.postgres import empty_timescale
from tests.support.process import Place

TEN = at("2024-01-15T10:00:00")


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Store]:
    store = opened(tmp_path / "from.duckdb")
    fill(store)
    yield store
    store.close()


@pytest.fixture
def server() -> Iterator[Store]:
    store = TimescaleStore(empty_timescale(), BY_HAND)
    yield store
    store.close()


def opened(path: Path) -> Store:
    store: Store = DuckdbStore(path, DuckdbOptions(memory_limit="512MiB"))
    return store


def fill(store: Store) -> None:
    """Two origins, several devices, gaps of weeks, a person without readings, priorities and summaries."""
    push, sync = (store.register_origin(*name) for name in (("push", "http"), ("sync", "cloud")))
    store.write([batch_of(scattered(3, 300, span("2024-01-10", "2024-02-20")), sync)])
    store.write([batch_of([Reading(TEN + n, 7000 + n, "strap", 3, "bob") for n in range(50)], push)])
    store.write([batch_of([Reading(TEN, 8000), Reading(TEN + 400 * DAY_US, 8100)], push)])
    store.put_user(User("cid", "Cid", "other", date(1980, 2, 29), "Asia/Kathmandu"))
    store.put_priority(DevicePriority("ann", "strap", 0, TEN))
    store.put_priority(DevicePriority("ann", "strap", None, TEN + DAY_US))
    store.put_summaries([DailySummary("bob", date(2024, 1, 15), 61.5, "vendor")])


def everything(store: Store) -> list[tuple[object, ...]]:
    """What is stored, by names of origins."""
    names = {each.number: (each.kind, each.name) for each in store.origins()}
    return [(*row[:-1], names[row[-1]]) for row in rows_of(store.stored())]


def copied(source: Store, target: Store) -> Progress:
    steps: list[Progress] = []
    copy_everything(source, target, steps.append)
    return steps[-1]


def nothing(_: Progress) -> None:
    """Nobody wants to know how far it got."""


def test_everything_arrives_there_and_back_again(embedded: Store, server: Store, tmp_path: Path) -> None:
    server.register_origin("push", "elsewhere")  # so that the numbers of origins differ
    done = copied(embedded, server)
    assert done.readings == done.written == embedded.stored().num_rows
    back = opened(tmp_path / "back.duckdb")
    try:
        copied(server, back)
        for store in (server, back):
            assert everything(store) == everything(embedded)
            assert store.users("", 10, None) == embedded.users("", 10, None)
            assert store.priorities("ann") == embedded.priorities("ann")
            assert store.summaries("bob", date.min, date.max) == embedded.summaries("bob", date.min, date.max)
            assert list(differences(embedded, store, nothing)) == []
        assert server.check().problems == ()
    finally:
        back.close()


class Breaking(MeteredStore):
    """A store that refuses what comes after so many writes."""

    def __init__(self, inner: Store, writes: int) -> None:
        super().__init__(inner)
        self._left = writes

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        self._left -= 1
        if self._left < 0:
            raise StoreUnavailableError("gone")
        super().write(batches)


def test_a_copy_that_was_broken_off_goes_on(embedded: Store, server: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WRITTEN_AT_ONCE", "_WHOLE_READINGS"):  # so that little takes several pieces and writes
        monkeypatch.setattr(transfer, name, 1)
    with pytest.raises(StoreUnavailableError):
        copied(embedded, Breaking(server, 3))
    arrived = server.stored().num_rows
    assert 0 < arrived < embedded.stored().num_rows
    done = copied(embedded, server)
    assert done.written == embedded.stored().num_rows - arrived
    assert everything(server) == everything(embedded)
    assert copied(embedded, server).written == 0


def test_what_is_not_the_same_is_found(embedded: Store, server: Store) -> None:
    copied(embedded, server)
    server.write([batch_of([Reading(TEN + 400 * DAY_US, 8101)], server.register_origin("push", "http"))])
    server.delete("bob", span("2024-01-15", "2024-01-16"))
    server.put_priority(DevicePriority("ann", "strap", 7, TEN))
    server.put_summaries([DailySummary("cid", date(2024, 1, 15), 61.5, "vendor")])
    assert [(each.user_id, each.what) for each in differences(embedded, server, nothing)] == [
        ("ann", "the priorities of devices"),
        ("ann", "the readings of 2025-02-18"),
        ("bob", "what is known of the person, or how many readings there are"),
        ("bob", "the readings of 2024-01-15"),
        ("cid", "the daily summaries"),
    ]


def test_the_command_copies_and_compares(embedded: Store, tmp_path: Path) -> None:
    embedded.close()
    url = empty_timescale()
    place = Place(tmp_path / "place", pool_size="1")
    source = f"duckdb:///{tmp_path}/from.duckdb"
    done = place.run("copy", "--from", source, "--to", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Both stores hold the same data."
    refused = place.run("copy", "--from", source, "--to", source)
    assert (refused.returncode, refused.stderr.strip()) == (
        1,
        "pulsebase: the store to copy to is the one to copy from",
    )
    in_memory = place.run("copy", "--to", "memory://")
    assert in_memory.returncode == 1
    assert "in memory" in in_memory.stderr
