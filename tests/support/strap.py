"""A heart rate strap without a radio: backends of bleak by which the real library finds it, connects, and is told."""

from __future__ import annotations

import asyncio
from typing import Any

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from pulsebase.sources.heart_rate_service import HEART_RATE_MEASUREMENT, HEART_RATE_SERVICE
from pulsebase.sources.strap import Bluetooth


class SimulatedStrap:
    """A strap that is in reach or not, and tells who has connected what it is told to."""

    def __init__(self, name: str = "Polar H10 1234", address: str = "AA:BB:CC:00:00:01") -> None:
        self.name, self.address = name, address
        self.in_reach = True
        self.listeners: list[NotifyCallback] = []
        self.clients: list[_Client] = []

    def tell(self, *data: int) -> None:
        """Notify whoever listens of a value."""
        for listener in self.listeners:
            listener(bytearray(data))

    def leave(self) -> None:
        """Go out of reach: connections end."""
        self.in_reach = False
        self.listeners.clear()
        for client in self.clients:
            client.lose()
        self.clients.clear()

    async def listened_to(self) -> None:
        """Wait until somebody listens."""
        while not self.listeners:
            await asyncio.sleep(0.005)


def bluetooth_with(*straps: SimulatedStrap) -> Bluetooth:
    """A machine's Bluetooth near these straps."""
    scanner = type("Scanner", (_Scanner,), {"straps": straps})
    client = type("Client", (_Client,), {"straps": straps})
    return Bluetooth(scanner, client, scan_s=0.01, silence_s=60, first_wait_s=0.01)


class _Scanner(BaseBleakScanner):
    straps: tuple[SimulatedStrap, ...] = ()

    def __init__(self, detection_callback: Any, service_uuids: Any, *_: Any, **__: Any) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices.clear()
        for each in self.straps:
            if each.in_reach:
                told = AdvertisementData(each.name, {}, {}, [HEART_RATE_SERVICE], None, -50, ())
                device = self.create_or_update_device(each.address, each.address, each.name, each, told)
                self.call_detection_callbacks(device, told)

    async def stop(self) -> None:
        pass


class _Client(BaseBleakClient):
    straps: tuple[SimulatedStrap, ...] = ()
    _strap: SimulatedStrap | None = None

    @property
    def name(self) -> str:
        return self._strap.name if self._strap else ""

    @property
    def mtu_size(self) -> int:
        return 23

    @property
    def is_connected(self) -> bool:
        return self._strap is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        found = next((each for each in self.straps if each.address == self.address and each.in_reach), None)
        if found is None:
            raise BleakError("the device is not there")
        found.clients.append(self)
        self._strap = found
        self.services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, HEART_RATE_SERVICE)
        self.services.add_service(service)
        self.services.add_characteristic(
            BleakGATTCharacteristic(None, 2, HEART_RATE_MEASUREMENT, ["notify"], lambda: 20, service)
        )

    async def disconnect(self) -> None:
        if self._strap is not None:
            self._strap.listeners.clear()
        self._strap = None

    def lose(self) -> None:
        self._strap = None
        if self._disconnected_callback:
            self._disconnected_callback()

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        assert self._strap is not None
        self._strap.listeners.append(callback)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        assert self._strap is not None
        self._strap.listeners.clear()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        raise BleakError("not simulated")

    async def unpair(self) -> None:
        raise BleakError("not simulated")

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **kwargs: Any) -> bytearray:
        raise BleakError("not simulated")

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **kwargs: Any) -> bytearray:
        raise BleakError("not simulated")

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        raise BleakError("not simulated")

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        raise BleakError("not simulated")
