"""Two workers of one server: whichever is asked, the answer is that of both."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pulsebase.access.service import KeyRequest, create_key
from pulsebase.settings import Settings
from pulsebase.wiring import answers_of, build
from pulsebase.worker_rpc import OtherWorkers, socket_of
from tests.api.conftest import Api, reading
from tests.api.test_imports import SAMPLES, ended, show
from tests.support.health_files import takeout_heart_rate
from tests.support.stores import named_store

Pair = tuple[Api, Api]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two installations that belong together, and need a key."""
    settings: dict[str, Any] = named_store("timescale", tmp_path) | {"access": "on"}
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))  # sockets have short names

        def worker(number: int) -> Api:
            other_workers = OtherWorkers(folder, number)
            parts = closing.enter_context(build(Settings(_env_file=None, **settings), other_workers=other_workers))
            closing.enter_context(other_workers.answering(answers_of(parts)))
            return Api(parts)

        one, two = worker(1), worker(2)
        _, key = create_key(one.parts.services.access.state, KeyRequest("tester", ["admin"]))
        for each in (one, two):
            each.parts.services.access.ring.refresh()
            each.headers["Authorization"] = f"Bearer {key}"
        socket_of(folder, 3).touch()  # a worker that was killed
        yield one, two


def test_metrics_are_told_of_both_and_of_the_whole_once(pair: Pair) -> None:
    pair[1].store(reading())
    text = pair[0].get("/metrics").text
    found = re.findall(
        r"^pulsebase_ingest_readings_accepted_total\{source=\"http\",worker=\"(.)\"\} ", text, re.MULTILINE
    )
    assert found == ["1", "2"]
    assert re.findall(r"^pulsebase_store_unmerged_readings(.*)$", text, re.MULTILINE) == [" 1.0"]
    assert re.findall(r"^# TYPE pulsebase_http_requests_total.*$", text, re.MULTILINE) == [
        "# TYPE pulsebase_http_requests_total counter"
    ]


def held_import(api: Api, monkeypatch: pytest.MonkeyPatch) -> tuple[int, threading.Event]:
    """The number of an import that stores nothing until the event is set."""
    gate = threading.Event()
    write = api.parts.ingestor.write
    monkeypatch.setattr(api.parts.ingestor, "write", lambda *given: gate.wait(30) and write(*given))
    parameters = {"name": "a.json", "user_id": "ann"}
    number: int = api.post("/v1/imports", params=parameters, content=takeout_heart_rate(SAMPLES)).json()["id"]
    return number, gate


def test_the_course_of_an_import_is_told_by_whoever_is_asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    number, gate = held_import(two, monkeypatch)
    assert show(one, number)["status"] in ("waiting", "running")
    gate.set()
    shown = ended(one, number)
    assert (shown["status"], shown["readings"]) == ("done", 300)
    assert shown == show(two, number)
    (listed,) = one.get("/v1/imports").json()["data"]
    assert listed["status"] == "done"
    assert one.delete(f"/v1/imports/{number}").json() == {"deleted": 300}


def test_an_import_is_cancelled_by_whoever_is_asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    number, gate = held_import(two, monkeypatch)
    cancelled = one.delete(f"/v1/imports/{number}")
    assert (cancelled.status_code, cancelled.json()) == (202, {"deleted": 0})
    gate.set()
    shown = ended(one, number)
    assert shown["status"] == "failed"
    assert shown["course"]["failure"] == "it was cancelled"
    assert shown == show(two, number)


def test_courses_of_imports_that_another_worker_ran_do_not_speak_of_who_was_erased(pair: Pair) -> None:
    one, two = pair
    parameters = {"name": "fortescue.json", "user_id": "odalys-17"}
    number = two.post("/v1/imports", params=parameters, content=takeout_heart_rate(SAMPLES)).json()["id"]
    (file,) = ended(one, number)["course"]["files"]
    assert file["name"] == "fortescue.json"
    assert one.put("/v1/users/odalys-17", json={"name": "Fortescue"}).status_code == 200
    assert one.delete("/v1/users/odalys-17").status_code == 200
    for worker in pair:
        shown = show(worker, number)
        assert (shown["name"], shown["course"]["files"][0]["name"]) == (f"erased {number}", "erased")
    told = two.parts.services.imports.ended()
    one.parts.services.imports.remember(told)  # the worker is about to end
    assert "ortescue" not in repr(told)


def test_who_leaves_tells_how_its_imports_went(pair: Pair) -> None:
    one, two = pair
    parameters = {"name": "a.json", "user_id": "ann"}
    number = two.post("/v1/imports", params=parameters, content=takeout_heart_rate(SAMPLES)).json()["id"]
    before = ended(two, number)
    two.parts.services.other_workers.ask("remember", two.parts.services.imports.ended())
    assert one.parts.services.imports.report(number) == two.parts.services.imports.report(number)
    assert show(one, number) == before
    many = dict.fromkeys(range(1_000, 1_200), one.parts.services.imports.ended()[number])
    one.parts.services.imports.remember(many)
    assert list(one.parts.services.imports.ended()) == list(range(1_100, 1_200))


def test_who_was_erased_through_one_is_refused_by_the_other_at_once(pair: Pair) -> None:
    one, two = pair
    two.store(reading(), reading(user_id="bob"))
    assert one.delete("/v1/users/ann").status_code == 200
    sent = two.post("/v1/metrics/heart-rate/batch", json={"readings": [reading(), reading(user_id="bob")]}).json()
    assert (sent["accepted"], [error["index"] for error in sent["errors"]]) == (1, [0])
    assert two.get("/v1/users/ann").status_code == 404
    assert two.post("/v1/users/ann/allow").status_code in (200, 204)
    one.store(reading())


def test_the_trail_has_what_either_did(pair: Pair) -> None:
    one, two = pair
    two.store(reading())
    two.get("/v1/users/ann")
    assert "/users/{user_id}" in {entry["route"].removeprefix("/v1") for entry in one.get("/v1/audit").json()["data"]}


def test_a_question_that_fails_is_left_out(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    other_workers = pair[0].parts.services.other_workers
    assert other_workers.ask("imports", [1]) == {2: {}}
    assert other_workers.ask("no such question") == {}
    assert "a question of another worker failed" in caplog.text
