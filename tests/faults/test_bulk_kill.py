"""The server dies while a bulk body comes in: what is stored are the body's first blocks, each of them whole."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.model.timerange import format_us
from tests.support.process import ARROW, BASE_US, Place, Server, serving, wait_until

#: Of lines a block is what is read of them at once; of Arrow it is a record batch.
LINES_BYTES = 4 << 20
READINGS = 120_000
BATCH = 7_000


def lines() -> bytes:
    return b"".join(
        b'{"user_id":"ann","device_id":"strap","timestamp":"%s","heart_rate":%d}\n'
        % (format_us(BASE_US + n * 1_000_000).encode(), 60 + n % 100)
        for n in range(READINGS)
    )


def table() -> pa.Table:
    return pa.table(
        {
            "user_id": ["ann"] * READINGS,
            "device_id": ["strap"] * READINGS,
            "timestamp": pa.array([BASE_US + n * 1_000_000 for n in range(READINGS)], pa.timestamp("us", "UTC")),
            "heart_rate": [60.0 + n % 100 for n in range(READINGS)],
        }
    )


def arrow() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table().schema) as writer:
        writer.write_table(table(), max_chunksize=BATCH)
    return bytes(sink.getvalue())


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table(), sink)
    return bytes(sink.getvalue())


def line_blocks() -> set[int]:
    """How many readings the first block has, the first two … when each ends with the last whole line of its bytes."""
    body, ends, at = lines(), {0}, 0
    while at < len(body):
        end = len(body) if at + LINES_BYTES >= len(body) else body.rfind(b"\n", 0, at + LINES_BYTES) + 1
        # What is left of a piece is in front of the next one, of which as much is read as of any.
        ends.add(body[:end].count(b"\n"))
        at += LINES_BYTES
    return ends


KINDS: dict[str, tuple[Callable[[], bytes], dict[str, str], Callable[[], set[int]]]] = {
    "lines": (lines, {"Content-Type": "application/x-ndjson"}, line_blocks),
    "packed lines": (
        lambda: gzip.compress(lines(), 1),
        {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
        line_blocks,
    ),
    "arrow": (arrow, {"Content-Type": ARROW}, lambda: {*range(0, READINGS, BATCH), READINGS}),
    "parquet": (parquet, {"Content-Type": "application/vnd.apache.parquet"}, lambda: {0}),
}


#: Each kind late in its body, and one of those that come in blocks early, before any is complete.
@pytest.mark.parametrize(("kind", "share"), [("lines", 0.3), *((kind, 0.95) for kind in KINDS)])
def test_what_a_killed_server_has_of_a_body_are_its_first_blocks(tmp_path: Path, kind: str, share: float) -> None:
    make, headers, ends = KINDS[kind]
    body = make()
    place = Place(tmp_path, merge_interval_s="3600")
    with serving(place) as server:
        is_stored = kind != "parquet" and share > 0.5
        send_until_killed(server, body[: int(len(body) * share)], headers, is_stored_by_now=is_stored)
    with serving(place) as server:
        stored = server.raw("ann")
        assert len(stored) in ends()
        assert stored or not is_stored
        assert sorted(stored) == [BASE_US + n * 1_000_000 for n in range(len(stored))]
        answer = server.client.post("/v1/metrics/heart-rate/bulk", content=body, headers=headers).json()
        assert (answer["accepted"], answer["rejected"], answer["total"]) == (READINGS, 0, READINGS)
        assert len(server.raw("ann")) == READINGS


def send_until_killed(server: Server, part: bytes, headers: dict[str, str], *, is_stored_by_now: bool) -> None:
    """Send a part of a body, and kill the server while it waits for the rest; not before some of it is stored."""
    sent, killed = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        for first in range(0, len(part), 1 << 16):
            yield part[first : first + (1 << 16)]
        sent.set()
        killed.wait(60)
        raise ConnectionResetError

    def send() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client, pytest.raises((httpx.TransportError, OSError)):
            client.post("/v1/metrics/heart-rate/bulk", content=pieces(), headers=headers)

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(sent.is_set, "the part")
    if is_stored_by_now:
        wait_until(lambda: server.metric("pulsebase_ingest_commit_readings_sum") > 0, "a block")
    before = -1.0
    while (now := server.metric("pulsebase_ingest_commit_readings_sum")) != before:  # until no block comes any more
        before = now
        threading.Event().wait(0.5)
    server.kill()
    killed.set()
    thread.join()
