"""What an owner may tune. It does not import the database driver, so that naming options does not load it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pulsebase.stores.postgres.options import PoolOptions


@dataclass(frozen=True, slots=True)
class TimescaleOptions:
    """How a process uses the store.

    Attributes:
        pool: how connections are pooled.
        merge_readings: a merge starts once this many new readings wait …
        merge_interval_s: … or the oldest has waited this long.
        most_unmerged: with this many unmerged readings, writes wait for a merge.
        merge_at_once: a write of at least this many readings merges them itself, without staging them.
        hypertables: whether the database has the extension; False only for tests on plain PostgreSQL.
    """

    pool: PoolOptions = field(default_factory=PoolOptions)
    merge_readings: int = 50_000
    merge_interval_s: float = 20.0
    most_unmerged: int = 4_000_000
    merge_at_once: int = 50_000
    hypertables: bool = True


@dataclass(frozen=True, slots=True)
class Policies:
    """Background policies of the server.

    Attributes:
        compress_after_days: readings older than this are compressed; 0 for never.
    """

    compress_after_days: int = 30
