"""Little bodies that take much of the processor to read: each is ended, and what came before it stands."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pulsebase.settings import Settings
from tests.threats.conftest import Guarded, guarded, lines, zipped
from tests.threats.test_one_person import ended

BULK, WRITE = "/v1/metrics/heart-rate/bulk", "/api/v2/write"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
NDJSON, CSV = "application/x-ndjson", "text/csv"
#: What a body may take here, seconds: far less than any of those below does on any machine.
MOST_S = 0.2
COLUMNS = b"user_id,device_id,timestamp,heart_rate\n"


@pytest.fixture(scope="module")
def place() -> Iterator[Guarded]:
    with guarded(body_processor_s=MOST_S, body_processor_s_per_mib=0) as made:
        yield made


def readings(rows: int, heart_rate: int = 60) -> pa.Table:
    """Readings whose columns pack to next to nothing: the ids are numbers."""
    return pa.table(
        {
            "user_id": pa.array(np.zeros(rows, np.int8)),
            "device_id": pa.array(np.zeros(rows, np.int8)),
            "timestamp": pa.array(np.full(rows, 1_700_000_000), pa.timestamp("s")),
            "heart_rate": pa.array(np.full(rows, heart_rate, np.int16)),
        }
    )


def arrow_of(batch: pa.Table, times: int, first: pa.Table | None = None) -> bytes:
    """The same batch again and again, which is packed once by Arrow and once more as a whole."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        ends = [sink.tell()]
        for table in (first or batch, batch):
            writer.write_table(table)
            ends.append(sink.tell())
    whole = sink.getvalue()
    return whole[: ends[1]] + whole[ends[1] : ends[2]] * times + whole[ends[2] :]


def parquet_of(batch: pa.Table, groups: int) -> bytes:
    file = io.BytesIO()
    with pq.ParquetWriter(file, batch.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(batch)
    return file.getvalue()


def arrow() -> bytes:
    return zstandard.compress(arrow_of(readings(2_000_000, 1), 200))


def ndjson() -> bytes:
    refused = b'{"user_id":"ann","device_id":"watch","timestamp":"2024-01-15T10:00:00Z","heart_rate":"x"}\n'
    return gzip.compress(refused * 400_000)


def csv() -> bytes:
    return gzip.compress(COLUMNS + b"ann,watch,2024-01-15T10:00:00Z,x\n" * 400_000)


def line_protocol() -> bytes:
    return gzip.compress((b"heart_rate" + b",a=b" * 30 + b",user_id=ann bpm=x\n") * 90_000)


@pytest.mark.parametrize(
    ("path", "media_type", "encoding", "little"),
    [
        (BULK, ARROW, "zstd", arrow),
        (BULK, NDJSON, "gzip", ndjson),
        (BULK, CSV, "gzip", csv),
        (WRITE, "text/plain", "gzip", line_protocol),
    ],
    ids=["arrow", "ndjson", "csv", "line protocol"],
)
def test_a_little_body_that_takes_much_of_the_processor_is_ended(
    place: Guarded, path: str, media_type: str, encoding: str, little: Callable[[], bytes]
) -> None:
    body = little()
    assert len(body) < 256 << 10
    answer = place.owner.post(path, content=body, headers={"content-type": media_type, "content-encoding": encoding})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:pulsebase:problem:body-too-costly")
    assert "more of the processor to read than the 0.2 s" in answer.json()["detail"]


def test_what_came_before_the_limit_is_stored_and_counted(place: Guarded) -> None:
    line = lines("ann", timestamp="2024-01-16T10:00:00Z")
    clocks = [b"%02d:%02d:%02d" % (at // 3600, at // 60 % 60, at % 60) for at in range(20_000)]
    hours = b"".join(line.replace(b"10:00:00", clock) for clock in clocks)
    headers = {"content-type": NDJSON, "content-encoding": "gzip"}
    answer = place.owner.post(BULK, content=gzip.compress(hours * 40, 1), headers=headers)
    said = answer.json()
    assert (answer.status_code, said["type"]) == (413, "urn:pulsebase:problem:body-too-costly")
    assert 0 < said["accepted"] <= said["total"]
    assert f"{said['accepted']} readings of the body were stored" in said["detail"]
    assert said["total"] < 40 * 20_000
    parameters = {"user_id": "ann", "start_date": "2024-01-16", "end_date": "2024-01-16", "interval": "1d"}
    stored = place.client(place.key("reader")).get("/v1/timeseries", params=parameters).json()
    assert stored["columns"]["count"] == [min(said["accepted"], 20_000)]


def test_parquet_and_imports_that_take_much_of_the_processor_are_ended() -> None:
    """The limit of a process is told in whole seconds."""
    table = readings(300_000, 1)
    times = pa.array(["2024-01-15 10:00:00.1"] * len(table))  # of a form that is read one by one
    data = parquet_of(table.set_column(2, "timestamp", times), 8)
    assert len(data) < 128 << 10
    with guarded(body_processor_s=1, body_processor_s_per_mib=0) as place:
        answer = place.owner.post(BULK, content=data, headers={"content-type": PARQUET})
        said = answer.json()
        assert (answer.status_code, said["type"]) == (413, "urn:pulsebase:problem:body-too-costly")
        assert "more of the processor" in said["detail"]
        number = place.owner.post("/v1/imports?name=x", content=zipped({"a.parquet": data})).json()["id"]
        course = ended(place.owner, number)["course"]
        assert "takes more of the processor to read" in str([file["problem"] for file in course["files"]])


@pytest.mark.parametrize(("value", "status"), [("60", 202), ('"x"', 400)], ids=["taken", "refused"])
def test_honest_bodies_are_far_from_the_limit(value: str, status: int) -> None:
    """Six hours, second by second, with a tenth of what they may take."""
    line = '{{"user_id":"ann","device_id":"watch","timestamp":"2024-01-15T{}:{:02}:{:02}Z","heart_rate":{}}}\n'
    text = "".join(line.format(10 + at // 3600, at // 60 % 60, at % 60, value) for at in range(6 * 3600))
    few = Settings(_env_file=None).body_processor_s / 10
    with guarded(body_processor_s=few, body_processor_s_per_mib=0) as place:
        headers = {"content-type": NDJSON, "content-encoding": "gzip"}
        answer = place.owner.post(BULK, content=gzip.compress(text.encode()), headers=headers)
        assert (answer.status_code, answer.json()["total"]) == (status, 6 * 3600)
