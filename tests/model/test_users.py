"""What may be said of a person, and which priority holds."""

from __future__ import annotations

from datetime import date

import pytest

from pulsebase.model.errors import RejectedError
from pulsebase.model.users import DevicePriority, User, checked_person, checked_priority, priority_at, speaks_of

TODAY = date(2024, 6, 15)


def reasons(fields: dict[str, object], age_on: date | None = None) -> dict[str, str]:
    with pytest.raises(RejectedError) as caught:
        checked_person(fields, TODAY, age_on)
    return {error.field: error.reason for error in caught.value.errors}


def test_what_is_said_becomes_attributes_and_none_clears_one() -> None:
    said = {"name": "Zoë", "gender": "other", "birth_date": "1900-01-01", "time_zone": "Asia/Kathmandu"}
    assert checked_person(said, TODAY) == said | {"birth_date": date(1900, 1, 1)}
    assert checked_person(dict.fromkeys(said), TODAY) == dict.fromkeys(said)
    assert checked_person({}, TODAY) == {}
    assert checked_person({"name": "名" * 256, "birth_date": "2024-06-15"}, TODAY)["birth_date"] == TODAY


def test_a_birth_year_counts_as_its_first_of_july() -> None:
    assert checked_person({"birth_year": 1980}, TODAY) == {"birth_date": date(1980, 7, 1)}
    for fields in ({"birth_date": None, "birth_year": 1980}, {"birth_year": 1980, "birth_date": None}):
        assert checked_person(fields, TODAY) == {"birth_date": date(1980, 7, 1)}
    assert "to come" in reasons({"birth_year": 2024})["birth_year"]
    assert checked_person({"birth_year": 2024}, date(2024, 7, 1)) == {"birth_date": date(2024, 7, 1)}
    assert reasons({"birth_year": 2025}) == {"birth_year": "is in the future"}
    assert reasons({"birth_year": 1899}) == {"birth_year": "is before 1900"}
    assert reasons({"birth_year": -(10**40)}) == {"birth_year": "is before 1900"}


@pytest.mark.parametrize(
    ("age", "on", "born"),
    [
        (44, date(2024, 7, 1), date(1980, 7, 1)),
        (44, date(2024, 6, 30), date(1979, 7, 1)),
        (0, date(2024, 1, 1), date(2023, 7, 1)),
        (100, date(2000, 12, 31), date(1900, 7, 1)),
    ],
)
def test_an_age_is_that_of_somebody_born_on_a_first_of_july(age: int, on: date, born: date) -> None:
    assert checked_person({"age": age}, TODAY, on) == {"birth_date": born}
    had_birthday = (on.month, on.day) >= (born.month, born.day)
    assert on.year - born.year - (not had_birthday) == age


def test_numbers_may_be_whole_floats_and_no_number_says_nothing() -> None:
    nan = float("nan")
    assert checked_person({"age": 44.0}, TODAY, date(2024, 7, 1)) == {"birth_date": date(1980, 7, 1)}
    assert checked_person({"birth_year": 1980.0, "age": nan}, TODAY, TODAY) == {"birth_date": date(1980, 7, 1)}
    assert checked_person({"birth_year": nan}, TODAY) == checked_person({"birth_year": None}, TODAY)
    assert set(reasons({"birth_year": 1980.5})) == {"birth_year"}
    assert set(reasons({"name": nan})) == {"name"}


def test_an_age_is_known_to_importers_alone_and_bounded() -> None:
    assert reasons({"age": 44}) == {"age": "is not a known field"}
    for age in (-1, 151, "44", True, 44.5, float("inf")):
        assert set(reasons({"age": age}, TODAY)) == {"age"}
    assert reasons({"age": 124}, date(2000, 1, 1)) == {"age": "is before 1900"}
    assert set(reasons({"age": 44, "birth_year": 1980}, TODAY)) == {"age"}


@pytest.mark.parametrize("name", ["", " ", "\t", "a\x00b", "a\nb", "\x7f", "\x85", "\ud800", "x" * 257, 5, ["a"]])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    assert set(reasons({"name": name})) == {"name"}


@pytest.mark.parametrize(
    "text", ["1980-2-29", "1980-02-30", "19800229", "1980-W07-1", "\uff11980-01-01", " 1980-01-01"]
)
def test_a_birth_date_that_is_none_is_refused(text: str) -> None:
    assert set(reasons({"birth_date": text})) == {"birth_date"}


def test_a_birth_date_is_neither_to_come_nor_before_1900() -> None:
    assert reasons({"birth_date": "2024-06-16"}) == {"birth_date": "is in the future"}
    assert reasons({"birth_date": "1899-12-31"}) == {"birth_date": "is before 1900"}


def test_every_field_at_fault_is_named() -> None:
    said = {"name": 1, "gender": "x", "birth_date": "x", "birth_year": 1, "time_zone": "localtime", "shoe": 44}
    assert reasons(said).keys() == {"name", "gender", "birth_year", "time_zone", "shoe"}


def test_a_priority_is_an_integer_within_bounds_or_none() -> None:
    assert [checked_priority(value) for value in (0, 1_000_000, None)] == [0, 1_000_000, None]
    for value in (-1, 1_000_001, True, 1.0, "1"):
        with pytest.raises(RejectedError, match="priority"):
            checked_priority(value)


def test_the_latest_entry_that_has_begun_holds() -> None:
    history = [
        DevicePriority("ann", "strap", 5, 10),
        DevicePriority("ann", "strap", None, 20),
        DevicePriority("ann", "strap", 0, 30),
        DevicePriority("ann", "device_a", 7, 0),
    ]
    assert [priority_at(history, "strap", at_us) for at_us in (0, 9, 10, 19, 20, 29, 30, 99)] == [
        *(999, 999, 5, 5),
        *(999, 999, 0, 0),
    ]
    assert priority_at(history, "device_a", 0) == 7
    assert priority_at(history, "device_b", 0) == 2


@pytest.mark.parametrize(
    ("text", "speaks"),
    [
        ("fitbit/ann-7", True),
        ("ANN_7.csv", True),
        ("ann7.zip", True),
        ("joann-7", False),
        ("ann-71", False),
        ("zoe\u0308_lee (1).json", True),
        ("Lee, Zoë", True),
        ("ZoëLee", True),
        ("zoë.csv", False),
        ("flee zoë", False),
        ("", False),
    ],
)
def test_a_text_speaks_of_somebody_however_it_is_written(text: str, speaks: bool) -> None:
    assert speaks_of(text, User("ann-7", "Zoë Lee")) is speaks


def test_an_id_of_signs_alone_is_not_found_everywhere() -> None:
    assert speaks_of("a/_/b", User("_"))
    assert not speaks_of("week.csv", User("_"))
