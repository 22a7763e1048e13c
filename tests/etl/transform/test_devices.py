"""Ids of devices that files name in words."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsebase.etl.transform.devices import device_id_of
from pulsebase.model.identifiers import text_problem

#: Letters that collide where they are replaced, alone and beside each other.
NAMES = st.text(st.sampled_from("AaBs12-.’' \u00a0é心\u0301/"), max_size=8) | st.text(max_size=200)


@pytest.mark.parametrize(
    ("name", "device_id"),
    [
        ("Ann’s Apple\u00a0Watch", "Ann-s-Apple-Watch"),
        ("Charge 6", "Charge-6"),
        ("Nike Run Club", "Nike-Run-Club"),
        ("Zwift", "Zwift"),
        ("garmin-3113-987654321", "garmin-3113-987654321"),
        ("apple@2:x+y_z.0", "apple@2:x+y_z.0"),
        ("", "apple"),
        ("x" * 128, "x" * 128),
    ],
)
def test_a_name_as_vendors_spell_it_gives_a_plain_id(name: str, device_id: str) -> None:
    assert device_id_of(name, "apple") == device_id


@pytest.mark.parametrize(
    ("name", "device_id"),
    [
        ("心拍計", "apple.151aef804144f4bc"),
        ("apple", "apple.3a7bd3e2360a3d29"),
        ("Ann's Watch", "Ann-s-Watch.8597f80533c692b5"),
        ("Müller", "M-ller.a78429899bb825ce"),
    ],
)
def test_other_names_have_a_digest_behind_what_can_be_read(name: str, device_id: str) -> None:
    """The same in every version of the program: written down here once."""
    assert device_id_of(name, "apple") == device_id


@pytest.mark.parametrize(
    "names",
    [
        ["Ann's Watch", "Ann’s Watch", "Ann-s-Watch", "Ann s Watch"],
        ["A B", "A-B", "A\u00a0B", "A  B", " A B", "A B ", "A/B", "A\tB", "A - B"],
        ["a b", "a-b", "a_b", "A b"],
        ["Часы Анны", "Телефон", "小明的手表", "", " ", "apple", "-"],
        ["x" * 128, "x" * 129, "x" * 130, "x" * 111, "\ud800", "\udfff"],
    ],
)
def test_names_that_differ_stay_apart(names: list[str]) -> None:
    assert len({device_id_of(name, "apple") for name in names}) == len(names)


def test_an_id_that_was_given_is_given_to_no_other_name() -> None:
    taken = device_id_of("Ann's Watch", "apple")
    assert device_id_of(taken, "apple") != taken


@given(st.lists(NAMES, unique=True, max_size=20))
def test_every_name_has_an_id_of_its_own(names: list[str]) -> None:
    ids = [device_id_of(name, "apple") for name in names]
    assert [text_problem(each) for each in ids] == [None] * len(ids)
    for one, other in combinations(ids, 2):
        assert one != other
