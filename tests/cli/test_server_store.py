"""The commands over a server store: each does its work, or says why it is for others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.files import ISO_FILE, write_files
from tests.support.postgres import empty_timescale
from tests.support.process import Place, Server, serving, wait_until


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose store is a server's."""
    place = Place(tmp_path_factory.mktemp("server"), store_url=empty_timescale(), pool_size="1")
    place.environment["XDG_DATA_HOME"] = str(place.folder)
    return place


@pytest.fixture(scope="module", autouse=True)
def first(place: Place) -> Iterator[Server]:
    """A server on the store, which holds a file and made-up people."""
    write_files(place.folder)
    with serving(place) as server:
        for arguments in (("import", ISO_FILE), ("fixtures", "--users", "3", "--readings", "600")):
            done = place.run(*arguments)
            assert done.returncode == 0, done.stderr
        yield server


def test_a_server_says_what_its_databases_user_may_do_beyond_serving(place: Place, first: Server) -> None:
    said = place.folder / "server.out"
    wait_until(lambda: "may do more than serving takes: it is a superuser" in said.read_text(), "it is said")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("users", "list"), "4 people"),
        (("devices", "priority", "1", "device_a", "7"), ""),
        (("cohort", "2025-01-01", "2025-01-31", "--min-avg-heart-rate", "40"), "1"),
        (("export", "--format", "csv", "--out", "all.csv"), "exported to all.csv"),
        (("ingest", "--once"), ""),
        (("check",), "The store is sound."),
        (("imports", "undo", "2"), "readings removed"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_commands_work_beside_a_server(place: Place, command: tuple[str, ...], said: str) -> None:
    done = place.run(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


@pytest.mark.parametrize(
    ("command", "instead"),
    [(("sql", "SELECT 1"), "psql"), (("backup", "copy"), "pg_dump")],
)
def test_what_is_for_embedded_stores_says_what_there_is_instead(
    place: Place, command: tuple[str, ...], instead: str
) -> None:
    refused = place.refusal(*command)
    assert "only an embedded store can do this" in refused
    assert instead in refused


def test_two_servers_share_a_database_and_what_is_known_of_sources(place: Place, first: Server) -> None:
    with serving(place) as other:
        readings = [{"device_id": "strap", "user_id": "kim", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 70}]
        assert first.post(readings).json()["accepted"] == 1
        assert other.client.get("/v1/users/kim").json()["readings"] == 1
    (folder,) = (place.folder / "pulsebase").iterdir()
    assert folder.name.startswith("template1-")
