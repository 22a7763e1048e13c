"""Options of the store. This module does not import the database driver, so that reading options does not load it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are kept.

    Attributes:
        size: connections that are kept open.
        overflow: further ones that may be opened for a while.
        timeout_s: how long a request waits for one.
        recycle_s: the age at which one is replaced.
    """

    size: int = 4
    overflow: int = 16
    timeout_s: float = 10.0
    recycle_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class TimescaleOptions:
    """How a process uses the store.

    Attributes:
        pool: how connections are kept.
        merge_readings: a merge starts once this many new readings wait …
        merge_interval_s: … or the oldest has waited this long.
        most_unmerged: beyond so many unmerged readings writes wait for a merge.
        merge_at_once: so many readings in one write are merged by it, and not staged before.
        hypertables: whether the database has the extension. Only tests that run on plain PostgreSQL say no.
    """

    pool: PoolOptions = field(default_factory=PoolOptions)
    merge_readings: int = 50_000
    merge_interval_s: float = 20.0
    most_unmerged: int = 4_000_000
    merge_at_once: int = 50_000
    hypertables: bool = True


@dataclass(frozen=True, slots=True)
class Policies:
    """What the server does by itself.

    Attributes:
        compress_after_days: readings older than this are compressed; 0 for never.
    """

    compress_after_days: int = 30
