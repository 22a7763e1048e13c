"""Bodies, files and connections that want to fill the memory: that of the server and of all its processes is bounded,
whatever comes, and others are answered meanwhile.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import zstandard

from tests.support import fit
from tests.support.health_files import apple_export
from tests.support.process import BASE_US, Place, Server, serving
from tests.threats.test_bombs import a_dictionary_per_column, views_in_three_columns
from tests.threats.test_connections import accepted_bytes
from tests.threats.test_processor import arrow_of, parquet_of, readings
from tests.threats.test_server import made, soon

logger = logging.getLogger(__name__)

#: What server and decoders may take together.
MOST_MIB = 2048
#: Nobody judges speed here: this only tells an answer from none.
ANSWERED_S = 10
BULK, BATCH, WRITE = "/v1/metrics/heart-rate/bulk", "/v1/metrics/heart-rate/batch", "/api/v2/write"
#: As many of each at once as are let in, and more.
AT_ONCE = 5
QUESTION = "/v1/timeseries?user_id=ann&start_date=2024-01-01&end_date=2024-01-03&interval="


class Target:
    """A server with somebody who attacks it, and somebody else, who asks."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.headers = made(server.place, "attacker", "--scope", "ingest", "--scope", "read", "--scope", "admin")
        theirs = made(server.place, "other", "--scope", "read")
        assert all(soon(server, headers, 200) for headers in (self.headers, theirs))
        self.other = httpx.Client(base_url=server.url, headers=theirs)
        self.port = int(server.url.rpartition(":")[2])

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.url, headers=self.headers, timeout=120, trust_env=False)

    def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        with self.client() as client:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.post(path, content=body, headers=sent)

    def imported(self, body: bytes) -> dict[str, Any]:
        """The course of an import, once it has ended."""
        with self.client() as client:
            began = client.post("/v1/imports?name=x&user_id=ann", content=body)
            assert began.status_code == 202, began.text
            while (found := client.get(f"/v1/imports/{began.json()['id']}").json())["status"] not in ("done", "failed"):
                time.sleep(0.1)
            course: dict[str, Any] = found["course"]
            return course

    @contextlib.contextmanager
    def connected(self, request: bytes = b"", *, reads_little: bool = True) -> Iterator[socket.socket]:
        """A connection on which a request with the attacker's key was begun."""
        with socket.socket() as connection:
            if reads_little:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(30)
            connection.connect(("127.0.0.1", self.port))
            key = f"\r\nHost: localhost\r\nAuthorization: {self.headers['authorization']}\r\n".encode()
            connection.sendall(request.replace(b"\r\n", key, 1))
            yield connection

    def peak_from_now(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """The most that every process has held since `peak_from_now`, together: what they share counts twice."""
        return sum(map(_peak_mib, self.processes()))

    def processes(self) -> list[int]:
        found = [self.server.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def answers_others(self) -> float:
        """Fails unless somebody else is answered; how long the slower of two answers took, seconds."""
        took_s = []
        for path in ("/health", f"{QUESTION}1d"):
            began = time.monotonic()
            assert self.other.get(path, timeout=60).status_code == 200
            took_s.append(time.monotonic() - began)
        assert max(took_s) < ANSWERED_S
        return max(took_s)


def _peak_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(text.split("VmHWM:")[1].split()[0]) / 1024 if "VmHWM:" in text else 0


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    place = Place(tmp_path_factory.mktemp("memory"), access="on", body_processor_s="1", body_processor_s_per_mib="1")
    with serving(place) as server, contextlib.ExitStack() as closing:
        found = Target(server)
        closing.callback(found.other.close)
        lines = "".join(
            f"heart_rate,user_id=ann,device_id=watch bpm=60 {BASE_US + at * 10**6}\n" for at in range(90_000)
        )
        assert found.post(f"{WRITE}?precision=us", lines.encode()).status_code == 204
        yield found


# --- attacks: each returns once it is over, or begins to be ----------------------------------------------------------


def at_once(target: Target, path: str, body: bytes, refusals: set[int], **headers: str) -> None:
    """The same body several times; what becomes of each is a clear refusal."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        posts = [threads.submit(target.post, path, body, **headers) for _ in range(AT_ONCE)]
        statuses = {each.result().status_code for each in posts}
    assert statuses <= refusals | {429, 503}, statuses
    assert statuses & refusals


def lines_in_gzip(target: Target) -> None:
    body = gzip.compress((b"heart_rate" + b",a=b" * 30 + b",user_id=ann bpm=x\n") * 99_000, 1)
    at_once(target, WRITE, body, {400, 413}, content_encoding="gzip")


def json_in_gzip(target: Target) -> None:
    body = gzip.compress(b'{"readings":[' + b"[1],".rjust(160) * 49_000 + b"[1]]}", 1)
    at_once(target, BATCH, body, {400, 413}, content_encoding="gzip")


def ndjson_in_gzip(target: Target) -> None:
    body = gzip.compress(b'{"user_id":"ann","heart_rate":"x"}\n' * 2_000_000, 1)
    at_once(target, BULK, body, {400, 413}, content_encoding="gzip", content_type="application/x-ndjson")


def csv_in_gzip(target: Target) -> None:
    body = gzip.compress(b"user_id,device_id,timestamp,heart_rate\n" + b"a,b,c,d\n" * 6_000_000, 1)
    at_once(target, BULK, body, {400, 413}, content_encoding="gzip", content_type="text/csv")


def zeros_in_zstd(target: Target) -> None:
    body = zstandard.compress(bytes(1 << 30), 1)
    at_once(target, BULK, body, {413}, content_encoding="zstd", content_type="application/x-ndjson")


def arrow_in_zstd(target: Target) -> None:
    body = zstandard.compress(arrow_of(readings(4_000_000, 1), 200))
    arrow = "application/vnd.apache.arrow.stream"
    at_once(target, BULK, body, {413}, content_encoding="zstd", content_type=arrow)
    for bomb in (a_dictionary_per_column, views_in_three_columns):
        assert target.post(BULK, bomb(), content_type=arrow).status_code in (400, 413)


def parquet_in_zstd(target: Target) -> None:
    body = zstandard.compress(parquet_of(readings(4_000_000, 1), 2))
    at_once(target, BULK, body, {400, 413}, content_encoding="zstd", content_type="application/vnd.apache.parquet")


def fit_of_errors(target: Target) -> None:
    messages = [fit.file_id(), fit.definition(1, fit.RECORD, [fit.TIMESTAMP, fit.HEART_RATE])]
    course = target.imported(fit.fit_file([*messages, fit.record(1_705_312_800, 1) * 80_000]))
    assert (course["written"], course["rejected"] > 0 or "processor" in str(course["files"])) == (0, True)


def nested_xml(target: Target) -> None:
    deep = apple_export(["<a>" * 4_000_000, "b" * (32 << 20)])
    course = target.imported(_zipped({"apple_health_export/export.xml": deep}))
    assert course["written"] == 0


def zip_bomb(target: Target) -> None:
    line = b'{"user_id":"ann","device_id":"w","timestamp":"2024-01-15T10:00:00Z","heart_rate":1}' + b" " * 4000 + b"\n"
    course = target.imported(_zipped({"a.ndjson": line * 50_000, "b.csv": bytes(200 << 20)}))
    assert course["written"] == 0


def zip_of_many_names(target: Target) -> None:
    course = target.imported(_zipped({f"{'n' * 200}{number}.txt": b"" for number in range(40_000)}))
    assert course["written"] == 0


def _zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def unread(target: Target, path: str, count: int) -> None:
    """Answers of which nobody takes anything."""
    with contextlib.ExitStack() as closing:
        for _ in range(count):
            closing.enter_context(target.connected(f"GET {path} HTTP/1.1\r\n\r\n".encode()))
        _go_on()


def exports_unread(target: Target) -> None:
    unread(target, "/v1/users/ann/export", 60)


def questions_unread(target: Target) -> None:
    unread(target, f"{QUESTION}raw", 60)


def streams_unread(target: Target) -> None:
    with contextlib.ExitStack() as closing:
        for _ in range(40):
            request = b"GET /v1/stream?user_ids=ann HTTP/1.1\r\n\r\n"
            closing.enter_context(target.connected(request))
        for second in range(3):
            at_us = BASE_US + 200_000 * 10**6
            sent = "".join(f"heart_rate,user_id=ann bpm=60 {at_us + second * 10**8 + at}\n" for at in range(20_000))
            assert target.post(f"{WRITE}?precision=us", sent.encode()).status_code == 204


def requests_ahead(target: Target) -> None:
    request = f"GET {QUESTION}raw HTTP/1.1\r\nHost: localhost\r\n".encode()
    request += f"Authorization: {target.headers['authorization']}\r\n\r\n".encode()
    with contextlib.ExitStack() as closing:
        for _ in range(8):
            connection = closing.enter_context(target.connected())
            accepted_bytes(connection, request * 1000, 16 << 20)


def trailers_without_end(target: Target) -> None:
    head = b"POST /v1/metrics/heart-rate/bulk HTTP/1.1\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
    with contextlib.ExitStack() as closing:
        for _ in range(8):
            connection = closing.enter_context(target.connected(head + b"1\r\na\r\n0\r\n"))
            accepted_bytes(connection, (b"X: " + b"a" * 1000 + b"\r\n") * 64, 16 << 20)


def _go_on() -> None:
    """Long enough for some looks at the memory."""
    time.sleep(1)


ATTACKS: list[Callable[[Target], None]] = [
    lines_in_gzip,
    json_in_gzip,
    ndjson_in_gzip,
    csv_in_gzip,
    zeros_in_zstd,
    arrow_in_zstd,
    parquet_in_zstd,
    fit_of_errors,
    nested_xml,
    zip_bomb,
    zip_of_many_names,
    exports_unread,
    questions_unread,
    streams_unread,
    requests_ahead,
    trailers_without_end,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.replace("_", " "))
def test_server_and_decoders_stay_in_bounds_and_answer_others(target: Target, attack: Callable[[Target], None]) -> None:
    target.answers_others()
    target.peak_from_now()
    failures: list[BaseException] = []

    def attacking() -> None:
        try:
            attack(target)
        except BaseException as failure:  # of the other thread, which has to tell it
            failures.append(failure)

    thread = threading.Thread(target=attacking)
    thread.start()
    peak_mib = slowest_s = 0.0
    while thread.is_alive():
        peak_mib = max(peak_mib, target.peak_mib())
        slowest_s = max(slowest_s, target.answers_others())
        thread.join(0.05)
    peak_mib = max(peak_mib, target.peak_mib())
    logger.info("at most %.0f MiB, answers within %.2f s", peak_mib, slowest_s)  # for the table in docs/threats.md
    if failures:
        raise failures[0]
    assert 0 < peak_mib < MOST_MIB
    assert target.server.process.poll() is None
