"""A block of the database that is not what was written, under a server: a right answer or a problem that names it,
never a wrong number, never a connection that ends without a byte; what is sound goes on, and devices go on sending.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.support.process import ARROW, BASE_US, Place, Server, reading, serving

#: A database file's headers; blocks follow.
HEADS = 3 * 4096
BLOCK_BYTES = 256 << 10
FLIPS = 16
MANY = 120_000
DAYS = "start_date=2024-01-01&end_date=2024-01-12"
QUESTIONS = [
    *(
        f"/v1/timeseries?user_id={user_id}&{DAYS}&interval={interval}"
        for user_id in ("ann", "bob")
        for interval in ("raw", "1h", "1d")
    ),
    "/v1/users",
    "/v1/users/ann",
    "/v1/users/ann/devices",
    "/v1/cohorts/heart-rate?start=2024-01-01&end=2024-01-05&min_avg_heart_rate=60",
    "/v1/imports",
]
STREAMED = ["/v1/users/ann/export", "/v1/users/bob/export"]
UNMERGED = {"merge_interval_s": "3600"}


def bulk(user_ids: list[str], seed: int) -> bytes:
    rows = len(user_ids)
    columns = {
        "user_id": user_ids,
        "device_id": ["strap"] * rows,
        "timestamp": pa.array(BASE_US + np.arange(rows) * 5_000_000, pa.timestamp("us", "UTC")),
        "heart_rate": np.random.default_rng(seed).integers(4000, 20_000, rows) / 100,
    }
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@dataclass(frozen=True, slots=True)
class Sound:
    """A store that was stopped with all of its readings merged, and what it answers."""

    folder: Path
    answers: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        return (self.folder / "store.duckdb").stat().st_size


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    place = Place(tmp_path_factory.mktemp("sound"), **UNMERGED)
    with serving(place) as server:
        body = bulk([("ann", "bob")[n % 2] for n in range(MANY)], 1)
        assert server.client.post(
            "/v1/metrics/heart-rate/bulk", content=body, headers={"Content-Type": ARROW}
        ).is_success
        assert server.client.put("/v1/users/ann", json={"name": "Ann", "gender": "female"}).is_success
        assert server.client.put("/v1/users/ann/devices/strap/priority", json={"priority": 3}).is_success
        assert place.run("check").returncode == 0
        assert server.stop() == 0
    with serving(place) as server:
        return Sound(place.folder, asked(server))


def asked(server: Server) -> dict[str, Any]:
    """What the server answers to every question: the body, or the problem's slug."""
    answers: dict[str, Any] = {}
    for question in QUESTIONS:
        answer = server.client.get(question)  # a connection that breaks off raises
        body = answer.json()
        if answer.status_code == 503:
            assert body["type"] == "urn:pulsebase:problem:store-damaged", answer.text
            assert body["file"] == "store.duckdb"
            assert "store.duckdb is damaged; its operator has to restore a backup" in body["detail"]
            assert int(answer.headers["Retry-After"]) > 0
            answers[question] = "damaged"
        else:
            assert answer.status_code == 200, answer.text
            body.pop("request_id", None)
            answers[question] = body
    return answers


def exported(server: Server, question: str) -> str:
    """How an export ends: whole, with a problem, or cut off where whoever reads it can tell."""
    try:
        answer = server.client.get(question)
    except httpx.RemoteProtocolError as error:
        if "incomplete chunked read" not in str(error):
            raise
        return "cut off"
    if answer.status_code == 503:
        assert answer.json()["type"] == "urn:pulsebase:problem:store-damaged"
        return "damaged"
    assert answer.status_code == 200
    return "whole"


def flip(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ bit]))


def flips_of(size: int) -> Iterator[tuple[int, int, bool]]:
    """Places and bits, one in each of as many blocks as there are; with the server up, and before its start."""
    dice = random.Random(11)
    blocks = list(range((size - HEADS) // BLOCK_BYTES))
    for number in range(FLIPS):
        block = blocks[number % len(blocks)]
        yield HEADS + block * BLOCK_BYTES + dice.randrange(BLOCK_BYTES), 1 << dice.randrange(8), number % 2 == 0


def test_a_damaged_block_is_a_problem_that_names_it_and_the_rest_goes_on(sound: Sound, tmp_path: Path) -> None:
    outcomes = set()
    for number, (at, bit, is_up) in enumerate(flips_of(sound.size_bytes)):
        place = Place(tmp_path / str(number), **UNMERGED)
        shutil.copytree(sound.folder, place.folder, dirs_exist_ok=True)
        if not is_up:
            flip(place.database, at, bit)
        try:
            with serving(place) as server:
                if is_up:
                    flip(place.database, at, bit)
                found = asked(server)
                for question, answer in found.items():
                    assert answer in ("damaged", sound.answers[question]), (question, at, bit)
                ends = {exported(server, question) for question in STREAMED}
                met = "damaged" in found.values() or ends != {"whole"}
                outcomes.add("met" if met else "not met")
                health = server.client.get("/health")
                said = health.json()["checks"]["store"]
                assert (health.status_code, said[:21]) == ((503, "damaged: store.duckdb") if met else (200, "ok"))
                assert server.metric("pulsebase_store_damaged") == met
                if met:
                    assert "store.duckdb is damaged" in server.errors
                assert server.post([reading("ann", 900_000), reading("eve", 1)]).status_code == 202
                if found[QUESTIONS[0]] != "damaged":
                    assert len(server.raw("ann")) == MANY // 2 + 1
                server.kill()
        except AssertionError as error:
            if "did not start" not in str(error) or "is damaged" not in str(error):
                raise
            outcomes.add("refused")
            shutil.rmtree(place.folder)
            continue
        checked = place.run("check")
        if checked.returncode:
            assert "is damaged" in checked.stdout + checked.stderr, checked
        else:
            assert not met, "check has to find what a question has met"
        shutil.rmtree(place.folder)
    assert outcomes == {"met", "not met", "refused"}
