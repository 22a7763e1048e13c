"""Clients that generators make of our document: they pass type checks, and ask a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.cli.openapi import openapi_text
from tests.support.served import served

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / ".venv" / "openapi-client" / "bin"
CONFIG = ROOT / "tests" / "support" / "openapi_client" / "config.yaml"
NODE_MODULES = ROOT / "client" / "node_modules"

PYTHON = """
import sys
from pulsebase_client import AuthenticatedClient
from pulsebase_client.api.people import create_user, list_users
from pulsebase_client.api.readings import ingest_batch
from pulsebase_client.api.series import timeseries
from pulsebase_client.models import NewPerson, Problem, Reading, ReadingsBody, Series, SeriesColumns
from pulsebase_client.models import TimeseriesInterval, UserList

with AuthenticatedClient(base_url=sys.argv[1], token="none-needed-here") as client:
    create_user.sync(client=client, body=NewPerson(user_id="ann", name="Ann"))
    again = create_user.sync_detailed(client=client, body=NewPerson(user_id="ann"))
    assert again.status_code == 409 and isinstance(again.parsed, Problem)
    one = Reading(device_id="strap", user_id="ann", timestamp="2024-01-15T10:00:00Z", heart_rate=61)
    ingest_batch.sync(client=client, body=ReadingsBody(readings=[one]))
    hours = TimeseriesInterval("1h")
    found = timeseries.sync(
        client=client, user_id="ann", start_date="2024-01-15", end_date="2024-01-15", interval=hours
    )
    assert isinstance(found, Series) and isinstance(found.columns, SeriesColumns)
    people = list_users.sync(client=client)
    assert isinstance(people, UserList) and people.data[0].name == "Ann"
    print(found.interval, found.columns.avg)
"""

TYPESCRIPT = """
import type { operations } from "./schema.js";

type Query = operations["timeseries"]["parameters"]["query"];
type Answer = operations["timeseries"]["responses"]["200"]["content"]["application/json"];
type Reading = operations["ingest_reading"]["requestBody"]["content"]["application/json"];

const server = process.argv[2];
const reading: Reading = { user_id: "ann", device_id: "strap", timestamp: "2024-01-15T10:00:00Z", heart_rate: 61 };
const headers = { "Content-Type": "application/json" };
await fetch(`${server}/v1/metrics/heart-rate`, { method: "POST", headers, body: JSON.stringify(reading) });
const query: Query = { user_id: "ann", start_date: "2024-01-15", end_date: "2024-01-15", max_points: 24 };
const entries = Object.entries(query).map(([name, value]) => [name, String(value)]);
const answer = await fetch(`${server}/v1/timeseries?${new URLSearchParams(entries)}`);
const found = (await answer.json()) as Answer;
if (!("columns" in found) || !("avg" in found.columns)) throw new Error("a series was asked for");
console.log(found.interval, found.columns.avg);
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(openapi_text())
    return path


@pytest.fixture
def server() -> Iterator[str]:
    with served(store_url="memory://") as url:
        yield url


def said_by(command: list[str | Path], folder: Path) -> str:
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_python_client_is_made_typed_and_works(document: Path, server: str, tmp_path: Path) -> None:
    assert GENERATOR.is_dir(), "`make` installs the generator in .venv/openapi-client"
    generate: list[str | Path] = [GENERATOR / "openapi-python-client", "generate", "--path", document]
    told = said_by([*generate, "--output-path", tmp_path / "client", "--config", CONFIG], tmp_path)
    left_out = [line for line in told.splitlines() if line.startswith("WARNING")]
    assert len(left_out) == 3, told  # columnar bodies
    assert all("/bulk" in line for line in left_out), told
    folder = tmp_path / "client"
    (folder / "program.py").write_text(PYTHON)
    check: list[str | Path] = [sys.executable, "-m", "mypy", "--strict", "--python-executable", GENERATOR / "python"]
    said_by([*check, "pulsebase_client", "program.py"], folder)
    assert said_by([GENERATOR / "python", "program.py", server], folder) == "1h [61.0]\n"


def test_types_of_typescript_are_made_and_a_program_works(document: Path, server: str, tmp_path: Path) -> None:
    assert NODE_MODULES.is_dir(), "`make` installs them in client"
    said_by([NODE_MODULES / ".bin" / "openapi-typescript", document, "-o", tmp_path / "schema.d.ts"], tmp_path)
    (tmp_path / "program.ts").write_text(TYPESCRIPT)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    types = NODE_MODULES / "@types"
    options = {"strict": True, "target": "es2022", "module": "nodenext", "typeRoots": [str(types)], "types": ["node"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["program.ts"]}))
    said_by([NODE_MODULES / ".bin" / "tsc", "-p", "tsconfig.json"], tmp_path)
    assert said_by(["node", "program.js", server], tmp_path) == "1h [ 61 ]\n"
