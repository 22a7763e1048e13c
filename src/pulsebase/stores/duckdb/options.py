"""What an owner may tune."""

from __future__ import annotations

from dataclasses import dataclass, field

from pulsebase.stores.duckdb.merge.merge import MergeBounds


@dataclass(frozen=True, slots=True)
class DuckdbOptions:
    """Limits and intervals of an embedded store.

    Attributes:
        memory_limit: the engine's, in DuckDB's notation.
        threads: the engine's.
        merge_readings: a merge starts once this many readings wait …
        merge_scattered: … or this many that lie more than an hour behind the newest, since each may touch an hour that
            queries then have to compute from raw …
        merge_interval_s: … or the oldest has waited this long.
        most_unmerged: with this many unmerged readings, writes wait for a merge.
        late_readings: readings for hours settled long ago are brought there once this many wait, or when the store
            is idle.
        bounds: of one merge.
        checkpoint_bytes: the engine's write-ahead log is brought into the file once it or the journal is larger.
    """

    memory_limit: str = "1GiB"
    threads: int = 2
    merge_readings: int = 2_000_000
    merge_scattered: int = 20_000
    merge_interval_s: float = 20.0
    most_unmerged: int = 8_000_000
    checkpoint_bytes: int = 32 << 20
    late_readings: int = 500_000
    bounds: MergeBounds = field(default_factory=MergeBounds)
