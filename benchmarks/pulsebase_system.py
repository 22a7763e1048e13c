"""Pulsebase itself, with its default settings."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode, urlsplit

import msgspec
import psycopg
from msgspec import Struct

from benchmarks.encode import arrow_stream, json_readings, pieces
from benchmarks.history import Question
from benchmarks.population import CohortQuestion, TopHoursQuestion
from benchmarks.processes import fetch, free_port, started
from benchmarks.requests import Sent, get, post
from benchmarks.sizes import Sizes
from benchmarks.system import Door, Running
from benchmarks.workloads import Readings, user_id
from pulsebase.sources.fixtures import FixtureSpec

PATH = "/v1/metrics/heart-rate"
ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"

#: The server of the case over TimescaleDB; its user may create databases.
TIMESCALE_URL = "PULSEBASE_TEST_TIMESCALE_URL"
PROGRAM = [sys.executable, "-c", "from pulsebase.cli.app import main; main()"]


class _User(Struct):
    readings: int


class _UserPage(Struct):
    data: list[_User]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RunningPulsebase:
    port: int
    data: Path
    env: Mapping[str, str]
    process: subprocess.Popen[bytes]
    #: The servers of its store, where these run here.
    servers: Sequence[int] = ()

    def pids(self) -> list[int]:
        return [self.process.pid, *self.servers]

    def has(self, door: Door) -> bool:
        # An empty body is refused where the route is there, and not found or not allowed where it is not.
        return door is not Door.BULK or fetch(self.port, f"{PATH}/bulk", method="POST", body=b"")[0] not in (404, 405)

    def prefill(self, parts: Iterator[Readings]) -> int | None:
        del parts
        return None

    def unmerged(self) -> int | None:
        return int(self._metric("pulsebase_store_unmerged_readings"))

    def accepted(self) -> int | None:
        return int(self._metric("pulsebase_ingest_readings_accepted_total"))

    def stored(self) -> int | None:
        total, cursor = 0, ""
        while True:
            query = urlencode({"limit": 100} | ({"cursor": cursor} if cursor else {}))
            page = msgspec.json.decode(fetch(self.port, f"/v1/users?{query}")[1], type=_UserPage)
            total += sum(user.readings for user in page.data)
            cursor = page.next_cursor or ""
            if not cursor:
                return total

    def _metric(self, name: str) -> float:
        """The sum over the metric's labels."""
        text = fetch(self.port, "/metrics")[1].decode()
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Pulsebase:
    name: ClassVar[str] = "pulsebase"
    durable: ClassVar[str] = "on the disk and visible"
    counted: ClassVar[str] = "accepted"
    rows: ClassVar[str] = "count"
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 800_000, Door.BULK: 6_000_000, Door.SINGLE: 12_000}
    doors: ClassVar[Mapping[Door, str]] = {Door.BATCH: "JSON", Door.BULK: "Arrow stream", Door.SINGLE: "JSON"}

    def absent(self) -> str | None:
        return None

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPulsebase]:
        del sizes
        data = folder / "data"
        data.mkdir()
        with serving(folder, data, environment(embedded_url(data))) as running:
            yield running

    def requests(self, door: Door, parts: Iterator[Readings], sizes: Sizes) -> Iterator[Sent]:
        if door is Door.BULK:
            for part in parts:
                body = arrow_stream(part, sizes.bulk_record_batch_readings)
                yield Sent(post(f"{PATH}/bulk", body, ARROW), len(part), int(part.bad.sum()))
        elif door is Door.BATCH:
            yield from json_batches(parts, sizes.batch_readings, f"{PATH}/batch")
        else:
            yield from json_singles(parts, PATH)

    def ask(self, question: Question) -> bytes | None:
        parameters = {
            "user_id": user_id(question.person),
            "start_date": iso(question.start_s),
            "end_date": iso(question.end_s),
        }
        if question.kind == "day_1000_points":
            parameters["max_points"] = "1000"
        return get(f"/v1/timeseries?{urlencode(parameters)}")

    def fixtures_command(self, spec: FixtureSpec) -> list[str]:
        sizes = ["--users", str(spec.users), "--readings", str(spec.readings), "--seed", str(spec.seed)]
        return [*PROGRAM, "fixtures", *sizes, "--start", str(spec.first_day)]

    def populate(self, running: Running, spec: FixtureSpec) -> None:
        assert isinstance(running, RunningPulsebase)
        subprocess.run(self.fixtures_command(spec), env=running.env, stdout=subprocess.DEVNULL, check=True)

    def late(self, body: bytes) -> bytes:
        return post(f"{PATH}/bulk", body, ARROW)

    def ask_cohort(self, question: CohortQuestion) -> bytes:
        parameters = {
            "min_age": question.min_age,
            "gender": question.genders,
            "min_avg_heart_rate": question.min_average,
            "start": iso(question.start_s),
            "end": iso(question.end_s),
            "limit": 1_000,  # everybody on one page, as the others answer
        }
        return get(f"/v1/cohorts/heart-rate?{urlencode(parameters, doseq=True)}")

    def ask_top_hours(self, question: TopHoursQuestion) -> bytes:
        window = {"start": iso(question.start_s), "end": iso(question.end_s)}
        return get(f"/v1/users/{question.person}/heart-rate/top-hours?{urlencode(window)}")


class PulsebaseTimescale(Pulsebase):
    """The same over a TimescaleDB server that whoever runs this has named; nothing is known of its disk."""

    name: ClassVar[str] = "pulsebase-timescale"
    durable: ClassVar[str] = "committed by the database server and visible"
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 200_000, Door.BULK: 1_000_000, Door.SINGLE: 6_000}

    def absent(self) -> str | None:
        return None if os.environ.get(TIMESCALE_URL) else f"no server is named in {TIMESCALE_URL}"

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPulsebase]:
        del sizes
        data = folder / "data"
        data.mkdir()
        with self.database() as url, serving(folder, data, environment(url)) as running:
            yield running

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database that is set up and empty, and goes at the end."""
        server, database = os.environ[TIMESCALE_URL], f"pulsebase_bench_{uuid.uuid4().hex[:12]}"
        url = urlsplit(server)._replace(path=f"/{database}").geturl()
        with psycopg.connect(server, autocommit=True) as owner:
            owner.execute(f"CREATE DATABASE {database}")
            try:
                subprocess.run([*PROGRAM, "db", "init", "--store", url], check=True, stdout=subprocess.DEVNULL)
                yield url
            finally:
                owner.execute(f"DROP DATABASE {database} WITH (FORCE)")


@contextlib.contextmanager
def serving(
    folder: Path, data: Path, env: Mapping[str, str], servers: Sequence[int] = ()
) -> Iterator[RunningPulsebase]:
    """A server over a store that is ready; `env` names the store."""
    port = free_port()
    command = [*PROGRAM, "serve", "--port", str(port)]
    env = {**env, "PULSEBASE_STATE_FOLDER": str(data / "sources")}
    with started(command, port, folder=folder, ready_path="/health", env=env) as process:
        yield RunningPulsebase(port, data, env, process, servers)


def environment(store_url: str) -> dict[str, str]:
    """Settings of whoever runs this must not leak in: what is measured is the defaults."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PULSEBASE_")}
    return env | {"PULSEBASE_STORE_URL": store_url}


def embedded_url(data: Path) -> str:
    """The store of a benchmark in its folder."""
    return f"duckdb:///{data / 'pulsebase.duckdb'}"


def iso(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_batches(parts: Iterator[Readings], size: int, path: str) -> Iterator[Sent]:
    """Requests of the JSON batch door, which peers with that door share."""
    for part in parts:
        text, ends = json_readings(part)
        for number, piece in enumerate(pieces(text, ends, size)):
            rows = part[number * size : (number + 1) * size]
            yield Sent(post(path, b'{"readings":[' + piece + b"]}", JSON), len(rows), int(rows.bad.sum()))


def json_singles(parts: Iterator[Readings], path: str) -> Iterator[Sent]:
    for part in parts:
        text, ends = json_readings(part)
        bad = part.bad.tolist()
        for number, piece in enumerate(pieces(text, ends, 1)):
            if not bad[number]:  # a refused request stores nothing; this door is judged by what it stores
                yield Sent(post(path, piece, JSON), 1)
