"""The console for all commands: lines are as wide as the terminal, and of any width if the output is not a terminal.

Many names and texts come from outside: members of archives, devices, origins, answers of servers. A terminal would obey
control characters in them, so these are replaced by visible escapes.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

#: The longest line.
_ANY_WIDTH = 1_000_000
#: Unicode categories that a terminal may obey: control characters (ESC and C1 too), format characters that change the
#: writing direction, line and paragraph separators, and surrogates.
_OBEYED = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
#: Joiners are allowed, since some scripts and emoji cannot be written without them.
_JOINERS = "\u200c\u200d"


def plain(text: str, kept: str = "") -> str:
    """Replace characters that a terminal would obey by visible escapes, except for those in `kept`."""
    if text.isprintable():  # nearly all are
        return text
    return "".join(_escaped(char) if _is_obeyed(char) and char not in kept else char for char in text)


def _is_obeyed(char: str) -> bool:
    return unicodedata.category(char) in _OBEYED and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class Output(Console):
    """A console that cuts off nothing if its output goes to a file or to another program."""

    @property
    def width(self) -> int:
        """Return the width of lines."""
        return super().width if self.file.isatty() else _ANY_WIDTH

    @width.setter
    def width(self, width: int) -> None:
        self._width = width

    @property
    def options(self) -> ConsoleOptions:
        """Return the options of the console, with this width."""
        return super().options.update_width(self.width)

    def print(self, *objects: Any, **options: Any) -> None:
        """See `Console.print`. A text stays on one line, whatever it contains."""
        super().print(*(plain(each) if isinstance(each, str) else each for each in objects), **options)

    def print_error(self, text: str) -> None:
        """Print an error in red. Lines after the first are indented, so that none can pass for a message of ours."""
        first, *more = text.split("\n")
        for line in (first, *(f"  {each}" for each in more)):
            self.print(line, style="red", markup=False, highlight=False, soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`; covers tables and bars too. The library's own control codes are marked as such."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(plain(segment.text, kept="\n"), segment.style)


def write_json(value: Any) -> None:
    """Write a value to standard output as one line of JSON, for programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


#: The output of all commands.
console = Output()
#: For errors, and for notes to people where standard output is for programs.
errors = Output(stderr=True)
