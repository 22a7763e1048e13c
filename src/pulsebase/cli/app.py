"""The commands, one function each; what they do is in the modules beside."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pulsebase import __version__
from pulsebase.model.errors import PulsebaseError
from pulsebase.settings import Settings, load_settings

app = typer.Typer(
    name="pulsebase",
    help="Heart-rate time series: store, ask, look at.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
database = typer.Typer(name="db", help="Care for the database of a server store.", no_args_is_help=True)
app.add_typer(database)
errors = Console(stderr=True)

StoreUrl = Annotated[str | None, typer.Option("--store", help="The store's URL; PULSEBASE_STORE_URL by default.")]
Host = Annotated[str | None, typer.Option(help="The address to listen on; 127.0.0.1 by default.")]
Port = Annotated[int | None, typer.Option(help="The port to listen on; 8000 by default, 0 picks a free one.")]


def main() -> None:
    """Run a command; what stops it is said in one line."""
    try:
        app()
    except PulsebaseError as error:
        line = f"pulsebase: {error}"
    # Outside the handler, so that nothing the error has seen (connections of the engine) outlives the interpreter.
    errors.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


def settings_for(**overrides: Any) -> Settings:
    """The settings in force, with the log set up after them."""
    settings = load_settings(**overrides)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for chatty in ("httpx2", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return settings


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False
) -> None:
    """Heart-rate time series: store, ask, look at."""
    if show:
        typer.echo(__version__)
        raise typer.Exit
    del context


@app.command()
def serve(host: Host = None, port: Port = None, store: StoreUrl = None) -> None:
    """Serve the API and the page."""
    from pulsebase.cli.serve import run_server

    run_server(settings_for(host=host, port=port, store_url=store), with_demo=False)


@app.command()
def demo(
    host: Host = None,
    port: Port = None,
    store: StoreUrl = None,
    days: Annotated[int | None, typer.Option(help="How far back the two people's readings go, days.")] = None,
) -> None:
    """Serve with two synthetic people, whose readings are brought up to now and go on."""
    from pulsebase.cli.serve import run_server

    run_server(settings_for(host=host, port=port, store_url=store, demo_days=days), with_demo=True)


@app.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Research CSV files: Id,Time,Value.", metavar="FILE...")],
    tz: Annotated[str, typer.Option(help="The IANA zone of the local times in the files.")] = "UTC",
    device: Annotated[str, typer.Option(help="The device the readings are stored under.")] = "csv",
    store: StoreUrl = None,
) -> None:
    """Bring readings from files into the store."""
    from pulsebase.cli.imports import run_imports

    if not run_imports(settings_for(store_url=store), files, tz, device):
        raise typer.Exit(1)


@app.command()
def query(  # noqa: PLR0917 an option each
    user_id: Annotated[str, typer.Argument(help="The person.")],
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    interval: Annotated[str, typer.Option(help="auto, raw, 1s, 1m, 15m, 1h or 1d.")] = "auto",
    max_points: Annotated[int | None, typer.Option(help="The finest interval within so many points.")] = None,
    device: Annotated[str | None, typer.Option(help="This device alone.")] = None,
    include_all: Annotated[bool, typer.Option("--all", help="Every device's readings, unresolved.")] = False,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates, local times and days.")] = "UTC",
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Show one person's series."""
    from pulsebase.cli.query import run_query

    parameters = {
        "user_id": user_id,
        "start_date": start,
        "end_date": end,
        "interval": interval,
        "max_points": max_points,
        "device_id": device,
        "include": "all" if include_all else None,
        "tz": tz,
    }
    run_query(settings_for(store_url=store), parameters, form)


@app.command()
def simulate(  # noqa: PLR0917 an option each
    url: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8000",
    users: Annotated[int, typer.Option(min=1, help="How many people.")] = 10,
    devices: Annotated[int, typer.Option(min=1, help="How many devices each.")] = 2,
    rate: Annotated[
        float | None, typer.Option(help="Readings a second; as fast as the server takes them if left out.")
    ] = None,
    total: Annotated[int | None, typer.Option(min=1, help="Stop after so many readings.")] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many connections.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed sends the same load.")] = 1,
) -> None:
    """Send the load of many devices to a running server: duplicates, disorder, bursts, late and bad readings."""
    from pulsebase.cli.simulate import load_spec, run_simulation

    settings_for()
    if total is None and duration is None:
        duration = 30.0
    spec = load_spec(
        users=users, devices=devices, rate=rate, total=total, duration_s=duration, concurrency=concurrency, seed=seed
    )
    asyncio.run(run_simulation(url, spec))


@app.command()
def check(store: StoreUrl = None) -> None:
    """Compare every rollup in the store with a recomputation from the raw readings."""
    from pulsebase.cli.check import run_check

    if not run_check(settings_for(store_url=store)):
        raise typer.Exit(1)


@app.command()
def backup(
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet, or is empty.")],
    store: StoreUrl = None,
) -> None:
    """Write a consistent copy of the store, also while a server runs."""
    from pulsebase.cli.backup import run_backup

    run_backup(settings_for(store_url=store), destination)


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One statement that only reads, in DuckDB's SQL.")],
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Answer a question in SQL, through the server when one runs."""
    from pulsebase.cli.sql import run_sql

    run_sql(settings_for(store_url=store), statement, form)


@app.command()
def copy(
    target: Annotated[str, typer.Option("--to", help="The URL of the store to copy to.")],
    source: Annotated[str | None, typer.Option("--from", help="PULSEBASE_STORE_URL by default.")] = None,
) -> None:
    """Copy everything from one store into another and compare them. A copy that was broken off goes on."""
    from pulsebase.cli.copy import run_copy

    settings = settings_for()
    if not run_copy(settings, source or settings.store_url, target):
        raise typer.Exit(1)


@database.command()
def init(store: StoreUrl = None) -> None:
    """Make the tables of a server store, or bring them to the newest schema. Doing it again changes nothing."""
    from pulsebase.cli.db import run_init

    run_init(settings_for(store_url=store))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from pulsebase.cli.openapi import openapi_text

    typer.echo(openapi_text(), nl=False)
