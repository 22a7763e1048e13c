"""The numbers under which the cluster knows people, their devices and metrics; the texts are in PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pulsebase.model.metrics import METRICS
from pulsebase.stores.clickhouse.commits import Connection


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers by text; devices by the number of the person and the device's id."""

    people: Mapping[str, int]
    devices: Mapping[tuple[int, str], int]
    metrics: Mapping[str, int]


def assign(connection: Connection, devices: Collection[tuple[str, str]], metrics: Collection[str]) -> Numbers:
    """Return the numbers of people with their devices, and of metrics; whoever has none gets one.

    Until the transaction ends, none of these people can be removed.
    """
    user_ids = sorted({user_id for user_id, _ in devices})
    people = _people(connection, user_ids)
    if len(people) < len(user_ids):
        connection.execute(
            "INSERT INTO pulsebase.person_numbers (user_id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            [[user_id for user_id in user_ids if user_id not in people]],
        )
        people = _people(connection, user_ids)
    pairs = sorted((people[user_id], device_id) for user_id, device_id in devices)
    numbers = _devices(connection, pairs)
    if len(numbers) < len(pairs):
        missing = [pair for pair in pairs if pair not in numbers]
        connection.execute(
            "INSERT INTO pulsebase.device_numbers (person, device_id) "
            "SELECT * FROM unnest(%s::bigint[], %s::text[]) ON CONFLICT DO NOTHING",
            [[person for person, _ in missing], [device_id for _, device_id in missing]],
        )
        numbers = _devices(connection, pairs)
    return Numbers(people, numbers, _metrics(connection, metrics))


def person_of(connection: Connection, user_id: str) -> int | None:
    """Return the number of a person; None if nobody has this id."""
    row = connection.execute("SELECT person FROM pulsebase.person_numbers WHERE user_id = %s", [user_id]).fetchone()
    return None if row is None else int(row[0])


def metric_of(connection: Connection, name: str) -> int | None:
    """Return the number of a metric; None if there never was a reading of it."""
    row = connection.execute("SELECT metric FROM pulsebase.metric_numbers WHERE name = %s", [name]).fetchone()
    return None if row is None else int(row[0])


def device_of(connection: Connection, person: int, device_id: str) -> int | None:
    """Return the number of a person's device; None if they have none of this id."""
    asked = "SELECT device FROM pulsebase.device_numbers WHERE person = %s AND device_id = %s"
    row = connection.execute(asked, [person, device_id]).fetchone()
    return None if row is None else int(row[0])


def devices_of(connection: Connection, person: int) -> dict[int, str]:
    """Return the ids of a person's devices by number."""
    found = connection.execute("SELECT device, device_id FROM pulsebase.device_numbers WHERE person = %s", [person])
    return dict(found.fetchall())


def _people(connection: Connection, user_ids: Collection[str]) -> dict[str, int]:
    found = connection.execute(
        "SELECT user_id, person FROM pulsebase.person_numbers WHERE user_id = ANY(%s) FOR KEY SHARE", [list(user_ids)]
    )
    return dict(found.fetchall())


def _devices(connection: Connection, pairs: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    found = connection.execute(
        "SELECT person, device_id, device FROM pulsebase.device_numbers "
        "JOIN unnest(%s::bigint[], %s::text[]) AS asked (person, device_id) USING (person, device_id)",
        [[person for person, _ in pairs], [device_id for _, device_id in pairs]],
    )
    return {(person, device_id): device for person, device_id, device in found.fetchall()}


def _metrics(connection: Connection, names: Collection[str]) -> dict[str, int]:
    asked = "SELECT name, metric FROM pulsebase.metric_numbers WHERE name = ANY(%s)"
    known = dict(connection.execute(asked, [list(names)]).fetchall())
    if len(known) < len(set(names)):
        specs = [METRICS[name] for name in sorted(set(names) - known.keys())]
        connection.execute(
            "INSERT INTO pulsebase.metric_numbers (name, scale) "
            "SELECT * FROM unnest(%s::text[], %s::int[]) ON CONFLICT DO NOTHING",
            [[spec.name for spec in specs], [spec.scale for spec in specs]],
        )
        known = dict(connection.execute(asked, [list(names)]).fetchall())
    return known
