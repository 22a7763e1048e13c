"""A whole installation behind an HTTP client: real parts, put together the way the program does it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pulsebase.settings import Settings
from pulsebase.wiring import BuiltServer, build
from tests.support.in_process import InProcessClient
from tests.support.stores import named_store


class Api(InProcessClient):
    """An HTTP client of an installation, and the installation."""

    def __init__(self, parts: BuiltServer, client: tuple[str, int] = ("127.0.0.1", 50000)) -> None:
        super().__init__(parts.app, client=client)
        self.parts = parts

    def store(self, *readings: dict[str, Any]) -> None:
        """Send readings in batches; all of them must be taken."""
        for first in range(0, len(readings), 1000):
            part = list(readings[first : first + 1000])
            answer = self.post("/v1/metrics/heart-rate/batch", json={"readings": part})
            assert answer.status_code == 202, answer.text
            assert answer.json()["accepted"] == len(part)


def reading(timestamp: str = "2024-01-15T10:00:00Z", heart_rate: Any = 75, **fields: Any) -> dict[str, Any]:
    return {"device_id": "device_a", "user_id": "ann", "timestamp": timestamp, "heart_rate": heart_rate} | fields


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Makes installations that are taken down after the test; over memory if no store is named, or the store of which
    `PULSEBASE_TEST_API_STORE` says that every test here is to run over it.
    """
    with ExitStack() as closing:

        def make(**settings: Any) -> Api:
            if "store_url" not in settings:
                settings = named_store(os.environ.get("PULSEBASE_TEST_API_STORE", "memory"), tmp_path) | settings
            return Api(closing.enter_context(build(Settings(_env_file=None, **settings))))

        yield make


@pytest.fixture
def api(installed: Callable[..., Api]) -> Api:
    return installed()


@pytest.fixture(params=["memory", "duckdb", "timescale"])
def any_api(request: pytest.FixtureRequest, installed: Callable[..., Api], tmp_path: Path) -> Api:
    """An installation over each store."""
    return installed(**named_store(request.param, tmp_path))
