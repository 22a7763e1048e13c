"""A disk without room: refusals that say so, nothing acknowledged is lost, and service again once there is room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.stores.duckdb.engine import database
from pulsebase.stores.duckdb.engine.database import Database
from tests.support.disk import SmallDisk, mounted
from tests.support.process import Place, Server, reading, serving, wait_until

BATCH = 1000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", "size=24m") as disk:
        yield disk


def batch(number: int) -> list[dict[str, object]]:
    return [reading("ann", number * BATCH + step, 60 + number) for step in range(BATCH)]


def stored(server: Server) -> int:
    return len(server.raw("ann"))


def test_a_full_disk_refuses_keeps_what_it_has_and_resumes(disk: SmallDisk) -> None:
    place = Place(disk.folder, merge_interval_s="3600")
    with serving(place) as server:
        accepted = 0
        disk.fill(left_bytes=5 * BATCH * 23)
        for number in range(10):
            answer = server.post(batch(number))
            if answer.status_code != 202:
                break
            accepted += BATCH
        assert answer.status_code == 503
        assert "the disk is full" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0
        assert stored(server) == accepted > 0

        single = server.client.post("/v1/metrics/heart-rate", json=reading("ann", 20 * BATCH))
        assert single.status_code in (202, 503)  # there may be room for one
        accepted += single.status_code == 202
        assert stored(server) == accepted

        disk.make_room()
        assert server.post(batch(number)).status_code == 202
        accepted += BATCH
        assert stored(server) == accepted
        server.kill()
    with serving(place) as server:
        assert stored(server) == accepted
    assert f"{accepted:,} readings" in place.run("check").stdout


def test_a_disk_that_fills_up_in_a_merge_costs_nothing_but_time(disk: SmallDisk) -> None:
    place = Place(disk.folder, merge_interval_s="0.05")
    with serving(place) as server:
        disk.fill(left_bytes=BATCH * 30)
        assert server.post(batch(0)).status_code == 202
        wait_until(lambda: server.metric("pulsebase_store_merge_failures") > 0, "a merge that fails")
        assert server.client.get("/health").status_code == 200
        assert stored(server) == BATCH

        disk.make_room()
        wait_until(lambda: server.metric("pulsebase_store_unmerged_readings") == 0, "a merge that succeeds")
        assert server.post(batch(1)).status_code == 202
        assert stored(server) == 2 * BATCH
        assert "No space left" not in server.client.get("/v1/users").text
    done = place.run("check")
    assert (done.returncode, "The store is sound." in done.stdout) == (0, True), done


def test_a_start_on_a_full_disk_is_refused_in_one_line(disk: SmallDisk) -> None:
    place = Place(disk.folder, merge_interval_s="3600")
    with serving(place) as server:
        assert server.post(batch(0)).status_code == 202
        assert server.stop() == 0
    disk.fill()
    line = place.refusal("query", "ann", "2024-01-01", "2024-01-01")
    assert "No space left on device" in line
    disk.make_room()
    with serving(place) as server:
        assert stored(server) == BATCH


def test_a_checkpoint_that_breaks_the_engine_is_got_over(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_CHECKPOINT_ROOM_BYTES", -(1 << 40))  # or it would not be tried
    opened = Database(disk.folder / "store.duckdb", memory_limit="256MiB", threads=1)
    with opened.writing() as connection:
        connection.execute("CREATE TABLE kept AS SELECT hash(i) AS h FROM range(100000) AS r(i)")
    disk.fill()
    with pytest.raises(StoreUnavailableError, match="the disk is full"):
        opened.checkpoint()
    with pytest.raises(StoreUnavailableError, match="opened again"), opened.reading():
        pass
    disk.make_room()
    with opened.writing() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
    with opened.reading() as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchall() == [(100_001,)]
    opened.checkpoint()
    opened.close()


def test_a_checkpoint_waits_for_room(disk: SmallDisk, caplog: pytest.LogCaptureFixture) -> None:
    opened = Database(disk.folder / "store.duckdb", memory_limit="256MiB", threads=1)
    with opened.writing() as connection:
        connection.execute("CREATE TABLE kept AS SELECT hash(i) AS h FROM range(100000) AS r(i)")
    disk.fill()
    opened.checkpoint()
    assert "the write-ahead log stays as it is" in caplog.text
    assert opened.size_of_log() > 0
    disk.make_room()
    opened.checkpoint()
    assert opened.size_of_log() == 0
    opened.close()
