"""Large writes into days without stored readings, as an import of years or a copy brings them.

Most of the cost of a merge on the server is finding, sorting and grouping readings. A write with all the readings of
its days has them in memory, in order: it computes the rollups here, by the reference implementation of the bucket
algebra, and copies everything into place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import Ids
from pulsebase.model.rollups import (
    I16,
    I32,
    I64,
    Buckets,
    DeviceRanks,
    Mask,
    PriorityHistory,
    buckets_of_readings,
    floors,
    merged,
    winning_rows,
)
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US
from pulsebase.stores.postgres.binary_copy import Field, copy_in, laid_out, text, times
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.series_keys import parts_of

_QUARTER_US = 15 * MINUTE_US
#: Bits of a day since 1970: enough until the end of the year 9999.
_DAY_BITS = 22


@dataclass(frozen=True, slots=True)
class FreshReadings:
    """The readings of one series, by its key, each once, by index of the device in `devices`, then time."""

    series: str
    devices: list[str]
    device: I32
    time_us: I64
    value: I16
    confidence: npt.NDArray[np.int8]
    origin: I32


def of_fresh_days(connection: Connection, users: Ids, times_us: I64) -> Mask:
    """Say which readings are of days without stored readings of their series, and of a series without staged ones.
    `users` are keys of series.

    That stays so while the caller holds the lock of merges.
    """
    pairs, pair_of = np.unique((users.codes.astype(np.int64) << _DAY_BITS) | times_us // DAY_US, return_inverse=True)
    user_ids = [users.texts[code] for code in (pairs >> _DAY_BITS).tolist()]
    is_fresh = np.ones(len(pairs), np.bool_)
    is_fresh[_stored_days(connection, user_ids, (pairs & ((1 << _DAY_BITS) - 1)).tolist())] = False
    return is_fresh[pair_of]


def _stored_days(connection: Connection, user_ids: list[str], days: list[int]) -> npt.NDArray[np.intp]:
    """Return the indices of days that have stored readings of their series, or whose series has staged readings.

    Days are since 1970; each is of the series at the same index.
    """
    values = {"users": " ".join(user_ids), "days": days, "people": " ".join(sorted(set(user_ids)))}
    found = connection.execute(
        """
        WITH wanted AS (
            SELECT * FROM unnest(string_to_array(%(users)s, ' '), %(days)s::int[]) WITH ORDINALITY
                AS days (user_id, day, place)
        ),
        staged AS (
            SELECT user_id FROM string_to_table(%(people)s, ' ') AS people (user_id)
            WHERE EXISTS (SELECT FROM pulsebase.stage WHERE stage.user_id = people.user_id)
        )
        SELECT place::int FROM wanted JOIN pulsebase.d1_dev AS kept
            ON kept.user_id = wanted.user_id AND kept.start_at = TIMESTAMPTZ 'epoch' + day * INTERVAL '24 hours'
        UNION SELECT place::int FROM wanted JOIN staged USING (user_id)
        """,
        values,
        binary=True,
    ).fetchall()
    return np.array(sorted(place - 1 for (place,) in found), np.intp)


def put_rollups(connection: Connection, people: Iterator[FreshReadings]) -> None:
    """Store every rollup of whole days of series, given all readings of these days."""
    tables: dict[str, list[bytes]] = {"h1_dev": [], "d1_dev": [], "q15": [], "h1": [], "d1": []}
    for person in people:
        _device_rows(person, tables)
        quarters = _quarters(connection, person)
        hours = merged(quarters, floors(quarters.start_us, HOUR_US))
        days = merged(hours, floors(hours.start_us, DAY_US))
        for table, buckets in (("q15", quarters), ("h1", hours), ("d1", days)):
            fields = [text(person.series), times(buckets.start_us), *_numbers(buckets)]
            tables[table].append(laid_out(fields, len(buckets)))
    for table, blocks in tables.items():
        copy_in(connection, f"pulsebase.{table}", blocks)


def _quarters(connection: Connection, person: FreshReadings) -> Buckets:
    order = np.argsort(person.time_us, kind="stable")
    time_us, device, value = person.time_us[order], person.device[order], person.value[order]
    chosen = person.confidence[order] != 0
    if len(person.devices) > 1:
        ranks = DeviceRanks(range(len(person.devices)), person.devices.__getitem__)
        ranked = ranks.at(time_us, device, _history(connection, person))
        chosen = winning_rows(time_us // MINUTE_US, ranked, chosen)
    time_us = time_us[chosen]
    return buckets_of_readings(time_us, value[chosen], floors(time_us, _QUARTER_US))


def _history(connection: Connection, person: FreshReadings) -> PriorityHistory:
    found = connection.execute(
        "SELECT device_id, valid_from, priority FROM pulsebase.priorities "
        "WHERE user_id = %s AND device_id = ANY (%s) ORDER BY valid_from",
        [parts_of(person.series)[0], person.devices],
        binary=True,
    ).fetchall()
    history: dict[int, list[tuple[int, int | None]]] = {}
    for device_id, from_us, priority in found:
        history.setdefault(person.devices.index(device_id), []).append((from_us, priority))
    return history


def _device_rows(person: FreshReadings, tables: Mapping[str, list[bytes]]) -> None:
    """Compute the rows of `h1_dev` and `d1_dev`."""
    bounds = np.searchsorted(person.device, np.arange(len(person.devices) + 1))
    for device_id, first, end in zip(person.devices, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        rows = slice(first, end)
        time_us, origin, counted = person.time_us[rows], person.origin[rows], person.confidence[rows] != 0
        ids = [text(person.series), text(device_id)]
        hours_us = floors(time_us, HOUR_US)
        counts = buckets_of_readings(time_us[counted], person.value[rows][counted], hours_us[counted])
        tables["h1_dev"] += _extents(ids, time_us, origin, hours_us, counts)
        tables["d1_dev"] += _extents(ids, time_us, origin, floors(time_us, DAY_US), None)


def _extents(ids: list[Field], time_us: I64, origin: I32, start_us: I64, counts: Buckets | None) -> Iterator[bytes]:
    """Compute rows of one device's buckets: the counted readings, if given; how many there are, the first and the last;
    and the origin, if all have the same.
    """
    starts_us, first, lengths = np.unique(start_us, return_index=True, return_counts=True)
    spread = [] if counts is None else _spread(counts, np.searchsorted(starts_us, counts.start_us), len(starts_us))
    of_one = np.minimum.reduceat(origin, first) == np.maximum.reduceat(origin, first)
    last_us = time_us[first + lengths - 1]
    for rows, origins in ((of_one, origin[first][of_one]), (~of_one, None)):
        fields = [
            *ids,
            times(starts_us[rows]),
            *((kind, column[rows]) for kind, column in spread),
            (">i8", lengths[rows]),
            times(time_us[first][rows]),
            times(last_us[rows]),
            (">i4", origins),
        ]
        yield laid_out(fields, int(rows.sum()))


def _spread(buckets: Buckets, places: npt.NDArray[np.intp], count: int) -> list[tuple[str, npt.NDArray[np.int64]]]:
    """Place the values of buckets at their indices in a column of this length, with zeros elsewhere."""
    spread = []
    for kind, column in _numbers(buckets):
        full = np.zeros(count, np.int64)
        full[places] = column
        spread.append((kind, full))
    return spread


def _numbers(buckets: Buckets) -> list[tuple[str, I64 | I16]]:
    return [
        (">i8", buckets.count),
        (">i8", buckets.sum),
        (">i2", buckets.min),
        (">i2", buckets.max),
        (">i8", buckets.minutes),
    ]
