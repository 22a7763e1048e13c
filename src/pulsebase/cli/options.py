"""What the commands share: the option for the store, and loading the settings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pulsebase.cli.logs import set_up_log
from pulsebase.settings import Settings, load_settings

StoreUrl = Annotated[str | None, typer.Option("--store", help="The store's URL; PULSEBASE_STORE_URL by default.")]


def settings_for(**overrides: Any) -> Settings:
    """Load the settings, with these overrides, and set up the log accordingly."""
    settings = load_settings(**overrides)
    set_up_log(settings)
    return settings
