"""The commands of our roles as plain processes, with the environment of the compose file, over one TimescaleDB."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from tests.deploy.compose import composed
from tests.deploy.files import DEPLOY, run
from tests.support.postgres import bare_timescale
from tests.support.process import PULSEBASE, Place, wait_until
from tests.support.programs import answers, free_port, running


class Roles:
    """The services of the compose file, in a folder of this machine."""

    def __init__(self, folder: Path, database_url: str) -> None:
        database = urlsplit(database_url)
        self.services: dict[str, Any] = composed(
            {
                "DB_PASSWORD": "any: odd@pass/word",
                "DB_API_PASSWORD": "another: odd@pass/word",
                "DB_EXPORTER_PASSWORD": "any",
                "GRAFANA_PASSWORD": "any",
                "DB_NAME": database.path[1:],
            }
        )["services"]
        self.folder = folder
        self.places = {"DB_HOST": str(database.hostname), "DB_PORT": str(database.port), "PULSEBASE_HOST": "127.0.0.1"}

    def place(self, name: str, **changed: str) -> Place:
        """The folder of a role, and its environment as in its container, apart from addresses and the folder."""
        place = Place(self.folder / name)
        data = place.folder
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PULSEBASE_", "DB_"))}
        stated = self.services[name]["environment"] | self.places | changed
        moved = {each: value.replace("/data", str(data)) for each, value in stated.items()}
        place.environment = ours | moved | {"XDG_DATA_HOME": str(data), "XDG_RUNTIME_DIR": str(self.folder)}
        return place

    def key(self) -> dict[str, str]:
        """The header with a key of the API, which needs one: it is told where browsers reach it."""
        done = self.place("api-service").run("keys", "create", "tester", "--scope", "admin")
        assert done.returncode == 0, done.stderr
        return {"Authorization": f"Bearer {done.stdout.strip()}"}

    @contextlib.contextmanager
    def started(self, name: str, port: int, **changed: str) -> Iterator[str]:
        """The role as a process, once it is healthy by the image's own check; its address."""
        place, log = self.place(name, **changed), self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = place.start(*self.services[name]["command"], output=out)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/health") or process.poll() is not None, name, 60)
            assert process.poll() is None, log.read_text()
            assert healthy(place.environment), log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            code = process.wait(60)
        assert code == 0, log.read_text()
        assert not healthy(place.environment)


def healthy(environment: dict[str, str]) -> bool:
    """What the image's own check says, run with this environment."""
    found = re.search(r"CMD (\[.*\])\n", (DEPLOY / "Dockerfile").read_text())
    assert found
    program, *arguments = json.loads(found[1])
    assert program == "python"
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False).returncode == 0


@contextlib.contextmanager
def client(roles: Roles, api: str) -> Iterator[str]:
    """The role `client-service`: nginx, with the file that its image would fill in."""
    folder = roles.folder / "client-service"
    folder.mkdir()
    stated = roles.services["client-service"]["environment"] | {
        "API_ADDRESS": api.removeprefix("http://"),
        "CLIENT_PORT": f"127.0.0.1:{free_port()}",
    }
    text = (DEPLOY / "client" / "default.conf.template").read_text()
    for name, value in stated.items():
        text = text.replace(f"${{{name}}}", value)
    (folder / "default.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; {'user root;' if os.geteuid() == 0 else ''} events {{}} "
        f"http {{ access_log off; {temporary} include {folder}/default.conf; }}"
    )
    url = f"http://{stated['CLIENT_PORT']}"
    options = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr")
    with running("nginx", *options, folder=folder, ready=f"{url}/health"):
        yield url


def test_the_roles_work_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    roles = Roles(tmp_path_factory.mktemp("roles"), bare_timescale())  # names of sockets have to be short
    for _ in range(2):  # doing it again changes nothing
        done = roles.place("db-init-service").run(*roles.services["db-init-service"]["command"])
        assert (done.returncode, done.stderr) == (0, "")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    api_port, metrics_port = free_port(), free_port()
    pool = {"PULSEBASE_POOL_SIZE": "1", "PULSEBASE_MERGE_INTERVAL_S": "1"}
    with (
        roles.started("api-service", api_port, PULSEBASE_PORT=str(api_port), **pool) as api,
        roles.started(
            "ingestion-user1", metrics_port, PULSEBASE_METRICS_PORT=str(metrics_port), START_DATE=yesterday, **pool
        ) as ingestion,
        client(roles, api) as page,
        httpx.Client(base_url=page, trust_env=False, timeout=60, headers=roles.key()) as browser,
    ):
        wait_until(lambda: readings_of(browser) > 1_000, "readings of the synthetic person", 60)
        watched = httpx.get(f"{ingestion}/metrics", trust_env=False).text
        assert 'pulsebase_etl_runs_total{data_set="heart_rate",outcome="done",source="fitbit"}' in watched
        assert httpx.get(f"{ingestion}/v1/users", trust_env=False).status_code == 404
        assert browser.get("/").headers["location"] == "/app/"
        assert browser.get("/app/").headers["content-type"].startswith("text/html")
        assert browser.get("/metrics").status_code == 404
        assert browser.get("/v1/users", headers={"Authorization": ""}).status_code == 401
        assert re.fullmatch("[0-9a-f]{32}", browser.get("/v1/users").headers["X-Request-ID"])
        assert browser.get("/v1/users", headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
    for name in ("api-service", "ingestion-user1"):
        lines = [line for line in (roles.folder / f"{name}.log").read_text().splitlines() if line.startswith("{")]
        assert all(json.loads(line)["level"] in ("info", "warning") for line in lines)


def readings_of(browser: httpx.Client) -> int:
    answer = browser.get("/v1/users")
    return sum(user["readings"] for user in answer.json()["data"]) if answer.status_code == 200 else 0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit of the single machine, with the program where it is here."""
    text = (DEPLOY / "systemd" / "pulsebase.service").read_text()
    assert text.count("/opt/pulsebase/bin/pulsebase") == 1
    path = tmp_path / "pulsebase.service"
    path.write_text(text.replace("/opt/pulsebase/bin/pulsebase", PULSEBASE))
    return path


def test_systemd_takes_the_unit_and_finds_it_narrow(unit: Path) -> None:
    assert run("systemd-analyze", "verify", str(unit)) == ""
    more = unit.with_name(f"{unit.name}.d")
    more.mkdir()
    shutil.copy(DEPLOY / "systemd" / "workers.conf", more)
    assert run("systemd-analyze", "verify", str(unit)) == ""
    said = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit))
    assert "Overall exposure level" in said  # the command fails above 2.0 of 10
