"""`pulsebase backup`: copies that open, made with the server up and down, and copies that cannot be made."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.cli.files import ISO_ROWS, US_ROWS
from tests.support.disk import mounted
from tests.support.process import Place, reading, serving

IMPORTED = len(ISO_ROWS) + len(US_ROWS)


def copy_at(folder: Path) -> Place:
    """A place whose store is the copy in this folder."""
    copy = Place(folder.parent / f"opened {folder.name}")
    copy.environment["PULSEBASE_STORE_URL"] = f"duckdb:///{folder / 'store.duckdb'}"
    return copy


def assert_sound(copy: Place, *texts: str) -> None:
    done = copy.run("check")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert all(text in done.stdout for text in ("The store is sound.", *texts)), done


def test_a_copy_opens_and_holds_everything(stocked: Place, tmp_path: Path) -> None:
    done = stocked.run("backup", str(tmp_path / "copy"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"bytes copied to {tmp_path}/copy. To open the copy:" in done.stdout
    assert f"pulsebase serve --store duckdb:///{tmp_path}/copy/store.duckdb" in done.stdout
    copy = copy_at(tmp_path / "copy")
    assert_sound(copy, f"{IMPORTED:,} readings")
    day = ("7", "2016-04-12", "2016-04-12", "--format", "csv", "--interval", "raw")
    assert copy.run("query", *day).stdout == stocked.run("query", *day).stdout
    assert os.stat(tmp_path / "copy").st_mode & 0o077 == 0
    assert (tmp_path / "copy" / "store.duckdb").stat().st_mode & 0o077 == 0


def test_a_relative_or_empty_folder_will_do_and_the_copy_goes_on_from_there(stocked: Place, tmp_path: Path) -> None:
    name = f"empty {tmp_path.name}"
    (stocked.folder / name).mkdir()
    assert stocked.run("backup", name).returncode == 0
    with serving(copy_at(stocked.folder / name)) as server:
        assert server.post([reading("new", 0)]).status_code == 202
        assert len(server.raw("new")) == 1
    assert "nobody" in stocked.refusal("query", "new", "2024-01-01", "2024-01-01")


def test_a_folder_that_is_not_empty_is_left_alone(stocked: Place, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear diary")
    for folder in (tmp_path / "letter.txt", stocked.folder):
        said = stocked.refusal("backup", str(folder))
        assert said == "pulsebase: folder: must be an empty folder, or not exist yet"
    assert (tmp_path / "letter.txt").read_text() == "Dear diary"
    assert stocked.database.exists()


def test_a_folder_that_cannot_be_made_is_named_as_the_fault(stocked: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "folder: cannot be written: Not a directory" in stocked.refusal("backup", str(tmp_path / "file" / "copy"))
    with mounted(tmp_path / "fixed", "ro"):
        assert "folder: cannot be written: Read-only" in stocked.refusal("backup", str(tmp_path / "fixed" / "copy"))


def test_a_full_disk_leaves_nothing_behind(stocked: Place, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k") as disk:
        said = stocked.refusal("backup", str(disk.folder / "copy"))
        assert said == "pulsebase: the copy was given up: its disk is full; nothing of this request was kept"
        assert list(disk.folder.iterdir()) == []


def test_copies_made_while_readings_stream_in_have_what_was_acknowledged(tmp_path: Path) -> None:
    place = Place(tmp_path / "busy", merge_interval_s="0.1")
    with serving(place) as server:
        acknowledged = 0
        stop = threading.Event()

        def write() -> None:
            nonlocal acknowledged
            while not stop.is_set():
                batch = [reading("ann", acknowledged + step, 60 + step % 100) for step in range(200)]
                assert server.post(batch).status_code == 202
                acknowledged += len(batch)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            kept = []
            for number in range(2):
                least = acknowledged
                done = place.run("backup", str(tmp_path / f"copy{number}"))
                assert (done.returncode, done.stderr) == (0, "")
                kept.append((tmp_path / f"copy{number}", least, acknowledged))
        finally:
            stop.set()
            writer.join()
        original = server.raw("ann")
    assert len(original) == acknowledged
    for folder, least, most in kept:
        copy = copy_at(folder)
        with serving(copy) as server:
            found = server.raw("ann")
        assert least <= len(found) <= most + 200
        assert len(found) % 200 == 0  # a request is there whole or not at all
        assert found.items() <= original.items()
        assert_sound(copy)
