"""The order in which tests begin."""

from pathlib import Path

import pytest

from tests.conftest import SLOW, group_of, slowness


@pytest.mark.parametrize("file", SLOW)
def test_files_of_slow_tests_exist_and_run_by_themselves(file: str) -> None:
    assert (Path(__file__).parents[1] / file).is_file()
    assert group_of(f"{file}::test") == f"{file}::test", "groups begin first anyway"


def test_slow_tests_begin_before_others_and_the_slowest_first() -> None:
    tests = [
        "tests/api/test_bulk.py::test",
        "tests/threats/test_shares.py::test",
        f"{SLOW[1]}::test",
        f"{SLOW[0]}::test",
    ]
    assert sorted(tests, key=slowness) == [tests[3], tests[2], tests[0], tests[1]]


def test_a_slow_file_s_tests_of_the_large_engine_stay_with_their_group() -> None:
    assert slowness("tests/query/test_cohorts.py::test[timescale]") == slowness("tests/api/test_bulk.py::test")
