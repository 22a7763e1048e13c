"""Time: UTC microseconds, floored; half-open ranges; civil days in any IANA zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from pulsebase.model.errors import RejectedError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: The last instant a `datetime` can name: 9999-12-31T23:59:59.999999Z.
MAX_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
#: 2200-01-01T00:00:00Z, the latest end of a range: a later end is read as this one. Nothing so late is ever stored, and
#: up to the year 9999 there would be three million days.
LAST_END_US = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,12})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?")
#: A `+` that a query string turned into a space: the one before an offset.
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d{2}(:?\d{2})?$)(?<=.{16})")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The instants from `start_us` up to, not including, `end_us`: microseconds since 1970-01-01T00:00:00Z."""

    start_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        """The length in microseconds."""
        return self.end_us - self.start_us

    def widened(self, step_us: int) -> TimeRange:
        """The smallest range of whole steps, counted from 1970 in UTC, that holds this one. A step of 0 widens
        nothing, and nothing widens an empty range.
        """
        if step_us == 0 or self.start_us == self.end_us:
            return self
        return TimeRange(self.start_us // step_us * step_us, -(-self.end_us // step_us) * step_us)


@dataclass(frozen=True, slots=True)
class AskedRange:
    """A range as a person typed it. `typed_us` is its length as typed (a bare end date counts from its midnight)."""

    range: TimeRange
    typed_us: int


@dataclass(frozen=True, slots=True)
class _Typed:
    wall: datetime  # as written, without zone
    local: bool  # read in `tz`, since no offset was written
    bare_date: bool
    at_us: int


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware `datetime`, exact."""
    return (moment - EPOCH) // _MICROSECOND


def from_us(at_us: int) -> datetime:
    """The UTC `datetime` of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=at_us)


def format_us(at_us: int) -> str:
    """`2024-01-15T10:00:00Z`; a fraction only where it is not zero, without trailing zeros."""
    moment = from_us(at_us)
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def format_all_us(times_us: npt.NDArray[np.int64]) -> list[str]:
    """`format_us` of each time."""
    import numpy as np

    seconds = (times_us // SECOND_US).astype("datetime64[s]")
    texts: list[str] = np.char.add(np.datetime_as_string(seconds), "Z").tolist()
    for place in np.flatnonzero(times_us % SECOND_US):
        texts[place] = format_us(int(times_us[place]))
    return texts


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "posixrules", "Factory"}


def zone_named(name: str, field: str = "tz") -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        RejectedError: no zone has that name; names `field`.
    """
    if name not in _zone_names():
        raise RejectedError.of(field, "is not the name of an IANA time zone, such as UTC or Europe/Berlin")
    return ZoneInfo(name)


def zone_or_utc(name: str | None) -> ZoneInfo:
    """Return the zone of that name; UTC if there is no name, or this machine does not know it."""
    return ZoneInfo(name) if name in _zone_names() else ZoneInfo("UTC")


def parse_range(start: str, end: str, zone: ZoneInfo, *, start_field: str, end_field: str) -> AskedRange:
    """Read a range as typed: dates or times, local ones in `zone`; a bare end date means through the end of that day.

    If both are local, the typed length is the difference of the wall-clock times, so that a week stays a week across a
    daylight-saving change.

    An end beyond `LAST_END_US` is read as that. Where clocks went forward, a range of wall-clock times may hold no
    instant, such as 02:00 to 03:00 of a spring day, or a day that a zone skipped. The range is then empty, and begins
    and ends at its start.

    Raises:
        RejectedError: a text is not a time, the start is before 1970 or after 2199, or the end is not after the start.
    """
    first, last = _parse(start, zone, start_field), _parse(end, zone, end_field)
    if first.at_us >= LAST_END_US:
        raise RejectedError.of(start_field, "is after the year 2199")
    end_us, end_wall = last.at_us, last.wall
    if last.bare_date and end_us < LAST_END_US:
        end_wall = last.wall + timedelta(days=1)
        end_us = _at_us(end_wall, zone)
    end_us = min(end_us, LAST_END_US)
    both_local = first.local and last.local
    if end_us <= first.at_us:
        if not (both_local and end_wall > first.wall):
            raise RejectedError.of(end_field, f"must be after {start_field}")
        end_us = first.at_us
    typed_us = (last.wall - first.wall) // _MICROSECOND if both_local else last.at_us - first.at_us
    # The same date as start and end means one day, not an instant.
    if typed_us <= 0:
        typed_us = (end_us - first.at_us) or (end_wall - first.wall) // _MICROSECOND
    return AskedRange(TimeRange(first.at_us, end_us), typed_us)


def parse_reading_time(text: str) -> int:
    """Microseconds since 1970 of a reading's time: ISO 8601 with a time of day; UTC where no offset is written.

    Digits beyond microseconds are cut off. Times before 1970 come out negative.

    Raises:
        ValueError: the text is not such a time.
    """
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("must be an ISO 8601 time such as 2024-01-15T10:00:00Z")
    try:
        moment = datetime.fromisoformat(text.upper().replace(",", "."))
    except ValueError:
        raise ValueError("is not a time that exists") from None
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def instant_of(value: object, field: str) -> int:
    """The same as `parse_instant`, of a value that may be something else than a text."""
    if not isinstance(value, str):
        raise RejectedError.of(field, "must be a text such as 2024-01-15T10:00:00Z")
    return parse_instant(value, field)


def parse_instant(text: str, field: str) -> int:
    """Microseconds since 1970 of a date (its midnight) or a time, in UTC where no offset is written.

    Raises:
        RejectedError: the text is neither, or lies before 1970 or after 2199; names `field`.
    """
    at_us = _parse(text, ZoneInfo("UTC"), field).at_us
    if at_us >= LAST_END_US:
        raise RejectedError.of(field, "is after the year 2199")
    return at_us


def local_day_starts(asked: TimeRange, zone: ZoneInfo) -> list[int]:
    """The starts, in microseconds, of the civil days of `zone` that touch `asked`, and as the last entry the end of the
    last one. Days have 23, 24 or 25 hours where clocks change; a day that a zone skipped altogether is left out.
    """
    if zone.key == "UTC":
        last_us = min(-(-asked.end_us // DAY_US) * DAY_US, MAX_US // DAY_US * DAY_US)
        return list(range(asked.start_us // DAY_US * DAY_US, last_us + 1, DAY_US))
    day = from_us(asked.start_us).astimezone(zone).date()
    starts = [_at_us(datetime.combine(day, time()), zone)]
    while starts[-1] < asked.end_us and day < date.max:
        day += timedelta(days=1)
        start_us = _at_us(datetime.combine(day, time()), zone)
        if start_us > starts[-1]:
            starts.append(start_us)
    return starts


def _parse(text: str, zone: ZoneInfo, field: str) -> _Typed:
    text = _LOST_PLUS.sub("+", text.strip())
    bare_date = _DATE.fullmatch(text) is not None
    if not bare_date and _INSTANT.fullmatch(text) is None:
        raise RejectedError.of(field, "must be a date (2024-01-15) or a time (2024-01-15T10:00:00Z)")
    try:
        moment = datetime.fromisoformat(text.upper().replace(",", "."))
    except ValueError:
        raise RejectedError.of(field, "is not a date or time that exists") from None
    local = moment.tzinfo is None
    wall = moment.replace(tzinfo=None)
    try:
        at_us = _at_us(wall, zone) if local else to_us(moment)
    except OverflowError:
        at_us = MAX_US + 1
    if at_us < 0:
        raise RejectedError.of(field, "is before 1970-01-01T00:00:00Z")
    return _Typed(wall, local, bare_date, at_us)


def _at_us(wall: datetime, zone: ZoneInfo) -> int:
    """Return a local time as an instant: the first of the two where clocks go back, the shifted one where they go
    forward.
    """
    return to_us(wall.replace(tzinfo=zone, fold=0))
