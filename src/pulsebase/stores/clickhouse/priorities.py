"""When the order of devices changes, as questions to the cluster need to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import I64, DeviceRanks
from pulsebase.model.timerange import MINUTE_US, TimeRange
from pulsebase.stores.postgres.database import Connection

#: A person's own settings of priorities: the device's id → (from when, priority or None for the default), by time.
Settings = Mapping[str, Sequence[tuple[int, int | None]]]


def settings_of(connection: Connection, person: int) -> Settings:
    """Return a person's settings."""
    return _all_settings(connection, "user_no = %s", person).get(person, {})


def everybodys_settings(connection: Connection) -> Mapping[int, Settings]:
    """Return the settings of everybody who has some, by the number of the person."""
    return _all_settings(connection, "true")


def _all_settings(
    connection: Connection, condition: str, *values: int
) -> dict[int, dict[str, list[tuple[int, int | None]]]]:
    rows = connection.execute(
        "SELECT user_no, device_id, valid_from, priority FROM pulsebase.priorities "
        f"JOIN pulsebase.users USING (user_id) WHERE {condition} ORDER BY user_no, device_id, valid_from",
        values,
        binary=True,
    ).fetchall()
    found: dict[int, dict[str, list[tuple[int, int | None]]]] = {}
    for person, device_id, from_us, priority in rows:
        found.setdefault(person, {}).setdefault(device_id, []).append((from_us, priority))
    return found


def ranks_of(
    devices: I64, people: I64, times_us: I64, ids: Mapping[int, str], settings: Mapping[int, Settings]
) -> npt.NDArray[np.int64]:
    """Return the rank of each row's device at the row's time, of which the lowest wins; devices are told by number, and
    each is one person's. `ids` has the ids of these devices, and `settings` those of people who have some.
    """
    numbers = np.array(sorted(ids), np.int64)
    texts = [ids[number] for number in numbers.tolist()]
    person_of = dict(zip(devices.tolist(), people.tolist(), strict=True))
    history = {
        place: settings[person_of[number]][text]
        for place, (number, text) in enumerate(zip(numbers.tolist(), texts, strict=True))
        if text in settings.get(person_of.get(number, 0), {})
    }
    places = np.searchsorted(numbers, devices).astype(np.int32)
    return DeviceRanks(range(len(texts)), texts.__getitem__).at(times_us, places, history)


def changes_of(settings: Settings, interval: TimeRange) -> list[int]:
    """Return the minutes from which on another order may hold, of those that the interval touches, but for the first.

    What holds in a minute is what holds at its start.
    """
    whole = interval.widened(MINUTE_US)
    minutes = {-(-from_us // MINUTE_US) for entries in settings.values() for from_us, _ in entries}
    return sorted(each for each in minutes if whole.start_us < each * MINUTE_US < whole.end_us)
