"""What every law is given: a harness with an empty store of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsebase.stores.contract import Store
from pulsebase.testing.harness import Harness


class LawsOfOneStore:
    """The fixtures of the laws. Each test gets a store of its own."""

    @staticmethod
    def make_harness() -> Harness:
        """What the subclass of `StoreLaws` gave as `harness`."""
        raise NotImplementedError

    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        harness = self.make_harness()
        yield harness
        harness.discard()

    @pytest.fixture
    def store(self, harness: Harness) -> Store:
        """The store, for tests that do not reopen it."""
        return harness.store
