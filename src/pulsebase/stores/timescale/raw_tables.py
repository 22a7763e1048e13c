"""The tables of merged readings: heart rate's, which people's own SQL knows, and that of all other metrics.

Statements about readings of whatever metric read both, by a search in each; those about one series read its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pulsebase.model.metrics import HEART_RATE
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.series_keys import is_of_heart_rate, of_heart_rate
from pulsebase.stores.timescale.rollup_sql import APART


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table of merged readings.

    Attributes:
        schema: where it is.
        name: its name there.
        value: the column of values.
        as_v: the expression for the value in stored units.
        from_v: the expression for what the column gets, from stored units in a column `v`.
        has_keys: the condition that the key `user_id` of a series is one of this table's.
    """

    schema: str
    name: str
    value: str
    as_v: str
    from_v: str
    has_keys: str

    @property
    def full_name(self) -> str:
        """The name with the schema."""
        return f"{self.schema}.{self.name}"

    @property
    def columns(self) -> str:
        """The columns in the order in which they are written."""
        return f"(timestamp, {self.value}, user_id, device_id, confidence, origin)"


HEART_RATES = RawTable(
    "public", "activities_heart_intraday", "value", "(i.value * 100)::smallint", "v * 0.01", of_heart_rate()
)
OTHERS = RawTable("pulsebase", "other_readings", "v", "i.v", "v", f"NOT {of_heart_rate()}")
RAW_TABLES = (HEART_RATES, OTHERS)


def table_of(metric: str) -> RawTable:
    """Return the table with the readings of a metric."""
    return HEART_RATES if metric == HEART_RATE.name else OTHERS


def tables_of(keys: Iterable[str]) -> Sequence[RawTable]:
    """Return the tables with the readings of these series."""
    found = {is_of_heart_rate(key) for key in keys}
    return [table for table in RAW_TABLES if (table is HEART_RATES) in found]


def readings(condition: str, tables: Sequence[RawTable] = RAW_TABLES) -> str:
    """Write the query for readings, `i`, of these tables: `user_id`, `device_id`, `timestamp`, `v`, `confidence` and
    `origin`. In a lateral subquery each table is searched by its index.
    """
    return " UNION ALL ".join(
        f"(SELECT i.user_id, i.device_id, i.timestamp, {table.as_v} AS v, i.confidence, i.origin "
        f"FROM {table.full_name} AS i WHERE {condition} {APART})"
        for table in tables
    )


def count(connection: Connection, condition: str = "true", values: Sequence[object] = ()) -> int:
    """Count the merged readings of every metric for which a condition holds."""
    row = connection.execute(
        "SELECT " + " + ".join(f"(SELECT count(*) FROM {table.full_name} WHERE {condition})" for table in RAW_TABLES),
        list(values) * len(RAW_TABLES),
        binary=True,
    ).fetchone()
    return int(row[0]) if row else 0
