"""`users`: show, create, change and erase people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from time import sleep
from typing import Any

import httpx2 as httpx
import msgspec
import typer
from rich.table import Column, Table
from rich.text import Text

from pulsebase.cli.output import console, write_json
from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.users import User
from pulsebase.settings import Settings

_PAGE = 1000
_SHOWN_ERRORS = 100
_POLL_S = 0.2


def run_list(settings: Settings, text: str, limit: int, *, as_json: bool) -> None:
    """Show people, page after page."""
    people: list[dict[str, Any]] = []
    cursor = None
    with session(settings) as client:
        while len(people) < limit:
            size = min(_PAGE, limit - len(people))
            asked = {"query": text, "limit": str(size)} | ({"cursor": cursor} if cursor else {})
            page = answer_of(client.get("/v1/users", params=asked))
            people += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    if as_json:
        write_json({"data": people, "next_cursor": cursor})
        return
    shown = Table("id", "name", "gender", "born", "time zone", Column("readings", justify="right"), "first", "last")
    for person in people:
        shown.add_row(*_cells(person))
    console.print(shown)
    _say(f"{len(people):,} people" + (", and more: see --limit" if cursor else ""))


def run_show(settings: Settings, user_id: str, *, as_json: bool) -> None:
    """Show one person, and what is stored of them by metric."""
    path = path_of(user_id)
    with session(settings) as client:
        person = answer_of(client.get(path))
        metrics = answer_of(client.get(f"{path}/metrics"))["data"]
    if as_json:
        write_json(person | {"metrics": metrics})
        return
    _show(person)
    if metrics:
        _show_metrics(metrics)


def run_add(settings: Settings, user_id: str, fields: dict[str, Any], *, as_json: bool) -> None:
    """Create a person and show them."""
    path_of(user_id)
    with session(settings) as client:
        person = answer_of(client.post("/v1/users", json={"user_id": user_id} | fields))
    (write_json if as_json else _show)(person)


def run_set(settings: Settings, user_id: str, fields: dict[str, Any], *, as_json: bool) -> None:
    """Change fields of a person and show them."""
    if not fields:
        raise RejectedError.of("USER_ID", "is given, but no option that says what to change")
    with session(settings) as client:
        person = answer_of(client.patch(path_of(user_id), json=fields))
    (write_json if as_json else _show)(person)


def run_erase(settings: Settings, user_id: str, *, asking: bool, waiting: bool, as_json: bool) -> bool:
    """Erase a person, after confirmation, and show the receipt. Return whether they were erased."""
    path = path_of(user_id)
    with session(settings) as client:
        if asking:
            readings = answer_of(client.get(path))["readings"]
            if not typer.confirm(f"Erase {user_id} and their {readings:,} readings for good?", err=as_json):
                return False
        receipt = answer_of(client.delete(path))
        while waiting and receipt["scrubbed_at"] is None:
            sleep(_POLL_S)
            receipt = answer_of(client.get(f"/v1/erasures/{receipt['erasure_id']}"))
        if as_json:
            write_json(receipt)
            return True
        if receipt["hidden_at"] is None:
            _say(f"The erasure of {user_id} is recorded, and continues by itself as soon as possible.")
        else:
            _say(f"{user_id} erased, with {(receipt['deleted'] or {}).get('readings', 0):,} readings.")
        _show_receipt(receipt)
    return True


def run_allow(settings: Settings, user_id: str) -> None:
    """Allow an erased id again."""
    path = path_of(user_id)
    with session(settings) as client:
        answer_of(client.post(f"{path}/allow"))
    _say(f"The id {user_id} may be used again.")


def run_erasures(settings: Settings, *, as_json: bool) -> None:
    """Show every receipt."""
    with session(settings) as client:
        receipts = answer_of(client.get("/v1/erasures"))
    if as_json:
        write_json(receipts)
        return
    shown = Table("erasure", "stage", "requested", "hidden", "scrubbed", "problem")
    for receipt in receipts["data"]:
        names = ("erasure_id", "stage", "requested_at", "hidden_at", "scrubbed_at", "problem")
        shown.add_row(*(Text(receipt[name] or "") for name in names))
    console.print(shown)


def run_import(settings: Settings, path: Path, today: date, age_on: str | None) -> bool:
    """Store the people of a file. Return whether every line was valid."""
    from pulsebase.etl.extract.people_csv import read_people_csv

    reference = day_of_ages(age_on, today)
    try:
        people = read_people_csv(path, today, reference)
    except OSError as error:
        raise StopError(f"{path}: {error.strerror}") from error
    except RejectedError as error:
        for each in error.errors[:_SHOWN_ERRORS]:
            _say(f"{path.name}: line {each.index}: {each.field}: {each.reason}", style="red")
        more = len(error.errors) - _SHOWN_ERRORS
        _say(f"{path.name}: nothing was stored" + (f"; {more:,} more faults" if more > 0 else ""), style="red")
        return False
    with session(settings) as client:
        stored = store_people(client, people)
    _say(f"{path.name}: {stored:,} people stored")
    return True


def day_of_ages(typed: str | None, today: date) -> date:
    """Return the day to which ages refer.

    Raises:
        RejectedError: the option is not a date.
    """
    try:
        return today if typed is None else date.fromisoformat(typed)
    except ValueError:
        raise RejectedError.of("--age-on", "must be a date such as 2024-01-15") from None


def store_people(client: httpx.Client, users: Sequence[User]) -> int:
    """Create or replace the people, all or none. Return how many there were."""
    return _stored(client, [asdict(user) for user in users])


def path_of(user_id: str) -> str:
    """Return the person's path in the API.

    Raises:
        RejectedError: the id is not valid.
    """
    problem = identifier_problem(user_id)
    if problem is not None:
        raise RejectedError.of("USER_ID", problem)
    return f"/v1/users/{user_id}"


def _stored(client: httpx.Client, people: list[dict[str, Any]]) -> int:
    body = msgspec.json.encode({"users": people})
    response = client.post("/v1/admin/users", content=body, headers={"Content-Type": "application/json"})
    return int(answer_of(response)["stored"])


def _show_receipt(receipt: dict[str, Any]) -> None:
    shown = Table(show_header=False)
    shown.add_row("erasure", Text(receipt["erasure_id"]))
    for name in ("requested", "hidden", "scrubbed"):
        shown.add_row(name, receipt[f"{name}_at"] or "not yet")
    for name, count in (receipt["deleted"] or {}).items():
        shown.add_row(name, f"{count:,}")
    if receipt["bytes_before"] is not None:
        shown.add_row("bytes", f"{receipt['bytes_before']:,} before, {receipt['bytes_after']:,} after")
    if receipt["problem"]:
        shown.add_row("problem", Text(receipt["problem"]))
    for name in receipt["out_of_reach"]:
        shown.add_row("out of reach", Text(name))
    console.print(shown)


def _show(person: dict[str, Any]) -> None:
    shown = Table(show_header=False)
    names = ("id", "name", "gender", "born", "time zone", "readings", "first reading", "last reading")
    for name, cell in zip(names, _cells(person), strict=True):
        shown.add_row(name, cell)
    console.print(shown)


def _show_metrics(metrics: list[dict[str, Any]]) -> None:
    shown = Table("metric", "unit", Column("readings", justify="right"), "first", "last")
    for each in metrics:
        cells = each["metric"], each["unit"], f"{each['readings']:,}", each["first_reading"], each["last_reading"]
        shown.add_row(*(Text(cell or "") for cell in cells))
    console.print(shown)


def _cells(person: dict[str, Any]) -> list[Text]:
    texts = [person[name] or "" for name in ("user_id", "name", "gender", "birth_date", "time_zone")]
    texts += [f"{person['readings']:,}", person["first_reading"] or "", person["last_reading"] or ""]
    return [Text(text) for text in texts]


def _say(text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
