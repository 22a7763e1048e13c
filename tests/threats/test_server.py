"""The server as a process: what it refuses to be, and how soon it hears of a change."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from pulsebase.access import audit
from pulsebase.access.access_file import AccessFile
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.model.errors import SettingsError
from pulsebase.settings import Settings
from pulsebase.wiring_options import access_is_on
from tests.support.process import Place, Server, serving, wait_until
from tests.threats.conftest import guarded

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Place(tmp_path_factory.mktemp("keys"), access="on")) as running:
        yield running


def made(place: Place, *arguments: str) -> dict[str, str]:
    done = place.run("keys", "create", *arguments)
    assert done.returncode == 0, done
    return {"authorization": f"Bearer {done.stdout.strip()}"}


def soon(server: Server, headers: dict[str, str], status: int) -> bool:
    """Whether the key comes to be answered so. The server looks for changes within a second; how long an answer takes
    on a busy machine is nothing that can be judged here.
    """
    assert audit.LOOK_S < 1
    wait_until(lambda: server.client.get("/v1/users", headers=headers).status_code == status, f"a {status}")
    return True


def test_a_key_that_is_revoked_by_a_command_opens_nothing_within_a_second(server: Server) -> None:
    place = server.place
    headers = made(place, "phone", "--scope", "read", "--user", "ann")
    key = headers["authorization"].removeprefix("Bearer ")
    assert soon(server, headers, 200)
    assert place.run("keys", "revoke", "phone").returncode == 0
    assert soon(server, headers, 401)
    listed = place.run("keys", "list", COLUMNS="200").stdout
    assert re.search(r"phone.*read.*ann.*revoked", listed)
    assert key not in listed
    assert place.refusal("keys", "revoke", "phone") == "pulsebase: there is no valid key of that name"


def test_the_trail_is_shown_by_a_command_which_is_in_it_itself(server: Server) -> None:
    place = server.place
    with contextlib.closing(AccessFile(place.folder / "store.duckdb.sources" / "access.sqlite")) as state:
        headers = {"authorization": f"Bearer {create_key(state, KeyRequest('gateway', ['ingest', 'read']))[1]}"}
    assert soon(server, headers, 200)
    reading = {"device_id": "d", "user_id": "ann", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 60}
    assert server.client.post("/v1/metrics/heart-rate", json=reading, headers=headers).status_code == 202
    assert place.run("users", "show", "ann").returncode == 0
    shown = place.run("audit", COLUMNS="200").stdout
    assert re.search(r"gateway.*POST /metrics/heart-rate.*202.*ann.*1", shown)
    assert re.search(r"owner.*GET /users/\{user_id\}.*200.*ann", shown)


def test_a_server_that_would_be_open_to_others_by_mistake_does_not_start(tmp_path: Path) -> None:
    place = Place(tmp_path, host="0.0.0.0", port="0")
    said = place.refusal("serve", PULSEBASE_ACCESS="off")
    assert "PULSEBASE_OPEN_TO_EVERYBODY" in said


def test_a_proxy_that_is_no_address_is_refused_by_name(tmp_path: Path) -> None:
    said = Place(tmp_path).refusal("serve", PULSEBASE_TRUSTED_PROXIES='["proxy"]')
    assert said.startswith("pulsebase: PULSEBASE_TRUSTED_PROXIES")


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost", "access": "on"}, True),
        ({"host": "0.0.0.0"}, True),
        ({"host": "pulse.example.org"}, True),
        ({"allowed_hosts": ("pulse.example.org",)}, True),
        ({"public_url": "https://pulse.example.org"}, True),
        ({"allowed_hosts": ("pulse.home.arpa",), "access": "off"}, False),
        ({"host": "0.0.0.0", "access": "off", "open_to_everybody": True}, False),
    ],
)
def test_access_is_on_wherever_others_may_reach_the_server(settings: dict[str, object], on: bool) -> None:
    assert access_is_on(Settings(_env_file=None, **settings)) is on  # type: ignore[arg-type]


def test_access_that_is_off_elsewhere_has_to_be_meant() -> None:
    with pytest.raises(SettingsError, match="PULSEBASE_OPEN_TO_EVERYBODY"):
        access_is_on(Settings(_env_file=None, host="192.0.2.1", access="off"))


def test_pages_of_other_origins_may_ask_only_where_they_are_named() -> None:
    with guarded(cors_origins=("https://health.example.org",)) as place:
        client = place.client(place.key("page", ["read"]))
        preflight = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        for origin, allowed in (("https://health.example.org", True), ("https://evil.example.org", False)):
            asked = place.client().options("/v1/users", headers={"origin": origin} | preflight)
            answer = client.get("/v1/users", headers={"origin": origin})
            shown = [each.headers.get("access-control-allow-origin") for each in (asked, answer)]
            assert shown == ([origin, origin] if allowed else [None, None])
            assert (asked.status_code, answer.status_code) == ((204, 200) if allowed else (403, 403))
            assert "access-control-allow-credentials" not in answer.headers
    with guarded() as place:
        answer = place.client(place.key("page", ["read"])).get("/v1/users", headers={"origin": "http://localhost"})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/redoc", "/openapi.json", "/v1/users", "/v1/nowhere"])
@pytest.mark.parametrize("tls", [False, True])
def test_every_answer_has_the_headers_that_keep_browsers_safe(path: str, tls: bool) -> None:
    with guarded(behind_tls=tls) as place:
        for answer in (place.client().get(path), place.owner.get(path)):
            headers = answer.headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert ("strict-transport-security" in headers) is tls
        assert "no-cache" in place.owner.get("/v1/users").headers["cache-control"]


def test_every_line_of_the_list_names_a_test_that_exists() -> None:
    listed = (ROOT / "docs" / "threats.md").read_text().split("## What attacks took")[0]
    lines = [line for line in listed.splitlines() if line.startswith("| ")]
    rows = [line for line in lines if not line.startswith("| Could")]
    assert rows
    for line in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert named, line
        for path, name in named:
            assert f"def {name}(" in (ROOT / path).read_text(), (path, name)


def test_a_server_that_nobody_has_a_key_for_says_so(tmp_path: Path) -> None:
    with serving(Place(tmp_path, access="on")) as running:
        assert httpx.get(f"{running.url}/v1/users").status_code == 401
        assert "pulsebase keys create" in (tmp_path / "server.out").read_text()
