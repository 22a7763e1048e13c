"""Dates and times that were written by clocks, as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import Ids
from pulsebase.model.timerange import DAY_US, EPOCH, MINUTE_US, SECOND_US

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Letters = npt.NDArray[np.uint8]

_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


def clock_us(year: Ints, month: Ints, day: Ints, hour: Ints, minute: Ints, second: Ints) -> tuple[Ints, Mask]:  # noqa: PLR0917
    """Microseconds since 1970-01-01 00:00 of the same clock, and which of the times exist; the others are 0."""
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last_day = _DAYS_IN_MONTH[np.where((month >= 0) & (month <= 12), month, 0)] + leap
    good = (day >= 1) & (day <= last_day) & (hour < 24) & (minute < 60) & (second < 60)
    in_day_us = ((hour * 60 + minute) * 60 + second) * SECOND_US
    return np.where(good, days_since_1970(year, month, day) * DAY_US + in_day_us, 0), good


def days_since_1970(year: Ints, month: Ints, day: Ints) -> Ints:
    """Days of the Gregorian calendar, with years that begin in March, so that the leap day comes last."""
    shifted = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return np.asarray(365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719_468, np.int64)


def letters_of(texts: Sequence[str], form: str) -> tuple[Letters, Mask]:
    """Texts as rows of bytes, and which have the form: `0` stands for a digit, `±` for a sign, the rest for itself.

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
    """The digits from one place to another as a number."""
    value = np.zeros(len(letters), np.int64)
    for place in range(begin, end):
        value = value * 10 + letters[:, place] - ord("0")
    return value


@dataclass(slots=True)
class _Night:
    """A night on which a person's clock fell back: the last time that came twice, and which of both it was; how many
    there were, and whether their order told the two hours apart.
    """

    last_us: int
    second: bool
    times: int = 0
    told: bool = False


class LocalClocks:
    """Everybody's clocks, read in the order of a file.

    A time that does not exist, since clocks spring forward, is moved forward by the change. One that comes twice, since
    they fall back, is the first of both until a person's times step back by more than half of the change, and then the
    second; smaller steps are disorder. Where a person's times fall, line by line, more often than they rise, the newest
    come first: there it is the second until times step forward, and then the first.
    """

    def __init__(self, zone_of: Callable[[str], ZoneInfo]) -> None:
        self._zone_of = zone_of
        self._nights: dict[str, _Night] = {}  # the last one of a person
        self._untold = 0

    @property
    def untold(self) -> int:
        """How many times came twice on the clock without an order that tells which of both they are."""
        return self._untold + sum(night.times for night in self._nights.values() if not night.told)

    def instants(self, wall_us: Ints, ids: Ids) -> Ints:
        """Microseconds UTC of local times since 1970-01-01 00:00."""
        zones = [self._zone_of(user_id) for user_id in ids.texts]
        distinct = list(dict.fromkeys(zones))
        lived_in = np.array([distinct.index(zone) for zone in zones], np.int64)[ids.codes]
        times_us = wall_us.copy()
        changes_us = np.zeros(len(wall_us), np.int64)
        for place, zone in enumerate(distinct):
            theirs = np.flatnonzero(lived_in == place)
            offsets, changes_us[theirs] = _offsets_us(wall_us[theirs], zone)
            times_us[theirs] -= offsets
        repeated = np.flatnonzero(changes_us)
        if len(repeated):
            newest_first = _newest_first(wall_us, ids)
            for row in repeated.tolist():
                user_id = ids[row]
                if self._is_second(user_id, int(wall_us[row]), int(changes_us[row]), user_id in newest_first):
                    times_us[row] += changes_us[row]
        return times_us

    def _is_second(self, user_id: str, wall_us: int, change_us: int, newest_first: bool) -> bool:
        night = self._nights.get(user_id)
        if night is None or abs(wall_us - night.last_us) >= change_us:
            if night is not None and not night.told:
                self._untold += night.times
            night = self._nights[user_id] = _Night(wall_us, newest_first)
        step_us = wall_us - night.last_us
        if not night.told and (step_us if night.second else -step_us) > change_us // 2:
            night.second, night.told = not night.second, True
        night.last_us = wall_us
        night.times += 1
        return night.second


def _newest_first(wall_us: Ints, ids: Ids) -> set[str]:
    """Those whose times fall more often than they rise."""
    order = np.argsort(ids.codes, kind="stable")
    codes, steps = ids.codes[order], np.diff(wall_us[order])
    same = codes[1:] == codes[:-1]
    falls, rises = (np.bincount(codes[1:][same & way], minlength=len(ids.texts)) for way in (steps < 0, steps > 0))
    names = np.flatnonzero(falls > rises).tolist()
    return {ids.texts[code] for code in names}


def _offsets_us(wall_us: Ints, zone: ZoneInfo) -> tuple[Ints, Ints]:
    """UTC offsets of local times: the first of two where clocks fall back, and the one before the change where they
    spring forward; and by how much the second instant is later, where there are two.
    """
    days, place = np.unique(wall_us // DAY_US, return_inverse=True)
    at_start = np.array([_offset_us(day * DAY_US, zone) for day in days.tolist()], np.int64)
    at_end = np.array([_offset_us((day + 1) * DAY_US, zone) for day in days.tolist()], np.int64)
    offsets, repeats = at_start[place], np.zeros(len(wall_us), np.int64)
    # Only on the days of a change it is worth asking for every minute; changes fall on whole minutes.
    changing = (at_start != at_end)[place]
    minutes, place = np.unique(wall_us[changing] // MINUTE_US, return_inverse=True)
    first, second = (
        np.array([_offset_us(minute * MINUTE_US, zone, fold) for minute in minutes.tolist()], np.int64)[place]
        for fold in (0, 1)
    )
    offsets[changing], repeats[changing] = first, np.maximum(first - second, 0)
    return np.asarray(offsets, np.int64), repeats


def _offset_us(wall_us: int, zone: ZoneInfo, fold: int = 0) -> int:
    wall = (EPOCH + timedelta(microseconds=wall_us)).replace(tzinfo=zone, fold=fold)
    offset = zone.utcoffset(wall)
    assert offset is not None  # a ZoneInfo always has one
    return offset // timedelta(microseconds=1)
