"""Commands as scripts use them: JSON, exit statuses, settings and why, completion."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from click import Command

from pulsebase.cli.app import app
from pulsebase.cli.variables import run_settings, tell_of_unknown
from pulsebase.settings import Settings
from pulsebase.settings_loading import load_settings
from tests.support.process import PULSEBASE, Place, serving

#: Commands whose output is text alone, or files, or another program's.
WITHOUT_TABLES = {
    *("serve", "demo", "sync", "ingest", "connect", "disconnect", "import", "openapi", "mcp", "strap", "fixtures"),
    *("fitbit-sim", "google-sim", "oura-sim", "polar-sim", "withings-sim", "check", "retention", "backup", "copy"),
    *("db init", "keys create", "keys revoke", "imports undo", "users allow", "users import", "webhooks retry"),
}


def of(group: Any, prefix: str = "") -> dict[str, Command]:
    found: dict[str, Command] = {}
    for name, command in group.commands.items():
        found |= of(command, f"{prefix}{name} ") if hasattr(command, "commands") else {prefix + name: command}
    return found


def test_every_command_with_a_table_takes_a_format() -> None:
    options = {name: {each for part in it.params for each in part.opts} for name, it in of(app_of()).items()}
    assert {name for name, taken in options.items() if "--format" not in taken} == WITHOUT_TABLES


def app_of() -> Any:
    return typer.main.get_command(app)


def test_tables_come_as_json_in_one_line(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(place) as server:

        def told(*arguments: str) -> Any:
            done = place.run(*arguments, "--format", "json")
            assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1), done
            return json.loads(done.stdout)

        assert told("users", "add", "ann", "--name", "Ann")["name"] == "Ann"
        assert told("users", "set", "ann", "--gender", "female")["gender"] == "female"
        reading = {"user_id": "ann", "device_id": "d", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 60}
        server.post([reading]).raise_for_status()
        assert told("users", "list")["data"][0]["readings"] == 1
        assert told("users", "show", "ann")["metrics"][0]["metric"] == "heart_rate"
        assert told("devices", "list", "ann")["data"][0]["device_id"] == "d"
        assert told("devices", "priority", "ann", "d", "1")["priority"] == 1
        assert told("devices", "priority", "ann", "d", "--reset") == {"removed_entries": 1}
        assert place.run("keys", "create", "study", "--scope", "read").returncode == 0
        assert told("keys", "list")["data"][0] | {"created": ""} == {
            **{"name": "study", "scopes": ["read"], "user_ids": None, "created": "", "expires": None, "state": "good"}
        }
        assert told("imports", "list") == {"data": []}
        assert told("audit") == {"data": [], "next_cursor": None}
        assert told("etl", "status") == {"connections": [], "runs": []}
        assert told("users", "erase", "ann", "--yes")["deleted"]["readings"] == 1
        assert len(told("users", "erasures")["data"]) == 1
        assert told("settings", "--changed")["data"][0]["setting"] == "PULSEBASE_STORE_URL"
        assert told("simulate", "--url", server.url, "--total", "500", "--users", "2")["sent"] == 500
        assert place.refusal("users", "list", "--format", "yaml") == "pulsebase: --format: must be table or json"
        assert place.run("users", "list", "--limit", "many").returncode == 2


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PULSEBASE_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_settings_say_where_they_are_from_and_no_secret(
    variables: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("PULSEBASE_PORT=9000\npulsebase_host=127.0.0.2\nUSER_ID=ann\n")
    variables.setenv("PULSEBASE_HOST", "127.0.0.1")
    variables.setenv("PULSEBASE_MQTT_URL", "mqtt://me:hidden@broker")
    variables.setenv("PULSEBASE_MQTT_PASSWORD", "hidden")
    variables.setenv("DATABASE_URL", "postgresql://me:hidden@db/pulse?password=hidden")
    run_settings(load_settings(workers=2), {"workers": 2}, as_json=True, changed=True)
    out = capsys.readouterr().out
    assert "hidden" not in out
    assert {
        row["setting"].removeprefix("PULSEBASE_"): (row["value"], row["from"]) for row in json.loads(out)["data"]
    } == {
        "STORE_URL": ("postgresql://me:…@db/pulse?…", "environment, DATABASE_URL"),
        "HOST": ("127.0.0.1", "environment"),
        "PORT": (9000, ".env"),
        "WORKERS": (2, "option"),
        "MQTT_URL": ("mqtt://me:…@broker", "environment"),
        "MQTT_PASSWORD": ("(set)", "environment"),
        "USER_ID": ("ann", ".env, USER_ID"),
    }
    run_settings(load_settings(store_url="duckdb:////a/b.duckdb"), {}, as_json=False, changed=False)
    table = capsys.readouterr().out
    assert "duckdb:////a/b.duckdb" in table
    assert len(re.findall("PULSEBASE_", table)) == len(Settings.model_fields)


def test_a_misspelt_variable_is_named_with_the_nearest_setting(
    variables: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_of_unknown()
    assert capsys.readouterr().err == ""
    Path(".env").write_text("PULSEBASE_RETENTION_DAY=hidden\n")
    variables.setenv("PULSEBASE_STOREURL", "hidden")
    variables.setenv("PULSEBASE_XYZ", "hidden")
    variables.setenv("PULSEBASE_SOURCES_FOLDER", "hidden")  # a former name
    variables.setenv("PULSEBASE_TEST_API_STORE", "hidden")
    tell_of_unknown()
    assert capsys.readouterr().err.splitlines() == [
        "PULSEBASE_STOREURL (environment) is no setting, and is ignored; did you mean PULSEBASE_STORE_URL?",
        "PULSEBASE_XYZ (environment) is no setting, and is ignored",
        "PULSEBASE_RETENTION_DAY (.env) is no setting, and is ignored; did you mean PULSEBASE_RETENTION_DAYS?",
    ]


def test_any_command_tells_of_such_a_variable_and_goes_on(tmp_path: Path) -> None:
    done = Place(tmp_path).run("users", "list", PULSEBASE_PROT="8000")
    assert done.returncode == 0
    assert done.stderr.startswith("PULSEBASE_PROT (environment) is no setting")


def test_a_shell_completes_commands_and_options() -> None:
    for words, found in (
        ("pulsebase us", "users"),
        ("pulsebase users li", "list"),
        ("pulsebase query --max", "--max-"),
    ):
        place = {"_PULSEBASE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run([PULSEBASE], env=place, capture_output=True, text=True, timeout=120, check=False)
        assert found in done.stdout
