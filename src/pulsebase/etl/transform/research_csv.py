"""From a block of research CSV lines (`Id,Time,Value`) to candidates, whole columns at a time.

The lines are not given to a general CSV reader, since one damaged line must cost that line alone, and be named by its
number: the fields are found as byte offsets and read as columns of bytes. No valid field holds a comma, a quote or a
line break, so that nothing is lost by this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, LocalClocks, Mask, clock_us, number
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.readings import NO_CONFIDENCE, Ids

HEADER = ("id", "time", "value")

_ID_BYTES = 129  # one more than an id may have: what is cut off here is refused there
_TIME_BYTES = 22  # 10/12/2016 10:21:00 AM
_VALUE_BYTES = 24
_NEWLINE, _COMMA = ord("\n"), ord(",")
_NUMBER = re.compile(rb"[+-]?\d+(\.\d*)?")
#: How many digits the six numbers of a time have: 2016-04-12 07:21:00, and 4/12/2016 7:21:00 AM.
_WIDTHS = [[4, 2, 2, 2, 2, 2], *([m, d, 4, h, 2, 2] for m in (1, 2) for d in (1, 2) for h in (1, 2))]

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Whole lines of a file, each ended by a line feed, and the number of the first one (the header is line 1)."""

    data: bytes
    first_line: int


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """The lines that could be read, `positions` being their line numbers, and why the others could not."""

    candidates: Candidates
    errors: list[FieldError]
    lines: int


def header_problem(line: bytes) -> RejectedError | None:
    """What is wrong with the first line of a file, if anything."""
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()
    if tuple(name.strip().strip('"').lower() for name in text.split(",")) == HEADER:
        return None
    found = f"found {text[:80]!r}" if text else "found nothing"
    return RejectedError.of("header", f"the first line must be Id,Time,Value; {found}")


def parse_block(block: TextBlock, clocks: LocalClocks, device_id: str) -> ParsedBlock:
    """Read the lines; local times are those of `clocks`. Ids, ranges and the future are the validation's
    to judge.
    """
    # Zeros pad the columns below, so that those of a damaged file must become something no field may hold.
    buffer = np.frombuffer(block.data.replace(b"\0", b"?"), np.uint8)
    starts, ends, commas, line_errors = _fields(buffer, block.first_line)
    numbers = block.first_line + starts.lines
    wall_us, time_ok = _times(_column(buffer, *_trimmed(buffer, commas[:, 0] + 1, commas[:, 1]), _TIME_BYTES))
    values, value_ok = _values(_column(buffer, *_trimmed(buffer, commas[:, 1] + 1, ends), _VALUE_BYTES))
    errors = line_errors
    errors += [_bad_time(int(line)) for line in numbers[~time_ok]]
    errors += [FieldError("heart_rate", "is not a number", int(line)) for line in numbers[time_ok & ~value_ok]]
    errors.sort(key=lambda error: error.index or 0)
    good = time_ok & value_ok
    ids = _ids(_column(buffer, *_trimmed(buffer, starts.offsets, commas[:, 0]), _ID_BYTES)[good])
    count = int(good.sum())
    candidates = Candidates(
        ids,
        Ids.repeated(device_id, count),
        clocks.instants(wall_us[good], ids),
        values[good],
        np.full(count, NO_CONFIDENCE, np.int8),
        numbers[good],
    )
    return ParsedBlock(candidates, errors, starts.total)


@dataclass(frozen=True, slots=True)
class _Starts:
    offsets: Ints  # where the lines that have three fields begin
    lines: Ints  # their places among all lines of the block
    total: int


def _fields(buffer: Bytes, first_line: int) -> tuple[_Starts, Ints, Ints, list[FieldError]]:
    """Starts, ends and both commas of each line of three fields; an error for any other line that is not empty."""
    line_ends = np.flatnonzero(buffer == _NEWLINE)
    line_starts = np.concatenate([[0], line_ends[:-1] + 1]).astype(np.int64)
    commas = np.flatnonzero(buffer == _COMMA)
    first_comma = np.searchsorted(commas, line_starts)
    count = np.searchsorted(commas, line_ends) - first_comma
    whole = count == 2
    errors = [
        FieldError("line", f"has {int(count[line]) + 1} columns instead of 3", first_line + int(line))
        for line in np.flatnonzero(~whole)
        if buffer[line_starts[line] : line_ends[line]].tobytes().strip()
    ]
    pairs = first_comma[whole]
    both = np.stack([commas[pairs], commas[pairs + 1]], axis=1) if len(pairs) else np.empty((0, 2), np.int64)
    starts = _Starts(line_starts[whole], np.flatnonzero(whole), len(line_ends))
    return starts, line_ends[whole], both, errors


def _trimmed(buffer: Bytes, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The same fields without blanks and quotes around them; a few at most, or a line of blanks would cost dearly."""
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
    """The fields as rows of bytes, zeros behind their ends. A longer field than `width` keeps one byte more."""
    if not len(starts):
        return np.zeros((0, 1), np.uint8)
    lengths = ends - starts
    columns = []
    for place in range(min(int(lengths.max()), width + 1) or 1):
        chars = buffer[np.minimum(starts + place, len(buffer) - 1)]
        columns.append(chars * (place < lengths))
    return np.stack(columns, axis=1)


def _ids(column: Bytes) -> Ids:
    """The ids; they come in runs, so each run is decoded once."""
    begins = np.ones(len(column), np.bool_)
    begins[1:] = (column[1:] != column[:-1]).any(axis=1)
    names = [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in column[begins]]
    return Ids((np.cumsum(begins) - 1).astype(np.int32), names)


# --- values --------------------------------------------------------------------------------------------------------


def _values(column: Bytes) -> tuple[npt.NDArray[np.float64], Mask]:
    """The numbers, and which fields hold one. Plain integers, nearly all there is, are read as columns."""
    values = np.zeros(len(column))
    plain = column[:, 0] != 0
    for place in range(column.shape[1]):
        chars = column[:, place]
        digits = (chars >= ord("0")) & (chars <= ord("9"))
        values = np.where(digits, values * 10 + (chars.astype(np.float64) - ord("0")), values)
        plain &= digits | (chars == 0)
    known = plain.copy()
    for row in np.flatnonzero(~plain):
        text = column[row].tobytes().rstrip(b"\0")
        if _NUMBER.fullmatch(text):
            values[row], known[row] = float(text), True
    return values, known


# --- times ---------------------------------------------------------------------------------------------------------


def _bad_time(line: int) -> FieldError:
    return FieldError("timestamp", "is not a time such as 2016-04-12 07:21:00 or 4/12/2016 7:21:00 AM", line)


def _times(column: Bytes) -> tuple[Ints, Mask]:
    """Local times since 1970-01-01 00:00, and which fields hold a time of either layout.

    Fields with digits in the same places are read together: one group for the first layout, some dozen for the second.
    """
    times_us, good = np.zeros(len(column), np.int64), np.zeros(len(column), np.bool_)
    digits = (column >= ord("0")) & (column <= ord("9"))
    shapes, place, sizes = np.unique(
        digits @ (1 << np.arange(column.shape[1])), return_inverse=True, return_counts=True
    )
    ends = np.cumsum(sizes)
    in_groups = np.argsort(place, kind="stable")
    for shape, begin, end in zip(shapes.tolist(), (ends - sizes).tolist(), ends.tolist(), strict=True):
        rows, runs = in_groups[begin:end], _runs(shape)
        if [end - begin for begin, end in runs] not in _WIDTHS or runs[0][0] != 0:
            continue
        if all(after[0] - before[1] == 1 for before, after in pairwise(runs)):
            times_us[rows], good[rows] = _wall_us(column[rows], runs)
    return times_us, good


def _runs(shape: int) -> list[tuple[int, int]]:
    """Begin and end of each run of set bits, the lowest bit first."""
    return [match.span() for match in re.finditer("1+", f"{shape:b}"[::-1])]


def _wall_us(column: Bytes, runs: list[tuple[int, int]]) -> tuple[Ints, Mask]:
    """Local times since 1970-01-01 00:00 of fields whose six numbers stand in the same places."""
    numbers = [number(column, begin, end) for begin, end in runs]
    breaks = column[:, [end for _, end in runs[:-1]]]
    tail = np.zeros((len(column), 4), np.uint8)
    rest = column[:, runs[-1][1] :][:, :4]
    tail[:, : rest.shape[1]] = rest
    tails = tail.view("S4").ravel()
    afternoon = (tails == b" PM") | (tails == b" pm")
    iso = (breaks == np.frombuffer(b"-- ::", np.uint8)).all(axis=1) & (tails == b"")
    us = (breaks == np.frombuffer(b"// ::", np.uint8)).all(axis=1) & (afternoon | (tails == b" AM") | (tails == b" am"))
    year, month, day = (np.where(us, numbers[b], numbers[a]) for a, b in ((0, 2), (1, 0), (2, 1)))
    hour, minute, second = numbers[3:]
    good = (iso | (us & (hour >= 1) & (hour <= 12))) & (year >= 1000) & (year <= 9998)
    hour = np.where(us, hour % 12 + np.where(afternoon, 12, 0), hour)
    wall_us, exists = clock_us(year, month, day, hour, minute, second)
    good &= exists
    return np.where(good, wall_us, 0), good
