"""The numbers under which the cluster knows people, their devices and metrics; the texts are in PostgreSQL alone."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.people import make_known
from pulsebase.stores.postgres.series_keys import register_metrics

#: So many devices' numbers are remembered, some tens of megabytes.
_MOST_KNOWN = 200_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers by text; devices by the number of the person and the device's id."""

    people: Mapping[str, int]
    devices: Mapping[tuple[int, str], int]
    metrics: Mapping[str, int]


class KnownNumbers:
    """The numbers that a process has looked up. Those of a person are right until the person is removed, which has to
    be looked up. It may be used by many threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._people: dict[str, int] = {}
        self._devices: dict[tuple[int, str], int] = {}
        self._metrics: dict[str, int] = {}

    def find(self, devices: Collection[tuple[str, str]], metrics: Collection[str]) -> Numbers | None:
        """Return the numbers of people with their devices, and of metrics; None if not all of them are known."""
        with self._lock:
            try:
                people = {user_id: self._people[user_id] for user_id, _ in devices}
                pairs = {(people[user_id], device_id) for user_id, device_id in devices}
                return Numbers(
                    people,
                    {pair: self._devices[pair] for pair in pairs},
                    {name: self._metrics[name] for name in metrics},
                )
            except KeyError:
                return None

    def add(self, numbers: Numbers) -> None:
        """Remember what was looked up."""
        with self._lock:
            if len(self._devices) + len(numbers.devices) > _MOST_KNOWN:
                self._people.clear()
                self._devices.clear()
            self._people.update(numbers.people)
            self._devices.update(numbers.devices)
            self._metrics.update(numbers.metrics)

    def forget(self, user_ids: Collection[str]) -> None:
        """Forget these people, of whom some have been removed."""
        with self._lock:
            for user_id in user_ids:
                self._people.pop(user_id, None)


def assign(connection: Connection, devices: Collection[tuple[str, str]], metrics: Collection[str]) -> Numbers:
    """Return the numbers of people with their devices, and of metrics; whoever is not known comes into being.

    Until the transaction ends, none of these people can be removed.
    """
    user_ids = {user_id for user_id, _ in devices}
    people = _people(connection, user_ids)
    numbers = _devices(connection, devices)
    if len(people) < len(user_ids) or len(numbers) < len(set(devices)):
        make_known(connection, user_ids, devices)
        people, numbers = _people(connection, user_ids), _devices(connection, devices)
    by_person = {(people[user_id], device_id): number for (user_id, device_id), number in numbers.items()}
    return Numbers(people, by_person, _metrics(connection, metrics))


def person_of(connection: Connection, user_id: str) -> int | None:
    """Return the number of a person; None if nobody has this id."""
    row = connection.execute("SELECT user_no FROM pulsebase.users WHERE user_id = %s", [user_id]).fetchone()
    return None if row is None else int(row[0])


def metric_of(connection: Connection, name: str) -> int | None:
    """Return the number of a metric; None if there never was a reading of it."""
    row = connection.execute("SELECT metric_no FROM pulsebase.metrics WHERE metric = %s", [name]).fetchone()
    return None if row is None else int(row[0])


def device_of(connection: Connection, person: int, device_id: str) -> int | None:
    """Return the number of a person's device; None if they have none of this id."""
    asked = f"{_DEVICES} WHERE user_no = %s AND device_id = %s"
    row = connection.execute(asked, [person, device_id]).fetchone()
    return None if row is None else int(row[0])


def devices_of(connection: Connection, person: int) -> dict[int, str]:
    """Return the ids of a person's devices by number."""
    return dict(connection.execute(f"{_DEVICES} WHERE user_no = %s", [person]).fetchall())


def series_of(connection: Connection, user_id: str, metric: str) -> tuple[int, int, dict[int, str]] | None:
    """Return the numbers of a person and a metric, and the ids of the person's devices by number, in order (bytes).

    None if nobody has this id, or there never was a reading of the metric.
    """
    row = connection.execute(
        "SELECT user_no, (SELECT metric_no FROM pulsebase.metrics WHERE metric = %(metric)s), "
        'ARRAY(SELECT device_no FROM pulsebase.devices WHERE user_id = %(user)s ORDER BY device_id COLLATE "C"), '
        'ARRAY(SELECT device_id FROM pulsebase.devices WHERE user_id = %(user)s ORDER BY device_id COLLATE "C") '
        "FROM pulsebase.users WHERE user_id = %(user)s",
        {"user": user_id, "metric": metric},
    ).fetchone()
    if row is None or row[1] is None:
        return None
    person, number, devices, device_ids = row
    return int(person), int(number), dict(zip(devices, device_ids, strict=True))


def ids_of_devices(connection: Connection, numbers: Collection[int]) -> dict[int, str]:
    """Return the ids of these devices by number, of those that there are."""
    found = connection.execute(
        "SELECT device_no, device_id FROM pulsebase.devices WHERE device_no = ANY(%s)", [list(numbers)]
    )
    return dict(found.fetchall())


def people_asked(
    connection: Connection, genders: Collection[str] | None, born_by: date | None, born_after: date | None
) -> dict[int, str]:
    """Return the ids of people by number: those of these genders, born on a day or before, and after a day; None for
    any.
    """
    found = connection.execute(
        "SELECT user_no, user_id FROM pulsebase.users "
        "WHERE (%(genders)s::text[] IS NULL OR gender = ANY(%(genders)s)) "
        "AND (%(born_by)s::date IS NULL OR birth_date <= %(born_by)s) "
        "AND (%(born_after)s::date IS NULL OR birth_date > %(born_after)s)",
        {
            "genders": None if genders is None else sorted(genders),
            "born_by": born_by,
            "born_after": born_after,
        },
    )
    return dict(found.fetchall())


_DEVICES = "SELECT device_no, device_id FROM pulsebase.devices JOIN pulsebase.users USING (user_id)"


def _people(connection: Connection, user_ids: Collection[str]) -> dict[str, int]:
    found = connection.execute(
        "SELECT user_id, user_no FROM pulsebase.users WHERE user_id = ANY(%s) FOR KEY SHARE", [list(user_ids)]
    )
    return dict(found.fetchall())


def _devices(connection: Connection, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    found = connection.execute(
        "SELECT user_id, device_id, device_no FROM pulsebase.devices "
        "JOIN unnest(%s::text[], %s::text[]) AS asked (user_id, device_id) USING (user_id, device_id)",
        [[user_id for user_id, _ in pairs], [device_id for _, device_id in pairs]],
    )
    return {(user_id, device_id): number for user_id, device_id, number in found.fetchall()}


def _metrics(connection: Connection, names: Collection[str]) -> dict[str, int]:
    asked = "SELECT metric, metric_no FROM pulsebase.metrics WHERE metric = ANY(%s)"
    known = dict(connection.execute(asked, [list(names)]).fetchall())
    if len(known) < len(set(names)):
        register_metrics(connection, set(names) - known.keys())
        known = dict(connection.execute(asked, [list(names)]).fetchall())
    return known


def metrics_by_number(connection: Connection) -> dict[int, str]:
    """Return the names of the metrics of which there ever were readings, by number."""
    return dict(connection.execute("SELECT metric_no, metric FROM pulsebase.metrics").fetchall())


def people_by_number(connection: Connection, user_ids: Collection[str] | None = None) -> dict[int, str]:
    """Return the ids of these people, or of everybody, by number; nobody who is not known."""
    found = connection.execute(
        "SELECT user_no, user_id FROM pulsebase.users WHERE %s::text[] IS NULL OR user_id = ANY(%s)",
        [None if user_ids is None else list(user_ids)] * 2,
    )
    return dict(found.fetchall())


def devices_of_people(connection: Connection, people: Collection[int]) -> dict[int, str]:
    """Return the ids of the devices of these people, by number."""
    return dict(connection.execute(f"{_DEVICES} WHERE user_no = ANY(%s)", [list(people)]).fetchall())


def devices_with_people(connection: Connection) -> dict[int, int]:
    """Return the number of the person of every device, by the device's number."""
    asked = "SELECT device_no, user_no FROM pulsebase.devices JOIN pulsebase.users USING (user_id)"
    return dict(connection.execute(asked).fetchall())
