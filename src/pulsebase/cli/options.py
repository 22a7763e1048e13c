"""What the commands share: the store they are told to use, and the settings in force."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

from pulsebase.settings import Settings, load_settings

StoreUrl = Annotated[str | None, typer.Option("--store", help="The store's URL; PULSEBASE_STORE_URL by default.")]


def settings_for(**overrides: Any) -> Settings:
    """The settings in force, with the log set up after them."""
    settings = load_settings(**overrides)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for chatty in ("httpx2", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return settings
