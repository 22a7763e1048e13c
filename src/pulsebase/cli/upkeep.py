"""The commands that look after a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsebase.cli.options import StoreUrl, settings_for

commands = typer.Typer()
database = typer.Typer(name="db", help="Manage the database of a server store.", no_args_is_help=True)
commands.add_typer(database)


@commands.command()
def check(store: StoreUrl = None) -> None:
    """Compare every rollup in the store with a recomputation from the raw readings."""
    from pulsebase.cli.check import run_check

    if not run_check(settings_for(store_url=store)):
        raise typer.Exit(1)


@commands.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the readings.")] = False, store: StoreUrl = None
) -> None:
    """Expire raw readings that are older than PULSEBASE_RETENTION_DAYS now. Their hours and days stay."""
    from pulsebase.cli.retention import run_retention

    run_retention(settings_for(store_url=store), dry_run=dry_run)


@commands.command()
def backup(
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet, or is empty.")],
    store: StoreUrl = None,
) -> None:
    """Write a consistent copy of the store. A server may be running."""
    from pulsebase.cli.backup import run_backup

    run_backup(settings_for(store_url=store), destination)


@commands.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One read-only statement in DuckDB's SQL.")],
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Run a read-only SQL statement, through the server if one runs."""
    from pulsebase.cli.sql import run_sql

    run_sql(settings_for(store_url=store), statement, form)


@commands.command()
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
