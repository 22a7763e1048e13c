"""Clients that write until their server dies, and know what it must still have."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any

import httpx2 as httpx

from pulsebase.model.timerange import format_us
from tests.support.process import BASE_US, reading

State = dict[int, float]


class Client:
    """One person's device: batches, single readings, corrections and deletions, one request after the other.

    `acknowledged` is what every answered request together left behind. The request that the server's death leaves
    unanswered may have been carried out or not, but not in part: afterwards the state is `acknowledged` or `possible`.
    """

    def __init__(self, user_id: str, seed: int) -> None:
        self.user_id = user_id
        self.acknowledged: State = {}
        self.possible: State = {}
        self.answers = 0
        self.refusals: list[str] = []
        self._random = random.Random(seed)
        self._next_second = 0

    def settle(self, stored: State) -> None:
        """Check what the server has after a restart, and go on from there."""
        assert stored in (self.acknowledged, self.possible), self._difference(stored)
        self.acknowledged = self.possible = stored

    def work(self, url: str) -> None:
        """Write until the server is gone."""
        with httpx.Client(base_url=url, timeout=60) as client:
            while self._one(client):
                pass

    def _one(self, client: httpx.Client) -> bool:
        choice = self._random.random()
        self.possible = dict(self.acknowledged)
        try:
            if choice < 0.1 and self.acknowledged:
                answer = self._delete(client)
            elif choice < 0.5:
                answer = client.post("/v1/metrics/heart-rate", json=self._readings(1)[0])
            else:
                readings = self._readings(self._random.randint(2, 60))
                answer = client.post("/v1/metrics/heart-rate/batch", json={"readings": readings})
        except httpx.TransportError:
            return False
        if answer.is_success:
            self.answers += 1
            self.acknowledged = self.possible
            return True
        # Refused while the server stops: nothing was stored.
        self.possible = self.acknowledged
        self.refusals.append(f"{answer.status_code} {answer.text}")
        return answer.status_code == 503

    def _readings(self, count: int) -> list[dict[str, Any]]:
        """Mostly new ones, some that correct an older one."""
        readings = []
        for _ in range(count):
            if self._next_second and self._random.random() < 0.1:
                second = self._random.randrange(self._next_second)
            else:
                second, self._next_second = self._next_second, self._next_second + 1
            value = self._random.randint(3000, 22000) / 100
            self.possible[BASE_US + second * 1_000_000] = value
            readings.append(reading(self.user_id, second, value))
        return readings

    def _delete(self, client: httpx.Client) -> httpx.Response:
        first = self._random.randrange(self._next_second)
        start, end = (BASE_US + second * 1_000_000 for second in (first, first + 5))
        for time_us in range(start, end, 1_000_000):
            self.possible.pop(time_us, None)
        asked = {"user_id": self.user_id, "start": format_us(start), "end": format_us(end)}
        return client.request("DELETE", "/v1/metrics/heart-rate", params=asked)

    def _difference(self, stored: State) -> str:
        wrong = {at for at in stored.keys() | self.acknowledged.keys() if stored.get(at) != self.acknowledged.get(at)}
        return f"{self.user_id}: {len(wrong)} of {len(self.acknowledged)} acknowledged readings are not as they were"


class Load:
    """Several clients at once, a thread each."""

    def __init__(self, clients: Sequence[Client], url: str) -> None:
        self._threads = [threading.Thread(target=client.work, args=(url,), daemon=True) for client in clients]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have noticed that the server is gone."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
