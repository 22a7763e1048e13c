"""What a benchmark needs to know of a system: how to start it, how to speak to it, what it promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import ClassVar, Protocol

from benchmarks.history import Question
from benchmarks.requests import Sent
from benchmarks.sizes import Sizes
from benchmarks.workloads import Readings


class Door(Enum):
    """A way in. `BATCH` and `SINGLE` are what devices use, `BULK` is the fastest a system has."""

    BATCH = "batch"
    BULK = "bulk"
    SINGLE = "single"


class Running(Protocol):
    """A started system."""

    @property
    def port(self) -> int: ...

    @property
    def data(self) -> Path:
        """Where all it keeps lies."""
        ...

    def pids(self) -> list[int]:
        """The processes that belong to it; their children do too."""
        ...

    def has(self, door: Door) -> bool:
        """Whether this version of the system has the door."""
        ...

    def prefill(self, parts: Iterator[Readings]) -> int | None:
        """Store readings past every door, where filling through one would take days; None where it need not be."""
        ...

    def unmerged(self) -> int | None:
        """Readings that wait to be merged; None where a system does not say."""
        ...

    def accepted(self) -> int | None:
        """Readings it says it has taken since its start."""
        ...

    def stored(self) -> int | None:
        """Readings it holds, each identity once."""
        ...


class System(Protocol):
    """`durable` says what stands behind an acknowledgement; `counted` is the field of an ingest answer that says how
    many readings were taken; `rows` the same of an answer to a question.
    """

    name: ClassVar[str]
    durable: ClassVar[str]
    counted: ClassVar[str]
    rows: ClassVar[str]
    #: The most readings a second each door could take: so many are prepared.
    ceilings_per_s: ClassVar[Mapping[Door, int]]
    #: What is sent through each.
    doors: ClassVar[Mapping[Door, str]]

    def absent(self) -> str | None:
        """Why it cannot run here, if it cannot."""
        ...

    def start(self, folder: Path, sizes: Sizes) -> contextlib.AbstractContextManager[Running]:
        """Start it on an empty folder."""
        ...

    def requests(self, door: Door, parts: Iterator[Readings], sizes: Sizes) -> Iterator[Sent]:
        """The readings as requests of a door, in the same order; a part is one body of the bulk door."""
        ...

    def ask(self, question: Question) -> bytes | None:
        """The question as a request; None if the system has no equivalent."""
        ...
