"""`copy`: copy everything from one store into another, and compare them at the end."""

from __future__ import annotations

from itertools import islice

from pulsebase.cli.output import console
from pulsebase.settings import Settings
from pulsebase.stores.transfer import Progress, copy_everything, differences
from pulsebase.wiring import both_stores

_SHOWN = 10
_EVERY_READINGS = 1_000_000


def run_copy(settings: Settings, source_url: str, target_url: str) -> bool:
    """Copy, compare, and print what differs. Return whether nothing does."""
    with both_stores(settings, source_url, target_url) as (source, target):
        told = _Told("copied")
        copy_everything(source, target, told.tell)
        told.end()
        compared = _Told("compared")
        found = differences(source, target, compared.tell)
        shown = list(islice(found, _SHOWN))
        more = sum(1 for _ in found)
        compared.end()
    for difference in shown:
        _say(f"{difference.user_id}: different: {difference.what}")
    if more:
        _say(f"and {more:,} more differences")
    _say("Both stores hold the same data." if not shown else "The stores DIFFER: run the copy again.")
    return not shown


class _Told:
    """Prints the progress of a copy at intervals."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._last = Progress(0, 0, 0)
        self._said = 0

    def tell(self, progress: Progress) -> None:
        """Print the progress if `_EVERY_READINGS` have passed since the last time."""
        self._last = progress
        if progress.readings - self._said >= _EVERY_READINGS:
            self._said = progress.readings
            self.end()

    def end(self) -> None:
        """Print the final progress."""
        written = f", {self._last.written:,} of them written" if self._verb == "copied" else ""
        _say(f"{self._last.people:,} people {self._verb}, {self._last.readings:,} readings{written}")


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
