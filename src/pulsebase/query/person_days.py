"""Questions about the civil days of one person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pulsebase.model.errors import RejectedError, UnknownUserError
from pulsebase.model.timerange import DAY_US, TimeRange, local_day_starts, parse_range, zone_named, zone_or_utc
from pulsebase.stores.contract import Cancellation, Reader

#: The most days of one question, since every reading of each day may be read.
MOST_DAYS = 366
#: Called with the number of rows that are held from now on. It may block, or refuse by raising an error.
RowsHeld = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class DaysQuestion:
    """What a caller typed. Without `tz` days are those of the person's own zone, or of UTC if they have none.
    `start_field` and `end_field` are the caller's names for error messages.
    """

    user_id: str
    start: str
    end: str
    tz: str | None = None
    start_field: str = "start_date"
    end_field: str = "end_date"
    cancellation: Cancellation | None = None


@dataclass(frozen=True, slots=True)
class PersonDays:
    """A range as typed, the zone it was read in, and the civil days it touches: where they start, and as the last entry
    the end of the last one. An empty range has no days.
    """

    zone: ZoneInfo
    range: TimeRange
    starts: tuple[int, ...]


def days_asked(reader: Reader, question: DaysQuestion) -> PersonDays:
    """Read a question as typed.

    Raises:
        RejectedError: names the field that is wrong; the range touches more than `MOST_DAYS` days.
        UnknownUserError: nobody of that id is known.
    """
    named = None if question.tz is None else zone_named(question.tz)
    user = reader.user(question.user_id)
    if user is None:
        raise UnknownUserError(question.user_id)
    zone = named or zone_or_utc(user.time_zone)
    asked = parse_range(
        question.start, question.end, zone, start_field=question.start_field, end_field=question.end_field
    ).range
    too_long = asked.length_us > (MOST_DAYS + 1) * DAY_US
    starts = () if too_long or asked.length_us == 0 else tuple(local_day_starts(asked, zone))
    if too_long or len(starts) - 1 > MOST_DAYS:
        raise RejectedError.of(question.end_field, f"at most {MOST_DAYS} days at a time")
    return PersonDays(zone, asked, starts)


def require_still_known(reader: Reader, question: DaysQuestion) -> None:
    """Raises `UnknownUserError` if the person was removed while the question was answered in several steps: what was
    read before that is theirs, and is not told any more.
    """
    if not reader.knows(question.user_id):
        raise UnknownUserError(question.user_id)
