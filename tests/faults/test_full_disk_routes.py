"""Every route that changes something, on a disk without room: a refusal that says what was kept, and is true; then,
with room, the same request goes through without a restart.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx2 as httpx
import pyarrow as pa
import pytest

from pulsebase.access.access_file import AccessFile
from pulsebase.access.scopes import NEEDS
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.cli.session import client_at, listening
from pulsebase.etl.state import RunFilter
from pulsebase.events.kinds import Event
from pulsebase.events.webhooks import Told
from pulsebase.lifecycle import erasures
from pulsebase.model.errors import DiskFullError
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.settings import Settings
from pulsebase.sources.synthetic import DEMO_PEOPLE
from pulsebase.wiring import BuiltServer, build
from tests.support.clouds import SimulatedCloud, consent, simulated
from tests.support.disk import SmallDisk, mounted
from tests.support.in_process import InProcessClient
from tests.support.process import BASE_US, reading, wait_until

PERSON = DEMO_PEOPLE[0].user_id
#: More than fits into what a file has of its last page.
MANY = 3000


class Ground(NamedTuple):
    """A server whose files are all on one small disk, and the cloud it asks."""

    disk: SmallDisk
    parts: BuiltServer
    client: httpx.Client
    cloud: SimulatedCloud

    def fresh(self) -> str:
        """An id that nobody has."""
        return f"somebody-{uuid.uuid4().hex[:8]}"

    def somebody(self) -> str:
        """A new person with readings, two devices and a name."""
        user_id = self.fresh()
        rows = [reading(user_id, second, device_id=device) for device in ("a", "b") for second in range(400)]
        assert self.client.post("/v1/metrics/heart-rate/batch", json={"readings": rows}).status_code == 202
        assert self.client.put(f"/v1/users/{user_id}", json={"name": "Somebody"}).status_code == 200
        return user_id

    def breathing(self) -> str:
        """A new person with readings of oxygen saturation."""
        user_id = self.fresh()
        rows = [vital_sign(user_id, second) for second in range(400)]
        answer = self.client.post("/v1/metrics/oxygen-saturation/batch", json={"readings": rows})
        assert answer.status_code == 202
        return user_id

    def imported(self) -> int:
        """An import whose readings are stored."""
        params = {"kind": "import", "name": uuid.uuid4().hex}
        answer = self.client.post("/v1/admin/readings", params=params, content=block(self.fresh()))
        assert answer.json()["accepted"] == MANY, answer.text
        number: int = answer.json()["import_id"]
        return number

    def imported_and_told(self) -> int:
        """An import, and a webhook that is told when it ends."""
        assert self.client.post("/v1/webhooks", json=WEBHOOK | {"events": ["import.finished"]}).status_code == 201
        return self.imported()

    def signalled(self) -> str:
        """A signal."""
        return str(self.client.post("/v1/signals", json=SIGNAL).json()["signal_id"])

    def told(self) -> str:
        """A webhook."""
        return str(self.client.post("/v1/webhooks", json=WEBHOOK).json()["webhook_id"])

    def given_up(self) -> str:
        """A webhook with dead deliveries."""
        webhook_id, webhooks = self.told(), self.parts.services.webhooks
        number = next(each.number for each in webhooks.all() if each.webhook_id == webhook_id)
        event = Event("connection.failed", self.fresh(), {"source": "x" * 200})
        with patch.object(webhooks._file, "most_waiting", 0):
            webhooks._file.note([Told(event, [number])] * 900, 1)
        return webhook_id

    def erased(self) -> str:
        """Somebody who was erased."""
        user_id = self.somebody()
        assert self.client.delete(f"/v1/users/{user_id}").status_code == 200
        return user_id

    def connected(self) -> str:
        """A person who is connected to the cloud."""
        asked = {"user_id": self.fresh(), "redirect_uri": "http://127.0.0.1:1/back"}
        begun = self.client.post("/v1/admin/sources/fitbit/authorize", json=asked).json()
        came = {name: value for name, value in consent(begun["url"], PERSON).items() if name in ("state", "code")}
        assert self.client.post("/v1/admin/sources/fitbit/callback", json=came).status_code == 200
        return str(asked["user_id"])

    def said_yes(self) -> dict[str, str]:
        """What comes back for somebody who said yes at the cloud."""
        asked = {"user_id": self.fresh(), "redirect_uri": "http://127.0.0.1:1/back"}
        begun = self.client.post("/v1/admin/sources/fitbit/authorize", json=asked).json()
        return {name: value for name, value in consent(begun["url"], PERSON).items() if name in ("state", "code")}

    def came_back(self) -> dict[str, str]:
        """The same for a browser, which keeps what the callback asks for."""
        asked = {"user_id": self.fresh()}
        page = httpx.URL(self.client.post("/v1/sources/fitbit/authorize", json=asked).json()["url"])
        sent = self.client.post(page.path, data={"ticket": page.params["ticket"]}, follow_redirects=False)
        url = sent.headers["location"]
        return {name: value for name, value in consent(url, PERSON).items() if name in ("state", "code")}

    def forget(self) -> None:
        """Remove everybody, so that there is little to compare."""
        store = self.parts.services.store
        for each in store.users("", 1000, None):
            store.remove_user(each.user.user_id)

    def quiet(self) -> None:
        """Wait until nothing in the background changes anything, or gives room back."""
        receipts = self.parts.services.erasures.receipts
        wait_until(lambda: all(each.stage == "scrubbed" for each in receipts()), "the end of erasures")
        wait_until(lambda: not self.parts.services.imports.busy, "the end of imports")

    def state(self) -> Any:
        """Everything there is to see of the store and of what lies beside it; what an import is called aside."""
        built = self.parts.services
        found = built.store.users("", 1000, None)
        people = [each.user.user_id for each in found]
        readings = [built.store.readings(user_id, EVER).drop(["origin"]) for user_id in people]
        return {
            "people": found,
            "readings": [table for table in readings if table.num_rows],
            "priorities": [built.store.priorities(user_id) for user_id in people],
            "annotations": [built.store.annotations(user_id) for user_id in people],
            "days": [built.store.summaries(user_id, *DAYS_OF_ALL) for user_id in people],
            "connections": built.sync.state.connections(),
            "runs": built.sync.state.runs(RunFilter(limit=1000)),
            "receipts": [(each.erasure_id, each.hidden_us) for each in built.erasures.receipts()],
            "horizon": built.store.horizon_us(),
            "webhooks": [each.webhook_id for each in built.webhooks.all()],
            "keys": len(built.access.state.all_keys()),
            "tokens": sorted(path.name for path in self.disk.folder.rglob("tokens/*")),
        }


#: As long as one may be.
NOTE = {"start": "2024-01-15T10:00:00Z", "text": "x" * 2_000}
EVER = TimeRange(0, MAX_US)
#: Of an event that does not happen here.
WEBHOOK = {"url": "http://127.0.0.1:1/", "events": ["connection.failed"]}
SIGNAL = {"metric": "heart_rate", "above": 219, "for": "30d"}
DAYS_OF_ALL = (date(1970, 1, 1), date(2199, 1, 1))


def block(user_id: str) -> bytes:
    """A block of an import as the command sends it."""
    ids = pa.array([user_id] * MANY).dictionary_encode()
    devices = pa.array(["a"] * MANY).dictionary_encode()
    times = pa.array([BASE_US + n * 1_000_000 for n in range(MANY)])
    columns = [ids, devices, times, pa.array([70.0] * MANY), pa.array([-1] * MANY, pa.int8()), pa.array(range(MANY))]
    table = pa.table(columns, names=["user_id", "device_id", "time_us", "value", "confidence", "position"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def lines(user_id: str) -> bytes:
    return b"".join(
        b'{"user_id":"%s","device_id":"a","timestamp":"2024-01-01T%02d:%02d:%02dZ","heart_rate":70}\n'
        % (user_id.encode(), n // 3600, n // 60 % 60, n % 60)
        for n in range(MANY)
    )


def vital_sign(user_id: str, second: int) -> dict[str, Any]:
    fields = reading(user_id, second)
    return {name: value for name, value in fields.items() if name != "heart_rate"} | {"value": 97}


def record_lines(user_id: str) -> bytes:
    fields = b'"name":"%s","gender":null,"birth_date":null,"time_zone":null' % (b"N" * 200)
    return b"".join(b'{"user_id":"%s-%d",%s}\n' % (user_id.encode(), n, fields) for n in range(200))


def days(user_id: str) -> list[dict[str, Any]]:
    return [
        {
            "user_id": user_id,
            "day": f"2023-{1 + n // 28:02d}-{1 + n % 28:02d}",
            "resting_heart_rate": 60.0,
            "resting_heart_rate_method": None,
        }
        for n in range(300)
    ]


def person(**fields: Any) -> dict[str, Any]:
    return {"name": "N" * 256} | fields


def _annotation_to_remove(ground: Ground) -> tuple[str, dict[str, Any]]:
    path = f"/v1/users/{ground.somebody()}/annotations/run"
    assert ground.client.put(path, json=NOTE).status_code == 200
    return path, {}


def _priority_to_remove(ground: Ground) -> tuple[str, dict[str, Any]]:
    path = f"/v1/users/{ground.somebody()}/devices/a/priority"
    assert ground.client.put(path, json={"priority": 1}).status_code == 200
    return path, {}


def iphone_minute() -> dict[str, Any]:
    points = [{"date": f"2024-01-15 10:{n // 60:02}:{n % 60:02} +0000", "qty": 71} for n in range(900)]
    return {"name": "heart_rate", "units": "bpm", "data": points}


#: For each route that changes something a request that does, made while there is room.
REQUESTS: dict[str, Callable[[Ground], tuple[str, dict[str, Any]]]] = {
    "POST /metrics/heart-rate": lambda g: ("/v1/metrics/heart-rate", {"json": reading(g.fresh(), 1)}),
    "POST /metrics/heart-rate/batch": lambda _: (
        "/v1/metrics/heart-rate/batch",
        {"json": {"readings": [reading("ann", second) for second in range(1000)]}},
    ),
    "POST /metrics/heart-rate/bulk": lambda g: (
        "/v1/metrics/heart-rate/bulk",
        {"content": lines(g.fresh()), "headers": {"content-type": "application/x-ndjson"}},
    ),
    "POST /metrics/{metric}": lambda g: ("/v1/metrics/oxygen-saturation", {"json": vital_sign(g.fresh(), 1)}),
    "POST /metrics/{metric}/batch": lambda _: (
        "/v1/metrics/oxygen-saturation/batch",
        {"json": {"readings": [vital_sign("ann", second) for second in range(1000)]}},
    ),
    "POST /metrics/{metric}/bulk": lambda g: (
        "/v1/metrics/oxygen-saturation/bulk",
        {
            "content": lines(g.fresh()).replace(b"heart_rate", b"value"),
            "headers": {"content-type": "application/x-ndjson"},
        },
    ),
    "POST /readings": lambda g: (
        "/v1/readings",
        {"json": vital_sign(g.fresh(), 1) | {"metric": "rr_interval", "value": 800}},
    ),
    "POST /readings/batch": lambda _: (
        "/v1/readings/batch",
        {
            "json": {
                "readings": [vital_sign("ann", n) | {"metric": "respiratory_rate", "value": 14} for n in range(1000)]
            }
        },
    ),
    "POST /readings/bulk": lambda g: (
        "/v1/readings/bulk",
        {
            "content": lines(g.fresh()).replace(b'"heart_rate":', b'"metric": "rr_interval", "value": 7'),
            "headers": {"content-type": "application/x-ndjson"},
        },
    ),
    "DELETE /metrics/{metric}": lambda g: (
        "/v1/metrics/oxygen-saturation",
        {"params": {"user_id": g.breathing(), "start": "2024-01-01", "end": "2024-01-02"}},
    ),
    "POST /api/v2/write": lambda _: (
        "/api/v2/write",
        {
            "content": "\n".join(
                f"heart_rate,user_id=ann,device_id=d bpm=70 {(BASE_US + n * 1_000_000) * 1000}" for n in range(MANY)
            )
        },
    ),
    "POST /push/health-auto-export": lambda _: (
        "/v1/push/health-auto-export",
        {"params": {"user_id": "ann"}, "json": {"data": {"metrics": [iphone_minute()]}}},
    ),
    "POST /push/health-connect": lambda _: (
        "/v1/push/health-connect",
        {
            "params": {"user_id": "ann"},
            "json": {
                "heart_rate": [{"bpm": 70, "time": f"2024-01-15T10:{n // 60:02}:{n % 60:02}Z"} for n in range(900)]
            },
        },
    ),
    "POST /write": lambda _: (
        "/write",
        {
            "content": "\n".join(
                f"heart_rate,user_id=ann,device_id=d bpm=71 {(BASE_US + n * 1_000_000) * 1000}" for n in range(MANY)
            )
        },
    ),
    "POST /imports": lambda g: ("/v1/imports", {"params": {"name": "x.ndjson"}, "content": lines(g.fresh())}),
    "GET /sources/{source}/callback": lambda g: ("/v1/sources/fitbit/callback", {"params": g.came_back()}),
    "DELETE /users/{user_id}/sources/{source}": lambda g: (f"/v1/users/{g.connected()}/sources/fitbit", {}),
    "DELETE /metrics/heart-rate": lambda g: (
        "/v1/metrics/heart-rate",
        {"params": {"user_id": g.somebody(), "start": "2024-01-01", "end": "2024-01-02"}},
    ),
    "POST /users": lambda g: ("/v1/users", {"json": person(user_id=g.fresh())}),
    "PUT /users/{user_id}": lambda g: (f"/v1/users/{g.fresh()}", {"json": person()}),
    "PATCH /users/{user_id}": lambda g: (f"/v1/users/{g.somebody()}", {"json": person()}),
    "DELETE /users/{user_id}": lambda g: (f"/v1/users/{g.somebody()}", {}),
    "POST /users/{user_id}/allow": lambda g: (f"/v1/users/{g.erased()}/allow", {}),
    "PUT /users/{user_id}/devices/{device_id}/priority": lambda g: (
        f"/v1/users/{g.somebody()}/devices/a/priority",
        {"json": {"priority": 1}},
    ),
    "DELETE /users/{user_id}/devices/{device_id}/priority": _priority_to_remove,
    "POST /users/{user_id}/annotations": lambda g: (f"/v1/users/{g.somebody()}/annotations", {"json": NOTE}),
    "PUT /users/{user_id}/annotations/{annotation_id}": lambda g: (
        f"/v1/users/{g.somebody()}/annotations/run",
        {"json": NOTE},
    ),
    "DELETE /users/{user_id}/annotations/{annotation_id}": _annotation_to_remove,
    "DELETE /imports/{import_id}": lambda g: (f"/v1/imports/{g.imported()}", {}),
    "POST /signals": lambda _: ("/v1/signals", {"json": SIGNAL}),
    "DELETE /signals/{signal_id}": lambda g: (f"/v1/signals/{g.signalled()}", {}),
    "POST /webhooks": lambda _: ("/v1/webhooks", {"json": WEBHOOK}),
    "DELETE /webhooks/{webhook_id}": lambda g: (f"/v1/webhooks/{g.told()}", {}),
    "POST /webhooks/{webhook_id}/deliveries/retry": lambda g: (
        f"/v1/webhooks/{g.given_up()}/deliveries/retry",
        {"json": {}},
    ),
    "POST /admin/check": lambda _: ("/v1/admin/check", {}),
    "POST /admin/backup": lambda g: ("/v1/admin/backup", {"json": {"folder": str(g.disk.folder / uuid.uuid4().hex)}}),
    "POST /admin/retention": lambda _: ("/v1/admin/retention", {"json": {}}),
    "POST /admin/sql": lambda _: ("/v1/admin/sql", {"json": {"statement": "SELECT count(*) FROM readings"}}),
    "POST /admin/readings": lambda g: (
        "/v1/admin/readings",
        {"params": {"kind": "import", "name": uuid.uuid4().hex}, "content": block(g.fresh())},
    ),
    "POST /admin/imports/{import_id}/finished": lambda g: (
        f"/v1/admin/imports/{g.imported_and_told()}/finished",
        {
            "json": {"status": "done"}
            | dict.fromkeys(("files", "read", "written", "unchanged", "rejected", "people"), 1)
        },
    ),
    "POST /admin/settle": lambda _: ("/v1/admin/settle", {}),
    "POST /admin/summaries": lambda g: ("/v1/admin/summaries", {"json": days(g.somebody())}),
    "POST /admin/sources/{source}/authorize": lambda g: (
        "/v1/admin/sources/fitbit/authorize",
        {"json": {"user_id": g.fresh(), "redirect_uri": "http://127.0.0.1:1/back"}},
    ),
    "POST /admin/sources/{source}/callback": lambda g: ("/v1/admin/sources/fitbit/callback", {"json": g.said_yes()}),
    "POST /admin/etl/runs": lambda g: ("/v1/admin/etl/runs", {"json": {"user_id": g.connected()}}),
    # Of many people, so last.
    "POST /admin/users": lambda g: (
        "/v1/admin/users",
        {"json": {"users": [person(user_id=f"{g.fresh()}-{n}") for n in range(50)]}},
    ),
    "POST /admin/records": lambda g: (
        "/v1/admin/records",
        {"params": {"kind": "people"}, "content": record_lines(g.fresh())},
    ),
}
#: What may be done where the disk has no room: it takes none, or none that was not there before.
NEEDS_NO_ROOM = {"POST /admin/check", "POST /admin/sql", "POST /admin/settle", "POST /admin/retention"}


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    with mounted(tmp_path / "disk", "size=128m") as disk, simulated("fitbit", every_s=60) as cloud:
        (disk.folder / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(disk.folder / "tmp"))
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
        url = f"duckdb:///{disk.folder / 'store.duckdb'}"
        settings = Settings(
            _env_file=None,
            store_url=url,
            merge_interval_s=3600,
            public_url="http://localhost",
            webhook_private_networks=("127.0.0.0/8",),
            **cloud.settings(),
        )
        with (
            build(settings, now_us=cloud.clock.now_us) as parts,
            listening(parts) as (_, path),
            client_at(path) as client,
        ):
            yield Ground(disk, parts, client, cloud)


def test_every_route_that_changes_something_is_tried() -> None:
    changing = {name for name in NEEDS if not name.startswith("GET ")}
    # They keep nothing.
    changing -= {"POST /sources/{source}/authorize", "POST /sources/{source}/consent", "POST /query"}
    changing -= {"POST /keys"}  # makes none where access is off; see below for the file of keys
    changing |= {"GET /sources/{source}/callback"}
    assert set(REQUESTS) == changing


@pytest.mark.parametrize("left_bytes", [0, 8192])
def test_without_room_a_request_is_refused_with_the_truth_and_goes_through_once_there_is_some(
    ground: Ground, left_bytes: int
) -> None:
    refused = set()
    for route, make in REQUESTS.items():
        method = route.split(" ")[0]
        ground.forget()
        path, sent = make(ground)
        ground.quiet()
        before = ground.state()
        ground.disk.fill(left_bytes=left_bytes)
        try:
            answer = ground.client.request(method, path, **sent)
            held = ground.state()
        finally:
            ground.disk.make_room()
        if answer.status_code < 400:
            assert answer.status_code != 202 or route != "DELETE /users/{user_id}"
            continue
        refused.add(route)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:pulsebase:problem:disk-full"), (
            route,
            answer.text,
        )
        assert int(answer.headers["Retry-After"]) > 0
        detail = answer.json()["detail"]
        assert "disk is full" in detail or "no room" in detail
        assert str(ground.disk.folder) not in detail or "admin" in path, detail
        if "the person may be known" in detail:
            held["people"] = [each for each in held["people"] if each in before["people"]]
            held |= {
                name: before[name] for name in ("priorities", "annotations", "days")
            }  # of which there are as many as people
        if "some of the records may have been kept" not in detail:
            assert held == before, (route, detail)
        if "begin again" in detail:
            path, sent = make(ground)
        again = ground.client.request(method, path, **sent)
        assert again.status_code < 400, (route, again.status_code, again.text)
    if left_bytes == 0:
        assert refused >= set(REQUESTS) - NEEDS_NO_ROOM, set(REQUESTS) - NEEDS_NO_ROOM - refused
    assert ground.client.post("/v1/admin/check").json()["problems"] == []
    assert ground.client.get("/health").status_code == 200


@pytest.fixture
def marks_elsewhere(tmp_path: Path) -> Iterator[tuple[SmallDisk, BuiltServer]]:
    """A store on a small disk; what lies beside it is on another."""
    with mounted(tmp_path / "disk", "size=32m") as disk:
        url = f"duckdb:///{disk.folder / 'store.duckdb'}"
        settings = Settings(
            _env_file=None, store_url=url, merge_interval_s=3600, state_folder=tmp_path / "beside", access="off"
        )
        with build(settings) as parts:
            yield disk, parts


def fill_with(parts: BuiltServer, user_id: str) -> None:
    rows = [reading(user_id, second) for second in range(500)]
    answer = InProcessClient(parts.app).post("/v1/metrics/heart-rate/batch", json={"readings": rows})
    assert answer.status_code == 202


def test_an_erasure_that_is_noted_but_finds_no_room_goes_on_by_itself(
    marks_elsewhere: tuple[SmallDisk, BuiltServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "_RETRY_S", 0.2)
    disk, parts = marks_elsewhere
    client = InProcessClient(parts.app)
    fill_with(parts, "ann")
    disk.fill()
    answer = client.delete("/v1/users/ann")
    assert (answer.status_code, answer.json()["stage"], answer.json()["hidden_at"]) == (202, "requested", None)
    assert "the disk is full" in answer.json()["problem"]
    receipt = f"/v1/erasures/{answer.json()['erasure_id']}"
    assert client.get(receipt).json()["stage"] == "requested"
    assert client.get("/v1/users/ann").status_code == 200, "nothing of the person went"
    refused = client.post("/v1/metrics/heart-rate", json=reading("ann", 9_000))
    assert "erased" in refused.text, "and nothing is taken for them any more"
    disk.make_room()
    wait_until(lambda: client.get(receipt).json()["stage"] != "requested", "the erasure")
    assert client.get("/v1/users/ann").status_code == 404
    assert parts.store.stored().num_rows == 0


def test_a_receipt_that_finds_no_room_once_the_person_is_gone_is_brought_up_to_date_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "_RETRY_S", 0.2)
    with mounted(tmp_path / "disk", "size=1m") as disk:
        url = f"duckdb:///{tmp_path / 'store.duckdb'}"
        settings = Settings(_env_file=None, store_url=url, state_folder=disk.folder, access="off")
        with build(settings) as parts:
            client = InProcessClient(parts.app)
            fill_with(parts, "ann")
            remove_user = parts.store.remove_user

            def full_afterwards(user_id: str) -> int:
                removed = remove_user(user_id)
                disk.fill()
                return removed

            monkeypatch.setattr(parts.store, "remove_user", full_afterwards)
            answer = client.delete("/v1/users/ann")
            assert (answer.status_code, answer.json()["stage"]) == (200, "hidden"), "which is so"
            assert answer.json()["deleted"]["readings"] == 500
            assert client.get("/v1/users/ann").status_code == 404
            disk.make_room()
            receipt = f"/v1/erasures/{answer.json()['erasure_id']}"
            wait_until(lambda: client.get(receipt).json()["stage"] != "requested", "the receipt")
            assert client.get(receipt).json()["deleted"]["readings"] == 500


def test_a_key_that_finds_no_room_does_not_exist(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        state = AccessFile(disk.folder / "access.sqlite")
        disk.fill()
        kept = 0
        with contextlib.suppress(DiskFullError):
            for kept in range(100):  # there may be room inside of the file
                create_key(state, KeyRequest(f"key-{kept}", ["read"], [f"person-{n}" for n in range(50)]))
        assert kept < 99
        assert len(state.all_keys()) == kept
        disk.make_room()
        create_key(state, KeyRequest(f"key-{kept}", ["read"]))
        assert len(state.all_keys()) == kept + 1
        state.close()
