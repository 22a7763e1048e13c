"""Send the load of simulated devices to a running server: many people and devices, with the faults of real ones."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from math import inf, pi, sin
from time import perf_counter

import httpx2 as httpx

from pulsebase.model.errors import StopError
from pulsebase.model.timerange import DAY_US, MINUTE_US, SECOND_US, format_us

SINGLE_PATH = "/v1/metrics/heart-rate"
BATCH_PATH = "/v1/metrics/heart-rate/batch"
#: The most readings a batch request may hold (the specification of the API).
BATCH_LIMIT = 1_000

_DEVICES = ("device_a", "device_b", "fitbit")
_RECENT_READINGS = 2_000
_LATENCIES = 20_000
_ATTEMPTS = 20
_LATE_US = 40 * MINUTE_US  # how far real watches were seen to step back


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """A load. Shares are parts of 1; the same spec and start give the same requests.

    `rate` is in readings a second, None for as fast as the server takes them. Paced readings carry the time they are
    sent at; unpaced ones fill the days before the start, one second apart on each device. The load ends after `total`
    readings or `duration_s` seconds, whichever comes first; without either it goes on until it is stopped.
    """

    users: int = 10
    devices: int = 2
    rate: float | None = None
    total: int | None = None
    duration_s: float | None = None
    concurrency: int = 8
    batch_readings: int = 200
    single_share: float = 0.1
    duplicate_share: float = 0.02
    disorder_share: float = 0.05
    late_share: float = 0.02
    burst_share: float = 0.1
    bad_share: float = 0.01
    seed: int = 1
    user_prefix: str = "sim"

    def __post_init__(self) -> None:
        if min(self.users, self.devices, self.concurrency) < 1:
            raise ValueError("users, devices and concurrency must be at least 1")
        if not 1 <= self.batch_readings <= BATCH_LIMIT:
            raise ValueError(f"batch_readings must be 1 to {BATCH_LIMIT}")
        if self.rate is not None and self.rate <= 0:
            raise ValueError("rate must be above 0")


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One POST: `due_s` seconds after the start at the earliest, `bad` of its readings to be refused."""

    path: str
    body: bytes
    readings: int
    bad: int
    due_s: float


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """The progress of a load. `sent` counts readings, including duplicates and bad ones; `retried` counts requests sent
    again after a 429, a 503 or a lost connection; `lost` counts readings given up. Latencies are of the last requests.
    """

    elapsed_s: float
    requests: int
    sent: int
    accepted: int
    rejected: int
    lost: int
    retried: int
    statuses: dict[int, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    finished: bool = False


def planned_requests(spec: LoadSpec, start_us: int) -> Iterator[PlannedRequest]:
    """The load's requests in the order they fall due, endless without a total."""
    rng = random.Random(spec.seed)
    devices = _Devices(spec, rng, start_us)
    left = spec.total if spec.total is not None else inf
    sent = 0
    held: list[tuple[int, bool]] = []  # sizes of requests that a device out of reach sends together later
    while left > 0:
        single = rng.random() < spec.single_share
        size = int(min(1 if single else rng.randint(1, spec.batch_readings), left))
        left -= size
        held.append((size, single))
        if rng.random() < spec.burst_share and len(held) < 10 and left > 0:
            continue
        due_s = 0.0 if spec.rate is None else (sent + sum(size for size, _ in held)) / spec.rate
        for count, alone in held:
            readings = [devices.next_reading(sent + place) for place in range(count)]
            sent += count
            yield _planned(rng, spec, readings, alone, due_s)
        held = []


def _planned(
    rng: random.Random, spec: LoadSpec, readings: list[tuple[dict[str, object], bool]], single: bool, due_s: float
) -> PlannedRequest:
    if rng.random() < spec.disorder_share:
        rng.shuffle(readings)
    bad = sum(is_bad for _, is_bad in readings)
    rows = [row for row, _ in readings]
    body = rows[0] if single else {"readings": rows}
    return PlannedRequest(
        SINGLE_PATH if single else BATCH_PATH, json.dumps(body, separators=(",", ":")).encode(), len(rows), bad, due_s
    )


class _Devices:
    """Generates the devices' next readings in turn, and now and then a duplicate, a late reading or a bad one."""

    def __init__(self, spec: LoadSpec, rng: random.Random, start_us: int) -> None:
        self._spec, self._rng, self._start_us = spec, rng, start_us
        self._recent: deque[dict[str, object]] = deque(maxlen=_RECENT_READINGS)
        self._owners = [
            (f"{spec.user_prefix}{user}", _DEVICES[device] if device < len(_DEVICES) else f"device_{device}")
            for user in range(1, spec.users + 1)
            for device in range(spec.devices)
        ]
        self._resting = [rng.uniform(52, 76) for _ in self._owners]
        # Unpaced, a device's seconds fill its last days; after as many it begins again, and repeats itself.
        self._span_s = 7 * DAY_US // SECOND_US
        if spec.total is not None:
            self._span_s = min(self._span_s, spec.total // len(self._owners) + 1)

    def next_reading(self, number: int) -> tuple[dict[str, object], bool]:
        """Return the reading with that running number, and whether the server should refuse it."""
        rng, spec = self._rng, self._spec
        if self._recent and rng.random() < spec.duplicate_share:
            return rng.choice(self._recent), False
        place = number % len(self._owners)
        at_us = self._time_us(number)
        if rng.random() < spec.late_share:
            at_us = max(0, at_us - rng.randrange(_LATE_US))
        user_id, device_id = self._owners[place]
        row: dict[str, object] = {
            "device_id": device_id,
            "user_id": user_id,
            "timestamp": format_us(at_us),
            "heart_rate": round(self._resting[place] + 12 * sin(2 * pi * at_us / DAY_US) + rng.gauss(8, 4)),
        }
        if rng.random() < 0.5:
            row["confidence"] = rng.randint(1, 3)
        if rng.random() < spec.bad_share:
            return _spoiled(rng, row, self._start_us), True
        self._recent.append(row)
        return row, False

    def _time_us(self, number: int) -> int:
        if self._spec.rate is not None:
            return self._start_us + int(number / self._spec.rate * SECOND_US)
        second = number // len(self._owners) % self._span_s
        return self._start_us // SECOND_US * SECOND_US - (self._span_s - second) * SECOND_US


def _spoiled(rng: random.Random, row: dict[str, object], start_us: int) -> dict[str, object]:
    """Return the reading with a fault for which a server refuses that reading alone."""
    fault: dict[str, object] = rng.choice(
        [
            {"heart_rate": 0},
            {"heart_rate": 255},
            {"heart_rate": 29},
            {"heart_rate": 221},
            {"timestamp": format_us(start_us + 400 * DAY_US)},
            {"confidence": 7},
        ]
    )
    return row | fault


# --- sending -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    lost: int = 0
    retried: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    def progress(self, elapsed_s: float, finished: bool) -> LoadProgress:
        ordered = sorted(self.latencies_ms)
        return LoadProgress(
            elapsed_s,
            self.requests,
            self.sent,
            self.accepted,
            self.rejected,
            self.lost,
            self.retried,
            dict(self.statuses),
            percentile(ordered, 0.5),
            percentile(ordered, 0.95),
            percentile(ordered, 0.99),
            finished,
        )


def percentile(ordered: list[float], part: float) -> float:
    """Return the percentile of an ascending list; 0 for an empty one."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


async def simulate(
    url: str,
    spec: LoadSpec,
    *,
    start_us: int,
    every_s: float = 0.5,
    headers: dict[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[LoadProgress]:
    """Run the load against the server at `url`. Yield the progress every `every_s` seconds, and once more at the end.

    Ending the iteration stops the load.

    Raises:
        StopError: nothing answers at `url`, or it refuses whole requests for another reason than their readings.
    """
    limits = httpx.Limits(max_connections=spec.concurrency, max_keepalive_connections=spec.concurrency)
    tally, started = _Tally(), perf_counter()
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=30, transport=transport
    ) as client:
        requests = planned_requests(spec, start_us)
        workers = [
            asyncio.create_task(_send_all(client, requests, spec, tally, started)) for _ in range(spec.concurrency)
        ]
        try:
            pending: set[asyncio.Task[None]] = set(workers)
            while pending:
                done, pending = await asyncio.wait(pending, timeout=every_s, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
                if pending:
                    yield tally.progress(perf_counter() - started, False)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    yield tally.progress(perf_counter() - started, True)


async def _send_all(
    client: httpx.AsyncClient, requests: Iterator[PlannedRequest], spec: LoadSpec, tally: _Tally, started: float
) -> None:
    """Send requests over one connection, taking the next open one each time, until none is left or time is up."""
    until = inf if spec.duration_s is None else started + spec.duration_s
    for request in requests:
        now = perf_counter()
        if max(now, started + request.due_s) >= until:
            return
        if started + request.due_s > now:
            await asyncio.sleep(started + request.due_s - now)
        await _send(client, request, tally)


async def _send(client: httpx.AsyncClient, request: PlannedRequest, tally: _Tally) -> None:
    tally.requests += 1
    tally.sent += request.readings
    for attempt in range(_ATTEMPTS):
        began = perf_counter()
        try:
            response = await client.post(
                request.path, content=request.body, headers={"content-type": "application/json"}
            )
        except httpx.TransportError as error:
            if not tally.statuses:
                raise StopError(f"nothing answers at {client.base_url}: {type(error).__name__}") from error
            wait_s = min(0.1 * 2**attempt, 5.0)
        else:
            tally.latencies_ms.append((perf_counter() - began) * 1000)
            tally.statuses[response.status_code] += 1
            if response.status_code not in (429, 503):
                _count_answer(response, request, tally)
                return
            wait_s = retry_after_s(response.headers.get("retry-after"))
        if attempt + 1 < _ATTEMPTS:
            tally.retried += 1
            await asyncio.sleep(wait_s)
    tally.lost += request.readings


def retry_after_s(header: str | None) -> float:
    """Return the seconds to wait by a `Retry-After` header, one second if it is missing or invalid."""
    return min(float(header), 60.0) if header is not None and header.isdecimal() else 1.0


def _count_answer(response: httpx.Response, request: PlannedRequest, tally: _Tally) -> None:
    """Count the accepted, refused and lost readings of an answer.

    Raises:
        StopError: the server does not accept readings, or not from us.
    """
    status = response.status_code
    if status >= 500:
        tally.lost += request.readings
    elif status == 202:
        rejected = int(response.json().get("rejected", 0))
        tally.rejected += rejected
        tally.accepted += request.readings - rejected
    elif status in (400, 422) and request.bad == request.readings:
        tally.rejected += request.readings
    else:
        raise StopError(f"{response.url} answered {status}: {response.text[:200]}")
