"""Settings that come under common names, and the URLs of stores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pulsebase.model.errors import SettingsError
from pulsebase.settings_loading import load_settings, role_passwords
from pulsebase.stores.open import parse_store_url
from pulsebase.wiring_options import cluster_choice

COMMON = (
    *("DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_PASSWORD_FILE"),
    *("POOL_SIZE", "MAX_OVERFLOW", "POOL_TIMEOUT", "POOL_RECYCLE"),
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name in COMMON or name.startswith("PULSEBASE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_common_names_stand_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, POOL_SIZE="20", MAX_OVERFLOW="30", POOL_TIMEOUT="31", POOL_RECYCLE="1800")
    given(monkeypatch, DATABASE_URL="postgresql+psycopg://user:password@localhost:5432/dbname")
    settings = load_settings()
    assert (settings.pool_size, settings.max_overflow) == (20, 30)
    assert (settings.pool_timeout_s, settings.pool_recycle_s) == (31, 1800)
    assert parse_store_url(settings.store_url).conninfo == "postgresql://user:password@localhost:5432/dbname"


def test_parts_of_an_address_make_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, DB_HOST="timescaledb", DB_NAME="fitbit-hr", DB_USER="postgres", DB_PASSWORD="p@ss/word")
    assert load_settings().store_url == "postgresql://postgres:p%40ss%2Fword@timescaledb:5432/fitbit-hr"
    given(monkeypatch, DB_PORT="6543")
    monkeypatch.delenv("DB_PASSWORD")
    assert load_settings().store_url == "postgresql://postgres@timescaledb:6543/fitbit-hr"


def test_our_names_and_the_command_line_win(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, DATABASE_URL="postgres://db/elsewhere", POOL_SIZE="20", PULSEBASE_POOL_SIZE="5")
    assert load_settings().pool_size == 5
    assert load_settings(store_url="memory://").store_url == "memory://"
    given(monkeypatch, PULSEBASE_STORE_URL="duckdb:///here.duckdb")
    assert load_settings().store_url == "duckdb:///here.duckdb"


def test_common_names_are_read_from_the_file_too() -> None:
    Path(".env").write_text("DB_HOST=db\nDB_NAME=pulse\n")
    assert load_settings().store_url == "postgresql://db:5432/pulse"


def test_a_former_name_is_read_and_the_present_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, PULSEBASE_SOURCES_FOLDER="before")
    assert load_settings().state_folder == Path("before")
    given(monkeypatch, PULSEBASE_STATE_FOLDER="now")
    assert load_settings().state_folder == Path("now")


def test_a_url_of_another_kind_of_database_is_not_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, DATABASE_URL="mysql://db/shop")
    assert load_settings().store_url.startswith("duckdb:///")


def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, POOL_SIZE="many")
    with pytest.raises(SettingsError, match="POOL_SIZE"):
        load_settings()


@pytest.mark.parametrize("url", ["postgresql://user@host", "postgresql://", "postgresql://host/db?nonsense=1"])
def test_a_wrong_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(store_url=url.replace("host", "secret"))
    assert "PULSEBASE_STORE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_password_is_shown_nowhere() -> None:
    settings = load_settings(store_url="postgresql://user:hunter2@host/db")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(parse_store_url(settings.store_url))


def test_passwords_come_from_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("database", "api", "exporter"):
        (tmp_path / name).write_text(f"p@ss/{name}\n")
    given(monkeypatch, DB_HOST="db", DB_NAME="pulse", DB_USER="me", DB_PASSWORD_FILE=str(tmp_path / "database"))
    given(monkeypatch, PULSEBASE_API_PASSWORD_FILE=str(tmp_path / "api"))
    given(monkeypatch, PULSEBASE_EXPORTER_PASSWORD="said", PULSEBASE_EXPORTER_PASSWORD_FILE=str(tmp_path / "exporter"))
    settings = load_settings()
    assert settings.store_url == "postgresql://me:p%40ss%2Fdatabase@db:5432/pulse"
    assert role_passwords(settings) == ("p@ss/api", "said")
    assert "said" not in repr(settings)


@pytest.mark.parametrize("text", [None, "", "one\ntwo\n"])
def test_a_file_that_holds_no_password_is_refused_by_the_setting(
    text: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    if text is not None:
        path.write_text(text)
    given(monkeypatch, PULSEBASE_API_PASSWORD_FILE=str(path))
    with pytest.raises(SettingsError, match="PULSEBASE_API_PASSWORD_FILE: ") as refused:
        role_passwords(load_settings())
    assert "one" not in str(refused.value).replace("one line", "")
    given(monkeypatch, DB_HOST="db", DB_NAME="pulse", DB_PASSWORD_FILE=str(path))
    with pytest.raises(SettingsError, match="DB_PASSWORD_FILE: "):
        load_settings()


@pytest.mark.parametrize(
    ("store_url", "cluster_url", "reason"),
    [
        ("duckdb:///here.duckdb", "clickhouse://u:secret@h/d?cluster=c", "needs PULSEBASE_STORE_URL=postgresql://"),
        ("postgresql://h/d", "http://u:secret@h/d?cluster=c", "begins with clickhouse://"),
        ("postgresql://h/d", "clickhouse://u:secret@h/d", "needs \\?cluster=name"),
    ],
)
def test_a_cluster_stands_beside_a_server_store(
    monkeypatch: pytest.MonkeyPatch, store_url: str, cluster_url: str, reason: str
) -> None:
    given(monkeypatch, PULSEBASE_STORE_URL=store_url, PULSEBASE_CLICKHOUSE_URL=cluster_url)
    with pytest.raises(SettingsError, match=f"PULSEBASE_CLICKHOUSE_URL: .*{reason}") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_a_cluster_belongs_to_the_store_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, PULSEBASE_STORE_URL="postgresql://h/d", PULSEBASE_CLICKHOUSE_URL="clickhouse://h/d?cluster=c")
    settings = load_settings()
    assert "clickhouse" not in repr(settings)
    beside = cluster_choice(settings, "postgres://h/d")
    assert beside is not None
    assert beside.url == settings.clickhouse_url
    assert cluster_choice(settings, "postgresql://h/another") is None
    assert cluster_choice(settings, "duckdb:///here.duckdb") is None
