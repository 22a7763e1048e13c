"""Tools that a test cannot do without: their absence fails the run in CI and skips the test elsewhere."""

from __future__ import annotations

import os
import shutil
from ctypes.util import find_library

import pytest


def need(there: bool, what: str) -> None:
    """Go on if it is there."""
    if not there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"this test needs {what}")


def need_program(name: str) -> None:
    need(shutil.which(name) is not None, f"the program {name}: scripts/system-packages.sh installs it")


def need_library(name: str) -> None:
    need(find_library(name) is not None, f"the library lib{name}.so: scripts/system-packages.sh installs it")


def need_root(what: str) -> None:
    need(os.geteuid() == 0, f"to be run as root, to {what}")
