"""How a process uses the store. It imports no driver, so that naming options loads none."""

from __future__ import annotations

from dataclasses import dataclass, field

from pulsebase.stores.postgres.options import PoolOptions


@dataclass(frozen=True, slots=True)
class ClickHouseOptions:
    """What may be tuned.

    Attributes:
        pool: connections to PostgreSQL.
        insert_limit_s: an insertion that takes longer is given up.
        commit_lasts_s: after so long a commit that nobody has ended is given up; longer than an insertion may take.
            Those of a process that died are given up after seconds, if PostgreSQL sees that its sessions have ended.
        question_limit_s: the longest that one question may take.
        grace_s: how long a commit has been decided before it is merged, and merged before its rows leave the stage.
            Questions that are answered in less never have to be asked again.
        lease_s: so long after the death of the process that merges, another one takes over; longer than one step.
        merge_readings: about the most staged readings that one merge takes; fewer after one that took a shard too long.
        merge_interval_s: how often each process looks whether something is to be merged.
        clean_interval_s: how often rows of deleted readings are looked for among the merged ones …
        clean_readings: … which go where a shard has so many of them in a month.
        most_unmerged: with this many unmerged readings, writes wait for merges; with a quarter of them, readings are
            merged after a tenth of the grace.
    """

    pool: PoolOptions = field(default_factory=PoolOptions)
    insert_limit_s: float = 30.0
    commit_lasts_s: float = 90.0
    question_limit_s: float = 60.0
    grace_s: float = 10.0
    lease_s: float = 120.0
    merge_readings: int = 2_000_000
    merge_interval_s: float = 1.0
    clean_interval_s: float = 600.0
    clean_readings: int = 10_000
    most_unmerged: int = 16_000_000
