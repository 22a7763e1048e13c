"""Token buckets: a burst of requests at once, then a steady number a second."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

#: How many buckets of one kind are remembered. Beyond that the fullest half is dropped: a full bucket limits nobody.
_MOST_BUCKETS = 20_000


@dataclass(frozen=True, slots=True)
class TokenRate:
    """The capacity of a bucket in requests, and how fast it refills in requests a second."""

    burst: float
    per_s: float

    @property
    def window_s(self) -> int:
        """How many seconds an empty bucket takes to fill up."""
        return max(1, round(self.burst / self.per_s))


class TokenBuckets:
    """One bucket for each name, full at first. Used by one thread at a time."""

    def __init__(self, name: str, rate: TokenRate) -> None:
        self.name, self.rate = name, rate
        self._buckets: dict[Hashable, tuple[float, float]] = {}  # tokens, and the time they were counted

    def take(self, name: Hashable, now_s: float, count: int = 1) -> tuple[bool, float]:
        """Take tokens, all or none, at this time of a monotonic clock. Return whether there were enough, and how many
        are left.
        """
        rate = self.rate
        tokens, at_s = self._buckets.get(name, (rate.burst, now_s))
        tokens = min(rate.burst, tokens + (now_s - at_s) * rate.per_s)
        allowed = tokens >= count
        if allowed:
            tokens -= count
        if name not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._forget_full(now_s)
        self._buckets[name] = tokens, now_s
        return allowed, tokens

    def give_back(self, name: Hashable, count: int) -> None:
        """Put tokens back that were taken and not used."""
        if name in self._buckets:
            tokens, at_s = self._buckets[name]
            self._buckets[name] = min(self.rate.burst, tokens + count), at_s

    def next_in_s(self, tokens: float, count: int = 1) -> int:
        """Return in how many whole seconds there will be this many tokens."""
        return max(1, -int((tokens - count) / self.rate.per_s // 1))

    def _forget_full(self, now_s: float) -> None:
        """Drop the half of the buckets that is nearest to full, since a forgotten bucket counts as full."""

        def missing(name: Hashable) -> float:
            tokens, at_s = self._buckets[name]
            return self.rate.burst - tokens - (now_s - at_s) * self.rate.per_s

        for name in sorted(self._buckets, key=missing)[: _MOST_BUCKETS // 2]:
            del self._buckets[name]
