"""Notes of commits in the embedded store: no crash loses one, and an older copy of a store begins anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pulsebase.model.users import DevicePriority
from pulsebase.stores.contract import CommitNote
from pulsebase.stores.duckdb.journal import journal
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, at, write

BY_HAND = DuckdbOptions(merge_interval_s=3600, memory_limit="256MiB", threads=1)
TEN = at("2024-03-01T10:00:00")


def notes_of(store: DuckdbStore) -> list[CommitNote]:
    return list(store.parts.notes.notes(100))


def starts_of(store: DuckdbStore) -> list[int]:
    return sorted(note.range.start_us - TEN for note in notes_of(store))


def killed(folder: Path, name: str) -> DuckdbStore:
    """The store as a process leaves it that is killed now."""
    copy = folder.with_name(name)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.lock"))
    return DuckdbStore(copy / "store.duckdb", BY_HAND)


def test_no_kill_after_an_acknowledgement_loses_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_FILE_BYTES", 1)  # a file a commit
    folder = tmp_path / "store"
    store = DuckdbStore(folder / "store.duckdb", BY_HAND)
    store.parts.notes.want(True)
    write(store, Reading(TEN, 7000, user_id="ann"))
    again = killed(folder, "before it was read")
    assert starts_of(again) == [0]
    again.close()
    assert starts_of(store) == [0]
    write(store, Reading(TEN + 1, 7000, user_id="bob"))
    store.settle()  # and the journal is gone
    assert list(store.parts.journal.folder.iterdir()) == []
    again = killed(folder, "after its journal is gone")
    assert starts_of(again) == [0, 1]
    again.close()
    store.parts.notes.drop([note.number for note in notes_of(store)])
    write(store, Reading(TEN + 2, 7000, user_id="cid"), Reading(TEN + 3, 7000, user_id="ann"))
    write(store, Reading(TEN + 4, 7000, user_id="ann"))
    assert starts_of(store) == [2, 3]  # what is read at once shares a note
    store.close()


def test_an_older_copy_of_a_store_begins_to_be_noted_anew(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = DuckdbStore(folder / "store.duckdb", BY_HAND)
    write(store, Reading(TEN, 7000))
    store.backup(tmp_path / "copy")
    store.parts.notes.want(True)
    for n in range(5):
        write(store, Reading(TEN + n, 7000))
    assert len(notes_of(store)) == 1
    store.close()
    shutil.copy(folder / "store.duckdb.notes", tmp_path / "copy")
    older = DuckdbStore(tmp_path / "copy" / "store.duckdb", BY_HAND)
    assert notes_of(older) == []
    write(older, Reading(TEN + 9, 7000))
    assert starts_of(older) == [9]
    older.close()


def test_notes_know_people_by_number_and_forget_them(tmp_path: Path) -> None:
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    store.parts.notes.want(True)
    write(store, Reading(TEN, 7000, user_id="somebody-to-forget"), Reading(TEN, 7000, user_id="bob"))
    store.put_priority(DevicePriority("somebody-to-forget", "device_a", 1))
    assert len(notes_of(store)) == 4
    noted = [path for path in tmp_path.iterdir() if ".notes" in path.name]
    assert all(b"somebody-to-forget" not in path.read_bytes() for path in noted)
    store.remove_user("somebody-to-forget")
    assert [note.user_id for note in notes_of(store)] == ["bob"]
    store.parts.notes.want(False)
    assert [path for path in tmp_path.iterdir() if ".notes" in path.name] == []
    store.close()
