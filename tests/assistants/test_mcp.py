"""Assistants, tried with the protocol library's own client: in process, by a command's pipes, and over HTTP."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import numpy as np
import polars
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from pulsebase import Library, open_store
from pulsebase.access.access_file import AccessFile
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.api.server.http_server import bound_socket
from pulsebase.assistants.server import assistants_server, http_server, run_http
from pulsebase.library.opening import connect
from pulsebase.model.errors import StopError
from pulsebase.wiring_options import access_file
from tests.support.served import served

TOOLS = {"people", "coverage", "series", "summary", "compare_periods", "top_hours", "hrv"}
DAYS = {"user_id": "ann", "start": "2024-01-14", "end": "2024-01-16"}


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    """Ann, in Berlin, with a reading a minute of 15 January from noon on: 60, then 80 bpm; and beats of a night."""
    with open_store("memory://", read_only=False) as filled:
        filled.put_person("ann", name="Ann", time_zone="Europe/Berlin")
        noon = datetime(2024, 1, 15, 11, tzinfo=UTC)
        times = [noon + timedelta(minutes=n) for n in range(240)]
        rates = [60.0] * 120 + [80.0] * 120
        filled.write(polars.DataFrame({"timestamp": times, "heart_rate": rates}), user_id="ann", device_id="watch")
        beats = np.full(2000, 1000.0) + np.tile([0.0, 10.0], 1000)
        at = [noon + timedelta(hours=10, milliseconds=float(each)) for each in beats.cumsum()]
        frame = polars.DataFrame({"timestamp": at, "value": beats})
        filled.write(frame, user_id="ann", device_id="strap", metric="rr_interval")
        yield filled


def asked(library: Library, name: str, **arguments: Any) -> Any:
    """The answer of one call; its error as a text."""

    async def call() -> Any:
        async with Client(assistants_server(lambda _: library)) as client:
            return said(await client.call_tool(name, arguments))

    return anyio.run(call)


def said(result: Any) -> Any:
    if result.is_error:
        return result.content[0].text
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


def test_answers_state_what_they_cover_and_how_they_were_made(library: Library) -> None:
    people = asked(library, "people")
    assert [person["user_id"] for person in people["people"]] == ["ann"]
    summary = asked(library, "summary", **DAYS)
    assert (summary["mean"], summary["min"], summary["max"], summary["readings"]) == (70.0, 60.0, 80.0, 240)
    assert summary["coverage"] == {"minutes_with_readings": 240, "minutes_in_period": 4320, "share": 240 / 4320}
    assert (summary["tz"], summary["start"]) == ("Europe/Berlin", "2024-01-13T23:00:00Z")
    assert "interpolated" in summary["method"]
    covered = asked(library, "coverage", **DAYS)
    assert (covered["days"], covered["days_with_readings"]) == (3, 1)
    assert covered["days_without"] == ["2024-01-14", "2024-01-16"]
    assert [each["metric"] for each in covered["metrics"]] == ["heart_rate", "rr_interval"]
    hours = asked(library, "top_hours", **DAYS, limit=1)
    assert hours["hours"] == [{"hour": "2024-01-15T13:00:00Z", "avg": 80.0, "count": 60}]
    assert hours["coverage"]["minutes_with_readings"] == 240
    nights = asked(library, "hrv", **DAYS, window="5m")
    assert nights["windows"][0]["rmssd"] == pytest.approx(10, abs=0.01)
    assert nights["coverage"] == {"windows_in_period": 864, "windows_with_beats": 7, "windows_with_a_value": 7}
    assert "Task Force" in str(nights["method"])
    assert asked(library, "summary", **DAYS, metric="respiratory_rate")["mean"] is None


def test_a_series_is_at_the_finest_rung_within_its_limit(library: Library) -> None:
    for most, rung, points in ((1000, "15m", 16), (100, "1h", 4), (10, "1d", 1)):
        found = asked(library, "series", **DAYS, max_points=most)
        assert (found["interval"], len(found["points"])) == (rung, points)
        assert found["coverage"]["minutes_with_readings"] == 240
    moment = {"start": "2024-01-15T11:00:00Z", "end": "2024-01-15T11:01:30Z"}
    assert asked(library, "series", **DAYS | moment)["coverage"]["minutes_with_readings"] == 2


def test_two_periods_are_compared_with_their_coverage(library: Library) -> None:
    periods = {"first_start": "2024-01-15", "first_end": "2024-01-15"}
    periods |= {"second_start": "2024-01-16", "second_end": "2024-01-16"}
    found = asked(library, "compare_periods", user_id="ann", **periods)
    assert (found["first"]["mean"], found["second"]["mean"], found["difference_of_means"]) == (70.0, None, None)
    assert found["second"]["coverage"]["share"] == 0
    same = asked(library, "compare_periods", user_id="ann", **periods | {"second_start": "2024-01-14"})
    assert same["difference_of_means"] == 0.0


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("summary", DAYS | {"user_id": "eve"}, "nobody of that id"),
        ("summary", DAYS | {"start": "2024-01-14T10:00"}, "start: must be a date"),
        ("series", DAYS | {"max_points": 1001}, "max_points"),
        ("series", DAYS | {"max_points": 1}, "max_points: is too small"),
        ("series", DAYS | {"metric": "mood"}, "metric"),
        ("hrv", DAYS | {"start": "2022-12-01"}, "366"),
        ("erase", {}, "erase"),
    ],
)
def test_what_cannot_be_answered_is_said(library: Library, name: str, arguments: Any, error: str) -> None:
    found = asked(library, name, **arguments)
    assert isinstance(found, str)
    assert error in found


def test_every_tool_says_that_it_only_reads(library: Library) -> None:
    async def listed() -> Any:
        async with Client(assistants_server(lambda _: library)) as client:
            return (await client.list_tools()).tools

    tools = anyio.run(listed)
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.annotations.read_only_hint
        assert tool.description


def test_a_library_that_only_reads_changes_nothing(tmp_path: Path) -> None:
    with open_store("memory://", read_only=True) as narrow:
        for change in (
            lambda: narrow.put_person("ann"),
            lambda: narrow.write([{"heart_rate": 60}]),
            lambda: narrow.import_file(__file__),
            lambda: narrow.store,
        ):
            with pytest.raises(StopError):
                change()
        assert narrow.people()["user_id"] == []


def test_over_http_each_assistant_reads_with_its_own_key_and_is_in_the_trail(tmp_path: Path) -> None:
    state = AccessFile(access_file(tmp_path))
    keys = {
        name: create_key(state, KeyRequest(name, [scope], people, None))[1]
        for name, scope, people in (("ann-only", "read", ["ann"]), ("all", "admin", None))
    }
    with served(store_url="memory://", access="on", state_folder=tmp_path) as api:
        with connect(api, keys["all"]) as owner:
            for user_id in ("ann", "bob"):
                owner.write([{"timestamp": "2024-01-15T10:00:00Z", "heart_rate": 60}], user_id=user_id, device_id="d")
        state.close()
        listener = bound_socket("127.0.0.1", 0)
        with closing(listener), http_server(api, []) as server:
            thread = threading.Thread(target=run_http, args=(server, listener))
            thread.start()
            try:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
                assert ids_of(anyio.run(over_http, url, keys["ann-only"], "people", {})) == ["ann"]
                assert ids_of(anyio.run(over_http, url, keys["all"], "people", {})) == ["ann", "bob"]
                asked_of_bob = {"user_id": "bob", "start": "2024-01-15", "end": "2024-01-15"}
                assert "nobody" in anyio.run(over_http, url, keys["ann-only"], "summary", asked_of_bob)
                assert "key" in anyio.run(over_http, url, "wrong", "people", {})
                assert "key" in anyio.run(over_http, url, None, "people", {})
                answer = httpx.post(url, json={}, headers={"Host": "evil.example"}, trust_env=False)
                assert answer.status_code == 421
            finally:
                server.should_exit = True
                thread.join()
        headers = {"Authorization": f"Bearer {keys['all']}"}
        trail = httpx.get(f"{api}/v1/audit?key=ann-only", headers=headers, trust_env=False).json()["data"]
        assert {(entry["method"], entry["route"]) for entry in trail} >= {("GET", "/users")}
        assert {entry["method"] for entry in trail} == {"GET"}


def ids_of(answer: Any) -> list[str]:
    return [person["user_id"] for person in answer["people"]]


async def over_http(url: str, key: str | None, name: str, arguments: dict[str, Any]) -> Any:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        return said(await client.call_tool(name, arguments))


def test_the_command_answers_on_its_pipes(tmp_path: Path) -> None:
    with open_store(tmp_path / "pulse.duckdb") as library:
        library.write([{"timestamp": "2024-01-15T10:00:00Z", "heart_rate": 60}], user_id="ann", device_id="d")
        command = str(Path(sys.executable).with_name("pulsebase"))
        started = StdioServerParameters(command=command, args=["mcp", "--store", "pulse.duckdb"], cwd=str(tmp_path))

        async def call() -> Any:
            async with Client(started) as client:
                return said(await client.call_tool("people", {}))

        assert ids_of(anyio.run(call)) == ["ann"]
