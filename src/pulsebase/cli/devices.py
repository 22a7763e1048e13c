"""`devices`: a person's devices, and which of them takes precedence."""

from __future__ import annotations

from typing import Any

from rich.table import Column, Table
from rich.text import Text

from pulsebase.cli.output import console, write_json
from pulsebase.cli.session import answer_of, session
from pulsebase.cli.users import path_of
from pulsebase.model.errors import RejectedError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.settings import Settings


def run_list(settings: Settings, user_id: str, *, as_json: bool) -> None:
    """Show a person's devices."""
    with session(settings) as client:
        answer = answer_of(client.get(f"{path_of(user_id)}/devices"))
    if as_json:
        write_json(answer)
    else:
        _show(answer["data"])


def run_priority(
    settings: Settings, user_id: str, device_id: str, priority: int | None, since: str | None, *, as_json: bool
) -> None:
    """Set a priority or restore the default, and show the device."""
    setting = {"priority": priority} | ({} if since is None else {"valid_from": since})
    with session(settings) as client:
        device = answer_of(client.put(_priority_path(user_id, device_id), json=setting))
    if as_json:
        write_json(device)
    else:
        _show([device])


def run_reset(settings: Settings, user_id: str, device_id: str, *, as_json: bool) -> None:
    """Remove every priority setting of a device."""
    with session(settings) as client:
        answer = answer_of(client.delete(_priority_path(user_id, device_id)))
    if as_json:
        write_json(answer)
        return
    text = f"{answer['removed_entries']} settings removed; the default applies at all times."
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _priority_path(user_id: str, device_id: str) -> str:
    problem = identifier_problem(device_id)
    if problem is not None:
        raise RejectedError.of("DEVICE_ID", problem)
    return f"{path_of(user_id)}/devices/{device_id}/priority"


def _show(devices: list[dict[str, Any]]) -> None:
    shown = Table(
        "device", Column("readings", justify="right"), "first", "last", Column("priority", justify="right"), "settings"
    )
    for device in devices:
        settings = [
            f"{'default' if entry['priority'] is None else entry['priority']} from {entry['valid_from']}"
            for entry in device["priorities"]
        ]
        texts = [device["device_id"], f"{device['readings']:,}", device["first_reading"], device["last_reading"]]
        texts += [str(device["priority"]), "\n".join(settings)]
        shown.add_row(*(Text(text or "") for text in texts))
    console.print(shown)
