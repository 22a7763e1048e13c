"""What commands print with: as wide as the terminal, and as wide as it takes where there is none.

Names and texts come from other people: members of archives, devices, origins, what a server said. A terminal obeys some
characters in them, so none of those gets there; an escape that can be read stands in its place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

#: No line is longer.
_ANY_WIDTH = 1_000_000
#: Control characters (ESC and C1 too), what turns the direction of writing, line and paragraph separators, and halves
#: of characters.
_OBEYED = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
#: Joiners, without which some scripts and signs cannot be written.
_JOINERS = "\u200c\u200d"


def plain(text: str, kept: str = "") -> str:
    """The text with escapes that can be read in place of what a terminal obeys, apart from the characters `kept`."""
    if text.isprintable():  # nearly all are
        return text
    return "".join(_escaped(char) if _is_obeyed(char) and char not in kept else char for char in text)


def _is_obeyed(char: str) -> bool:
    return unicodedata.category(char) in _OBEYED and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class Output(Console):
    """A console that cuts nothing off where its lines go to a file or to another program."""

    @property
    def width(self) -> int:
        """How wide lines may be."""
        return super().width if self.file.isatty() else _ANY_WIDTH

    @width.setter
    def width(self, width: int) -> None:
        self._width = width

    @property
    def options(self) -> ConsoleOptions:
        """The same, and more."""
        return super().options.update_width(self.width)

    def print(self, *objects: Any, **options: Any) -> None:
        """See `Console.print`. A text is one line, whatever is in it."""
        super().print(*(plain(each) if isinstance(each, str) else each for each in objects), **options)

    def print_error(self, text: str) -> None:
        """Print what went wrong, in red. Lines behind the first are set in, so that none passes for one of ours."""
        first, *more = text.split("\n")
        for line in (first, *(f"  {each}" for each in more)):
            self.print(line, style="red", markup=False, highlight=False, soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`: tables and bars too. What the library itself tells the terminal is marked as such."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(plain(segment.text, kept="\n"), segment.style)


#: Where all commands print to, …
console = Output()
#: … and what went wrong with them, and what is for people alone where the output is for programs.
errors = Output(stderr=True)
