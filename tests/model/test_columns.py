"""Rows as columns are selected and put together the same way, whatever their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pulsebase.model.columns import Columns, distinct_numbers
from pulsebase.model.readings import Ids
from pulsebase.model.rollups import Buckets


@dataclass(frozen=True, slots=True)
class Beats(Columns):
    at: npt.NDArray[np.int64]
    bpm: npt.NDArray[np.int16]


BEATS = Beats(np.array([1, 2, 3], np.int64), np.array([60, 61, 62], np.int16))


def rows(beats: Beats) -> list[tuple[int, int]]:
    assert [beats.at.dtype.name, beats.bpm.dtype.name] == ["int64", "int16"]
    return list(zip(beats.at.tolist(), beats.bpm.tolist(), strict=True))


def test_rows_are_taken_by_place_by_mask_and_by_slice() -> None:
    assert len(BEATS) == 3
    assert rows(BEATS.take(np.array([2, 0]))) == [(3, 62), (1, 60)]
    assert rows(BEATS.take(np.array([False, True, False]))) == [(2, 61)]
    assert rows(BEATS.take(slice(1, None))) == [(2, 61), (3, 62)]


def test_parts_are_joined_in_their_order() -> None:
    joined = Beats.joined([BEATS.take(slice(2, 3)), BEATS.take(slice(0, 0)), BEATS])
    assert rows(joined) == [(3, 62), (1, 60), (2, 61), (3, 62)]
    assert not hasattr(joined, "__dict__")


def test_ids_are_joined_with_the_texts_that_are_used_and_rows_without_one_stay_without() -> None:
    shared = ["ann", "nobody has this", "bob"]
    first, second = Ids(np.array([2, -1, 0], np.int32), shared), Ids(np.array([-1, 0], np.int32), ["bob"])
    joined = Ids.joined([first, second, ["cid", "ann"]])
    assert [None if code < 0 else joined.texts[code] for code in joined.codes.tolist()] == [
        "bob",
        None,
        "ann",
        None,
        "bob",
        "cid",
        "ann",
    ]
    assert sorted(joined.texts) == ["ann", "bob", "cid"]


@dataclass(frozen=True, slots=True)
class Named(Columns):
    names: Ids
    beats: Beats
    source: str


def test_columns_of_columns_go_with_their_rows_and_what_is_the_same_for_all_stays() -> None:
    named = Named(Ids.of(["ann", "bob", "ann"]), BEATS, "watch")
    taken = named.take(np.array([True, False, True]))
    assert (list(taken.names), rows(taken.beats), taken.source) == (["ann", "ann"], [(1, 60), (3, 62)], "watch")
    joined = Named.joined([taken, named.take(slice(1, 2))])
    assert (list(joined.names), len(joined.beats), joined.source) == (["ann", "ann", "bob"], 3, "watch")
    with pytest.raises(ValueError, match="differ"):
        Named.joined([named, Named(named.names, BEATS, "ring")])


def test_no_parts_are_joined_where_the_shape_knows_its_columns() -> None:
    assert len(Buckets.joined([])) == 0
    with pytest.raises(TypeError, match="Beats cannot tell its columns"):
        Beats.joined([])


@pytest.mark.parametrize("highest", [-1, 0, 3, 50, 10**6])
def test_distinct_numbers_are_those_that_sorting_finds(highest: int) -> None:
    for count in (0, 1, 100):
        numbers = np.random.default_rng(count).integers(-1, highest + 1, count).astype(np.int32)
        found, places = distinct_numbers(numbers)
        assert found.tolist() == sorted(set(numbers.tolist()))
        assert found[places].tolist() == numbers.tolist()
        assert found.dtype == numbers.dtype


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.uint32])
def test_distinct_numbers_may_be_of_any_width(kind: type[np.integer[Any]]) -> None:
    numbers = np.array([3, min(np.iinfo(kind).max, 70_000), 3, 0], kind)
    found, places = distinct_numbers(numbers)
    assert found.tolist() == sorted(set(numbers.tolist()))
    assert found[places].tolist() == numbers.tolist()
