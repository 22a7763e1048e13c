"""One kind of requests on their way: so many connections, as fast as the server answers or when they are due."""

from __future__ import annotations

import asyncio
import mmap
from collections import Counter, deque
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.connection import Connection

_RETRY_S = 0.05
_RETRIED = (429, 503)
_MOST_ERRORS_SHOWN = 3


class LanePlan(Struct, frozen=True):
    """`rate_per_s` 0: as fast as the server answers; else a request's latency counts from when it was due.

    `burst` requests are due at once. `counted` is the field of the answers whose numbers are added up.
    """

    name: str
    requests: str
    port: int
    connections: int
    seconds: float
    rate_per_s: float = 0
    burst: int = 1
    counted: str = ""


class LaneResult(Struct, frozen=True):
    """What was acknowledged. `counted` is the sum of the answers' numbers; `unsent` requests were due and left out,
    because the server was too far behind; `latency_ms`: kind → percentile → value.
    """

    requests: int
    readings: int
    bad: int
    counted: int
    seconds: float
    ran_out: bool
    retried: int
    unsent: int
    statuses: dict[str, int]
    errors: list[str]
    latency_ms: dict[str, dict[str, float]]


class Lane:
    """Sends the requests of a plan in order; ends when the time is over and every answer is there."""

    def __init__(self, plan: LanePlan) -> None:
        self.plan = plan
        path = Path(plan.requests)
        with np.load(path.with_suffix(".npz")) as columns:
            self._ends: list[int] = columns["ends"].tolist()
            self._readings: list[int] = columns["readings"].tolist()
            self._bad: list[int] = columns["bad"].tolist()
            self._kinds: list[str] = columns["kinds"].tolist()
        with path.open("rb") as file:
            self._bytes = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        self._free: deque[Connection] = deque()
        self._open: dict[Connection, tuple[int, float]] = {}
        self._due: deque[tuple[int, float]] = deque()
        self._next = 0
        self._over = False
        self._done_s = 0.0
        self._samples: list[tuple[str, float]] = []
        self._acknowledged: list[int] = []
        self._counted = self._retried = self._unsent = 0
        self._statuses: Counter[str] = Counter()
        self._errors: list[str] = []
        self._mark = f'"{plan.counted}":'.encode() if plan.counted else b""
        self._reconnecting: set[asyncio.Future[None]] = set()
        self._finished = asyncio.Event()

    async def connect(self) -> None:
        for _ in range(self.plan.connections):
            self._free.append(await self._connected())

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self._answered), "127.0.0.1", self.plan.port)
        return connection

    async def run(self) -> None:
        self._start_s = perf_counter()
        self._end_s = self._start_s + self.plan.seconds
        asyncio.get_running_loop().call_later(self.plan.seconds, self._end)
        self._schedule()
        self._pump()
        await self._finished.wait()
        for connection in self._free:
            connection.close()

    def result(self) -> LaneResult:
        latencies: dict[str, list[float]] = {"all": []}
        for kind, latency_s in self._samples:
            latencies["all"].append(latency_s)
            if kind:
                latencies.setdefault(kind, []).append(latency_s)
        return LaneResult(
            requests=len(self._acknowledged),
            readings=sum(self._readings[n] for n in self._acknowledged),
            bad=sum(self._bad[n] for n in self._acknowledged),
            counted=self._counted,
            seconds=self._done_s,
            ran_out=self._next == len(self._readings) and self._done_s < self.plan.seconds * 0.99,
            retried=self._retried,
            unsent=self._unsent,
            statuses=dict(self._statuses),
            errors=self._errors,
            latency_ms={kind: _percentiles(values) for kind, values in latencies.items() if values},
        )

    def _schedule(self) -> None:
        """Make the next burst due, and the one after it when its time comes."""
        if not self.plan.rate_per_s or self._over:
            return
        loop = asyncio.get_running_loop()
        now_s = perf_counter()
        while self._next < len(self._readings):
            due_s = self._start_s + self._next // self.plan.burst * self.plan.burst / self.plan.rate_per_s
            if due_s >= self._end_s:
                break
            if due_s > now_s:
                loop.call_later(due_s - now_s, self._schedule)
                break
            self._due.append((self._next, due_s))
            self._next += 1
        self._pump()

    def _end(self) -> None:
        self._over = True  # a flag: the loop's clock is coarser than ours, and its timers may be early
        self._pump()

    def _pump(self) -> None:
        if self._over:
            self._unsent += len(self._due)
            self._due.clear()
        self._free = deque(connection for connection in self._free if connection.alive)
        while self._free:
            if self._due:
                number, due_s = self._due.popleft()
            elif not self.plan.rate_per_s and not self._over and self._next < len(self._readings):
                number, due_s = self._next, perf_counter()
                self._next += 1
            else:
                break
            self._send(self._free.popleft(), number, due_s)
        over = self._over or (not self._due and self._next == len(self._readings))
        if not self._open and (over or not self._free):
            self._finished.set()

    def _send(self, connection: Connection, number: int, due_s: float) -> None:
        self._open[connection] = (number, due_s)
        connection.send(self._bytes[self._ends[number] : self._ends[number + 1]])

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        number, due_s = self._open[connection]
        if status in _RETRIED:
            self._retried += 1
            asyncio.get_running_loop().call_later(_RETRY_S, self._again, connection, number, due_s)
            return
        del self._open[connection]
        self._statuses[str(status)] += 1
        if 200 <= status < 300:
            self._done_s = perf_counter() - self._start_s
            self._samples.append((self._kinds[number], perf_counter() - due_s))
            self._acknowledged.append(number)
            self._counted += _number_after(body, self._mark) if self._mark else 0
        elif len(self._errors) < _MOST_ERRORS_SHOWN:
            self._errors.append(f"{status} {body[:300]!r}")
        self._free.append(connection)
        self._pump()

    def _again(self, connection: Connection, number: int, due_s: float) -> None:
        """Send what was refused for the moment. A server that did not read all of it has closed the connection."""
        if connection.alive:
            self._send(connection, number, due_s)
        else:
            self._reconnecting.add(asyncio.ensure_future(self._again_over_another(connection, number, due_s)))

    async def _again_over_another(self, lost: Connection, number: int, due_s: float) -> None:
        connection = await self._connected()
        del self._open[lost]
        self._send(connection, number, due_s)


def _number_after(body: bytes, mark: bytes) -> int:
    at = body.find(mark)
    digits = body[at + len(mark) : at + len(mark) + 20].lstrip().split(b",", 1)[0].split(b"}", 1)[0]
    return int(digits) if at >= 0 else 0


def _percentiles(values_s: list[float]) -> dict[str, float]:
    found: Any = np.percentile(values_s, [50, 95, 99, 99.9, 100]) * 1_000
    return dict(zip(("p50", "p95", "p99", "p99_9", "max"), (round(float(value), 2) for value in found), strict=True))
