"""Kills while people, their priorities, days and erasures are changed: each is as before a request or as after it."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User
from tests.faults.test_merge_kill import every_kill, truth_of
from tests.stores.harness import write
from tests.support.process import Place, reading, serving, wait_until
from tests.support.victim import BASE_US, Op, prepared, run_of

#: Kills of a whole server. A start takes most of a round.
ROUNDS = 8
CLIENTS = 4
#: Seconds of two devices that contradict each other, and what each of them says.
SECONDS = range(0, 1200, 30)
VALUES = {"a": 60.0, "b": 100.0}


def script() -> list[Op]:
    """Changes of people who are known, who are only in the journal, and who are new."""
    day = DailySummary("zoe", date(2024, 3, 1), 55.0, "vendor")
    of_ann = replace(day, user_id="ann")
    strap = run_of("eve", "strap", BASE_US, 10, 9000)
    return [
        Op("renamed", lambda store: store.put_user(User("ann", "Another", "female"))),
        Op("new", lambda store: store.put_user(User("zoe", "Zoe", time_zone="Europe/Berlin"))),
        Op("in the journal alone", lambda store: write(store, *strap)),
        Op("named", lambda store: store.put_user(User("eve", "Eve"))),
        Op("several", lambda store: store.put_users([User("kim", "Kim"), User("lee", "Lee"), User("ann", "Ann")])),
        Op("decided", lambda store: store.put_priority(DevicePriority("ann", "device_b", 0, BASE_US))),
        Op("new device", lambda store: store.put_priority(DevicePriority("zoe", "nobody has it", 3, 0))),
        Op("new person and device", lambda store: store.put_priority(DevicePriority("max", "nor this", 4, 0))),
        Op("taken back", lambda store: store.remove_priorities("ann", "device_b")),
        Op("days", lambda store: store.put_summaries([day, of_ann, replace(day, user_id="pat")])),
        Op("close", work=lambda store: store.close()),
    ]


@pytest.mark.parametrize(
    ("begun", "end", "must_be_met"),
    [
        (0, 5, ["INSERT INTO users", "INSERT OR REPLACE INTO users", "COMMIT", "CHECKPOINT"]),
        (5, 8, ["INSERT OR REPLACE INTO priorities", "DELETE FROM h1", "INSERT INTO h1", "INSERT INTO devices"]),
        (8, 11, ["DELETE FROM priorities", "DELETE FROM h1", "INSERT OR REPLACE INTO summaries", "COMMIT", "the end"]),
    ],
    ids=["people", "priorities", "taken back, and days"],
)
def test_a_kill_at_any_step_leaves_what_is_said_of_people_as_before_or_as_after(
    tmp_path: Path, begun: int, end: int, must_be_met: list[str]
) -> None:
    prepared(tmp_path / "template" / "store.duckdb", script()[:begun])
    met = list(every_kill(tmp_path, truth_of(script), begun, end, script))
    for step in must_be_met:
        assert any(where.startswith(step) for where in met), f"no kill before {step}: {met}"


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a person; nobody knows somebody who was erased."""

    name: str | None = None
    priority: int | None = None
    readings: int = 0
    is_known: bool = True
    is_barred: bool = False


@dataclass(slots=True)
class Someone:
    """A client that changes one person over and over. It knows what was acknowledged, and what it is asking for."""

    user_id: str
    dice: random.Random
    said: Said = field(default_factory=Said)
    asked: Said = field(default_factory=Said)
    answers: int = 0
    faults: list[str] = field(default_factory=list)

    def run(self, url: str) -> None:
        """Until the server is gone."""
        with httpx.Client(base_url=url, timeout=60) as client:
            try:
                while True:
                    self._change(client)
            except httpx.TransportError:
                pass

    def _change(self, client: httpx.Client) -> None:
        path = f"/v1/users/{self.user_id}"
        number = self.dice.randrange(1_000_000)
        if self.said.is_barred:
            self._ask(client, "POST", f"{path}/allow", replace(self.said, is_barred=False))
            return
        if not self.said.is_known:
            body = {"name": f"Name {number}"}
            self._ask(client, "PUT", path, Said(body["name"]), json=body)
            return
        kind = self.dice.choices(("name", "priority", "taken back", "readings", "erased"), (4, 5, 2, 3, 1))[0]
        if kind == "name":
            body = {"name": f"Name {number}", "gender": "female"}
            self._ask(client, "PUT", path, replace(self.said, name=body["name"]), json=body)
        elif kind == "priority":
            priority = self.dice.choice((1, 2000))
            after = replace(self.said, priority=priority)
            self._ask(client, "PUT", f"{path}/devices/a/priority", after, json={"priority": priority})
        elif kind == "taken back":
            self._ask(client, "DELETE", f"{path}/devices/a/priority", replace(self.said, priority=None))
        elif kind == "readings":
            rows = [reading(self.user_id, n, VALUES[device], device) for device in VALUES for n in SECONDS]
            after = replace(self.said, readings=len(rows))
            self._ask(client, "POST", "/v1/metrics/heart-rate/batch", after, json={"readings": rows})
        else:
            self._ask(client, "DELETE", path, Said(is_known=False, is_barred=True))

    def _ask(self, client: httpx.Client, method: str, path: str, after: Said, **sent: Any) -> None:
        self.asked = after
        answer = client.request(method, path, **sent)
        if answer.status_code < 300:
            self.said = after
        elif answer.status_code != 503:
            self.faults.append(f"{method} {path.rsplit('/', maxsplit=1)[-1]}: {answer.status_code} {answer.text}")
        self.asked = self.said
        self.answers += 1

    def look(self, client: httpx.Client) -> None:
        """What is there after a restart is what was acknowledged, or what was being asked for; go on from that."""
        found = seen(client, self.user_id)
        allowed = [replace(each, is_barred=False) for each in (self.said, self.asked)]
        assert replace(found, is_barred=False) in allowed, (self.user_id, found, self.said, self.asked)
        erased = [each for each in (self.said, self.asked) if each.is_barred]
        if len(erased) == 2:
            assert not found.is_known
        # Whether the id is barred shows with the next change alone.
        is_barred = bool(erased) and not found.is_known
        if is_barred:
            refused = client.post("/v1/metrics/heart-rate", json=reading(self.user_id, 1, device_id="c"))
            is_barred = refused.status_code != 202
            if not is_barred:
                client.delete(f"/v1/users/{self.user_id}")
                is_barred = True
        self.said = self.asked = replace(found, is_barred=is_barred)


def seen(client: httpx.Client, user_id: str) -> Said:
    """What the server says of a person; every rung must be of the device that their priorities believe. Without one of
    their own both devices have the same, and the first id is believed.
    """
    overview = client.get(f"/v1/users/{user_id}")
    if overview.status_code == 404:
        return Said(is_known=False)
    assert overview.status_code == 200, overview.text
    (name, readings) = (overview.json()[each] for each in ("name", "readings"))
    devices = {each["device_id"]: each for each in client.get(f"/v1/users/{user_id}/devices").json()["data"]}
    entries = devices.get("a", {"priorities": []})["priorities"]
    priority = entries[0]["priority"] if entries else None
    if readings:
        asked = {"user_id": user_id, "start_date": "2024-01-01", "end_date": "2024-01-01"}
        averages = {
            average
            for interval in ("1m", "1h", "1d")
            for average in client.get("/v1/timeseries", params=asked | {"interval": interval}).json()["columns"]["avg"]
        }
        believed = VALUES["b"] if priority == 2000 else VALUES["a"]
        assert averages == {believed}, (user_id, priority, averages)
    return Said(name, priority, readings)


def all_hidden(client: httpx.Client) -> bool:
    return all(each["stage"] != "requested" for each in client.get("/v1/erasures").json()["data"])


def test_kills_at_random_moments_leave_people_as_before_or_as_after_each_request(tmp_path: Path) -> None:
    place = Place(tmp_path, merge_interval_s="0.05", merge_readings="100")
    people = [Someone(f"person-{number}", random.Random(number), Said(), Said()) for number in range(CLIENTS)]
    moments = random.Random(3)
    for round_number in range(ROUNDS + 1):
        with serving(place) as server:
            # An erasure that was noted before the kill goes on by itself.
            wait_until(lambda server=server: all_hidden(server.client), "the end of erasures")
            for someone in people:
                if round_number:
                    someone.look(server.client)
            assert place.run("check").returncode == 0
            if round_number == 0:
                for someone in people:
                    assert server.client.put(f"/v1/users/{someone.user_id}", json={}).status_code == 201
            before = [someone.answers for someone in people]
            threads = [threading.Thread(target=someone.run, args=(server.url,)) for someone in people]
            for thread in threads:
                thread.start()
            wait_until(lambda before=before: all(a.answers > b for a, b in zip(people, before, strict=True)), "answers")
            time.sleep(moments.uniform(0, 0.4))
            server.kill()
            for thread in threads:
                thread.join()
    assert [someone.faults for someone in people] == [[]] * len(people)
