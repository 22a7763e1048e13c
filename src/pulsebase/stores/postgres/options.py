"""What an owner may tune of the connections. It does not import the driver, so that naming options does not load it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are pooled.

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
