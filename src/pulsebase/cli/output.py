"""What commands print with: as wide as the terminal, and as wide as it takes where there is none."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions

#: No line is longer.
_ANY_WIDTH = 1_000_000


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


#: Where all commands print to.
console = Output()
