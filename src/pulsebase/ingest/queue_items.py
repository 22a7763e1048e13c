"""What waits in the write queue: the kinds of items, and what each gets as its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.newcomers import Allowance
from pulsebase.ingest.validate import ReadingRules, Verdict
from pulsebase.live.commit_log import ChangedRange
from pulsebase.model.errors import FieldError, PulsebaseError
from pulsebase.model.readings import ReadingBatch


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an offer: how many of its readings are stored, and why the others are not, by position."""

    accepted: int
    errors: list[FieldError]


@dataclass(slots=True)
class QueuedWrite:
    """Checked readings. The result names the rows that were refused all the same."""

    readings: ReadingBatch
    give_up_at: float
    done: Future[Sequence[FieldError]]
    allowance: Allowance | None


@dataclass(slots=True)
class QueuedSingles:
    """Readings that each came in a request of their own, with the allowance of each request. The result maps the rows
    that were not stored to their errors.
    """

    readings: ReadingBatch
    give_up_at: float
    done: Future[Mapping[int, PulsebaseError]]
    allowances: Sequence[Allowance | None]


@dataclass(slots=True)
class QueuedOffer:
    """Readings that are checked in the commit thread, together with what else waits there; long columns are `judged`
    before, which holds unless somebody was erased since.
    """

    readings: Candidates | Decoded
    rules: ReadingRules
    origin: int
    source: str
    give_up_at: float
    done: Future[Outcome]
    allowance: Allowance | None = None
    judged: Verdict | None = None

    def goes_with(self, other: QueuedOffer) -> bool:
        """Whether both can be checked in one pass."""
        mine, theirs = self.readings, other.readings
        joinable = isinstance(mine, Decoded) and isinstance(theirs, Decoded) and mine.goes_with(theirs)
        judged_alike = self.rules is other.rules or self.rules == other.rules
        return joinable and judged_alike and (self.origin, self.source) == (other.origin, other.source)


@dataclass(slots=True)
class QueuedCommand:
    """An operation other than a write. It runs after the writes queued before it and before those queued after it."""

    run: Callable[[], int]
    change: ChangedRange | None
    give_up_at: float
    done: Future[int]


QueueItem = QueuedWrite | QueuedSingles | QueuedOffer
#: The items that are checked in one pass.
Run = QueuedWrite | QueuedSingles | list[QueuedOffer]
#: The result of an item: an `Outcome` for an offer, the errors by row for singles, the refused rows of a batch, or the
#: error that refused it.
AnyOutcome = Outcome | Mapping[int, PulsebaseError] | Sequence[FieldError] | PulsebaseError | None


def size_of(item: QueueItem | QueuedCommand) -> int:
    """Return how many readings an item counts as in the queue."""
    return 1 if isinstance(item, QueuedCommand) else len(item.readings)
