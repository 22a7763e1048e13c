"""Requests about heart rate whose answers were recorded, with the version before other metrics, in
`recorded/heart_rate.json`. `test_recorded_answers.py` asks them again, of new stores and of one that the version before
left, `recorded/store.tar.xz`.

The module needs nothing of the tests, so that an older version can record, with its `src` in `PYTHONPATH`:
`python tests/api/heart_rate_questions.py answers` and `… store`, each of which writes to the folder it runs in.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

#: Headers that say something of one answer, or of the framework's version.
_PASSING_HEADERS = {"x-request-id", "date"}
_PASSING = (
    (re.compile(r'"request_id":"[^"]*"'), '"request_id":"…"'),
    (re.compile(r'"received_at": ?"[^"]*"'), '"received_at":"…"'),
)
#: The metric in a path, where paths take any metric.
_LAST_HEART_RATE = re.compile(r"(?<=/metrics/)heart-rate|heart-rate(?=/top-hours)")
#: How many requests are sent to a recorded store before it merges.
_MERGED = 17
JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
Question = tuple[str, str, dict[str, str], str]


def reading(timestamp: str, heart_rate: Any, user_id: Any = "ann", device_id: Any = "strap", **more: Any) -> Any:
    return {"user_id": user_id, "device_id": device_id, "timestamp": timestamp, "heart_rate": heart_rate} | more


def questions() -> Iterator[Question]:
    """Each as (method, path and query, headers, body), in the order in which they are asked."""
    yield from sent()
    yield from asked()
    yield from _changed()


def _post(path: str, body: Any, media_type: str = JSON) -> Question:
    return "POST", path, {"Content-Type": media_type}, body if isinstance(body, str) else json.dumps(body)


def _get(path: str, accept: str = "", **parameters: Any) -> Question:
    return "GET", f"{path}?{urlencode(parameters, doseq=True)}", {"Accept": accept} if accept else {}, ""


def sent() -> Iterator[Question]:
    single, batch, bulk = (f"/v1/metrics/heart-rate{end}" for end in ("", "/batch", "/bulk"))
    yield _post(single, reading("2024-01-15T10:00:00Z", 75))
    yield _post(single, reading("2024-01-15T11:00:00+01:00", 75.256, confidence=3))
    yield _post(single, reading("2024-01-15T10:00:30.123456789", 80, user_id=7, device_id=8))
    yield _post("/metrics/heart-rate", reading("2024-01-15T10:00:31Z", 81))
    refused: list[Any] = [
        reading("2024-01-15T10:00:00Z", 29.99),
        reading("2024-01-15T10:00:00Z", "75"),
        reading("yesterday", 75),
        reading("2024-01-15T10:00:00Z", 75, user_id="a b"),
        reading("2024-01-15T10:00:00Z", 75, confidence=4),
        reading("2024-01-15T10:00:00Z", 75, value=75),
        {"user_id": "ann", "device_id": "strap", "timestamp": "2024-01-15T10:00:00Z", "value": 75},
        {"user_id": "ann", "device_id": "strap"},
        [],
        '{"user_id": ',
    ]
    for wrong in refused:
        yield _post(single, wrong)
    yield _post(single, reading("2024-01-15T10:00:00Z", 75), "text/plain")
    several = [
        reading(f"2024-01-15T{10 + n // 40}:{n % 40:02}:{n % 7 * 7:02}Z", 60 + n % 50 + n % 3 / 4, device_id=device)
        for n in range(80)
        for device in ("strap", "watch")
    ]
    yield _post(batch, {"readings": several[:100]})
    yield _post(batch, {"readings": [*several[:2], reading("2024-01-15T10:00:00Z", 300), "no reading", {"user_id": 1}]})
    yield _post(batch, {"readings": [reading("2024-01-15T10:00:00Z", 12)]})
    yield _post(batch, {"readings": several[90:]})  # from here on nothing is merged in the recorded store
    yield _post(batch, {"readings": []})
    yield _post(batch, {"readings": several, "more": 1})
    lines = [f"Bob,strap,2024-01-{16 + n // 30:02}T{n % 24:02}:{n % 60:02}:00Z,{50 + n},{n % 4}" for n in range(90)]
    yield _post(bulk, "\n".join(["user_id,device_id,timestamp,heart_rate,confidence", *lines]), CSV)
    yield _post(
        bulk, "user_id,device_id,timestamp,heart_rate\nBob,strap,2024-01-16T00:00:01Z,500\nBob,strap,x,70\n", CSV
    )
    yield _post(bulk, "user_id,device_id,timestamp,value\nBob,strap,2024-01-16T00:00:01Z,70\n", CSV)
    rows = [
        json.dumps(reading(f"2024-01-16T0{n}:00:00Z", 90 + n / 8, user_id="Cy", confidence=n % 4)) for n in range(8)
    ]
    yield _post(bulk, "\n".join([*rows, json.dumps(reading("2024-01-16T09:00:00Z", 10, user_id="Cy")), "{"]), NDJSON)
    yield _post(bulk, "{}", JSON)
    written = [f"heart_rate,user_id=Cy,device_id=band bpm=7{n}i {1_705_392_000 + 60 * n}" for n in range(10)]
    yield _post("/api/v2/write?precision=s", "\n".join(written), "text/plain")
    yield _post("/api/v2/write?precision=s", "pulse,user_id=Cy,device_id=band bpm=70 1705392000\nnothing", "text/plain")
    yield ("PUT", "/v1/users/ann", {"Content-Type": JSON}, '{"gender": "female", "birth_date": "1990-02-28"}')
    yield ("PUT", "/v1/users/Bob", {"Content-Type": JSON}, '{"name": "Bob Ærø", "time_zone": "Europe/Berlin"}')
    peak = {"name": "Peak", "min_bpm": 150, "max_bpm": 220, "minutes": 7, "calories": None}
    day = {"user_id": "ann", "day": "2024-01-15", "resting_heart_rate": 61.5, "resting_heart_rate_method": "vendor"}
    yield _post("/v1/admin/summaries", [day | {"zones": [peak]}, day | {"day": "2024-01-16"}])
    priority = '{"priority": 1, "valid_from": "2024-01-15T10:20:00Z"}'
    yield ("PUT", "/v1/users/ann/devices/watch/priority", {"Content-Type": JSON}, priority)


def asked() -> Iterator[Question]:
    """Every rung, form and way of reading heart rate."""
    day = {"start_date": "2024-01-15", "end_date": "2024-01-15"}
    hour = {"start_date": "2024-01-15T10:00:00Z", "end_date": "2024-01-15T11:00:00Z"}
    series, many = "/v1/timeseries", "/v1/multi-user/timeseries"
    for interval in ("auto", "raw", "1s", "1m", "15m", "1h", "1d"):
        yield _get(series, user_id="ann", interval=interval, **hour)
    short = {"start_date": "2024-01-15T10:00:00Z", "end_date": "2024-01-15T10:10:00Z"}
    for interval in ("raw", "1m", "1h"):
        yield _get(series, ARROW, user_id="ann", interval=interval, **short)
    for more in (
        {"metric": "activities_heart_intraday"},
        {"metric": "activities_heart_summary"},
        {"max_points": 5},
        {"include": "all", "interval": "15m"},
        {"include": "all", "interval": "raw"} | short,
        {"device_id": "watch", "interval": "1h"},
        {"tz": "Asia/Kathmandu", "interval": "1d"},
        {"tz": "Mars"},
        {"interval": "2s"},
        {"colour": "red"},
    ):
        yield _get(series, user_id="ann", **day | more)
    for interval in ("raw", "1h"):
        yield _get(series, CSV, user_id="ann", interval=interval, **short)
        yield _get(many, CSV, interval=interval, start_date="2024-01-15", end_date="2024-01-19")
    yield _get("/timeseries", user_id="ann", **day)
    yield _get(series, user_id="nobody", **day)
    yield _get(series, user_id="ann", start_date="2020-01-01", end_date="2020-01-02")
    yield _get(series, user_id="ann", start_date="2024-01-16", end_date="2024-01-15")
    yield _get(many, user_ids=["Bob", "nobody", "7"], interval="1d", start_date="2024-01-15", end_date="2024-01-19")
    yield _get(many, limit=2, interval="1d", start_date="2024-01-15", end_date="2024-01-19")
    yield _get(many, ARROW, interval="1d", start_date="2024-01-15", end_date="2024-01-19")
    minutes = {"user_id": "ann", "start": "2024-01-15T10:00:00Z", "end": "2024-01-15T10:30:00Z"}
    for path, more in (
        ("/v1/metrics/heart-rate", {}),
        ("/metrics/heart-rate", {"device_id": "watch"}),
        ("/v1/metrics/heart-rate", {"device_id": "ring"}),
        ("/v1/metrics/heart-rate", {"user_id": "nobody"}),
        ("/v1/metrics/heart-rate", {"start": "soon"}),
    ):
        yield _get(path, **minutes | more)
    period = {"start": "2024-01-15", "end": "2024-01-19"}
    yield _get("/v1/cohorts/heart-rate", min_avg_heart_rate="60.5", **period)
    yield _get("/v1/cohorts/heart-rate", min_avg_heart_rate="60", include="averages", limit=2, **period)
    yield _get("/v1/cohorts/heart-rate", min_avg_heart_rate="60", min_age=30, gender="female", **period)
    yield _get("/v1/cohorts/heart-rate", **period)
    yield _get("/v1/cohorts/heart-rate", min_avg_heart_rate="x", **period)
    for who in ("ann", "Bob", "nobody"):
        yield _get(f"/v1/users/{who}/heart-rate/top-hours", limit=3, **period)
        yield _get(f"/v1/users/{who}/heart-rate/top-hours", include="hours", tz="Europe/Berlin", **period)
        yield _get(f"/v1/users/{who}")
        yield _get(f"/v1/users/{who}/devices")
        yield _get(f"/v1/users/{who}/export")
    yield _get("/v1/users")
    yield _get("/v1/users", query="b")
    yield _get("/v1/admin/export", user_ids=["ann", "7"])
    yield _get("/v1/admin/export", start="2024-01-16", end="2024-01-17")
    for kind in ("people", "priorities", "summaries"):
        yield _get("/v1/admin/records", kind=kind)


def _changed() -> Iterator[Question]:
    gone = {"start": "2024-01-15T10:10:00Z", "end": "2024-01-15T10:20:00Z"}
    for parameters in (
        {"user_id": "ann", "device_id": "strap"} | gone,
        {"user_id": "ann"} | gone,
        {"user_id": "nobody"} | gone,
        {"user_id": "ann"},
    ):
        yield "DELETE", f"/v1/metrics/heart-rate?{urlencode(parameters)}", {}, ""
    yield "DELETE", "/v1/users/ann/devices/watch/priority", {}, ""
    yield _get("/v1/timeseries", user_id="ann", interval="15m", start_date="2024-01-15", end_date="2024-01-15")


class AsOwner:
    """The application as its owner's socket shows it: with the routes of the owner."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["server"] = ("/run/socket", None)
        await self._app(scope, receive, send)


def answers(app: ASGIApp, spelled: str = "heart-rate") -> list[dict[str, Any]]:
    """Ask everything in turn, with the metric spelled so in paths. Return what was asked and answered."""
    client = client_of(app)
    found = [answer(client, question, spelled) for question in questions()]
    found.append({"asked": "GET /v1/stream", "events": asyncio.run(_events(AsOwner(app), client))})
    return found


def client_of(app: ASGIApp) -> TestClient:
    """A client that is the owner."""
    return TestClient(AsOwner(app), base_url="http://localhost")


def answer(client: TestClient, question: Question, spelled: str = "heart-rate") -> dict[str, Any]:
    """Ask one question. Return what was asked and answered."""
    method, path, headers, body = question
    got = client.request(method, _LAST_HEART_RATE.sub(spelled, path), headers=headers, content=body.encode())
    said = {name: value for name, value in got.headers.items() if name.lower() not in _PASSING_HEADERS}
    shown = _shown(got.headers["content-type"] if got.content else "", got.content)
    return {"asked": f"{method} {path}", "status": got.status_code, "headers": said, "body": shown}


async def _events(app: ASGIApp, client: TestClient) -> list[str]:
    """What the stream tells of a reading that comes while one listens."""
    told, come = "", asyncio.Event()
    leaving = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal told
        told += message.get("body", b"").decode()
        if told.endswith("\n\n"):
            come.set()

    scope = {"type": "http", "method": "GET", "path": "/v1/stream", "query_string": b"user_ids=ann&user_ids=nobody"}
    scope |= {"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 50000), "scheme": "http", "root_path": ""}
    listening = asyncio.ensure_future(app(scope, receive, send))
    for sent in (reading("2024-01-17T10:00:00.5Z", 71.5, confidence=2), None):
        await asyncio.wait_for(come.wait(), 60)
        come.clear()
        if sent:
            stored = await asyncio.to_thread(client.post, "/v1/metrics/heart-rate", json=sent)
            assert stored.status_code == 202
    leaving.set()
    await asyncio.wait_for(listening, 60)
    return [re.sub("^id: .*", "id: …", event) for event in told.split("\n\n")]


def _shown(media_type: str, content: bytes) -> Any:
    """The bytes of an answer as text, without what passes; of an archive, each of its files."""
    if media_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: _without_passing(archive.read(name).decode()) for name in archive.namelist()}
    if media_type == ARROW:
        return base64.b64encode(content).decode()
    return _without_passing(content.decode())


def _without_passing(text: str) -> str:
    for pattern, instead in _PASSING:
        text = pattern.sub(instead, text)
    return text


def _record_answers(folder: Path) -> None:
    with build(Settings(_env_file=None, store_url=f"duckdb:///{folder / 'store.duckdb'}")) as parts:
        found = answers(parts.app)
    Path("heart_rate.json").write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")


def _record_store(folder: Path) -> None:
    """Half of what is sent is merged, the rest waits in the journal, and the process ends as if it were killed."""
    store_url = f"duckdb:///{folder / 'store.duckdb'}"
    opened = build(Settings(_env_file=None, store_url=store_url, merge_interval_s=3600))
    parts = opened.__enter__()
    client = client_of(parts.app)
    for place, question in enumerate(sent()):
        answer(client, question)
        if place + 1 == _MERGED:
            parts.store.settle()
            answer(
                client,
                _get("/v1/timeseries", user_id="ann", interval="15m", start_date="2024-01-15", end_date="2024-01-16"),
            )
    with tarfile.open("store.tar.xz", "w:xz") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.name.endswith(".lock"):
                archive.add(file, file.relative_to(folder))
    shutil.rmtree(folder)
    os._exit(0)


if __name__ == "__main__":
    from pulsebase.settings import Settings
    from pulsebase.wiring import build

    place = Path(tempfile.mkdtemp())
    {"answers": _record_answers, "store": _record_store}[sys.argv[1]](place)
