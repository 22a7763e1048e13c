"""The `pulsebase` command."""

from pulsebase.cli.app import main

__all__ = ["main"]
