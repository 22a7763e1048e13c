"""A store whose readings are known, and InfluxDB with the same points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest

from pulsebase.api.codecs.influx_answers import AnswerForm, as_csv, as_json
from pulsebase.etl.transform.line_mapping import PRESETS
from pulsebase.influxql.service import Asked, InfluxqlService, StatementAnswer, read_statements
from pulsebase.model.metrics import METRICS
from pulsebase.model.readings import ReadingBatch
from pulsebase.query.plan import QueryLimits
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.support.programs import free_port, running

#: 2024-01-15T10:00:00Z.
START_S = 1_705_312_800
#: What `now()` is: three days later.
NOW_S = START_S + 3 * 86_400

Point = tuple[str, str, str, int, float]


def points() -> list[Point]:
    """Metric, person, device, second after the start and value. No minute has two devices of a person, so that what
    counts of ours is all that InfluxDB has.
    """
    found: list[Point] = [
        ("heart_rate", "ann", "watch", second, 60 + second % 17)
        for second in range(0, 3 * 3600, 37)
        if not 1800 < second < 3000
    ]
    found += [("heart_rate", "ann", "ring", second, 70.5 + second % 7) for second in range(4 * 3600, 5 * 3600, 61)]
    found += [("heart_rate", "ben", "watch", second, 50 + second % 23) for second in range(0, 3 * 86_400, 700)]
    found += [("oxygen_saturation", "ann", "ring", second, 94 + second % 5) for second in range(0, 7200, 60)]
    return found


class Ours:
    """Statements asked of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.service = InfluxqlService(store, QueryLimits(), PRESETS)

    def answers(self, statement: str, database: str | None = None, **parameters: Any) -> list[StatementAnswer]:
        asked = Asked(read_statements(statement, parameters), database, None, lambda _: True, NOW_S * 1_000_000)
        return list(self.service.answers(asked))

    def json(self, statement: str, form: AnswerForm | None = None, database: str | None = None) -> Any:
        return msgspec.json.decode(as_json(self.answers(statement, database), form or AnswerForm()))

    def csv(self, statement: str, form: AnswerForm | None = None) -> str:
        return as_csv(self.answers(statement), form or AnswerForm()).decode()


def write(store: Store, rows: Sequence[Point], confidence: int | None = None) -> None:
    """Store points."""
    for metric in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == metric]
        _, users, devices, seconds, values = zip(*mine, strict=True)
        batch = ReadingBatch.of_columns(
            users,
            devices,
            [(START_S + second) * 1_000_000 for second in seconds],
            [round(value * METRICS[metric].scale) for value in values],
            [confidence] * len(mine),
            store.register_origin("push", "test"),
            metric,
        )
        store.write([batch])


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    store = DuckdbStore(tmp_path_factory.mktemp("influxql") / "store.duckdb")
    write(store, points())
    store.settle()
    yield Ours(store)
    store.close()


class InfluxDB:
    """A server of InfluxDB 1 with the points, and statements asked of it."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30, params={"db": "points"})

    def fill(self) -> None:
        self.client.post("/query", params={"q": "CREATE DATABASE points"}).raise_for_status()
        lines = "\n".join(
            f"{metric},user_id={user},device_id={device} value={value} {START_S + second}"
            for metric, user, device, second, value in points()
        )
        self.client.post("/write", params={"precision": "s"}, content=lines.encode()).raise_for_status()

    def json(self, statement: str, **parameters: str) -> Any:
        return self.client.get("/query", params={"q": statement} | parameters).json()

    def text(self, statement: str, accept: str, **parameters: str) -> str:
        return self.client.get("/query", params={"q": statement} | parameters, headers={"accept": accept}).text


CONFIGURATION = """
reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
[logging]
level = "error"
"""


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    folder: Path = tmp_path_factory.mktemp("influxdb")
    port = free_port()
    (folder / "influxdb.conf").write_text(CONFIGURATION.format(folder=folder, port=port, backup=free_port()))
    url = f"http://127.0.0.1:{port}"
    with running("influxd", "-config", "influxdb.conf", folder=folder, ready=f"{url}/query?q=SHOW+DATABASES"):
        made = InfluxDB(url)
        with made.client:
            made.fill()
            yield made
