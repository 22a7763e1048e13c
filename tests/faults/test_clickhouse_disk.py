"""The disk of one shard is full: whoever lies there is told so, is answered all the same, and nobody else notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2 as httpx
from starlette.testclient import TestClient

from pulsebase.settings import Settings
from pulsebase.wiring import build
from tests.support.clickhouse.cluster import Cluster
from tests.support.clickhouse.store import new_store
from tests.support.disk import mounted

MIB = 1 << 20
#: They have the numbers 1 and 2, and so lie on the second and the first shard.
ANN, BOB = "ann", "bob"
ASKED = {"start_date": "2024-01-15", "end_date": "2024-01-15", "interval": "raw"}


def sent(client: httpx.Client, person: str, minute: int) -> httpx.Response:
    times = [f"2024-01-15T10:{minute:02}:{second:02}Z" for second in range(60)]
    readings: list[dict[str, Any]] = [
        {"device_id": "strap", "user_id": person, "timestamp": time, "heart_rate": 70} for time in times
    ]
    return client.post("/v1/metrics/heart-rate/batch", json={"readings": readings})


def count_of(client: httpx.Client, person: str) -> int:
    answer = client.get("/v1/timeseries", params=ASKED | {"user_id": person})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["count"])


def test_a_shard_whose_disk_is_full_refuses_its_people_and_nobody_else(tmp_path: Path) -> None:
    with mounted(tmp_path / "shard_1", f"size={64 * MIB}") as disk:
        cluster = Cluster(tmp_path, 2)
        try:
            urls = new_store(cluster)
            settings = Settings(
                _env_file=None, store_url=urls.postgres, clickhouse_url=urls.cluster, state_folder=tmp_path / "sources"
            )
            with build(settings) as parts, TestClient(parts.app, base_url="http://localhost") as client:
                assert [sent(client, person, 0).status_code for person in (ANN, BOB)] == [202, 202]
                disk.fill()
                refused = sent(client, ANN, 1)
                assert (refused.status_code, refused.json()["type"]) == (503, "urn:pulsebase:problem:disk-full")
                assert "a disk of the cluster is full" in refused.json()["detail"]
                assert int(refused.headers["retry-after"]) > 0
                assert sent(client, BOB, 1).status_code == 202
                assert (count_of(client, ANN), count_of(client, BOB)) == (60, 120)
                disk.make_room()
                assert sent(client, ANN, 2).status_code == 202
                assert (count_of(client, ANN), count_of(client, BOB)) == (120, 120)
                parts.store.settle()
                assert parts.store.check().problems == ()
        finally:
            cluster.stop()
