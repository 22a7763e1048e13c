"""The API over a server store whose server is set up by the command, and then goes away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pulsebase.stores.timescale.migrate import migrations
from tests.api.conftest import Api, reading
from tests.support.postgres import Timescale
from tests.support.process import Place


def test_a_server_that_is_gone_is_a_503_that_says_when_to_try_again(
    installed: Callable[..., Api], tmp_path: Path
) -> None:
    server = Timescale()
    try:
        place = Place(tmp_path / "place", store_url=server.url)
        too_early = place.run("check")
        assert too_early.stderr.strip() == (
            "pulsebase: the database is not set up for Pulsebase: run pulsebase db init"
        )
        no_roles = "There are no separate roles for serving and monitoring; see the guide."
        said = [place.run("db", "init").stdout.strip() for _ in range(2)]
        newest = migrations()[-1].number
        assert said == [
            f"The database is set up (schema {newest}).\n" + no_roles,
            "The database was set up already; nothing was changed.\n" + no_roles,
        ]
        api = installed(store_url=server.url, pool_size=1, pool_timeout_s=0.5, state_folder=tmp_path / "sources")
        api.store(reading(), reading("2024-01-15T10:00:01Z", 76.5))
        asked = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
        assert api.get(asked).json()["count"] == 1
    finally:
        server.stop()
    sent = api.post("/v1/metrics/heart-rate", json=reading("2024-01-15T10:00:02Z"))
    for refused in (sent, api.get(asked), api.get("/v1/users")):
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["type"] == "urn:pulsebase:problem:unavailable"
        assert "any@" not in refused.text
    health = api.get("/health")
    assert (health.status_code, health.json()["checks"]["store"]) == (503, "unavailable")
    assert "pulsebase_store_merges" in api.get("/metrics").text


def test_setting_up_is_for_server_stores(tmp_path: Path) -> None:
    place = Place(tmp_path / "place")
    refused = place.run("db", "init")
    assert refused.returncode == 1
    assert "other stores set themselves up" in refused.stderr
