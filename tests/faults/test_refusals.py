"""What cannot be opened is refused in one clear line, and left as it was found."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.support.disk import mounted
from tests.support.process import PULSEBASE, START_LIMIT_S, Place, reading, serving, wait_until

#: A journal file for each run of the server, none of them merged.
UNMERGED = {"merge_interval_s": "3600"}
RUNS = 3

#: Leaves what it did in the write-ahead log, as a crash does.
_CRASH = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("PRAGMA disable_checkpoint_on_shutdown")
connection.execute(sys.argv[2])
os._exit(0)
"""


def in_the_log(database: Path, statement: str) -> None:
    subprocess.run([sys.executable, "-c", _CRASH, str(database), statement], check=True, timeout=60)


def in_the_file(database: Path, statement: str) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(statement)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A store whose server was killed several times."""
    place = Place(tmp_path_factory.mktemp("crashed"), **UNMERGED)
    for run in range(RUNS):
        with serving(place) as server:
            assert server.post([reading("ann", run * 10 + step) for step in range(10)]).status_code == 202
            server.kill()
    assert len(place.journal_files) == RUNS
    return place


@pytest.fixture
def place(crashed: Place, tmp_path: Path) -> Place:
    """A copy of it to be damaged."""
    shutil.copytree(crashed.folder, tmp_path / "store")
    return Place(tmp_path / "store", **UNMERGED)


def contents(folder: Path) -> dict[str, str]:
    """Every file but the lock's, which says nothing of the store."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(".lock")
    }


def not_a_database(place: Place) -> None:
    place.database.write_text("Dear diary\n" * 1000)


def of_somebody_else(place: Place) -> None:
    place.database.unlink()
    place.database.with_name("store.duckdb.wal").unlink(missing_ok=True)
    in_the_file(place.database, "CREATE TABLE theirs (i INTEGER)")
    in_the_log(place.database, "INSERT INTO theirs VALUES (1)")


def of_a_newer_schema(place: Place) -> None:
    in_the_log(place.database, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")


def without_its_tail(place: Place) -> None:
    in_the_file(place.database, "CREATE TABLE filler AS SELECT hash(i) AS h FROM range(200000) AS r(i)")
    truncate(place.database, place.database.stat().st_size // 3)


def with_a_flipped_byte_in_its_head(place: Place) -> None:
    flip(place.database, 4096 + 16)
    flip(place.database, 8192 + 16)


def a_folder(place: Place) -> None:
    place.database.unlink()
    place.database.mkdir()


def journal_with_a_flipped_byte_of_a_reading(place: Place) -> None:
    path = place.journal_files[0]
    flip(path, path.stat().st_size - 5)


def journal_with_a_flipped_byte_of_a_reading_in_the_last_file(place: Place) -> None:
    path = place.journal_files[-1]
    flip(path, path.stat().st_size - 5)


def journal_with_a_flipped_byte_of_a_length(place: Place) -> None:
    flip(place.journal_files[-1], 4)


def journal_cut_short_in_an_older_file(place: Place) -> None:
    path = place.journal_files[0]
    truncate(path, path.stat().st_size - 5)


def journal_without_its_first_file(place: Place) -> None:
    place.journal_files[0].unlink()


def journal_without_a_file_between_two(place: Place) -> None:
    place.journal_files[1].unlink()


def journal_without_its_last_file(place: Place) -> None:
    place.journal_files[-1].unlink()


def journal_that_is_a_file(place: Place) -> None:
    folder = place.folder / "store.duckdb.journal"
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (not_a_database, "is not a Pulsebase database"),
        (of_somebody_else, "is a DuckDB database, but not of Pulsebase"),
        (of_a_newer_schema, "has schema version 99"),
        (without_its_tail, "is damaged"),
        (with_a_flipped_byte_in_its_head, "is damaged"),
        (a_folder, "cannot be opened"),
        (journal_with_a_flipped_byte_of_a_reading, "are not what was written"),
        (journal_with_a_flipped_byte_of_a_reading_in_the_last_file, "are not what was written"),
        (journal_with_a_flipped_byte_of_a_length, "are not what was written"),
        (journal_cut_short_in_an_older_file, "are not what was written"),
        (journal_without_its_first_file, "is missing; it held the readings from number 0 up to 10"),
        (journal_without_a_file_between_two, "is missing; it held the readings from number 10 up to 20"),
        (journal_without_its_last_file, "is missing; it held the readings from number 20"),
        (journal_that_is_a_file, "File exists"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_the_start_is_refused_in_one_line_and_changes_nothing(
    place: Place, damage: Callable[[Place], None], said: str
) -> None:
    damage(place)
    found = contents(place.folder)
    line = place.refusal("serve", "--port", "0")
    assert line.startswith("pulsebase: ")
    assert said in line
    assert contents(place.folder) == found


def test_an_unfinished_commit_at_the_end_of_the_journal_is_dropped_with_a_warning(place: Place) -> None:
    path = place.journal_files[-1]
    truncate(path, path.stat().st_size - 5)
    with serving(place) as server:
        assert "unfinished commit" in server.errors
        assert len(server.raw("ann")) == (RUNS - 1) * 10
        assert server.post([reading("ann", 500)]).status_code == 202
        server.kill()
    with serving(place) as server:
        assert server.errors == ""
        assert len(server.raw("ann")) == (RUNS - 1) * 10 + 1


def test_moving_the_damaged_last_file_away_goes_on_without_it(place: Place) -> None:
    journal_with_a_flipped_byte_of_a_length(place)
    place.journal_files[-1].rename(place.folder / "away")
    (place.folder / "store.duckdb.journal.list").unlink()
    for run in (1, 2):
        with serving(place) as server:
            assert server.post([reading("ann", 500 + run)]).status_code == 202
            assert len(server.raw("ann")) == (RUNS - 1) * 10 + run


def test_a_journal_whose_missing_part_is_merged_is_no_obstacle(place: Place) -> None:
    assert place.run("check").returncode == 0  # which merges everything
    for path in place.journal_files:
        path.unlink()
    for run in (1, 2):
        with serving(place) as server:
            assert server.post([reading("ann", 500 + run)]).status_code == 202
            assert len(server.raw("ann")) == RUNS * 10 + run


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        place = Place(tmp_path / "elsewhere")
        for path in (disk.folder / "store.duckdb", disk.folder / "new" / "store.duckdb"):
            line = place.refusal("serve", "--port", "0", "--store", f"duckdb:///{path}")
            assert "Read-only file system" in line


def test_a_second_server_on_the_same_file_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(place) as server:
        line = place.refusal("serve", "--port", "0")
        assert f"is in use by process {server.pid}" in line
        assert server.post([reading("ann", 1)]).status_code == 202
        assert place.holder()["pid"] == server.pid


def test_of_two_servers_that_start_at_once_one_serves(tmp_path: Path) -> None:
    place = Place(tmp_path)
    processes = [
        subprocess.Popen(
            [PULSEBASE, "serve", "--port", "0"],
            cwd=place.folder,
            env=place.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        wait_until(lambda: any(process.poll() is not None for process in processes), "a refusal", START_LIMIT_S)
        refused, left = sorted(processes, key=lambda process: process.returncode is None)
        left.terminate()
        said = [process.communicate(timeout=START_LIMIT_S)[1] for process in (refused, left)]
    finally:
        for process in processes:
            process.kill()
    assert "is in use by process" in said[0]
    assert said[1] == ""
    assert (refused.returncode, left.returncode) == (1, 0)
