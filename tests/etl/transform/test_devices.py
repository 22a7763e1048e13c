from __future__ import annotations

import pytest

from pulsebase.etl.transform.devices import device_named
from pulsebase.model.identifiers import identifier_problem


@pytest.mark.parametrize(
    ("name", "device_id"),
    [
        ("Fitbit Charge 6", "Fitbit-Charge-6"),
        (" Fitbit Charge 6 ", "Fitbit-Charge-6"),
        ("H10", "H10"),
        ("", "takeout"),
        (" ", "takeout"),
    ],
)
def test_a_plain_name_stays_as_it_can_be_read(name: str, device_id: str) -> None:
    assert device_named(name, "takeout") == device_id


def test_names_that_differ_are_devices_that_differ() -> None:
    names = [
        *("Ann’s Watch", "Ann's Watch", "Ann s Watch", "Ann-s Watch", "Ann-s-Watch", "Ann  s Watch", "ann s watch"),
        *("HRM-Pro", "HRM Pro", "HRM_Pro", "HRM/Pro", "-HRM Pro", "HRM Pro-", "Phone, Health Connect"),
        *("心拍計", "心拍", "Пульсометр", "שעון", "🏃", "🏃♀", "a" * 128, "a" * 129, "a" * 200, "b" * 100_000),
    ]
    ids = [device_named(name, "takeout") for name in names]
    assert len(set(ids)) == len(names)
    assert [identifier_problem(each) for each in ids] == [None] * len(ids)
    assert device_named("心拍計", "takeout").startswith("takeout-")
