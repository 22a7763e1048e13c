"""`keys` and `audit`: manage keys, and show what was done with them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import typer
from rich.table import Column, Table
from rich.text import Text

from pulsebase.access.access_file import AccessFile
from pulsebase.access.keys import Key
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.cli.output import console, errors, write_json
from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import StopError
from pulsebase.model.timerange import format_us, parse_instant
from pulsebase.settings import Settings
from pulsebase.stores.open import parse_store_url
from pulsebase.wiring_options import access_file
from pulsebase.wiring_sources import state_folder


def run_create(settings: Settings, name: str, scopes: list[str], people: list[str], expires: str | None) -> None:
    """Create a key. Only the key is written to standard output, so that `> file` stores it."""
    expires_us = None if expires is None else parse_instant(expires, "--expires")
    with _state(settings) as state:
        kept, key = create_key(state, KeyRequest(name, scopes, people or None, expires_us))
    errors.print(f"{kept.name}: {_scopes(kept)}, for {_whom(kept)}. Keep the key: it is not shown again.", markup=False)
    typer.echo(key)


def run_list(settings: Settings, *, as_json: bool) -> None:
    """Show every key, revoked ones included."""
    now_us = _now_us()
    with _state(settings) as state:
        kept = [key for _, key in state.all_keys()]
    if as_json:
        write_json({"data": [_described(key, now_us) for key in kept]})
        return
    shown = Table("name", "scopes", "for", "made", "expires", "state")
    for key in kept:
        expires = "" if key.expires_us is None else format_us(key.expires_us)
        cells = (key.name, _scopes(key), _whom(key), format_us(key.created_us), expires, _state_of(key, now_us))
        shown.add_row(*map(Text, cells))
    console.print(shown)


def run_revoke(settings: Settings, name: str) -> None:
    """Revoke a key."""
    with _state(settings) as state:
        if not state.revoke_key(name, _now_us()):
            raise StopError("there is no valid key of that name")
    console.print(f"{name} is revoked; a running server refuses it within a second.", markup=False)


def run_audit(settings: Settings, user_id: str | None, key: str | None, limit: int, *, as_json: bool) -> None:
    """Show what was read and changed."""
    given = {"user_id": user_id, "key": key}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    with session(settings) as client:
        page = answer_of(client.get("/v1/audit", params=asked | {"limit": str(limit)}))
    if as_json:
        write_json(page)
        return
    shown = Table("first", "last", "key", "what", "outcome", "whom", Column("requests", justify="right"))
    for deed in page["data"]:
        what = f"{deed['method']} {deed['route']}"
        cells = (deed["first"], deed["last"], deed["key"], what, str(deed["status"]), deed["user_id"] or deed["whom"])
        shown.add_row(*map(Text, cells), str(deed["requests"]))
    console.print(shown)
    if page["next_cursor"] is not None:
        console.print("and more: see --limit")


@contextlib.contextmanager
def _state(settings: Settings) -> Iterator[AccessFile]:
    """Yield the file of keys, which a running server shares."""
    if settings.state_folder is None and parse_store_url(settings.store_url).path is None:
        raise StopError(
            "there is no place to keep keys: this store has no folder, and PULSEBASE_STATE_FOLDER is not set"
        )
    with contextlib.ExitStack() as closing:
        state = AccessFile(access_file(state_folder(settings, closing)))
        closing.callback(state.close)
        yield state


def _state_of(key: Key, now_us: int) -> str:
    return "good" if key.good_at(now_us) else "revoked" if key.revoked_us is not None else "expired"


def _described(key: Key, now_us: int) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": sorted(key.scopes),
        "user_ids": None if key.people is None else sorted(key.people),
        "created": format_us(key.created_us),
        "expires": None if key.expires_us is None else format_us(key.expires_us),
        "state": _state_of(key, now_us),
    }


def _scopes(key: Key) -> str:
    return ", ".join(sorted(key.scopes))


def _whom(key: Key) -> str:
    return "everybody" if key.people is None else ", ".join(sorted(key.people)) or "nobody any more"


def _now_us() -> int:
    return time.time_ns() // 1000
