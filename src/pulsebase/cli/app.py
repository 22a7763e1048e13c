"""The commands, one function each. The other modules of this package do the work."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pulsebase.cli import people, questions, recordings, simulations, upkeep
from pulsebase.cli.options import Format, Host, StoreUrl, is_json, settings_for
from pulsebase.cli.output import errors
from pulsebase.files.disk_errors import meaning_of
from pulsebase.files.private import UMASK
from pulsebase.model.errors import PulsebaseError

app = typer.Typer(
    name="pulsebase",
    help="Heart-rate time series: store, ask, look at.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group in (questions, recordings, simulations, upkeep):
    app.add_typer(group.commands)
app.add_typer(people.users)
app.add_typer(people.devices)
etl = typer.Typer(help="Show what the pipeline did.", no_args_is_help=True)
app.add_typer(etl, name="etl")

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
    from pulsebase.cli.variables import tell_of_unknown

    tell_of_unknown()
    if show:
        from pulsebase import __version__

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
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help="Where the two people are kept; a store of their own by default."),
    ] = None,
    days: Annotated[int | None, typer.Option(help="For how many days back the two people have readings.")] = None,
) -> None:
    """Serve with two synthetic people, who get readings up to now and new ones from then on."""
    from pulsebase.cli.serve import run_server

    run_server(settings_for(host=host, port=port, demo_store_url=store, demo_days=days), with_demo=True)


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
    source: Annotated[str, typer.Argument(help="fitbit, google, oura, polar or withings.")],
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
    source: Annotated[str, typer.Argument(help="fitbit, google, oura, polar or withings.")],
    user: Annotated[str, typer.Option(help="The person.")],
    store: StoreUrl = None,
) -> None:
    """Remove a person's connection to a wearable cloud. Readings stay."""
    from pulsebase.cli.connect import run_disconnect

    run_disconnect(settings_for(store_url=store), source, user)


@etl.command()
def status(form: Format = "table", store: StoreUrl = None) -> None:
    """Show the state of every connection, and the last runs."""
    from pulsebase.cli.sync import run_status

    run_status(settings_for(store_url=store), as_json=is_json(form))


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
def list_keys(form: Format = "table", store: StoreUrl = None) -> None:
    """List all keys, revoked and expired ones too. The keys themselves are not shown."""
    from pulsebase.cli.keys import run_list

    run_list(settings_for(store_url=store), as_json=is_json(form))


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
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """Show what was read and changed through the API, by whom and about whom, newest first."""
    from pulsebase.cli.keys import run_audit

    run_audit(settings_for(store_url=store), user, key, limit, as_json=is_json(form))


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
    time_column: Annotated[
        list[str] | None,
        typer.Option(help="CSV: the column of the time, by name or number; twice for a date and a time of day."),
    ] = None,
    value_column: Annotated[
        str | None, typer.Option(help="CSV: the column of the value; --metric says of what.")
    ] = None,
    user_column: Annotated[str | None, typer.Option(help="CSV: the column that names the person of each line.")] = None,
    device_column: Annotated[
        str | None, typer.Option(help="CSV: the column that names the device of each line.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="CSV: what separates columns: a character, or tab, semicolon, pipe, space.")
    ] = None,
    decimal_comma: Annotated[bool, typer.Option("--decimal-comma", help="CSV: numbers are written 97,5.")] = False,
    time_format: Annotated[
        str | None, typer.Option(help="CSV: iso; s, ms, us or ns since 1970; or a layout as %d.%m.%Y %H:%M:%S.")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Import readings from files, or from the tables of another program."""
    from pulsebase.cli.imports import ImportChoices, run_imports
    from pulsebase.etl.transform.csv_choices import checked_choices

    csv = checked_choices(
        time_column or (),
        value_column=value_column,
        user_column=user_column,
        device_column=device_column,
        delimiter=delimiter,
        decimal_comma=decimal_comma,
        time_format=time_format,
        spelled=lambda name: f"--{name.replace('_', '-')}",
    )
    choices = ImportChoices(user, device, tz, rejects, age_on, metric, csv)
    status = run_imports(settings_for(store_url=store), places, choices)
    if status:
        raise typer.Exit(status)


imports = typer.Typer(help="List and undo imports.", no_args_is_help=True)
app.add_typer(imports, name="imports")


@imports.command("list")
def list_imports(form: Format = "table", store: StoreUrl = None) -> None:
    """List imports, newest first, and how many of their readings are stored now."""
    from pulsebase.cli.imports import run_list

    run_list(settings_for(store_url=store), as_json=is_json(form))


@imports.command("undo")
def undo_import(
    number: Annotated[int, typer.Argument(help="The import's id.", metavar="ID")], store: StoreUrl = None
) -> None:
    """Remove the readings of an import that are still stored. Readings they replaced do not come back."""
    from pulsebase.cli.imports import run_undo

    run_undo(settings_for(store_url=store), number)


webhooks = typer.Typer(help="List webhooks, and send again what was given up.", no_args_is_help=True)
app.add_typer(webhooks, name="webhooks")

WebhookId = Annotated[str, typer.Argument(help="The webhook's id.", metavar="WEBHOOK_ID")]


@webhooks.command("list")
def list_webhooks(form: Format = "table", store: StoreUrl = None) -> None:
    """List webhooks, the oldest first."""
    from pulsebase.cli.webhooks import run_list

    run_list(settings_for(store_url=store), as_json=is_json(form))


@webhooks.command("deliveries")
def list_deliveries(
    webhook_id: WebhookId,
    state: Annotated[str | None, typer.Option(help="waiting, delivered or dead; all by default.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Show at most this many.")] = 100,
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """List what a webhook is told, the newest first."""
    from pulsebase.cli.webhooks import run_deliveries

    run_deliveries(settings_for(store_url=store), webhook_id, state, limit, as_json=is_json(form))


@webhooks.command("retry")
def retry_deliveries(
    webhook_id: WebhookId,
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Deliveries by their id; all that are dead by default.", metavar="[ID]…")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Send again what was given up."""
    from pulsebase.cli.webhooks import run_retry

    run_retry(settings_for(store_url=store), webhook_id, numbers or ())


@app.command()
def settings(
    form: Format = "table",
    changed: Annotated[bool, typer.Option("--changed", help="Leave out those that have their defaults.")] = False,
    store: StoreUrl = None,
) -> None:
    """Show the settings in force, and where each is from. Passwords and keys are not shown."""
    from pulsebase.cli.variables import run_settings

    run_settings(settings_for(store_url=store), {"store_url": store}, as_json=is_json(form), changed=changed)


@app.command()
def openapi(
    owners: Annotated[bool, typer.Option("--owner", help="Of the owner's routes, which the socket alone has.")] = False,
) -> None:
    """Print the OpenAPI document of the API."""
    from pulsebase.cli.openapi import openapi_text

    typer.echo(openapi_text(owners=owners), nl=False)
