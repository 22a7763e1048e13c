"""The store's file is written anew and the process is killed at every single step of it; then it is done again."""

from __future__ import annotations

from pathlib import Path

from pulsebase.model.timerange import HOUR_US
from pulsebase.model.users import User
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.faults.test_merge_kill import every_kill, truth_of
from tests.faults.test_removal_kill import SECRET
from tests.stores.harness import write
from tests.support.victim import BASE_US, Op, prepared, run_of


def script() -> list[Op]:
    """Somebody goes, others go on, and no byte of who went may be left."""
    theirs = run_of(SECRET, f"{SECRET}s strap", BASE_US, 20, 7000)
    others = run_of("bob", "strap", BASE_US + 60 * HOUR_US, 20, 7000)
    return [
        Op("written", lambda store: write(store, *theirs)),
        Op("named", lambda store: store.put_user(User(SECRET, "Somebody"))),
        Op("removed", lambda store: store.remove_user(SECRET)),
        Op("others", lambda store: write(store, *others)),
        Op("scrubbed", work=lambda store: store.scrub()),
        Op("others again", lambda store: write(store, *others)),
        Op("close", work=lambda store: store.close()),
    ]


def test_a_kill_at_any_step_of_a_scrub_loses_nothing_and_the_next_one_finishes_it(tmp_path: Path) -> None:
    prepared(tmp_path / "template" / "store.duckdb", script()[:4])
    met = list(every_kill(tmp_path, truth_of(script), 4, 7, script, after=scrubbed_again))
    for step in ("INSERT INTO stored", "INSERT INTO h1_dev", "CHECKPOINT", "fsync", "Path.rename", "the end"):
        assert any(where.startswith(step) for where in met), f"no kill before {step}: {met}"


def scrubbed_again(store: DuckdbStore) -> None:
    """After whatever kill."""
    before = store.stored()
    store.scrub()
    assert store.stored() == before
    assert files_with(store.parts.database.path.parent, SECRET) == []


def files_with(folder: Path, *texts: str) -> list[str]:
    """The files below a folder that hold one of these texts."""
    return [
        file.name
        for file in sorted(folder.rglob("*"))
        if file.is_file() and any(text.encode() in file.read_bytes() for text in texts)
    ]


def test_the_steps_are_worth_it(tmp_path: Path) -> None:
    """Without a scrub the file does hold what was removed."""
    path = tmp_path / "store.duckdb"
    prepared(path, script()[:4])
    assert files_with(tmp_path, SECRET) == ["store.duckdb"]
