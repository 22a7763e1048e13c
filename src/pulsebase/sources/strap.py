"""Follow a heart rate strap over Bluetooth Low Energy: find it, listen, and come back to it when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pulsebase.files.outbox import Outbox
from pulsebase.model.errors import StopError, StoreUnavailableError
from pulsebase.model.metrics import HEART_RATE, RR_INTERVAL
from pulsebase.model.timerange import format_us
from pulsebase.sources.heart_rate_service import (
    HEART_RATE_MEASUREMENT,
    HEART_RATE_SERVICE,
    ReceivedBeats,
    measurement_of,
)

if TYPE_CHECKING:  # the library is an extra: who has no strap needs none of it
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import BaseBleakScanner

#: A strap that says nothing for so long is gone, whatever the system says.
SILENCE_S = 20.0
_SCAN_S = 10.0
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
#: Readings that may be in memory alone, half a day of a strap that tells every beat; then the oldest go.
_MOST_UNKEPT = 100_000


@dataclass(frozen=True, slots=True)
class Bluetooth:
    """How straps are reached: by the system's Bluetooth, or by backends of bleak that say they are one."""

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    scan_s: float = _SCAN_S
    silence_s: float = SILENCE_S
    first_wait_s: float = _FIRST_WAIT_S


@dataclass(slots=True)
class Heard:
    """What came from the strap: measurements with a heart rate and their beats, and what was left out.

    `dropped` readings found no room in the outbox for so long that there was none in memory either.
    """

    measurements: int = 0
    beats: int = 0
    without_contact: int = 0
    unreadable: int = 0
    dropped: int = 0


@dataclass
class StrapRecorder:
    """Puts what a strap tells into an outbox, as readings of a person.

    Attributes:
        user_id: whose strap it is.
        device_id: what its readings are stored under; None until it is known, and then the strap's own name.
        outbox: where they wait to be sent.
        clock_us: tells the time, in microseconds UTC.
        say: told in a sentence what happens.
    """

    user_id: str
    device_id: str | None
    outbox: Outbox
    clock_us: Callable[[], int]
    say: Callable[[str], None]
    heard: Heard = field(default_factory=Heard)
    _beats: ReceivedBeats = field(default_factory=ReceivedBeats)
    _unkept: list[str] = field(default_factory=list)
    _in_memory: bool = False

    def take(self, data: bytes) -> None:
        """Keep a measurement that has just come."""
        now_us = self.clock_us()
        try:
            measurement = measurement_of(data)
        except ValueError:
            self.heard.unreadable += 1
            return
        if measurement.heart_rate_bpm is None:
            self.heard.without_contact += 1
            self._beats.restart()
            return
        self.heard.measurements += 1
        self.heard.beats += len(measurement.intervals_ms)
        beats_us = self._beats.times_us(measurement.intervals_ms, now_us)
        self._unkept.append(self._reading(HEART_RATE.name, now_us, measurement.heart_rate_bpm))
        self._unkept += [
            self._reading(RR_INTERVAL.name, at_us, interval_ms)
            for at_us, interval_ms in zip(beats_us, measurement.intervals_ms, strict=True)
        ]
        self._keep()

    def found(self, device: BLEDevice) -> None:
        """Name the device after the strap, if it has no other name."""
        self.device_id = self.device_id or device_id_of(device.name or device.address)

    def interrupted(self) -> None:
        """Say that beats may have been missed."""
        self._beats.restart()

    def finish(self) -> None:
        """Put what is in memory alone into the outbox, before the process ends, or say how much is lost."""
        if self._unkept:
            self._keep()
        if self._unkept:
            self.say(f"{len(self._unkept):,} readings could not be kept and are lost")
            self._unkept.clear()

    def _reading(self, metric: str, at_us: int, value: float) -> str:
        return json.dumps(
            {
                "user_id": self.user_id,
                "device_id": self.device_id,
                "metric": metric,
                "timestamp": format_us(at_us),
                "value": round(value, 3),
            },
            separators=(",", ":"),
        )

    def _keep(self) -> None:
        """Put readings into the outbox. What it cannot take now stays in memory until the next measurement."""
        beyond = len(self._unkept) - _MOST_UNKEPT
        if beyond > 0:
            self.heard.dropped += beyond
            del self._unkept[:beyond]
        try:
            self.outbox.put(self._unkept)
        except StoreUnavailableError as error:
            if not self._in_memory:
                self.say(f"Readings are kept in memory alone: {error}.")
            self._in_memory = True
            return
        self._in_memory = False
        self._unkept.clear()


def device_id_of(name: str) -> str:
    """Return a device id that says the strap's name, as far as ids can."""
    return re.sub(r"[^A-Za-z0-9._:@+-]+", "-", name).strip("-")[:128] or "strap"


async def find_strap(wanted: str | None, bluetooth: Bluetooth) -> BLEDevice | None:
    """Look for a strap of this name or address, or for the only one there is; None if there is none now.

    Raises:
        StopError: there are several to choose from, or this machine has no Bluetooth.
    """
    library = _library()
    with _meaning():
        found = await library.BleakScanner.discover(
            timeout=bluetooth.scan_s,
            service_uuids=[HEART_RATE_SERVICE],
            backend=bluetooth.scanner,
        )
    if wanted is not None:
        found = [each for each in found if wanted.casefold() in (each.address.casefold(), (each.name or "").casefold())]
    if len(found) > 1:
        raise StopError(f"several straps are near, choose one with --strap: {_named(found)}")
    return found[0] if found else None


async def follow_strap(wanted: str | None, recorder: StrapRecorder, bluetooth: Bluetooth) -> None:
    """Record what a strap tells until cancelled. One that goes out of reach is looked for again.

    Raises:
        StopError: as `find_strap`, before the first measurement. Later a Bluetooth that is off may come back.
    """
    wait_s, said = bluetooth.first_wait_s, ""
    while True:
        problem, before = "", recorder.heard.measurements
        try:
            device = await find_strap(wanted, bluetooth)
        except StopError as error:
            if not before:
                raise
            problem = f"{error}. Trying again."
        else:
            if device is None:
                problem = "No strap is in reach; it has to be worn, and connected to nothing else. Looking on."
            else:
                wanted = device.address
                recorder.found(device)
                await _listen(device, recorder, bluetooth)
                recorder.interrupted()
        if problem and problem != said:
            recorder.say(problem)
        said = problem
        await asyncio.sleep(wait_s)
        wait_s = bluetooth.first_wait_s if recorder.heard.measurements > before else min(2 * wait_s, _LONGEST_WAIT_S)


async def _listen(device: BLEDevice, recorder: StrapRecorder, bluetooth: Bluetooth) -> None:
    """Record until the strap is gone."""
    library = _library()
    gone, heard = asyncio.Event(), asyncio.Event()

    def on_measurement(_: Any, data: bytearray) -> None:
        heard.set()
        recorder.take(bytes(data))

    name = device.name or device.address
    try:
        async with library.BleakClient(device, lambda _: gone.set(), backend=bluetooth.client) as client:
            await client.start_notify(HEART_RATE_MEASUREMENT, on_measurement)
            recorder.say(f"Connected to {name}.")
            while await _either(gone, heard, bluetooth.silence_s):
                heard.clear()
    except (library.exc.BleakError, TimeoutError, OSError) as error:
        recorder.say(f"{name} cannot be reached: {error or type(error).__name__}. Trying again.")
    else:
        recorder.say(f"{name} is {'gone' if gone.is_set() else 'silent'}. Looking for it again.")


async def _either(gone: asyncio.Event, heard: asyncio.Event, most_s: float) -> bool:
    """Wait for news; return False if the strap is gone, or silent for so long."""
    waiting = [asyncio.ensure_future(each.wait()) for each in (gone, heard)]
    try:
        done, _ = await asyncio.wait(waiting, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    return bool(done) and not gone.is_set()


def _library() -> Any:
    try:
        import bleak
        import bleak.exc
    except ImportError:
        raise StopError("straps need the library bleak; in the checkout: pip install '.[bluetooth]'") from None
    return bleak


@contextlib.contextmanager
def _meaning() -> Iterator[None]:
    """Translate what a machine says that has no Bluetooth, or none that we may use."""
    library = _library()
    try:
        yield
    except FileNotFoundError as error:  # the socket of the system's message bus
        raise StopError("this machine's Bluetooth cannot be used: the system's service for it does not run") from error
    except (library.exc.BleakError, OSError) as error:
        raise StopError(f"this machine's Bluetooth cannot be used: {error or type(error).__name__}") from error


def _named(devices: Sequence[BLEDevice]) -> str:
    return ", ".join(f"{each.name or 'without a name'} ({each.address})" for each in devices)
