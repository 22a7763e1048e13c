"""Numbers for columns of ids."""

import numpy as np

from pulsebase.model.readings import Ids
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers


def column(texts: list[str], *codes: int) -> Ids:
    return Ids(np.array(codes, np.int32), texts)


def test_columns_of_a_growing_list_get_the_numbers_of_their_texts() -> None:
    names = IdNumbers(["old", "older"])
    texts = ["ann", "old"]
    assert names.numbers(column(texts, 1, 0, 1)).tolist() == [0, 2, 0]
    texts += ["bob", "older", "never used"]
    assert names.numbers(column(texts, 3, 2, 0)).tolist() == [1, 3, 2]
    assert names.numbers(column(["bob", "eve"], 1, 0)).tolist() == [4, 3]
    assert names.new() == [(2, "ann"), (3, "bob"), (4, "eve")]
    assert names.numbers(column([])).tolist() == []


def test_a_withdrawn_number_is_given_again_also_to_a_column_of_the_same_list() -> None:
    names = IdNumbers()
    texts = ["ann", "bob"]
    names.numbers(column(texts, 0))
    names.publish()
    assert names.numbers(column(texts, 1)).tolist() == [1]
    names.withdraw()
    assert names.number("eve") == 1
    assert names.numbers(column(texts, 1, 0)).tolist() == [2, 0]


def test_what_the_database_holds_is_taken_over_at_the_first_opening_and_again() -> None:
    names = IdNumbers()
    names.follow(["ann", "", "bob", ""])
    assert [names.find(text) for text in ("ann", "", "bob")] == [0, None, 2]
    assert (len(names), names.persisted, names.unpersisted()) == (4, 4, [])
    assert (names.number("eve"), names.number("zoe")) == (4, 5)
    names.follow(["", "", "bob", "", "zoe"])  # ann was removed, and of the new ones another one was kept
    assert [names.find(text) for text in ("ann", "bob", "eve", "zoe")] == [None, 2, None, 4]
    assert (names.persisted, names.number("eve")) == (5, 5)


def test_numbers_that_only_the_journal_has_outlast_an_opening() -> None:
    names = IdNumbers(["ann"])
    names.number("bob")
    names.publish()
    names.follow(["ann"])
    assert (names.find("bob"), names.unpersisted()) == (1, [(1, "bob")])
