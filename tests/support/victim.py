"""A process that works on an embedded store, and what is left of the store when it is killed right before a step.

A step is whatever may leave something behind: every statement on the writing connection that is no SELECT (COMMIT and
CHECKPOINT are), every write, flush, opening and removal of a file of the journal, and what then changes in memory.

A kill leaves what the kernel has, which is what a copy made at that moment has, too. So one process that copies the
folder at each of its steps stands for one killed process a step; `test_merge_kill.py` holds the two against each other.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.engine import database
from pulsebase.stores.duckdb.journal import journal
from pulsebase.stores.duckdb.merge import compaction
from pulsebase.stores.duckdb.merge.merge import MergeBounds
from pulsebase.stores.duckdb.merge.stage import Stage
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, ask, at, write

BASE_US = at("2024-03-01T00:00:00")
DAYS = TimeRange(BASE_US - DAY_US, BASE_US + 4 * DAY_US)
#: One thread and merges by hand: the n-th step is the same in every run. The newest 100 rows are worth a search, older
#: ones wait in `late` and are settled in several pieces.
OPTIONS = DuckdbOptions(
    memory_limit="256MiB", threads=1, merge_interval_s=3600, bounds=MergeBounds(search_rows=100, fetch_rows=90)
)
#: Besides ann.
OTHERS = ("bob", "eve")


@dataclass(frozen=True, slots=True)
class Op:
    """Something a store is asked to do: a change of what it holds, which any store can make, or work of its own."""

    name: str
    change: Callable[[Store], object] | None = None
    work: Callable[[DuckdbStore], object] | None = None

    def on(self, store: DuckdbStore) -> None:
        if self.change:
            self.change(store)
        if self.work:
            self.work(store)


def run_of(user_id: str, device_id: str, start_us: int, count: int, value: int, **more: Any) -> list[Reading]:
    """Readings two minutes apart."""
    return [
        Reading(start_us + n * 2 * MINUTE_US, value + n, device_id, user_id=user_id, confidence=more.get("confidence"))
        for n in range(count)
    ]


def begin(store: Store) -> None:
    """Three days of two people and two devices that overlap."""
    for user_id in ("ann", "bob"):
        for hour in (1, 2, 26, 50, 51):
            start_us = BASE_US + hour * HOUR_US
            write(store, *run_of(user_id, "device_a", start_us, 20, 6000 + hour))
            write(store, *run_of(user_id, "device_b", start_us + 10 * MINUTE_US, 20, 7000 + hour))
    store.put_user(User("ann", "Ann"))


def ops() -> list[Op]:
    """New, corrected, duplicated, late and deleted readings, and all that is done about them."""
    new = run_of("ann", "device_a", BASE_US + 52 * HOUR_US, 30, 8000) + run_of("eve", "strap", BASE_US, 10, 9000)
    corrected = run_of("ann", "device_a", BASE_US + 51 * HOUR_US, 10, 5000)
    uncounted = run_of("bob", "device_a", BASE_US + 26 * HOUR_US, 8, 5500, confidence=0)
    late = run_of("ann", "strap", BASE_US + HOUR_US + SECOND_US, 12, 10_000)
    overtaking = run_of("ann", "strap", BASE_US + HOUR_US + SECOND_US, 4, 11_000)
    half_hour = TimeRange(BASE_US + 51 * HOUR_US, BASE_US + 51 * HOUR_US + HOUR_US // 2)
    old_hour = TimeRange(BASE_US + 2 * HOUR_US, BASE_US + 3 * HOUR_US)
    first = DevicePriority("ann", "strap", 0, BASE_US)
    return [
        Op("new", lambda store: write(store, *new)),
        Op("corrected, duplicated and late", lambda store: write(store, *corrected, *corrected, *uncounted, *late)),
        Op("deleted", lambda store: store.delete("ann", half_hour)),
        Op("deleted of an old hour", lambda store: store.delete("bob", old_hour, "device_b")),
        Op("merge", work=lambda store: store.maintenance.merge_staged()),
        Op("late again", lambda store: write(store, *overtaking)),
        Op("asked for quarters", work=lambda store: ask(store, Resolution.QUARTER, DAYS)),
        Op("quarters", work=lambda store: store.maintenance.build_quarters()),
        Op("merge behind late rows", work=lambda store: store.maintenance.merge_staged()),
        Op("settle", work=lambda store: store.merge()),
        Op("priority", lambda store: store.put_priority(first)),
        Op("written after", lambda store: write(store, *run_of("bob", "strap", BASE_US + 2 * HOUR_US, 5, 12_000))),
        Op("deleted again", lambda store: store.delete("eve", DAYS)),
        Op("last merge", work=lambda store: store.merge()),
        Op("settle all", work=_settle),
        Op("checkpoint", work=lambda store: store.maintenance.checkpoint()),
        Op("close", work=lambda store: store.close()),
    ]


def _settle(store: DuckdbStore) -> None:
    """Also bring together what lies in more than a few places, of a size that there are few of."""
    sizes = {"_ROW_GROUP_ROWS": 16, "_PIECE_ROWS": 100, "_SMALL_ROWS": 20, "_WINDOW_ROWS": 200, "_MAX_FRAGMENTATION": 1}
    for name, size in sizes.items():
        setattr(compaction, name, size)
    store.settle()


def answers(store: Store) -> list[Any]:
    """What a store says about everything there is."""
    inside = TimeRange(BASE_US + 51 * HOUR_US + 7 * MINUTE_US, BASE_US + 52 * HOUR_US + 11 * MINUTE_US)
    said: list[Any] = [store.stored(), store.users("", 10, None), store.priorities("ann"), store.devices("ann")]
    said += [ask(store, rung, DAYS) for rung in Resolution]
    said += [
        ask(store, rung, DAYS, user_id=user_id) for rung in (Resolution.HOUR, Resolution.DAY) for user_id in OTHERS
    ]
    said += [(store.priorities(user_id), store.summaries(user_id, date.min, date.max)) for user_id in ("ann", "zoe")]
    said.append(ask(store, Resolution.MINUTE, inside, include_all=True))
    said.append(ask(store, Resolution.HOUR, DAYS, device_id="device_b"))
    return said


Script = Callable[[], list[Op]]


@dataclass(frozen=True, slots=True)
class Left:
    """What a kill before a step leaves: how many operations were finished, what the step was, and a copy of the folder;
    None where the kill before has left the same, byte for byte. `is_begun` where all that differs from the copy before
    are files that are not in place yet.
    """

    done: int
    where: str
    folder: Path | None
    is_begun: bool


def left_by_kills(path: Path, begun: int, end: int, script: Script, copies: Path) -> list[Left]:
    """What a process that opens the store and does the operations `begun` to `end` leaves if it is killed, by step.

    The copies are made in a folder that has to be there. The store itself ends as the process leaves it.
    """
    log = path.with_name("log")
    process = _CONTEXT.Process(target=_work, args=(_Copies(log, path.parent, copies), path, script, slice(begun, end)))
    process.start()
    process.join(300)
    code = process.exitcode
    process.kill()
    process.close()
    assert code == 0, f"ended with {code}"
    found, done, copied = list[Left](), 0, 0
    for line in log.read_text().splitlines():
        kind, _, what = line.partition(" ")
        if kind == "done":
            done += 1
            continue
        folder = copies / str(copied) if kind != "same" else None
        copied += kind != "same"
        found.append(Left(done, what.removeprefix("before "), folder, kind == "begun"))
    return found


def files_of_store(folder: Path) -> list[Path]:
    """All files of a store, but for the notes on who holds it and on its steps."""
    notes = ("store.duckdb.lock", "log")
    return [file for file in sorted(folder.rglob("*")) if file.name not in notes and file.is_file()]


def _digests_of(folder: Path) -> tuple[bytes, bytes]:
    """Of all files that are in place, and of those that are begun: they get another name once they are whole."""
    in_place, begun = hashlib.sha256(), hashlib.sha256()
    for file in files_of_store(folder):
        content = file.read_bytes()
        digest = begun if file.suffix == ".new" else in_place
        digest.update(repr((str(file.relative_to(folder)), len(content))).encode() + content)
    return in_place.digest(), begun.digest()


def killed_before(step: int, path: Path, begun: int, end: int, script: Script = ops) -> tuple[bool, int, str]:
    """Let a process open the store, do the operations `begun` to `end`, and be killed before this step.

    Whether it was killed (it had that many steps), how many operations it finished, and what the step was.
    """
    log = path.with_name("log")
    process = _CONTEXT.Process(target=_work, args=(_Kill(log, step), path, script, slice(begun, end)))
    process.start()
    process.join(300)
    code = process.exitcode
    process.kill()
    process.close()
    assert code in (0, -signal.SIGKILL), f"ended with {code} instead of being killed before step {step}"
    lines = log.read_text().splitlines()
    last = lines[-1].removeprefix("killed before ") if lines else ""
    return code != 0, sum(line.startswith("done ") for line in lines), last


def killed_after(work: Callable[[Path], None], path: Path) -> None:
    """Let a process do this and be killed, with the store still open."""
    process = _CONTEXT.Process(target=_die_after, args=(work, path))
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, "did not get that far"
    process.close()


def _die_after(work: Callable[[Path], None], path: Path) -> None:
    work(path)
    os.kill(os.getpid(), signal.SIGKILL)


_CONTEXT = multiprocessing.get_context("forkserver")
#: So that a process costs milliseconds. The engine imports pandas, where there is one, once it is given a table.
_CONTEXT.set_forkserver_preload(["tests.support.victim", "pandas"])


class _Steps:
    """Makes steps of calls, and keeps a log of what was done."""

    def __init__(self, log: Path) -> None:
        self._log_path = log

    def open(self) -> None:
        """In the process that works."""
        self._log = os.open(self._log_path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC)
        self._write = os.write

    def note(self, line: str) -> None:
        """The kernel has it: it outlives the process."""
        self._write(self._log, (line + "\n").encode())

    def at(self, what: str) -> None:
        """One step."""
        raise NotImplementedError

    def before(self, owner: Any, name: str) -> None:
        """Make each call of a function a step."""
        original = getattr(owner, name)

        def stepping(*arguments: Any, **named: Any) -> Any:
            self.at(name if owner is os else f"{owner.__name__}.{name}")
            return original(*arguments, **named)

        setattr(owner, name, stepping)

    def within_writes(self) -> None:
        """A write is two steps: nothing of it, and half of it."""
        original = os.write

        def stepping(file: int, data: bytes) -> int:
            self.at("write")
            half = original(file, data[: len(data) // 2])
            self.at("the second half of write")
            return half + original(file, data[half:])

        setattr(os, "write", stepping)  # noqa: B010 an assignment would have to take every kind of buffer


class _Kill(_Steps):
    """Ends the process before its n-th step."""

    def __init__(self, log: Path, step: int) -> None:
        super().__init__(log)
        self._left = step

    def at(self, what: str) -> None:
        if self._left == 0:
            self.note("killed before " + _short(what))
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


class _Copies(_Steps):
    """Copies the folder before each step that finds it changed since the last copy."""

    def __init__(self, log: Path, folder: Path, copies: Path) -> None:
        super().__init__(log)
        self._folder, self._copies, self._copied = folder, copies, 0
        self._last = (b"", b"")

    def at(self, what: str) -> None:
        digests = _digests_of(self._folder)
        if digests == self._last:
            self.note("same before " + _short(what))
            return
        shutil.copytree(self._folder, self._copies / str(self._copied))
        self._copied += 1
        self.note(("begun" if digests[0] == self._last[0] else "copied") + " before " + _short(what))
        self._last = digests


def _short(what: str) -> str:
    return " ".join(what.split())[:100]


class _SteppingConnection:
    """The writing connection, each statement of which is a step."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, steps: _Steps) -> None:
        self._connection, self._steps = connection, steps

    def execute(self, statement: str, *values: Any) -> duckdb.DuckDBPyConnection:
        if not statement.lstrip().startswith("SELECT"):
            self._steps.at(statement)
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _work(steps: _Steps, path: Path, script: Script, part: slice) -> None:
    steps.open()
    connect: Any = database._connect
    database._connect = lambda *arguments: _SteppingConnection(connect(*arguments), steps)  # type: ignore[assignment]
    journal._FILE_BYTES = 1  # a file a commit, so that there are some to remove
    steps.within_writes()
    for owner, names in (
        (os, ("fdatasync", "fsync", "ftruncate")),
        (Path, ("unlink", "rename")),
        (journal.Journal, ("rotate", "drop_before")),
        (Stage, ("append", "drop_before")),
    ):
        for name in names:
            steps.before(owner, name)
    store = DuckdbStore(path, OPTIONS)
    for op in script()[part]:
        op.on(store)
        steps.note(f"done {op.name}")
    steps.at("the end")
    os._exit(0)


def prepared(path: Path, done: Sequence[Op] = ()) -> None:
    """A closed store with merged data."""
    store = DuckdbStore(path, OPTIONS)
    try:
        begin(store)
        store.merge()
        for op in done:
            op.on(store)
    finally:
        store.close()
