"""The vital signs of synthetic people: whole, reproducible, within bounds, and tied together as in real people."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pulsebase.model.hrv import LEAST_BEATS_FIVE_MINUTES, Beats, five_minutes_in, variability, window_sums
from pulsebase.model.metrics import METRICS, RR_INTERVAL
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.sources.synthetic import (
    CHEST_STRAP,
    DEMO_PEOPLE,
    Samples,
    SyntheticPerson,
    day_range,
    samples_between,
    synthetic_day,
)
from pulsebase.sources.synthetic_condition import fever_at, has_cycle, is_high, luteal_at, night_before
from pulsebase.sources.synthetic_people import PATCH, RING

FIRST = date(2025, 1, 6)  # a Monday
DAYS = [FIRST + timedelta(days=n) for n in range(180)]
OTHERS = [name for name in METRICS if name != "heart_rate"]
FIVE_MINUTES_US = 5 * MINUTE_US
EVENING = np.array([0.9])

people = pytest.mark.parametrize("person", DEMO_PEOPLE, ids=lambda person: person.user_id)
metrics = pytest.mark.parametrize("metric", OTHERS)
Floats = npt.NDArray[np.float64]


def on(person: SyntheticPerson, day: date, metric: str) -> list[Samples]:
    return samples_between(person, day_range(person, day), metric)


@lru_cache(maxsize=2)
def everything_of(person: SyntheticPerson) -> Mapping[str, list[Samples]]:
    """What was recorded on all `DAYS` but beats, by metric."""
    found: dict[str, list[Samples]] = {metric: [] for metric in OTHERS if metric != "rr_interval"}
    for day in DAYS:
        for metric, pieces in found.items():
            pieces.extend(on(person, day, metric))
    return found


def all_of(person: SyntheticPerson, metric: str) -> Samples:
    """What was recorded of a metric on all `DAYS`, by one device."""
    pieces = everything_of(person)[metric]
    assert len({piece.device_id for piece in pieces}) == 1
    times, values = (np.concatenate([getattr(each, name) for each in pieces]) for name in ("times_us", "values"))
    return Samples(pieces[0].device_id, times, values, np.full(len(times), -1, np.int8), metric)


@lru_cache(maxsize=4)
def heart_rate_of(person: SyntheticPerson) -> Samples:
    """What the wristband counted on all `DAYS`."""
    bands = [synthetic_day(person, day).wristband for day in DAYS]
    kept = [band.confidences != 0 for band in bands]
    times = np.concatenate([band.times_us[mask] for band, mask in zip(bands, kept, strict=True)])
    values = np.concatenate([band.values[mask] for band, mask in zip(bands, kept, strict=True)])
    return Samples(bands[0].device_id, times, values, np.full(len(times), 3, np.int8))


def by_step(samples: Samples, step_us: int) -> dict[int, float]:
    """Means of the samples by step of time."""
    steps, places, counts = np.unique(samples.times_us // step_us, return_inverse=True, return_counts=True)
    sums = np.bincount(places, samples.values)
    return dict(zip(steps.tolist(), (sums / counts).tolist(), strict=True))


def by_night(person: SyntheticPerson, metric: str) -> dict[date, float]:
    """Means by the morning of the night, of what lies between midnight and eight in the person's zone."""
    samples = all_of(person, metric)
    found = {}
    for day in DAYS:
        start_us = day_range(person, day).start_us
        values = samples.cut(TimeRange(start_us, start_us + 8 * HOUR_US)).values
        if len(values):
            found[day] = float(values.mean())
    return found


def paired(left: Mapping[int, float], right: Mapping[int, float]) -> tuple[Floats, Floats]:
    both = sorted(left.keys() & right.keys())
    assert len(both) > 50
    return np.array([left[key] for key in both]), np.array([right[key] for key in both])


def correlation(left: Floats, right: Floats) -> float:
    return float(np.corrcoef(left, right)[0, 1])


def digest(samples: list[Samples]) -> str:
    found = hashlib.sha256()
    for each in samples:
        found.update(each.device_id.encode() + each.metric.encode())
        for column in (each.times_us, each.values, each.confidences):
            found.update(column.tobytes())
    return found.hexdigest()


# --- the same, whoever asks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (DEMO_PEOPLE[0], "65b77e63aece7778e4c04c78b12c37a7a2336ed3c5a5f1a7c980d16949ad0cad"),
        (DEMO_PEOPLE[1], "e9996281edc5f0063423d034e0735a6680e551e1c0caf48f0cb97d51005786ec"),
    ],
    ids=["user1", "user2"],
)
def test_heart_rate_is_what_it_was_before_there_were_other_metrics(person: SyntheticPerson, expected: str) -> None:
    found = hashlib.sha256()
    for day in (FIRST + timedelta(days=n) for n in (0, 5, 83, 300)):
        recorded = synthetic_day(person, day)
        for samples in (recorded.wristband, *recorded.others):
            for column in (samples.times_us, samples.values, samples.confidences):
                found.update(column.tobytes())
    assert found.hexdigest() == expected


@people
@metrics
def test_slices_hold_what_the_whole_holds(person: SyntheticPerson, metric: str) -> None:
    whole = TimeRange(day_range(person, date(2025, 3, 28)).start_us + 13 * HOUR_US, to_end(person, date(2025, 3, 31)))
    cuts = [whole.start_us, *(whole.start_us + n * 5 * HOUR_US + n * 1_234_567 for n in range(1, 14)), whole.end_us]
    pieces = [piece for a, b in pairwise(cuts) for piece in samples_between(person, TimeRange(a, b), metric)]
    assert joined(pieces) == joined(samples_between(person, whole, metric))


def to_end(person: SyntheticPerson, day: date) -> int:
    return day_range(person, day).end_us


def joined(pieces: list[Samples]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for piece in pieces:
        found.setdefault(piece.device_id, []).extend(zip(piece.times_us.tolist(), piece.values.tolist(), strict=True))
    return found


_BACKWARDS = """
from datetime import date, timedelta
from tests.sources.test_synthetic_vitals import DEMO_PEOPLE, FIRST, OTHERS, digest, on
for n in reversed(range(14)):
    for metric in reversed(OTHERS):
        for person in reversed(DEMO_PEOPLE):
            print(n, metric, person.user_id, digest(on(person, FIRST + timedelta(days=n), metric)))
"""


def test_another_process_that_asks_in_another_order_gets_the_same() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _BACKWARDS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=120)
    there = {tuple(line.split()[:3]): line.split()[3] for line in done.stdout.splitlines()}
    here = {
        (str(n), metric, person.user_id): digest(on(person, FIRST + timedelta(days=n), metric))
        for person in DEMO_PEOPLE
        for n in range(14)
        for metric in OTHERS
    }
    assert here == there


@metrics
def test_another_seed_is_another_person(metric: str) -> None:
    person = DEMO_PEOPLE[0]
    sunday = DAYS[6]
    assert digest(on(person, sunday, metric)) != digest(on(replace(person, seed=person.seed + 1), sunday, metric))


# --- what is recorded -------------------------------------------------------------------------------------------------


@people
@metrics
def test_values_are_within_the_bounds_of_the_metric_and_of_people_in_health(
    person: SyntheticPerson, metric: str
) -> None:
    spec = METRICS[metric]
    usual = {
        "oxygen_saturation": (80, 100),
        "respiratory_rate": (10, 25),
        "hrv_rmssd": (5, 200),
        "hrv_sdnn": (5, 250),
        "rr_interval": (300, 1_800),
        "skin_temperature": (30, 38),
        "skin_temperature_delta": (-1, 2),
        "body_temperature": (36, 39),
    }
    pieces = [piece for day in DAYS[:60] for piece in on(person, day, metric)]
    assert pieces
    for piece in pieces:
        low, high = usual[metric]
        assert max(low, spec.low) <= piece.values.min()
        assert piece.values.max() <= min(high, spec.high)
        assert (np.diff(piece.times_us) > 0).all()
        assert (piece.values == np.round(piece.values, spec.decimals)).all()
        assert piece.metric == metric


@people
def test_the_ring_measures_every_minute_of_sleep_or_every_five(person: SyntheticPerson) -> None:
    for metric, step_us in (
        ("respiratory_rate", MINUTE_US),
        ("oxygen_saturation", MINUTE_US),
        ("hrv_rmssd", FIVE_MINUTES_US),
        ("hrv_sdnn", FIVE_MINUTES_US),
        ("skin_temperature", FIVE_MINUTES_US),
    ):
        samples = all_of(person, metric)
        assert samples.device_id == RING
        assert (samples.times_us % step_us == 0).all()
        assert (np.diff(samples.times_us) == step_us).mean() > 0.97
        a_day = len(samples) / len(DAYS) * step_us / HOUR_US
        assert (20 < a_day < 24) if metric == "skin_temperature" else (6 < a_day < 8.5)
    assert len(all_of(person, "skin_temperature_delta")) > 0.9 * len(DAYS)
    assert all_of(person, "body_temperature").device_id == PATCH
    assert set(np.diff(all_of(person, "body_temperature").times_us).tolist()) == {FIVE_MINUTES_US}


@people
def test_in_sleep_alone_and_not_in_nights_without_the_ring(person: SyntheticPerson) -> None:
    bare = [day for day in DAYS if not night_before(person, day).worn]
    assert 1 <= len(bare) < 0.1 * len(DAYS)
    of_sleep = ("respiratory_rate", "oxygen_saturation", "hrv_rmssd", "skin_temperature_delta")
    assert not any(set(bare) & by_night(person, metric).keys() for metric in of_sleep)
    for day in DAYS[:30]:
        asleep = synthetic_day(person, day).asleep
        for metric in of_sleep:
            for piece in on(person, day, metric):
                inside = [(piece.times_us >= each.start_us) & (piece.times_us <= each.end_us) for each in asleep]
                assert np.any(inside, axis=0).all()


@people
def test_nights_have_gaps_of_minutes_and_days_one_for_charging(person: SyntheticPerson) -> None:
    nights = [piece for day in DAYS[:60] for piece in on(person, day, "respiratory_rate")]
    longest = [int(np.diff(piece.cut_to_morning).max()) for piece in map(Morning, nights)]
    assert sum(gap > 3 * MINUTE_US for gap in longest) > 10
    charged = [int(np.diff(piece.times_us).max()) for day in DAYS[:60] for piece in on(person, day, "skin_temperature")]
    assert np.median(charged) > 35 * MINUTE_US


class Morning:
    """The times of a day's first stretch of sleep."""

    def __init__(self, samples: Samples) -> None:
        noon_us = samples.times_us[0] + 12 * HOUR_US
        self.cut_to_morning = samples.times_us[samples.times_us < noon_us]


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25)])
def test_days_follow_the_clock_on_the_wall(day: date, hours: int) -> None:
    ada = DEMO_PEOPLE[0]
    span = day_range(ada, day)
    assert span.length_us == hours * HOUR_US
    (patch,) = on(ada, day, "body_temperature")
    assert (patch.times_us[0], len(patch)) == (span.start_us, hours * 12)
    assert patch.times_us[-1] == span.end_us - FIVE_MINUTES_US


# --- what goes with what ----------------------------------------------------------------------------------------------


@people
def test_within_a_night_respiration_goes_with_heart_rate_and_variability_against_it(person: SyntheticPerson) -> None:
    heart_rate = by_step(heart_rate_of(person), FIVE_MINUTES_US)
    assert correlation(*paired(by_step(all_of(person, "respiratory_rate"), FIVE_MINUTES_US), heart_rate)) > 0.1
    for metric in ("hrv_rmssd", "hrv_sdnn"):
        found, bpm = paired(by_step(all_of(person, metric), FIVE_MINUTES_US), heart_rate)
        assert correlation(np.log(found), bpm) < -0.4
    rmssd, sdnn = paired(
        by_step(all_of(person, "hrv_rmssd"), FIVE_MINUTES_US), by_step(all_of(person, "hrv_sdnn"), FIVE_MINUTES_US)
    )
    assert correlation(rmssd, sdnn) > 0.8
    assert 1 < (sdnn / rmssd).mean() < 1.4


@people
def test_respiration_and_heart_rate_are_lower_in_deep_sleep_than_when_it_begins(person: SyntheticPerson) -> None:
    early, late = [], []
    for day in DAYS[:60]:
        for piece in on(person, day, "respiratory_rate"):
            morning = synthetic_day(person, day).asleep[0]
            first = piece.cut(TimeRange(morning.end_us - 20 * MINUTE_US, morning.end_us)).values
            deep = piece.cut(TimeRange(morning.start_us + HOUR_US, morning.end_us - HOUR_US)).values
            early += [first.mean()] if len(first) else []
            late += [deep.mean()] if len(deep) else []
    assert np.mean(early) > np.mean(late)  # before waking one sleeps less deeply


@people
def test_variability_falls_with_the_load_of_the_day_before(person: SyntheticPerson) -> None:
    variability_ms = by_night(person, "hrv_rmssd")
    loads = {day: night_before(person, day).load for day in variability_ms}
    nights = sorted(variability_ms)
    assert correlation(*(np.array([by[day] for day in nights]) for by in (loads, variability_ms))) < -0.2
    rested = np.mean([variability_ms[day] for day in nights if loads[day] == 0])
    loaded = np.mean([variability_ms[day] for day in nights if loads[day] > 0.8])
    assert 0.7 * rested < loaded < 0.95 * rested


@people
def test_saturation_is_lower_in_the_mountains_and_dips_more_often(person: SyntheticPerson) -> None:
    high = {day for day in DAYS if is_high(person, day - timedelta(days=1), EVENING)[0]}
    assert len(high) >= 3
    nights = by_night(person, "oxygen_saturation")
    above = np.array([nights[day] for day in nights if day in high])
    below = np.array([nights[day] for day in nights if day not in high])
    assert 95 < below.mean() < 98
    assert 4.5 < below.mean() - above.mean() < 8
    dips = dict.fromkeys(nights, 0.0)
    for day in nights:
        start_us = day_range(person, day).start_us
        values = all_of(person, "oxygen_saturation").cut(TimeRange(start_us, start_us + 8 * HOUR_US)).values
        dips[day] = float((values < np.median(values) - 2).mean())
    assert 0.01 < np.mean([dips[day] for day in nights if day not in high]) < 0.08  # small ones, in every week
    assert np.mean([dips[day] for day in high & nights.keys()]) > 0.2


@people
def test_the_body_is_warmest_in_the_afternoon_and_skin_in_sleep(person: SyntheticPerson) -> None:
    def at_hours(metric: str, first: int, last: int) -> float:
        samples = all_of(person, metric)
        spans = [day_range(person, day).start_us for day in DAYS]
        return float(
            np.mean(
                np.concatenate(
                    [samples.cut(TimeRange(at + first * HOUR_US, at + last * HOUR_US)).values for at in spans]
                )
            )
        )

    assert at_hours("body_temperature", 16, 18) - at_hours("body_temperature", 4, 6) == pytest.approx(0.5, abs=0.05)
    assert 1 < at_hours("skin_temperature", 2, 5) - at_hours("skin_temperature", 14, 17) < 2.2
    body, skin = (by_step(all_of(person, name), HOUR_US) for name in ("body_temperature", "skin_temperature"))
    assert correlation(*paired(body, skin)) < 0


@people
def test_a_fever_raises_temperatures_and_respiration_and_lowers_variability(person: SyntheticPerson) -> None:
    fevers = {day: float(fever_at(person, day, np.array([0.2]))[0]) for day in DAYS}
    ill = [day for day in DAYS if fevers[day] > 0.5]
    well = [day for day in DAYS if fevers[day] == 0]
    assert 3 <= len(ill) < 20

    def difference(metric: str) -> float:
        nights = by_night(person, metric)
        return float(
            np.mean([nights[day] for day in ill if day in nights])
            - np.mean([nights[day] for day in well if day in nights])
        )

    assert 0.5 < difference("body_temperature") < 1.8
    assert 0.3 < difference("skin_temperature_delta") < 1.6
    assert difference("respiratory_rate") > 0.4
    assert difference("hrv_rmssd") < 0
    assert max(all_of(person, "body_temperature").values) > 37.5
    bpm = [synthetic_day(person, day).wristband.values.mean() for day in (*ill, *well[:60])]
    assert np.mean(bpm[: len(ill)]) > np.mean(bpm[len(ill) :])


def test_a_cycle_shows_in_temperatures_of_women_who_have_one() -> None:
    ada, ben = DEMO_PEOPLE
    luteal = np.array([float(luteal_at(ada, day, np.array([0.15]))[0]) for day in DAYS])
    assert 0.3 < luteal.mean() < 0.55
    rises = int(((luteal[1:] > 0.5) & (luteal[:-1] <= 0.5)).sum())
    assert rises in (5, 6, 7)  # in 180 days
    well = {day for day in DAYS if fever_at(ada, day, np.array([0.2]))[0] == 0}
    for metric, rise_c in (("body_temperature", 0.23), ("skin_temperature_delta", 0.30), ("skin_temperature", 0.30)):
        nights = by_night(ada, metric)
        high = np.mean([nights[day] for day, phase in zip(DAYS, luteal, strict=True) if phase > 0.9 and day in nights])
        low = np.mean([nights[d] for d, p in zip(DAYS, luteal, strict=True) if p < 0.1 and d in nights and d in well])
        assert high - low == pytest.approx(rise_c, abs=0.1)
    assert not has_cycle(ben, DAYS[0])
    assert not has_cycle(replace(ada, birth_date=date(1950, 1, 1)), DAYS[0])
    assert not luteal_at(ben, DAYS[0], EVENING).any()


@people
def test_the_deviation_of_a_night_is_that_of_its_skin_temperature(person: SyntheticPerson) -> None:
    deviations, skin = by_night(person, "skin_temperature_delta"), by_night(person, "skin_temperature")
    nights = sorted(deviations.keys() & skin.keys())
    assert correlation(*(np.array([by[day] for day in nights]) for by in (deviations, skin))) > 0.8


# --- beats ------------------------------------------------------------------------------------------------------------


def beats_on(person: SyntheticPerson, day: date, device_id: str) -> Samples:
    (found,) = [samples for samples in on(person, day, "rr_interval") if samples.device_id == device_id]
    return found


@people
def test_the_ring_keeps_the_beats_of_one_night_a_week(person: SyntheticPerson) -> None:
    kept = {day for day in DAYS[:56] for samples in on(person, day, "rr_interval") if samples.device_id == RING}
    assert kept == {day for day in DAYS[:56] if day.weekday() == 6 and night_before(person, day).worn}


def test_the_strap_has_beats_of_exercise_and_only_who_wears_one() -> None:
    ada, ben = DEMO_PEOPLE
    exercised = [day for day in DAYS[:56] if synthetic_day(ada, day).others]
    for day in exercised:
        beats = beats_on(ada, day, CHEST_STRAP)
        strap = synthetic_day(ada, day).others
        assert len(beats) > 1_500
        first_us, last_us = min(each.times_us[0] for each in strap), max(each.times_us[-1] for each in strap)
        assert first_us <= beats.times_us[0]
        assert beats.times_us[-1] <= last_us + 2 * SECOND_US
        assert beats.values.min() < 500  # it runs
    assert all(each.device_id == RING for day in DAYS[:28] for each in on(ben, day, "rr_interval"))


@pytest.mark.parametrize(
    ("person", "device_id"),
    [(DEMO_PEOPLE[0], RING), (DEMO_PEOPLE[1], RING), (DEMO_PEOPLE[0], CHEST_STRAP)],
    ids=["user1-ring", "user2-ring", "user1-strap"],
)
def test_beats_are_as_many_as_the_heart_rate_of_the_minute_says(person: SyntheticPerson, device_id: str) -> None:
    differences = []
    for day in DAYS[:28]:
        beats = [each for each in on(person, day, "rr_interval") if each.device_id == device_id]
        if not beats:
            continue
        lengths_us = np.rint(beats[0].values * 1_000).astype(np.int64)
        apart_us = np.diff(beats[0].times_us) - lengths_us[1:]
        assert (apart_us >= 0).all()  # an interval begins where the one before ended, or after a gap
        assert (apart_us == 0).mean() > 0.99
        heart_rate = by_step(synthetic_day(person, day).wristband, MINUTE_US)
        of_beats = by_step(beats[0], MINUTE_US)
        for minute in of_beats.keys() & heart_rate.keys():
            if (beats[0].times_us // MINUTE_US == minute).sum() > 40:
                differences.append(60_000 / of_beats[minute] - heart_rate[minute])
    assert len(differences) > 200
    assert abs(np.median(differences)) < 1
    assert np.percentile(np.abs(differences), 90) < (2 if device_id == RING else 6)  # a wristband lags in exercise


@people
def test_variability_of_the_beats_is_what_the_ring_states(person: SyntheticPerson) -> None:
    day = next(day for day in DAYS if day.weekday() == 6 and night_before(person, day).worn)
    samples = beats_on(person, day, RING)
    beats = Beats.in_order(samples.times_us, np.rint(samples.values * RR_INTERVAL.scale).astype(np.int64))
    span = day_range(person, day)
    found = variability(
        window_sums(beats, *five_minutes_in(span.start_us, span.start_us + DAY_US // 2), 0), LEAST_BEATS_FIVE_MINUTES
    )
    assert found.left_out.sum() < 0.01 * found.beats.sum()
    for stated, worked_out in (("hrv_rmssd", found.rmssd), ("hrv_sdnn", found.sdnn)):
        (ring,) = on(person, day, stated)
        _, mine, theirs = np.intersect1d(found.start_us, ring.times_us, return_indices=True)
        ratios = worked_out[mine] / ring.values[theirs]
        ratios = ratios[np.isfinite(ratios)]
        assert len(ratios) > 60
        assert np.median(ratios) == pytest.approx(1, abs=0.06)
        assert np.std(ratios) < 0.12
