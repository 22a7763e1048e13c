"""Readings as a device logs them by its clock on the wall, across the clock changes of every zone. The judge is the
standard library: it says what the clock showed at an instant, and the import has to find the instant again.

What cannot be told apart is counted instead: times that come twice without a step back on the clock's face, unless
all steps are even; and times behind a step back so small (no more than a usual step, or a minute) that it may as well
be disorder.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from pulsebase.etl.extract.parts import FileOwner, Remark, everybody_in
from pulsebase.etl.extract.research_csv import BLOCK_BYTES, research_csv
from pulsebase.ingest.blocks import Block

EVEN_SPACINGS_S = (1, 5, 15, 60, 100, 300, 600, 900, 1_199, 1_200, 1_800, 2_400, 2_700, 3_000, 3_599, 3_600)
WEEK_S = 7 * 86_400
FIRST_S, LAST_S = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1972, 2031))
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})


@dataclass(frozen=True)
class Shift:
    """A moment at which a zone's clocks were moved on, or back (`by_s` below 0)."""

    zone: ZoneInfo
    at_s: int
    by_s: int

    def twice(self, at_s: int) -> bool:
        """Whether the time that the clock showed at an instant came twice."""
        return self.by_s < 0 and abs(at_s - self.at_s) <= -self.by_s and at_s not in {self.at_s - self.by_s}


@cache
def distinct() -> list[str]:
    """One name of each set of clock changes."""
    first = {tuple((shift.at_s, shift.by_s) for shift in shifts(name)): name for name in reversed(ZONES)}
    return sorted(first.values())


def offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


@cache
def shifts(name: str) -> tuple[Shift, ...]:
    """All of a zone between 1972 and 2030."""
    zone = ZoneInfo(name)
    offsets = [(at_s, offset_s(zone, at_s)) for at_s in range(FIRST_S, LAST_S, WEEK_S)]
    return tuple(
        Shift(zone, moment(zone, early_s, late_s), after_s - before_s)
        for (early_s, before_s), (late_s, after_s) in pairwise(offsets)
        if before_s != after_s
    )


def moment(zone: ZoneInfo, early_s: int, late_s: int) -> int:
    """When between two moments the offset changed."""
    before_s = offset_s(zone, early_s)
    while late_s - early_s > 1:
        middle_s = (early_s + late_s) // 2
        early_s, late_s = (middle_s, late_s) if offset_s(zone, middle_s) == before_s else (early_s, middle_s)
    return late_s


def sampled(most: int) -> Iterator[tuple[Shift, random.Random]]:
    """Some changes of each zone that has any, the same in every run; the fall-backs are the hard ones. Of zones whose
    clocks were changed at the same moments, names of one place for the most part, one stands for all.
    """
    for name in distinct():
        by_chance = random.Random(name)
        back = [shift for shift in shifts(name) if -86_400 < shift.by_s < 0]
        on = [shift for shift in shifts(name) if shift.by_s > 0]
        for shift in by_chance.sample(back, min(most, len(back))) + by_chance.sample(on, min(1, len(on))):
            yield shift, by_chance


def wall(shift: Shift, at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, shift.zone).replace(tzinfo=None)


def imported(shift: Shift, instants_s: Sequence[int], block_bytes: int = BLOCK_BYTES) -> tuple[list[int], int]:
    """The instants that the import finds, and how many times it says it cannot tell."""
    lines = "".join(f"7,{wall(shift, at_s):%Y-%m-%d %H:%M:%S},70\n" for at_s in instants_s)
    owner = FileOwner(None, None, everybody_in(shift.zone))
    found: list[int] = []
    untold = 0
    for part in research_csv(io.BytesIO(b"Id,Time,Value\n" + lines.encode()), owner, block_bytes=block_bytes):
        if isinstance(part, Block):
            assert part.errors == []
            found += [at_us // 1_000_000 for at_us in part.candidates.times_us.tolist()]
        elif isinstance(part, Remark) and "came twice" in part.text:
            untold = int(part.text.split(" ")[0].replace(",", ""))
    return found, untold


def night(shift: Shift, steps_s: Iterator[int]) -> list[int]:
    """Instants from well before a change to well after it."""
    first_s, last_s = shift.at_s - abs(shift.by_s) - 5 * 3_600, shift.at_s + abs(shift.by_s) + 5 * 3_600
    instants_s = [first_s + next(steps_s)]
    while instants_s[-1] < last_s:
        instants_s.append(instants_s[-1] + next(steps_s))
    return instants_s


def evenly(by_chance: random.Random, spacing_s: int) -> Iterator[int]:
    yield by_chance.randrange(spacing_s)
    while True:
        yield spacing_s


def unevenly(by_chance: random.Random, least_s: float, most_s: float) -> Iterator[int]:
    while True:
        yield max(1, round(least_s * (most_s / least_s) ** by_chance.random()))


def test_the_zones_have_changes_of_every_kind() -> None:
    by_s = {shift.by_s for name in ZONES for shift in shifts(name)}
    assert {-7_200, -3_600, -1_800, 1_800, 2_400, 3_600, 5_400, 7_200, 86_400} <= by_s
    at_a_minute = Shift(ZoneInfo("America/St_Johns"), int(datetime(2010, 11, 7, 2, 31, tzinfo=UTC).timestamp()), -3_600)
    assert at_a_minute in shifts("America/St_Johns")


@pytest.mark.parametrize("newest_first", [False, True])
def test_even_spacing_tells_every_time(newest_first: bool) -> None:
    nights = 0
    for shift, by_chance in sampled(1):
        spacing_s = by_chance.choice(EVEN_SPACINGS_S[0 if by_chance.random() < 0.03 else 3 :])
        instants_s = night(shift, evenly(by_chance, spacing_s))
        if newest_first:
            instants_s.reverse()
        block_bytes = (
            BLOCK_BYTES if spacing_s < 300 else by_chance.choice([300 if newest_first else 1, 300, BLOCK_BYTES])
        )
        assert imported(shift, instants_s, block_bytes) == (instants_s, 0), (shift, spacing_s, block_bytes)
        nights += 1
    assert nights > 500


def test_a_step_back_tells_every_time_where_nothing_is_missing() -> None:
    """Uneven steps, none of them half as long again as another, and none as long as the change."""
    for shift, by_chance in sampled(1):
        most_s = min(3_600, abs(shift.by_s))
        least_s = min(10 ** by_chance.uniform(1, 3.5), most_s / 1.5)
        instants_s = night(shift, unevenly(by_chance, least_s, least_s * 1.45))
        assert imported(shift, instants_s) == (instants_s, 0), (shift, least_s)


def test_whatever_the_spacing_times_are_right_or_counted() -> None:
    counted = right = 0
    for shift, by_chance in sampled(3):
        least_s = 10 ** by_chance.uniform(0, 3)
        instants_s = night(shift, unevenly(by_chance, least_s, 3_600))
        found, untold = imported(shift, instants_s)
        face = [wall(shift, at_s) for at_s in instants_s]
        twice = [shift.twice(at_s) for at_s in instants_s]
        if untold == 0:
            assert found == instants_s, (shift, least_s)
            right += any(twice)
            continue
        counted += 1
        for at_s, found_s, unclear in zip(instants_s, found, twice, strict=True):
            assert found_s == at_s or (unclear and abs(found_s - at_s) == -shift.by_s)
        steps = [later - earlier for earlier, later in pairwise(face)]
        back, onward = -min(steps), max(steps)
        assert back <= max(onward, timedelta(minutes=1)), "a step back that is none of disorder's tells"
        assert untold == sum(wall_twice(shift, at) for at in face)
    assert right > counted > 10


def wall_twice(shift: Shift, face: datetime) -> bool:
    first, second = (face.replace(tzinfo=shift.zone, fold=fold).utcoffset() for fold in (0, 1))
    return first != second and shift.by_s < 0


def test_what_cannot_be_told_apart_is_counted_and_is_of_the_first_hour() -> None:
    (shift,) = (each for each in shifts("Europe/Berlin") if wall(each, each.at_s).year == 2024 and each.by_s < 0)
    before, second = shift.at_s - 3_600, shift.at_s
    #: Ten minutes apart, but the band lay on the table for the hour of the change: no step on its clock says so.
    off_wrist = [*range(before - 7_200, before + 1_800, 600), *range(second + 1_800, second + 9_000, 600)]
    found, untold = imported(shift, off_wrist)
    assert untold == 6
    assert found == [at_s - 3_600 if second <= at_s < second + 3_600 else at_s for at_s in off_wrist]
    #: A second back may be disorder, with no more readings in the hour that comes twice.
    disorder = [*range(before - 60, before + 3_600, 5), *range(second + 3_600, second + 4_000, 5)]
    disorder[300], disorder[301] = disorder[301], disorder[300]
    assert imported(shift, disorder) == (disorder, 720)
    #: The same time again is a second value of it, not an hour later.
    again = [*range(before - 60, before + 3_600, 5), *range(second + 3_600, second + 4_000, 5)]
    again.insert(300, again[300])
    assert imported(shift, again) == (again, 721)
