"""Files that end, hang or fill what reads them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.decoding.test_decoders import crashing
from tests.threats.conftest import Guarded, guarded, reading, zipped
from tests.threats.test_one_person import ended

_PARQUET = {"content-type": "application/vnd.apache.parquet"}


@pytest.fixture(scope="module")
def place() -> Iterator[Guarded]:
    with guarded(decoder_memory_bytes=128 << 20) as made:
        yield made


@pytest.fixture(scope="module")
def ann(place: Guarded) -> httpx.Client:
    return place.client(place.key("ann", people=["ann"]))


def parquet_of(texts: int) -> bytes:
    """A file of a few kilobytes whose people have ids of a megabyte each."""
    users = pa.DictionaryArray.from_arrays(
        pa.array(range(texts), pa.int32()), ["a" * (1 << 20) + str(n) for n in range(texts)]
    )
    columns = {"user_id": users, "device_id": ["a"] * texts, "timestamp": ["2024-01-15T10:00:00Z"] * texts}
    file = io.BytesIO()
    pq.write_table(pa.table(columns | {"heart_rate": [70.0] * texts}), file, compression="zstd")
    return file.getvalue()


def lives(place: Guarded) -> bool:
    return place.owner.post("/v1/metrics/heart-rate", json=reading("bob")).status_code == 202


def test_parquet_that_ends_its_reader_is_a_bad_request(place: Guarded, ann: httpx.Client) -> None:
    answers = [ann.post("/v1/metrics/heart-rate/bulk", content=data, headers=_PARQUET) for data in crashing()]
    assert {answer.status_code for answer in answers} <= {202, 400}
    crashed = [answer for answer in answers if "crashed" in answer.text]
    assert crashed, "none of the files does what this is about"
    assert {answer.json()["type"] for answer in crashed} == {"urn:pulsebase:problem:malformed-body"}
    assert lives(place)


def test_an_import_that_ends_its_reader_ends_with_a_problem(place: Guarded, ann: httpx.Client) -> None:
    problems = []
    for data in list(crashing())[6:14]:
        for file in (data, zipped({"readings.parquet": data})):
            course = ended(ann, ann.post("/v1/imports?name=x", content=file).json()["id"])["course"]
            problems += [each["problem"] for each in course["files"]]
    assert any("crashed" in (problem or "") for problem in problems), "none of the files does what this is about"
    assert lives(place)


def test_parquet_that_unpacks_to_more_than_its_reader_may_hold_is_a_bad_request(
    place: Guarded, ann: httpx.Client
) -> None:
    data = parquet_of(96)
    assert len(data) < 1 << 20
    answer = ann.post("/v1/metrics/heart-rate/bulk", content=data, headers=_PARQUET)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:malformed-body")
    assert "memory" in answer.json()["detail"]
    assert lives(place)
