"""Shards, writing processes and PostgreSQL die at random moments, over and over: nothing that was acknowledged is lost,
nothing is half there.

python -m tests.faults.clickhouse_kills --kills 200 --shards 3

Two processes write, correct and delete, and merge, each readings of its own. After each kill the whole store is read in
one state. What it holds has to be what the operations that were answered add up to, in order and each as a whole; one
whose answer got lost may have happened or not.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import TypeVar

from pulsebase.model.errors import OutcomeUnknownError, StoreUnavailableError
from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.store import ClickHouseStore
from pulsebase.stores.postgres.options import PoolOptions
from tests.stores.harness import Reading, at, rows_of, write
from tests.support.clickhouse.cluster import Cluster
from tests.support.clickhouse.store import Urls, new_store
from tests.support.postgres import plain_postgres

TEN = at("2024-01-15T10:00:00")
#: They get numbers one after the other, and so lie on all shards.
PEOPLE = tuple(f"person-{number}" for number in range(6))
#: Times that are written over and over.
SLOTS = 30
WRITERS = ("one", "two")
OPTIONS = ClickHouseOptions(
    PoolOptions(size=1, overflow=4, timeout_s=30), grace_s=0.3, lease_s=20, merge_interval_s=0.1, clean_interval_s=1
)
#: How long everything has to be well again after a kill.
_PATIENCE_S = 300.0
_PROCESSES = multiprocessing.get_context("forkserver")

T = TypeVar("T")
#: Person, device, time → value.
State = dict[tuple[str, str, int], int]


@dataclass(frozen=True, slots=True)
class Operation:
    """The nth thing that a writer does: it writes or corrects readings of everybody, or deletes some of one person."""

    writer: str
    number: int

    @property
    def _dice(self) -> random.Random:
        return random.Random(f"{self.writer} {self.number}")

    def deleted(self) -> tuple[str, TimeRange] | None:
        """Whose readings go, and when; None for a write."""
        dice = self._dice
        if self.number < 3 or dice.random() > 0.15:
            return None
        start_us = TEN + dice.randrange(SLOTS) * SECOND_US
        return dice.choice(PEOPLE), TimeRange(start_us, start_us + 5 * SECOND_US)

    def written(self) -> list[Reading]:
        """One time, or several in a row."""
        dice = self._dice
        dice.random()
        first, length = dice.randrange(SLOTS), dice.choice([1, 1, 2, 8])
        times = [TEN + slot * SECOND_US for slot in range(first, min(first + length, SLOTS))]
        return [Reading(time, 5000 + self.number, self.writer, None, person) for time in times for person in PEOPLE]

    def happen(self, store: ClickHouseStore) -> None:
        deleted = self.deleted()
        if deleted is None:
            write(store, *self.written())
        else:
            store.delete(*deleted, self.writer)

    def after(self, state: State) -> State:
        """The readings of this writer once it has happened."""
        deleted = self.deleted()
        if deleted is None:
            written = {(each.user_id, each.device_id, each.time_us): each.value for each in self.written()}
            return state | written
        person, interval = deleted
        gone = range(interval.start_us, interval.end_us)
        return {key: value for key, value in state.items() if not (key[0] == person and key[2] in gone)}


def _work(urls: Urls, writer: str, first: int, said: Pipe) -> None:
    """Do one thing after the other; say before each that it begins, and then how it ended."""
    store = None
    for number in count(first):
        while store is None:
            with contextlib.suppress(StoreUnavailableError):
                store = ClickHouseStore(urls.postgres, urls.cluster, OPTIONS)
        said.send((number, "begun"))
        try:
            Operation(writer, number).happen(store)
        except OutcomeUnknownError:
            said.send((number, "unknown"))
        except StoreUnavailableError:
            said.send((number, "refused"))
            time.sleep(0.05)
        else:
            said.send((number, "done"))


@dataclass
class Writer:
    """A process that writes, and what it has said."""

    urls: Urls
    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    #: What its readings may be: so many states as there are operations of which nobody knows whether they happened.
    candidates: list[State] = field(default_factory=lambda: [{}])
    #: Operations since, and how they ended; the last may be under way.
    since: list[tuple[int, str]] = field(default_factory=list)
    next: int = 0

    def start(self) -> None:
        self._said, theirs = _PROCESSES.Pipe(duplex=False)
        arguments = (self.urls, self.name, self.next, theirs)
        self._process = _PROCESSES.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def listen(self) -> None:
        """Take in what it has said by now."""
        with contextlib.suppress(EOFError):
            while self._said.poll():
                self._note(*self._said.recv())

    def _note(self, number: int, outcome: str) -> None:
        if outcome == "begun":
            self.since.append((number, "unknown"))
            self.next = number + 1
        else:
            self.since[-1] = (number, outcome)
            self.outcomes[outcome] += 1

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.listen()

    def possible(self, sure: int) -> list[tuple[int, State]]:
        """What its readings may be in a state that was read by now, each with how many of the operations since are in
        it: at least the first `sure`, which had been answered before.
        """
        found = [(0, state) for state in self.candidates]
        for place, (number, outcome) in enumerate(self.since, 1):
            operation = Operation(self.name, number)
            if outcome == "refused":
                grown = [(place, state) for seen, state in found if seen == place - 1]
            else:
                grown = [(place, operation.after(state)) for seen, state in found if seen == place - 1]
                if outcome == "unknown":
                    grown += [(place, state) for seen, state in found if seen == place - 1]
            found += grown
        return [(seen, state) for seen, state in found if seen >= sure]

    def sure(self) -> int:
        """How many of the operations since have been answered."""
        return len(self.since) - (1 if self.since and self.since[-1][1] == "unknown" and self._alive() else 0)

    def _alive(self) -> bool:
        return self._process.is_alive()

    def settle(self, state: State, sure: int) -> None:
        """Check what its readings are, and go on from there."""
        matching = [seen for seen, possible in self.possible(sure) if possible == state]
        assert matching, f"{self.name}: what is stored is no state that its answers allow"
        # What was seen last is the least that may be forgotten; later operations may still change nothing.
        seen = min(matching)
        self.candidates, self.since = [state], self.since[seen:]


@dataclass
class Run:
    """What a run was like."""

    kills: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    readings: int = 0


class Killer:
    """A store on a cluster, those who write to it, and one who looks."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster, self.dice, self.run = cluster, random.Random(seed), Run()
        self.urls = new_store(cluster)
        self.store = ClickHouseStore(self.urls.postgres, self.urls.cluster, OPTIONS)
        self.writers = [Writer(self.urls, name) for name in WRITERS]
        for writer in self.writers:
            writer.start()

    def close(self) -> None:
        for writer in self.writers:
            writer.kill()
        self.store.close()

    def go_on(self, kills: int) -> Run:
        """Kill so often, look after each, and at last at everything once it is merged."""
        for number in range(kills):
            self._until_each_is_answered()
            time.sleep(self.dice.uniform(0, 0.1))
            self._kill(self.dice.choices(["shard", "writer", "postgres"], [6, 3, 1])[0])
            self.look()
            if (number + 1) % 10 == 0:
                print(f"{number + 1} kills, {self._answered()} operations answered", flush=True)
        for writer in self.writers:
            writer.kill()
        self.look()
        self._patiently(self.store.settle)
        for server in self.store._cluster.shards().values():
            server.command("OPTIMIZE TABLE readings FINAL", 60)
        self.look()
        report = self.store.check()
        assert report.problems == (), report.problems
        self.run.readings = report.readings
        for writer in self.writers:
            self.run.outcomes.update(writer.outcomes)
        return self.run

    def look(self) -> None:
        """Read the whole store in one state, and check what each writer's readings are."""
        sure: list[int] = []

        def read() -> State:
            for writer in self.writers:
                writer.listen()
            sure[:] = [writer.sure() for writer in self.writers]
            rows = rows_of(self.store.stored())
            return {(person, device, time_us): value for person, device, time_us, value, *_ in rows}

        found = self._patiently(read)
        for writer, answered in zip(self.writers, sure, strict=True):
            writer.listen()
            writer.settle({key: value for key, value in found.items() if key[1] == writer.name}, answered)
        self.run.checks += 1

    def _kill(self, what: str) -> None:
        self.run.kills[what] += 1
        if what == "shard":
            shard = self.dice.choice(self.cluster.shards)
            shard.kill()
            time.sleep(self.dice.uniform(0, 0.3))
            shard.start()
        elif what == "writer":
            writer = self.dice.choice(self.writers)
            writer.kill()
            writer.start()
        else:
            plain_postgres().control("-m", "immediate", "restart")

    def _answered(self) -> int:
        return sum(writer.outcomes.total() for writer in self.writers)

    def _until_each_is_answered(self) -> None:
        """Wait until each writer has done something since."""
        before = [writer.outcomes["done"] for writer in self.writers]
        give_up_at = time.monotonic() + _PATIENCE_S
        while not all(w.outcomes["done"] > b for w, b in zip(self.writers, before, strict=True)):
            assert time.monotonic() < give_up_at, "writers do not go on"
            for writer in self.writers:
                writer.listen()
            time.sleep(0.01)

    @staticmethod
    def _patiently(ask: Callable[[], T]) -> T:
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return ask()
            except StoreUnavailableError:
                assert time.monotonic() < give_up_at, "the store does not answer again"
                time.sleep(0.1)


def kill_at_random(kills: int, cluster: Cluster, seed: int) -> Run:
    """See above."""
    killer = Killer(cluster, seed)
    try:
        return killer.go_on(kills)
    finally:
        killer.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, and say what it was like."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    asked = parser.parse_args(arguments)
    print(f"Seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="pulsebase-kills-"))
    cluster = Cluster(folder, asked.shards)
    began = time.monotonic()
    try:
        run = kill_at_random(asked.kills, cluster, asked.seed)
    finally:
        cluster.stop()
        shutil.rmtree(folder)
    print(f"{run.kills.total()} kills in {time.monotonic() - began:.0f} s: {dict(run.kills)}")
    print(f"Operations: {dict(run.outcomes)}; {run.checks} checks of the whole; {run.readings} readings in the end.")
    print("Nothing was lost, and nothing was half there.")


if __name__ == "__main__":
    main()
