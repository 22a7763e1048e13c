"""The commands of `pulsebase users` and `pulsebase devices`, one function each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsebase.cli.options import Format, StoreUrl, is_json, settings_for
from pulsebase.model.errors import RejectedError
from pulsebase.model.users import PERSON_FIELDS

users = typer.Typer(name="users", help="Manage people and what is known about them.", no_args_is_help=True)
devices = typer.Typer(
    name="devices", help="Manage a person's devices and which takes precedence.", no_args_is_help=True
)

UserId = Annotated[str, typer.Argument(help="The person.", metavar="USER_ID")]
DeviceId = Annotated[str, typer.Argument(help="The device.", metavar="DEVICE_ID")]
Name = Annotated[str | None, typer.Option(help="The person's name.")]
Gender = Annotated[str | None, typer.Option(help="female, male or other.")]
BirthDate = Annotated[str | None, typer.Option(help="A date such as 1980-02-29.")]
BirthYear = Annotated[int | None, typer.Option(help="Instead of the birth date; counts as 1 July of that year.")]
TimeZone = Annotated[str | None, typer.Option(help="An IANA zone such as Europe/Berlin.")]


@users.command("list")
def list_users(
    text: Annotated[str, typer.Argument(help="Part of an id or a name; everybody by default.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most this many people.")] = 100,
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """List people and what is stored about them."""
    from pulsebase.cli.users import run_list

    run_list(settings_for(store_url=store), text, limit, as_json=is_json(form))


@users.command("show")
def show_user(user_id: UserId, form: Format = "table", store: StoreUrl = None) -> None:
    """Show one person."""
    from pulsebase.cli.users import run_show

    run_show(settings_for(store_url=store), user_id, as_json=is_json(form))


@users.command("add")
def add_user(  # noqa: PLR0917 an option each
    user_id: UserId,
    name: Name = None,
    gender: Gender = None,
    birth_date: BirthDate = None,
    birth_year: BirthYear = None,
    time_zone: TimeZone = None,
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """Create a person."""
    from pulsebase.cli.users import run_add

    fields = _given(name, gender, birth_date, birth_year, time_zone)
    run_add(settings_for(store_url=store), user_id, fields, as_json=is_json(form))


@users.command("set")
def set_user(  # noqa: PLR0917 an option each
    user_id: UserId,
    name: Name = None,
    gender: Gender = None,
    birth_date: BirthDate = None,
    birth_year: BirthYear = None,
    time_zone: TimeZone = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(help="Clear name, gender, birth_date or time_zone; may be repeated."),
    ] = None,
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """Change the given fields of a person and no others."""
    from pulsebase.cli.users import run_set

    fields = _given(name, gender, birth_date, birth_year, time_zone)
    for field in clear or []:
        if field in fields:
            raise RejectedError.of("--clear", f"{field} cannot be set and cleared at once")
        fields[field] = None
    run_set(settings_for(store_url=store), user_id, fields, as_json=is_json(form))


@users.command("erase")
def erase_user(
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no file contains them any more.")] = False,
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """Erase a person: readings, settings and connections. Nothing is accepted for that id any more."""
    from pulsebase.cli.users import run_erase

    as_json = is_json(form)
    if not run_erase(settings_for(store_url=store), user_id, asking=not yes, waiting=wait, as_json=as_json):
        raise typer.Exit(1)


@users.command("allow")
def allow_user(user_id: UserId, store: StoreUrl = None) -> None:
    """Allow the id of an erased person to be used again."""
    from pulsebase.cli.users import run_allow

    run_allow(settings_for(store_url=store), user_id)


@users.command("erasures")
def list_erasures(form: Format = "table", store: StoreUrl = None) -> None:
    """Show how far every erasure has got."""
    from pulsebase.cli.users import run_erasures

    run_erasures(settings_for(store_url=store), as_json=is_json(form))


@users.command("import")
def import_users(
    file: Annotated[
        Path, typer.Argument(help="CSV: id, name, gender, birth_date or birth_year or age, time_zone.", metavar="FILE")
    ],
    age_on: Annotated[str | None, typer.Option(help="The day to which ages refer; today by default.")] = None,
    store: StoreUrl = None,
) -> None:
    """Create or replace the people of a file, all or none."""
    from pulsebase.cli.users import run_import

    today = datetime.now(UTC).date()
    if not run_import(settings_for(store_url=store), file, today, age_on):
        raise typer.Exit(1)


@devices.command("list")
def list_devices(user_id: UserId, form: Format = "table", store: StoreUrl = None) -> None:
    """List a person's devices, what is stored from them and their priorities."""
    from pulsebase.cli.devices import run_list

    run_list(settings_for(store_url=store), user_id, as_json=is_json(form))


@devices.command("priority")
def device_priority(  # noqa: PLR0917 an option each
    user_id: UserId,
    device_id: DeviceId,
    number: Annotated[
        int | None, typer.Argument(help="The lowest number takes precedence.", metavar="[NUMBER]")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="A date or time from which it applies; all times by default.")
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="Instead of a number: restore the default.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Remove the settings of all times.")] = False,
    form: Format = "table",
    store: StoreUrl = None,
) -> None:
    """Set the priority of a device for a person, from an instant on."""
    from pulsebase.cli.devices import run_priority, run_reset

    if [number is not None, default, reset].count(True) != 1:
        raise RejectedError.of("NUMBER", "give a number, --default or --reset, one of them")
    if reset and since is not None:
        raise RejectedError.of("--from", "--reset removes the settings of all times")
    settings = settings_for(store_url=store)
    if reset:
        run_reset(settings, user_id, device_id, as_json=is_json(form))
    else:
        run_priority(settings, user_id, device_id, number, since, as_json=is_json(form))


def _given(*values: object) -> dict[str, Any]:
    """Return the fields that have a value, in the order of `PERSON_FIELDS`."""
    return {field: value for field, value in zip(PERSON_FIELDS, values, strict=True) if value is not None}
