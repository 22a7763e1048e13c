"""Zeros behind a gzip member are padding, as `gzip` itself has it: every door answers alike."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from tests.api.conftest import Api, reading
from tests.support.process import wait_until

LINES = [json.dumps(reading(f"2024-01-15T10:00:0{second}Z")) + "\n" for second in range(4)]


def batch(api: Api, packed: Callable[[bytes], bytes]) -> int:
    body = json.dumps({"readings": [json.loads(line) for line in LINES]}).encode()
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return api.post("/v1/metrics/heart-rate/batch", content=packed(body), headers=headers).status_code


def bulk(api: Api, packed: Callable[[bytes], bytes]) -> int:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"}
    content = packed("".join(LINES).encode())
    return api.post("/v1/metrics/heart-rate/bulk", content=content, headers=headers).status_code


def lines(api: Api, packed: Callable[[bytes], bytes]) -> int:
    body = "\n".join(
        f"heart_rate,user_id=ann,device_id=device_a bpm=75 {1_705_312_800 + second}" for second in range(4)
    )
    headers = {"Content-Encoding": "gzip"}
    content = packed(body.encode())
    return api.post("/api/v2/write", params={"precision": "s"}, content=content, headers=headers).status_code


def upload(api: Api, packed: Callable[[bytes], bytes]) -> int:
    return _import(api, packed("".join(LINES).encode()), {"Content-Encoding": "gzip"})


def gzip_file(api: Api, packed: Callable[[bytes], bytes]) -> int:
    return _import(api, packed("".join(LINES).encode()), {})


def _import(api: Api, content: bytes, headers: dict[str, str]) -> int:
    headers = headers | {"Content-Type": "application/octet-stream"}
    answer = api.post("/v1/imports", params={"name": "day.ndjson"}, content=content, headers=headers)
    if answer.status_code != 202:
        return answer.status_code
    place = f"/v1/imports/{answer.json()['id']}"
    wait_until(lambda: api.get(place).json()["status"] not in ("waiting", "running"), "the import has ended")
    problems = [file["problem"] for file in api.get(place).json()["course"]["files"] if file.get("problem")]
    return 400 if problems else 202


DOORS = [batch, bulk, lines, upload, gzip_file]
HALF = 150
PADDED: dict[str, Callable[[bytes], bytes]] = {
    "one zero": lambda body: gzip.compress(body) + bytes(1),
    "a sector": lambda body: gzip.compress(body) + bytes(512),
    "more than a piece": lambda body: gzip.compress(body) + bytes(600_000),
    "between members": lambda body: gzip.compress(body[:HALF]) + bytes(512) + gzip.compress(body[HALF:]) + bytes(3),
    "more than a piece between": lambda body: gzip.compress(body[:HALF]) + bytes(600_000) + gzip.compress(body[HALF:]),
}
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "letters behind": lambda body: gzip.compress(body) + b"more",
    "letters behind zeros": lambda body: gzip.compress(body) + bytes(512) + b"more",
    "half a header behind": lambda body: gzip.compress(body) + bytes(3) + b"\x1f",
}


@pytest.mark.parametrize("door", DOORS, ids=[door.__name__ for door in DOORS])
@pytest.mark.parametrize("padding", PADDED)
def test_zeros_behind_a_member_are_padding(api: Api, door: Callable[..., int], padding: str) -> None:
    assert door(api, PADDED[padding]) in (202, 204)
    assert len(api.parts.store.stored()) == 4


@pytest.mark.parametrize("door", DOORS, ids=[door.__name__ for door in DOORS])
@pytest.mark.parametrize("damage", DAMAGED)
def test_anything_else_behind_it_is_not_passed_over(api: Api, door: Callable[..., int], damage: str) -> None:
    assert door(api, DAMAGED[damage]) == 400
