"""The fixtures of all laws: each test gets a harness with a new, empty store."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from pulsebase.model.metrics import METRICS
from pulsebase.stores.contract import Store
from pulsebase.testing.harness import Harness, testing_metric


class LawsOfOneStore:
    """The fixtures of the laws. Each test gets a new store."""

    @staticmethod
    def make_harness() -> Harness:
        """Yield the harness that the subclass of `StoreLaws` makes."""
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
        """Return the store, for tests that do not reopen it."""
        return harness.store
