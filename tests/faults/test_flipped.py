"""Bytes that change or go missing on the disk: the answers are the right ones, or it is said what is damaged."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pulsebase.model.errors import StopError, StoreCorruptError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import HOUR_US, SECOND_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import ask, write
from tests.support.journal_files import HEADER_BYTES
from tests.support.victim import BASE_US, DAYS, killed_after, run_of

FLIPS = 60
CUTS = 12
OPTIONS = DuckdbOptions(memory_limit="512MiB", threads=1, merge_interval_s=3600)
#: More than the engine keeps in one row group.
MANY = 130_000

DATABASE, LOG, JOURNAL = "store.duckdb", "store.duckdb.wal", "store.duckdb.journal"


def many(store: Store, first: int, count: int, value: int) -> None:
    n = np.arange(first, first + count)
    columns = (BASE_US + n * 2 * SECOND_US, (value + n * 7919 % 3000).astype(np.int16), None)
    store.write([ReadingBatch.of_columns(["ann"] * count, ["device_a"] * count, *columns, 1)])


#: What only the journal has, commit by commit.
UNMERGED: list[Callable[[Store], object]] = [
    *(lambda store, n=n: write(store, *run_of("zoe", "strap", BASE_US + n * HOUR_US, 20, 9000)) for n in range(4)),
    lambda store: store.delete("bob", TimeRange(BASE_US, BASE_US + HOUR_US // 2)),
    lambda store: write(store, *run_of("ann", "device_a", BASE_US, 30, 12_000)),
]


def merged(path: Path) -> DuckdbStore:
    """A store whose last merges are in the engine's log."""
    store = DuckdbStore(path, OPTIONS)
    many(store, 0, MANY, 6000)
    write(store, *run_of("bob", "device_b", BASE_US, 50, 6000))
    store.merge()
    store.put_priority(DevicePriority("ann", "device_b", 0, 0))
    for _ in range(3):
        write(store, *run_of("ann", "device_b", BASE_US + HOUR_US, 50, 7000))
        many(store, MANY - 1000, 2000, 5000)
        store.merge()
    write(store, *run_of("eve", "strap", BASE_US, 50, 9000))
    store.merge()
    return store


def crash(path: Path) -> None:
    store = merged(path)
    for change in UNMERGED:
        change(store)


def answers(store: Store) -> list[Any]:
    said: list[Any] = [store.stored(), store.users("", 10, None), store.priorities("ann")]
    for rung in (Resolution.MINUTE, Resolution.QUARTER, Resolution.HOUR, Resolution.DAY):
        said += [ask(store, rung, DAYS, user_id=user_id) for user_id in ("ann", "bob", "eve", "zoe")]
    return said


class Crashed(NamedTuple):
    """A store that was killed, and what it must answer after none, one … all of the unmerged commits."""

    folder: Path
    truth: list[list[Any]]

    def file(self, name: str) -> Path:
        """The file of this name, of the journal the newest."""
        path = self.folder / name
        return max(path.iterdir()) if path.is_dir() else path


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    folder = tmp_path_factory.mktemp("crashed")
    killed_after(crash, folder / DATABASE)
    store = merged(tmp_path_factory.mktemp("whole") / DATABASE)
    truth = [answers(store)]
    for change in UNMERGED:
        change(store)
        truth.append(answers(store))
    store.close()
    return Crashed(folder, truth)


def asked(crashed: Crashed, folder: Path, damage: Callable[[Path], None], name: str) -> list[Any] | str:
    """What a damaged copy answers, merged or not, or in which words it refuses."""
    shutil.copytree(crashed.folder, folder)
    damage(folder / crashed.file(name).relative_to(crashed.folder))
    try:
        store = DuckdbStore(folder / DATABASE, OPTIONS)
        try:
            found = answers(store)
            assert all("is damaged" in problem for problem in store.check().problems)  # of what no answer needed
            assert answers(store) == found
        finally:
            store.close()
        return found
    except (StoreCorruptError, StopError) as error:
        return str(error)
    finally:
        shutil.rmtree(folder)


def flips_of(size: int, heads: int = 3 * 4096) -> Iterator[tuple[int, int]]:
    """Places and bits, a third of them where files have their headers."""
    dice = random.Random(size)
    for number in range(FLIPS):
        at = dice.randrange(min(size, heads) if number % 3 == 0 else size)
        yield at, 1 << dice.randrange(8)


@pytest.mark.parametrize("name", [DATABASE, LOG, JOURNAL])
def test_a_flipped_bit_is_answered_rightly_or_refused(crashed: Crashed, tmp_path: Path, name: str) -> None:
    outcomes: Counter[str] = Counter()
    for at, bit in flips_of(crashed.file(name).stat().st_size):

        def flip(path: Path, at: int = at, bit: int = bit) -> None:
            data = bytearray(path.read_bytes())
            data[at] ^= bit
            path.write_bytes(data)

        found = asked(crashed, tmp_path / "damaged", flip, name)
        assert isinstance(found, str) or found == crashed.truth[-1], f"wrong after a flip of {bit} at {at} of {name}"
        outcomes["refused" if isinstance(found, str) else "right"] += 1
        if isinstance(found, str):
            reasons = "damaged", "not what was written", "is not a Pulsebase database", "newer version of Pulsebase"
            assert any(reason in found for reason in reasons), found
    assert outcomes["refused"] > 0


@pytest.mark.parametrize("name", [DATABASE, LOG])
def test_a_file_that_was_cut_short_is_answered_rightly_or_refused(crashed: Crashed, tmp_path: Path, name: str) -> None:
    size = crashed.file(name).stat().st_size
    for cut in [0, size - 1, *random.Random(1).sample(range(size), CUTS)]:
        found = asked(crashed, tmp_path / "damaged", cut_to(cut), name)
        assert isinstance(found, str) or found == crashed.truth[-1], f"wrong with {cut} bytes of {name}"


def test_a_journal_that_was_cut_short_has_whole_commits_up_to_there(
    crashed: Crashed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = crashed.file(JOURNAL).stat().st_size
    for cut in [0, size - 1, *random.Random(2).sample(range(size), CUTS)]:
        caplog.clear()
        found = asked(crashed, tmp_path / "damaged", cut_to(cut), JOURNAL)
        if cut < HEADER_BYTES:  # no kill leaves a listed file without its header
            assert isinstance(found, str)
            assert "not what was written" in found
            continue
        assert found in crashed.truth, f"wrong with {cut} bytes of the journal"
        assert "unfinished commit" in caplog.text


def test_without_the_engines_log_the_journal_brings_everything_back(crashed: Crashed, tmp_path: Path) -> None:
    assert asked(crashed, tmp_path / "damaged", Path.unlink, LOG) == crashed.truth[-1]


def test_without_the_newest_file_of_the_journal_the_older_commits_are_there(crashed: Crashed, tmp_path: Path) -> None:
    found = asked(crashed, tmp_path / "damaged", Path.unlink, JOURNAL)
    assert isinstance(found, str) or found in crashed.truth


def test_what_is_written_after_the_engines_log_was_damaged_is_kept(crashed: Crashed, tmp_path: Path) -> None:
    """The engine may leave damaged bytes where it writes on."""
    for number, (at, bit) in enumerate(list(flips_of(crashed.file(LOG).stat().st_size))[:8]):
        folder = tmp_path / str(number)
        shutil.copytree(crashed.folder, folder)
        data = bytearray((folder / LOG).read_bytes())
        data[at] ^= bit
        (folder / LOG).write_bytes(data)
        refused = refusal(folder / DATABASE)
        if refused:
            assert refused.startswith(f"{folder / LOG} is damaged")
            assert "move it away" in refused
            (folder / LOG).unlink()
        killed_after(write_on, folder / DATABASE)
        store = DuckdbStore(folder / DATABASE, OPTIONS)
        try:
            assert store.check().problems == ()
            assert store.stored().num_rows == crashed.truth[-1][0].num_rows + 40
        finally:
            store.close()


def refusal(path: Path) -> str:
    """In which words a store is refused, if it is."""
    try:
        DuckdbStore(path, OPTIONS).close()
    except StoreCorruptError as error:
        return str(error)
    return ""


def write_on(path: Path) -> None:
    store = DuckdbStore(path, OPTIONS)
    write(store, *run_of("zoe", "device_b", BASE_US, 40, 9500))
    store.merge()


def cut_to(size: int) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:size])

    return cut
