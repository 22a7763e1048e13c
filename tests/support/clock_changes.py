"""Days on which clocks change."""

from __future__ import annotations

from datetime import date

import pytest

#: A zone, a day of its year on which clocks change, and how many hours that day has.
each_clock_change = pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Australia/Melbourne", date(2025, 4, 6), 25),
        ("Australia/Melbourne", date(2025, 10, 5), 23),
        ("America/Chicago", date(2025, 3, 9), 23),
        ("America/Chicago", date(2025, 11, 2), 25),
    ],
)
