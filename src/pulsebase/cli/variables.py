"""`settings`: what is in force and why; and variables that look like settings of ours and are none."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import AliasChoices, SecretStr
from rich.table import Table
from rich.text import Text

from pulsebase.cli.output import console, errors, write_json
from pulsebase.settings import Settings
from pulsebase.settings_loading import COMMON_NAMES, settings_of_common_names

_PREFIX = "PULSEBASE_"
#: Read by the tests alone.
_OF_TESTS = "PULSEBASE_TEST_"
_DATABASE_NAMES = ("DATABASE_URL", "DB_HOST")
_ENV_FILE = Path(".env")


def run_settings(settings: Settings, typed: Mapping[str, Any], *, as_json: bool, changed: bool) -> None:
    """Show each setting, its value and where that is from. `typed` are settings that options give, None if not."""
    given = _given_by_place()
    rows = [
        {"setting": f"{_PREFIX}{name.upper()}", "value": _shown(settings, name), "from": _origin(name, typed, given)}
        for name in Settings.model_fields
    ]
    rows = [row for row in rows if not changed or row["from"] != "default"]
    if as_json:
        write_json({"data": rows})
        return
    table = Table("setting", "value", "from")
    for row in rows:
        table.add_row(row["setting"], Text("" if row["value"] is None else str(row["value"])), row["from"])
    console.print(table)


def tell_of_unknown() -> None:
    """Name each variable with our prefix that is no setting, and the setting with the nearest name. A value is never
    shown.
    """
    known = {name for field in Settings.model_fields for name in _names_of(field) if name.startswith(_PREFIX)}
    for place, names in _given_by_place().items():
        for name in sorted(names):
            if name.startswith(_PREFIX) and not name.startswith(_OF_TESTS) and name not in known:
                bare = [each.removeprefix(_PREFIX) for each in known]
                nearest = difflib.get_close_matches(name.removeprefix(_PREFIX), bare, 1)
                hint = f"; did you mean {_PREFIX}{nearest[0]}?" if nearest else ""
                errors.print(f"{name} ({place}) is no setting, and is ignored{hint}", markup=False, highlight=False)


def _given_by_place() -> dict[str, set[str]]:
    """Return the names of the variables that are set, by where; the first place wins."""
    return {"environment": {name.upper() for name in os.environ}, str(_ENV_FILE): set(_names_in_file())}


def _names_in_file() -> Iterator[str]:
    try:
        with _ENV_FILE.open(encoding="utf-8") as file:
            yield from (binding.key.upper() for binding in parse_stream(file) if binding.key)
    except (OSError, UnicodeDecodeError):
        return  # whoever loads the settings says what is wrong with it


def _names_of(field: str) -> list[str]:
    """Return the variables that a setting is read from, the one that wins first."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice).upper() for choice in alias.choices]
    return [f"{_PREFIX}{field.upper()}"]


def _origin(field: str, typed: Mapping[str, Any], given: Mapping[str, Iterable[str]]) -> str:
    if typed.get(field) is not None:
        return "option"
    common = _DATABASE_NAMES if field == "store_url" else (COMMON_NAMES.get(field, ""),)
    for names in (_names_of(field), common if field in settings_of_common_names() else ()):
        for place, there in given.items():
            for name in names:
                if name in there:
                    return place if name == f"{_PREFIX}{field.upper()}" else f"{place}, {name}"
    return "default"


def _shown(settings: Settings, field: str) -> Any:
    """Return a value as JSON has it, without secrets."""
    value = getattr(settings, field)
    if isinstance(value, SecretStr):
        return "(set)"
    if isinstance(value, str) and "://" in value:
        return _without_password(value)
    if isinstance(value, bool | int | float | None):
        return value
    return list(value) if isinstance(value, tuple) else str(value)


def _without_password(url: str) -> str:
    """Return a URL with whatever stands before `@` cut to the user's name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not shown)"
    if "@" not in parts.netloc and not parts.query:
        return url
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    query = "?…" if parts.query else ""
    return parts._replace(netloc=f"{user}{colon and ':…'}{at}{host}", query="").geturl() + query
