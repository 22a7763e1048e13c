import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.model.identifiers import changed_in_table, identifier_problem

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@+-"


@settings(max_examples=200, derandomize=True)
@given(st.text(ALPHABET, min_size=1, max_size=128))
def test_text_of_the_alphabet_is_an_id(text: str) -> None:
    assert identifier_problem(text) is None


@settings(max_examples=200, derandomize=True)
@given(st.text(min_size=1, max_size=20))
def test_a_letter_outside_the_alphabet_is_none(text: str) -> None:
    assert (identifier_problem(text) is None) == all(letter in ALPHABET for letter in text)


@pytest.mark.parametrize("value", ["", "a" * 129, "a\n", "é", "٣", "a b", None, True, 1.0, [], b"ann", 10**128])
def test_nothing_else_is_an_id(value: object) -> None:
    assert identifier_problem(value) is not None


@pytest.mark.parametrize("value", [0, -1, 2022484408, 10**127])
def test_integers_count_as_their_text(value: int) -> None:
    assert identifier_problem(value) is None


@pytest.mark.parametrize("text", ["2.02E+09", "2,02E+09", "2E+9", "-1.5e-05", "7.0", "2022484408.00", "7,0"])
def test_what_a_spreadsheet_makes_of_a_number_is_no_id_in_a_table(text: str) -> None:
    assert "spreadsheet" in (changed_in_table(text) or "")


@pytest.mark.parametrize("text", ["7", "2022484408", "1e5", "7.5", "7.", "a.0", "1.0.0", "E+09", "2.02E09", "007"])
def test_other_ids_are_as_they_were_written(text: str) -> None:
    assert changed_in_table(text) is None
