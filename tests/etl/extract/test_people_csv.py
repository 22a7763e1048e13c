"""Files of people: read whole, or refused with every fault by line and field."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pulsebase.etl.extract import people_csv
from pulsebase.etl.extract.people_csv import read_people_csv
from pulsebase.model.errors import RejectedError
from pulsebase.model.users import User

TODAY = date(2024, 6, 15)
AGE_ON = date(2016, 12, 31)


def read(tmp_path: Path, content: str | bytes) -> list[User]:
    path = tmp_path / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_people_csv(path, TODAY, AGE_ON)


def faults(tmp_path: Path, content: str | bytes) -> list[tuple[int | None, str]]:
    with pytest.raises(RejectedError) as caught:
        read(tmp_path, content)
    return [(error.index, error.field) for error in caught.value.errors]


def test_people_are_read_in_any_order_of_columns(tmp_path: Path) -> None:
    content = '\ufeffGender, ID ,name,age,time_zone\r\nfemale,1,"Ann, Dr.",36,UTC\r\n\r\n , 2 ,,,\r\n'
    assert read(tmp_path, content) == [User("1", "Ann, Dr.", "female", date(1980, 7, 1), "UTC"), User("2")]
    assert read(tmp_path, "id\n7") == [User("7")]
    assert read(tmp_path, "id,birth_date,birth_year\na,1980-02-29,\nb,,1980\n") == [
        User("a", birth_date=date(1980, 2, 29)),
        User("b", birth_date=date(1980, 7, 1)),
    ]


def test_numbers_may_be_as_frames_write_them(tmp_path: Path) -> None:
    content = "id,age,birth_year\na,36.0,\nb,nan,1980.0\nc,NaN,nan\nd,36.,\n"
    born = date(1980, 7, 1)
    assert read(tmp_path, content) == [
        User("a", birth_date=born),
        User("b", birth_date=born),
        User("c"),
        User("d", birth_date=born),
    ]
    assert faults(tmp_path, "id,age,name\na,36.5,\nb,1e1,\nc,,nan\n") == [(2, "age"), (3, "age")]


def test_every_fault_is_named_by_line_and_field(tmp_path: Path) -> None:
    head = "id,name,gender,birth_year,age,time_zone\n"
    content = head + "1,,cat,1899,,\n,A,,,,\n3,,,,x,Mars\n4,,,1980,40,\n1,,,,,\n5,,,,,\n5,,,,,\n"
    assert faults(tmp_path, content) == [
        (2, "gender"),
        (2, "birth_year"),
        (3, "id"),
        (4, "time_zone"),
        (4, "age"),
        (5, "age"),
        (8, "id"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", (1, "id")),
        ("name\nAnn\n", (1, "id")),
        ("id,shoe\n1,2\n", (1, "shoe")),
        ("id,name,Name\n1,2,3\n", (1, "name")),
        ("id,name\n1\n", (2, "line")),
        ("id,name\n1,2,3\n", (2, "line")),
        ('id,name\n1,"Ann\n', (2, "line")),
        (b"id,name\n1,Ann\n2,\xff\n", (3, "line")),
        ("id\n\n", (1, "file")),
        ("id,name\n1,a\x00b\n", (2, "name")),
        ("id,birth_year\n1," + "9" * 5000, (2, "birth_year")),
        ("id,name\n1e5,Ann\n2.02E+09,Ben\n", (3, "id")),
        ("id,name\n2022484408.0,Ann\n", (2, "id")),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, content: str | bytes, expected: tuple[int, str]) -> None:
    assert faults(tmp_path, content) == [expected]


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_csv, "MOST_PEOPLE", 2)
    assert len(read(tmp_path, "id\n1\n2\n")) == 2
    assert faults(tmp_path, "id\n1\n2\n3\n") == [(1, "file")]
    monkeypatch.setattr(people_csv, "MOST_BYTES", 4)
    assert faults(tmp_path, "id\n1\n2\n") == [(1, "file")]
