"""The commands that record what is measured near this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pulsebase.cli.options import settings_for

commands = typer.Typer()


@commands.command()
def strap(  # noqa: PLR0917 an option each
    user_id: Annotated[str, typer.Argument(help="Whose heart it is.", metavar="USER_ID")],
    strap: Annotated[str | None, typer.Option(help="Its name or address; the only strap in reach by default.")] = None,
    device: Annotated[str | None, typer.Option(help="What to store it under; its name by default.")] = None,
    url: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8000",
    key_file: Annotated[Path | None, typer.Option(help="A file with a key that may ingest.")] = None,
    outbox: Annotated[
        Path | None, typer.Option(help="Where readings wait to be sent; a file in the user's data folder by default.")
    ] = None,
) -> None:
    """Record a heart rate strap over Bluetooth, heart rates and RR intervals, and send them to a server."""
    from pulsebase.cli.strap import StrapOptions, run_strap

    settings_for()
    asyncio.run(run_strap(StrapOptions(user_id, strap, device, url, key_file, outbox)))
