"""What every law is given: a harness with an empty store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from pulsebase.model.metrics import METRICS
from pulsebase.stores.contract import Store
from pulsebase.testing.harness import Harness, testing_metric


class LawsOfOneStore:
    """The fixtures of the laws. Each test gets a store of its own."""

    @staticmethod
    def make_harness() -> Harness:
        """What the subclass of `StoreLaws` gave as `harness`."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _metric(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Test the law with a metric drawn at random, the same one each time the test runs."""
        with testing_metric(Random(request.node.nodeid).choice(sorted(METRICS))):
            yield

    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        harness = self.make_harness()
        yield harness
        harness.discard()

    @pytest.fixture
    def store(self, harness: Harness) -> Store:
        """The store, for tests that do not reopen it."""
        return harness.store
