from datetime import date

import numpy as np

from pulsebase.model.zones import fitbit_zones, max_heart_rate, zone_minutes


def test_zones_begin_at_50_70_and_85_percent() -> None:
    assert [(zone.name, zone.min_bpm, zone.max_bpm) for zone in fitbit_zones(190)] == [
        ("Out of Range", 30, 95),
        ("Fat Burn", 95, 133),
        ("Cardio", 133, 162),  # 161.5, half up
        ("Peak", 162, 220),
    ]


def test_minutes_are_rounded_half_up_and_then_classified() -> None:
    means = np.array([20, 94.49, 94.5, 132.4, 132.5, 161.5, 230])
    assert [zone.minutes for zone in zone_minutes(means, fitbit_zones(190))] == [2, 2, 1, 2]


def test_karvonens_zones_are_parts_of_the_reserve() -> None:
    assert [zone.min_bpm for zone in fitbit_zones(190, 60)] == [30, 125, 151, 171]  # 170.5, half up


def test_the_highest_heart_rate_falls_on_birthdays() -> None:
    born = date(1992, 2, 29)
    assert [max_heart_rate(born, day) for day in (date(2024, 2, 28), date(2024, 2, 29), date(2025, 2, 28))] == [
        189,
        188,
        188,
    ]
    assert max_heart_rate(born, date(2025, 3, 1)) == 187


def test_no_minutes_are_none_in_every_zone() -> None:
    assert [zone.minutes for zone in zone_minutes(np.empty(0), fitbit_zones(190))] == [0, 0, 0, 0]
