"""The commands of `pulsebase users` and `pulsebase devices`, one function each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsebase.cli.options import StoreUrl, settings_for
from pulsebase.model.errors import RejectedError
from pulsebase.model.users import PERSON_FIELDS

users = typer.Typer(name="users", help="People: who is known, and what is said of them.", no_args_is_help=True)
devices = typer.Typer(name="devices", help="A person's devices, and which is believed.", no_args_is_help=True)

UserId = Annotated[str, typer.Argument(help="The person.", metavar="USER_ID")]
DeviceId = Annotated[str, typer.Argument(help="The device.", metavar="DEVICE_ID")]
Name = Annotated[str | None, typer.Option(help="What the person is called.")]
Gender = Annotated[str | None, typer.Option(help="female, male or other.")]
BirthDate = Annotated[str | None, typer.Option(help="Such as 1980-02-29.")]
BirthYear = Annotated[int | None, typer.Option(help="In place of the birth date; counts as 1 July of it.")]
TimeZone = Annotated[str | None, typer.Option(help="An IANA zone such as Europe/Berlin.")]


@users.command("list")
def list_users(
    text: Annotated[str, typer.Argument(help="Part of an id or a name; everybody if left out.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The most people shown.")] = 100,
    store: StoreUrl = None,
) -> None:
    """Show people and what is stored of them."""
    from pulsebase.cli.users import run_list

    run_list(settings_for(store_url=store), text, limit)


@users.command("show")
def show_user(user_id: UserId, store: StoreUrl = None) -> None:
    """Show one person."""
    from pulsebase.cli.users import run_show

    run_show(settings_for(store_url=store), user_id)


@users.command("add")
def add_user(  # noqa: PLR0917 an option each
    user_id: UserId,
    name: Name = None,
    gender: Gender = None,
    birth_date: BirthDate = None,
    birth_year: BirthYear = None,
    time_zone: TimeZone = None,
    store: StoreUrl = None,
) -> None:
    """Make a person known."""
    from pulsebase.cli.users import run_add

    run_add(settings_for(store_url=store), user_id, _given(name, gender, birth_date, birth_year, time_zone))


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
        typer.Option(help="Forget name, gender, birth_date or time_zone; may be repeated."),
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Change what is said of a person, in the fields given alone."""
    from pulsebase.cli.users import run_set

    fields = _given(name, gender, birth_date, birth_year, time_zone)
    for field in clear or []:
        if field in fields:
            raise RejectedError.of("--clear", f"{field} cannot be set and cleared at once")
        fields[field] = None
    run_set(settings_for(store_url=store), user_id, fields)


@users.command("erase")
def erase_user(
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until no file has them either.")] = False,
    store: StoreUrl = None,
) -> None:
    """Erase a person: readings, settings, connections; nothing is taken for that id any more."""
    from pulsebase.cli.users import run_erase

    if not run_erase(settings_for(store_url=store), user_id, asking=not yes, waiting=wait):
        raise typer.Exit(1)


@users.command("allow")
def allow_user(user_id: UserId, store: StoreUrl = None) -> None:
    """Let the id of somebody who was erased come into being again."""
    from pulsebase.cli.users import run_allow

    run_allow(settings_for(store_url=store), user_id)


@users.command("erasures")
def list_erasures(store: StoreUrl = None) -> None:
    """Show how far every erasure is."""
    from pulsebase.cli.users import run_erasures

    run_erasures(settings_for(store_url=store))


@users.command("import")
def import_users(
    file: Annotated[
        Path, typer.Argument(help="CSV: id, name, gender, birth_date or birth_year or age, time_zone.", metavar="FILE")
    ],
    age_on: Annotated[str | None, typer.Option(help="The day on which ages hold; today by default.")] = None,
    store: StoreUrl = None,
) -> None:
    """Create or replace the people of a file, all or none."""
    from pulsebase.cli.users import run_import

    today = datetime.now(UTC).date()
    if not run_import(settings_for(store_url=store), file, today, age_on):
        raise typer.Exit(1)


@devices.command("list")
def list_devices(user_id: UserId, store: StoreUrl = None) -> None:
    """Show a person's devices, what is stored of them and their priorities."""
    from pulsebase.cli.devices import run_list

    run_list(settings_for(store_url=store), user_id)


@devices.command("priority")
def device_priority(  # noqa: PLR0917 an option each
    user_id: UserId,
    device_id: DeviceId,
    number: Annotated[int | None, typer.Argument(help="The lower is believed first.", metavar="[NUMBER]")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="A date or time from which on it holds; always if left out.")
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="In place of a number: the default holds again.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Take all settings back, of any time.")] = False,
    store: StoreUrl = None,
) -> None:
    """Set which number a device has for a person, from an instant on."""
    from pulsebase.cli.devices import run_priority, run_reset

    if [number is not None, default, reset].count(True) != 1:
        raise RejectedError.of("NUMBER", "give a number, --default or --reset, one of them")
    if reset and since is not None:
        raise RejectedError.of("--from", "--reset takes back the settings of all times")
    settings = settings_for(store_url=store)
    if reset:
        run_reset(settings, user_id, device_id)
    else:
        run_priority(settings, user_id, device_id, number, since)


def _given(*values: object) -> dict[str, Any]:
    """The fields for which there is a value, in the order of `PERSON_FIELDS`."""
    return {field: value for field, value in zip(PERSON_FIELDS, values, strict=True) if value is not None}
