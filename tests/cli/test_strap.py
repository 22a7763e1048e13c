import asyncio
import contextlib
import functools
import os
import signal
import stat
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.access.service import KeyRequest, create_key
from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.cli.output import console
from pulsebase.cli.strap import StrapOptions, run_strap
from pulsebase.files.outbox import Outbox
from pulsebase.model.errors import PulsebaseError, StopError
from pulsebase.settings import Settings
from pulsebase.sources import strap as strap_source
from pulsebase.sources.heart_rate_service import Measurement, ReceivedBeats, measurement_of
from pulsebase.sources.strap import Bluetooth, StrapRecorder, device_id_of
from pulsebase.wiring import BuiltServer, build
from tests.support.strap import SimulatedStrap, bluetooth_with

SECOND_US = 1_000_000
START_US = 1_750_000_000 * SECOND_US
#: 60 bpm with one interval of 1,000 ms, and the same without contact to the skin.
ONE_BEAT = (0x16, 60, 0x00, 0x04)
NO_CONTACT = (0x14, 60, 0x00, 0x04)


@pytest.mark.parametrize(
    ("data", "measurement"),
    [
        ([0x00, 72], Measurement(72)),
        ([0x01, 0x2C, 0x01], Measurement(300)),
        ([0x06, 72], Measurement(72)),
        ([0x04, 72], Measurement(None)),
        ([0x00, 0], Measurement(None)),
        ([0x10, 60, 0x00, 0x04], Measurement(60, (1000.0,))),
        ([0x10, 60, 0x00, 0x04, 0x00, 0x02], Measurement(60, (1000.0, 500.0))),
        ([0x18, 60, 0x34, 0x12, 0x00, 0x04], Measurement(60, (1000.0,))),
        ([0x10, 60], Measurement(60)),
        (list(NO_CONTACT), Measurement(None)),
    ],
)
def test_measurements_are_read_as_the_service_defines_them(data: list[int], measurement: Measurement) -> None:
    assert measurement_of(bytes(data)) == measurement


@pytest.mark.parametrize("data", [[], [0x00], [0x01, 60], [0x08, 60, 0x01]])
def test_a_measurement_that_ends_early_is_none(data: list[int]) -> None:
    with pytest.raises(ValueError, match="measurement"):
        measurement_of(bytes(data))


def test_beats_follow_each_other_by_their_intervals_however_late_they_come() -> None:
    clock = ReceivedBeats()
    assert clock.times_us([1000, 900], START_US) == [START_US - 900_000, START_US]
    assert clock.times_us([800], START_US + 1_400_000) == [START_US + 800_000]  # 0.6 s late
    assert clock.times_us([], START_US + 1_500_000) == []
    far = START_US + 60 * SECOND_US
    assert clock.times_us([800], far) == [far]
    clock.restart()
    assert clock.times_us([700], far + SECOND_US) == [far + SECOND_US]


def test_what_waits_outlives_the_process_and_belongs_to_one(tmp_path: Path) -> None:
    path = tmp_path / "of" / "strap.outbox"
    with Outbox(path) as outbox:
        outbox.put(["one", "two", "three"])
        with pytest.raises(StopError, match="in use by another process"):
            Outbox(path)
        [first, second] = outbox.first(2)
        assert (first[1], second[1]) == ("one", "two")
        outbox.remove(second[0])
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in path.parent.iterdir())
    with Outbox(path) as outbox:
        assert len(outbox) == 1
        assert [text for _, text in outbox.first(10)] == ["three"]


@pytest.mark.parametrize(
    ("name", "device_id"),
    [("Polar H10 1234", "Polar-H10-1234"), ("HRM-Pro+:1", "HRM-Pro+:1"), ("心拍計", "strap"), ("", "strap")],
)
def test_devices_are_called_after_their_straps(name: str, device_id: str) -> None:
    assert device_id_of(name) == device_id


class Server:
    """A server that can be started and stopped on one port, over a store that stays."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(_env_file=None, store_url=f"duckdb:///{folder / 'pulse.duckdb'}", **settings)
        with contextlib.closing(bound_socket("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[BuiltServer]:
        with (
            build(self.settings) as parts,
            contextlib.closing(bound_socket("127.0.0.1", self._port)) as listener,
            serving(parts.app, [listener]),
        ):
            yield parts

    def stored(self, metric: str) -> list[tuple[str, float]]:
        asked = {"user_id": "ann", "metric": metric, "interval": "raw", "include": "all"}
        interval = {"start_date": "2025-06-01", "end_date": "2025-07-01"}
        answer = httpx.get(f"{self.url}/v1/timeseries", params=asked | interval, trust_env=False)
        assert answer.status_code == 200, answer.text
        columns = answer.json()["columns"]
        assert set(columns["device_id"]) <= {"Polar-H10-1234"}
        return list(zip(columns["timestamp"], columns["value"], strict=True))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(console, "print", lambda text, **_: lines.append(text))
    return lines


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of the recording to so many seconds after the start."""
    at = [START_US]
    monkeypatch.setattr("pulsebase.cli.strap.wall_clock_us", lambda: at[0])
    return lambda seconds: at.__setitem__(0, START_US + round(seconds * SECOND_US))


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def recording(options: StrapOptions, bluetooth: Bluetooth) -> AsyncIterator[None]:
    """The command, which is interrupted at the end of the block."""
    task = asyncio.ensure_future(run_strap(options, bluetooth, every_s=0.01))
    yield
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(task, 60)


def options_for(server: Server, folder: Path, **choices: Any) -> StrapOptions:
    given = {"strap": None, "device": None, "key_file": None, **choices}
    return StrapOptions("ann", url=server.url, outbox=folder / "strap.outbox", **given)


@in_loop
async def test_a_strap_that_comes_and_goes_is_stored_though_the_server_was_not_there(
    tmp_path: Path, told: list[str], now: Callable[[float], None]
) -> None:
    strap, server = SimulatedStrap(), Server(tmp_path)
    async with recording(options_for(server, tmp_path), bluetooth_with(strap)):
        await strap.listened_to()
        for second in range(3):
            now(second)
            strap.tell(*ONE_BEAT)
        strap.tell(*NO_CONTACT)
        strap.tell(0x00)
        strap.leave()
        await until(lambda: any("No strap is in reach" in line for line in told))
        await until(lambda: any("does not answer" in line for line in told))
        strap.in_reach = True
        await strap.listened_to()
        now(60)
        strap.tell(0x10, 61, 0x00, 0x04, 0x00, 0x0C)  # 1,000 and 3,000 ms: a beat was missed
        with server.running():
            await until(lambda: any("takes readings again" in line for line in told))
            rates, beats = server.stored("heart_rate"), server.stored("rr_interval")
    times = [f"2025-06-15T15:06:{second:02d}Z" for second in (40, 41, 42)]
    assert rates == [*((time, 60) for time in times), ("2025-06-15T15:07:40Z", 61)]
    assert beats == [*((time, 1000) for time in times), ("2025-06-15T15:07:37Z", 1000)]
    assert sum(line.startswith("Readings wait") for line in told) == 1
    assert [line for line in told if line.startswith("Readings were refused, value: out of range")]
    assert told[-4:] == [
        "4 measurements, 5 beats; 8 readings stored.",
        "1 measurements without contact to the skin, left out",
        "1 messages that are no measurement, left out",
        "1 readings that the server refused",
    ]


@in_loop
async def test_without_a_key_readings_wait_for_the_next_run_with_one(
    tmp_path: Path, told: list[str], now: Callable[[float], None]
) -> None:
    strap, server = SimulatedStrap(), Server(tmp_path, access="on")
    with server.running():
        async with recording(options_for(server, tmp_path), bluetooth_with(strap)):
            await strap.listened_to()
            strap.tell(*ONE_BEAT)
            await until(lambda: any("401 Unauthorized" in line for line in told))
    assert told[-1] == f"2 readings that wait in {tmp_path / 'strap.outbox'}: they are sent the next time"
    told.clear()
    key_file = tmp_path / "key"
    with server.running() as parts:
        assert parts.services.access is not None
        key_file.write_text(create_key(parts.services.access.state, KeyRequest("strap", ["ingest"], ["ann"]))[1] + "\n")
        async with recording(options_for(server, tmp_path, key_file=key_file), bluetooth_with(strap)):
            await until(lambda: len(parts.store.stored()) == 2)
    assert told[0].startswith("2 readings of an earlier run wait in ")
    assert told[-1] == "0 measurements, 0 beats; 2 readings stored."


@in_loop
async def test_of_several_straps_one_is_chosen(tmp_path: Path, told: list[str]) -> None:
    one, other = SimulatedStrap(), SimulatedStrap("Polar H10 1234", "AA:BB:CC:00:00:02")
    server, near = Server(tmp_path), bluetooth_with(one, other)
    with pytest.raises(StopError, match=r"choose one with --strap: Polar H10 1234 \(AA:BB:CC:00:00:01\), Polar"):
        await run_strap(options_for(server, tmp_path), near)
    async with recording(options_for(server, tmp_path, strap="aa:bb:cc:00:00:02"), near):
        await other.listened_to()
        assert not one.listeners
    assert "Connected to Polar H10 1234." in told


@pytest.mark.parametrize(
    ("choices", "problem"),
    [({"device": "my strap"}, "--device"), ({"key_file": Path("/nowhere/key")}, "No such file")],
)
@in_loop
async def test_wrong_options_are_refused_by_name(
    tmp_path: Path, told: list[str], choices: dict[str, Any], problem: str
) -> None:
    with pytest.raises(PulsebaseError, match="--url: must be an address"):
        await run_strap(StrapOptions("ann", None, None, "http://ann:secret@host:x", None, tmp_path / "o"))
    with pytest.raises(PulsebaseError, match=problem):
        await run_strap(options_for(Server(tmp_path), tmp_path, **choices), bluetooth_with())


@in_loop
async def test_a_server_that_takes_no_readings_is_told_and_nothing_is_lost(
    tmp_path: Path, told: list[str], now: Callable[[float], None]
) -> None:
    strap = SimulatedStrap()
    async with asyncio.timeout(60):
        refusing = await asyncio.start_server(_not_found, "127.0.0.1", 0)
        port = refusing.sockets[0].getsockname()[1]
        url = f"http://ann:secret@127.0.0.1:{port}"
        options = StrapOptions("ann", None, None, url, None, tmp_path / "strap.outbox")
        task = asyncio.ensure_future(run_strap(options, bluetooth_with(strap), every_s=0.01))
        await strap.listened_to()
        strap.tell(*ONE_BEAT)
        with pytest.raises(StopError, match="answers with 404 Not Found and takes no readings") as caught:
            await task
        assert "secret" not in f"{caught.value} {told}"
        refusing.close()
    with Outbox(tmp_path / "strap.outbox") as outbox:
        assert len(outbox) == 2


async def _not_found(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    await writer.drain()
    writer.close()


def test_what_the_outbox_cannot_take_is_kept_until_it_can(tmp_path: Path) -> None:
    told: list[str] = []
    with Outbox(tmp_path / "strap.outbox") as outbox:
        recorder = StrapRecorder("ann", "strap", outbox, lambda: START_US, told.append)
        outbox._connection.execute("PRAGMA max_page_count = 1")  # as on a full disk
        for _ in range(200):
            recorder.take(bytes(ONE_BEAT))
        assert len(outbox) < 400
        assert len(told) == 1
        assert told[0].startswith("Readings are kept in memory alone: ")
        outbox._connection.execute("PRAGMA max_page_count = 10000")
        recorder.take(bytes(ONE_BEAT))
        assert len(outbox) == 402


def test_what_the_outbox_never_takes_is_said_to_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strap_source, "_MOST_UNKEPT", 100)
    told: list[str] = []
    with Outbox(tmp_path / "strap.outbox") as outbox:
        recorder = StrapRecorder("ann", "strap", outbox, lambda: START_US, told.append)
        outbox._connection.execute("PRAGMA max_page_count = 1")  # as on a full disk
        while not (recorder.heard.dropped or recorder.heard.measurements > 1_000):
            recorder.take(bytes(ONE_BEAT))
        kept = len(outbox)
        assert recorder.heard.dropped == 2 * recorder.heard.measurements - kept - 100
        recorder.finish()
        recorder.finish()
        assert told[1:] == ["100 readings could not be kept and are lost"]
        recorder.take(bytes(ONE_BEAT))
        outbox._connection.execute("PRAGMA max_page_count = 10000")
        recorder.finish()
        assert (len(outbox), len(told)) == (kept + 2, 2)
