"""The population: the asked number of readings, the same ones however they are taken, and plausible."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pulsebase.ingest import Candidates, ReadingRules, validate
from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import DAY_US, HOUR_US, SECOND_US, from_us, to_us
from pulsebase.sources.fixture_vitals import FEWEST_A_DAY, FixtureValues
from pulsebase.sources.fixtures import (
    DEVICES,
    READINGS_A_YEAR,
    FixtureReadings,
    FixtureSpec,
    fixture_readings,
    fixture_users,
    fixture_values,
)
from pulsebase.sources.population import AGES, TWO_DEVICES_SHARE

STRAP, BAND = range(len(DEVICES))
SPEC = FixtureSpec(users=200, readings=1_000_000)  # 200 people for a month


def taken(spec: FixtureSpec, piece_readings: int = 100_000) -> FixtureReadings:
    return FixtureReadings.joined(list(fixture_readings(spec, piece_readings)))


def checksum(readings: FixtureReadings) -> str:
    columns = (readings.people, readings.devices, readings.times_us, readings.bpm, readings.confidences)
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


@pytest.fixture(scope="module")
def month() -> FixtureReadings:
    return taken(SPEC)


@pytest.mark.parametrize("readings", [1, 999, 2_000, 40_001])
def test_there_are_exactly_as_many_readings_as_asked_for(readings: int) -> None:
    pieces = list(fixture_readings(FixtureSpec(20, readings), 1_000))
    assert sum(map(len, pieces)) == readings
    assert all(len(piece) == 1_000 for piece in pieces[:-1])


@pytest.mark.parametrize("piece_readings", [1_000, 3_333, 1_000_000])
def test_the_pieces_they_are_taken_in_change_no_byte(piece_readings: int) -> None:
    spec = FixtureSpec(30, 20_000)
    assert checksum(taken(spec, piece_readings)) == checksum(taken(spec, 500))


def test_a_seed_makes_the_same_people_and_readings_and_another_seed_others() -> None:
    spec, other = FixtureSpec(30, 20_000, seed=7), FixtureSpec(30, 20_000, seed=8)
    assert fixture_users(spec) == fixture_users(spec) != fixture_users(other)
    assert checksum(taken(spec)) == checksum(taken(spec)) != checksum(taken(other))


def test_more_readings_go_on_where_fewer_end() -> None:
    """Whole days of everybody stay as they are."""
    few, many = taken(FixtureSpec(30, 20_000)), taken(FixtureSpec(30, 30_000))
    first_days = few.times_us.max() - 2 * DAY_US
    early = many.take(np.flatnonzero(many.times_us < first_days))
    assert checksum(few.take(np.flatnonzero(few.times_us < first_days))) == checksum(early)


def test_more_people_than_go_through_a_day_together_are_all_there() -> None:
    spec = FixtureSpec(1_050, 500_000)
    assert [user.user_id for user in fixture_users(spec)] == [str(n + 1) for n in range(1_050)]
    assert np.unique(taken(spec).people).tolist() == list(range(1, 1_051))


def test_no_device_has_two_readings_at_one_time(month: FixtureReadings) -> None:
    identities = np.stack([month.people, month.devices, month.times_us], axis=1)
    assert len(np.unique(identities, axis=0)) == len(month)


def test_a_person_has_about_sixty_thousand_readings_a_year(month: FixtureReadings) -> None:
    days = (month.times_us.max() - month.times_us.min()) / DAY_US
    a_year = len(month) / SPEC.users / days * 365
    assert a_year == pytest.approx(READINGS_A_YEAR, rel=0.05)


def test_wristbands_measure_every_ten_minutes_and_more_often_in_exercise(month: FixtureReadings) -> None:
    rows = np.flatnonzero((month.people == 5) & (month.devices == BAND))
    steps_s = np.diff(month.times_us[rows]) // SECOND_US
    assert steps_s.min() > 0
    near = np.abs(steps_s - 600) <= 60
    assert near.mean() > 0.6
    often = np.abs(steps_s - 120) <= 60
    assert 0.02 < often.mean() < 0.3
    bpm = month.bpm[rows]
    assert bpm[1:][often].mean() > bpm.mean() + 10


def test_three_of_ten_people_wear_two_devices_that_overlap(month: FixtureReadings) -> None:
    two = np.unique(month.people[month.devices == STRAP])
    assert len(two) == TWO_DEVICES_SHARE * SPEC.users
    assert len(np.unique(month.people[month.devices == BAND])) == SPEC.users
    hours = (month.people.astype(np.int64) << 40) | month.times_us // HOUR_US
    strap = np.unique(hours[month.devices == STRAP])
    assert np.isin(strap, hours[month.devices == BAND]).mean() > 0.9


def test_devices_differ_in_what_they_miss(month: FixtureReadings) -> None:
    for device, least, most in ((BAND, 20.5, 24), (STRAP, 5, 9)):
        rows = month.devices == device
        hours = np.unique((month.people[rows].astype(np.int64) << 40) | month.times_us[rows] // HOUR_US)
        days = np.unique((month.people[rows].astype(np.int64) << 40) | month.times_us[rows] // DAY_US)
        assert least < len(hours) / len(days) < most


def test_one_reading_of_a_hundred_has_confidence_zero(month: FixtureReadings) -> None:
    counts = Counter(month.confidences.tolist())
    assert set(counts) == {0, 1, 2, 3}
    assert counts[0] / len(month) == pytest.approx(0.01, rel=0.1)
    assert set(month.bpm[month.confidences == 0]) == {70}


def test_ages_and_genders_are_spread() -> None:
    low, high = AGES
    users = fixture_users(FixtureSpec(2_000, 1))
    ages = np.array([(SPEC.first_day - user.birth_date).days / 365.2425 for user in users if user.birth_date])
    assert len(ages) == len(users)
    assert low - 0.01 < ages.min() < low + 2
    assert high - 2 < ages.max() < high + 0.01
    genders = Counter(user.gender for user in users)
    assert genders["female"] / len(users) == pytest.approx(0.49, abs=0.05)
    assert genders["male"] / len(users) == pytest.approx(0.49, abs=0.05)
    assert 0 < genders["other"] < 100
    assert all(user.name and user.name.endswith("(synthetic)") for user in users)


def test_hearts_are_plausible(month: FixtureReadings) -> None:
    bpm = month.bpm[month.confidences > 0]
    assert 70 < bpm.mean() < 85
    assert 30 <= bpm.min() < 50
    assert 150 < bpm.max() < 220
    low, high = np.percentile(bpm, [1, 99])
    assert 45 < low < 60
    assert 120 < high < 170
    means = np.bincount(month.people, month.bpm)[1:] / np.bincount(month.people)[1:]
    assert means.std() > 3  # people differ, so a bound on the average divides them


def test_hearts_are_slower_at_night_in_everybodys_own_zone(month: FixtureReadings) -> None:
    zones = {int(user.user_id): ZoneInfo(user.time_zone or "") for user in fixture_users(SPEC)}
    assert len({zone.key for zone in zones.values()}) > 8
    for person in range(1, 40):
        rows = np.flatnonzero((month.people == person) & (month.devices == BAND))
        hours = np.array([from_us(at).astimezone(zones[person]).hour for at in month.times_us[rows].tolist()])
        night, evening = month.bpm[rows][hours == 3], month.bpm[rows][hours == 17]
        assert night.mean() + 8 < evening.mean()


def test_days_follow_the_clock_where_it_changes() -> None:
    """The day that clocks go back in Berlin has 25 hours, and readings in all of them."""
    spec = FixtureSpec(200, 60_000, first_day=date(2025, 10, 26))
    berlin = ZoneInfo("Europe/Berlin")
    readings = taken(spec)
    for user in fixture_users(spec):
        if user.time_zone == berlin.key:
            mine = readings.times_us[(readings.people == int(user.user_id)) & (readings.devices == BAND)]
            start_us = to_us(from_us(int(mine.min())).astimezone(berlin).replace(hour=0, minute=0, second=0))
            assert abs(int(mine.min()) - start_us) < HOUR_US
            assert np.diff(mine[mine < start_us + 26 * HOUR_US]).max() < 2 * HOUR_US


def test_everything_lies_between_the_first_and_the_end_day() -> None:
    for spec in (FixtureSpec(1, 5_000), FixtureSpec(50, 5_000), FixtureSpec(50, 60_000, first_day=date(2024, 2, 28))):
        times = taken(spec).times_us
        day_us = timedelta(days=1) // timedelta(microseconds=1)
        first_us = (spec.first_day - date(1970, 1, 1)).days * day_us
        end_us = (spec.end_day - date(1970, 1, 1)).days * day_us
        assert first_us - 12 * HOUR_US < times.min()
        assert times.max() < end_us


def test_the_write_path_accepts_all_of_them(month: FixtureReadings) -> None:
    rows = Candidates(
        [str(number) for number in month.people[:50_000]],
        [DEVICES[place] for place in month.devices[:50_000]],
        month.times_us[:50_000],
        month.bpm[:50_000].astype(np.float64),
        month.confidences[:50_000],
    )
    verdict = validate(rows, ReadingRules(), 1)
    assert verdict.errors == []
    assert verdict.accepted is not None
    assert len(verdict.accepted) == 50_000


# --- metrics besides heart rate ---------------------------------------------------------------------------------------

ALL = tuple(METRICS)
FEW = FixtureSpec(users=40, readings=130_000, metrics=ALL)
HEART_RATE_THEN = "bd9b3812ed890a588a8aecc88aba48d158166e88a7597deffc0462233511e380"


def values_of(spec: FixtureSpec, piece_readings: int = 10_000) -> dict[str, FixtureValues]:
    pieces: dict[str, list[FixtureValues]] = {}
    for metric, piece in fixture_values(spec, piece_readings):
        pieces.setdefault(metric, []).append(piece)
    return {metric: FixtureValues.joined(parts) for metric, parts in pieces.items()}


@pytest.fixture(scope="module")
def everything() -> dict[str, FixtureValues]:
    return values_of(FEW)


def values_checksum(values: FixtureValues) -> str:
    columns = (values.people, values.devices, values.times_us, values.values, values.confidences)
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


def whole_days(values: FixtureValues) -> FixtureValues:
    """Without the last days, which may be incomplete."""
    return values.take(values.times_us < to_us(datetime(2025, 1, 3, tzinfo=UTC)))


def test_heart_rate_is_what_it_was_before_there_were_other_metrics() -> None:
    """Recorded then; in the columns and types that there were."""
    assert checksum(taken(FixtureSpec(30, 20_000), 10_000)) == HEART_RATE_THEN


def test_all_metrics_together_are_as_many_as_asked_for(everything: dict[str, FixtureValues]) -> None:
    assert set(everything) == set(ALL) == set(FEWEST_A_DAY)
    assert sum(map(len, everything.values())) == FEW.readings
    for readings in (1, 777):
        assert sum(map(len, values_of(FixtureSpec(3, readings, metrics=ALL[:4])).values())) == readings


@pytest.mark.parametrize("piece_readings", [1, 3_333, 1_000_000])
def test_the_pieces_change_no_byte_of_a_metric(everything: dict[str, FixtureValues], piece_readings: int) -> None:
    again = values_of(FEW, piece_readings)
    assert {m: values_checksum(v) for m, v in again.items()} == {m: values_checksum(v) for m, v in everything.items()}


def test_a_metric_is_the_same_whatever_others_are_asked_for(everything: dict[str, FixtureValues]) -> None:
    for metric, readings in (("heart_rate", 25_000), ("hrv_rmssd", 10_000), ("skin_temperature_delta", 200)):
        alone = values_of(FixtureSpec(users=40, readings=readings, metrics=(metric,)))
        assert values_checksum(whole_days(alone[metric])) == values_checksum(whole_days(everything[metric]))
    of_heart_rate = taken(FixtureSpec(users=40, readings=25_000))
    early = of_heart_rate.times_us < to_us(datetime(2025, 1, 3, tzinfo=UTC))
    assert of_heart_rate.bpm[early].tolist() == whole_days(everything["heart_rate"]).values.tolist()


def test_the_write_path_accepts_every_metric(everything: dict[str, FixtureValues]) -> None:
    for metric, values in everything.items():
        rows = Candidates(
            [str(number) for number in values.people],
            [DEVICES[place] for place in values.devices],
            values.times_us,
            values.values,
            values.confidences,
        )
        verdict = validate(rows, ReadingRules().of_metric(METRICS[metric], "value"), 1)
        assert verdict.errors == []
        identities = np.stack([values.people, values.devices, values.times_us], axis=1)
        assert len(np.unique(identities, axis=0)) == len(values)


def test_metrics_of_sleep_are_of_the_night_and_one_a_night_is_one(everything: dict[str, FixtureValues]) -> None:
    zones = {int(user.user_id): ZoneInfo(user.time_zone or "") for user in fixture_users(FEW)}
    for metric in ("oxygen_saturation", "respiratory_rate", "hrv_rmssd", "hrv_sdnn"):
        found = everything[metric]
        hours = [
            from_us(at).astimezone(zones[person]).hour
            for person, at in zip(found.people.tolist(), found.times_us.tolist(), strict=True)
        ]
        assert not any(12 <= hour < 19 for hour in hours)
    days = (everything["body_temperature"].times_us.max() - everything["body_temperature"].times_us.min()) / DAY_US
    assert len(everything["skin_temperature_delta"]) == pytest.approx(FEW.users * days, rel=0.3)


def test_metrics_go_with_heart_rate(everything: dict[str, FixtureValues]) -> None:
    heart_rate = means(everything["heart_rate"], HOUR_US)
    for metric, low, high in (
        ("respiratory_rate", 0.02, 1),
        ("hrv_rmssd", -1, -0.15),
        ("hrv_sdnn", -1, -0.15),
        ("rr_interval", -1, -0.8),
        ("skin_temperature", -1, -0.3),
        ("body_temperature", 0.1, 1),
    ):
        of_metric = means(everything[metric], HOUR_US)
        both = sorted(of_metric.keys() & heart_rate.keys())
        found = np.corrcoef([of_metric[key] for key in both], [heart_rate[key] for key in both])[0, 1]
        assert low < found < high, metric
    saturation = everything["oxygen_saturation"].values
    assert 95 < np.median(saturation) < 98
    assert 0.01 < (saturation < 94).mean() < 0.1


def means(values: FixtureValues, step_us: int) -> dict[int, float]:
    """By person and step of time."""
    keys = (values.people.astype(np.int64) << 40) | values.times_us // step_us
    found, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return dict(zip(found.tolist(), (np.bincount(places, values.values) / counts).tolist(), strict=True))


def test_everything_lies_before_the_end_day() -> None:
    for metrics in (("skin_temperature_delta",), ("hrv_sdnn",), ("rr_interval", "oxygen_saturation")):
        spec = FixtureSpec(users=5, readings=300, metrics=metrics)
        latest = max(int(values.times_us.max()) for values in values_of(spec).values())
        assert from_us(latest).date() < spec.end_day
