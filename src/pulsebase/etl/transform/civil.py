"""Convert columns of local dates and times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.changes import FallBack, offsets_of
from pulsebase.etl.transform.nights import Night
from pulsebase.model.readings import Ids
from pulsebase.model.timerange import DAY_US, SECOND_US

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Letters = npt.NDArray[np.uint8]

_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


def clock_us(year: Ints, month: Ints, day: Ints, hour: Ints, minute: Ints, second: Ints) -> tuple[Ints, Mask]:  # noqa: PLR0917
    """Return microseconds since 1970-01-01 00:00 local time, and which of the times exist; the others are 0."""
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last_day = _DAYS_IN_MONTH[np.where((month >= 0) & (month <= 12), month, 0)] + leap
    good = (day >= 1) & (day <= last_day) & (hour < 24) & (minute < 60) & (second < 60)
    in_day_us = ((hour * 60 + minute) * 60 + second) * SECOND_US
    return np.where(good, days_since_1970(year, month, day) * DAY_US + in_day_us, 0), good


def days_since_1970(year: Ints, month: Ints, day: Ints) -> Ints:
    """Return days since 1970 in the Gregorian calendar. Years are counted from March, so that the leap day comes
    last.
    """
    shifted = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return np.asarray(365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719_468, np.int64)


def letters_of(texts: Sequence[str], form: str) -> tuple[Letters, Mask]:
    """Return texts as rows of bytes, and which have the form. In a form `0` stands for a digit, `±` for a sign, and any
    other character for itself.

    Rows of other texts hold the form itself.
    """
    width = len(form)
    plain = form.replace("±", "+")
    if set(map(len, texts)) != {width} or not (joined := "".join(texts)).isascii():
        texts = [text if len(text) == width and text.isascii() else "\0" * width for text in texts]
        joined = "".join(texts)
    letters = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(len(texts), width)
    good: Mask = np.ones(len(texts), np.bool_)
    for place, letter in enumerate(form):
        column = letters[:, place]
        if letter == "0":
            good &= (column >= ord("0")) & (column <= ord("9"))
        elif letter == "±":
            good &= (column == ord("+")) | (column == ord("-"))
        else:
            good &= column == ord(letter)
    if not good.all():
        letters = np.where(good[:, None], letters, np.frombuffer(plain.encode(), np.uint8))
    return letters, good


def number(letters: Letters, begin: int, end: int) -> Ints:
    """Return the digits from one place to another as a number."""
    value = np.zeros(len(letters), np.int64)
    for place in range(begin, end):
        value = value * 10 + letters[:, place] - ord("0")
    return value


class LocalClocks:
    """Converts everybody's local times to UTC, in the order of a file.

    A time that does not exist, since clocks went forward, is moved forward by the change. A time that occurred twice,
    since clocks went back, is read as the first of the two until the person's times step back by the change, and then
    as the second; `nights` decides what counts as that step. If a person's times descend more often than they ascend,
    the file has the newest first: there it is the second until the times step forward, and then the first.
    """

    def __init__(self, zone_of: Callable[[str], ZoneInfo]) -> None:
        self._zone_of = zone_of
        self._nights: dict[str, Night] = {}  # of those whose last line was of such a night
        self._untold = 0
        #: The number of times that did not exist and were moved forward.
        self.skipped = 0

    @property
    def untold(self) -> int:
        """The number of ambiguous times for which nothing tells which of the two they are."""
        return self._untold + sum(night.untold for night in self._nights.values())

    def instants(self, wall_us: Ints, ids: Ids) -> Ints:
        """Return microseconds UTC for local times, given as microseconds since 1970-01-01 00:00."""
        zones = [self._zone_of(user_id) for user_id in ids.texts]
        distinct = list(dict.fromkeys(zones))
        lived_in = np.array([distinct.index(zone) for zone in zones], np.int64)[ids.codes]
        times_us = wall_us.copy()
        night_of = np.full(len(wall_us), -1, np.int64)
        nights: list[FallBack] = []
        for place, zone in enumerate(distinct):
            theirs = np.flatnonzero(lived_in == place)
            found = offsets_of(wall_us[theirs], zone)
            times_us[theirs] -= found.first_us
            night_of[theirs] = np.where(found.night_of >= 0, found.night_of + len(nights), -1)
            nights += found.nights
            self.skipped += int(found.skipped.sum())
        if len(wall_us) and (nights or self._nights):
            second = self._second(wall_us, ids, night_of, nights)
            changes_us = np.array([night.change_us for night in nights] or [0], np.int64)
            times_us[second] += changes_us[night_of[second]]
        return times_us

    def _second(self, wall_us: Ints, ids: Ids, night_of: Ints, nights: Sequence[FallBack]) -> Ints:
        """Return the rows whose ambiguous times are the second ones."""
        person_of = {text: code for code, text in enumerate(ids.texts)}  # one text may have several codes
        person = np.array([person_of[text] for text in ids.texts], np.int64)[ids.codes]
        order = np.argsort(person, kind="stable")
        codes, of_night = person[order], night_of[order]
        begins = np.flatnonzero(np.diff(codes, prepend=-1) | np.diff(of_night, prepend=-2))
        newest_first = _newest_first(codes, wall_us[order], wall_us)
        found = [np.empty(0, np.int64)]
        last_code = -1
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(order)], strict=True):
            code, place = int(codes[begin]), int(of_night[begin])
            goes_on, last_code = code != last_code, code
            user_id = ids.texts[code]
            clocks = nights[place] if place >= 0 else None
            night = self._nights.get(user_id)
            if night is not None and not (goes_on and clocks == night.clocks):
                self._untold += self._nights.pop(user_id).untold
                night = None
            if clocks is not None:
                if night is None:
                    night = self._nights[user_id] = Night(clocks, code in newest_first)
                elif len(night.last) == 1:  # a single time could not tell in which order the file is
                    night.turn(code in newest_first)
                rows = order[begin:end]
                found.append(rows[night.second(wall_us[rows])])
        return np.concatenate(found)


def _newest_first(codes: Ints, in_order_us: Ints, wall_us: Ints) -> set[int]:
    """Return the codes of people whose times descend more often than they ascend. In the first two columns, the rows of
    each person are together. People without any step are assumed to have the order of the file, which is the third
    column.
    """
    steps, same = np.diff(in_order_us), codes[1:] == codes[:-1]
    most = int(codes.max(initial=-1)) + 1
    falls, rises = (np.bincount(codes[1:][same & way], minlength=most) for way in (steps < 0, steps > 0))
    file_falls = np.sign(np.diff(wall_us)).sum() < 0
    return set(np.flatnonzero((falls > rises) | ((falls + rises == 0) & file_falls)).tolist())
