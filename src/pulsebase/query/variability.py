"""Work out heart rate variability from the stored beats of one person, by five minutes or by night."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.hrv import (
    FIVE_MINUTES_US,
    LEAST_BEATS_FIVE_MINUTES,
    LEAST_BEATS_NIGHT,
    Beats,
    Variability,
    WindowSums,
    five_minutes_in,
    variability,
    window_sums,
)
from pulsebase.model.metrics import RR_INTERVAL
from pulsebase.model.nights import nights_of_days
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import HOUR_US, MINUTE_US, TimeRange
from pulsebase.query.person_days import DaysQuestion, PersonDays, RowsHeld, days_asked, require_still_known
from pulsebase.query.plan import QueryLimits
from pulsebase.stores.contract import Reader, SeriesQuery
from pulsebase.stores.deadline import Deadline

#: What variability is stated of: five minutes of the clock, or a night.
Window = Literal["5m", "night"]

I64 = npt.NDArray[np.int64]

#: How many beats are read at a time, and how many at most if a single hour has more. No heart has as many an hour.
_MOST_BEATS = 200_000
_MOST_BEATS_AT_ALL = 2 * _MOST_BEATS
#: What is read before a piece, for its first beat to be compared with. The longest interval is far shorter.
_LEAD_US = MINUTE_US
_LEAST_BEATS = {"5m": LEAST_BEATS_FIVE_MINUTES, "night": LEAST_BEATS_NIGHT}
_KIND = "hrv"


@dataclass(frozen=True, slots=True)
class VariabilityAnswer:
    """The variability of each window with a beat in it, by time.

    Attributes:
        range: what was asked for, widened to whole windows.
        least_beats: how many kept beats a window must have before anything is stated of it.
        mornings: of nights, the date on which each of them ends; else none.
    """

    window: Window
    tz: str
    range: TimeRange
    least_beats: int
    windows: Variability
    mornings: tuple[date, ...]


class _Windows(NamedTuple):
    """Half-open windows, ascending, which do not overlap, and the dates of nights' mornings."""

    starts: I64
    ends: I64
    mornings: Sequence[date]

    def touched_by(self, hours: I64) -> npt.NDArray[np.bool_]:
        """Which of the hours that start at these times hold an instant of a window."""
        next_to_end = np.searchsorted(self.ends, hours, side="right")
        touched = next_to_end < len(self.starts)
        touched[touched] = self.starts[next_to_end[touched]] < hours[touched] + HOUR_US
        return touched


class _Piece(NamedTuple):
    """A range to read, and how many beats it held when it was planned."""

    range: TimeRange
    beats: int


def heart_rate_variability(
    reader: Reader, question: DaysQuestion, window: Window, limits: QueryLimits, rows: RowsHeld = lambda _: None
) -> VariabilityAnswer:
    """Return the variability of a person's beats. Memory does not grow with their number, but for the answer.

    Devices are resolved by whole minutes, as everywhere, and beats of two devices are never compared with each other.
    Hours in which nothing is stored are not read, nor are the days between nights. `rows` is called with the number of
    rows that are held: of beats while they are read, and of the answer afterwards.

    Raises:
        RejectedError: names the field that is wrong.
        TooManyRowsError: there are more windows than an answer may have rows, or more beats in an hour than are read.
        UnknownUserError: nobody of that id is known.
        QueryTimeoutError: all of it together takes longer than the limit.
    """
    asked = days_asked(reader, question)
    deadline = Deadline.after(limits.timeout_s, question.cancellation)
    windows, answered = _windows_of(asked, window)
    sums = WindowSums.empty()
    if len(windows.starts):
        pieces = list(_pieces(_hours(reader, question, answered, deadline), windows))
        rows(_most_beats(pieces, question))
        parts = [_sums_of(reader, question, piece, windows, deadline) for piece in pieces]
        sums = WindowSums.joined([sums, *parts]).merged(WindowSums.empty())  # a night may lie in two pieces
    require_still_known(reader, question)
    if len(sums) > limits.max_rows:
        reason = f"the answer would have more than {limits.max_rows} windows; ask for less time"
        raise TooManyRowsError.of(question.end_field, reason)
    rows(len(sums))
    least = _LEAST_BEATS[window]
    of_start = dict(zip(windows.starts.tolist(), windows.mornings, strict=True)) if window == "night" else {}
    mornings = tuple(of_start[start_us] for start_us in sums.start_us.tolist()) if of_start else ()
    return VariabilityAnswer(window, asked.zone.key, answered, least, variability(sums, least), mornings)


def _windows_of(asked: PersonDays, window: Window) -> tuple[_Windows, TimeRange]:
    if window == "5m":
        widened = asked.range.widened(FIVE_MINUTES_US)
        return _Windows(*five_minutes_in(widened.start_us, widened.end_us), ()), widened
    nights = nights_of_days(asked.starts, asked.zone)
    starts = np.array([night.range.start_us for night in nights], np.int64)
    ends = np.array([night.range.end_us for night in nights], np.int64)
    answered = TimeRange(int(starts[0]), int(ends[-1])) if nights else asked.range
    return _Windows(starts, ends, [night.morning for night in nights]), answered


def _hours(reader: Reader, question: DaysQuestion, answered: TimeRange, deadline: Deadline) -> pa.Table:
    return reader.series(
        SeriesQuery(
            question.user_id,
            answered.widened(HOUR_US),
            Resolution.HOUR,
            timeout_s=deadline.left_s(),
            cancellation=question.cancellation,
            kind=_KIND,
            metric=RR_INTERVAL.name,
        )
    )


def _pieces(hours: pa.Table, windows: _Windows) -> Iterator[_Piece]:
    """Yield what to read: runs of stored hours that windows touch, with no other stored hour among them."""
    starts, counts = hours["time_us"].to_numpy(), hours["count"].to_numpy()
    first_us = end_us = beats = 0
    for hour_us, count, touched in zip(
        starts.tolist(), counts.tolist(), windows.touched_by(starts).tolist(), strict=True
    ):
        if beats and (not touched or beats + count > _MOST_BEATS):
            yield _Piece(TimeRange(first_us, end_us), beats)
            beats = 0
        if touched:
            first_us = first_us if beats else hour_us
            end_us, beats = hour_us + HOUR_US, beats + count
    if beats:
        yield _Piece(TimeRange(first_us, end_us), beats)


def _most_beats(pieces: Sequence[_Piece], question: DaysQuestion) -> int:
    most = max((piece.beats for piece in pieces), default=0)
    if most > _MOST_BEATS_AT_ALL:
        raise _too_dense(question)
    return most


def _too_dense(question: DaysQuestion) -> TooManyRowsError:
    reason = f"there is an hour with more than {_MOST_BEATS_AT_ALL} beats, which no heart has"
    return TooManyRowsError.of(question.start_field, reason)


def _sums_of(
    reader: Reader, question: DaysQuestion, piece: _Piece, windows: _Windows, deadline: Deadline
) -> WindowSums:
    query = SeriesQuery(
        question.user_id,
        TimeRange(max(0, piece.range.start_us - _LEAD_US), piece.range.end_us),
        Resolution.RAW,
        limit=_MOST_BEATS_AT_ALL + _MOST_BEATS,  # with the lead, and what was stored meanwhile
        timeout_s=deadline.left_s(),
        cancellation=question.cancellation,
        kind=_KIND,
        metric=RR_INTERVAL.name,
    )
    try:
        table = reader.series(query)
    except TooManyRowsError:
        raise _too_dense(question) from None
    devices = table["device_id"].combine_chunks().dictionary_encode().indices
    beats = Beats.in_order(table["time_us"].to_numpy(), table["value"].to_numpy(), devices.to_numpy())
    return window_sums(beats, windows.starts, windows.ends, piece.range.start_us)
