"""The keys of series: a person and a metric in one text, by which readings and rollups are kept.

What holds for one series (identity, which device wins a minute) then needs no second key. A series of heart rate has
the person's id as its key, as in databases from before there were other metrics. In the database the column of the
stage, the raw readings and the rollups is called `user_id`; people, devices, priorities and summaries are by the plain
id. `pulsebase.series` lists the series of other metrics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from pulsebase.model.metrics import HEART_RATE, METRICS, require_known
from pulsebase.model.readings import Ids
from pulsebase.stores.postgres.database import Connection

#: Stands between the id and the metric. No id contains it, and it sorts before everything that ids contain, so that the
#: series of a person lie together.
_BETWEEN = "\x1f"
_BETWEEN_SQL = "chr(31)"


def key_of(user_id: str, metric: str) -> str:
    """Return the key of a person's series."""
    return user_id if metric == HEART_RATE.name else f"{user_id}{_BETWEEN}{metric}"


def parts_of(key: str) -> tuple[str, str]:
    """Return the person's id and the metric of a key."""
    user_id, _, metric = key.partition(_BETWEEN)
    return user_id, metric or HEART_RATE.name


def is_of_heart_rate(key: str) -> bool:
    """Whether the key is that of a series of heart rate."""
    return _BETWEEN not in key


def keyed(users: Ids, metric: str) -> Ids:
    """Turn a column of people's ids into one of the keys of their series."""
    if metric == HEART_RATE.name:
        return users
    used, codes = np.unique(users.codes, return_inverse=True)
    return Ids(codes.astype(np.int32), [key_of(users.texts[code], metric) for code in used.tolist()])


def keys_of(connection: Connection, user_ids: Collection[str], metrics: Collection[str] | None = None) -> Sequence[str]:
    """Return the keys of all series that these people have or had, of these metrics or of all."""
    rows = connection.execute(
        "SELECT key FROM pulsebase.series WHERE user_id = ANY(%s) AND (%s::text[] IS NULL OR metric = ANY(%s))",
        [list(user_ids), *[None if metrics is None else list(metrics)] * 2],
        binary=True,
    ).fetchall()
    hearts = user_ids if metrics is None or HEART_RATE.name in metrics else ()
    return [*hearts, *(key for (key,) in rows)]


def register_series(connection: Connection, keys: Iterable[str]) -> None:
    """Register the missing ones of series and their metrics."""
    others = [key for key in sorted(keys) if not is_of_heart_rate(key)]
    if not others:
        return
    parts = [parts_of(key) for key in others]
    register_metrics(connection, {metric for _, metric in parts})
    connection.execute(
        "INSERT INTO pulsebase.series SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) AS new (key) "
        "WHERE NOT EXISTS (SELECT FROM pulsebase.series AS old WHERE old.key = new.key) ON CONFLICT DO NOTHING",
        [others, [user_id for user_id, _ in parts], [metric for _, metric in parts]],
    )


def register_metrics(connection: Connection, metrics: Collection[str]) -> None:
    """Register the missing ones of metrics."""
    specs = [METRICS[metric] for metric in sorted(set(metrics))]
    connection.execute(
        "INSERT INTO pulsebase.metrics SELECT * FROM unnest(%s::text[], %s::text[], %s::int[]) AS new (metric) "
        "WHERE NOT EXISTS (SELECT FROM pulsebase.metrics AS old WHERE old.metric = new.metric) ON CONFLICT DO NOTHING",
        [[spec.name for spec in specs], [spec.unit for spec in specs], [spec.scale for spec in specs]],
    )


def require_known_metrics(connection: Connection) -> None:
    """Refuse a database with a metric that this version does not know, or keeps in other units.

    Raises:
        StoreVersionError: it has one; the message names it.
    """
    for metric, scale in connection.execute("SELECT metric, scale FROM pulsebase.metrics ORDER BY metric").fetchall():
        require_known(metric, scale, "the database")


def person_of(column: str = "user_id") -> str:
    """Write the expression for the id of the person of a key."""
    return f"split_part({column}, {_BETWEEN_SQL}, 1)"


def metric_of(column: str = "user_id") -> str:
    """Write the expression for the metric of a key."""
    return f"coalesce(nullif(split_part({column}, {_BETWEEN_SQL}, 2), ''), '{HEART_RATE.name}')"


def of_heart_rate(column: str = "user_id") -> str:
    """Write the condition that a key is that of a series of heart rate."""
    return f"strpos({column}, {_BETWEEN_SQL}) = 0"
