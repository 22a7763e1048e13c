"""The system's Chromium: where it is, and how it is started without asking anybody anything."""

from __future__ import annotations

import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Root may start it, and it talks to nobody but the page's server.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ABSENT = "Chromium is needed here: apt install chromium, or your system's package of it."


def browser_path() -> str | None:
    """The program, if it is there."""
    return next(filter(None, map(shutil.which, _NAMES)), None)
