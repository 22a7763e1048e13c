"""Whatever the store, an installation answers the same bytes."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

from pulsebase.api.codecs.answers import stream_bytes
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import HOUR_US, MINUTE_US, SECOND_US, format_us
from pulsebase.model.users import DevicePriority, User
from tests.api.conftest import Api, reading
from tests.stores.harness import at
from tests.support.stores import named_store
from tests.support.tachograms import tachogram

SERVERS = ["timescale", "clickhouse"]
#: They take their time for each question, and so are asked one of so many of each route, see `some_of_each_route`.
EVERY = {"timescale": 4, "clickhouse": 6}
PEOPLE = ["ann", "Bob", "user-3"]
#: Others than heart rate, one with another scale, one with values below zero.
METRICS = ["oxygen-saturation", "rr-interval", "skin-temperature-delta"]
DEVICES = ["device_a", "device_b", "strap"]
#: Clocks change in Berlin on the last day of March.
FIRST = at("2024-03-29T12:00:00")

#: Questions whose answers are worked out from readings, and what only answers with something in them have.
WORKED_OUT = tuple(f"/v1/users/{user_id}/{name}" for user_id in PEOPLE for name in ("hrv", "resting-heart-rate"))
STATED = re.compile(r'"(rmssd|resting_heart_rate)":\[[^\]]*\d')

RANGES = [
    ("2024-03-29", "2024-04-02"),
    ("2024-03-25", "2024-04-10"),
    ("2024-03-30T22:17:30.5Z", "2024-03-31T04:00:01Z"),
    ("2024-03-31T00:00:00+02:00", "2024-03-31T01:30:00+02:00"),
    ("2024-03-31T00:00:30Z", "2024-03-31T00:01:30Z"),
    ("2020-01-01", "2020-01-02"),
]
INTERVALS = [None, "raw", "1s", "1m", "15m", "1h", "1d"]
WAYS = [{}, {"device_id": "strap"}, {"include": "all"}, {"tz": "Europe/Berlin"}, {"tz": "Asia/Kathmandu"}]


def load(api: Api) -> None:
    """People with several devices, whose readings come late, twice, corrected, deleted, with and without confidence."""
    dice = random.Random(11)
    for part in range(4):
        api.store(*_part(dice))
        _of_other_metrics(api, dice)
        if part == 1:
            for valid_from_us in (0, FIRST + 40 * HOUR_US + 1):
                api.parts.store.put_priority(DevicePriority("ann", "strap", valid_from_us % 3, valid_from_us))
            gone = {"user_id": "ann", "start": "2024-03-30T06:00:00Z", "end": "2024-03-30T09:30:00Z"}
            assert api.delete("/v1/metrics/heart-rate", params=gone).status_code == 200
            _in_bulk(api)
        if part == 2:
            api.parts.store.settle()
    api.parts.store.put_user(User("Bob", "Bob Ærø", "male", date(1980, 2, 29), "Europe/Berlin"))
    api.parts.store.put_users([User("ann", None, "female", date(1990, 1, 1)), User("user-3", None, "female")])
    api.parts.store.put_priority(DevicePriority("user-3", "device_b", 1, FIRST))
    assert api.parts.store.remove_priorities("user-3", "device_b") == 1
    zones = (HeartRateZone("Fat Burn", 90, 120, 30, 123.456), HeartRateZone("Peak", 150, 220))
    api.parts.store.put_summaries(
        [
            DailySummary("ann", date(2024, 3, 30), 61.5, "vendor", zones),
            DailySummary("ann", date(2024, 3, 31), 0.1 + 0.2, None, custom_zones=zones),
        ]
    )


def _of_other_metrics(api: Api, dice: random.Random) -> None:
    """Some hours of each in one body, now and then the same again with another value."""
    lines = ["user_id,device_id,metric,timestamp,value"]
    for metric, low, high in zip(METRICS, (90, 600, -1), (100, 1100, 1), strict=True):
        for _ in range(300):
            time = format_us(FIRST + dice.randrange(70) * HOUR_US + dice.randrange(40) * 90 * SECOND_US)
            value = round(dice.uniform(low, high), 2)
            lines.append(f"{dice.choice(PEOPLE)},{dice.choice(DEVICES)},{metric},{time},{value}")
    answer = api.post("/v1/readings/bulk", content="\n".join(lines), headers={"Content-Type": "text/csv"})
    assert answer.json()["accepted"] == 900


def _in_bulk(api: Api) -> None:
    """The same people by the other doors, as CSV, NDJSON, Arrow and lines."""
    bulk = "/v1/metrics/heart-rate/bulk"
    times = [format_us(FIRST + n * 17 * MINUTE_US) for n in range(60)]
    lines = ["user_id,device_id,timestamp,heart_rate,confidence"]
    lines += [f"ann,strap,{time},71.25,{n % 4}" for n, time in enumerate(times)]
    assert api.post(bulk, content="\n".join(lines), headers={"Content-Type": "text/csv"}).status_code == 202
    lines = [json.dumps(reading(time, 66.6, user_id="Bob", device_id="device_b")) for time in times]
    assert api.post(bulk, content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}).status_code == 202
    table = pa.table(
        {
            "user_id": pa.repeat("user-3", 60),
            "device_id": pa.repeat("device_a", 60),
            "timestamp": pa.array([FIRST + n * 1_234_567 for n in range(60)], pa.timestamp("us", "UTC")),
            "heart_rate": pa.array([60 + n for n in range(60)], pa.int16()),
        }
    )
    arrow = {"Content-Type": "application/vnd.apache.arrow.stream"}
    assert api.post(bulk, content=stream_bytes(table), headers=arrow).status_code == 202
    lines = [f"heart_rate,user_id=ann,device_id=band bpm=7{n % 10}i {FIRST // 1_000_000 + n}" for n in range(60)]
    assert api.post("/api/v2/write?precision=s", content="\n".join(lines)).status_code == 204


def _part(dice: random.Random) -> list[dict[str, object]]:
    found = []
    for user_id, device_id in product(PEOPLE, DEVICES):
        start_us = FIRST + dice.randrange(70) * HOUR_US + dice.randrange(60) * MINUTE_US
        step_us = dice.choice([SECOND_US, 7 * SECOND_US + 250_000, MINUTE_US])
        for n in range(150):
            time_us = start_us + n * step_us + dice.choice([0, 0, 0, 1])
            if dice.random() < 0.1:
                time_us -= dice.randrange(3 * HOUR_US)
            rate = round(dice.uniform(45, 180), dice.choice([0, 0, 1, 2, 3]))
            confidence = dice.choice([{}, {}, {"confidence": dice.randrange(4)}])
            found.append(reading(format_us(time_us), rate, user_id=user_id, device_id=device_id, **confidence))
    return found


def _beats(api: Api) -> None:
    """Beats of two devices with gaps and artefacts, late and twice, in the night in which clocks change in Berlin."""
    for seed, device in enumerate(("strap", "device_b")):
        times, intervals = tachogram(seed, 6_000, FIRST + 33 * HOUR_US, ectopic=0.02, missed=0.03)
        for rows in np.array_split(np.random.default_rng(seed).permutation(len(times)), 3):
            again = np.concatenate([rows, rows[:50]])
            columns = (["ann"] * len(again), [device] * len(again), times[again], intervals[again], None, 1)
            api.parts.store.write([ReadingBatch.of_columns(*columns, metric="rr_interval")])
        if device == "strap":
            api.parts.store.settle()
    minutes = FIRST + np.arange(2_000) * MINUTE_US
    rates = np.random.default_rng(3).integers(4_500, 9_000, 2_000)
    columns = (["Bob"] * 2_000, ["band"] * 2_000, minutes, rates, None, 1)
    api.parts.store.write([ReadingBatch.of_columns(*columns)])


def questions() -> Iterator[tuple[str, dict[str, str]]]:
    """Some 700 requests, as (path and query, headers)."""
    for (start, end), interval, way in product(RANGES, INTERVALS, WAYS):
        asked = {"user_id": "ann", "start_date": start, "end_date": end} | way
        yield f"/v1/timeseries?{urlencode(asked | ({'interval': interval} if interval else {}))}", {}
    for (start, end), max_points in product(RANGES, ("7", "100")):
        asked = {"user_id": "Bob", "start_date": start, "end_date": end, "max_points": max_points}
        yield f"/v1/timeseries?{urlencode(asked)}", {}
        several = [("user_ids", "Bob"), ("user_ids", "nobody"), ("user_ids", "user-3")]
        yield f"/v1/multi-user/timeseries?{urlencode([('start_date', start), ('end_date', end), *several])}", {}
        yield f"/v1/multi-user/timeseries?{urlencode({'start_date': start, 'end_date': end})}", {"Accept": "text/csv"}
        times = {"user_id": "user-3", "start": start, "end": end}
        yield f"/v1/metrics/heart-rate?{urlencode(times)}", {}
        yield f"/v1/metrics/heart-rate?{urlencode(times | {'device_id': 'strap'})}", {}
    arrow = {"Accept": "application/vnd.apache.arrow.stream"}
    asked = {"user_id": "ann", "start_date": "2024-03-29", "end_date": "2024-04-02"}
    for interval in INTERVALS:
        yield f"/v1/timeseries?{urlencode(asked | {'interval': interval or 'auto'})}", arrow
    for more in ({"metric": "activities_heart_summary"}, {"interval": "2s"}, {"user_id": "nobody"}, {"tz": "Mars"}):
        yield f"/v1/timeseries?{urlencode(asked | more)}", {}
    averages = [("min_avg_heart_rate", "60.5"), ("include", "averages")]
    narrower = [[], [("gender", "female"), ("gender", "male")], [("min_age", "30")], [("min_coverage", "0.01")]]
    for (start, end), narrow in product(RANGES, narrower):
        period = urlencode([("start", start), ("end", end), *averages, *narrow])
        yield f"/v1/cohorts/heart-rate?{period}", {}
        for metric, most in product(METRICS, ([], [("min_avg", "-0.05"), ("max_avg", "100")])):
            asked_of = [("start", start), ("end", end), ("include", "averages"), *narrow, *most]
            yield f"/v1/cohorts/{metric}?{urlencode(asked_of)}", {}
    for (start, end), user_id in product(RANGES, PEOPLE):
        period = urlencode({"start": start, "end": end, "include": "hours"})
        yield f"/v1/users/{user_id}/heart-rate/top-hours?{period}", {}
    for (start, end), zones in product(RANGES[:3], ("age", "karvonen")):
        day = {"start_date": start[:10], "end_date": end[:10], "tz": "Europe/Berlin", "zones": zones}
        summaries = {"metric": "activities_heart_summary"} | day
        yield f"/v1/timeseries?{urlencode({'user_id': 'ann'} | summaries)}", {}
        yield f"/v1/multi-user/timeseries?{urlencode(summaries)}", {}
    elsewhere: tuple[dict[str, str], ...] = ({}, {"tz": "America/Los_Angeles"}, {"tz": "Asia/Kathmandu"})
    for (start, end), user_id, zone in product(RANGES, PEOPLE, elsewhere):
        days = {"start_date": start, "end_date": end} | zone
        yield f"/v1/users/{user_id}/resting-heart-rate?{urlencode(days)}", {}
        yield f"/v1/users/{user_id}/hrv?{urlencode(days)}", {}
        yield f"/v1/users/{user_id}/hrv?{urlencode(days | {'window': 'night'})}", {}
    for user_id in PEOPLE:
        yield f"/v1/users/{user_id}", {}
        yield f"/v1/users/{user_id}/devices", {}
        yield f"/v1/users/{user_id}/origins", {}
        yield f"/v1/users/{user_id}/export", {}
    for listed in ("", "?query=B", "?query=%C3%86r", "?limit=1", "?limit=2&query=n"):
        yield f"/v1/users{listed}", {}


def some_of_each_route(asked: list[tuple[str, dict[str, str]]], every: int) -> set[int]:
    """Draw the places of one question of so many, the same ones each time: at least one of each route."""
    routes: dict[str, list[int]] = {}
    for place, (path, _) in enumerate(asked):
        routes.setdefault(path.partition("?")[0], []).append(place)
    dice = random.Random(every)
    return {place for places in routes.values() for place in dice.sample(places, -(-len(places) // every))}


def answer(api: Api, path: str, headers: dict[str, str]) -> tuple[object, ...]:
    got = api.get(path, headers=headers)
    body = re.sub(rb'"request_id":"\w+"', b"", got.content)
    if got.headers["Content-Type"] == "application/zip":  # which holds times, and devices in the order of the store
        with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
            body = b"".join(b"".join(sorted(archive.open(name))) for name in archive.namelist())
    body = re.sub(rb'"received_at": ?"[^"]+"', b"", body)
    return got.status_code, got.headers["Content-Type"], got.headers.get("ETag"), body


def test_embedded_and_server_stores_answer_the_same_bytes(installed: Callable[..., Api], tmp_path: Path) -> None:
    # Nothing is merged by the clock, so that answers are put together from merged and unmerged readings.
    embedded = installed(store_url=f"duckdb:///{tmp_path}/readings.duckdb", merge_interval_s=3600)
    servers = [installed(**named_store(kind, tmp_path / kind), merge_interval_s=3600) for kind in SERVERS]
    for api in (embedded, *servers):
        load(api)
        _beats(api)
    asked = list(questions())
    assert len(asked) >= 200
    of_server = {kind: some_of_each_route(asked, every) for kind, every in EVERY.items()}
    statuses = set()
    stated = 0
    for place, (path, headers) in enumerate(asked):
        expected = answer(embedded, path, headers)
        for kind, server in zip(SERVERS, servers, strict=True):
            if place in of_server[kind]:
                assert answer(server, path, headers) == expected, f"{kind}: {path}"
        statuses.add(expected[0])
        stated += path.startswith(WORKED_OUT) and STATED.search(str(expected[3])) is not None
    assert stated > 20  # the answers compared are not all empty
    assert statuses == {200, 400, 404}
    for server in servers:
        assert server.get("/metrics").status_code == 200
        assert server.get("/health").json()["checks"]["store"] == "ok"
