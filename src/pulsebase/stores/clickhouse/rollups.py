"""Rollups on one shard: minutes, hours and UTC days of what a merge has just put among the readings.

Who merges writes the readings first, then what they come to, and only then moves the mark. So whoever may see these
readings as merged ones finds their minutes, hours and days right. A merge that was overtaken by another one may write
rows late; they have a lower version than those of whoever merged more.
"""

from __future__ import annotations

_COLUMNS = ("n", "sum", "min", "max", "n_all", "first", "last", "first_origin", "last_origin")


def _nested(names: tuple[str, ...]) -> str:
    return ", ".join(f"`of.{name}`" for name in names)


def _unzipped(names: tuple[str, ...]) -> str:
    return ", ".join(f"tupleElement(found, {place})" for place in range(1, len(names) + 1))


def _zipped(names: tuple[str, ...]) -> str:
    """Write the expression for all devices of a row, as an array of tuples of these columns."""
    return f"arrayZip({', '.join(f'of.{name}' for name in names)})"


_OF_MINUTES = ("device", *_COLUMNS)
_OF_HOURS = ("present", "device", "minutes", *_COLUMNS)
#: Days tell what counted readings come to, and nothing else: overviews and origins go by hours.
_OF_DAYS = ("present", "device", "minutes", "n", "sum", "min", "max")

#: The minutes of all merged readings that meet a condition, each with its devices; none where nothing is left.
MINUTES_OF_READINGS = f"""
SELECT person, metric, minute, arraySort(groupArrayIf(({", ".join(_OF_MINUTES)}), n_all > 0)) AS found
FROM (
    SELECT person, metric, intDiv(time, 60000000) AS minute, device,
        countIf(gone = 0 AND confidence != 0) AS n,
        sumIf(toInt64(value), gone = 0 AND confidence != 0) AS sum,
        minIf(value, gone = 0 AND confidence != 0) AS min,
        maxIf(value, gone = 0 AND confidence != 0) AS max,
        countIf(gone = 0) AS n_all,
        minIf(time, gone = 0) AS first,
        maxIf(time, gone = 0) AS last,
        minIf(origin, gone = 0) AS first_origin,
        maxIf(origin, gone = 0) AS last_origin
    FROM readings FINAL
    WHERE {{which}}
    GROUP BY person, metric, minute, device
)
GROUP BY person, metric, minute
"""
#: The hours of all minutes that meet a condition.
HOURS_OF_MINUTES = f"""
SELECT person, metric, hour, arraySort(groupArrayIf(({", ".join(_OF_HOURS)}), n_all > 0)) AS found
FROM (
    SELECT person, metric, intDiv(minute, 60) AS hour, present, row.1 AS device,
        countIf(row.2 > 0) AS minutes,
        sum(row.2) AS n,
        sum(row.3) AS sum,
        minIf(row.4, row.2 > 0) AS min,
        maxIf(row.5, row.2 > 0) AS max,
        sum(row.6) AS n_all,
        minIf(row.7, row.6 > 0) AS first,
        maxIf(row.8, row.6 > 0) AS last,
        minIf(row.9, row.6 > 0) AS first_origin,
        maxIf(row.10, row.6 > 0) AS last_origin
    FROM (
        SELECT person, metric, minute, arrayFilter((d, counted) -> counted > 0, of.device, of.n) AS present,
            {_zipped(_OF_MINUTES)} AS found
        FROM minutes FINAL
        WHERE {{which}}
    )
    LEFT ARRAY JOIN found AS row
    GROUP BY person, metric, hour, present, device
)
GROUP BY person, metric, hour
"""
#: The days of all hours that meet a condition.
DAYS_OF_HOURS = f"""
SELECT person, metric, day, arraySort(groupArrayIf(({", ".join(_OF_DAYS)}), n > 0)) AS found
FROM (
    SELECT person, metric, intDiv(hour, 24) AS day, row.1 AS present, row.2 AS device,
        sum(row.3) AS minutes,
        sum(row.4) AS n,
        sum(row.5) AS sum,
        minIf(row.6, row.4 > 0) AS min,
        maxIf(row.7, row.4 > 0) AS max
    FROM (SELECT person, metric, hour, {_zipped(_OF_DAYS)} AS found FROM hours FINAL WHERE {{which}})
    LEFT ARRAY JOIN found AS row
    GROUP BY person, metric, day, present, device
)
GROUP BY person, metric, day
"""
#: What is kept of minutes, hours and days, as above.
KEPT_MINUTES = f"SELECT person, metric, minute, {_zipped(_OF_MINUTES)} AS found FROM minutes FINAL WHERE {{which}}"
KEPT_HOURS = f"SELECT person, metric, hour, {_zipped(_OF_HOURS)} AS found FROM hours FINAL WHERE {{which}}"
#: The same as far as counted readings go, by person and in the order of time.
COUNTED_HOURS = f"SELECT person, metric, hour, {_zipped(_OF_DAYS)} AS found FROM {{table}} FINAL WHERE {{which}}"
KEPT_DAYS = f"SELECT person, metric, day, {_zipped(_OF_DAYS)} AS found FROM days FINAL WHERE {{which}}"
#: The minutes in which the commits changed something.
_MINUTES = f"""
INSERT INTO minutes (person, metric, minute, {_nested(_OF_MINUTES)}, version)
SELECT person, metric, minute, {_unzipped(_OF_MINUTES)}, {{version}}
FROM ({MINUTES_OF_READINGS})
"""
_CHANGED_MINUTES = (
    "(person, metric, intDiv(time, 60000000)) IN "
    "(SELECT person, metric, intDiv(time, 60000000) FROM stage WHERE {inside})"
)
#: The hours of these minutes.
_HOURS = f"""
INSERT INTO hours (person, metric, hour, {_nested(_OF_HOURS)}, version)
SELECT person, metric, hour, {_unzipped(_OF_HOURS)}, {{version}}
FROM ({HOURS_OF_MINUTES})
"""
_CHANGED_HOURS = (
    "(person, metric, intDiv(minute, 60)) IN "
    "(SELECT person, metric, intDiv(time, 3600000000) FROM stage WHERE {inside})"
)

#: The days of these hours.
_DAYS = f"""
INSERT INTO {{table}} (person, metric, day, {_nested(_OF_DAYS)}, version)
SELECT person, metric, day, {_unzipped(_OF_DAYS)}, {{version}}
FROM ({DAYS_OF_HOURS})
"""
_CHANGED_DAYS = (
    "(person, metric, intDiv(hour, 24)) IN (SELECT person, metric, intDiv(time, 86400000000) FROM stage WHERE {inside})"
)
#: What `hours_by_time` has of these hours. New ones get there by themselves.
HOURS_BY_TIME = f"""
INSERT INTO hours_by_time (person, metric, hour, {_nested(_OF_DAYS)}, version)
SELECT person, metric, hour, {_nested(_OF_DAYS)}, version FROM hours WHERE {{which}}
"""


def statements(inside: str, version: int) -> list[str]:
    """Write the statements that bring rollups up to date after the staged rows that meet a condition were merged.

    `version` is the last commit of the merge.
    """
    return [
        each.format(which=which.format(inside=inside), version=version, table="days")
        for each, which in ((_MINUTES, _CHANGED_MINUTES), (_HOURS, _CHANGED_HOURS), (_DAYS, _CHANGED_DAYS))
    ]


def days_of_hours(table: str) -> str:
    """Write the statement that puts the days of the hours that meet a condition, `which`, into a table, as what any
    merge replaces.
    """
    return _DAYS.format(which="{which}", version=0, table=table)
