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
