"""Small files in both layouts of research CSV, and what is in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

ISO_FILE, US_FILE, DAMAGED_FILE = "iso.csv", "us.csv", "damaged.csv"

#: Person 7: a reading every ten seconds of three hours; person 8: every minute of one.
ISO_ROWS = [(datetime(2016, 4, 12, 7, tzinfo=UTC) + timedelta(seconds=10 * i), 60 + i % 40) for i in range(1080)]
US_ROWS = [(datetime(2016, 4, 12, 21, tzinfo=UTC) + timedelta(minutes=i), 80 + i % 3) for i in range(60)]

_DAMAGED = """Id,Time,Value
7,2016-04-13 07:00:00,70
7,2016-04-13 07:00:01,fast
7,2016-13-13 07:00:02,70
7,2016-04-13 07:00:03
seven of nine,2016-04-13 07:00:04,70
7,2016-04-13 07:00:05,221
7,2016-04-13 07:00:06,71
7,2016-04-13 07:00"""


def write_files(folder: Path) -> None:
    iso = [f"7,{at:%Y-%m-%d %H:%M:%S},{bpm}" for at, bpm in ISO_ROWS]
    us = [f"8,{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at:%M:%S %p},{bpm}" for at, bpm in US_ROWS]
    for name, lines in ((ISO_FILE, iso), (US_FILE, us)):
        (folder / name).write_text("\n".join(["Id,Time,Value", *lines]) + "\n")
    (folder / DAMAGED_FILE).write_text(_DAMAGED)
