"""A server dies over and over while it tells a webhook of readings: every event of what was stored arrives.

python -m tests.faults.webhook_kills --kills 200

People's devices write until the server is killed: while the receiver is down, while it has a delivery that it did not
answer yet, or right after a write was acknowledged. After each restart every reading that is stored has to be in
exactly one event, and the events about a person have to come in order. One may come several times, with the same body.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2 as httpx
from standardwebhooks.webhooks import Webhook

from pulsebase.model.timerange import SECOND_US, parse_reading_time
from tests.support.process import BASE_US, Place, Server, reading, serving, wait_until
from tests.support.receiver import Came, Receiver, receiving

Moment = Literal["receiver down", "delivery under way", "write acknowledged"]
MOMENTS: tuple[Moment, ...] = ("receiver down", "delivery under way", "write acknowledged")
#: The longest that a server lives on after what was waited for, seconds.
_LONGEST_S = 0.15
_PEOPLE = 4
#: How long everything has to be told after a restart. What failed once is sent again after five seconds.
_PATIENCE_S = 120.0


@dataclass
class Device:
    """One person's: it writes each second's reading once, in order, so that a time says which write it was of."""

    user_id: str
    random: random.Random
    acknowledged: set[int] = field(default_factory=set)
    answers: int = 0
    _next_second: int = 0

    def work(self, url: str) -> None:
        """Write until the server is gone."""
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                seconds = range(self._next_second, self._next_second + self.random.randint(1, 5))
                self._next_second = seconds.stop
                body = {"readings": [reading(self.user_id, second) for second in seconds]}
                try:
                    answer = client.post("/v1/metrics/heart-rate/batch", json=body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 202, answer.text
                self.acknowledged.update(BASE_US + second * SECOND_US for second in seconds)
                self.answers += 1


@dataclass
class Told:
    """What the receiver was told, checked: signatures, ids, order, and that no reading is in two events."""

    secret: str
    came: list[Came]
    repeated: int = 0
    _bodies: dict[str, bytes] = field(default_factory=dict)
    _ends: dict[str, int] = field(default_factory=dict)
    _stretches: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    _seen: int = 0

    def look(self) -> None:
        """Take in what came since."""
        library = Webhook(self.secret)
        for _, headers, body in self.came[self._seen :]:
            self._seen += 1
            event: dict[str, Any] = dict(library.verify(body, headers))  # raises unless the signature is right
            event_id, data = headers["webhook-id"], event["data"]
            if event_id in self._bodies:
                assert self._bodies[event_id] == body, "the same id stands for the same event"
                self.repeated += 1
                continue
            self._bodies[event_id] = body
            start_us, end_us = (parse_reading_time(data[name]) for name in ("start", "end"))
            assert start_us >= self._ends.get(data["user_id"], 0), (
                "events about a person come in order, and do not overlap"
            )
            self._ends[data["user_id"]] = end_us
            self._stretches.setdefault(data["user_id"], []).append((start_us, end_us, data["readings"]))

    def readings(self, user_id: str) -> int:
        """How many readings of a person the events together speak of."""
        return sum(readings for _, _, readings in self._stretches.get(user_id, ()))

    def speaks_of(self, user_id: str, time_us: int) -> bool:
        """Whether some event does."""
        return any(start_us <= time_us < end_us for start_us, end_us, _ in self._stretches.get(user_id, ()))


@dataclass
class Run:
    """What happened: kills by their moment, events that came again, and readings that were written."""

    kills: Counter[str] = field(default_factory=Counter)
    events: int = 0
    repeated: int = 0
    readings: int = 0


def kill_over_and_over(folder: Path, kills: Sequence[Moment], seed: int) -> Run:
    """Kill a server at these moments."""
    chance, run = random.Random(seed), Run()
    place = Place(folder, webhook_private_networks='["127.0.0.0/8"]', merge_interval_s="0.05", merge_readings="300")
    devices = [Device(f"person-{number}", random.Random(seed + number)) for number in range(_PEOPLE)]
    with receiving() as receiver:
        with serving(place) as server:
            body = {"url": receiver.url, "events": ["readings.stored"]}
            told = Told(server.client.post("/v1/webhooks", json=body).json()["secret"], receiver.came)
            _write_and_kill(server, devices, receiver, kills[0], chance)
        for n, moment in enumerate(kills):
            run.kills[moment] += 1
            with serving(place) as server:
                _wait_until_all_is_told(server, devices, told)
                if n + 1 < len(kills):
                    _write_and_kill(server, devices, receiver, kills[n + 1], chance)
        assert "The store is sound." in place.run("check").stdout
    run.events, run.repeated = len(told._bodies), told.repeated
    run.readings = sum(len(device.acknowledged) for device in devices)
    return run


def _write_and_kill(
    server: Server, devices: Sequence[Device], receiver: Receiver, moment: Moment, chance: random.Random
) -> None:
    before, came = [device.answers for device in devices], len(receiver.came)
    if moment == "receiver down":
        receiver.shut()
    elif moment == "delivery under way":
        receiver.silent.clear()
    threads = [threading.Thread(target=device.work, args=(server.url,)) for device in devices]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(d.answers > b for d, b in zip(devices, before, strict=True)), "acknowledgements")
    if moment == "delivery under way":
        wait_until(lambda: len(receiver.came) > came, "a delivery")
    time.sleep(chance.uniform(0, _LONGEST_S))
    if moment == "write acknowledged":  # no longer than it takes the next answer to arrive
        answers = sum(device.answers for device in devices)
        while sum(device.answers for device in devices) == answers and threads[0].is_alive():
            time.sleep(0)
    server.kill()
    for thread in threads:
        thread.join()
    receiver.silent.set()
    receiver.open()


def _wait_until_all_is_told(server: Server, devices: Sequence[Device], told: Told) -> None:
    stored = {device.user_id: set(server.raw(device.user_id)) for device in devices}
    for device in devices:
        assert device.acknowledged <= stored[device.user_id], "what was acknowledged is stored"

    def is_told() -> bool:
        told.look()
        for user_id, times in stored.items():
            assert told.readings(user_id) <= len(times), "no reading is in two events"
        return all(told.readings(user_id) == len(times) for user_id, times in stored.items())

    wait_until(is_told, "every event", _PATIENCE_S)
    assert all(told.speaks_of(user_id, time_us) for user_id, times in stored.items() for time_us in times)
    listed = server.client.get("/v1/webhooks").json()["data"][0]["webhook_id"]

    def left() -> list[dict[str, Any]]:
        answer = server.client.get(f"/v1/webhooks/{listed}/deliveries", params={"limit": 1000}).json()["data"]
        return [each for each in answer if each["state"] != "delivered"]

    wait_until(lambda: left() == [], "nothing waits, and nothing was given up")


def main() -> None:
    """Kill as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        print(kill_over_and_over(Path(folder), chance.choices(MOMENTS, k=asked.kills), asked.seed))


if __name__ == "__main__":
    main()
