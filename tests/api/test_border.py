"""What every request meets: limits, checks, and one shape of error."""

import errno
import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2 as httpx
import pytest
import zstandard
from prometheus_client import generate_latest

from pulsebase import telemetry
from pulsebase.api.app import create_app
from pulsebase.api.components import Components
from pulsebase.ingest import IngestLimits, Ingestor
from pulsebase.model.errors import (
    DiskFailedError,
    DiskFullError,
    MemoryLimitError,
    OutcomeUnknownError,
    ReadOnlyStoreError,
    StopError,
    StoreCorruptError,
    StoreUnavailableError,
)
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.users import User
from pulsebase.query.plan import QueryLimits
from pulsebase.query.series import SeriesService
from pulsebase.stores.memory import MemoryStore
from pulsebase.wiring import BuiltServer
from tests.api.conftest import Api, reading
from tests.support.in_process import InProcessClient

BATCH = "/v1/metrics/heart-rate/batch"
SERIES = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
BODY = b'{"readings":[{"device_id":"d","user_id":"ann","timestamp":"2024-01-15T10:00:00Z","heart_rate":60}]}'
JSON = {"Content-Type": "application/json"}


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "request_id"}
    assert (body["type"], body["status"]) == (f"urn:pulsebase:problem:{slug}", status)
    assert body["request_id"] == answer.headers["X-Request-ID"] != ""
    return body


# --- bodies ---


def test_bodies_may_be_packed(api: Api) -> None:
    packed = zstandard.ZstdCompressor().compress(BODY)
    for encoding, body in (
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY[:20]) + gzip.compress(BODY[20:])),
        ("zstd", packed),
        ("zstd", zstandard.ZstdCompressor().compress(BODY[:20]) + zstandard.ZstdCompressor().compress(BODY[20:])),
        ("zstd", zstandard.ZstdCompressor().compressobj().compress(b"") + packed),
        ("identity", BODY),
        ("", BODY),
    ):
        answer = api.post(BATCH, content=body, headers=JSON | {"Content-Encoding": encoding})
        assert answer.status_code == 202, (encoding, answer.text)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "nonsense"])
def test_an_unknown_encoding_is_unsupported(api: Api, encoding: str) -> None:
    answer = api.post(BATCH, content=BODY, headers=JSON | {"Content-Encoding": encoding})
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize(
    "body", [b"", b"\x00", BODY, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", gzip.compress(BODY, mtime=0)[:-1] + b"x"]
)
def test_a_body_that_is_not_what_its_encoding_says_is_malformed(api: Api, encoding: str, body: bytes) -> None:
    answer = api.post(BATCH, content=body, headers=JSON | {"Content-Encoding": encoding})
    assert_problem(answer, 400, "malformed-body")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_packed_body_that_is_cut_short_is_malformed(api: Api, encoding: str) -> None:
    packed = gzip.compress(BODY) if encoding == "gzip" else zstandard.ZstdCompressor().compress(BODY)
    for size in range(1, len(packed) - 1):
        answer = api.post(BATCH, content=packed[:size], headers=JSON | {"Content-Encoding": encoding})
        assert_problem(answer, 400, "malformed-body")


def test_the_size_of_a_body_is_limited_as_sent_and_as_unpacked(installed: Callable[..., Api]) -> None:
    api = installed(body_limit_bytes=1024)
    fitting = BODY + b" " * (1024 - len(BODY))
    for body, status in ((fitting, 202), (fitting + b" ", 413)):
        for encoding, packed in (
            ("identity", body),
            ("gzip", gzip.compress(body)),
            ("zstd", zstandard.ZstdCompressor().compress(body)),
        ):
            answer = api.post(BATCH, content=packed, headers=JSON | {"Content-Encoding": encoding})
            assert answer.status_code == status, (encoding, answer.text)


def test_bombs_are_refused_without_being_unpacked(installed: Callable[..., Api]) -> None:
    api = installed(body_limit_bytes=1 << 20)
    zeros = bytes(64 << 20)
    for encoding, packed in (
        ("gzip", gzip.compress(zeros, 1)),
        ("zstd", zstandard.ZstdCompressor().compress(zeros)),
    ):
        assert len(packed) < 1 << 20
        answer = api.post(BATCH, content=packed, headers=JSON | {"Content-Encoding": encoding})
        assert_problem(answer, 413, "body-too-large")


def test_a_zstd_window_larger_than_http_allows_is_refused(api: Api) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(BODY) + packer.flush()
    answer = api.post(BATCH, content=packed, headers=JSON | {"Content-Encoding": "zstd"})
    assert_problem(answer, 400, "malformed-body")


def test_a_body_sent_in_pieces_is_limited_too(installed: Callable[..., Api]) -> None:
    api = installed(body_limit_bytes=1024)

    def pieces() -> Iterator[bytes]:
        yield from [b" " * 100] * 11

    assert_problem(api.post(BATCH, content=pieces(), headers=JSON), 413, "body-too-large")


def test_a_length_that_is_no_number_is_not_believed(api: Api) -> None:
    answer = api.post(BATCH, content=BODY, headers=JSON | {"Content-Length": "-1"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
@pytest.mark.parametrize("path", ["/v1/metrics/heart-rate", BATCH, "/metrics/heart-rate"])
def test_only_json_is_read(api: Api, path: str, kind: str) -> None:
    assert_problem(api.post(path, content=BODY, headers={"Content-Type": kind}), 415, "unsupported-media-type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json", ""])
def test_json_has_several_names(api: Api, kind: str) -> None:
    assert api.post(BATCH, content=BODY, headers={"Content-Type": kind} if kind else {}).status_code == 202


# --- Host and Origin ---

HOSTS = [
    "localhost",
    "localhost:8000",
    "LOCALHOST:1",
    "127.0.0.1",
    "127.0.0.1:8000",
    "127.0.0.2",
    "[::1]",
    "[::1]:8000",
]
FOREIGN_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example:8000",
    "192.168.0.10",
    "0.0.0.0",
    "[::2]:8000",
    "",
]


@pytest.mark.parametrize("host", HOSTS)
def test_the_server_answers_to_loopback_names(api: Api, host: str) -> None:
    assert api.get("/", headers={"Host": host}).status_code == 200
    assert api.get("/", headers={"Host": host, "Origin": f"http://{host.lower()}"}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_host_gets_nothing(api: Api, host: str) -> None:
    for path in ("/", "/v1/users", "/health", "/metrics", "/app/", "/nowhere"):
        assert_problem(api.get(path, headers={"Host": host}), 403, "forbidden-host")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost:8001",
        "http://localhost:8000.evil.example",
        "http://evil.example/localhost:8000",
        "http://evil@localhost:8000",
        "http://[::1",
        "ftp://localhost:8000",
        "localhost:8000",
        "chrome-extension://abc",
    ],
)
def test_a_page_elsewhere_can_neither_read_nor_write(api: Api, origin: str) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    assert_problem(api.get("/v1/users", headers=headers), 403, "forbidden-host")
    assert_problem(api.post(BATCH, content=BODY, headers=headers), 403, "forbidden-host")
    assert_problem(api.delete("/v1/metrics/heart-rate", headers=headers), 403, "forbidden-host")
    assert api.get("/v1/users").json()["data"] == []


def test_more_names_can_be_allowed(installed: Callable[..., Api]) -> None:
    api = installed(allowed_hosts=("Pulse.home.arpa",))
    assert api.get("/", headers={"Host": "pulse.home.arpa:8000"}).status_code == 200
    assert api.get("/", headers={"Host": "other.home.arpa"}).status_code == 403


def test_what_is_the_owners_is_not_there_for_others(api: Api) -> None:
    for path in ("/v1/admin/check", "/v1/admin/readings?kind=import&name=x", "/v1/admin/settle"):
        assert_problem(api.post(path), 404, "not-found")


# --- limits of queries ---


def seconds(count: int, **fields: Any) -> list[dict[str, Any]]:
    first = datetime(2024, 1, 15, 10, tzinfo=UTC)
    return [reading((first + timedelta(seconds=place)).isoformat(), 60, **fields) for place in range(count)]


@pytest.mark.parametrize("store", ["memory", "duckdb"])
def test_an_answer_has_a_limit_of_rows(installed: Callable[..., Api], store: str, tmp_path: Any) -> None:
    url = "memory://" if store == "memory" else f"duckdb:///{tmp_path / 'limit.duckdb'}"
    api = installed(store_url=url, max_rows=100)
    for user_id in ("ann", "bob", "carl"):
        api.store(*seconds(100, user_id=user_id))
    assert api.get(f"{SERIES}&interval=raw").json()["count"] == 100
    many = "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-15&interval=raw"
    assert_problem(api.get(many), 400, "too-many-rows")
    assert_problem(api.get(f"{many}&user_ids=ann&user_ids=bob"), 400, "too-many-rows")
    assert api.get(f"{many}&user_ids=ann").status_code == 200
    api.store(reading("2024-01-15T11:00:00Z"))
    assert_problem(api.get(f"{SERIES}&interval=1s"), 400, "too-many-rows")
    assert api.get(f"{SERIES}&interval=1m").json()["count"] == 3


def test_an_answer_has_a_limit_of_people(installed: Callable[..., Api]) -> None:
    api = installed(max_people=2)
    api.store(*[reading(user_id=f"p{place}") for place in range(4)])
    url = "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-15"
    body = assert_problem(api.get(f"{url}&user_ids=p0&user_ids=p1&user_ids=p2"), 400, "invalid-request")
    assert body["errors"] == [{"field": "user_ids", "reason": "at most 2 people at a time"}]
    page = api.get(url).json()
    assert ([person["user_id"] for person in page["series"]], page["next_cursor"]) == (["p0", "p1"], "p1")


def test_a_query_that_takes_too_long_is_cancelled(installed: Callable[..., Api], tmp_path: Any) -> None:
    path = f"duckdb:///{tmp_path / 'slow.duckdb'}"
    patient = installed(store_url=path)
    patient.store(*seconds(3000))
    parts = patient.parts
    series = SeriesService(parts.store, QueryLimits(timeout_s=1e-6))
    hurried = replace(parts.services, series=series)
    api = _client(hurried)
    body = assert_problem(api.get(f"{SERIES}&interval=raw"), 422, "query-timeout")
    assert "ann" not in body["detail"]
    assert patient.get(f"{SERIES}&interval=raw").json()["count"] == 3000
    hurried.series.close()


def _client(services: Components) -> InProcessClient:
    return InProcessClient(create_app(services))


# --- a store in trouble ---


class HeldStore(MemoryStore):
    """A store whose writes wait for a gate, or fail the way they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.writing = threading.Event()
        self.failure: Exception | None = None

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        self.writing.set()
        assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        super().write(batches)

    def users(self, text: str, limit: int, after: str | None) -> list[Any]:
        if self.failure is not None:
            raise self.failure
        return super().users(text, limit, after)

    def put_user(self, user: User) -> None:
        if self.failure is not None:
            raise self.failure
        super().put_user(user)

    def ping(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def held(api: Api) -> Iterator[tuple[HeldStore, httpx.Client]]:
    store = HeldStore()
    ingestor = Ingestor(store, IngestLimits(queue_readings=2, commit_readings=1))
    parts: BuiltServer = api.parts
    series = SeriesService(store, QueryLimits())
    services = replace(parts.services, store=store, ingestor=ingestor, series=series, push_origin=1)
    yield store, _client(services)
    store.gate.set()
    ingestor.close()
    series.close()


def test_a_full_queue_is_told_to_come_again_and_what_was_accepted_is_kept(
    held: tuple[HeldStore, httpx.Client],
) -> None:
    store, client = held

    def send(place: int) -> httpx.Response:
        return client.post("/v1/metrics/heart-rate", json=reading(f"2024-01-15T10:00:0{place}Z"))

    with ThreadPoolExecutor(2) as sending:
        first = sending.submit(send, 0)
        assert store.writing.wait(30)
        second = sending.submit(send, 1)
        while "pulsebase_ingest_queue_readings 2.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        answer = send(2)
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        store.gate.set()
        assert (first.result().status_code, second.result().status_code) == (202, 202)
    assert store.stored().num_rows == 2


def test_a_store_that_cannot_now_may_be_asked_again(held: tuple[HeldStore, httpx.Client]) -> None:
    store, client = held
    store.gate.set()
    store.failure = StoreUnavailableError("the disk is full", 30)
    answer = client.post("/v1/metrics/heart-rate", json=reading())
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "30"
    health = client.get("/health")
    assert (health.status_code, health.json()["checks"]) == (503, {"store": "unavailable", "ingest": "ok"})
    assert health.json()["status"] == "unhealthy"


def test_a_commit_that_may_have_happened_is_called_so(held: tuple[HeldStore, httpx.Client]) -> None:
    store, client = held
    store.gate.set()
    store.failure = OutcomeUnknownError("the disk failed: it is not known whether this was stored", 60)
    for path, body in (("heart-rate", reading()), ("heart-rate/batch", {"readings": [reading()]})):
        answer = client.post(f"/v1/metrics/{path}", json=body)
        assert "not known" in assert_problem(answer, 503, "outcome-unknown")["detail"]
        assert answer.headers["Retry-After"] == "60"


def test_a_damage_is_told_with_its_file_but_without_the_folder(held: tuple[HeldStore, httpx.Client]) -> None:
    store, client = held
    store.gate.set()
    store.failure = StoreCorruptError("/secret/store.duckdb is damaged", "store.duckdb")
    body = assert_problem(client.get("/v1/users"), 503, "store-damaged")
    assert body["detail"] == "store.duckdb is damaged; its operator has to restore a backup"
    assert body["file"] == "store.duckdb"
    body = assert_problem(client.put("/v1/users/ann", json={}), 503, "store-damaged")
    assert body["detail"].endswith("restore a backup; nothing of this request was kept")
    health = client.get("/health")
    assert (health.status_code, health.json()["checks"]["store"]) == (
        503,
        "damaged: store.duckdb is not what was written; restore a backup",
    )


def test_a_store_that_needs_a_person_does_not_tell_callers_why(held: tuple[HeldStore, httpx.Client]) -> None:
    store, client = held
    store.failure = StopError("/secret/place is gone")
    assert "secret" not in assert_problem(client.get("/v1/users"), 503, "unavailable")["detail"]


@pytest.mark.parametrize(
    ("failure", "slug", "said"),
    [
        (DiskFullError("the database cannot be written: the disk is full", 30), "disk-full", "nothing of this request"),
        (DiskFailedError("the disk fails", 30, "unknown"), "disk-failed", "it is not known whether"),
        (ReadOnlyStoreError("it may only be read"), "read-only", "nothing of this request"),
        (MemoryLimitError("too little memory"), "out-of-memory", "nothing of this request"),
        (DiskFullError("no room").but("half of it was kept"), "disk-full", "no room; half of it was kept"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk-full", "it is not known whether"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk-full", "it is not known whether"),
        (OSError(errno.EIO, "Input/output error"), "disk-failed", "it is not known whether"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only", "it is not known whether"),
    ],
    ids=str,
)
def test_every_way_in_which_a_disk_fails_has_a_name_and_says_what_was_kept(
    held: tuple[HeldStore, httpx.Client], failure: Exception, slug: str, said: str
) -> None:
    store, client = held
    store.gate.set()
    store.failure = failure
    for answer in (
        client.put("/v1/users/ann", json={}),
        client.post("/v1/metrics/heart-rate", json=reading()),
    ):
        assert said in assert_problem(answer, 503, slug)["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
    asked = assert_problem(client.get("/v1/users"), 503, slug)["detail"]
    assert "this request" not in asked
    assert "send it again" not in asked


def test_a_fault_is_a_problem_too_and_the_log_has_its_request_id(
    held: tuple[HeldStore, httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    store, client = held
    store.failure = RuntimeError("a fault")
    with caplog.at_level(logging.ERROR):
        body = assert_problem(client.get("/v1/users"), 500, "internal-error")
    assert "a fault" not in str(body)
    assert body["request_id"] in caplog.text


# --- one shape of error ---


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/v1/", 404, "not-found"),
        ("GET", "/v2/users", 404, "not-found"),
        ("PUT", "/v1/users", 405, "method-not-allowed"),
        ("GET", "/v1/metrics/heart-rate/batch", 405, "method-not-allowed"),
        ("BREW", "/health", 405, "method-not-allowed"),
        ("GET", "/v1/timeseries", 400, "invalid-request"),
        ("GET", "/v1/users?limit=0", 400, "invalid-request"),
        ("GET", "/v1/users?limit=1001", 400, "invalid-request"),
        ("GET", "/v1/users?unknown=1", 400, "invalid-request"),
        ("GET", "/health?unknown=1", 400, "invalid-request"),
        ("GET", "/?unknown=1", 400, "invalid-request"),
        ("POST", "/v1/metrics/heart-rate?unknown=1", 400, "invalid-request"),
        ("POST", "/v1/metrics/heart-rate/batch?unknown=1", 400, "invalid-request"),
        ("DELETE", "/v1/metrics/heart-rate?user_id=ann", 400, "invalid-request"),
        ("DELETE", "/v1/metrics/heart-rate?user_id=ann&start=2024-01-15&end=2024-01-14", 400, "invalid-request"),
        (
            "GET",
            "/v1/metrics/heart-rate?user_id=ann&start=2024-01-15&end=2024-01-15&interval=1h",
            400,
            "invalid-request",
        ),
    ],
)
def test_every_error_has_one_shape(api: Api, method: str, path: str, status: int, slug: str) -> None:
    assert_problem(api.request(method, path), status, slug)


def test_the_name_of_an_unknown_parameter_is_cut(api: Api) -> None:
    for path in ("/v1/users", "/v1/timeseries"):
        for query in ("x" * 500 + "=1", "&".join(["y" * 500 + "=1"] * 2)):
            body = api.get(f"{path}?{query}").json()
            assert all(len(error["field"]) <= 64 for error in body["errors"])
            assert len(body["detail"]) < 300


def test_the_parameter_query_is_named_by_its_name(api: Api) -> None:
    assert [error["field"] for error in api.get(f"/v1/users?query={'x' * 129}").json()["errors"]] == ["query"]


def test_every_answer_carries_an_id_and_keeps_other_pages_out(api: Api) -> None:
    ids = set()
    for path in ("/", "/health", "/nowhere", "/v1/users", "/docs"):
        headers = api.get(path).headers
        ids.add(headers["X-Request-ID"])
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
    assert len(ids) == 5


def test_nothing_of_a_reading_is_in_errors_logs_or_metrics(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    marked = {"user_id": "Secret-Person", "device_id": "secret-device", "timestamp": "2024-01-15T10:11:12Z"}
    texts = []
    with caplog.at_level(logging.DEBUG, logger="pulsebase"):
        api.store(reading(heart_rate=123.45, **marked))
        for changed in ({"heart_rate": 987.65}, {"user_id": "Secret Person"}, {"timestamp": "2024-01-15T10:11:12Q"}):
            body = reading(heart_rate=123.45) | marked | changed
            texts.append(api.post("/v1/metrics/heart-rate", json=body).text)
            texts.append(api.post(BATCH, json={"readings": [body]}).text)
        texts.append(api.post(BATCH, content=b'{"readings":[{"user_id":"Secret-Person","heart_rate":123.45').text)
        texts.append(api.get("/v1/timeseries?user_id=Secret Nobody&start_date=2024-01-15&end_date=10:11:12").text)
        texts.append(api.request("BREW-SECRET", "/health").text)
    texts += [caplog.text, generate_latest(telemetry.REGISTRY).decode(), api.get("/metrics").text]
    for text in texts:
        assert not any(mark in text.lower() for mark in ("secret", "123.45", "987.65", "10:11:12"))


# --- metrics ---


def _counted(name: str, **labels: str) -> float:
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_and_readings_are_counted(api: Api) -> None:
    requests = {"method": "POST", "route": "/metrics/heart-rate/batch", "status": "202"}
    watched: list[tuple[str, dict[str, str], float]] = [
        ("pulsebase_http_requests_total", requests, 1),
        ("pulsebase_ingest_readings_accepted_total", {"source": "http"}, 2),
        ("pulsebase_ingest_readings_rejected_total", {"source": "http", "field": "heart_rate"}, 1),
        ("pulsebase_ingest_readings_rejected_total", {"source": "http", "field": "other"}, 1),
        ("pulsebase_ingest_readings_deleted_total", {}, 2),
        ("pulsebase_http_requests_total", {"method": "GET", "route": "unmatched", "status": "404"}, 1),
    ]
    before = [_counted(name, **labels) for name, labels, _ in watched]
    body = {"readings": [reading(), reading("2024-01-15T10:01Z"), reading(heart_rate=1), reading(unknown=1)]}
    api.post(BATCH, json=body)
    api.delete("/v1/metrics/heart-rate?user_id=ann&start=2024-01-15&end=2024-01-15")
    api.get("/nowhere/ann")
    after = [_counted(name, **labels) for name, labels, _ in watched]
    assert [now - then for now, then in zip(after, before, strict=True)] == [grown for _, _, grown in watched]
    text = api.get("/metrics")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert "pulsebase_store_size_bytes" in text.text
