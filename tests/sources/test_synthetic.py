from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest

from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange, to_us
from pulsebase.sources.synthetic import (
    CHEST_STRAP,
    DEMO_PEOPLE,
    PLACEHOLDER_BPM,
    READINGS_A_DAY,
    STEP_S,
    WRISTBAND,
    Samples,
    SyntheticPerson,
    day_range,
    samples_between,
    synthetic_day,
)

DAYS = [date(2025, 1, 6) + timedelta(days=n) for n in range(60)]
#: What a day may miss where hours of readings never reached the cloud.
HOLE_S = 3_600

people = pytest.mark.parametrize("person", DEMO_PEOPLE, ids=lambda person: person.user_id)


def utc_us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def merged(pieces: list[Samples]) -> dict[str, tuple[list[int], list[float], list[int]]]:
    columns: dict[str, tuple[list[int], list[float], list[int]]] = {}
    for piece in pieces:
        times, values, confidences = columns.setdefault(piece.device_id, ([], [], []))
        times += piece.times_us.tolist()
        values += piece.bpm.tolist()
        confidences += piece.confidences.tolist()
    return columns


def has_hole(samples: Samples) -> bool:
    # Charging takes less than 70 minutes; with a pause beside it, still less than two hours.
    return bool(np.diff(samples.times_us).max() > 2 * HOUR_US) or len(samples) < READINGS_A_DAY[0]


@people
def test_slices_hold_what_the_whole_holds(person: SyntheticPerson) -> None:
    whole = TimeRange(utc_us("2025-03-28T13:17:05Z"), utc_us("2025-04-01T04:00:01Z"))
    cuts = [whole.start_us, *(whole.start_us + n * 7 * HOUR_US + n * 1_234_567 for n in range(1, 12)), whole.end_us]
    pieces = [piece for a, b in pairwise(cuts) for piece in samples_between(person, TimeRange(a, b))]
    assert merged(pieces) == merged(samples_between(person, whole))


@people
def test_a_day_does_not_depend_on_what_was_asked_before(person: SyntheticPerson) -> None:
    first = synthetic_day(person, DAYS[5]).wristband
    synthetic_day.cache_clear()
    synthetic_day(person, DAYS[40])
    again = synthetic_day(person, DAYS[5]).wristband
    assert first is not again
    assert merged([first]) == merged([again])


def test_another_seed_is_another_person() -> None:
    person = DEMO_PEOPLE[0]
    other = replace(person, seed=person.seed + 1)
    assert merged([synthetic_day(person, DAYS[0]).wristband]) != merged([synthetic_day(other, DAYS[0]).wristband])


def test_the_demo_people_have_the_seeds_of_the_specification() -> None:
    assert {person.user_id: person.seed for person in DEMO_PEOPLE} == {"user1": 23, "user2": 37}


@people
def test_a_day_holds_as_many_readings_as_a_real_one(person: SyntheticPerson) -> None:
    counts = [len(synthetic_day(person, day).wristband) for day in DAYS if day_range(person, day).length_us == DAY_US]
    low, high = READINGS_A_DAY
    assert max(counts) <= high
    full = [count for count in counts if count >= low]
    assert len(full) >= 0.85 * len(counts)  # the rest are days with a hole in the sync
    assert min(counts) > low - 3 * HOLE_S // 2


@people
def test_readings_are_whole_beats_in_range_at_irregular_seconds(person: SyntheticPerson) -> None:
    for day in DAYS[:10]:
        recorded = synthetic_day(person, day)
        for samples in (recorded.wristband, *recorded.others):
            assert samples.bpm.min() >= 30
            assert samples.bpm.max() <= 220
            assert (samples.bpm == np.rint(samples.bpm)).all()
            assert (samples.times_us % SECOND_US == 0).all()
            assert samples.times_us[0] >= recorded.range.start_us
            assert samples.times_us[-1] < recorded.range.end_us
        steps = np.diff(recorded.wristband.times_us) // SECOND_US
        assert steps.min() >= STEP_S[0]
        usual = steps[steps <= STEP_S[1]]
        assert set(usual.tolist()) == set(range(STEP_S[0], STEP_S[1] + 1))


@people
def test_there_are_gaps_of_minutes_and_of_hours(person: SyntheticPerson) -> None:
    longest = [int(np.diff(synthetic_day(person, day).wristband.times_us).max()) for day in DAYS]
    assert sum(gap > 20 * MINUTE_US for gap in longest) > len(DAYS) / 2
    assert any(has_hole(synthetic_day(person, day).wristband) for day in DAYS)


@people
def test_nights_are_lower_than_days_and_dreams_lift_them(person: SyntheticPerson) -> None:
    for day in DAYS[:20]:
        recorded = synthetic_day(person, day)
        counted = counting(recorded.wristband)
        asleep = np.concatenate([counted.cut(night).bpm for night in recorded.asleep])
        assert asleep.mean() < counted.bpm.mean() - 5
        assert asleep.std() > 1


@people
def test_confidence_falls_with_motion_and_placeholders_stand_out(person: SyntheticPerson) -> None:
    days = [synthetic_day(person, day).wristband for day in DAYS]
    confidences = np.concatenate([day.confidences for day in days])
    bpm = np.concatenate([day.bpm for day in days])
    means = [bpm[confidences == level].mean() for level in (1, 2, 3)]
    assert means == sorted(means, reverse=True)
    assert set(bpm[confidences == 0]) == {PLACEHOLDER_BPM}
    assert 0 < (confidences == 0).mean() < 0.02


def test_the_chest_strap_is_worn_in_exercise_only_at_one_hertz() -> None:
    ada, ben = DEMO_PEOPLE
    worn = [strap for day in DAYS for strap in synthetic_day(ada, day).others]
    assert 0.3 * len(DAYS) < len(worn) < len(DAYS)
    for strap in worn:
        assert strap.device_id == CHEST_STRAP
        assert set(np.diff(strap.times_us).tolist()) == {SECOND_US}
        assert strap.bpm.max() > 95
        assert (strap.confidences == -1).all()
    assert not any(synthetic_day(ben, day).others for day in DAYS)


def test_exercise_climbs_and_recovers() -> None:
    ada = DEMO_PEOPLE[0]
    strap = next(strap for day in DAYS for strap in synthetic_day(ada, day).others)
    before, plateau, after = strap.bpm[:150].mean(), np.percentile(strap.bpm, 90), strap.bpm[-60:].mean()
    assert before < plateau - 25
    assert after < plateau - 25


@people
def test_the_curve_has_no_cliffs(person: SyntheticPerson) -> None:
    counted = counting(synthetic_day(person, DAYS[3]).wristband)
    close = np.diff(counted.times_us) <= 15 * SECOND_US
    assert np.abs(np.diff(counted.bpm)[close]).max() < 25
    assert np.abs(np.diff(counted.bpm)[close]).mean() < 3


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 6, 1), 24)])
def test_days_follow_the_clock_on_the_wall(day: date, hours: int) -> None:
    ada = DEMO_PEOPLE[0]
    recorded = synthetic_day(ada, day)
    assert recorded.range.length_us == hours * HOUR_US
    low, high = (bound * hours / 24 for bound in READINGS_A_DAY)
    assert has_hole(recorded.wristband) or low <= len(recorded.wristband) <= high
    woke = datetime.combine(day, time()) + timedelta(hours=5)
    assert to_us(woke.replace(tzinfo=ZoneInfo(ada.time_zone))) < recorded.asleep[0].end_us < recorded.range.end_us


def test_the_night_is_where_the_person_lives() -> None:
    def lowest_hour(person: SyntheticPerson, of: Callable[[npt.NDArray[np.float64]], float] = np.median) -> int:
        hours: dict[int, list[float]] = {hour: [] for hour in range(24)}
        for day in DAYS[:14]:
            band = counting(synthetic_day(person, day).wristband)
            for hour in range(24):
                hours[hour] += band.bpm[band.times_us // HOUR_US % 24 == hour].tolist()
        return min(hours, key=lambda hour: of(np.array(hours[hour])))

    berlin, chicago = (lowest_hour(person) for person in DEMO_PEOPLE)
    assert berlin in range(0, 6)  # one hour ahead of UTC in winter
    assert chicago in range(6, 13)  # six hours behind


def test_the_age_is_that_of_the_day() -> None:
    person = replace(DEMO_PEOPLE[0], birth_date=date(1990, 6, 15))
    assert person.max_heart_rate(date(2025, 6, 14)) == 220 - 34
    assert person.max_heart_rate(date(2025, 6, 15)) == 220 - 35


def counting(samples: Samples) -> Samples:
    kept = samples.confidences != 0
    return Samples(WRISTBAND, samples.times_us[kept], samples.bpm[kept], samples.confidences[kept])
