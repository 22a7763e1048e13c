"""Arrow and Parquet files of any columns, through a whole import."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from pulsebase.etl.extract.parts import NOBODY, FileOwner, everybody_in
from pulsebase.etl.transform.csv_choices import CsvChoices
from pulsebase.model.timerange import format_us
from tests.etl.desk import Desk

BERLIN = FileOwner("ann", None, everybody_in(ZoneInfo("Europe/Berlin")))
TEN = datetime(2024, 1, 15, 10, tzinfo=UTC)
Pack = Callable[[pa.Table], bytes]


def as_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_feather(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(table, sink, compression="lz4", chunksize=2)
    return sink.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue()


each_form = pytest.mark.parametrize("pack", [as_stream, as_feather, as_parquet])


def stored(desk: Desk) -> list[tuple[str, str, str, str, float]]:
    return [(metric, user, device, format_us(us), value) for metric, user, device, us, value in desk.readings]


@each_form
def test_our_own_columns_are_read_row_by_row(desk: Desk, pack: Pack) -> None:
    table = pa.table(
        {
            "heart_rate": [60, 61, 500, 63],
            "user_id": pa.array(["u", "u", "u", None]),
            "device_id": pa.array(["d"] * 4).dictionary_encode(),
            "timestamp": pa.array([TEN] * 4, pa.timestamp("ms", "UTC")),
            "confidence": [3.0, None, 1.0, 0.0],
            "__index_level_0__": [5, 6, 7, 8],
        }
    )
    result = desk.bring_one(pack(table))
    assert result.kind == ("Parquet" if pack is as_parquet else "Arrow")
    assert (result.read, result.written, result.repeated, result.rejected) == (4, 1, 1, 2)
    assert desk.reasons == [(3, "heart_rate", "out of range 30–220"), (4, "user_id", "is required")]
    assert desk.rows == [("u", "d", 1_705_312_800, 61, None)]


@each_form
def test_other_columns_are_told_by_their_names(desk: Desk, pack: Pack) -> None:
    table = pa.table(
        {
            "Recorded at": pa.array([datetime(2024, 1, 15, 11), datetime(2024, 1, 15, 11, 0, 5), None]),
            "Pulse": pa.array([60.5, None, 62.0]),
            "Participant": pa.array(["bo", "bo", "cy"]).dictionary_encode(),
            "Notes": pa.array([[1], [], [2]]),
        }
    )
    result = desk.bring_one(pack(table), BERLIN)
    assert result.read_as == (
        "time from column Recorded at (ISO 8601), heart_rate from column Pulse, people from column Participant"
    )
    assert result.passed_over == {"rows without a value": 1, "column Notes": 3}
    assert stored(desk) == [("heart_rate", "bo", "csv", "2024-01-15T10:00:00Z", 60.5)]
    assert [(place, field) for place, field, _ in desk.reasons] == [(3, "timestamp")]


@pytest.mark.parametrize(
    ("columns", "said", "expected"),
    [
        ({"time": [1_705_312_800_123], "bpm": [61]}, {}, ("10:00:00.123", 61)),
        ({"ts": pa.array([TEN], pa.timestamp("ns", "Asia/Tokyo")), "hr": [61.25]}, {}, ("10:00:00", 61.25)),
        ({"date": [date(2024, 1, 15)], "time": [time(11, 0, 3)], "bpm": [61]}, {}, ("10:00:03", 61)),
        ({"when": ["15.01.2024 11:00:07"], "x": ["61,5"]},
         {"time_columns": ["when"], "value_column": "x", "time_format": "%d.%m.%Y %H:%M:%S", "decimal_comma": True},
         ("10:00:07", 61.5)),
    ],
)  # fmt: skip
def test_times_and_values_of_any_type(desk: Desk, columns: Any, said: Any, expected: tuple[str, float]) -> None:
    owner = FileOwner("ann", "d", BERLIN.zone_of, "heart_rate", CsvChoices(**said))
    assert desk.bring_one(as_parquet(pa.table(columns)), owner).problem is None
    assert stored(desk) == [("heart_rate", "ann", "d", f"2024-01-15T{expected[0]}Z", expected[1])]


@each_form
def test_what_is_missing_is_said(desk: Desk, pack: Pack) -> None:
    def problem(owner: FileOwner = BERLIN, name: str = "file", **columns: Any) -> str | None:
        (result,) = desk.bring(pack(pa.table(columns)), name, owner)
        return result.problem

    hour = ["2024-01-15 10:00:00"]
    assert "--time-column" in (problem(a=[1], b=[2]) or "")
    assert problem(time=hour, v=[60]) == (
        "name the column of the value with --value-column and what it is of with --metric; its columns are time, v"
    )
    assert problem(time=[[1]], bpm=[60]) == "has neither texts nor numbers nor times in column time"
    assert problem(FileOwner(None, None, BERLIN.zone_of), time=hour, bpm=[60]) == NOBODY
    assert "files of days" in (problem(name="daily.parquet", time=hour, bpm=[60]) or "")
    assert desk.readings == []


@each_form
def test_a_damaged_file_keeps_what_came_before(desk: Desk, pack: Pack) -> None:
    whole = pack(pa.table({"time": ["2024-01-15 10:00:00", "2024-01-15 10:00:05"] * 2, "bpm": [60, 61, 62, 63]}))
    for cut in range(8, len(whole) - 8, 16):
        (result,) = desk.bring(whole[:cut])
        assert result.problem is not None
        assert result.read in (0, 2, 4)


def test_what_polars_writes_is_read(desk: Desk) -> None:
    frame = pl.DataFrame({"user": ["bo"], "timestamp": [TEN], "spo2": [97.5]})
    for write in (frame.write_ipc, frame.write_ipc_stream, frame.write_parquet):
        sink = io.BytesIO()
        write(sink)
        assert desk.bring_one(sink.getvalue()).problem is None
    assert stored(desk) == [("oxygen_saturation", "bo", "csv", "2024-01-15T10:00:00Z", 97.5)]


def test_feather_of_version_1_says_what_to_do(desk: Desk) -> None:
    (result,) = desk.bring(b"FEA1" + bytes(40) + b"FEA1")
    assert result.problem == (
        "is of no kind that is read: Feather of version 1, which is not read; write it with version 2, or as Parquet"
    )
