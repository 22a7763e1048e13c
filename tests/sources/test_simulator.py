import asyncio
import json
from collections import Counter
from itertools import islice
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.model.errors import StopError
from pulsebase.sources.simulator import (
    BATCH_PATH,
    SINGLE_PATH,
    LoadProgress,
    LoadSpec,
    PlannedRequest,
    percentile,
    planned_requests,
    retry_after_s,
    simulate,
)

START_US = 1_750_000_000_000_000


def rows_of(request: PlannedRequest) -> list[dict[str, Any]]:
    body = json.loads(request.body)
    return [body] if request.path == SINGLE_PATH else body["readings"]


def is_bad(row: dict[str, Any]) -> bool:
    return not 30 <= row["heart_rate"] <= 220 or row.get("confidence", 1) > 3 or row["timestamp"] > "2025-06-16"


def test_the_same_seed_gives_the_same_requests() -> None:
    spec = LoadSpec(total=5_000)
    assert list(planned_requests(spec, START_US)) == list(planned_requests(spec, START_US))
    assert list(planned_requests(spec, START_US)) != list(planned_requests(LoadSpec(total=5_000, seed=2), START_US))


def test_a_load_holds_its_total_and_its_faults() -> None:
    requests = list(planned_requests(LoadSpec(users=5, devices=3, total=50_000, bad_share=0.01), START_US))
    rows = [row for request in requests for row in rows_of(request)]
    assert len(rows) == sum(request.readings for request in requests) == 50_000
    assert sum(request.bad for request in requests) == sum(map(is_bad, rows)) == pytest.approx(500, rel=0.3)
    assert {request.path for request in requests} == {SINGLE_PATH, BATCH_PATH}
    assert len({(row["user_id"], row["device_id"]) for row in rows}) == 15
    keys = Counter((row["user_id"], row["device_id"], row["timestamp"]) for row in rows if not is_bad(row))
    assert 500 < sum(count - 1 for count in keys.values()) < 3_000  # duplicates
    times = [row["timestamp"] for row in rows]
    assert times != sorted(times)


def test_paced_requests_fall_due_at_the_rate_and_carry_times_already_past() -> None:
    requests = list(islice(planned_requests(LoadSpec(rate=1_000.0, late_share=0, bad_share=0), START_US), 300))
    due = [request.due_s for request in requests]
    assert due == sorted(due)
    assert len(set(due)) < len(due)  # bursts
    assert due[-1] == pytest.approx(sum(request.readings for request in requests) / 1_000, rel=0.05)


@pytest.mark.parametrize("wrong", [{"users": 0}, {"batch_readings": 1_001}, {"rate": 0.0}])
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LoadSpec(**wrong)


def test_helpers() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3
    assert (retry_after_s("3"), retry_after_s(None), retry_after_s("soon"), retry_after_s("9999")) == (3, 1, 1, 60)


class Server:
    """Judges readings as the API does, and is busy for its first answers."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.good = self.bad = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.busy > 0:
            self.busy -= 1
            return httpx.Response(503, headers={"retry-after": "0"})
        body = json.loads(request.content)
        rows = body["readings"] if request.url.path == BATCH_PATH else [body]
        bad = sum(map(is_bad, rows))
        self.good += len(rows) - bad
        self.bad += bad
        return httpx.Response(400 if bad == len(rows) else 202, json={"rejected": bad})


def run(spec: LoadSpec, transport: httpx.AsyncBaseTransport) -> list[LoadProgress]:
    async def collect() -> list[LoadProgress]:
        load = simulate("http://test", spec, start_us=START_US, every_s=0.01, transport=transport)
        return [progress async for progress in load]

    return asyncio.run(collect())


def test_a_load_counts_what_the_server_counts_and_tries_again_when_it_is_busy() -> None:
    server = Server(busy=5)
    last = run(LoadSpec(total=5_000, concurrency=4, bad_share=0.05), httpx.MockTransport(server))[-1]
    assert last.finished
    assert (last.sent, last.accepted, last.rejected, last.lost) == (5_000, server.good, server.bad, 0)
    assert last.retried == last.statuses[503] == 5
    assert 0 < last.p50_ms <= last.p95_ms <= last.p99_ms


def test_a_paced_load_ends_after_its_duration() -> None:
    steps = run(LoadSpec(rate=2_000.0, duration_s=0.3, batch_readings=20), httpx.MockTransport(Server()))
    assert steps[-1].finished
    # How many requests got their turn is the machine's affair; none may come after the end of the load.
    assert 0 < steps[-1].sent <= 700


def test_a_server_that_is_not_there_stops_the_load() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(StopError, match="nothing answers at http://test"):
        run(LoadSpec(total=10), httpx.MockTransport(refuse))


def test_a_server_that_refuses_for_another_reason_stops_the_load() -> None:
    with pytest.raises(StopError, match="answered 401"):
        run(LoadSpec(total=10), httpx.MockTransport(lambda _: httpx.Response(401, text="who are you")))
