"""Each of the journal's calls to the disk fails in turn: what was acknowledged is there after the next start, what was
refused is not, and only of what was called unknown it may be either.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pulsebase.model.errors import OutcomeUnknownError, PulsebaseError, RetryLaterError, StopError
from pulsebase.model.users import User
from pulsebase.stores.duckdb.journal import journal
from pulsebase.stores.duckdb.merge.stage import Stage
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, at, write
from tests.support.sound import SoundContents

OPTIONS = DuckdbOptions(merge_interval_s=3600, memory_limit="256MiB", threads=1)
TEN = at("2024-03-01T10:00:00")
#: More calls than there can be.
MOST = 200
FOR_GOOD = 1 << 30

Values = dict[str, int]


@dataclass
class Disk:
    """Fails calls from the `first` on, so many of them."""

    first: int
    count: int
    error: int
    late: bool
    calls: int = 0
    failed: list[str] = field(default_factory=list)

    def call(self, name: str, original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """A call that fails was done all the same, by halves or wholly, where it is `late`."""
        number, self.calls = self.calls, self.calls + 1
        if not self.first <= number < self.first + self.count:
            return original(*arguments, **named)
        self.failed.append(name)
        if self.late and name == "write":
            original(arguments[0], arguments[1][: len(arguments[1]) // 2])
        elif self.late and name != "open":
            original(*arguments, **named)
        raise OSError(self.error, os.strerror(self.error))


@contextmanager
def failing(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        for owner, name in [
            *((os, name) for name in ("open", "write", "fsync", "fdatasync", "ftruncate")),
            *((Path, name) for name in ("rename", "unlink")),
        ]:
            original = getattr(owner, name)

            def failing_call(*arguments: Any, _name: str = name, _original: Any = original, **named: Any) -> Any:
                return disk.call(_name, _original, *arguments, **named)

            patched.setattr(owner, name, failing_call)
        yield


class Fate:
    """What a store may hold: each key with the values that are possible."""

    def __init__(self) -> None:
        self.possible: dict[str, set[int | None]] = {}
        self.broken = False

    def put(self, store: DuckdbStore, key: str, value: int) -> None:
        user_id, _, second = key.partition("/")
        before = self.possible.get(key, {None})
        try:
            write(store, Reading(TEN + int(second), value, user_id=user_id))
        except OutcomeUnknownError:
            self.possible[key] = before | {value}
            self.broken = True
        except (RetryLaterError, StopError) as error:
            self.broken = self.broken or isinstance(error, StopError)
        else:
            assert not self.broken, "taken after a failed flush"
            self.possible[key] = {value}

    def check(self, found: Values) -> None:
        for key in found.keys() | self.possible.keys():
            assert found.get(key) in self.possible.get(key, {None}), key


def held_by(folder: Path, sound: SoundContents) -> Values:
    store = DuckdbStore(folder / "store.duckdb", OPTIONS)
    try:
        found = store.stored()
        assert sound.problems(store) == ()
        columns = (found[name].to_pylist() for name in ("user_id", "time_us", "value"))
        return {f"{user_id}/{time_us - TEN}": value for user_id, time_us, value in zip(*columns, strict=True)}
    finally:
        store.close()


def as_killed(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.lock"))
    return to


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    store = DuckdbStore(folder / "store.duckdb", OPTIONS)
    write(store, Reading(TEN, 6000), Reading(TEN + 1, 6001))
    store.merge()
    write(store, Reading(TEN + 2, 6002))
    store.close()
    return folder


@pytest.mark.parametrize(
    "fault",
    [
        (errno.EIO, False, 1),
        (errno.EIO, True, 1),
        (errno.EIO, True, 3),
        (errno.ENOSPC, True, FOR_GOOD),
    ],
)
def test_whatever_call_fails_each_answer_is_true_after_the_next_start(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: tuple[int, bool, int]
) -> None:
    error, late, count = fault
    met, sound = set[str](), SoundContents()
    looked: set[tuple[Any, ...]] = set()
    for first in range(MOST):
        folder = as_killed(template, tmp_path / str(first))
        disk = Disk(first, count, error, late)
        fate = Fate()
        fate.possible = {"ann/0": {6000}, "ann/1": {6001}, "ann/2": {6002}}
        monkeypatch.setattr(journal, "_FILE_BYTES", 400)  # a file has two commits
        store = DuckdbStore(folder / "store.duckdb", OPTIONS)
        with failing(disk, monkeypatch):
            fate.put(store, "ann/2", 7002)  # in place of an acknowledged one
            fate.put(store, "bob/3", 7003)
            fate.put(store, "eve/4", 7004)
            fate.put(store, "ann/2", 7012)
        for key, value in (("zoe/5", 7005), ("bob/3", 7013)):  # the disk is sound again
            fate.put(store, key, value)
        met |= set(disk.failed[:1])
        left = as_killed(folder, tmp_path / f"{first}-killed")
        store.close()
        fate.check(held_by(left if first % 2 else folder, sound))  # of a kill, or of an end in order
        shutil.rmtree(left)
        shutil.rmtree(folder)
        looked.add(tuple(sorted(map(str, fate.possible.items()))))
        if not disk.failed:
            break
    else:
        raise AssertionError("calls without end")
    assert met == {"open", "write", "fsync", "fdatasync", "rename"} | ({"unlink"} & met)
    assert len(looked) > 2


@pytest.mark.parametrize(("error", "late"), [(errno.EIO, False), (errno.EIO, True)])
def test_whatever_call_fails_while_the_journal_is_let_go_of_nothing_is_lost(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, late: bool
) -> None:
    met, sound = set[str](), SoundContents()
    monkeypatch.setattr(journal, "_FILE_BYTES", 1)
    for first in range(MOST):
        folder = as_killed(template, tmp_path / str(first))
        disk, fate = Disk(first, 1, error, late), Fate()
        fate.possible = {"ann/0": {6000}, "ann/1": {6001}, "ann/2": {6002}}
        store = DuckdbStore(folder / "store.duckdb", OPTIONS)
        fate.put(store, "bob/3", 7003)
        store.merge()
        fate.put(store, "eve/4", 7004)
        with failing(disk, monkeypatch):
            for work in (store.maintenance.checkpoint, store.merge, store.maintenance.trim_journal):
                with suppress(PulsebaseError):
                    work()
            fate.put(store, "zoe/5", 7005)
        store.maintenance.checkpoint()
        fate.put(store, "ann/2", 7012)
        left = as_killed(folder, tmp_path / f"{first}-killed")
        store.close()
        fate.check(held_by(left if first % 2 else folder, sound))  # of a kill, or of an end in order
        shutil.rmtree(left)
        shutil.rmtree(folder)
        met |= set(disk.failed)
        if not disk.failed:
            break
    assert {"fsync", "rename", "unlink"} <= met


def test_memory_that_runs_out_behind_the_flush_is_no_refusal(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = as_killed(template, tmp_path / "store")
    store = DuckdbStore(folder / "store.duckdb", OPTIONS)
    with monkeypatch.context() as patched:

        def without_room(*_: object) -> None:
            raise MemoryError

        patched.setattr(Stage, "append", without_room)
        with pytest.raises(OutcomeUnknownError):
            write(store, Reading(TEN + 2, 7002))
    with pytest.raises(StopError):
        write(store, Reading(TEN + 3, 7003))
    with pytest.raises(StopError):
        store.ping()
    with pytest.raises(StopError):
        store.put_user(User("zoe"))  # whose number the commit may have given to somebody else
    store.close()
    assert held_by(folder, SoundContents()) == {"ann/0": 6000, "ann/1": 6001, "ann/2": 7002}
