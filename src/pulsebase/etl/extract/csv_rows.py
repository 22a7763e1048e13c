"""Split CSV files of other vendors into rows, in constant memory. A damaged line affects no other."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pulsebase.etl.extract.parts import Stream
from pulsebase.ingest.lines import line_pieces

_BOM = "\ufeff"
_NOT_CSV = "is not CSV"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row by the names of its columns; or what is wrong with it. `number` counts the lines of the file from 1."""

    number: int
    cells: dict[str, str]
    problem: str | None = None


def cells_of(line: str, delimiter: str = ",") -> list[str] | None:
    """Return the fields of a line, None if it is not CSV."""
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def header_names(line: str, delimiter: str = ",") -> list[str]:
    """Return the names of the columns that a line states."""
    return [name.strip() for name in cells_of(line.removeprefix(_BOM).strip(), delimiter) or ()]


def csv_rows(stream: Stream, is_header: Callable[[Sequence[str]], bool], delimiter: str = ",") -> Iterator[CsvRow]:
    """Yield the rows below the header, which is the first line that `is_header` takes for it. Blank lines are none."""
    names: list[str] | None = None
    number = 0
    for piece in line_pieces(stream):
        lines = piece.decode("utf-8", "replace").split("\n")
        if piece.endswith(b"\n"):
            lines.pop()
        for line in lines:
            number += 1
            if names is None:
                found = header_names(line, delimiter)
                names = found if is_header(found) else None
            elif line.strip():
                yield _row(number, line.rstrip("\r"), names, delimiter)


def _row(number: int, line: str, names: list[str], delimiter: str) -> CsvRow:
    cells = cells_of(line, delimiter)
    if cells is None:
        return CsvRow(number, {}, _NOT_CSV)
    while len(cells) > len(names) and not cells[-1]:  # some end each line with a delimiter
        cells.pop()
    if len(cells) != len(names):
        return CsvRow(number, {}, f"has {len(cells)} columns instead of {len(names)}")
    return CsvRow(number, dict(zip(names, map(str.strip, cells), strict=True)))
