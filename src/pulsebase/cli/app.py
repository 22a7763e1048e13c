"""The commands, one function each. The other modules of this package do the work."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsebase import __version__
from pulsebase.cli import people
from pulsebase.cli.options import Metrics, StoreUrl, metrics_of, settings_for
from pulsebase.cli.output import errors
from pulsebase.files.disk_errors import meaning_of
from pulsebase.files.private import UMASK
from pulsebase.model.errors import PulsebaseError

app = typer.Typer(
    name="pulsebase",
    help="Heart-rate time series: store, ask, look at.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(people.users)
app.add_typer(people.devices)
etl = typer.Typer(help="Show what the pipeline did.", no_args_is_help=True)
app.add_typer(etl, name="etl")
database = typer.Typer(name="db", help="Manage the database of a server store.", no_args_is_help=True)
app.add_typer(database)

Host = Annotated[str | None, typer.Option(help="The address to listen on; 127.0.0.1 by default.")]
Port = Annotated[int | None, typer.Option(help="The port to listen on; 8000 by default, 0 picks a free one.")]


def main() -> None:
    """Run a command. An error that stops it is printed in one line."""
    os.umask(UMASK)
    try:
        app()
    except PulsebaseError as error:
        line = f"pulsebase: {error}"
    except OSError as error:  # about a file or folder for which the command has no specific message
        ours = meaning_of(error, error.filename or "a file")
        if ours is None:
            raise
        line = f"pulsebase: {ours}"
    # Outside the handler, so that nothing the error refers to (connections of the engine) outlives the interpreter.
    errors.print_error(line)
    sys.exit(1)


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
def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[
        int | None, typer.Option(help="How many processes answer; 1 by default, more need a server store.")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Serve the API and the page."""
    from pulsebase.cli.serve import run_server
    from pulsebase.cli.supervisor import run_workers

    given = {"host": host, "port": port, "workers": workers, "store_url": store}
    settings = settings_for(**given)
    if settings.workers > 1:
        run_workers(settings, given)
    else:
        run_server(settings, with_demo=False)


@app.command()
def demo(
    host: Host = None,
    port: Port = None,
    store: StoreUrl = None,
    days: Annotated[int | None, typer.Option(help="For how many days back the two people have readings.")] = None,
) -> None:
    """Serve with two synthetic people, who get readings up to now and new ones from then on."""
    from pulsebase.cli.serve import run_server

    run_server(settings_for(host=host, port=port, store_url=store, demo_days=days), with_demo=True)


@app.command()
@app.command("ingest", hidden=True)  # its former name
def sync(
    once: Annotated[bool, typer.Option("--once", help="Bring everything now and end, due or not.")] = False,
    user: Annotated[str | None, typer.Option(help="This person alone; PULSEBASE_USER_ID by default.")] = None,
    data_set: Annotated[
        list[str] | None,
        typer.Option(
            help="This data set alone, heart_rate for example; may be repeated. PULSEBASE_DATA_SETS by default."
        ),
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Fetch the data of connected sources, on schedule or once."""
    from pulsebase.cli.sync import run_sync

    chosen = ",".join(data_set) if data_set else None
    if not run_sync(settings_for(store_url=store, user_id=user, data_sets=chosen), once=once):
        raise typer.Exit(1)


@app.command()
def connect(
    source: Annotated[str, typer.Argument(help="fitbit or google.")],
    user: Annotated[str, typer.Option(help="The id under which the person's readings are stored.")],
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address to open.")] = False,
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1 that the source sends the browser back to.")] = 8017,
    store: StoreUrl = None,
) -> None:
    """Connect a person to a wearable cloud. They give consent in their browser."""
    from pulsebase.cli.connect import run_connect

    run_connect(settings_for(store_url=store), source, user, port, browser=not no_browser)


@app.command()
def disconnect(
    source: Annotated[str, typer.Argument(help="fitbit or google.")],
    user: Annotated[str, typer.Option(help="The person.")],
    store: StoreUrl = None,
) -> None:
    """Remove a person's connection to a wearable cloud. Readings stay."""
    from pulsebase.cli.connect import run_disconnect

    run_disconnect(settings_for(store_url=store), source, user)


@etl.command()
def status(store: StoreUrl = None) -> None:
    """Show the state of every connection, and the last runs."""
    from pulsebase.cli.sync import run_status

    run_status(settings_for(store_url=store))


keys = typer.Typer(help="Manage the keys of the API.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="The key's name in lists and in the audit trail.")],
    scope: Annotated[list[str], typer.Option(help="ingest, read, admin, metrics or aggregate; may be repeated.")],
    user: Annotated[list[str] | None, typer.Option(help="Allow only this person's data; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(help="A date or time in UTC, from which the key is invalid.")] = None,
    store: StoreUrl = None,
) -> None:
    """Create a key and show it. It is shown only once."""
    from pulsebase.cli.keys import run_create

    run_create(settings_for(store_url=store), name, scope, user or [], expires)


@keys.command("list")
def list_keys(store: StoreUrl = None) -> None:
    """List all keys, revoked and expired ones too. The keys themselves are not shown."""
    from pulsebase.cli.keys import run_list

    run_list(settings_for(store_url=store))


@keys.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(help="The key's name.")], store: StoreUrl = None) -> None:
    """Revoke a key. Within a second a running server refuses it."""
    from pulsebase.cli.keys import run_revoke

    run_revoke(settings_for(store_url=store), name)


@app.command()
def audit(
    user: Annotated[str | None, typer.Option(help="Show only what concerns this person.")] = None,
    key: Annotated[str | None, typer.Option(help="Show only what was done with this key; owner for commands.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most this many entries.")] = 100,
    store: StoreUrl = None,
) -> None:
    """Show what was read and changed through the API, by whom and about whom, newest first."""
    from pulsebase.cli.keys import run_audit

    run_audit(settings_for(store_url=store), user, key, limit)


@app.command("fitbit-sim")
def fitbit_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Requests per hour and person; 0 means no limit.")] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate a Fitbit-shaped cloud with the two synthetic people."""
    _simulate_cloud("fitbit", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


@app.command("google-sim")
def google_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8101,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Requests per minute and person; 0 means no limit.")] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate the Google Health API v4 with the two synthetic people."""
    _simulate_cloud("google", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


def _simulate_cloud(kind: str, host: str | None, **options: Any) -> None:
    from pulsebase.cli.simulators import SimulatorOptions, run_simulator

    settings_for()
    run_simulator(kind, SimulatorOptions(host=host or "127.0.0.1", **options))


@app.command("import")
def import_files(  # noqa: PLR0917 an option each
    places: Annotated[
        list[str],
        typer.Argument(
            help="Files, archives (zip, tar, tgz) or folders; or postgresql://… with tables users and heart_rates.",
            metavar="PATH...",
        ),
    ],
    user: Annotated[str | None, typer.Option(help="Whose readings files bring that name nobody.")] = None,
    device: Annotated[str | None, typer.Option(help="The device to store everything under.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="What the values are of in files that do not say it; heart rate in research CSV.")
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option(
            help="The IANA zone of times without one, in research CSV and tables; each person's own by default."
        ),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Write every refusal to this file, one JSON object per line.")
    ] = None,
    age_on: Annotated[str | None, typer.Option(help="The day to which ages in tables refer; today by default.")] = None,
    store: StoreUrl = None,
) -> None:
    """Import readings from files, or from the tables of another program."""
    from pulsebase.cli.imports import ImportChoices, run_imports

    choices = ImportChoices(user, device, tz, rejects, age_on, metric)
    status = run_imports(settings_for(store_url=store), places, choices)
    if status:
        raise typer.Exit(status)


imports = typer.Typer(help="List and undo imports.", no_args_is_help=True)
app.add_typer(imports, name="imports")


@imports.command("list")
def list_imports(store: StoreUrl = None) -> None:
    """List imports, newest first, and how many of their readings are stored now."""
    from pulsebase.cli.imports import run_list

    run_list(settings_for(store_url=store))


@imports.command("undo")
def undo_import(
    number: Annotated[int, typer.Argument(help="The import's id.", metavar="ID")], store: StoreUrl = None
) -> None:
    """Remove the readings of an import that are still stored. Readings they replaced do not come back."""
    from pulsebase.cli.imports import run_undo

    run_undo(settings_for(store_url=store), number)


@app.command()
def export(  # noqa: PLR0917 an option each
    form: Annotated[str, typer.Option("--format", help="parquet, csv or ndjson.")],
    out: Annotated[
        Path, typer.Option(help="A new folder, with one file per UTC day; a name that ends in the format is one file.")
    ],
    user: Annotated[list[str] | None, typer.Option(help="This person; may be given several times.")] = None,
    metric: Metrics = None,
    start: Annotated[str | None, typer.Option(help="A date or a time.")] = None,
    end: Annotated[str | None, typer.Option(help="A date (its day included) or a time (itself not included).")] = None,
    store: StoreUrl = None,
) -> None:
    """Write readings of one metric or of several to files, as they are stored."""
    from pulsebase.cli.export import ExportChoices, run_export

    run_export(settings_for(store_url=store), ExportChoices(form, out, user or [], start, end, metrics_of(metric)))


@app.command()
def query(  # noqa: PLR0917 an option each
    user_id: Annotated[str, typer.Argument(help="The person.")],
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Such as oxygen_saturation; may be repeated. activities_heart_summary: daily summaries."),
    ] = None,
    interval: Annotated[str, typer.Option(help="auto, raw, 1s, 1m, 15m, 1h or 1d.")] = "auto",
    max_points: Annotated[
        int | None, typer.Option(help="Choose the finest interval with at most this many points.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Only readings of this device.")] = None,
    include_all: Annotated[bool, typer.Option("--all", help="Show the readings of every device, unresolved.")] = False,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates, local times and days.")] = "UTC",
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Show one person's series, of one metric or of several at one resolution."""
    from pulsebase.cli.query import run_query

    parameters = {
        "user_id": user_id,
        "metric": metric or None,
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
def cohort(  # noqa: PLR0917 an option each
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    min_avg_heart_rate: Annotated[str | None, typer.Option(help="The average has to be above it, bpm.")] = None,
    metric: Annotated[str, typer.Option(help="What the average is of.")] = "heart_rate",
    min_avg: Annotated[str | None, typer.Option(help="The average has to be above it, in the metric's unit.")] = None,
    max_avg: Annotated[str | None, typer.Option(help="The average must not be above it.")] = None,
    min_age: Annotated[int | None, typer.Option(help="Older than so many full years on the first day.")] = None,
    max_age: Annotated[int | None, typer.Option(help="Not older than so many full years on that day.")] = None,
    gender: Annotated[list[str] | None, typer.Option(help="female, male or other; repeat for several.")] = None,
    min_coverage: Annotated[
        str | None, typer.Option(help="The least share of the minutes with a counted reading, 0 to 1.")
    ] = None,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates and local times.")] = "UTC",
    limit: Annotated[int, typer.Option(help="Show at most this many people, up to 1000.")] = 100,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Find people by age, gender and average over a period, the highest average first."""
    from pulsebase.cli.cohorts import run_cohort

    parameters = {
        "start": start,
        "end": end,
        "min_avg_heart_rate": min_avg_heart_rate,
        "min_avg": min_avg,
        "max_avg": max_avg,
        "min_age": min_age,
        "max_age": max_age,
        "gender": gender or None,
        "min_coverage": min_coverage,
        "tz": tz,
        "limit": limit,
    }
    (spec,) = metrics_of([metric])
    run_cohort(settings_for(store_url=store), spec, parameters, form)


@app.command()
def top_hours(  # noqa: PLR0917 an option each
    user_id: Annotated[str, typer.Argument(help="The person.")],
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    metric: Annotated[str | None, typer.Option(help="Such as respiratory_rate; heart_rate by default.")] = None,
    limit: Annotated[int, typer.Option(help="So many averages, at most 1000.")] = 10,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates and local times.")] = "UTC",
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Show a person's highest distinct hourly averages (UTC hours), each with the first hour that has it."""
    from pulsebase.cli.cohorts import run_top_hours

    parameters = {"start": start, "end": end, "limit": limit, "tz": tz}
    (spec,) = metrics_of([metric] if metric else None)
    run_top_hours(settings_for(store_url=store), user_id, spec, parameters, form)


@app.command()
def simulate(  # noqa: PLR0917 an option each
    url: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8000",
    users: Annotated[int, typer.Option(min=1, help="How many people.")] = 10,
    devices: Annotated[int, typer.Option(min=1, help="How many devices per person.")] = 2,
    rate: Annotated[
        float | None, typer.Option(help="Readings per second; as fast as the server accepts them by default.")
    ] = None,
    total: Annotated[int | None, typer.Option(min=1, help="Stop after this many readings.")] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many connections.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed sends the same load.")] = 1,
) -> None:
    """Send the load of many devices to a running server, with duplicates, disorder, bursts, late and bad readings."""
    from pulsebase.cli.simulate import load_spec, run_simulation

    settings_for()
    if total is None and duration is None:
        duration = 30.0
    spec = load_spec(
        users=users, devices=devices, rate=rate, total=total, duration_s=duration, concurrency=concurrency, seed=seed
    )
    asyncio.run(run_simulation(url, spec))


@app.command()
def fixtures(  # noqa: PLR0917 an option each
    users: Annotated[int, typer.Option(min=1, help="How many people.")] = 1_000,
    readings: Annotated[int, typer.Option(min=1, help="How many readings, exactly.")] = 60_000_000,
    metric: Metrics = None,
    seed: Annotated[int, typer.Option(min=0, help="The same options make the same readings.")] = 1,
    start: Annotated[str | None, typer.Option(help="The first civil day; 2025-01-01 by default.")] = None,
    store: StoreUrl = None,
) -> None:
    """Fill the store with made-up people who have a reading every ten minutes, to try questions about many people."""
    from pulsebase.cli.fixtures import fixture_spec, run_fixtures

    run_fixtures(settings_for(store_url=store), fixture_spec(users, readings, seed, start, metrics_of(metric)))


@app.command()
def check(store: StoreUrl = None) -> None:
    """Compare every rollup in the store with a recomputation from the raw readings."""
    from pulsebase.cli.check import run_check

    if not run_check(settings_for(store_url=store)):
        raise typer.Exit(1)


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the readings.")] = False, store: StoreUrl = None
) -> None:
    """Expire raw readings that are older than PULSEBASE_RETENTION_DAYS now. Their hours and days stay."""
    from pulsebase.cli.retention import run_retention

    run_retention(settings_for(store_url=store), dry_run=dry_run)


@app.command()
def backup(
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet, or is empty.")],
    store: StoreUrl = None,
) -> None:
    """Write a consistent copy of the store. A server may be running."""
    from pulsebase.cli.backup import run_backup

    run_backup(settings_for(store_url=store), destination)


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One read-only statement in DuckDB's SQL.")],
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Run a read-only SQL statement, through the server if one runs."""
    from pulsebase.cli.sql import run_sql

    run_sql(settings_for(store_url=store), statement, form)


@app.command()
def copy(
    target: Annotated[str, typer.Option("--to", help="The URL of the store to copy to.")],
    source: Annotated[str | None, typer.Option("--from", help="PULSEBASE_STORE_URL by default.")] = None,
) -> None:
    """Copy everything from one store into another and compare them. An interrupted copy is resumed."""
    from pulsebase.cli.copy import run_copy

    settings = settings_for()
    if not run_copy(settings, source or settings.store_url, target):
        raise typer.Exit(1)


@database.command()
def init(store: StoreUrl = None) -> None:
    """Create the tables of a server store, or migrate them to the newest schema. Repeating it changes nothing."""
    from pulsebase.cli.db import run_init

    run_init(settings_for(store_url=store))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from pulsebase.cli.openapi import openapi_text

    typer.echo(openapi_text(), nl=False)
