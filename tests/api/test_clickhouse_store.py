"""The API over a store on a cluster that is set up by the command, and then loses a shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pulsebase.stores.clickhouse.migrate import migrations
from tests.api.conftest import Api, reading
from tests.support.clickhouse.cluster import two_shards
from tests.support.postgres import plain_postgres
from tests.support.process import Place

ASKED = "/v1/timeseries?start_date=2024-01-15&end_date=2024-01-15&interval=1s&user_id="


def test_a_cluster_is_set_up_served_from_and_a_503_while_a_shard_is_gone(
    installed: Callable[..., Api], tmp_path: Path
) -> None:
    cluster = two_shards()
    urls = {
        "store_url": plain_postgres().bare_database(),
        "clickhouse_url": cluster.url_of("served_over_http"),
    }
    place = Place(tmp_path / "place", **urls)
    assert "run pulsebase db init" in place.run("check").stderr
    no_roles = "There are no separate roles for serving and monitoring; see the guide."
    said = [place.run("db", "init").stdout.strip() for _ in range(2)]
    assert said == [
        f"The database is set up (schema {migrations()[-1].number}).\n" + no_roles,
        "The database was set up already; nothing was changed.\n" + no_roles,
    ]
    unnamed = Place(tmp_path / "place", store_url=urls["store_url"]).run("check")
    assert "PULSEBASE_CLICKHOUSE_URL has to name it" in unnamed.stderr

    api = installed(**urls, pool_size=1, state_folder=tmp_path / "sources")
    people = ["ann", "bob"]  # who have the numbers 1 and 2, and so lie on different shards
    api.store(*(reading(f"2024-01-15T10:00:0{n}Z", 70 + n, user_id=person) for n in range(3) for person in people))
    for person in people:
        assert api.get(ASKED + person).json()["count"] == 3
    cluster.shards[0].kill()
    try:
        sent = api.post("/v1/metrics/heart-rate", json=reading("2024-01-15T10:00:07Z", user_id="bob"))
        answers = {person: api.get(ASKED + person) for person in people}
        health = api.get("/health")
    finally:
        cluster.shards[0].start()
    served = [person for person in people if answers[person].status_code == 200]
    assert len(served) == 1  # whose shard lives
    for refused in (sent if sent.status_code != 202 else health, *(answers[p] for p in people if p not in served)):
        assert refused.status_code == 503
    assert health.json()["checks"]["store"] == "unavailable"
