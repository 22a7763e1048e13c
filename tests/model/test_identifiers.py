import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.model.identifiers import identifier_problem

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
