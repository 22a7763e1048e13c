"""A person is erased over HTTP: at once from every answer, soon from every file, and nothing brings them back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pulsebase.model.users import User
from pulsebase.settings import Settings
from pulsebase.sources.oauth import TokenPair
from pulsebase.stores import erasures
from pulsebase.stores.duckdb.store import DuckdbStore
from pulsebase.stores.erasures import Erasure, mark_of
from pulsebase.wiring import build
from tests.api.conftest import Api, reading
from tests.faults.test_scrub_kill import files_with
from tests.support.process import wait_until

#: Found nowhere but where the tests write them.
ID, NAME, TOKEN = "person-to-be-forgotten", "Forgettable Fortescue", "access-token-to-be-forgotten"


@pytest.fixture
def durable(installed: Callable[..., Api], tmp_path: Path) -> Api:
    return installed(store_url=f"duckdb:///{tmp_path / 'readings.duckdb'}")


def erased(api: Api, user_id: str) -> dict[str, Any]:
    """The receipt of an erasure that came to its end."""
    answer = api.delete(f"/v1/users/{user_id}")
    assert answer.status_code == 200, answer.text
    return finished(api, answer.json())


def finished(api: Api, receipt: dict[str, Any]) -> dict[str, Any]:
    shown = receipt

    def is_scrubbed() -> bool:
        nonlocal shown
        shown = api.get(f"/v1/erasures/{receipt['erasure_id']}").json()
        return bool(shown["stage"] == "scrubbed")

    wait_until(is_scrubbed, "no file has them")
    return shown


def refusal(api: Api, *readings: dict[str, Any]) -> str:
    (error,) = api.post("/v1/metrics/heart-rate/batch", json={"readings": readings}).json()["errors"]
    return f"{error['field']} {error['reason']}"


def test_an_erasure_goes_through_its_stages_and_its_receipt_names_nobody(any_api: Api) -> None:
    any_api.put(f"/v1/users/{ID}", json={"name": NAME})
    any_api.put(f"/v1/users/{ID}/devices/strap/priority", json={"priority": 1})
    any_api.store(reading(user_id=ID), reading("2024-01-15T10:00:01Z", user_id=ID), reading(user_id="bob"))
    asked = any_api.delete(f"/v1/users/{ID}").json()
    assert asked["stage"] in ("hidden", "scrubbed")
    assert asked["deleted"] == {
        "readings": 2,
        "devices": 2,
        "priorities": 1,
        "summaries": 0,
        "annotations": 0,
        "connections": 0,
    }
    receipt = finished(any_api, asked)
    assert receipt["requested_at"] <= receipt["hidden_at"] <= receipt["scrubbed_at"]
    assert any("backup" in place for place in receipt["out_of_reach"])
    assert receipt["problem"] is None
    assert any_api.get("/v1/erasures").json() == {"data": [receipt]}
    assert ID not in any_api.get("/v1/erasures").text
    assert any_api.get(f"/v1/users/{ID}").status_code == 404
    assert any_api.get("/v1/users/bob").json()["readings"] == 1
    assert any_api.get("/v1/erasures/unknown").status_code == 404


def test_nothing_brings_somebody_back_but_an_explicit_word(any_api: Api) -> None:
    any_api.store(reading(user_id=ID))
    any_api.delete(f"/v1/users/{ID}")
    erased_users = "user_id belongs to somebody who was erased"
    assert refusal(any_api, reading(user_id="bob"), reading(user_id=ID)) == erased_users
    assert any_api.post("/v1/metrics/heart-rate", json=reading(user_id=ID)).status_code == 400
    bulk = f"user_id,device_id,timestamp,heart_rate\n{ID},strap,2024-01-15T10:00:00Z,70\n"
    assert (
        erased_users.split(" ", 1)[1]
        in any_api.post("/v1/metrics/heart-rate/bulk", content=bulk, headers={"Content-Type": "text/csv"}).text
    )
    for method, path, body in (
        ("POST", "/v1/users", {"user_id": ID}),
        ("PUT", f"/v1/users/{ID}", {}),
        ("GET", f"/v1/sources/fitbit/authorize?user_id={ID}", None),
    ):
        answer = any_api.request(method, path, json=body, follow_redirects=False)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:pulsebase:problem:erased"), path
    assert any_api.get(f"/v1/users/{ID}").status_code == 404
    assert any_api.delete(f"/v1/users/{ID}").status_code == 404
    assert any_api.post("/v1/users/nobody/allow").status_code == 404
    assert any_api.post(f"/v1/users/{ID}/allow").json() == {"user_id": ID}
    any_api.store(reading(user_id=ID))
    assert any_api.get(f"/v1/users/{ID}").json()["readings"] == 1


def test_erasing_somebody_whose_readings_stream_in_leaves_no_row_and_no_byte(durable: Api, tmp_path: Path) -> None:
    services = durable.parts.services
    durable.put(f"/v1/users/{ID}", json={"name": NAME})
    sealed = services.connections._tokens
    sealed.keep(ID, "fitbit", TokenPair(TOKEN, TOKEN, 1 << 60, None))
    services.sync.state.connect(ID, "fitbit", TOKEN, 1)
    services.ingestor.register_origin("sync", f"fitbit/{ID}")
    begun, done = threading.Event(), threading.Event()

    def push(start: int) -> None:
        count = start
        while not done.is_set():
            readings = [reading(format_second(count + n), user_id=user) for n in range(50) for user in (ID, "bob")]
            durable.post("/v1/metrics/heart-rate/batch", json={"readings": readings})
            count += 50
            begun.set()

    with ThreadPoolExecutor(2) as pool:
        pushing = [pool.submit(push, start) for start in (0, 40_000)]
        begun.wait(60)
        receipt = erased(durable, ID)
        done.set()
        for each in pushing:
            each.result()
    assert receipt["deleted"]["readings"] > 0
    durable.parts.store.settle()
    path = tmp_path / "readings.duckdb"
    # The erased person's number is 0: they came first.
    with durable.parts.services.embedded.parts.database.reading() as fresh:  # type: ignore[union-attr]
        assert fresh.execute("SELECT user_no, user_id FROM users ORDER BY user_no").fetchall() == [(0, ""), (1, "bob")]
        tables = fresh.execute("SELECT table_name FROM duckdb_columns() WHERE column_name = 'user_no'").fetchall()
        for (table,) in tables:
            if table != "users":
                assert fresh.execute(f"SELECT count(*) FROM {table} WHERE user_no = 0").fetchall() == [(0,)], table
    assert files_with(tmp_path, ID, NAME, TOKEN) == []
    assert durable.get("/v1/users/bob").json()["readings"] > 0
    assert durable.parts.store.check().problems == ()
    assert path.exists()


def format_second(count: int) -> str:
    return f"2024-01-15T{count // 3600:02d}:{count // 60 % 60:02d}:{count % 60:02d}Z"


def test_several_who_are_erased_at_once_are_all_scrubbed(durable: Api, tmp_path: Path) -> None:
    ids = [f"{ID}-{n}" for n in range(4)]
    durable.store(*(reading(user_id=user_id) for user_id in [*ids, "bob"]))
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda user_id: durable.delete(f"/v1/users/{user_id}").json(), ids))
    for receipt in receipts:
        assert finished(durable, receipt)["deleted"]["readings"] == 1
    assert files_with(tmp_path, ID) == []
    assert [each["user_id"] for each in durable.get("/v1/users").json()["data"]] == ["bob"]


@pytest.mark.parametrize(
    "at", ["pulsebase.stores.metered.MeteredStore.remove_user", "pulsebase.lifecycle.erasures.replace"]
)
def test_a_crash_in_the_middle_is_made_good_at_the_next_start(
    tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None, store_url=f"duckdb:///{tmp_path / 'readings.duckdb'}")

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with build(settings) as parts:
        Api(parts).store(reading(user_id=ID), reading(user_id="bob"))
        monkeypatch.setattr(at, crash)
        assert Api(parts).delete(f"/v1/users/{ID}").status_code == 500
    monkeypatch.undo()
    with build(settings) as parts:
        api = Api(parts)
        (receipt,) = api.get("/v1/erasures").json()["data"]
        finished(api, receipt)
        assert [each["user_id"] for each in api.get("/v1/users").json()["data"]] == ["bob"]
        assert files_with(tmp_path, ID) == []


def test_who_comes_back_with_a_restored_copy_is_erased_again(tmp_path: Path) -> None:
    path = tmp_path / "readings.duckdb"
    settings = Settings(_env_file=None, store_url=f"duckdb:///{path}")
    with build(settings) as parts:
        api = Api(parts)
        api.store(reading(user_id=ID), reading(user_id="bob"))
        erased(api, ID)
    older = DuckdbStore(path)
    older.put_user(User(ID, NAME))  # past everything that would refuse them
    older.close()
    with build(settings) as parts:
        api = Api(parts)
        wait_until(lambda: api.get(f"/v1/users/{ID}").status_code == 404, "they are erased again")
        wait_until(lambda: len(api.get("/v1/erasures").json()["data"]) == 2, "there is a receipt")
        for receipt in api.get("/v1/erasures").json()["data"]:
            finished(api, receipt)
        assert files_with(tmp_path, ID, NAME) == []


def test_an_erasure_during_a_backup_an_export_and_a_merge_comes_to_its_end(durable: Api, tmp_path: Path) -> None:
    durable.store(*(reading(format_second(n), user_id=user) for n in range(200) for user in (ID, "bob")))
    embedded = durable.parts.services.embedded
    assert embedded is not None
    with ThreadPoolExecutor(3) as pool:
        others: list[Future[Any]] = [
            pool.submit(embedded.backup, tmp_path.parent / f"{tmp_path.name} copy"),
            pool.submit(durable.get, "/v1/users/bob/export"),
            pool.submit(durable.parts.store.settle),
        ]
        receipt = erased(durable, ID)
        for other in others:
            other.result()
    assert receipt["deleted"]["readings"] == 200
    assert files_with(tmp_path, ID) == []
    assert durable.get("/v1/users/bob").json()["readings"] == 200


def test_what_keeps_bytes_in_a_file_is_said_in_the_receipt(
    durable: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pulsebase.stores.duckdb.engine.database._SWAP_PATIENCE_S", 0.01)
    durable.store(reading(user_id=ID), reading(user_id="bob"))
    durable.parts.store.settle()
    with durable.parts.services.embedded.parts.database.reading():  # type: ignore[union-attr]
        receipt = durable.delete(f"/v1/users/{ID}").json()
        shown = f"/v1/erasures/{receipt['erasure_id']}"
        wait_until(lambda: durable.get(shown).json()["problem"], "it is said")
        assert "question" in durable.get(shown).json()["problem"]
        assert durable.get(shown).json()["stage"] == "hidden"
    durable.parts.services.erasures._wake.set()
    assert finished(durable, receipt)["problem"] is None
    assert files_with(tmp_path, ID) == []


def test_the_log_has_neither_ids_nor_what_could_be_guessed_without_the_key(tmp_path: Path) -> None:
    log = erasures.SqliteErasureLog(tmp_path / "erasures.sqlite")
    try:
        first, second = mark_of(b"k" * 32, ID), mark_of(b"l" * 32, ID)
        assert first != second
        log.add(first, Erasure("a", 1))
        log.add(first, Erasure("b", 2, hidden_us=3, deleted={"readings": 4}))
        assert [each.erasure_id for each in log.receipts()] == ["b", "a"]
        assert log.find("b") == Erasure("b", 2, hidden_us=3, deleted={"readings": 4})
        assert log.marks() == {first}
        assert (log.allow(second), log.allow(first), log.allow(first)) == (False, True, False)
    finally:
        log.close()
    assert files_with(tmp_path, ID) == []


def test_a_database_file_is_one_after_it_was_written_anew(durable: Api, tmp_path: Path) -> None:
    """By the engine alone."""
    durable.store(reading(user_id=ID), reading(user_id="bob"))
    erased(durable, ID)
    durable.parts.store.settle()
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes((tmp_path / "readings.duckdb").read_bytes())
    with duckdb.connect(str(copy), read_only=True) as engine:
        assert engine.execute("SELECT count(*) FROM activities_heart_intraday").fetchall() == [(1,)]
