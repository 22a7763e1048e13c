"""The bulk door: every kind of body, bodies that break off, and how much of them is held at a time."""

from __future__ import annotations

import gzip
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.ingest import Ingestor
from pulsebase.ingest.blocks import BLOCK_READINGS
from pulsebase.ingest.committer import LONG_WAIT_S, SHORT_WAIT_S
from pulsebase.model.errors import StoreUnavailableError
from pulsebase.settings import Settings
from pulsebase.stores.memory import MemoryStore
from pulsebase.telemetry import REGISTRY
from pulsebase.wiring import build
from tests.api.conftest import Api, reading
from tests.support import process
from tests.support.process import Place, Server, wait_until

BULK = "/v1/metrics/heart-rate/bulk"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
NDJSON = "application/x-ndjson"
START_S = 1_705_312_800  # 2024-01-15T10:00:00Z
START_US = START_S * 1_000_000


def arrow_of(*batches: pa.RecordBatch | pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write(batch)
    return sink.getvalue()


def table(count: int = 3, **columns: Any) -> pa.Table:
    """Readings a second apart, of ann's strap."""
    usual = {
        "user_id": ["ann"] * count,
        "device_id": ["strap"] * count,
        "timestamp": pa.array(range(START_S, START_S + count), pa.timestamp("s")),
        "heart_rate": [60 + step % 40 for step in range(count)],
    }
    return pa.table(usual | columns)


def send(api: Api, body: bytes, media_type: str = ARROW, **headers: str) -> httpx.Response:
    answer: httpx.Response = api.post(BULK, content=body, headers={"Content-Type": media_type} | headers)
    return answer


def counts(answer: httpx.Response) -> tuple[int, int, int, int]:
    body = answer.json()
    return answer.status_code, body["accepted"], body["rejected"], body["total"]


def faults(answer: httpx.Response) -> list[tuple[int, str]]:
    return [(error["index"], error["field"]) for error in answer.json()["errors"]]


def stored(api: Api) -> list[tuple[Any, ...]]:
    rows = api.parts.store.stored().to_pylist()
    return [(row["user_id"], row["device_id"], row["time_us"], row["value"], row["confidence"]) for row in rows]


# --- columns -------------------------------------------------------------------------------------------------------

TEXT_KINDS = {
    "texts": pa.string(),
    "long texts": pa.large_string(),
    "text views": pa.string_view(),
    "integers": pa.int16(),
    "unsigned": pa.uint64(),
    "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "dictionary of long texts": pa.dictionary(pa.uint32(), pa.large_string()),
    "dictionary of integers": pa.dictionary(pa.int32(), pa.int64()),
}


@pytest.mark.parametrize("kind", TEXT_KINDS.values(), ids=TEXT_KINDS)
def test_ids_may_be_texts_or_integers_plain_or_in_a_dictionary(any_api: Api, kind: pa.DataType) -> None:
    ids = pa.array([7, 7, 8])
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    ids = ids.cast(pa.string()).cast(value) if not pa.types.is_integer(value) else ids.cast(value)
    if pa.types.is_dictionary(kind):
        ids = pa.DictionaryArray.from_arrays(pa.array([0, 0, 1], kind.index_type), ids.take(pa.array([0, 2])))
    assert counts(send(any_api, arrow_of(table(user_id=ids, device_id=ids)))) == (202, 3, 0, 3)
    assert [row[:2] for row in stored(any_api)] == [("7", "7"), ("7", "7"), ("8", "8")]


def test_who_is_only_in_a_dictionary_does_not_come_into_being(any_api: Api) -> None:
    ids = pa.DictionaryArray.from_arrays(pa.array([2, 2, 2], pa.int32()), pa.array(["eve", "not an id", "ann", None]))
    assert counts(send(any_api, arrow_of(table(user_id=ids)))) == (202, 3, 0, 3)
    assert [user["user_id"] for user in any_api.get("/v1/users").json()["data"]] == ["ann"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_timestamps_of_every_unit_are_instants(api: Api, unit: str, zone: str | None) -> None:
    times = pa.array([START_S, START_S + 1, 4], pa.timestamp("s")).cast(pa.timestamp(unit)).cast(pa.int64())
    column = times.cast(pa.timestamp(unit, zone))
    assert counts(send(api, arrow_of(table(timestamp=column)))) == (202, 3, 0, 3)
    assert [row[2] for row in stored(api)] == [4_000_000, START_US, START_US + 1_000_000]


def test_nanoseconds_are_cut_off_and_times_that_cannot_be_are_refused(api: Api) -> None:
    times = pa.array([START_US * 1000 + 1999, -1, START_US * 1000], pa.timestamp("ns"))
    answer = send(api, arrow_of(table(timestamp=times)))
    assert faults(answer) == [(1, "timestamp")]
    assert [row[2] for row in stored(api)] == [START_US, START_US + 1]
    far = pa.array([1 << 62, -(1 << 62), (1 << 63) // 1_000_000 + 5], pa.timestamp("s"))
    answer = send(api, arrow_of(table(timestamp=far)))
    assert (answer.status_code, faults(answer)) == (400, [(0, "timestamp"), (1, "timestamp"), (2, "timestamp")])


def test_times_may_be_texts(api: Api) -> None:
    texts = ["2024-01-15T10:00:00Z", "2024-01-15T12:00:01.5+02:00", "yesterday"]
    answer = send(api, arrow_of(table(timestamp=texts)))
    assert (counts(answer), faults(answer)) == ((202, 2, 1, 3), [(2, "timestamp")])
    assert [row[2] for row in stored(api)] == [START_US, START_US + 1_500_000]


def test_a_null_where_a_value_has_to_be_refuses_its_row_alone(any_api: Api) -> None:
    answer = send(
        any_api,
        arrow_of(
            table(
                6,
                user_id=[None, "ann", "ann", "ann", "ann", "ann"],
                device_id=pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 0, 0, None]), pa.array(["strap", None])),
                timestamp=pa.array([1, 2, None, 4, 5, 6], pa.timestamp("s")),
                heart_rate=[60.0, 61.0, 62.0, None, 64.0, 65.0],
                confidence=pa.array([1, 1, 1, 1, None, 1], pa.int8()),
            )
        ),
    )
    assert counts(answer) == (202, 1, 5, 6)
    assert faults(answer) == [
        (0, "user_id"),
        (1, "device_id"),
        (2, "timestamp"),
        (3, "heart_rate"),
        (5, "device_id"),
    ]
    assert stored(any_api) == [("ann", "strap", 5_000_000, 6400, None)]


@pytest.mark.parametrize(
    "kind", [pa.int32(), pa.uint8(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(6, 2)], ids=str
)
def test_heart_rates_may_be_any_numbers(api: Api, kind: pa.DataType) -> None:
    values = pa.array([60, 29, 220]).cast(pa.float64()).cast(kind)
    answer = send(api, arrow_of(table(heart_rate=values, confidence=pa.nulls(3))))
    assert (counts(answer), faults(answer)) == ((202, 2, 1, 3), [(1, "heart_rate")])


def test_confidences_are_kept_and_judged(api: Api) -> None:
    column = pa.array([0, 3, None, 4, 250, (1 << 64) - 1], pa.uint64())
    answer = send(api, arrow_of(table(6, confidence=column)))
    assert (counts(answer), {name for _, name in faults(answer)}) == ((202, 3, 3, 6), {"confidence"})
    assert [row[4] for row in stored(api)] == [0, 3, None]


@pytest.mark.parametrize(
    ("columns", "field", "reason"),
    [
        (table().drop_columns(["device_id"]), "device_id", "is required"),
        (table(weight=[1, 2, 3]), "weight", "is not a known column"),
        (table().append_column("user_id", [["a", "b", "c"]]), "user_id", "is given more than once"),
        (table(user_id=[1.5, 2.5, 3.5]), "user_id", "must be a column of texts or integers"),
        (table(timestamp=[1, 2, 3]), "timestamp", "must be a column of timestamps or of ISO 8601 texts"),
        (table(heart_rate=["60", "61", "62"]), "heart_rate", "must be a column of numbers"),
        (table(confidence=["1", "2", "3"]), "confidence", "must be a column of whole numbers"),
        (
            table().append_column("", [[0, 1, 2]]),
            "column 5",
            "has no name; write a frame without its index (index=False)",
        ),
    ],
)
def test_columns_that_are_not_those_of_readings_are_refused_by_name(
    api: Api, columns: pa.Table, field: str, reason: str
) -> None:
    answer = send(api, arrow_of(columns))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:invalid-request")
    assert {"field": field, "reason": reason} in answer.json()["errors"]
    assert stored(api) == []


@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_the_index_of_a_frame_is_passed_over_and_said(any_api: Api, media_type: str) -> None:
    found = table(__index_level_0__=[5, 6, 7], __index_level_1__=["a", None, "b"])
    body = arrow_of(found, found) if media_type == ARROW else parquet_of(found, row_group_size=2)
    answer = send(any_api, body, media_type)
    assert answer.status_code == 202
    assert answer.json()["passed_over"] == ["__index_level_0__", "__index_level_1__"]
    assert len(stored(any_api)) == 3
    assert "passed_over" not in send(any_api, arrow_of(table())).json()
    refused = send(any_api, arrow_of(table(heart_rate=[1, 2, 3], __index_level_0__=[5, 6, 7])))
    assert (refused.status_code, refused.json()["passed_over"]) == (400, ["__index_level_0__"])


def _arrow_file(compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table().schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write(table())
    return sink.getvalue()


FORMS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "arrow file": (_arrow_file, "an Arrow file (Feather)", f"send a stream as {ARROW}"),
    "packed feather": (lambda: _arrow_file("lz4"), "an Arrow file (Feather)", "write_ipc_stream"),
    "arrow stream": (lambda: arrow_of(table()), "an Arrow stream", f"send it as {ARROW}"),
    "parquet": (lambda: parquet_of(table()), "Parquet", f"send it as {PARQUET}"),
    "gzip": (lambda: gzip.compress(arrow_of(table())), "packed with gzip", "Content-Encoding: gzip"),
    "zstd": (lambda: zstandard.compress(arrow_of(table())), "packed with zstd", "Content-Encoding: zstd"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "a zip", "send what is in it"),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_body_is_instead_is_named_with_what_to_do(api: Api, form: str) -> None:
    body, name, advice = FORMS[form]
    for media_type in (ARROW, PARQUET, NDJSON, "text/csv"):
        answer = send(api, body(), media_type)
        if (form, media_type) in (("arrow stream", ARROW), ("parquet", PARQUET)):
            assert answer.status_code == 202
            continue
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:malformed-body")
        assert f"the body is {name}, not " in answer.json()["detail"]
        assert advice in answer.json()["detail"]


def test_what_is_no_arrow_at_all_is_not_called_too_large(api: Api) -> None:
    answer = send(api, b"user_id,device_id,timestamp,heart_rate\n")
    assert (answer.status_code, answer.json()["detail"]) == (400, "it is not an Arrow IPC stream")


def test_an_empty_stream_is_nothing(api: Api) -> None:
    for body in (arrow_of(table(0)), arrow_of(table(0), table(0))):
        assert counts(send(api, body)) == (202, 0, 0, 0)
    assert counts(send(api, b"", NDJSON)) == (202, 0, 0, 0)
    assert counts(send(api, b"user_id,device_id,timestamp,heart_rate\n", "text/csv")) == (202, 0, 0, 0)
    assert send(api, b"", "text/csv").status_code == 400
    assert send(api, b"").status_code == 400


def test_positions_go_on_through_many_batches_and_blocks(api: Api) -> None:
    bad = table(10, heart_rate=[60] * 9 + [5])
    large = table(2 * BLOCK_READINGS + 5, heart_rate=[60] * (2 * BLOCK_READINGS + 4) + [5])
    answer = send(api, arrow_of(bad, table(0), large, bad))
    assert counts(answer) == (202, 2 * BLOCK_READINGS + 4 + 18, 3, 2 * BLOCK_READINGS + 25)
    last = 2 * BLOCK_READINGS + 14
    assert [index for index, _ in faults(answer)] == [9, last, last + 10]


def test_the_first_hundred_refusals_are_named_and_all_are_counted(api: Api) -> None:
    before = REGISTRY.get_sample_value(
        "pulsebase_ingest_readings_rejected_total", {"source": "bulk", "field": "heart_rate"}
    )
    values = [None if step % 2 else 5 for step in range(150)]
    answer = send(api, arrow_of(table(150, heart_rate=values), table(60)))
    assert counts(answer) == (202, 60, 150, 210)
    assert [index for index, _ in faults(answer)] == list(range(100))
    after = REGISTRY.get_sample_value(
        "pulsebase_ingest_readings_rejected_total", {"source": "bulk", "field": "heart_rate"}
    )
    assert (after or 0) - (before or 0) == 150


def test_a_body_without_one_good_reading_is_a_problem_with_the_same_counts(api: Api) -> None:
    answer = send(api, arrow_of(table(heart_rate=[1, 2, 3])))
    assert answer.json()["type"] == "urn:pulsebase:problem:nothing-accepted"
    assert (counts(answer), len(faults(answer))) == ((400, 0, 3, 3), 3)


# --- other forms ---------------------------------------------------------------------------------------------------


def parquet_of(found: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(found, sink, **options)
    return sink.getvalue()


def test_parquet_is_read(any_api: Api) -> None:
    found = table(1000, heart_rate=[60] * 999 + [5], confidence=pa.array([0] * 1000, pa.int8()))
    answer = send(any_api, parquet_of(found, row_group_size=100), PARQUET)
    assert (counts(answer), faults(answer)) == ((202, 999, 1, 1000), [(999, "heart_rate")])
    assert stored(any_api)[0] == ("ann", "strap", START_US, 6000, 0)
    for body in (parquet_of(found)[:-10], b"PAR1", b""):
        assert send(any_api, body, PARQUET).json()["type"] == "urn:pulsebase:problem:malformed-body"


def test_ndjson_is_read_line_by_line(any_api: Api) -> None:
    lines = [
        json.dumps(reading()),
        "",
        json.dumps(reading("2024-01-15T10:00:01Z", confidence=2)) + "\r",
        "no json",
        json.dumps(reading(heart_rate=500)),
        "[1]",
        json.dumps(reading(colour="red")),
        json.dumps(reading("2024-01-15T10:00:02Z", user_id=7)),
    ]
    answer = send(any_api, "\n".join(lines).encode(), NDJSON)
    assert counts(answer) == (202, 3, 4, 7)
    assert faults(answer) == [(2, "reading"), (3, "heart_rate"), (4, "reading"), (5, "colour")]
    assert [row[0] for row in stored(any_api)] == ["7", "ann", "ann"]
    good = "".join(json.dumps(reading(f"2024-01-15T10:01:{second:02}Z")) + "\n" for second in range(60))
    assert counts(send(any_api, good.encode(), NDJSON)) == (202, 60, 0, 60)


def test_csv_is_read_with_a_mark_quotes_and_any_order_of_columns(any_api: Api) -> None:
    lines = [
        '\ufeff"heart_rate",timestamp,user_id,device_id,confidence',
        '60,2024-01-15T10:00:00Z,ann,"strap",3',
        '"61.5", 2024-01-15T10:00:01Z ,"ann",strap,',
        "",
        "62,2024-01-15T10:00:02Z,ann,strap",
        "fast,2024-01-15T10:00:03Z,ann,strap,",
        "6_4,2024-01-15T10:00:04Z,ann,strap,",
        '65,2024-01-15T10:00:05Z,an"n,strap,',
        "66,2024-01-15T10:00:06Z,ann,strap,٣",
        "67,soon,ann,strap,1",
        ",2024-01-15T10:00:08Z,ann,strap,1",
        "69,2024-01-15T10:00:09Z,,strap,1",
        "70,2024-01-15T10:00:10Z,ann,strap,1",
    ]
    answer = send(any_api, "\r\n".join(lines).encode(), "text/csv; charset=utf-8")
    assert counts(answer) == (202, 3, 8, 11)
    fields = ["reading", "heart_rate", "heart_rate", "user_id", "confidence", "timestamp", "heart_rate", "user_id"]
    assert faults(answer) == list(enumerate(fields, 2))
    assert [(row[3], row[4]) for row in stored(any_api)] == [(6000, 3), (6150, None), (7000, 1)]


def test_ids_that_a_spreadsheet_changed_are_refused_in_csv_and_are_ids_elsewhere(any_api: Api) -> None:
    rows = [("2.02E+09", "strap"), ("2022484408.0", "strap"), ("ann", "2.1e+11"), ("ann", "strap"), ("1e5", "2.0.1")]
    lines = "".join(f"{user_id},{device_id},2024-01-15T10:00:00Z,60\n" for user_id, device_id in rows)
    answer = send(any_api, b"user_id,device_id,timestamp,heart_rate\n" + lines.encode(), "text/csv")
    assert counts(answer) == (202, 2, 3, 5)
    assert faults(answer) == [(0, "user_id"), (1, "user_id"), (2, "device_id")]
    assert "spreadsheet" in answer.json()["errors"][0]["reason"]
    items = "".join(
        f'{{"user_id":"{user_id}","device_id":"{device_id}","timestamp":"2024-01-15T10:00:00Z","heart_rate":60}}\n'
        for user_id, device_id in rows
    )
    assert counts(send(any_api, items.encode(), NDJSON)) == (202, 5, 0, 5)


def test_csv_must_name_its_columns(api: Api) -> None:
    answer = send(api, b"ann,strap,2024-01-15T10:00:00Z,70\n", "text/csv")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:invalid-request")
    assert send(api, b"user_id,device_id,timestamp,heart_rate\n\xff\xfe,a,b,c\n", "text/csv").status_code == 400


def test_short_lines_are_stored_in_blocks_of_the_same_size(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.ingest.lines.BLOCK_READINGS", 10)
    before = REGISTRY.get_sample_value("pulsebase_ingest_commit_readings_sum")
    lines = "".join(f"a,b,1970-01-01T00:00:{second:02}Z,60\n" for second in range(35))
    answer = send(api, b"user_id,device_id,timestamp,heart_rate\n" + lines.encode(), "text/csv")
    assert counts(answer) == (202, 35, 0, 35)
    assert (REGISTRY.get_sample_value("pulsebase_ingest_commit_readings_sum") or 0) - (before or 0) == 35


@pytest.mark.parametrize("media_type", [ARROW, PARQUET, NDJSON, "text/csv"])
@pytest.mark.parametrize("packing", ["gzip", "members", "zstd", "frames"])
def test_bodies_may_be_packed(api: Api, media_type: str, packing: str) -> None:
    found = table(5000)
    rows = [
        {"user_id": "ann", "device_id": "strap", "timestamp": f"{at.isoformat()}Z", "heart_rate": value}
        for at, value in zip(found["timestamp"].to_pylist(), found["heart_rate"].to_pylist(), strict=True)
    ]
    body = {
        ARROW: lambda: arrow_of(found),
        PARQUET: lambda: parquet_of(found),
        NDJSON: lambda: "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "text/csv": lambda: "\n".join(
            [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        ).encode(),
    }[media_type]()
    half = len(body) // 2
    packed = {
        "gzip": lambda: gzip.compress(body),
        "members": lambda: gzip.compress(body[:half]) + gzip.compress(body[half:]),
        "zstd": lambda: zstandard.compress(body),
        "frames": lambda: zstandard.compress(body[:half]) + zstandard.compress(body[half:]),
    }[packing]()
    encoding = "gzip" if packing in ("gzip", "members") else "zstd"
    assert counts(send(api, packed, media_type, **{"Content-Encoding": encoding})) == (202, 5000, 0, 5000)
    assert len(stored(api)) == 5000


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_was_packed_and_is_cut_short_is_not_taken_for_whole(api: Api, encoding: str) -> None:
    body = "".join(json.dumps(reading(f"2024-01-15T10:00:{second:02}Z")) + "\n" for second in range(60)).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
    for wrong in (packed[:-6], b"", b"neither of them"):
        answer = send(api, wrong, NDJSON, **{"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:malformed-body")
        assert answer.json()["accepted"] == len(stored(api))


def test_media_types_and_encodings_that_are_not_read_are_415(api: Api) -> None:
    for media_type, headers in (
        ("application/json", {}),
        ("", {}),
        (NDJSON, {"Content-Encoding": "br"}),
        ("application/vnd.apache.arrow.file", {}),
    ):
        answer = send(api, json.dumps(reading()).encode(), media_type, **headers)
        assert (answer.status_code, answer.json()["type"]) == (415, "urn:pulsebase:problem:unsupported-media-type")
    assert stored(api) == []


def test_an_unknown_parameter_is_refused_by_name(api: Api) -> None:
    answer = api.post(BULK, params={"colour": "red"}, content=arrow_of(table()), headers={"Content-Type": ARROW})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "colour")
    assert stored(api) == []


# --- bodies that break off, and limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_truncated_arrow_body_says_how_many_readings_were_committed(api: Api, cut: int) -> None:
    batches = [table(1000, user_id=[f"user{number}"] * 1000) for number in range(5)]
    body = arrow_of(*batches)
    answer = send(api, body[: -8 - cut])  # without the mark of the end, and in the middle of the last batch
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:malformed-body")
    assert "4000 readings of the body were stored" in answer.json()["detail"]
    assert (answer.json()["accepted"], len(stored(api))) == (4000, 4000)


def test_what_follows_behind_the_end_of_an_arrow_stream_is_not_passed_over(api: Api) -> None:
    answer = send(api, arrow_of(table()) + arrow_of(table(user_id=["ben"] * 3)))
    assert (answer.status_code, answer.json()["accepted"]) == (400, 3)
    assert "more follows" in answer.json()["detail"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_flipped_bytes_are_refused_or_stored_and_never_a_fault(api: Api, data: st.DataObject) -> None:
    ids = pa.array(["ann", "ben", "ann"]).dictionary_encode()
    body = bytearray(arrow_of(table(user_id=ids, confidence=pa.array([1, None, 2], pa.int8()))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    assert send(api, bytes(body)).status_code in (202, 400, 413)


def test_a_body_beyond_the_limit_stops_there(installed: Callable[..., Api]) -> None:
    api = installed(bulk_limit_bytes=200_000)
    body = arrow_of(*[table(1000, user_id=[f"user{number}"] * 1000) for number in range(40)])
    for packed, headers in ((body, {}), (zstandard.compress(body), {"Content-Encoding": "zstd"})):
        answer = send(api, packed, **headers)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:pulsebase:problem:body-too-large")
        assert answer.json().get("accepted", 0) == len(stored(api)) < 40_000


def test_a_line_or_a_record_batch_without_end_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a line is longer" in send(api, b"a" * (5 << 20), NDJSON).json()["detail"]
    monkeypatch.setattr("pulsebase.api.codecs.bulk_bodies._RECORD_BATCH_BYTES", 100_000)
    answer = send(api, arrow_of(table(1000), table(10_000)))
    assert (answer.status_code, answer.json()["accepted"]) == (413, 1000)


@pytest.mark.parametrize("packing", ["lz4", "zstd"])
def test_packed_columns_are_read_and_bounded_as_unpacked(
    any_api: Api, monkeypatch: pytest.MonkeyPatch, packing: str
) -> None:
    def packed(found: pa.Table) -> bytes:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, found.schema, options=pa.ipc.IpcWriteOptions(compression=packing)) as writer:
            writer.write(found)
        return sink.getvalue()

    ids = pa.array([f"user{number % 7}" for number in range(1000)]).dictionary_encode()
    assert counts(send(any_api, packed(table(1000, user_id=ids)))) == (202, 1000, 0, 1000)
    monkeypatch.setattr("pulsebase.api.codecs.bulk_bodies._RECORD_BATCH_BYTES", 100_000)
    alike = table(10_000, timestamp=pa.array([START_S] * 10_000, pa.timestamp("s")), heart_rate=[60] * 10_000)
    long = table(1, device_id=pa.array(["a" * 200_000]).dictionary_encode())
    for found in (alike, long):
        assert len(packed(found)) < 100_000
        answer = send(any_api, packed(found))
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:pulsebase:problem:body-too-large")


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_bytes_of_an_arrow_stream_are_a_fault_of_the_server(api: Api, data: st.DataObject) -> None:
    body = bytearray(arrow_of(table(3, user_id=pa.array(["ann", "bob", "ann"]).dictionary_encode())))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert send(api, bytes(body[: data.draw(st.integers(0, len(body)))])).status_code in (202, 400, 413)


def test_a_little_zstd_that_stands_for_very_much_is_unpacked_piece_by_piece(installed: Callable[..., Api]) -> None:
    api = installed(bulk_limit_bytes=1 << 20)
    answer = send(api, zstandard.compress(bytes(1 << 28), 19), NDJSON, **{"Content-Encoding": "zstd"})
    assert answer.status_code == 413
    answer = send(api, gzip.compress(b"\n" * (1 << 26)), NDJSON, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_a_small_queue_makes_the_body_wait(installed: Callable[..., Api], tmp_path: Path) -> None:
    api = installed(store_url=f"duckdb:///{tmp_path}/a.duckdb", queue_readings=1000, commit_readings=500)
    before = REGISTRY.get_sample_value("pulsebase_ingest_queue_full_total") or 0
    batches = [table(800, user_id=[f"user{number}"] * 800) for number in range(30)]
    assert counts(send(api, arrow_of(*batches))) == (202, 24_000, 0, 24_000)
    assert len(stored(api)) == 24_000
    assert (REGISTRY.get_sample_value("pulsebase_ingest_queue_full_total") or 0) >= before


def test_a_body_of_which_nothing_is_stored_waits_shortly_for_merges_and_one_under_way_longer(
    installed: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = installed()
    asked: list[tuple[int, float, bool]] = []

    def pace(_: Ingestor, readings: int, max_wait_s: float, *, within_turn: bool) -> None:
        asked.append((readings, round(max_wait_s, 1), within_turn))

    monkeypatch.setattr(Ingestor, "pace", pace)
    batches = [table(BLOCK_READINGS, user_id=[f"user{number}"] * BLOCK_READINGS) for number in range(3)]
    assert counts(send(api, arrow_of(*batches)))[:2] == (202, 3 * BLOCK_READINGS)
    assert asked == [(BLOCK_READINGS, SHORT_WAIT_S, False), *[(BLOCK_READINGS, LONG_WAIT_S, False)] * 2]
    asked.clear()
    assert counts(send(api, arrow_of(*[table(40_000, user_id=["ann"] * 40_000)] * 4)))[:2] == (202, 160_000)
    assert [(readings, within_turn) for readings, _, within_turn in asked] == [
        (40_000, False),
        (40_000, True),
        (40_000, False),
        (40_000, True),
    ]


@pytest.mark.parametrize("stored_blocks", [0, 1])
def test_a_body_that_merges_have_no_room_for_is_refused_and_says_what_of_it_is_stored(
    stored_blocks: int, installed: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = installed()
    asked: list[int] = []

    def pace(_: MemoryStore, readings: int, max_wait_s: float, **rest: object) -> None:
        del max_wait_s, rest
        asked.append(readings)
        if len(asked) > stored_blocks:
            raise StoreUnavailableError("too many readings wait for a merge; nothing of this request was stored", 3)

    monkeypatch.setattr(MemoryStore, "pace", pace)
    batches = [table(BLOCK_READINGS, user_id=[f"user{number}"] * BLOCK_READINGS) for number in range(2)]
    answer = send(api, arrow_of(*batches))
    said = (
        f"{BLOCK_READINGS} readings of the body were stored" if stored_blocks else "nothing of this request was stored"
    )
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert answer.json()["detail"] == f"too many readings wait for a merge; {said}"
    assert len(stored(api)) == stored_blocks * BLOCK_READINGS


def test_a_store_that_stops_taking_readings_is_said_with_the_count(installed: Callable[..., Api]) -> None:
    api = installed()
    first = arrow_of(*[table(20_000, user_id=[f"user{number}"] * 20_000) for number in range(3)])
    second = arrow_of(table(20_000, user_id=["ben"] * 20_000))

    def parts() -> Iterator[bytes]:
        yield first[:-8]
        wait_until(lambda: stored(api), "the first block is stored")
        api.parts.ingestor.close()
        schema = len(arrow_of(table(0))) - 8
        yield second[schema:]

    headers = {"Content-Type": ARROW}
    answer = _over_the_wire(api, parts(), headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:pulsebase:problem:unavailable")
    count = len(stored(api))
    assert answer.json()["detail"] == f"the server is shutting down; {count} readings of the body were stored"
    assert count in (20_000, 40_000)
    assert int(answer.headers["Retry-After"]) > 0


def _over_the_wire(api: Api, body: Iterator[bytes], headers: dict[str, str]) -> httpx.Response:
    with bound_socket("127.0.0.1", 0) as listener, serving(api.parts.app, [listener]):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{BULK}"
        return httpx.post(url, content=body, headers=headers, timeout=60)


def test_an_upload_that_stalls_does_not_hold_up_the_end_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.api.server.http_server.GRACE_S", 0.3)
    parts = build(Settings(_env_file=None, store_url="memory://"))
    with parts as built, socket.socket() as client, bound_socket("127.0.0.1", 0) as listener:
        with serving(built.app, [listener]):
            client.connect(listener.getsockname())
            head = (
                f"POST {BULK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nContent-Length: 1000000\r\n\r\n"
            )
            client.sendall(head.encode() + json.dumps(reading()).encode() + b"\n")
            time.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < 25  # a body may take longer


# --- a real server -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with process.serving(Place(tmp_path_factory.mktemp("bulk"), max_rows="10000000")) as running:
        yield running
        assert "Traceback" not in running.errors


def readings_of(server: Server, user_id: str) -> int:
    users = server.client.get("/v1/users", params={"query": user_id}).json()["data"]
    return sum(user["readings"] for user in users)


def test_a_connection_that_breaks_off_leaves_whole_blocks(server: Server) -> None:
    batches = [table(20_000, user_id=["broken"] * 20_000, device_id=[f"d{number}"] * 20_000) for number in range(8)]
    body = arrow_of(*batches)
    host, port = server.url.removeprefix("http://").split(":")
    for fraction in (0.3, 0.7):
        with socket.create_connection((host, int(port))) as client:
            head = f"POST {BULK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {ARROW}\r\n"
            length = f"Content-Length: {len(body)}\r\n\r\n"
            client.sendall((head + length).encode() + body[: int(len(body) * fraction)])
        whole = 20_000 * int(8 * fraction)
        wait_until(lambda whole=whole: readings_of(server, "broken") == whole, "what came whole is stored")
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_long_stream_takes_little_memory(server: Server) -> None:
    batches, rows = 50, 100_000
    ids = pa.array([f"long{number}" for number in range(100)])
    codes = pa.array([number for number in range(100) for _ in range(rows // 100)], pa.int32())
    users = pa.DictionaryArray.from_arrays(codes, ids)
    devices = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["strap"]))
    values = pa.array([70.5] * rows)
    seconds = [number for _ in range(100) for number in range(rows // 100)]

    def body() -> Iterator[bytes]:
        sink = io.BytesIO()
        schema = pa.schema(
            {"user_id": users.type, "device_id": devices.type, "timestamp": pa.timestamp("s"), "heart_rate": "double"}
        )
        with pa.ipc.new_stream(sink, schema) as writer:
            for number in range(batches):
                times = pa.array([START_S + number * 1000 + second for second in seconds], pa.timestamp("s"))
                writer.write(pa.record_batch([users, devices, times, values], schema=schema))
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
        yield sink.getvalue()

    def resident_mb() -> float:
        return server.metric("process_resident_memory_bytes") / 1e6

    peak = [resident_mb()]
    before = peak[0]
    done = threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=server.url) as client:
            while not done.wait(0.1):
                text = client.get("/metrics").text
                line = next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes "))
                peak.append(float(line.split()[1]) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = server.client.post(BULK, content=body(), headers={"Content-Type": ARROW})
    finally:
        done.set()
        watcher.join()
    assert counts(answer) == (202, batches * rows, 0, batches * rows)
    assert max(peak) - before < 700
    assert readings_of(server, "long7") > 0


def test_a_reader_sees_blocks_whole_or_not_at_all(server: Server) -> None:
    size = 20_000
    asked = {"user_id": "whole", "start_date": "2024-01-15", "end_date": "2024-01-17", "interval": "1d"}
    server.post([process.reading("whole", 0)])
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=server.url) as client:
            while not done.is_set():
                columns = client.get("/v1/timeseries", params=asked).json()["columns"]
                seen.add(sum(columns["count"]))

    reader = threading.Thread(target=read)
    reader.start()

    def body() -> Iterator[bytes]:
        sink = io.BytesIO()
        batches = [table(size, user_id=["whole"] * size) for _ in range(5)]
        with pa.ipc.new_stream(sink, batches[0].schema) as writer:
            for number, batch in enumerate(batches):
                times = pa.array(range(START_S + number * size, START_S + (number + 1) * size), pa.timestamp("s"))
                writer.write(batch.set_column(2, "timestamp", times))
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
                until = time.monotonic() + 2  # at most, for whoever looks to see it
                while len(seen) <= number + 1 and time.monotonic() < until:
                    time.sleep(0.01)

    try:
        answer = server.client.post(BULK, content=body(), headers={"Content-Type": ARROW})
    finally:
        done.set()
        reader.join()
    assert counts(answer) == (202, 5 * size, 0, 5 * size)
    assert len(seen) > 2
    assert {count % size for count in seen} == {0}


# --- the same judgement as the batch route -------------------------------------------------------------------------

IDS = st.sampled_from(["ann", "ben", "7", "a.b:c@d+e-f", "", "an id", "ä", "x" * 128, "x" * 129])
TIMES = st.one_of(
    st.sampled_from(
        [
            "2024-01-15T10:00:00Z",
            "2024-01-15T10:00:00.1234567+01:00",
            "2024-01-15 10:00",
            "1969-12-31T23:59:59.9999999Z",
            "1970-01-01T00:00:00Z",
            "2999-01-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-15",
            "",
            "0000-01-01T00:00:00Z",
        ]
    ),
    st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
)
VALUES = st.one_of(
    st.sampled_from([30.0, 29.99, 220.0, 220.001, 0.0, -1.0, float("nan"), float("inf"), 57.005]), st.floats(25, 230)
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": IDS,
            "device_id": IDS,
            "timestamp": TIMES,
            "heart_rate": VALUES,
            "confidence": st.one_of(st.none(), st.integers(-2, 5), st.sampled_from([255, 1 << 40])),
        }
    ),
    min_size=1,
    max_size=12,
)


def test_columns_are_judged_as_batches_are() -> None:
    with ExitStack() as opened:
        apis = [Api(opened.enter_context(build(Settings(_env_file=None, store_url="memory://")))) for _ in range(2)]

        @settings(max_examples=75, deadline=None)
        @given(rows=ROWS, as_dictionary=st.booleans())
        def both_judge(rows: list[dict[str, Any]], as_dictionary: bool) -> None:
            text = json.dumps({"readings": rows})
            by_columns = send(apis[0], arrow_of(columns_of(rows, as_dictionary)))
            by_batch = apis[1].post("/v1/metrics/heart-rate/batch", content=text)
            found = []
            for api, answer in zip(apis, (by_columns, by_batch), strict=True):
                kept = stored(api)
                found.append((counts(answer), [index for index, _ in faults(answer)], kept))
                for user_id in {row[0] for row in kept}:  # each example begins with nothing
                    api.parts.store.remove_user(user_id)
            assert found[0] == found[1]

        both_judge()


def columns_of(rows: list[dict[str, Any]], as_dictionary: bool) -> pa.Table:
    columns = pa.Table.from_pylist(
        rows,
        schema=pa.schema(
            {
                "user_id": pa.string(),
                "device_id": pa.string(),
                "timestamp": pa.string(),
                "heart_rate": pa.float64(),
                "confidence": pa.int64(),
            }
        ),
    )
    if as_dictionary:
        for place, name in enumerate(("user_id", "device_id")):
            columns = columns.set_column(place, name, columns[name].dictionary_encode())
    return columns
