"""`sync` and `etl status`: fetch data from connected sources, and show the results."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import httpx2 as httpx
from rich.table import Table

from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.cli.output import console, write_json
from pulsebase.cli.serve import stopping, url_of, wait_for
from pulsebase.cli.session import answer_of, client_at, listening, session
from pulsebase.settings import Settings
from pulsebase.sources.synthetic import DEMO_PEOPLE, SyntheticPerson
from pulsebase.wiring import BuiltServer, build, scheduled, watch_app
from pulsebase.wiring_demo import simulated_fitbit, synthetic_people

_RUNS_SHOWN = 20


def run_sync(settings: Settings, *, once: bool) -> bool:
    """Follow the schedule until SIGINT or SIGTERM, or fetch everything once. Return whether every run succeeded.

    Raises:
        StopError: the store cannot be opened.
    """
    if once and settings.data_seed is None:
        with session(settings) as client:
            return _bring_once(client, settings)
    stopped = threading.Event()
    with contextlib.ExitStack() as opened:
        opened.enter_context(stopping(stopped))
        people = [] if settings.data_seed is None else [synthetic_person(settings)]
        if people:
            settings = opened.enter_context(simulated_fitbit(settings, people))
            _say("The person is synthetic, and the data come from a simulated Fitbit cloud without its hourly limit.")
        parts = opened.enter_context(build(settings))
        _, path = opened.enter_context(listening(parts))
        opened.enter_context(synthetic_people(parts, people))
        if once:
            with client_at(path) as client:
                return _bring_once(client, settings)
        opened.enter_context(_watched(parts))
        opened.enter_context(scheduled(parts))
        _say(f'Data are fetched at "{settings.ingest_schedule}" in each person\'s time zone.  (stop: Ctrl+C)')
        wait_for(stopped)
    return True


@contextlib.contextmanager
def _watched(parts: BuiltServer) -> Iterator[None]:
    """Serve health and metrics during the block, if the settings name a port.

    Raises:
        StopError: the port is taken.
    """
    host, port = parts.settings.host, parts.settings.metrics_port
    if port is None:
        yield
        return
    with contextlib.closing(bound_socket(host, port)) as listener, serving(watch_app(parts), [listener]):
        _say(f"Health and metrics are at {url_of(listener)}/health and /metrics")
        yield


def run_status(settings: Settings, *, as_json: bool) -> None:
    """Show every connection, and the last runs."""
    with session(settings) as client:
        connections = answer_of(client.get("/v1/admin/sources"))["data"]
        runs = answer_of(client.get("/v1/etl/runs", params={"limit": _RUNS_SHOWN}))["data"]
    if as_json:
        write_json({"connections": connections, "runs": runs})
        return
    columns = ("user_id", "source", "state", "last_reading", "last_run", "next_try", "problem")
    _table(columns, connections)
    _table(("user_id", "source", "data_set", "outcome", "started", "read", "written", "rejected", "error"), runs)


def synthetic_person(settings: Settings) -> SyntheticPerson:
    """Return the person that `USER_ID` and `DATA_SEED` describe: one of the demo's people, or another like them."""
    assert settings.user_id is not None
    assert settings.data_seed is not None
    known = {person.user_id: person for person in DEMO_PEOPLE}
    another = SyntheticPerson(settings.user_id, 0, "UTC", "Synthetic", "female", date(1985, 6, 1), 60.0)
    return replace(known.get(settings.user_id, another), seed=settings.data_seed, chest_strap=False)


def _bring_once(client: httpx.Client, settings: Settings) -> bool:
    chosen = [each.strip() for each in settings.data_sets.split(",")] if settings.data_sets else None
    asked = {"user_id": settings.user_id, "data_sets": chosen}
    runs = answer_of(client.post("/v1/admin/etl/runs", json=asked))["data"]
    for run in runs:
        counts = ", ".join(f"{run[name]:,} {name}" for name in ("read", "written", "unchanged", "rejected"))
        _say(f"{run['user_id']} {run['source']} {run['data_set']}: {run['outcome']}, {counts}")
        for reason in [run["error"]] if run["error"] else [f"{n:,} × {text}" for text, n in run["reasons"].items()]:
            _say(f"  {reason}")
    if not runs:
        _say("Nobody is connected; pulsebase connect does that.")
    return all(run["outcome"] in ("done", "missing") for run in runs)


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    console.print(table)


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
