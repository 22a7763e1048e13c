"""Which readings may be stored, and what becomes of their values."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import pytest

from pulsebase.ingest import Candidates, ReadingRules, validate
from pulsebase.ingest.validate import stored_values
from pulsebase.model.readings import NO_CONFIDENCE

NOW_US = 1_700_000_000_000_000
RULES = ReadingRules(now_us=lambda: NOW_US)


def candidates(**columns: list[Any]) -> Candidates:
    size = max(len(column) for column in columns.values())
    return Candidates(
        columns.get("users", ["ann"] * size),
        columns.get("devices", ["device_a"] * size),
        np.array(columns.get("times", [NOW_US] * size), np.int64),
        np.array(columns.get("values", [60.0] * size), np.float64),
        np.array(columns.get("confidences", [NO_CONFIDENCE] * size), np.int8),
        np.array(columns["positions"], np.int64) if "positions" in columns else None,
    )


def refusals(checked: Candidates, rules: ReadingRules = RULES) -> list[tuple[int | None, str]]:
    return [(error.index, error.field) for error in validate(checked, rules, 1).errors]


def test_every_value_of_three_decimals_is_rounded_half_to_even_as_a_decimal() -> None:
    texts = [f"{whole}.{thousandth:03}" for whole in range(30, 220) for thousandth in range(1000)]
    expected = [int(Decimal(text).scaleb(2).to_integral_value(ROUND_HALF_EVEN)) for text in texts]
    assert stored_values(np.array(texts).astype(np.float64), 100).tolist() == expected


def test_some_well_known_values() -> None:
    values = np.array([72.346, 72.345, 72.355, 57.005, 57.015, 30.0, 220.0])
    assert stored_values(values, 100).tolist() == [7235, 7234, 7236, 5700, 5702, 3000, 22000]


def test_bounds_are_inclusive_and_judge_the_value_as_sent() -> None:
    values = [30.0, 29.999, 220.0, 220.001, float("nan"), float("inf"), float("-inf"), 1e300]
    assert refusals(candidates(values=values)) == [(row, "heart_rate") for row in (1, 3, 4, 5, 6, 7)]


def test_the_bounds_of_the_settings_hold() -> None:
    verdict = validate(candidates(values=[39.0, 40.0, 180.5]), ReadingRules(40, 180.5, now_us=lambda: NOW_US), 1)
    assert [(error.index, error.reason) for error in verdict.errors] == [(0, "out of range 40–180.5")]


def test_times_run_from_1970_to_a_little_ahead_of_the_clock() -> None:
    ahead = NOW_US + 600_000_000
    assert refusals(candidates(times=[-1, 0, ahead, ahead + 1, 2**63 - 1])) == [(row, "timestamp") for row in (0, 3, 4)]


def test_a_row_is_refused_once_for_the_first_of_its_faults() -> None:
    checked = candidates(users=["a b", "a b", "ann"], devices=["", "d", "d"], values=[1.0, 1.0, 1.0])
    assert refusals(checked) == [(0, "device_id"), (1, "user_id"), (2, "heart_rate")]


def test_refusals_name_the_place_in_the_request() -> None:
    assert refusals(candidates(values=[60.0, 1.0], positions=[3, 7])) == [(7, "heart_rate")]


@pytest.mark.parametrize("code", [-128, -2, 4, 100, 127])
def test_a_confidence_is_one_of_four_or_none(code: int) -> None:
    assert refusals(candidates(confidences=[code])) == [(0, "confidence")]


def test_what_is_left_is_a_batch_in_the_order_of_the_request() -> None:
    checked = candidates(
        users=["ann", "", "bob"], times=[3, 2, 1], values=[60.5, 60.0, 61.0], confidences=[NO_CONFIDENCE, 1, 0]
    )
    accepted = validate(checked, RULES, 7).accepted
    assert accepted is not None
    assert accepted.origin == 7
    columns = accepted.table.to_pydict()
    assert (columns["user_id"], columns["value"], columns["confidence"]) == (["ann", "bob"], [6050, 6100], [None, 0])


def test_nothing_good_is_no_batch() -> None:
    assert validate(candidates(values=[1.0]), RULES, 1).accepted is None
