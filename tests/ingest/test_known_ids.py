"""Ids as codes."""

from pulsebase.ingest.known_ids import NO_ID, KnownIds
from pulsebase.model.readings import Ids


def test_an_id_has_the_same_code_wherever_it_stands_and_what_is_none_has_none() -> None:
    known = KnownIds()
    first = known.codes(["ann", "bob", "ann", "not an id", ""])
    second = known.codes(["bob", "ann", 7, "7", -5])
    assert first.codes.tolist() == [0, 1, 0, NO_ID, NO_ID]
    assert second.codes.tolist() == [1, 0, 2, 2, 3]
    assert second.texts is first.texts
    assert list(second) == ["bob", "ann", "7", "7", "-5"]


def test_a_column_with_codes_of_its_own_is_translated() -> None:
    known = KnownIds()
    known.codes(["x", "bob"])
    assert list(known.codes(Ids.of(["ann", "bob", "ann"]))) == ["ann", "bob", "ann"]


def test_a_full_table_makes_way_for_a_new_one_and_columns_keep_their_own() -> None:
    known = KnownIds(most_bytes=500)
    before = known.codes(["ann", "bob", "cid"])
    after = known.codes(["cid", "ann"])
    assert after.texts is not before.texts
    assert (list(before), list(after)) == (["ann", "bob", "cid"], ["cid", "ann"])
    long = KnownIds(most_bytes=500)
    assert long.codes(["a" * 128, "b" * 128]).texts is not long.codes(["ann"]).texts, "long ids take more"
