"""Small bodies that stand for gigabytes, sent to a server that runs: each is refused and takes little memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support import process
from tests.support.process import Server

MOST_MIB = 600
ARROW, NDJSON, CSV = "application/vnd.apache.arrow.stream", "application/x-ndjson", "text/csv"
BULK = "/v1/metrics/heart-rate/bulk"
Bomb = Callable[[], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with process.serving(process.Place(tmp_path_factory.mktemp("bombs"))) as running:
        for _ in range(3):  # what every body of a kind brings into memory for good
            assert running.client.post(BULK, content=stream(columns(10)), headers={"Content-Type": ARROW}).is_success
        yield running


def resident_mib(server: Server, which: str = "VmRSS") -> float:
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.split(f"{which}:")[1].split()[0]) / 1024


def peak_from_now(server: Server) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def columns(rows: int, **changed: Any) -> pa.Table:
    usual = {
        "user_id": ["ann"] * rows,
        "device_id": ["watch"] * rows,
        "timestamp": pa.array([1_700_000_000] * rows, pa.timestamp("s")),
        "heart_rate": pa.array([60] * rows, pa.int16()),
    }
    return pa.table(usual | changed)


def stream(*tables: pa.Table, packing: str | None = "zstd", **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(
        sink, tables[0].schema, options=pa.ipc.IpcWriteOptions(compression=packing, **options)
    ) as writer:
        for table in tables:
            writer.write_table(table)
    return sink.getvalue()


def views(count: int, text_bytes: int) -> pa.Array:
    """Views that all show the same bytes: a length, the first letters, the buffer and the place in it."""
    view = text_bytes.to_bytes(4, "little") + b"aaaa" + bytes(8)
    text = pa.py_buffer(b"a" * text_bytes)
    return pa.Array.from_buffers(pa.string_view(), count, [None, pa.py_buffer(view * count), text])


def in_dictionary(values: pa.Array, rows: int = 10) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(range(rows), pa.int32()), values)


def empty_texts(count: int) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(bytes(4 * count + 4)), pa.py_buffer(b"")])


def zeros(count: int) -> pa.Array:
    return pa.array(np.zeros(count, np.int64))


def list_of(count: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), zeros(count))


def many_values() -> bytes:
    return stream(columns(10, user_id=in_dictionary(empty_texts(20_000_000))))


def long_values() -> bytes:
    return stream(columns(10, user_id=in_dictionary(pa.array(["a" * (6 << 20)] * 20))))


def shared_bytes() -> bytes:
    return stream(columns(10, user_id=in_dictionary(views(1_000, 1 << 20))))


def a_dictionary_per_column() -> bytes:
    texts = in_dictionary(pa.array(["a" * (4 << 20)] * 10))
    return stream(columns(10, user_id=texts, device_id=texts, timestamp=texts))


def additions() -> bytes:
    tables = [columns(10, user_id=in_dictionary(pa.array(["a" * (1 << 20)] * 10 * (n + 1)))) for n in range(10)]
    return stream(*tables, emit_dictionary_deltas=True)


def numbers_in_a_dictionary() -> bytes:
    return stream(columns(10, heart_rate=in_dictionary(zeros(20_000_000))))


def an_index_of_dictionaries() -> bytes:
    return stream(columns(10, __index_level_0__=in_dictionary(pa.array(["a" * (6 << 20)] * 20))))


def views_of_the_same() -> bytes:
    return stream(columns(1_000, user_id=views(1_000, 1 << 20)))


def views_in_three_columns() -> bytes:
    shown = views(240, 1 << 20)
    return stream(columns(240, user_id=shown, device_id=shown, timestamp=shown))


def one_long_text() -> bytes:
    return stream(columns(1, user_id=["a" * (200 << 20)]))


def nulls(rows: int) -> pa.Table:
    batch = pa.RecordBatch.from_arrays([pa.nulls(rows)] * 4, names=columns(0).schema.names)
    return pa.Table.from_batches([batch])


def nulls_stream(rows: int) -> bytes:
    return stream(nulls(rows))


def lists() -> bytes:
    return stream(columns(1, user_id=list_of(20_000_000)))


def structs() -> bytes:
    return stream(columns(1, device_id=pa.array([{"a": "a" * (200 << 20)}])))


def run_ends() -> bytes:
    return stream(columns(10, heart_rate=pa.RunEndEncodedArray.from_arrays([10], [60])))


def a_nested_index() -> bytes:
    return stream(columns(1, __index_level_0__=list_of(20_000_000)))


ARROWS: list[Bomb] = [
    many_values,
    long_values,
    shared_bytes,
    a_dictionary_per_column,
    additions,
    numbers_in_a_dictionary,
    an_index_of_dictionaries,
    views_of_the_same,
    views_in_three_columns,
    one_long_text,
    lambda: nulls_stream((1 << 31) - 1),
    lists,
    structs,
    run_ends,
    a_nested_index,
]
NAMES = [
    "many values", "long values", "shared bytes", "a dictionary per column", "additions", "numbers", "an index",
    "views of the same", "views in three columns", "one long text", "nulls without end", "lists", "structs",
    "run ends", "a nested index",
]  # fmt: skip


@pytest.mark.parametrize("bomb", ARROWS, ids=NAMES)
def test_a_little_arrow_that_stands_for_very_much_is_refused(server: Server, bomb: Bomb) -> None:
    body = bomb()
    assert len(body) < 4 << 20
    start_mib = resident_mib(server)
    peak_from_now(server)
    answer = server.client.post(BULK, content=body, headers={"Content-Type": ARROW}, timeout=60)
    assert answer.status_code in (400, 413), answer.text
    assert answer.json()["detail"]
    assert resident_mib(server, "VmHWM") - start_mib < MOST_MIB
    assert server.client.get("/health").status_code == 200


def test_dictionaries_that_are_sent_over_and_over_are_refused(server: Server) -> None:
    """A value for each row, added to the dictionary for each batch."""
    tables = [
        columns(1, user_id=in_dictionary(pa.array([f"u{n}" for n in range(count + 1)]), 1)) for count in range(400)
    ]
    body = stream(*tables, packing=None, emit_dictionary_deltas=True)
    answer = server.client.post(BULK, content=body, headers={"Content-Type": ARROW}, timeout=60)
    assert (answer.status_code, "added to more than" in answer.json()["detail"]) == (413, True)


def reading_with(field: str, value: str) -> str:
    fields = {"user_id": '"ann"', "device_id": '"watch"', "timestamp": '"2024-01-15T10:00:00Z"', "heart_rate": "60"}
    return "{" + ", ".join(f'"{name}": {text}' for name, text in (fields | {field: value}).items()) + "}"


DEEP = "[" * 5_000_000
LONG = "1" * 4_000_000
TEXTS = {
    "deep nesting": reading_with("user_id", DEEP),
    "deep objects": reading_with("user_id", '{"a":' * 1_000_000),
    "a number of a million digits": reading_with("heart_rate", LONG),
    "an exponent": reading_with("heart_rate", "1e999999999"),
    "a long text": reading_with("user_id", f'"{"a" * (15 << 20)}"'),
    "a field over and over": "{" + '"user_id": "ann", ' * 800_000 + reading_with("a", "1")[1:],
    "fields without end": "{" + ", ".join(f'"f{number}": 1' for number in range(900_000)) + "}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("form", ["single", "batch", "bulk"])
def test_json_that_stands_for_very_much_is_refused(server: Server, text: str, form: str) -> None:
    path = {"single": "/v1/metrics/heart-rate", "batch": "/v1/metrics/heart-rate/batch"}.get(form, BULK)
    content = f'{{"readings": [{text}]}}' if form == "batch" else text
    kind = NDJSON if path == BULK else "application/json"
    sent = gzip.compress(content.encode() + b"\n", 1)
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    start_mib = resident_mib(server)
    peak_from_now(server)
    answer = server.client.post(path, content=sent, headers=headers, timeout=60)
    assert answer.status_code in (400, 413), answer.text[:300]
    assert len(answer.content) < 20_000
    assert resident_mib(server, "VmHWM") - start_mib < MOST_MIB


TABLES = {
    "a long field": "user_id,device_id,timestamp,heart_rate\n" + "a" * (15 << 20) + ",watch,2024-01-15T10:00:00Z,60\n",
    "a quote without end": 'user_id,device_id,timestamp,heart_rate\n"' + "a,\n" * 5_000_000,
    "columns without end": "user_id,device_id,timestamp,heart_rate," + "a," * 5_000_000 + "\n",
    "a long number": f"user_id,device_id,timestamp,heart_rate\nann,watch,2024-01-15T10:00:00Z,{LONG}\n",
    "a long time": f"user_id,device_id,timestamp,heart_rate\nann,watch,{LONG},60\n",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_csv_that_stands_for_very_much_is_refused(server: Server, text: str) -> None:
    start_mib = resident_mib(server)
    peak_from_now(server)
    headers = {"Content-Type": CSV, "Content-Encoding": "gzip"}
    answer = server.client.post(BULK, content=gzip.compress(text.encode(), 1), headers=headers, timeout=60)
    assert answer.status_code in (400, 413), answer.text[:300]
    assert len(answer.content) < 20_000
    assert resident_mib(server, "VmHWM") - start_mib < MOST_MIB
