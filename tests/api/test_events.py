"""New readings as server-sent events, over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx2 as httpx
import pytest
from starlette.types import Message

from pulsebase import telemetry
from pulsebase.api.server.http_server import bound_socket, serving
from tests.api.conftest import Api, reading
from tests.support.process import wait_until

#: A store that nobody else writes to: its streams are told of commits. Streams over a shared one ask it for what is
#: new (the tests of the follower).
ALONE = "memory://"
Event = tuple[str | None, str, dict[str, Any]]


class Place:
    """An installation that is served on a port."""

    def __init__(self, api: Api, url: str) -> None:
        self.api, self.url = api, url

    @contextlib.contextmanager
    def listen(self, *people: str, after: str | None = None, metrics: Sequence[str] = ()) -> Iterator[Iterator[Event]]:
        headers = {} if after is None else {"Last-Event-ID": after}
        with httpx.Client(timeout=60, trust_env=False) as client:
            params = {"user_ids": list(people), "metric": list(metrics)}
            with client.stream("GET", f"{self.url}/v1/stream", params=params, headers=headers) as answer:
                assert answer.status_code == 200, answer.read()
                assert answer.headers["content-type"].startswith("text/event-stream")
                yield events(answer.iter_lines())


def events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.removeprefix(" ")
        elif line:
            yield None, "comment", {}
        elif fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}


def beats(event: Event) -> dict[str, list[float]]:
    assert event[1] == "readings"
    return {one["user_id"]: one["columns"]["value"] for one in event[2]["series"]}


@pytest.fixture
def served(installed: Callable[..., Api]) -> Iterator[Callable[..., Place]]:
    with ExitStack() as closing:

        def make(**settings: Any) -> Place:
            api = installed(**settings)
            listener = closing.enter_context(contextlib.closing(bound_socket("127.0.0.1", 0)))
            closing.enter_context(serving(api.parts.app, [listener]))
            return Place(api, f"http://127.0.0.1:{listener.getsockname()[1]}")

        yield make


def at(second: int) -> str:
    return f"2024-01-15T10:{second // 60:02d}:{second % 60:02d}Z"


def test_readings_are_told_as_they_are_committed(served: Callable[..., Place]) -> None:
    place = served(store_url=ALONE)
    with place.listen("ann", "bob") as told:
        _, kind, hello = next(told)
        assert (kind, hello) == ("hello", {"resumed": False, "missing": ["ann", "bob"]})
        place.api.store(reading(at(0), 61, confidence=2), reading(at(1), 62.5, user_id="bob", device_id="ring"))
        place.api.store(reading(at(0), 99, user_id="carl"))
        _, kind, data = next(told)
        assert kind == "readings"
        assert data == {
            "series": [
                {
                    "user_id": "ann",
                    "columns": {"timestamp": [at(0)], "value": [61], "device_id": ["device_a"], "confidence": [2]},
                },
                {
                    "user_id": "bob",
                    "columns": {"timestamp": [at(1)], "value": [62.5], "device_id": ["ring"], "confidence": [None]},
                },
            ],
            "changed": [],
        }
        deleted = {"user_id": "bob", "start": at(0), "end": at(30)}
        place.api.delete("/v1/metrics/heart-rate", params=deleted)
        assert next(told)[2] == {"series": [], "changed": [deleted]}
        place.api.put("/v1/users/bob/devices/ring/priority", json={"priority": 7})
        assert [each["user_id"] for each in next(told)[2]["changed"]] == ["bob"]


def test_a_change_says_of_which_metric_it_is(served: Callable[..., Place]) -> None:
    place = served(store_url=ALONE)
    interval = {"start": at(0), "end": at(30)}
    with place.listen("ann", metrics=["heart_rate", "oxygen_saturation"]) as told:
        next(told)
        for path, value in (("oxygen-saturation", 97), ("hrv-rmssd", 40)):
            body = {"user_id": "ann", "device_id": "ring", "timestamp": at(1), "value": value}
            place.api.post(f"/v1/metrics/{path}", json=body)
        assert [one["metric"] for one in next(told)[2]["series"]] == ["oxygen_saturation"]
        for path in ("hrv-rmssd", "oxygen-saturation"):  # nobody here follows the first
            place.api.delete(f"/v1/metrics/{path}", params={"user_id": "ann", **interval})
        assert next(told)[2]["changed"] == [{"user_id": "ann", "metric": "oxygen_saturation", **interval}]
        place.api.put("/v1/users/ann/devices/ring/priority", json={"priority": 7})
        [of_every_metric] = next(told)[2]["changed"]
        assert (of_every_metric["user_id"], of_every_metric["metric"]) == ("ann", None)


def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(served: Callable[..., Place]) -> None:
    place = served(store_url=ALONE)
    with place.listen("ann") as told:
        next(told)
        place.api.store(reading(at(0), 60))
        last, _, _ = next(told)
    place.api.store(reading(at(1), 61))
    place.api.store(reading(at(2), 62))
    with place.listen("ann", after=last) as told:
        assert next(told)[2]["resumed"] is True
        assert beats(next(told)) == {"ann": [61, 62]}
        place.api.store(reading(at(3), 63))
        assert beats(next(told)) == {"ann": [63]}


@pytest.mark.parametrize("after", ["elsewhere-1", "", "nonsense", "@-" + "9" * 5000, "@-+5", None])
def test_one_who_cannot_go_on_is_told_so(served: Callable[..., Place], after: str | None) -> None:
    place = served(stream_readings=2)
    place.api.store(reading(at(0), 60))
    commit_log = place.api.parts.services.streams.commit_log
    if after is None:  # it was kept once, and is not any more
        after = f"{commit_log.instance}-1"
        for second in range(1, 5):
            place.api.store(reading(at(second), 60))
    with place.listen("ann", after=after.replace("@", commit_log.instance)) as told:
        assert next(told)[1:] == ("hello", {"resumed": False, "missing": []})
        place.api.store(reading(at(50), 90))
        assert beats(next(told)) == {"ann": [90]}


def test_a_silent_stream_says_that_it_is_there(served: Callable[..., Place]) -> None:
    with served(stream_heartbeat_s=0.05).listen("ann") as told:
        assert [kind for _, kind, _ in (next(told), next(told))] == ["hello", "comment"]


def test_no_more_may_listen_than_the_limit_and_leaving_makes_room(served: Callable[..., Place]) -> None:
    place = served(stream_subscribers=1)
    params = {"user_ids": "ann"}
    with place.listen("ann") as told:
        next(told)
        answer = place.api.get("/v1/stream", params=params)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"] == "all streams that the server has are in use"
    wait_until(lambda: telemetry.STREAM_SUBSCRIBERS._value.get() == 0, "room")
    with place.listen("ann") as told:
        assert next(told)[1] == "hello"


@pytest.mark.parametrize("query", ["", "user_ids=", "user_ids=a&user_ids=b&user_ids=c", "user_ids=a&since=1"])
def test_what_is_wrong_is_refused_by_name(installed: Callable[..., Api], query: str) -> None:
    answer = installed(max_people=2).get(f"/v1/stream?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == ("since" if "since" in query else "user_ids")


def test_a_client_that_falls_behind_is_dropped_with_a_word_and_holds_nobody_up(installed: Callable[..., Api]) -> None:
    """The client is this test: it takes one event, then nothing while more is committed than is kept."""
    api = installed(stream_readings=3, store_url=ALONE)
    taken: list[bytes] = []
    stuck, free = threading.Event(), threading.Event()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        taken.append(message.get("body", b""))
        if b"event: readings" in taken[-1] and not stuck.is_set():
            stuck.set()
            await asyncio.to_thread(free.wait)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/stream",
        "raw_path": b"/v1/stream",
        "root_path": "",
        "query_string": b"user_ids=ann",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "http_version": "1.1",
    }
    listening = threading.Thread(target=lambda: asyncio.run(api.parts.app(scope, receive, send)))
    listening.start()
    wait_until(lambda: any(b"hello" in each for each in taken), "hello")
    api.store(reading(at(0), 60))
    assert stuck.wait(60)
    for second in range(1, 9):
        api.store(reading(at(second), 60))  # acknowledged, whoever is stuck
    free.set()
    listening.join(60)
    assert not listening.is_alive()
    said = [each for each in taken if each]
    assert [each.split(b"event: ")[1].split(b"\n")[0] for each in said] == [b"hello", b"readings", b"dropped"]
    assert b"id:" not in said[-1]


def test_a_server_that_stops_ends_its_streams(installed: Callable[..., Api]) -> None:
    api = installed()
    with contextlib.closing(bound_socket("127.0.0.1", 0)) as listener:
        place = Place(api, f"http://127.0.0.1:{listener.getsockname()[1]}")
        with ExitStack() as stopping:
            stopping.enter_context(serving(api.parts.app, [listener]))
            with place.listen("ann") as told:
                next(told)
                stopping.close()
                assert list(told) == []
    answer = api.get("/v1/stream", params={"user_ids": "ann"})
    assert answer.json()["detail"] == "the server is shutting down"
