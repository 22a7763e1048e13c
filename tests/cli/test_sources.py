"""Simulators, connecting and ingestion as real processes."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from pulsebase.model.timerange import TimeRange, format_us
from pulsebase.sources.synthetic import DEMO_PEOPLE
from tests.stores.harness import at
from tests.support.clouds import consent, recorded
from tests.support.forks import Forked
from tests.support.process import Place, serving, wait_until

NOW = "2025-06-12T15:20:00Z"


@contextlib.contextmanager
def running(place: Place, *arguments: str, says: str) -> Iterator[tuple[Forked, str]]:
    """A command in the foreground, once it said something; and what that was."""
    log = place.folder / f"{arguments[0]}.out"
    with log.open("wb") as out:
        process = place.start(*arguments, output=out)
    try:
        wait_until(lambda: re.search(says, log.read_text()) or process.poll() is not None, says, 60)
        found = re.search(says, log.read_text())
        assert found, log.read_text()
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()


@pytest.fixture(params=["fitbit", "google"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cloud(place: Place, kind: str) -> Iterator[str]:
    """A simulated cloud; the place's settings name it."""
    with running(place, f"{kind}-sim", "--port", "0", "--now", NOW, says=r"http://127\.0\.0\.1:\d+") as (_, url):
        place.environment |= {
            "PULSEBASE_FITBIT_URL": url,
            "PULSEBASE_GOOGLE_URL": url,
            "PULSEBASE_GOOGLE_AUTH_URL": f"{url}/o/oauth2/v2/auth",
            "PULSEBASE_GOOGLE_TOKEN_URL": f"{url}/token",
            "PULSEBASE_GOOGLE_CLIENT_ID": "tests",
            "PULSEBASE_OURA_URL": url,
            "PULSEBASE_OURA_AUTH_URL": f"{url}/oauth/authorize",
            "PULSEBASE_OURA_CLIENT_ID": "tests",
            "START_DATE": "2025-06-12",
            "END_DATE": "2025-06-12",
        }
        yield url


def connect(place: Place, kind: str, user_id: str) -> str:
    """Connect somebody as user1 of the cloud; what the command printed."""
    log = place.folder / "connect.out"
    arguments = ["connect", kind, "--user", user_id, "--no-browser", "--port", "0"]
    with log.open("wb") as out:
        command = place.start(*arguments, output=out)
    wait_until(lambda: "code_challenge=" in log.read_text() or command.poll() is not None, "the address", 60)
    found = re.search(r"^http\S+", log.read_text(), re.MULTILINE)
    assert found, log.read_text()
    back = httpx.URL(found[0]).params["redirect_uri"]
    came = consent(found[0], "user1")
    assert httpx.get(f"{back}-not", trust_env=False).status_code == 404
    assert "Thank you" in httpx.get(back, params=came, trust_env=False).text
    assert command.wait(60) == 0, log.read_text()
    return log.read_text()


@pytest.mark.parametrize(("kind", "up"), [("fitbit", "server down"), ("google", "server up"), ("oura", "server up")])
def test_connect_ingest_and_status(place: Place, cloud: str, kind: str, up: str) -> None:
    with contextlib.ExitStack() as opened:
        if up == "server up":
            opened.enter_context(serving(place, PULSEBASE_INGEST_IN_SERVER="false"))
        if kind == "oura":  # which states no time zone
            assert place.run("users", "add", "ann", "--time-zone", "Europe/Berlin").returncode == 0
        assert f"ann is connected to {kind}." in connect(place, kind, "ann")
        first = place.run("sync", "--once")
        assert first.returncode == 0, first
        assert re.search(rf"^ann {kind} heart_rate: done, [\d,]+ read, [\d,]+ written, 0 unchanged", first.stdout)
        second = place.run("sync", "--once", "--user", "ann")
        assert " 0 written" in second.stdout
        part = place.run("sync", "--once", "--data-set", "hrv_rmssd", "--data-set", "oxygen_saturation")
        assert re.findall(r"^ann \w+ (\w+): done", part.stdout, re.MULTILINE) == ["oxygen_saturation", "hrv_rmssd"]
        assert "pulse is no" in place.refusal("sync", "--once", "--data-set", "pulse")
        status = place.run("etl", "status", COLUMNS="300").stdout
        assert re.search(rf"ann\W+{kind}\W+ok\W", status)
        assert ("heart_rate_summary" in status) == (kind != "oura")
        counted = place.run("query", "ann", "2025-06-12", "2025-06-12", "--format", "csv").stdout
        assert len(counted.splitlines()) > 8
        removed = place.run("users", "erase", "ann", "--yes")
        assert removed.returncode == 0, removed
        assert "Nobody is connected" in place.run("ingest", "--once").stdout  # its former name


@pytest.mark.parametrize("kind", ["fitbit"])
def test_disconnect(place: Place, cloud: str, kind: str) -> None:
    with serving(place, PULSEBASE_INGEST_IN_SERVER="false"):
        connect(place, kind, "ann")
        said = place.run("disconnect", kind, "--user", "ann").stdout
        assert said == "ann is no longer connected to fitbit; readings stay.\n"
        assert "is not connected" in place.refusal("disconnect", kind, "--user", "ann")
    assert "Nobody is connected" in place.run("sync", "--once").stdout


def test_the_server_keeps_the_schedule(place: Place, cloud: str, kind: str) -> None:
    connect(place, kind, "ann")
    with serving(place) as server:
        wait_until(lambda: len(server.client.get("/v1/etl/runs").json()["data"]) >= 2, "the first run")
        people = server.client.get("/v1/users/ann/sources").json()["data"]
        wait_until(lambda: server.client.get("/v1/users/ann/sources").json()["data"][0]["state"] == "ok", "ok")
        assert people[0]["source"] == kind
        assert (server.stop(), server.errors) == (0, "")


@pytest.mark.parametrize("kind", ["fitbit"])
def test_ingestion_as_a_service_of_its_own(place: Place, cloud: str, kind: str) -> None:
    connect(place, kind, "ann")
    with running(place, "sync", says="Data are fetched"):
        wait_until(lambda: runs_of(place) >= 2, "a run of each data set")
        assert "heart_rate_summary" in place.run("etl", "status", COLUMNS="300").stdout


def test_a_seed_makes_a_synthetic_person(place: Place) -> None:
    yesterday = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * 86_400))
    settings = {"USER_ID": "user1", "DATA_SEED": "23", "START_DATE": yesterday, "BATCH_SIZE": "5000"}
    done = place.run("sync", "--once", **settings)
    assert done.returncode == 0, done
    assert "without its hourly limit" in done.stdout
    assert re.search(r"^user1 fitbit heart_rate: done", done.stdout, re.MULTILINE)
    assert "Nobody is connected" in place.run("sync", "--once").stdout  # the simulated cloud is gone, and said so
    assert "PULSEBASE_DATA_SEED: needs PULSEBASE_USER_ID" in place.refusal("sync", DATA_SEED="23")


@pytest.mark.parametrize("kind", ["fitbit"])
def test_ingestion_that_is_killed_again_and_again_ends_without_a_gap(place: Place, cloud: str, kind: str) -> None:
    connect(place, kind, "ann")
    place.environment |= {"START_DATE": "2025-06-03", "BATCH_SIZE": "1000", "PULSEBASE_MAX_ROWS": "10000000"}
    for _ in range(3):
        killed_after_a_checkpoint(place)
    assert position(place) is not None  # it was in the middle
    done = place.run("sync", "--once")
    assert done.returncode == 0, done
    raw = place.run("query", "ann", "2025-06-03", "2025-06-12", "--interval", "raw", "--format", "csv").stdout
    times = [line.split(",")[1].strip('"') for line in raw.splitlines()[1:]]
    span = TimeRange(at("2025-06-03T00:00:00"), at("2025-06-12T15:20:00"))
    assert times == [format_us(time_us) for time_us, _ in recorded(DEMO_PEOPLE[0], span)]
    assert "The store is sound." in place.run("check").stdout


def killed_after_a_checkpoint(place: Place) -> None:
    before = position(place)
    with (place.folder / "ingest.out").open("wb") as out:
        command = place.start("sync", "--once", output=out)
    wait_until(lambda: position(place) != before or command.poll() is not None, "a checkpoint", 60)
    command.kill()
    command.wait()


def position(place: Place) -> int | None:
    """How far the pass that is under way has come."""
    return noted(place, "SELECT max(position_us) FROM checkpoints")


def runs_of(place: Place) -> int:
    return noted(place, "SELECT count(*) FROM runs") or 0


def noted(place: Place, question: str) -> int | None:
    with contextlib.closing(
        sqlite3.connect(place.folder / "store.duckdb.sources" / "state.sqlite", timeout=30)
    ) as file:
        found: int | None = file.execute(question).fetchone()[0]
        return found


def test_a_simulator_shows_its_faults_and_its_limit(place: Place) -> None:
    arguments = ("fitbit-sim", "--port", "0", "--limit", "0", "--fault", "late_sync=0.5", "--seed", "3")
    with running(place, *arguments, says=r"http://127\.0\.0\.1:\d+") as (_, url):
        faults = httpx.get(f"{url}/control/faults", trust_env=False).json()
        assert faults["late_sync"]["share"] == 0.5
    assert "It has no request limit" in (place.folder / "fitbit-sim.out").read_text()
    assert "must be one of" in place.refusal("google-sim", "--fault", "earthquake")
    assert "--now" in place.refusal("google-sim", "--now", "noon")


def test_wrong_settings_are_named(place: Place) -> None:
    for name, value, said in (
        ("PULSEBASE_INGEST_SCHEDULE", "at two", "PULSEBASE_INGEST_SCHEDULE: is no cron expression"),
        ("PULSEBASE_TOKEN_KEY", "hunter2", "PULSEBASE_TOKEN_KEY: must be 32 bytes"),
        ("PULSEBASE_FITBIT_URL", "http://health.example", "PULSEBASE_FITBIT_URL: must be an https address"),
        ("PULSEBASE_DATA_SETS", "pulse", "PULSEBASE_DATA_SETS: pulse is no data set; there are heart_rate, "),
        ("PULSEBASE_DATA_SETS", "", "PULSEBASE_DATA_SETS: nothing is no data set"),
        ("END_DATE", "june", "PULSEBASE_END_DATE: "),
        ("USER_ID", "an n", "PULSEBASE_USER_ID: must be 1–128"),
    ):
        line = place.refusal("sync", "--once", **{name: value})
        assert said in line
        assert "hunter2" not in line
    both = {"START_DATE": "2025-02-01", "END_DATE": "2025-01-31"}
    assert "PULSEBASE_END_DATE: must not be before" in place.refusal("sync", "--once", **both)


def test_the_demos_cloud_ends_with_it(place: Place) -> None:
    with serving(place, "--days", "1", command="demo") as server:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert children
        server.kill()
    wait_until(lambda: not any(alive(int(child)) for child in children), "the end of the simulated cloud")


def alive(pid: int) -> bool:
    try:
        return "multiprocessing" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
