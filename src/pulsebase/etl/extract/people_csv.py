"""Read CSV files of people: a header that names the columns, then one person per line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.identifiers import changed_in_table, identifier_problem
from pulsebase.model.users import PERSON_FIELDS, User, checked_person

COLUMNS = ("id", *PERSON_FIELDS, "age")
#: A file is read as a whole, because nothing of it is stored if one line is invalid.
MOST_BYTES = 64 << 20
MOST_PEOPLE = 100_000
_NUMBERS = ("birth_year", "age")
#: Data frames write integers in a column with gaps as `45.0`, and the gaps, if configured, as `nan`.
_WHOLE = re.compile(r"(\d{1,9})(?:\.0*)?", re.ASCII)


def read_people_csv(path: Path, today: date, age_on: date) -> list[User]:
    """Return the people of a file. Ages refer to the day `age_on`. An empty cell means unknown.

    Raises:
        RejectedError: names each error with its line as `index`; the header is line 1.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _at(1, "file", f"is larger than {MOST_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _at(data.count(b"\n", 0, error.start) + 1, "line", "is not UTF-8") from None
    people: dict[str, User] = {}
    errors: list[FieldError] = []
    for line, cells in _lines(text):
        try:
            user = _person(cells, today, age_on)
        except RejectedError as error:
            errors += [FieldError(each.field, each.reason, line) for each in error.errors]
            continue
        if user.user_id in people:
            errors.append(FieldError("id", "is on another line already", line))
        people[user.user_id] = user
    if errors:
        raise RejectedError(errors)
    if not 1 <= len(people) <= MOST_PEOPLE:
        raise _at(1, "file", f"must hold 1 to {MOST_PEOPLE} people")
    return list(people.values())


def _lines(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the number of each line and its cells by column. Empty lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(header)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise _at(reader.line_num, "line", f"has {len(row)} fields where the header has {len(header)}")
            yield reader.line_num, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except csv.Error as error:
        raise _at(reader.line_num, "line", f"is not CSV: {error}") from None


def _check_header(header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise _at(1, name[:64] or "header", f"is not a known column; there are {', '.join(COLUMNS)}")
        if header.count(name) > 1:
            raise _at(1, name, "is there twice")
    if "id" not in header:
        raise _at(1, "id", "is required in the header")


def _person(cells: Mapping[str, str], today: date, age_on: date) -> User:
    user_id = cells["id"]
    problem = identifier_problem(user_id) or changed_in_table(user_id)
    errors = [] if problem is None else [FieldError("id", problem)]
    fields: dict[str, object] = {}
    for name, cell in cells.items():
        if name == "id" or not cell or (name in _NUMBERS and cell.lower() == "nan"):
            continue
        whole = _WHOLE.fullmatch(cell) if name in _NUMBERS else None
        fields[name] = cell if whole is None else int(whole[1])
    try:
        changes = checked_person(fields, today, age_on)
    except RejectedError as error:
        raise RejectedError([*errors, *error.errors]) from None
    if errors:
        raise RejectedError(errors)
    return User(user_id, **changes)


def _at(line: int, field: str, reason: str) -> RejectedError:
    return RejectedError([FieldError(field, reason, line)])
