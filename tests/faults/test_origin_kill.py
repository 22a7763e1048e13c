"""A file is imported twice, in part sent by a device too, and undone; the process is killed at every single step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from pulsebase.model.timerange import HOUR_US, SECOND_US
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.faults.test_merge_kill import every_kill, truth_of
from tests.stores.harness import Reading, batch_of
from tests.support.sound import SoundContents
from tests.support.victim import BASE_US, Op, prepared, run_of

#: One part is new, one is for an hour that was settled long ago.
NEW = run_of("ann", "strap", BASE_US + 52 * HOUR_US, 12, 8000)
LATE = run_of("ann", "strap", BASE_US + HOUR_US + SECOND_US, 12, 10_000)
FILE = [*NEW, *LATE]
#: A few of each part.
SENT = [*NEW[:3], *LATE[:3]]
CORRECTED = [reading._replace(value=reading.value + 100) for reading in (NEW[5], LATE[5])]


def from_a(store: Store, kind: str, name: str, readings: Sequence[Reading]) -> None:
    store.write([batch_of(readings, store.register_origin(kind, name))])


def undone(store: Store, name: str) -> int:
    return store.delete_origin(store.register_origin("import", name), 1000)


def script() -> list[Op]:
    """Every write follows both what is merged and what is not."""
    return [
        Op("first import", lambda store: from_a(store, "import", "first", FILE)),
        Op("merge", work=lambda store: store.maintenance.merge_staged()),
        Op("second import", lambda store: from_a(store, "import", "second", [*FILE, *CORRECTED])),
        Op("sent by a device", lambda store: from_a(store, "push", "watch", SENT)),
        Op("third import", lambda store: from_a(store, "import", "third", FILE)),
        Op("merge behind late rows", work=lambda store: store.maintenance.merge_staged()),
        Op("settle", work=lambda store: store.merge()),
        Op("second undone", lambda store: undone(store, "second")),
        Op("third undone", lambda store: undone(store, "third")),
        Op("merge after", work=lambda store: store.merge()),
        Op("first undone", lambda store: undone(store, "first")),
        Op("close", work=lambda store: store.close()),
    ]


def only_what_came_first_is_undone_with_it(sound: SoundContents, store: DuckdbStore) -> None:
    """In whatever state the store was left."""
    numbers = [store.register_origin("import", name) for name in ("first", "second", "third")]
    push = store.register_origin("push", "watch")
    counts = store.origin_readings([*numbers, push])
    before = store.stored()["origin"].to_pylist()
    assert counts == {number: before.count(number) for number in [*numbers, push]}
    if counts[numbers[0]]:
        assert counts[numbers[1]] <= 2  # what it corrected, at most
    assert [store.delete_origin(number, 1000) for number in numbers] == [counts[number] for number in numbers]
    store.merge()
    left = [origin for origin in before if origin not in numbers]
    assert sorted(store.stored()["origin"].to_pylist()) == sorted(left)
    assert sound.problems(store) == ()


@pytest.mark.parametrize(
    ("begun", "end", "must_be_met"),
    [
        (1, 4, ["INSERT INTO stored", "COMMIT", "write", "fdatasync", "Stage.append"]),
        (5, 7, ["DELETE FROM stored", "INSERT INTO late", "COMMIT"]),
        (7, 12, ["write", "the second half of write", "DELETE FROM stored", "COMMIT", "the end"]),
    ],
    ids=["imported again", "merged", "undone"],
)
def test_a_kill_at_any_step_leaves_each_reading_to_what_brought_it(
    tmp_path: Path, begun: int, end: int, must_be_met: list[str]
) -> None:
    prepared(tmp_path / "template" / "store.duckdb", script()[:begun])
    after = partial(only_what_came_first_is_undone_with_it, SoundContents())
    met = list(every_kill(tmp_path, truth_of(script), begun, end, script, after=after))
    for step in must_be_met:
        assert any(where.startswith(step) for where in met), f"no kill before {step}: {met}"
