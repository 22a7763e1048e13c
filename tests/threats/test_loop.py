"""Bodies that are little to send and much to read: refused before they are read, while nobody waits for them."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest
import zstandard

from pulsebase.api.server.http_server import bound_socket, serving
from tests.threats.conftest import Guarded, guarded, lines, reading

WRITE = "/api/v2/write"
SINGLE, BATCH, BULK = (f"/v1/metrics/heart-rate{end}" for end in ("", "/batch", "/bulk"))
NDJSON = {"content-type": "application/x-ndjson"}
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
#: Nobody judges speed here: this only tells an answer from none.
ANSWERED_S = 5


class Place:
    """A real server, somebody who attacks it, and somebody who asks meanwhile."""

    def __init__(self, guarded: Guarded, port: int) -> None:
        self.guarded, self._port = guarded, port
        self.attacker, self.other = self.client("attacker"), self.client("other")

    def client(self, name: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.guarded.key(name)}"}
        url = f"http://127.0.0.1:{self._port}"
        return httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False)

    def attack(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """The answer to an attack, during which somebody else's questions are answered."""
        answers: list[httpx.Response] = []
        attacking = threading.Thread(
            target=lambda: answers.append(self.attacker.post(path, content=body, headers=headers))
        )
        attacking.start()
        while attacking.is_alive():
            began = time.process_time()  # of the server too, which is this process; others on the machine do not count
            assert self.other.get("/health").status_code == 200
            assert time.process_time() - began < ANSWERED_S
            attacking.join(0.05)
        return answers[0]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with guarded() as found, bound_socket("127.0.0.1", 0) as listener, serving(found.parts.app, [listener]):
        place = Place(found, listener.getsockname()[1])
        with place.attacker, place.other:
            yield place


def slug(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize(("path", "kind"), [(WRITE, {}), (SINGLE, {}), (BATCH, {}), (BULK, NDJSON)])
def test_a_body_that_unpacks_to_hundreds_of_times_its_size_is_refused(
    place: Place, path: str, kind: dict[str, str], encoding: str
) -> None:
    packed = PACKERS[encoding](b"\n" * (16 << 20))  # blank lines, which cost next to nothing
    assert len(packed) < 32 << 10
    answer = place.attack(path, packed, kind | {"content-encoding": encoding})
    assert slug(answer) == (413, "body-too-large")
    assert "times its size" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize(("path", "kind"), [(WRITE, {}), (BATCH, {}), (BULK, NDJSON)])
def test_a_chain_of_empty_members_or_frames_is_refused(
    place: Place, path: str, kind: dict[str, str], encoding: str
) -> None:
    body = PACKERS[encoding](b"") * 200_000 + PACKERS[encoding](b"{}")
    answer = place.attack(path, body, kind | {"content-encoding": encoding})
    assert slug(answer) == (400, "malformed-body")
    assert "too many parts" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", PACKERS)
def test_members_or_frames_that_hold_something_are_read_however_many(place: Place, encoding: str) -> None:
    """As programs write them that pack in blocks of 64 KiB, or append to a file."""
    short = [PACKERS[encoding](lines("ann", timestamp=f"2024-01-15T10:00:{second:02}Z")) for second in range(50)]
    blocks = [[f"ann{number}.{at}" for at in range(700)] for number in range(100)]
    long = [PACKERS[encoding](lines(*block)) for block in blocks]
    answer = place.attack(BULK, b"".join([*short, *long]), NDJSON | {"content-encoding": encoding})
    assert (answer.status_code, answer.json()["total"]) == (202, 50 + 70_000)


def test_more_lines_than_are_taken_at_a_time_are_refused_before_any_is_read(place: Place) -> None:
    answer = place.attack(WRITE, b"a\n" * 500_000)
    assert slug(answer) == (413, "body-too-large")
    assert "100000 lines" in answer.json()["detail"]


def test_lines_that_are_taken_are_read_while_others_are_answered(place: Place) -> None:
    answer = place.attack(WRITE, b"heart_rate,user_id=ann bpm=x\n" * 100_000)
    assert answer.status_code == 400
    assert answer.json()["message"].endswith("; dropped=100000")


def test_a_line_without_end_is_refused(place: Place) -> None:
    line = b"heart_rate,user_id=ann" + b",a=b" * 100_000 + b" bpm=72"
    answer = place.attack(WRITE, line + b"\nheart_rate,user_id=ann bpm=72")
    assert answer.status_code == 400
    assert answer.json()["message"] == "partial write: line 1: line is longer than 65536 bytes; dropped=1"


@pytest.mark.parametrize(
    "body",
    [
        b'{"readings":[' + b"1," * 1_500_000 + b"1]}",
        b'{"readings":[' + b"{}," * 1_000_000 + b"{}]}",
        b"{" + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}",
    ],
    ids=["numbers", "objects", "fields"],
)
@pytest.mark.parametrize("path", [SINGLE, BATCH, "/v1/users"])
def test_json_of_far_too_many_values_is_refused_before_any_is_made(place: Place, path: str, body: bytes) -> None:
    answer = place.attack(path, body)
    assert slug(answer) == (413, "body-too-large")
    assert "100000 values" in answer.json()["detail"]


@pytest.mark.parametrize("path", [SINGLE, BATCH, "/v1/users"])
def test_json_that_is_nested_without_end_is_malformed(place: Place, path: str) -> None:
    for body in (b'{"readings":' + b"[" * 90_000, b'{"a":' * 90_000):
        assert slug(place.attack(path, body)) == (400, "malformed-body")


@pytest.mark.parametrize("encoding", ["identity", *PACKERS])
def test_a_large_batch_is_read_like_a_small_one(place: Place, encoding: str) -> None:
    readings: list[Any] = [reading("bob", f"2024-01-15T10:{at // 60:02}:{at % 60:02}Z") for at in range(1000)]
    readings[500]["heart_rate"] = "x"
    body = json.dumps({"readings": readings}, indent=4).encode()
    assert len(body) > 64 << 10
    packed = PACKERS[encoding](body) if encoding in PACKERS else body
    answer = place.attack(BATCH, packed, {"content-encoding": encoding})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 999)
    assert [error["index"] for error in answer.json()["errors"]] == [500]
