"""`webhooks`: list webhooks and their deliveries, and send again what was given up."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from rich.table import Table
from rich.text import Text

from pulsebase.cli.output import console, write_json
from pulsebase.cli.session import answer_of, session
from pulsebase.settings import Settings


def run_list(settings: Settings, *, as_json: bool) -> None:
    """Show all webhooks, the oldest first."""
    with session(settings) as client:
        found = answer_of(client.get("/v1/webhooks"))
    if as_json:
        write_json(found)
        return
    table = Table("id", "url", "events", "people", "ended")
    for each in found["data"]:
        people = "everybody" if each["user_ids"] is None else ", ".join(each["user_ids"])
        row = each["webhook_id"], each["url"], ", ".join(each["events"]), people, each["ended"] or ""
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def run_deliveries(settings: Settings, webhook_id: str, state: str | None, limit: int, *, as_json: bool) -> None:
    """Show deliveries of a webhook, the newest first."""
    asked = {"limit": str(limit)} | ({} if state is None else {"state": state})
    with session(settings) as client:
        found = answer_of(client.get(f"{_path_of(webhook_id)}/deliveries", params=asked))
    if as_json:
        write_json({"data": found["data"]})
        return
    table = Table("id", "event", "person", "noted", "state", "attempts", "problem")
    for each in found["data"]:
        row = str(each["id"]), each["type"], each["user_id"] or "", each["noted_at"], each["state"]
        table.add_row(*(Text(cell) for cell in (*row, str(each["attempts"]), each["problem"] or "")))
    console.print(table)


def run_retry(settings: Settings, webhook_id: str, numbers: Sequence[int]) -> None:
    """Send deliveries of a webhook that were given up again: these, or all."""
    body = {"ids": list(numbers)} if numbers else {}
    with session(settings) as client:
        count = answer_of(client.post(f"{_path_of(webhook_id)}/deliveries/retry", json=body))["retried"]
    console.print(f"{count:,} deliveries are sent again.", highlight=False, soft_wrap=True)


def _path_of(webhook_id: str) -> str:
    return f"/v1/webhooks/{quote(webhook_id, safe='')}"
