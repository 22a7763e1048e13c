"""Turn a block of research CSV lines (`Id,Time,Value`) into candidates, whole columns at a time.

A general CSV reader is not used, because a damaged line must affect no other line and must be named by its number. The
fields are found as byte offsets and read as columns of bytes. No valid field contains a comma, a quote or a line break,
so nothing is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, LocalClocks, Mask
from pulsebase.etl.transform.csv_layout import NO_VALUES, PLAIN, Layout
from pulsebase.etl.transform.csv_times import times_of, why_no_time
from pulsebase.ingest.candidates import Candidates
from pulsebase.ingest.table_ids import without_changed_ids
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE, Ids

_ID_BYTES = 129  # one more than an id may have, so that an id that is cut off here is refused later
_TIME_BYTES = 33  # 2016-04-12 10:21:00.123456789+00:00, and a little less would do
_VALUE_BYTES = 24
_NEWLINE = ord("\n")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NO_VALUES = frozenset(text.encode() for text in NO_VALUES)
#: Characters that spreadsheets and phones write instead of spaces (U+00A0, U+202F).
_BLANKS = (b"\xc2\xa0", b"\xe2\x80\xaf")

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Whole lines of a file, each ended by a line feed, and the number of the first one (the file begins with 1)."""

    data: bytes
    first_line: int


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """The readings, with line numbers as `positions`, and the errors of other lines. `empty` counts the lines without a
    value.
    """

    candidates: Candidates
    errors: list[FieldError]
    lines: int
    empty: int = 0


def parse_block(
    block: TextBlock, clocks: LocalClocks, device_id: str, layout: Layout = PLAIN, metric: str = HEART_RATE.name
) -> ParsedBlock:
    """Parse the lines; `clocks` converts times without an offset. Bounds, future times and ids are checked later by the
    validation; only ids that a spreadsheet has changed are refused here.
    """
    # Zeros pad the columns below, so zeros in a damaged file must be replaced by a byte that no field may contain.
    data = block.data.replace(b"\0", b"?")
    if not data.isascii():
        for blank in _BLANKS:
            data = data.replace(blank, b" ")
    buffer = np.frombuffer(data, np.uint8)
    fields = _fields(buffer, block.first_line, layout)
    numbers = block.first_line + fields.lines
    times = times_of(_column(buffer, *fields.trimmed(buffer, layout.time), _TIME_BYTES))
    column = _column(buffer, *fields.trimmed(buffer, layout.value), _VALUE_BYTES)
    if layout.decimal_comma:
        column[column == ord(",")] = ord(".")
    values, value_ok, empty = _values(column)
    errors = fields.errors
    errors += [
        FieldError("timestamp", why_no_time(times.text(row)), int(numbers[row]))
        for row in np.flatnonzero(~times.good & ~empty).tolist()
    ]
    errors += [FieldError(metric, "is not a number", int(line)) for line in numbers[times.good & ~value_ok & ~empty]]
    good = times.good & value_ok
    ids = _ids(_column(buffer, *fields.trimmed(buffer, layout.id), _ID_BYTES)[good])
    count = int(good.sum())
    candidates, changed = without_changed_ids(
        Candidates(
            ids,
            Ids.repeated(device_id, count),
            times.instants(good, clocks, ids),
            values[good],
            np.full(count, NO_CONFIDENCE, np.int8),
            numbers[good],
            metric,
        )
    )
    errors = sorted([*errors, *changed], key=lambda error: error.index or 0)
    return ParsedBlock(candidates, errors, fields.total, int(empty.sum()))


@dataclass(frozen=True, slots=True)
class _Fields:
    """The lines that have as many fields as the header, and errors for the others.

    Attributes:
        bounds: one row per line: where it begins, the place after each delimiter, and one beyond its end.
        lines: their places among all lines of the block, of which there are `total`.
    """

    bounds: Ints
    lines: Ints
    total: int
    errors: list[FieldError]

    def trimmed(self, buffer: Bytes, place: int) -> tuple[Ints, Ints]:
        """Return where the fields of a column begin and end, without blanks and quotes around them."""
        return _trimmed(buffer, self.bounds[:, place], self.bounds[:, place + 1] - 1)


def _fields(buffer: Bytes, first_line: int, layout: Layout) -> _Fields:
    line_ends = np.flatnonzero(buffer == _NEWLINE)
    line_starts = np.concatenate([[0], line_ends[:-1] + 1]).astype(np.int64)
    delimiters = np.flatnonzero(buffer == ord(layout.delimiter))
    first = np.searchsorted(delimiters, line_starts)
    count = np.searchsorted(delimiters, line_ends) - first
    whole = count == layout.width - 1
    ends = line_ends.copy()
    for row in np.flatnonzero(count >= layout.width).tolist():  # some end each line with a delimiter
        cut = int(delimiters[first[row] + layout.width - 1])
        if not buffer[cut : line_ends[row]].tobytes().strip(layout.delimiter.encode() + b" \t"):
            whole[row], ends[row] = True, cut
    errors = []
    for line in np.flatnonzero(~whole):
        text = buffer[line_starts[line] : line_ends[line]].tobytes()
        if text.strip():
            errors.append(_wrong_width(text, int(count[line]) + 1, layout, first_line + int(line)))
    ours = first[whole]
    between = [delimiters[ours + n] + 1 for n in range(layout.width - 1)]
    bounds = np.stack([line_starts[whole], *between, ends[whole] + 1], axis=1)
    return _Fields(bounds, np.flatnonzero(whole), len(line_ends), errors)


_QUOTED_COMMA = re.compile(rb'"[+-]?\d+,\d+"')


def _wrong_width(text: bytes, count: int, layout: Layout, line: int) -> FieldError:
    if layout.delimiter == "," and _QUOTED_COMMA.search(text):
        reason = "holds a number with a decimal comma; write it with a point, or add --decimal-comma"
        return FieldError("line", reason, line)
    return FieldError("line", f"has {count} columns instead of {layout.width}", line)


def _trimmed(buffer: Bytes, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return the fields without a few blanks and quotes around them. Removing any number of blanks would be costly."""
    for _ in range(4):
        left = (starts < ends) & _IGNORED[buffer[starts]]
        right = (starts < ends) & _IGNORED[buffer[ends - 1]]
        if not (left.any() or right.any()):
            break
        starts, ends = starts + left, np.maximum(ends - right, starts + left)
    return starts, ends


_IGNORED = np.zeros(256, np.bool_)
_IGNORED[[ord(" "), ord("\t"), ord('"')]] = True


def _column(buffer: Bytes, starts: Ints, ends: Ints, width: int) -> Bytes:
    """Return the fields as rows of bytes, padded with zeros. A field longer than `width` keeps one byte more."""
    if not len(starts):
        return np.zeros((0, 1), np.uint8)
    lengths = ends - starts
    columns = []
    for place in range(min(int(lengths.max()), width + 1) or 1):
        chars = buffer[np.minimum(starts + place, len(buffer) - 1)]
        columns.append(chars * (place < lengths))
    return np.stack(columns, axis=1)


def _ids(column: Bytes) -> Ids:
    """Return the ids. Equal ids come in runs, so only the first of each run is decoded."""
    begins = np.ones(len(column), np.bool_)
    begins[1:] = (column[1:] != column[:-1]).any(axis=1)
    codes: dict[bytes, int] = {}
    texts = np.ascontiguousarray(column[begins]).view(f"S{column.shape[1]}").ravel().tolist()  # without the zeros
    of_run = np.array([codes.setdefault(text, len(codes)) for text in texts], np.int32)
    return Ids(of_run[np.cumsum(begins) - 1], [text.decode("utf-8", "replace") for text in codes])


# --- values --------------------------------------------------------------------------------------------------------


def _values(column: Bytes) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
    """Return the numbers, which fields hold one, and which hold no value. Plain integers, which nearly all fields are,
    are read as columns.
    """
    values = np.zeros(len(column))
    plain = column[:, 0] != 0
    for place in range(column.shape[1]):
        chars = column[:, place]
        digits = (chars >= ord("0")) & (chars <= ord("9"))
        values = np.where(digits, values * 10 + (chars.astype(np.float64) - ord("0")), values)
        plain &= digits | (chars == 0)
    known, empty = plain.copy(), np.zeros(len(column), np.bool_)
    for row in np.flatnonzero(~plain):
        text = column[row].tobytes().rstrip(b"\0")
        if _NUMBER.fullmatch(text):
            values[row], known[row] = float(text), True
        else:
            empty[row] = text.lower() in _NO_VALUES
    return values, known, empty
