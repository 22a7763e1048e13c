"""Signals: rules over what is stored. Late readings, corrections and deletions raise and clear what they should."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from pulsebase.events import courier, evaluator
from pulsebase.events.evaluator import SteadyClock
from pulsebase.model.timerange import DAY_US, MINUTE_US, SECOND_US
from pulsebase.settings import Settings
from pulsebase.wiring import build
from tests.api.conftest import Api, reading
from tests.faults.test_scrub_kill import files_with
from tests.stores.harness import at
from tests.support.process import wait_until
from tests.support.receiver import ALLOWED, Receiver, receiving
from tests.support.stores import named_store

NOW = at("2024-01-15T12:00:00")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_LOOK_S", 0.02)
    monkeypatch.setattr(evaluator, "_SILENCE_EVERY_S", 0.05)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The server's clock, and the machine's own count of seconds along with it."""
    now = [NOW]
    monkeypatch.setattr(evaluator, "seconds_since_boot", lambda: now[0] / SECOND_US)
    return now


@pytest.fixture
def place(clock: list[int], tmp_path: Path) -> Iterator[Api]:
    url = f"duckdb:///{tmp_path / 'pulse.duckdb'}"
    with build(Settings(_env_file=None, store_url=url, **ALLOWED), now_us=lambda: clock[0]) as parts:
        yield Api(parts)


@pytest.fixture(params=["duckdb", "timescale", "clickhouse"])
def any_place(request: pytest.FixtureRequest, clock: list[int], tmp_path: Path) -> Iterator[Api]:
    """An installation over each store that keeps readings."""
    settings = Settings(_env_file=None, **named_store(request.param, tmp_path), **ALLOWED)
    with build(settings, now_us=lambda: clock[0]) as parts:
        yield Api(parts)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def made(api: Api, **rule: Any) -> dict[str, Any]:
    answer = api.post("/v1/signals", json={"metric": "heart_rate"} | rule)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def minutes(first: str, *values: float | None, **fields: Any) -> list[dict[str, Any]]:
    """A reading a minute; None for none."""
    start = datetime.fromisoformat(f"2024-01-15T{first}").replace(tzinfo=UTC)
    return [
        reading((start + timedelta(minutes=n)).isoformat(), value, **fields)
        for n, value in enumerate(values)
        if value is not None
    ]


def raised(api: Api, signal: dict[str, Any]) -> dict[str, str]:
    shown = api.get(f"/v1/signals/{signal['signal_id']}").json()
    return {each["user_id"]: each["start"][11:16] for each in shown["raised"]}


def happened(api: Api) -> list[tuple[str, ...]]:
    """What became of signals: type, person, start, and end and reason where there are some."""
    found = []
    for event in api.parts.services.signals.events(0, 1000):
        data = json.loads(event.data)
        end = (data["end"][11:16],) if "end" in data else ()
        reason = (data["reason"],) if "reason" in data else ()
        found.append((event.type.partition(".")[2], event.user_id, data["start"][11:16], *end, *reason))
    return found


def wait_for(api: Api, *events: tuple[str, ...]) -> None:
    wait_until(lambda: happened(api)[-len(events) :] == list(events), f"{events}, not {happened(api)}", 60)


def settled(api: Api) -> None:
    """Wait until everything acknowledged was looked at."""
    notes = api.parts.services.store.capabilities().commit_notes
    assert notes is not None
    table = api.parts.services.signals.table
    wait_until(lambda: not notes.notes(1) and not table.touched(1), "everything was looked at", 60)


def test_a_rule_that_holds_long_enough_is_raised_and_cleared_when_it_does_not(place: Api) -> None:
    signal = made(place, above=120, **{"for": "5m"})
    assert (signal["above"], signal["for"], signal["raised"]) == (120.0, "5m", [])
    place.store(*minutes("10:00:00", 130, 130, 130, 130))
    settled(place)
    assert happened(place) == []
    place.store(*minutes("10:04:00", 131))
    wait_for(place, ("raised", "ann", "10:00"))
    assert raised(place, signal) == {"ann": "10:00"}
    place.store(*minutes("10:05:00", 120))  # not above
    wait_for(place, ("cleared", "ann", "10:00", "10:05", "ended"))
    assert raised(place, signal) == {}


def test_the_mean_of_a_minute_is_compared_exactly(place: Api) -> None:
    made(place, above=100)
    place.store(reading("2024-01-15T10:00:00Z", 99.99), reading("2024-01-15T10:00:30Z", 100.01))
    settled(place)
    assert happened(place) == []
    place.store(reading("2024-01-15T10:00:31Z", 100.01))
    wait_for(place, ("raised", "ann", "10:00"))


def test_late_readings_corrections_and_deletions_are_as_if_they_had_always_been(any_place: Api) -> None:
    signal = made(any_place, above=120, **{"for": "10m"})
    any_place.store(
        *minutes("10:00:00", *[130] * 4, None, None, *[130] * 5, 80)
    )  # a pause, and too short with it: 11 minutes
    wait_for(any_place, ("raised", "ann", "10:00"), ("cleared", "ann", "10:00", "10:11", "ended"))
    any_place.store(*minutes("10:04:00", 90))  # late: it was interrupted
    settled(any_place)
    assert any_place.parts.services.signals.table.episodes(1, "ann", 0, 1 << 60) == []
    any_place.store(*minutes("10:04:00", 125))  # corrected
    wait_for(any_place, ("raised", "ann", "10:00"), ("cleared", "ann", "10:00", "10:11", "ended"))
    span = {"user_id": "ann", "start": "2024-01-15T10:11:00Z", "end": "2024-01-15T11:00:00Z"}
    assert any_place.delete("/v1/metrics/heart-rate", params=span).status_code == 200
    wait_for(any_place, ("raised", "ann", "10:00"))
    assert raised(any_place, signal) == {"ann": "10:00"}, "nothing says any more that it ended"
    any_place.delete("/v1/metrics/heart-rate", params=span | {"start": "2024-01-15T09:00:00Z"})
    wait_for(any_place, ("cleared", "ann", "10:00", "10:11", "withdrawn"))
    assert raised(any_place, signal) == {}


def test_a_silence_longer_than_the_rule_ends_an_episode_once_there_are_readings_again(place: Api) -> None:
    made(place, above=120, **{"for": "5m"})
    place.store(*minutes("08:00:00", *[130] * 6))
    wait_for(place, ("raised", "ann", "08:00"))
    place.store(*minutes("10:00:00", 130))
    wait_for(place, ("cleared", "ann", "08:00", "08:06", "ended"))
    span = {"user_id": "ann", "start": "2024-01-15T09:00:00Z", "end": "2024-01-15T11:00:00Z"}
    place.delete("/v1/metrics/heart-rate", params=span)
    wait_for(place, ("raised", "ann", "08:00"))


def test_another_device_that_takes_precedence_changes_what_holds(any_place: Api) -> None:
    signal = made(any_place, below=50, **{"for": "2m"})
    any_place.store(*minutes("10:00:00", 45, 45, 45), *minutes("10:00:00", 70, 70, 70, device_id="strap"))
    wait_for(any_place, ("raised", "ann", "10:00"))
    any_place.put("/v1/users/ann/devices/strap/priority", json={"priority": 0})
    wait_for(any_place, ("cleared", "ann", "10:00", "10:03", "withdrawn"))
    any_place.delete("/v1/users/ann/devices/strap/priority")
    wait_for(any_place, ("raised", "ann", "10:00"))
    assert raised(any_place, signal) == {"ann": "10:00"}


def test_what_is_stored_already_is_looked_at_from_a_day_before(place: Api) -> None:
    place.store(*minutes("10:00:00", 150, 150, 150), reading("2024-01-10T10:00:00Z", 150))
    place.store(*minutes("10:00:00", 150, user_id="bob"))
    made(place, above=140)
    wait_for(place, ("raised", "ann", "10:00"), ("raised", "bob", "10:00"))


def test_silence_is_raised_by_the_clock_and_cleared_by_a_reading(any_place: Api, clock: list[int]) -> None:
    any_place.store(*minutes("11:30:00", 70))
    signal = made(any_place, silent_for="1h")
    settled(any_place)
    assert raised(any_place, signal) == {}
    clock[0] += 31 * MINUTE_US
    wait_for(any_place, ("raised", "ann", "11:30"))
    any_place.store(*minutes("12:31:00", 70))
    wait_for(any_place, ("cleared", "ann", "11:30", "ended"))
    clock[0] += 61 * MINUTE_US
    wait_for(any_place, ("raised", "ann", "12:31"))
    span = {"user_id": "ann", "start": "2024-01-15T12:00:00Z", "end": "2024-01-15T14:00:00Z"}
    any_place.delete("/v1/metrics/heart-rate", params=span)
    wait_for(any_place, ("cleared", "ann", "12:31", "withdrawn"), ("raised", "ann", "11:30"))


def test_a_clock_that_was_set_or_is_behind_judges_no_silence() -> None:
    now, counted = [NOW], [1000.0]
    clock = SteadyClock(lambda: now[0], lambda: counted[0])
    assert clock.look(NOW) == NOW
    now[0], counted[0] = NOW + 365 * DAY_US, 1005.0
    assert clock.look(NOW) is None, "a year in five seconds"
    now[0], counted[0] = NOW + 365 * DAY_US + 60 * SECOND_US, 1065.0
    assert clock.look(NOW) is None
    now[0], counted[0] = NOW + 365 * DAY_US + 130 * SECOND_US, 1135.0
    assert clock.look(NOW) == now[0], "it stays so: the time before was wrong"
    now[0], counted[0] = now[0] + 3600 * SECOND_US, 4735.0
    assert clock.look(NOW) == now[0], "an hour of sleep is an hour"
    assert SteadyClock(lambda: 0, lambda: 1.0).look(NOW) is None, "1970"


def test_a_signal_is_about_whom_it_says(place: Api) -> None:
    for user_id, gender, born in (("ann", "female", 1950), ("bob", "male", 1950), ("cid", "female", 2000)):
        place.put(f"/v1/users/{user_id}", json={"gender": gender, "birth_year": born})
    whole = made(place, above=120)
    named = made(place, above=120, user_ids=["bob"])
    group = made(place, above=120, cohort={"gender": ["female"], "min_age": 60})
    assert group["cohort"] == {"gender": ["female"], "min_age": 60, "max_age": None}
    place.store(*(each for user_id in ("ann", "bob", "cid") for each in minutes("10:00:00", 130, user_id=user_id)))
    wait_until(lambda: len(happened(place)) == 5, "all of them", 60)
    settled(place)
    assert [sorted(raised(place, each)) for each in (whole, named, group)] == [["ann", "bob", "cid"], ["bob"], ["ann"]]
    assert len(place.get("/v1/signals").json()["data"]) == 3
    assert place.delete(f"/v1/signals/{whole['signal_id']}").status_code == 200
    assert place.get(f"/v1/signals/{whole['signal_id']}").status_code == 404


def test_a_signal_is_told_to_webhooks_and_outlives_restarts(tmp_path: Path, receiver: Receiver) -> None:
    settings = Settings(_env_file=None, store_url=f"duckdb:///{tmp_path / 'pulse.duckdb'}", **ALLOWED)
    with build(settings, now_us=lambda: NOW) as parts:
        api = Api(parts)
        signal = made(api, above=120)
        api.post("/v1/webhooks", json={"url": receiver.url, "events": ["signal.raised", "signal.cleared"]})
        api.store(*minutes("10:00:00", 150))
        receiver.wait_for(1)
    with build(settings, now_us=lambda: NOW) as parts:
        assert raised(Api(parts), signal) == {"ann": "10:00"}
        Api(parts).store(*minutes("10:01:00", 90))
        receiver.wait_for(2)
    first, second = receiver.bodies()
    rule = {"user_id": "ann", "signal_id": signal["signal_id"], "metric": "heart_rate", "above": 120.0, "for": "1m"}
    start = {"start": "2024-01-15T10:00:00Z"}
    assert (first["type"], first["data"]) == ("signal.raised", rule | start)
    ended = start | {"end": "2024-01-15T10:01:00Z", "reason": "ended"}
    assert (second["type"], second["data"]) == ("signal.cleared", rule | ended)


def test_who_is_erased_leaves_no_episode(place: Api, tmp_path: Path) -> None:
    who = "person-to-be-forgotten"
    place.put(f"/v1/users/{who}", json={})
    signal, theirs = made(place, above=120), made(place, above=120, user_ids=[who])
    place.store(*minutes("10:00:00", 130, user_id=who), *minutes("10:00:00", 130, user_id="bob"))
    wait_until(lambda: len(happened(place)) == 3, "episodes", 60)
    receipt = place.delete(f"/v1/users/{who}").json()
    shown = f"/v1/erasures/{receipt['erasure_id']}"
    wait_until(lambda: place.get(shown).json()["stage"] == "scrubbed", "it is scrubbed", 60)
    assert (raised(place, signal), raised(place, theirs)) == ({"bob": "10:00"}, {})
    assert place.get(f"/v1/signals/{theirs['signal_id']}").json()["user_ids"] == []
    assert files_with(tmp_path, who) == []


def test_wrong_rules_are_named(place: Api) -> None:
    for rule, field in (
        ({}, "above"),
        ({"above": 1, "below": 2}, "above"),
        ({"above": "x"}, "above"),
        ({"above": 1e9}, "above"),
        ({"above": 100, "for": "10"}, "for"),
        ({"above": 100, "for": "31d"}, "for"),
        ({"silent_for": "1h", "for": "1h"}, "for"),
        ({"silent_for": "30s"}, "silent_for"),
        ({"above": 100, "metric": "no_such"}, "metric"),
        ({"above": 100, "cohort": {}, "user_ids": ["ann"]}, "cohort"),
        ({"above": 100, "more": 1}, "more"),
    ):
        place.put("/v1/users/ann", json={})
        answer = place.post("/v1/signals", json={"metric": "heart_rate"} | rule)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), (rule, answer.text)
    assert place.post("/v1/signals", json={"metric": "heart_rate", "above": 1, "user_ids": ["x"]}).status_code == 404


async def told(api: Api, last_event_id: str | None, enough: Callable[[str], bool]) -> str:
    """What a stream says until it is enough."""
    said: list[bytes] = []
    headers = [(b"host", b"localhost")]
    if last_event_id is not None:
        headers.append((b"last-event-id", last_event_id.encode()))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False} if not said else await left()

    async def left() -> Message:
        import asyncio

        while not enough(b"".join(said).decode()):
            await asyncio.sleep(0.02)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message.get("body", b""))

    scope = {
        **{"type": "http", "method": "GET", "path": "/v1/signals/stream", "raw_path": b"/v1/signals/stream"},
        **{"headers": headers, "query_string": b"", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80)},
        **{"scheme": "http", "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"}},
    }
    await api.parts.app(scope, receive, send)
    return b"".join(said).decode()


def test_a_stream_tells_what_becomes_of_signals_and_goes_on_where_it_was(place: Api) -> None:
    import asyncio

    made(place, above=120)
    place.store(*minutes("10:00:00", 150))
    wait_for(place, ("raised", "ann", "10:00"))
    place.store(*minutes("10:01:00", 90))
    wait_for(place, ("cleared", "ann", "10:00", "10:01", "ended"))
    text = asyncio.run(asyncio.wait_for(told(place, "1", lambda said: "signal.cleared" in said), 60))
    assert 'event: hello\ndata: {"resumed":true}' in text
    assert "signal.raised" not in text
    assert "id: 2\nevent: signal.cleared\n" in text
    text = asyncio.run(asyncio.wait_for(told(place, None, lambda said: "hello" in said), 60))
    assert 'id: 2\nevent: hello\ndata: {"resumed":false}' in text
