"""Starting, stopping, being found; and the settings that stop a start."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path

import httpx2 as httpx
import pytest

from pulsebase import __version__
from pulsebase.model.errors import StoreLockedError
from pulsebase.settings_loading import load_settings
from pulsebase.stores.duckdb.engine.lock import StoreLock, holder_of
from tests.cli.files import ISO_FILE
from tests.support.process import PULSEBASE, Place, reading, serving, wait_until


def test_version_and_help_need_no_store(place: Place) -> None:
    assert place.run("--version").stdout == f"{__version__}\n"
    done = place.run("--help")
    commands = ("serve", "demo", "import", "query", "simulate", "check", "openapi")
    assert done.returncode == 0
    assert all(command in done.stdout for command in commands)
    assert not place.database.exists()


def test_openapi_is_the_same_whatever_is_set(place: Place) -> None:
    done = place.run("openapi", PULSEBASE_PORT="none", PULSEBASE_BODY_LIMIT_BYTES="2048", PULSEBASE_HOST="0.0.0.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == place.run("openapi").stdout
    assert '"/v1/timeseries"' in done.stdout
    assert not place.database.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean(place: Place, number: signal.Signals) -> None:
    with serving(place) as server:
        assert server.client.get("/health").json()["status"] == "healthy"
        held = server.place.holder()
        assert server.post([reading("ann", 1)]).status_code == 202
        assert (server.stop(number), server.errors) == (0, "")
    assert not Path(held["socket"]).parent.exists()
    assert holder_of(place.database) is None


def test_the_demo_serves_its_two_people_from_a_store_of_their_own(place: Place) -> None:
    place.environment["PULSEBASE_DEMO_STORE_URL"] = f"duckdb:///{place.folder / 'demo' / 'demo.duckdb'}"
    with serving(place, "--days", "1", command="demo") as server:
        wait_until(lambda: "complete" in (place.folder / "server.out").read_text(), "the two people's readings")
        assert server.client.get("/").json()["demo"] == "complete"
        people = server.client.get("/v1/users").json()["data"]
        assert len(people) == 2
        assert all(person["readings"] > 1000 for person in people)
        assert (server.stop(), server.errors) == (0, "")
    assert not place.database.exists()


def test_socket_and_lock_are_for_the_owner_only(place: Place) -> None:
    with serving(place):
        path = Path(place.holder()["socket"])
        modes = [stat.S_IMODE(found.stat().st_mode) for found in (path.parent, path, place.lock_file)]
        assert modes == [0o700, 0o600, 0o600]


def test_a_killed_server_is_no_obstacle(place: Place) -> None:
    with serving(place) as server:
        assert server.post([reading("ann", 1)]).status_code == 202
        server.kill()
    assert place.holder()["pid"] == server.pid  # the lock file still says so
    left = Path(place.holder()["socket"])
    assert left.is_socket()
    assert "1 readings" in place.run("check").stdout
    assert not left.parent.exists()
    with serving(place) as server:
        assert len(server.raw("ann")) == 1


def test_commands_wait_for_a_server_that_starts(place: Place) -> None:
    lock = StoreLock(place.database)  # as a server does that is not listening yet
    command = subprocess.Popen(
        [PULSEBASE, "check"], cwd=place.folder, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(3)
    lock.release()
    assert b"The store is sound." in command.communicate(timeout=60)[0]


def test_a_command_whose_server_goes_says_so(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = place.folder / "s"
        listener.bind(os.path.relpath(path))
        lock = StoreLock(place.database)
        lock.advertise(str(os.path.relpath(path, place.folder)))
        assert "the server stopped before the command was done" in place.refusal("check")
        lock.release()


def test_looking_at_a_lock_does_not_take_it(tmp_path: Path) -> None:
    database = tmp_path / "store.duckdb"
    assert holder_of(database) is None
    lock = StoreLock(database)
    held = holder_of(database)
    assert held is not None
    assert (held.pid, held.socket) == (os.getpid(), None)
    with pytest.raises(StoreLockedError, match=f"in use by process {os.getpid()}"):
        StoreLock(database)
    lock.release()
    assert holder_of(database) is None
    StoreLock(database).release()


def test_simulate_sends_its_load_to_a_server(place: Place) -> None:
    with serving(place) as server:
        done = place.run("simulate", "--url", server.url, "--total", "3000", "--users", "3", "--devices", "2")
        assert (done.returncode, done.stderr) == (0, "")
        counts = {
            name: int(number.replace(",", "")) for name, number in re.findall(r"(\w+) +([\d,]+) readings", done.stdout)
        }
        assert counts["sent"] >= 3000
        assert (counts["accepted"] + counts["rejected"], counts["lost"]) == (counts["sent"], 0)
        assert server.metric('pulsebase_ingest_readings_accepted_total{source="http"}') == counts["accepted"]
        assert len(server.client.get("/v1/users").json()["data"]) == 3


def test_simulate_refuses_what_makes_no_load(place: Place) -> None:
    assert "nothing answers at" in place.refusal("simulate", "--url", "http://127.0.0.1:1")
    assert "--url" in place.refusal("simulate", "--url", "http://[::1")
    assert "rate must be above 0" in place.refusal("simulate", "--rate", "0")


def test_a_port_in_use_is_refused(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = place.refusal("serve", "--port", port)
    assert line == f"pulsebase: cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert not place.database.exists()


def test_an_address_that_is_not_ours_is_refused(place: Place) -> None:
    assert "cannot listen on 192.0.2.1" in place.refusal("serve", "--host", "192.0.2.1", "--port", "0")


def test_a_socket_has_a_place_without_a_runtime_folder(place: Place) -> None:
    assert place.run("check", XDG_RUNTIME_DIR="/nowhere").returncode == 0
    folder = place.folder / ("long" * 30)
    folder.mkdir()
    assert place.run("check", XDG_RUNTIME_DIR=str(folder)).returncode == 0, "its path is too long for a socket"


def test_an_import_of_nothing_that_exists_makes_no_store(place: Place) -> None:
    assert place.refusal("import", "nowhere.csv") == "pulsebase: nowhere.csv: No such file or directory"
    assert "--tz" in place.refusal("import", ISO_FILE, "--tz", "Mars/Base")
    assert "--device" in place.refusal("import", ISO_FILE, "--device", "my watch")
    assert not place.database.exists()


def test_the_environment_file_is_read_and_the_environment_wins(place: Place) -> None:
    (place.folder / ".env").write_text("PULSEBASE_MAX_HEART_RATE=200\nPULSEBASE_MIN_HEART_RATE=40\nOTHER=1\n")
    with serving(place, PULSEBASE_MAX_HEART_RATE="210") as server:
        for bpm, said in ((211, "40–210"), (205, None), (39, "40–210")):
            answer = server.client.post("/v1/metrics/heart-rate", json=reading("ann", bpm, bpm))
            assert answer.status_code == (202 if said is None else 400)
            assert said is None or said in answer.json()["detail"]


def test_a_wrong_environment_file_stops_a_command(place: Place) -> None:
    (place.folder / ".env").write_text("PULSEBASE_PORT=http\n")
    assert "PULSEBASE_PORT" in place.refusal("serve")
    assert not place.database.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# fine\nPULSEBASE_PORT: 80\n", ".env: line 2 is not NAME=value"),
        (b"PULSEBASE_PORT=\xff\xfe\n", ".env cannot be read: it is not text"),
        (b"PULSEBASE_PORT=65536\n", "PULSEBASE_PORT: Input should be less than or equal to 65535"),
    ],
)
def test_an_environment_file_is_wrong_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(content)
    assert wrong_settings() == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "", "PULSEBASE_PORT: Input should be a valid integer"),
        ("PORT", "-1", "PULSEBASE_PORT: Input should be greater than or equal to 0"),
        ("QUERY_TIMEOUT_S", "soon", "PULSEBASE_QUERY_TIMEOUT_S: Input should be a valid number"),
        ("MEMORY_LIMIT", "much", "PULSEBASE_MEMORY_LIMIT: String should match"),
        ("LOG_LEVEL", "loud", "PULSEBASE_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("ALLOWED_HOSTS", "pulse.home.arpa", "PULSEBASE_ALLOWED_HOSTS: must be written as JSON"),
        ("MIN_HEART_RATE", "220", "PULSEBASE_MIN_HEART_RATE: must be below PULSEBASE_MAX_HEART_RATE"),
        ("STORE_URL", "mysql://localhost/p", "PULSEBASE_STORE_URL: the store URL must be duckdb:///"),
        ("STORE_URL", "store", "PULSEBASE_STORE_URL: the store URL must be duckdb:///"),
        ("STORE_URL", "duckdb://[", "PULSEBASE_STORE_URL: "),
        ("STORE_URL", "", "PULSEBASE_STORE_URL: the store URL must be duckdb:///"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"PULSEBASE_{name}", value)
    line = wrong_settings()
    assert line.startswith(said)
    assert "\n" not in line


def test_a_wrong_setting_stops_a_command_in_one_line(place: Place) -> None:
    assert place.refusal("check", PULSEBASE_STORE_URL="redis://x").startswith("pulsebase: PULSEBASE_STORE_URL: ")
    assert place.refusal("serve", PULSEBASE_MERGE_INTERVAL_S="0").startswith("pulsebase: PULSEBASE_MERGE_INTERVAL_S: ")


def wrong_settings() -> str:
    from pulsebase.model.errors import SettingsError

    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def test_a_server_answers_by_the_port_it_prints(place: Place) -> None:
    with serving(place, "--host", "127.0.0.1") as server:
        assert httpx.get(f"{server.url}/").json()["name"] == "Pulsebase"
        assert server.client.get("/app/").status_code == 200
