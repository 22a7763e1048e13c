"""Frames as programs write them: every kind of column, as an Arrow stream and as Parquet, each row with its verdict."""

from __future__ import annotations

import io
import itertools
import re
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.ingest import ReadingRules, validate
from pulsebase.ingest.blocks import BLOCK_READINGS, MalformedError
from pulsebase.ingest.columns import blocks_of_batches
from pulsebase.ingest.parquet import parquet_blocks
from pulsebase.model.errors import FieldError, RejectedError

#: A row as it is kept: person, device, time in microseconds, hundredths of bpm, confidence.
Row = tuple[str, str, int, int, int | None]
#: A row's place, the field at fault and a part of the reason.
Fault = tuple[int, str]

TEXTS = {"string": pa.string(), "large_string": pa.large_string(), "string_view": pa.string_view()}
KINDS = TEXTS | {
    f"dictionary<{index}, {name}>": pa.dictionary(index, kind)
    for index in (pa.int8(), pa.int16(), pa.int32())
    for name, kind in TEXTS.items()
}
FORMS = ("stream", "parquet")

USERS = ["ann", None, "ann", "", "ann", "not an id", "ben", "ann", "a" * 200]
TIMES = [
    "2024-01-15T10:00:00Z",
    "2024-01-15T10:00:01Z",
    None,
    "2024-01-15T10:00:03Z",
    "soon",
    "2024-01-15T10:00:05Z",
    "2024-01-15T12:00:06.5+02:00",
    "",
    "2024-01-15T10:00:08Z",
]
VALUES = [60 + row for row in range(len(USERS))]


def column(values: list[Any], kind: pa.DataType, *, nulls_in_dictionary: bool = False) -> pa.Array:
    """Values as an array of a kind, built from its parts where the engine cannot make one of it."""
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    listed = list(dict.fromkeys(value for value in values if value is not None))
    if nulls_in_dictionary:
        listed.append(None)
    codes = [None if value is None and not nulls_in_dictionary else listed.index(value) for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(codes, kind.index_type), pa.array(listed, kind.value_type))


def frame(**columns: Any) -> pa.Table:
    usual = {"user_id": USERS, "device_id": ["strap"] * len(USERS), "timestamp": TIMES, "heart_rate": VALUES}
    return pa.table(usual | columns)


def judged(table: pa.Table, form: str, **options: Any) -> tuple[list[Row], list[FieldError]]:
    """What is kept of a frame that was written and read, and every refusal by row."""
    sink = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, sink, **options)
        blocks = parquet_blocks(io.BytesIO(sink.getvalue()))
    else:
        with pa.ipc.new_stream(sink, table.schema, **options) as writer:
            writer.write_table(table)
        blocks = blocks_of_batches(iter(pa.ipc.open_stream(sink.getvalue())))
    rows: list[Row] = []
    errors: list[FieldError] = []
    total = 0
    for block in blocks:
        verdict = validate(block.candidates, ReadingRules(), 1)
        errors += sorted([*block.errors, *verdict.errors], key=lambda error: error.index or 0)
        total += block.total
        if verdict.accepted is not None:
            rows += [
                (row["user_id"], row["device_id"], _us(row["time"]), row["value"], row["confidence"])
                for row in verdict.accepted.table.to_pylist()
            ]
    assert total == table.num_rows == len(rows) + len(errors)
    return rows, errors


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def expected(users: list[Any], times: list[Any], values: list[Any]) -> tuple[list[Row], list[Fault]]:
    """What is right, row by row: nulls first, in the order of the fields, then a time, then ids, as other doors do."""
    kept: list[Row] = []
    faults: list[Fault] = []
    for place, (user, text, value) in enumerate(zip(users, times, values, strict=True)):
        if user is None or text is None:
            faults.append((place, "user_id" if user is None else "timestamp"))
            continue
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            faults.append((place, "timestamp"))
            continue
        if re.fullmatch(r"[A-Za-z0-9._:@+-]{1,128}", user) is None:
            faults.append((place, "user_id"))
        elif not 30 <= value <= 220:
            faults.append((place, "heart_rate"))
        else:
            kept.append((user, "strap", _us(moment.astimezone(UTC)), value * 100, None))
    return kept, faults


def places(errors: list[FieldError]) -> list[Fault]:
    return [(error.index if error.index is not None else -1, error.field) for error in errors]


@pytest.mark.parametrize(
    ("ids", "times", "form"),
    # No writer of Parquet takes dictionaries of views.
    [
        (ids, times, form)
        for ids, times, form in itertools.product(KINDS, KINDS, FORMS)
        if form != "parquet" or not any("dictionary" in kind and "view" in kind for kind in (ids, times))
    ],
)
def test_every_row_has_its_verdict_whatever_kind_of_text_the_columns_are_of(ids: str, times: str, form: str) -> None:
    devices = column(["strap"] * len(USERS), KINDS[ids])
    table = frame(user_id=column(USERS, KINDS[ids]), device_id=devices, timestamp=column(TIMES, KINDS[times]))
    rows, errors = judged(table, form)
    assert (rows, places(errors)) == expected(USERS, TIMES, VALUES)
    assert {error.reason for error in errors if error.index in (1, 2)} == {"is required"}


@pytest.mark.parametrize("kind", [name for name in KINDS if name.startswith("dictionary")])
def test_a_null_may_be_in_the_dictionary(kind: str) -> None:
    columns = {"user_id": USERS, "timestamp": TIMES}
    made = {name: column(values, KINDS[kind], nulls_in_dictionary=True) for name, values in columns.items()}
    rows, errors = judged(frame(**made), "stream")
    assert (rows, places(errors)) == expected(USERS, TIMES, VALUES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["user_id", "device_id", "timestamp", "heart_rate"])
@pytest.mark.parametrize(
    "kind", [pa.null(), pa.string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_a_column_of_nulls_refuses_every_row_and_not_the_body(form: str, name: str, kind: pa.DataType) -> None:
    if name == "heart_rate":
        kind = pa.null() if pa.types.is_null(kind) else pa.int64()
    usual = {"user_id": ["ann"] * 3, "device_id": ["strap"] * 3, "timestamp": TIMES[:1] * 3, "heart_rate": [60] * 3}
    rows, errors = judged(pa.table(usual | {name: pa.nulls(3, kind)}), form)
    assert (rows, places(errors)) == ([], [(0, name), (1, name), (2, name)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64(), pa.dictionary(pa.int8(), pa.int64())], ids=str)
def test_ids_that_are_integers_are_their_decimal_texts(form: str, kind: pa.DataType) -> None:
    users = column([7, 7, None], kind)
    rows, errors = judged(
        pa.table({"user_id": users, "device_id": users, "timestamp": TIMES[:1] * 3, "heart_rate": [60, 61, 62]}), form
    )
    assert [row[:2] for row in rows] == [("7", "7"), ("7", "7")]
    assert places(errors) == [(2, "user_id")]


NUMBERS = {
    "int16": pa.int16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "decimal128": pa.decimal128(8, 2),
    "dictionary<int8, int64>": pa.dictionary(pa.int8(), pa.int64()),
    "dictionary<int32, double>": pa.dictionary(pa.int32(), pa.float64()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_may_be_of_any_kind_and_in_a_dictionary(form: str, kind: str) -> None:
    users = ["ann"] * 6
    times = [f"2024-01-15T10:00:0{row}Z" for row in range(6)]
    stated: list[Any] = [0, 1, 2, 3, 4, None]
    table = frame(
        user_id=users,
        device_id=["strap"] * 6,
        timestamp=times,
        heart_rate=column([60, 61, None, 9, 62, 63], NUMBERS[kind]),
        confidence=column(stated, NUMBERS[kind]),
    )
    rows, errors = judged(table, form)
    assert [(row[3], row[4]) for row in rows] == [(6000, 0), (6100, 1), (6300, None)]
    assert places(errors) == [(2, "heart_rate"), (3, "heart_rate"), (4, "confidence")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_a_confidence_is_a_whole_number_and_no_number_is_none(form: str, kind: pa.DataType) -> None:
    stated = [2.0, float("nan"), None, 1.5, -1.0, float("inf"), -float("inf"), 0.0, 3.0, 100.0]
    times = [f"2024-01-15T10:00:0{row}Z" for row in range(10)]
    confidences = pa.array(stated, pa.float64(), from_pandas=False).cast(kind)
    table = pa.table(
        {
            "user_id": ["ann"] * 10,
            "device_id": ["strap"] * 10,
            "timestamp": times,
            "heart_rate": [60] * 10,
            "confidence": confidences,
        }
    )
    rows, errors = judged(table, form)
    assert [(row[2] // 1_000_000 % 10, row[4]) for row in rows] == [(0, 2), (1, None), (2, None), (7, 0), (8, 3)]
    assert places(errors) == [(row, "confidence") for row in (3, 4, 5, 6, 9)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_may_be_in_a_dictionary(form: str, dictionary: bool, unit: str) -> None:
    times = pa.array([1_705_312_800, None, 1_705_312_801], pa.timestamp("s")).cast(pa.timestamp(unit, "UTC"))
    if dictionary:
        times = times.dictionary_encode()
    table = pa.table({"user_id": ["ann"] * 3, "device_id": ["d"] * 3, "timestamp": times, "heart_rate": [60, 61, 62]})
    rows, errors = judged(table, form)
    assert [row[2] for row in rows] == [1_705_312_800_000_000, 1_705_312_801_000_000]
    assert places(errors) == [(1, "timestamp")]


@pytest.mark.parametrize("form", FORMS)
def test_times_far_ahead_are_asked_for_their_unit(form: str) -> None:
    """Milliseconds in a column of seconds; times of the past are taken, since archives hold them."""
    times = pa.array([1_705_312_800_000, 1_705_312_800, 0, 7_258_118_400, -1], pa.timestamp("s"))
    if form == "parquet":
        times = pa.array([253_402_300_799, 1_705_312_800, 0, 7_258_118_400, -1], pa.timestamp("s"))
    table = pa.table({"user_id": ["ann"] * 5, "device_id": ["d"] * 5, "timestamp": times, "heart_rate": [60] * 5})
    rows, errors = judged(table, form)
    assert [row[2] for row in rows] == [1_705_312_800_000_000, 0]
    assert [(error.index, error.field, error.reason) for error in errors] == [
        (0, "timestamp", "is after the year 2199; check the unit it was written in"),
        (3, "timestamp", "is after the year 2199; check the unit it was written in"),
        (4, "timestamp", "is before 1970-01-01T00:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("user_id", pa.array([b"ann"]), "must be a column of texts or integers"),
        ("user_id", pa.array([b"ann"], pa.binary_view()), "must be a column of texts or integers"),
        ("user_id", pa.array([1.0]), "must be a column of texts or integers"),
        ("device_id", pa.array([["ann"]]), "must be a column of texts or integers"),
        ("timestamp", pa.array([b"2024"]), "must be a column of timestamps or of ISO 8601 texts"),
        ("timestamp", pa.array([1]), "must be a column of timestamps or of ISO 8601 texts"),
        ("timestamp", pa.array([1], pa.date32()), "must be a column of timestamps or of ISO 8601 texts"),
        ("heart_rate", pa.array([True]), "must be a column of numbers"),
        ("heart_rate", pa.array(["60"]).dictionary_encode(), "must be a column of numbers"),
        ("confidence", pa.array([True]), "must be a column of whole numbers"),
        ("confidence", pa.array(["1"]), "must be a column of whole numbers"),
        ("heart_rate", pa.RunEndEncodedArray.from_arrays([1], [60]), "must be a column of numbers"),
    ],
)
@pytest.mark.parametrize("with_null", [False, True])
def test_a_column_of_another_kind_is_refused_by_name(name: str, values: pa.Array, reason: str, with_null: bool) -> None:
    usual = {"user_id": ["ann"], "device_id": ["strap"], "timestamp": TIMES[:1], "heart_rate": [60]}
    if with_null:
        usual["device_id" if name != "device_id" else "user_id"] = pa.nulls(1, pa.string())
    with pytest.raises(RejectedError) as caught:
        judged(pa.table(usual | {name: values}), "stream")
    assert caught.value.errors == (FieldError(name, reason),)


def test_positions_go_on_where_views_come_in_many_blocks() -> None:
    count = 2 * BLOCK_READINGS + 5
    users = ["ann"] * count
    users[BLOCK_READINGS + 3] = ""
    table = pa.table(
        {
            "user_id": pa.array(users, pa.string_view()),
            "device_id": pa.array(["strap"] * count, pa.string_view()),
            "timestamp": pa.array(range(count), pa.timestamp("s")),
            "heart_rate": pa.array([60] * (count - 1) + [None]),
        }
    )
    rows, errors = judged(table, "stream")
    assert len(rows) == count - 2
    assert places(errors) == [(BLOCK_READINGS + 3, "user_id"), (count - 1, "heart_rate")]


def test_a_dictionary_larger_than_its_rows_is_read_for_what_they_name() -> None:
    users = pa.DictionaryArray.from_arrays(
        pa.array([9_999, None, 3], pa.int32()),
        pa.array([f"user{number}" for number in range(10_000)], pa.string_view()),
    )
    table = pa.table({"user_id": users, "device_id": ["d"] * 3, "timestamp": TIMES[:1] * 3, "heart_rate": [60, 61, 62]})
    rows, errors = judged(table, "stream")
    assert [row[0] for row in rows] == ["user9999", "user3"]
    assert places(errors) == [(1, "user_id")]


@pytest.mark.parametrize("dictionary", [False, True])
def test_views_that_stand_for_very_much_are_refused(dictionary: bool) -> None:
    """A view is 16 bytes: its length, the first letters, the buffer and the place in it."""
    length, count = 1 << 20, 1_000
    text = b"a" * length
    view = length.to_bytes(4, "little") + text[:4] + bytes(8)
    views = pa.Array.from_buffers(pa.string_view(), count, [None, pa.py_buffer(view * count), pa.py_buffer(text)])
    users = pa.DictionaryArray.from_arrays(pa.array(range(count), pa.int32()), views) if dictionary else views
    table = pa.table(
        {
            "user_id": users,
            "device_id": ["d"] * count,
            "timestamp": pa.array(range(count), pa.timestamp("s")),
            "heart_rate": [60] * count,
        }
    )
    with pytest.raises(MalformedError, match="the texts of user_id that come together are longer than"):
        list(blocks_of_batches(iter(table.to_batches())))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("categorical", [False, True])
def test_what_polars_writes_is_read(form: str, categorical: bool) -> None:
    written = pl.DataFrame(
        {"user_id": USERS, "device_id": ["strap"] * len(USERS), "timestamp": TIMES, "heart_rate": VALUES}
    )
    if categorical:
        written = written.with_columns(pl.col("user_id", "device_id").cast(pl.Categorical))
    sink = io.BytesIO()
    if form == "parquet":
        written.write_parquet(sink)
        blocks = list(parquet_blocks(io.BytesIO(sink.getvalue())))
    else:
        written.write_ipc_stream(sink, compat_level=pl.CompatLevel.newest())
        blocks = list(blocks_of_batches(iter(pa.ipc.open_stream(sink.getvalue()))))
    kept, faults = expected(USERS, TIMES, VALUES)
    verdicts = [validate(block.candidates, ReadingRules(), 1) for block in blocks]
    assert sum(len(verdict.accepted) for verdict in verdicts if verdict.accepted is not None) == len(kept)
    errors = [
        error for block, verdict in zip(blocks, verdicts, strict=True) for error in (*block.errors, *verdict.errors)
    ]
    assert sorted(places(errors)) == faults
