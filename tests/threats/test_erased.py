"""Whoever reads what a server keeps and answers looks for somebody who was erased, by id and by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulsebase.access.scopes import NEEDS
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.model.users import User
from pulsebase.stores.erasures import Erasure
from tests.faults.test_scrub_kill import files_with
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, guarded, reading, zipped

#: Found nowhere but where the tests write them.
ID, NAME = "forgettable-17", "Odalys Fortescue"
SPOKEN = (ID, "odalys", "Odalys", "fortescue", "Fortescue")
ROWS = (
    f"user_id,device_id,timestamp,heart_rate\n{ID},strap,2024-01-15T10:00:00Z,70\nbob,strap,2024-01-15T10:00:00Z,7000\n"
)
FILES = {
    f"{ID}/readings.csv": ROWS.encode(),
    "fortescue_odalys.csv": ROWS.replace(ID, "bob").encode(),
    "heart_rate OdalysFortescue.dat": b"\0\1 of no kind",
    f"letter to {ID}.txt": b"Dear diary",
    "plain.csv": ROWS.replace(ID, "carl").encode(),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(store_url=f"duckdb:///{tmp_path / 'store' / 'readings.duckdb'}") as made:
        yield made


def brought(place: Guarded, files: dict[str, bytes]) -> int:
    answer = place.owner.post("/v1/imports", params={"name": f"{ID}.zip"}, content=zipped(files))
    assert answer.status_code == 202, answer.text
    number: int = answer.json()["id"]
    return number


def course(place: Guarded, number: int) -> dict[str, Any]:
    def has_ended() -> bool:
        return place.owner.get(f"/v1/imports/{number}").json()["status"] in ("done", "failed")

    wait_until(has_ended, "the import ends")
    found: dict[str, Any] = place.owner.get(f"/v1/imports/{number}").json()["course"]
    return found


def erase(place: Guarded) -> None:
    receipt = place.owner.delete(f"/v1/users/{ID}").json()["erasure_id"]

    def is_scrubbed() -> bool:
        return bool(place.owner.get(f"/v1/erasures/{receipt}").json()["stage"] == "scrubbed")

    wait_until(is_scrubbed, "no file has them")


def told(place: Guarded) -> str:
    """What every list answers, and each import by itself."""
    found = [place.owner.get("/metrics").text]
    for name in NEEDS:
        method, path = name.split(" ")
        if (
            method == "GET"
            and "{" not in path
            and path.split("/")[1] in ("users", "etl", "imports", "erasures", "audit")
        ):
            answer = place.owner.get(f"/v1{path}")
            assert answer.status_code == 200, path
            found.append(answer.text)
    for listed in place.owner.get("/v1/imports").json()["data"]:
        found.append(place.owner.get(f"/v1/imports/{listed['id']}").text)
    return "\n".join(found)


def test_nothing_that_is_kept_or_answered_speaks_of_who_was_erased(place: Guarded, tmp_path: Path) -> None:
    place.owner.put(f"/v1/users/{ID}", json={"name": NAME})
    place.owner.put("/v1/users/bob", json={})
    for name, people in (("odalys-fortescue.phone", None), ("only-hers", [ID]), ("ward", [ID, "bob"])):
        client = place.client(place.key(name, ["admin"], people))
        assert client.get(f"/v1/users/{ID}").status_code == 200
    number = brought(place, FILES)
    before = course(place, number)
    place.parts.services.access.audit.flush()
    assert all(word in told(place) for word in (ID, "fortescue", "Odalys", "odalys", "only-hers"))
    erase(place)
    text = told(place)
    assert [word for word in (*SPOKEN, "only-hers") if word in text] == []
    assert files_with(tmp_path, *SPOKEN, "only-hers") == []
    after = course(place, number)
    assert (after["read"], after["rejected"]) == (before["read"], before["rejected"])
    assert [each["name"] for each in after["files"]].count("erased") == 3, "the archive's name is in each"
    assert {entry["key"] for entry in place.owner.get("/v1/audit").json()["data"]} >= {"key 2", "key 3", "ward"}


def test_an_import_that_runs_meanwhile_names_nobody_who_was_erased(
    place: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.owner.put(f"/v1/users/{ID}", json={"name": NAME})
    waits, goes_on = threading.Event(), threading.Event()
    write = place.parts.ingestor.write

    def slow(*given: Any) -> None:
        waits.set()
        assert goes_on.wait(30)
        write(*given)

    monkeypatch.setattr(place.parts.ingestor, "write", slow)
    number = brought(place, FILES)
    assert waits.wait(30)
    erase(place)
    assert ID not in place.owner.get(f"/v1/imports/{number}").text
    goes_on.set()
    found = course(place, number)
    assert found["file_count"] == 3, found
    text = told(place)
    assert [word for word in SPOKEN if word in text] == []
    jobs = place.parts.services.imports
    assert ID not in repr((jobs._erased, jobs._jobs[number].name, jobs._jobs[number].origin, jobs._others))


def test_who_was_erased_on_another_machine_leaves_the_keys_and_the_trail_of_this_one(place: Guarded) -> None:
    """Machines share a database, and each has keys of its own."""
    services = place.parts.services
    create_key(services.access.state, KeyRequest("ward", ["read"], [ID]))
    marks = services.erasures._marks
    marks.log.add(marks.of(ID), Erasure("elsewhere", 1, 2, {}, 3))
    services.erasures._wake.set()
    wait_until(lambda: ID not in services.access.state.people(), "the round has come")
    assert [key.name for _, key in services.access.state.all_keys()] == ["owner-like", "key 2"]


def test_nothing_noted_between_the_mark_and_the_removal_keeps_the_id(
    place: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.owner.post("/v1/metrics/heart-rate/batch", json={"readings": [reading(ID)]})
    services = place.parts.services
    remove = services.store.remove_user

    def removed(user_id: str) -> int:
        assert services.store.user(ID) == User(ID)
        place.owner.get(f"/v1/users/{ID}")
        services.access.audit.flush()
        return remove(user_id)

    monkeypatch.setattr(services.store, "remove_user", removed)
    assert place.owner.delete(f"/v1/users/{ID}").status_code == 200
    services.access.audit.flush()
    assert ID not in services.access.state.people()
