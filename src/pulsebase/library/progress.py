"""How far something long has got, shown in a notebook or a terminal; elsewhere nothing is shown."""

from __future__ import annotations

import contextlib
import html
import sys
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

#: How often a notebook's bar is redrawn at most, seconds.
_EVERY_S = 0.2

#: Called with how much is done, and of how much if that is known by now.
Tell = Callable[[float, float | None], None]


@contextlib.contextmanager
def progress(title: str, shown: bool | None) -> Iterator[Tell]:
    """Yield what is told how far it is. `shown` False shows nothing; None shows it in notebooks and terminals."""
    if shown is False:
        yield _nothing
    elif _in_notebook():
        with _in_cell(title) as tell:
            yield tell
    elif shown or sys.stderr.isatty():
        with _in_terminal(title) as tell:
            yield tell
    else:
        yield _nothing


def _nothing(done: float, total: float | None) -> None:
    pass


def _in_notebook() -> bool:
    """Whether this runs in a kernel with a page before it, not in IPython's terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def _in_cell(title: str) -> Iterator[Tell]:
    from IPython.display import HTML, display  # type: ignore[import-not-found,unused-ignore] # there if it is a notebook

    handle: Any = display(HTML(_bar(title, 0, None)), display_id=True)
    last = [0.0, 0.0]  # when it was drawn, and how much was done

    def tell(done: float, total: float | None) -> None:
        last[1] = done
        if monotonic() - last[0] >= _EVERY_S:
            last[0] = monotonic()
            handle.update(HTML(_bar(title, done, total)))

    try:
        yield tell
    finally:
        handle.update(HTML(_bar(title, last[1], last[1] or None)))


def _bar(title: str, done: float, total: float | None) -> str:
    part = "" if total is None else f' value="{done:.0f}" max="{max(total, 1):.0f}"'
    said = "" if not total else f" {min(done / total, 1):.0%}"
    return f"{html.escape(title)} <progress{part}></progress>{said}"


@contextlib.contextmanager
def _in_terminal(title: str) -> Iterator[Tell]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True, force_terminal=True), transient=True) as bar:
        task = bar.add_task(escape(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
