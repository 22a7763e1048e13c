"""A real MQTT broker in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.needs import need, need_program
from tests.support.process import wait_until

_FOLDER = Path(__file__).with_name("mqtt_broker")


class Broker:
    """A broker on a port of its own, which may be killed and started again."""

    def __init__(self, log: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._log = log
        self._files = [str(path) for path in (certificate, key) if path is not None]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        need_program("node")
        need(
            (_FOLDER / "node_modules").is_dir(),
            "MQTT broker for tests: `make` installs it in tests/support/mqtt_broker",
        )
        with self._log.open("ab") as log:
            command = ["node", "broker.js", str(self.port), *self._files]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=_FOLDER)
        wait_until(self._listens, "the broker", 60)

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def broker(log: Path, certificate: Path | None = None, key: Path | None = None) -> Iterator[Broker]:
    """A broker during the block."""
    started = Broker(log, certificate, key)
    started.start()
    try:
        yield started
    finally:
        started.kill()


class Publisher:
    """A client that publishes, and remembers what stands under topics, and all that it heard there."""

    def __init__(self, port: int, *watched: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.seen: dict[str, bytes] = {}
        self.heard: list[bytes] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "publisher")
        self._client.on_message = self._on_message
        self._watched = [(topic, 1) for topic in watched or ("none",)]
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(30)

    def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish a message, and wait until the broker has it."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(30)

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, *_: Any) -> None:
        client.subscribe(self._watched)

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        self.seen[message.topic] = message.payload
        self.heard.append(message.payload)
