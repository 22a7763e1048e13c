"""Tables with columns that no table of readings has: many of them, and two of one name."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.in_process import InProcessClient
from tests.threats.conftest import guarded

BULK = "/v1/metrics/heart-rate/bulk"
ARROW, PARQUET, CSV = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "text/csv"
COLUMNS = {
    "user_id": pa.array(["ann"]),
    "device_id": pa.array(["watch"]),
    "timestamp": pa.array([1_700_000_000], pa.timestamp("s")),
    "heart_rate": pa.array([60]),
}
#: Far more than a table has, in a line that is short enough to be read.
MANY = 150_000


def body_of(form: str, indexes: list[str]) -> bytes:
    """One reading, and columns of the index of a frame."""
    names = [*COLUMNS, *indexes]
    if form == CSV:
        row = ["ann", "watch", "2024-01-15T10:00:00Z", "60", *(["1"] * len(indexes))]
        return f"{','.join(names)}\n{','.join(row)}\n".encode()
    table = pa.Table.from_arrays([*COLUMNS.values(), *([pa.array([1])] * len(indexes))], names)
    sink = io.BytesIO()
    if form == PARQUET:
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.fixture(scope="module")
def client() -> Iterator[InProcessClient]:
    with guarded() as place:
        yield place.owner


@pytest.mark.parametrize("form", [ARROW, PARQUET, CSV])
def test_two_columns_of_one_name_are_read_as_what_they_are(client: InProcessClient, form: str) -> None:
    twice = ["__index_level_0__", "__index_level_0__"]
    answer = client.post(BULK, content=body_of(form, twice), headers={"Content-Type": form})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    twice = ["user_id"]
    answer = client.post(BULK, content=body_of(form, twice), headers={"Content-Type": form})
    assert answer.status_code == 400
    assert {"field": "user_id", "reason": "is given more than once"} in answer.json()["errors"]


@pytest.mark.parametrize("place", [0, -1])
def test_parquet_whose_counts_are_wrong_is_damaged_where_it_is_read(tmp_path: Path, place: int) -> None:
    """In the process of a command there is nobody else to be ended in its place."""
    body = body_of(PARQUET, [])
    optional = [at for at in range(len(body)) if body.startswith(b"\x25\x02\x18", at)]
    changed = optional[place] + 1  # a column that may be null is one that may not, but for its counts
    file = tmp_path / "wrong.parquet"
    file.write_bytes(body[:changed] + b"\0" + body[changed + 1 :])
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--target", "own-export", "--input", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("form", [ARROW, PARQUET, CSV])
def test_an_index_of_very_many_levels_is_refused_before_it_is_read(client: InProcessClient, form: str) -> None:
    body = body_of(form, [f"__index_level_{number}__" for number in range(MANY if form == CSV else 2_000)])
    began_s = time.process_time()
    answer = client.post(BULK, content=body, headers={"Content-Type": form})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "columns", "reason": "hold an index of more than 32 levels"}]
    assert time.process_time() - began_s < 30, "a second or less; minutes where each name is compared with each"
