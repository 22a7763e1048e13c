"""Somebody who makes up a device for every reading: each takes a place for good, in every answer about the person."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.etl.load import ReadingLoader
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.ingest.committer import IngestLimits
from pulsebase.ingest.items import parse_items
from pulsebase.stores.open import open_store
from pulsebase.stores.transfer import copy_everything
from pulsebase.telemetry import REGISTRY
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, guarded, reading

MOST = 5
REASON = f"the person has {MOST} devices already, the most that are taken (PULSEBASE_DEVICES_PER_PERSON)"
BULK = "/v1/metrics/heart-rate/bulk"
#: Two of them are refused: two devices are known before.
SENT = [f"d{number}" for number in range(MOST)]
Rows = list[dict[str, object]]


@pytest.fixture
def place() -> Iterator[Guarded]:
    with guarded(devices_per_person=MOST) as found:
        assert by_batch(found.owner, rows_of(["device_a", "device_b"])).status_code == 202
        yield found


@pytest.fixture
def taker(place: Guarded) -> httpx.Client:
    return place.client(place.key("taker", ["ingest"]))


def rows_of(device_ids: list[str], user_id: str = "ann") -> Rows:
    return [reading(user_id) | {"device_id": device_id} for device_id in device_ids]


def devices(place: Guarded, user_id: str = "ann") -> list[str]:
    return [each["device_id"] for each in place.owner.get(f"/v1/users/{user_id}/devices").json()["data"]]


def refusals(source: str) -> float:
    labels = {"source": source, "field": "device_id"}
    return REGISTRY.get_sample_value("pulsebase_ingest_readings_rejected_total", labels) or 0


def as_csv(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def columns(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows)


def as_arrow(rows: Rows) -> bytes:
    packed = io.BytesIO()
    with pa.ipc.new_stream(packed, columns(rows).schema) as stream:
        stream.write_table(columns(rows))
    return packed.getvalue()


def as_parquet(rows: Rows) -> bytes:
    packed = io.BytesIO()
    pq.write_table(columns(rows), packed)
    return packed.getvalue()


def as_ndjson(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def by_batch(client: httpx.Client, rows: Rows) -> httpx.Response:
    return client.post("/v1/metrics/heart-rate/batch", json={"readings": rows})


def in_bulk(media_type: str, packed: Callable[[Rows], bytes]) -> Callable[..., httpx.Response]:
    return lambda client, rows: client.post(BULK, content=packed(rows), headers={"content-type": media_type})


DOORS: dict[str, Callable[[httpx.Client, Rows], httpx.Response]] = {
    "batch": by_batch,
    "ndjson": in_bulk("application/x-ndjson", as_ndjson),
    "csv": in_bulk("text/csv", as_csv),
    "arrow": in_bulk("application/vnd.apache.arrow.stream", as_arrow),
    "parquet": in_bulk("application/vnd.apache.parquet", as_parquet),
}


@pytest.mark.parametrize("send", DOORS.values(), ids=DOORS)
def test_devices_beyond_the_limit_are_refused_and_the_others_taken(
    place: Guarded, taker: httpx.Client, send: Callable[[httpx.Client, Rows], httpx.Response]
) -> None:
    # The first row is refused for another reason, so that places and rows differ.
    rows = [*(rows_of(["d0"])), *rows_of(SENT), *rows_of(["device_a"]), *rows_of(SENT, "bob")]
    rows[0]["heart_rate"] = 5000.0
    said = send(taker, rows).json()
    assert (said["accepted"], said["rejected"], said["total"]) == (9, 3, 12)
    beyond = [{"index": place, "field": "device_id", "reason": REASON} for place in (4, 5)]
    assert said["errors"][1:] == beyond
    assert said["errors"][0]["field"] == "heart_rate"
    assert devices(place) == ["d0", "d1", "d2", "device_a", "device_b"]
    assert devices(place, "bob") == SENT, "another person has as many"
    again = send(taker, rows_of(["d2", "d3", "device_b"])).json()
    assert (again["accepted"], again["errors"]) == (2, [{"index": 1, "field": "device_id", "reason": REASON}])
    nothing = send(taker, rows_of(["d3", "d4"]))
    assert (nothing.status_code, nothing.json()["type"]) == (400, "urn:pulsebase:problem:nothing-accepted")


def test_lines_and_single_readings_are_refused_one_by_one(place: Guarded, taker: httpx.Client) -> None:
    body = "".join(f"heart_rate,user_id=ann,device_id={each} bpm=60 1705312800\n" for each in SENT)
    said = taker.post("/api/v2/write?precision=s", content=body)
    assert said.status_code == 400
    assert f"line 4: device_id {REASON}; line 5: device_id {REASON}" in said.json()["message"]
    assert devices(place) == ["d0", "d1", "d2", "device_a", "device_b"]
    before = refusals("http")
    statuses = []
    for row in rows_of(["d3", "d2", "device_a"]):
        answer = taker.post("/v1/metrics/heart-rate", json=row)
        statuses.append(answer.status_code)
        if answer.status_code != 202:
            assert answer.json()["errors"] == [{"field": "device_id", "reason": REASON}]
    assert statuses == [400, 202, 202]
    assert refusals("http") == before + 1


def test_an_import_brings_no_more_devices_than_that(place: Guarded) -> None:
    rows = [*rows_of(SENT), *rows_of(["d4"]), *rows_of(["device_a"])]  # d4 twice, device_a as it is stored
    sent = place.owner.post("/v1/imports?name=devices.csv", content=as_csv(rows))
    assert sent.status_code == 202
    show = f"/v1/imports/{sent.json()['id']}"
    wait_until(lambda: place.owner.get(show).json()["status"] not in ("waiting", "running"), "it is read")
    course = place.owner.get(show).json()["course"]
    counts = {name: course[name] for name in ("read", "written", "unchanged", "rejected")}
    assert counts == {"read": 7, "written": 3, "unchanged": 1, "rejected": 3}
    assert devices(place) == ["d0", "d1", "d2", "device_a", "device_b"]


def test_a_sync_brings_no_more_devices_than_that(place: Guarded) -> None:
    parts = place.parts
    loader = ReadingLoader(parts.ingestor, parts.store, ReadingRules())
    candidates, _ = parse_items(rows_of(SENT))
    result = loader.load("source", "ann", [candidates])
    assert (result.written, result.rejected, result.reasons) == (3, 2, {f"device_id: {REASON}": 2})
    assert devices(place) == ["d0", "d1", "d2", "device_a", "device_b"]


def test_a_device_whose_readings_are_deleted_makes_room(place: Guarded, taker: httpx.Client) -> None:
    assert by_batch(taker, rows_of(SENT)).json()["accepted"] == 3
    asked = {"user_id": "ann", "device_id": "d1", "start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}
    gone = place.owner.delete("/v1/metrics/heart-rate", params=asked)
    assert gone.status_code == 200, gone.text
    wait_until(lambda: by_batch(taker, rows_of(["d9"])).status_code == 202, "the store is asked again", 20)
    assert devices(place) == ["d0", "d2", "d9", "device_a", "device_b"]


def test_a_copy_keeps_all_devices_and_known_ones_are_taken_after_a_start(tmp_path: Path) -> None:
    with closing(open_store("memory://")) as full, closing(open_store(f"duckdb:///{tmp_path}/copy.duckdb")) as copy:
        with closing(Ingestor(full)) as unbounded:
            rows, _ = parse_items(rows_of([f"d{number:02}" for number in range(3 * MOST)]))
            assert unbounded.offer(rows, ReadingRules(), 1, "test").result(30).accepted == 3 * MOST
        copy_everything(full, copy, lambda _: None)
        assert len(copy.devices("ann")) == 3 * MOST
        names = lambda user_id: [each.device_id for each in copy.devices(user_id)]  # noqa: E731
        with closing(Ingestor(copy, IngestLimits(devices_per_person=MOST), devices_of=names)) as bounded:
            outcome = bounded.offer(rows, ReadingRules(), 1, "test").result(30)
            assert outcome.accepted == 3 * MOST
            more, _ = parse_items(rows_of(["new"]))
            outcome = bounded.offer(more, ReadingRules(), 1, "test").result(30)
            assert (outcome.accepted, outcome.errors[0].reason) == (0, REASON)
