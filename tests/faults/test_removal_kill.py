"""A person is removed and the process is killed at every single step of it: they are there whole, or gone for good."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import HOUR_US, SECOND_US
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.duckdb.engine.database import log_path
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.faults.test_merge_kill import every_kill, truth_of
from tests.stores.harness import ask, write
from tests.support.victim import BASE_US, DAYS, OPTIONS, Op, killed_after, prepared, run_of

#: Found nowhere but where it was written.
SECRET = "person-who-wants-to-be-forgotten"


def script() -> list[Op]:
    """Somebody with merged, late and staged readings and all that belongs to them goes, comes again and goes."""
    late = run_of("ann", "strap", BASE_US + HOUR_US + SECOND_US, 12, 10_000)
    new = run_of("ann", "device_a", BASE_US + 52 * HOUR_US, 5, 8000) + run_of("bob", "strap", BASE_US, 5, 9000)
    again = run_of("ann", "device_b", BASE_US + 51 * HOUR_US, 5, 8500)
    summary = DailySummary("ann", date(2024, 3, 1), 55.0, "vendor")
    return [
        Op("priority", lambda store: store.put_priority(DevicePriority("ann", "device_b", 0, BASE_US + 30 * HOUR_US))),
        Op("summary", lambda store: store.put_summaries([summary])),
        Op("asked for quarters", work=lambda store: ask(store, Resolution.QUARTER, DAYS)),
        Op("quarters", work=lambda store: store.maintenance.build_quarters()),
        Op("late", lambda store: write(store, *late)),
        Op("merge", work=lambda store: store.maintenance.merge_staged()),
        Op("new", lambda store: write(store, *new)),
        Op("removed", lambda store: store.remove_user("ann")),
        Op("again", lambda store: write(store, *again)),
        Op("named again", lambda store: store.put_user(User("ann", "Another"))),
        Op("removed again", lambda store: store.remove_user("ann")),
        Op("written after", lambda store: write(store, *again)),
        Op("merge after", work=lambda store: store.merge()),
        Op("close", work=lambda store: store.close()),
    ]


@pytest.mark.parametrize(
    ("begun", "end", "must_be_met"),
    [
        (7, 8, ["DELETE FROM stored", "DELETE FROM late", "UPDATE users", "COMMIT", "CHECKPOINT", "Path.unlink"]),
        (8, 14, ["UPDATE users", "INSERT INTO users", "COMMIT", "Journal.rotate", "the end"]),
    ],
    ids=["removed", "come again and removed again"],
)
def test_a_kill_at_any_step_leaves_a_person_whole_or_removed(
    tmp_path: Path, begun: int, end: int, must_be_met: list[str]
) -> None:
    prepared(tmp_path / "template" / "store.duckdb", script()[:begun])
    met = list(every_kill(tmp_path, truth_of(script), begun, end, script))
    for step in must_be_met:
        assert any(where.startswith(step) for where in met), f"no kill before {step}: {met}"


def removed(path: Path) -> None:
    store = DuckdbStore(path, OPTIONS)
    write(store, *run_of(SECRET, "device_a", BASE_US, 30, 7000))
    store.put_user(User(SECRET, "Somebody"))
    write(store, *run_of(SECRET, "device_a", BASE_US + HOUR_US, 30, 7000), *run_of("bob", "strap", BASE_US, 5, 7000))
    assert store.remove_user(SECRET) == 60


def test_once_acknowledged_a_removal_needs_neither_the_engines_log_nor_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    killed_after(removed, path)
    journal_files = list(path.with_name(path.name + ".journal").iterdir())
    assert journal_files
    for file in journal_files:
        assert SECRET.encode() not in file.read_bytes()
    log_path(path).unlink(missing_ok=True)
    store = DuckdbStore(path, OPTIONS)
    try:
        assert store.user(SECRET) is None
        assert [each.user.user_id for each in store.users("", 10, None)] == ["bob"]
        assert store.stored().num_rows == 5
        assert store.check().problems == ()
    finally:
        store.close()
