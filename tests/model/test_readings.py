"""Readings as columns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pulsebase.model.readings import READING_SCHEMA, Ids, ReadingBatch

BATCH = ReadingBatch.of_columns(["ann", "bob", "ann"], ["strap"] * 3, [3, 2, 1], [6000, 6100, 6200], [None, 0, 3], 1)


def test_a_column_of_ids_is_a_sequence_of_texts() -> None:
    ids = Ids(np.array([2, 0, 2], np.int32), ["ann", "nobody", "bob"])
    assert (list(ids), ids[1], list(ids[1:]), len(ids)) == (["bob", "ann", "bob"], "ann", ["ann", "bob"], 3)
    assert list(ids.take(np.array([2, 1]))) == ["bob", "ann"]
    assert ids.as_arrow().to_pylist() == ["bob", "ann", "bob"]
    assert ids.as_arrow().dictionary.to_pylist() == ["ann", "bob"]


def test_a_batch_is_a_table_of_its_schema() -> None:
    assert BATCH.table.schema.equals(READING_SCHEMA)
    assert BATCH.table["user_id"].to_pylist() == ["ann", "bob", "ann"]
    assert BATCH.table["confidence"].to_pylist() == [None, 0, 3]


@pytest.mark.parametrize(
    "column", [{"times_us": np.array([1, 2])}, {"values": np.array([1, 2, 3])}, {"users": Ids.of(["ann"])}]
)
def test_columns_of_other_types_or_lengths_are_no_batch(column: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="not the columns of readings"):
        replace(BATCH, **column)
