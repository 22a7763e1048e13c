"""Token buckets."""

from __future__ import annotations

import pytest

from pulsebase.access import rate_limits as limits
from pulsebase.access.rate_limits import TokenBuckets, TokenRate


def test_a_bucket_gives_its_burst_and_then_as_it_fills() -> None:
    buckets = TokenBuckets("key", TokenRate(3, 2))
    assert [buckets.take("a", 0)[0] for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b", 0) == (True, 2)
    assert not buckets.take("a", 0.4)[0]
    assert buckets.take("a", 0.5)[0]
    assert [buckets.take("a", 100)[0] for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("tokens", "per_s", "wait_s"), [(0, 1, 1), (0.5, 1, 1), (0, 0.5, 2), (0.9, 0.01, 10), (0, 9, 1)]
)
def test_how_long_to_wait_is_told_in_whole_seconds(tokens: float, per_s: float, wait_s: int) -> None:
    assert TokenBuckets("key", TokenRate(10, per_s)).next_in_s(tokens) == wait_s


def test_buckets_are_bounded_and_the_emptiest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_BUCKETS", 10)
    buckets = TokenBuckets("address", TokenRate(2, 1))
    while buckets.take("flood", 0)[0]:
        pass
    for number in range(100):
        buckets.take(number, 0)
    assert len(buckets._buckets) <= 10
    assert not buckets.take("flood", 0)[0]
