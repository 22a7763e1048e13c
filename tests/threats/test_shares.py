"""Things that all callers share, and somebody who takes all they can get of one: others are answered meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.access.shares import Resource
from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.decoding import Decoders
from pulsebase.ingest.blocks import Block, ReadingFields
from pulsebase.stores.duckdb.read.person_snapshot import PersonSnapshot
from pulsebase.telemetry import REGISTRY
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, guarded, lines, reading

#: Nobody judges speed here: this only tells an answer from none, while whatever is in the way stays there.
ANSWERED_S = 20
#: A raw answer about so many is some megabytes more than the buffers of a connection take that nobody reads.
READINGS, DEVICE_ID = 50_000, "d" * 120
NDJSON = {"content-type": "application/x-ndjson"}
GZIP = {"content-encoding": "gzip"}


class Place:
    """A real server over some readings of ann, with keys for somebody who takes all, and for somebody else."""

    def __init__(self, guarded: Guarded, port: int, readings: int) -> None:
        self.guarded, self.port = guarded, port
        self.taker, self.other = guarded.key("taker"), guarded.key("other")
        body = b"heart_rate,user_id=ann,device_id=" + DEVICE_ID.encode() + b" bpm=60 %d\n"
        at_s = 1_705_312_800
        for first in range(0, readings, 10_000):
            sent = b"".join(body % (at_s + place) for place in range(first, min(first + 10_000, readings)))
            answer = guarded.owner.post("/api/v2/write?precision=s", content=sent)
            assert answer.status_code == 204

    def client(self, key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60, trust_env=False)

    def held(self, resource: Resource) -> int:
        """How much of it all callers hold together."""
        shares = self.guarded.parts.services.shares
        assert shares is not None
        return shares._pools[resource]._used

    def get(self, path: str, key: str, **parameters: Any) -> httpx.Response:
        with self.client(key) as client:
            return client.get(path, params=parameters or None)

    def post(self, body: bytes, key: str) -> httpx.Response:
        """A bulk body in Parquet."""
        with self.client(key) as client:
            headers = {"content-type": "application/vnd.apache.parquet"}
            return client.post("/v1/metrics/heart-rate/bulk", content=body, headers=headers)

    def answers_others(self) -> None:
        """Fails unless somebody else's question, and one about the server, are answered."""
        for path in ("/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-16&interval=1h", "/health"):
            began = time.monotonic()
            assert self.get(path, self.other).status_code == 200
            assert time.monotonic() - began < ANSWERED_S

    def begin(self, head: str, body: bytes = b"", *, reads_little: bool = False) -> socket.socket:
        """A connection of the taker with a request, whose answer nobody reads yet."""
        connection = socket.socket()
        if reads_little:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", self.port))
        request = f"{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.taker}\r\n"
        connection.sendall(request.encode() + body)
        return connection


def parquet(user_id: str, padding: str = "") -> bytes:
    """A reading; with more bytes in what nobody reads, if wanted."""
    columns = {name: [value] for name, value in reading(user_id).items()}
    file = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({"padding": padding}), file)
    return file.getvalue()


@contextlib.contextmanager
def served(readings: int = 100, **settings: Any) -> Iterator[Place]:
    with (
        guarded(**settings) as found,
        bound_socket("127.0.0.1", 0) as listener,
        serving(found.parts.app, [listener]),
    ):
        yield Place(found, listener.getsockname()[1], readings)


@contextlib.contextmanager
def kept_open(begin: Callable[[], socket.socket], count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as closing:
        yield [closing.enter_context(begin()) for _ in range(count)]


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(4096).split(b" ")[1])


def refused(resource: str, reason: str = "own") -> float:
    labels = {"resource": resource, "reason": reason}
    return REGISTRY.get_sample_value("pulsebase_shares_refused_total", labels) or 0


def is_refused(answer: httpx.Response, status: int = 429) -> bool:
    kind = {429: "too-many-requests", 503: "unavailable"}[status]
    said = answer.json()["type"] if answer.status_code >= 400 else ""
    return (answer.status_code, said) == (status, f"urn:pulsebase:problem:{kind}") and int(
        answer.headers["retry-after"]
    ) > 0


@pytest.mark.parametrize("path", ["/v1/metrics/heart-rate/bulk", "/v1/imports?name=a"])
def test_uploads_that_hardly_come_keep_nobody_from_asking(path: str) -> None:
    with served() as place:
        before = refused("uploads")
        body = b"Content-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n{"
        with kept_open(lambda: place.begin(f"POST {path}", body), 45):
            place.answers_others()
            wait_until(lambda: refused("uploads") - before >= 41, "those beyond its share are refused")
            place.answers_others()
            with place.client(place.other) as other:
                mine = other.post("/v1/metrics/heart-rate/bulk", content=lines("ben"), headers=NDJSON)
                assert (mine.status_code, mine.json()["accepted"]) == (202, 1)


ONE_BODY = {"body_limit_bytes": 4 << 20, "body_bytes": 16 << 20}
LENGTH = f"Content-Length: {4 << 20}\r\n\r\n".encode()
CHUNK = f"Transfer-Encoding: chunked\r\n\r\n{(4 << 20) - 1:x}\r\n".encode()


BATCH = "/v1/metrics/heart-rate/batch"


@pytest.mark.parametrize(
    ("path", "head"),
    [(BATCH, LENGTH), (BATCH, CHUNK), ("/v1/metrics/heart-rate", LENGTH), ("/api/v2/write", LENGTH)],
    ids=["batch", "chunks", "single", "lines"],
)
def test_bodies_that_never_end_hold_the_memory_of_their_key_alone(
    path: str, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsebase.wiring_options._WAIT_S", 0.5)
    packed = gzip.compress(json.dumps({"readings": [reading("ann")]}).encode())
    with served(**ONE_BODY) as place, place.client(place.taker) as taker, place.client(place.other) as other:
        before = refused("body bytes")
        pool = place.guarded.parts.app.state.shares.pool("body bytes")
        begun = head + b"{" + b" " * ((4 << 20) - 2)  # all but its last byte
        with kept_open(lambda: place.begin(f"POST {path}", begun), 1):
            wait_until(lambda: pool.used == 4 << 20, "its share is in use")
            with kept_open(lambda: place.begin(f"POST {path}", head + b"{" * (1 << 20)), 8) as more:
                assert {status_of(connection) for connection in more} == {429}
            assert refused("body bytes") - before == 8
            place.answers_others()
            assert other.post(BATCH, content=packed, headers=GZIP).status_code == 202
            assert taker.post(BATCH, json={"readings": [reading("ann")]}).status_code == 202, (
                "a small body holds nothing"
            )
            assert is_refused(taker.post(BATCH, json={"readings": [reading("ann")], " " * (1 << 20): 1}))
            assert is_refused(taker.post(BATCH, content=packed, headers=GZIP)), "nor may it be unpacked"
        sent = taker.post(BATCH, content=packed, headers=GZIP)
        assert sent.status_code == 202, "its share is its own again"


def test_streams_of_one_key_leave_room_for_others() -> None:
    with served(stream_subscribers=8) as place, contextlib.ExitStack() as closing:
        for _ in range(2):
            opened = closing.enter_context(place.begin("GET /v1/stream?user_ids=ann", b"\r\n"))
            assert status_of(opened) == 200
        assert is_refused(place.get("/v1/stream", place.taker, user_ids="ann"))
        with place.client(place.other) as other, other.stream("GET", "/v1/stream?user_ids=ann") as answer:
            assert answer.status_code == 200
    with served(stream_subscribers=1) as place:
        opened = closing.enter_context(place.begin("GET /v1/stream?user_ids=ann", b"\r\n"))
        assert status_of(opened) == 200
        assert is_refused(place.get("/v1/stream", place.other, user_ids="ann"), 503)
        opened.close()


def test_answers_that_nobody_takes_hold_the_rows_of_their_key_alone() -> None:
    question = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-16&interval=raw"
    with served(READINGS, max_rows=READINGS + 1000, answer_rows=4 * READINGS) as place:
        before = refused("answer rows")
        with kept_open(lambda: place.begin(f"GET {question}", b"\r\n", reads_little=True), 4) as opened:
            wait_until(lambda: refused("answer rows") - before >= 3, "all but one are refused", 60)
            place.answers_others()
            assert place.get(question, place.other).json()["count"] == READINGS
            assert is_refused(place.get(question, place.taker))
            assert place.get(question.replace("raw", "1h"), place.taker).status_code == 200, "few rows have room"
            statuses = sorted(status_of(connection) for connection in opened)
            assert statuses == [200, 429, 429, 429]
        wait_until(lambda: place.get(question, place.taker).status_code == 200, "its share is its own again", 60)


def test_questions_of_one_key_wait_for_one_another_and_not_others_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(questions=8) as place:
        store = place.guarded.parts.services.store
        knows, slow, go_on = store.knows, [], threading.Event()

        def knows_slowly(user_id: str) -> bool:
            if user_id == "slow":
                slow.append(user_id)
                go_on.wait(60)
            return knows(user_id)

        monkeypatch.setattr(type(store), "knows", lambda _, user_id: knows_slowly(user_id))
        question = "/v1/timeseries?user_id=slow&start_date=2024-01-15&end_date=2024-01-16"
        with kept_open(lambda: place.begin(f"GET {question}", b"\r\n"), 6) as opened:
            wait_until(lambda: len(slow) == 2, "its share is at work")
            place.answers_others()
            assert len(slow) == 2, "the rest waits"
            go_on.set()
            assert {status_of(connection) for connection in opened} == {404}


def test_exports_that_nobody_takes_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(READINGS, exports=8) as place:
        before = refused("exports")
        export = lambda: place.begin("GET /v1/users/ann/export", b"\r\n", reads_little=True)  # noqa: E731
        monkeypatch.setattr("pulsebase.api.routes.exports._PACKING", 0)
        with kept_open(export, 12):
            wait_until(lambda: refused("exports") - before == 10, "those beyond its share are refused")
            place.answers_others()
            assert place.get("/v1/users/ann/export", place.other).status_code == 200
            assert is_refused(place.get("/v1/users/ann/export", place.taker))


def test_imports_of_one_key_wait_one_at_a_time_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as place, place.client(place.taker) as taker, place.client(place.other) as other:
        write, seen, go_on = place.guarded.parts.ingestor.write, [], threading.Event()

        def write_later(*given: Any) -> Any:
            seen.append(given)
            go_on.wait(60)
            return write(*given)

        monkeypatch.setattr(place.guarded.parts.ingestor, "write", write_later)
        running = taker.post("/v1/imports?name=a", content=lines("ann")).json()["id"]
        wait_until(lambda: seen, "the first import runs")
        waiting = taker.post("/v1/imports?name=b", content=lines("ann")).json()["id"]
        assert is_refused(taker.post("/v1/imports?name=c", content=lines("ann")))
        mine = other.post("/v1/imports?name=d", content=lines("ben"))
        assert mine.status_code == 202
        place.answers_others()
        assert taker.delete(f"/v1/imports/{waiting}").status_code == 202
        assert taker.get(f"/v1/imports/{waiting}").json()["course"]["failure"] == "it was cancelled"
        go_on.set()
        for number in (running, mine.json()["id"]):
            path = f"/v1/imports/{number}"
            wait_until(lambda path=path: other.get(path).json()["status"] == "done", "the others end")


def test_decoders_of_one_key_leave_one_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two, while bodies of one key last; and a body of that key waits no longer than it may."""
    monkeypatch.setattr("pulsebase.wiring_options._DECODER_WAIT_S", 0.5)
    with served() as place, ThreadPoolExecutor(3) as threads:
        decode, begun, done = Decoders.parquet, [], threading.Event()

        def decode_slowly(self: Decoders, file: Any, sent_bytes: int, fields: ReadingFields) -> Iterator[Block]:
            if sent_bytes > len(parquet("ben")):
                begun.append(sent_bytes)
                assert done.wait(60)
            return decode(self, file, sent_bytes, fields)

        monkeypatch.setattr(Decoders, "parquet", decode_slowly)
        long = parquet("ann", padding="x" * 4000)
        waiting = [threads.submit(place.post, long, place.taker) for _ in range(3)]
        ended = as_completed(waiting, 60)
        assert all(is_refused(next(ended).result()) for _ in range(2))
        assert len(begun) == 1
        place.answers_others()
        assert place.post(parquet("ben"), place.other).status_code == 202
        done.set()
        assert sorted(each.result().status_code for each in waiting) == [202, 429, 429]
        assert place.post(long, place.taker).status_code == 202, "its share is its own again"


def test_an_import_holds_a_decoder_of_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.wiring_options._DECODER_WAIT_S", 0.5)
    with served() as place, place.client(place.taker) as taker:
        write, going_on, seen = place.guarded.parts.ingestor.write, threading.Event(), []

        def write_slowly(*given: Any) -> Any:
            seen.append(given)
            assert going_on.wait(60)
            return write(*given)

        monkeypatch.setattr(place.guarded.parts.ingestor, "write", write_slowly)
        number = taker.post("/v1/imports?name=a", content=lines("ann")).json()["id"]
        wait_until(lambda: seen, "the import runs")
        assert is_refused(place.post(parquet("ann"), place.taker))
        assert place.post(parquet("ben"), place.other).status_code == 202
        going_on.set()
        wait_until(lambda: taker.get(f"/v1/imports/{number}").json()["status"] == "done", "the import ends")
        assert place.post(parquet("ann"), place.taker).status_code == 202


def test_uploads_that_would_fill_the_temporary_folder_are_refused_by_their_length() -> None:
    with served(import_limit_bytes=1 << 20, spooled_bytes=2 << 20) as place:
        body = b"Content-Length: 1000000\r\n\r\n{"
        with place.begin("POST /v1/imports?name=a", body):
            wait_until(lambda: place.held("spooled bytes") > 0, "it is taken in")
            with place.begin("POST /v1/imports?name=b", body) as second:
                assert status_of(second) == 429
            with place.client(place.other) as other:
                answer = other.post("/v1/imports?name=a", content=lines("ben"))
                assert answer.status_code == 202


def test_without_keys_addresses_have_shares_and_this_machine_has_all() -> None:
    with guarded(access="off", stream_subscribers=0, exports=4) as place:
        shares = place.parts.services.shares
        assert shares is not None
        far = place.client(address="192.0.2.1")
        assert far.post("/v1/metrics/heart-rate", json=reading("ann")).status_code == 202
        assert is_refused(far.get("/v1/stream?user_ids=ann"), 503)


def test_a_question_about_centuries_reads_the_weeks_that_hold_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded(store_url=f"duckdb:///{tmp_path}/a.duckdb") as place:
        for timestamp in ("1975-03-01T10:00:00Z", "2024-01-15T10:00:00Z"):
            sent = place.owner.post("/v1/metrics/heart-rate", json=reading("ann", timestamp))
            assert sent.status_code == 202
        place.parts.store.settle()
        late = place.owner.post("/v1/metrics/heart-rate", json=reading("ann", "2001-01-01T00:00:00Z"))
        assert late.status_code == 202
        rows, read = PersonSnapshot.rows, []

        def counted(*asked: Any) -> Any:
            read.append(asked)
            return rows(*asked)

        monkeypatch.setattr(PersonSnapshot, "rows", counted)
        for interval in ("1s", "1m"):
            parameters = {"start_date": "1970-01-01", "end_date": "2199-01-01", "interval": interval}
            answer = place.owner.get("/v1/timeseries", params={"user_id": "ann"} | parameters)
            assert [at[:4] for at in answer.json()["columns"]["timestamp"]] == ["1975", "2001", "2024"]
        assert len(read) == 6
