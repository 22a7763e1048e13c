"""Raw readings expire a number of days after they were taken; what they came to stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsebase.model.timerange import DAY_US
from pulsebase.settings import Settings
from pulsebase.wiring import build
from tests.api.conftest import Api, reading
from tests.stores.harness import at
from tests.support.process import wait_until

#: In the middle of a day; what is kept for two days is kept from the 13th on.
NOW_US = at("2024-01-15T12:00:00")
OLD, EDGE, NEW = "2024-01-12T23:59:59.999999Z", "2024-01-13T00:00:00Z", "2024-01-15T10:00:00Z"
LATE = "before_retention: readings are kept from 2024-01-13T00:00:00Z on"


def hours(api: Api) -> Any:
    asked = "/v1/timeseries?user_id=ann&start_date=2024-01-10&end_date=2024-01-15"
    return [api.get(f"{asked}&interval={rung}").json()["columns"] for rung in ("15m", "1h", "1d")]


@pytest.mark.parametrize("kind", ["memory", "duckdb"])
def test_old_readings_are_refused_and_expire_while_their_hours_stay(tmp_path: Path, kind: str) -> None:
    url = "memory://" if kind == "memory" else f"duckdb:///{tmp_path / 'readings.duckdb'}"
    clock = [NOW_US - 10 * DAY_US]
    with build(Settings(_env_file=None, store_url=url, retention_days=2), now_us=lambda: clock[0]) as parts:
        api = Api(parts)
        clock[0] = at("2024-01-13T12:00:00")
        api.store(reading(OLD), reading(EDGE))
        clock[0] = NOW_US
        api.store(reading(NEW))
        before = hours(api)
        refused = api.post("/v1/metrics/heart-rate/batch", json={"readings": [reading(OLD, 99), reading(EDGE)]}).json()
        assert refused["errors"] == [{"index": 0, "field": "timestamp", "reason": LATE}]
        retention = parts.services.retention
        assert [retention.apply(dry_run=True).readings for _ in range(2)] == [1, 1]
        assert parts.store.stored().num_rows == 3
        assert retention.apply().readings == 1
        assert retention.apply().readings == 0
        assert hours(api) == before
        assert sorted(parts.store.stored()["time_us"].to_pylist()) == [at("2024-01-13T00:00:00"), NOW_US - DAY_US // 12]
        assert (
            api.get("/v1/timeseries?user_id=ann&start_date=2024-01-12&end_date=2024-01-12&interval=raw").json()[
                "columns"
            ]["timestamp"]
            == []
        )
        assert api.get("/v1/users/ann").json()["readings"] == 3
        assert parts.store.check().problems == ()


def test_they_expire_by_themselves_and_stay_away_when_they_are_kept_for_ever_again(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'readings.duckdb'}"
    with build(Settings(_env_file=None, store_url=url), now_us=lambda: NOW_US) as parts:
        Api(parts).store(reading(OLD), reading(NEW))
    with build(Settings(_env_file=None, store_url=url, retention_days=2), now_us=lambda: NOW_US) as parts:
        wait_until(lambda: parts.store.stored().num_rows == 1, "the old one expired")
    with build(Settings(_env_file=None, store_url=url), now_us=lambda: NOW_US) as parts:
        (error,) = Api(parts).post("/v1/metrics/heart-rate", json=reading(OLD)).json()["errors"]
        assert error["reason"] == LATE
        Api(parts).store(reading(EDGE))


def test_readings_are_kept_for_ever_unless_something_else_is_said(installed: Callable[..., Api]) -> None:
    api = installed()
    api.store(reading("1970-01-01T00:00:00Z"))
    assert api.parts.services.retention.apply().readings == 0
    assert api.parts.services.retention.horizon_us() == 0
