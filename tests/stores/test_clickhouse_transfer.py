"""Everything moves into a cluster, and out of it again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsebase.stores.contract import Store
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.transfer import differences
from tests.stores.test_clickhouse import ClickHouseHarness
from tests.stores.test_transfer import copied, everything, fill, nothing


@pytest.fixture
def cluster() -> Iterator[Store]:
    harness = ClickHouseHarness()
    yield harness.store
    harness.discard()


def test_everything_moves_into_a_cluster_and_out_of_it(cluster: Store) -> None:
    source, back = MemoryStore(), MemoryStore()
    fill(source)
    cluster.register_origin("push", "elsewhere")  # so that the numbers of origins differ
    assert copied(source, cluster).readings == source.stored().num_rows
    copied(cluster, back)
    for store in (cluster, back):
        assert everything(store) == everything(source)
        assert store.users("", 10, None) == source.users("", 10, None)
        assert store.priorities("ann") == source.priorities("ann")
        assert list(differences(source, store, nothing)) == []
    assert cluster.check().problems == ()
