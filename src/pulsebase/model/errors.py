"""Errors, grouped by what the caller should do: try again, send something else, or stop and call a person.

No message carries a reading, a token or a key: names of fields and reasons only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request. `index` is the position in a batch, where there is one."""

    field: str
    reason: str
    index: int | None = None


def shown_name(name: str) -> str:
    """Return a field's name as errors may show it: cut, and without lone surrogates, since an unknown name can be any
    text.
    """
    return name[:64].encode(errors="replace").decode()


class PulsebaseError(Exception):
    """The base of every error this package raises on purpose."""


# --- retry: nothing is wrong with the request, the same one may succeed later -------------------------------------


#: What was kept of a failed request: nothing, unknown, or as the message says.
Kept = Literal["nothing", "unknown", "as said"]


class RetryLaterError(PulsebaseError):
    """The same request may succeed later; `retry_after_s` says when to try, `kept` what was kept of this one."""

    #: Whether the cause may pass within seconds, so that work in the background waits for it.
    passes_soon: ClassVar[bool] = True

    def __init__(self, message: str, retry_after_s: int = 1, kept: Kept = "nothing") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.kept: Kept = kept

    def but(self, said: str) -> Self:
        """Return the same error with a statement of what was kept."""
        return type(self)(f"{self}; {said}", self.retry_after_s, "as said")

    def leaving(self, kept: Kept) -> Self:
        """Return the same error with another value of `kept`."""
        return type(self)(str(self), self.retry_after_s, kept)


class QueueFullError(RetryLaterError):
    """The write queue is at its limit; nothing of the request was accepted."""


class StoreUnavailableError(RetryLaterError):
    """The store cannot take the request now: it is shutting down or reopening, or one of the subclasses says why."""


class DiskFullError(StoreUnavailableError):
    """A disk has no room, or the quota on it is used up."""

    passes_soon = False


class DiskFailedError(StoreUnavailableError):
    """A disk did not read or write what it was asked to."""

    passes_soon = False


class ReadOnlyStoreError(StoreUnavailableError):
    """The file system, folder or database to write to is read-only."""

    passes_soon = False


class MemoryLimitError(StoreUnavailableError):
    """The store's engine ran out of memory."""


class TooManyQuestionsError(RetryLaterError):
    """The caller has used up the questions allowed for now."""


class OutcomeUnknownError(RetryLaterError):
    """It is not known whether the request was carried out, since the confirmation failed. Sending it again is safe."""


class PoolFullError(RetryLaterError):
    """All callers together have used up a resource; nothing of the request was done."""


class ShareFullError(RetryLaterError):
    """The caller has used up its share of a resource; nothing of the request was done."""


class NewPeopleError(RetryLaterError):
    """The request would add more new people than are allowed now; nothing of it was stored."""

    FIELD = "user_id"
    passes_soon = False  # the limit recovers over hours


class NewPeopleShareError(NewPeopleError, ShareFullError):
    """More new people than the caller may add now."""


class NewPeoplePoolError(NewPeopleError, PoolFullError):
    """More new people than all callers together may add now."""


class SourceUnavailableError(RetryLaterError):
    """A source of readings cannot answer now: its rate limit is reached, it fails, or it cannot be reached."""


class SourceForbiddenError(SourceUnavailableError):
    """A source denies access. That may be its own passing mistake or permanent, so it is retried ever more rarely."""


# --- reject: the request itself must change ------------------------------------------------------------------------


#: Fields that a text about a rejection names: a request may hold any number of wrong ones.
MOST_NAMED = 100


class RejectedError(PulsebaseError):
    """The request is wrong and will stay wrong. `errors` names each field with its reason."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        said = [f"{error.field}: {error.reason}" for error in errors[:MOST_NAMED]]
        more = [f"and {len(errors) - MOST_NAMED} more"] if len(errors) > MOST_NAMED else []
        super().__init__("; ".join(said + more))
        self.errors = tuple(errors)

    @classmethod
    def of(cls, field: str, reason: str) -> Self:
        """Return a rejection that names one field."""
        return cls([FieldError(field, reason)])


class TooManyRowsError(RejectedError):
    """The answer would be longer than the row limit."""


class ErasedUserError(RejectedError):
    """The person with that id was erased; data for them is refused until the id is allowed again."""

    REASON = "belongs to somebody who was erased"

    def __init__(self) -> None:
        super().__init__([FieldError("user_id", self.REASON)])


class TooManyNewPeopleError(PulsebaseError):
    """One request would add more new people than a single request may; it has to be split."""

    FIELD = "user_id"

    def but(self, said: str) -> Self:
        """Return the same error with a statement of what was kept."""
        return type(self)(f"{self}; {said}")


class UnreadableAnswerError(RejectedError):
    """A source's answer does not match its documentation; nothing of that answer was kept."""


class QueryTimeoutError(PulsebaseError):
    """The query exceeded its time limit and was cancelled; ask for a shorter range or a coarser interval."""


class QueryCancelledError(PulsebaseError):
    """The caller cancelled the query."""


class UnknownUserError(PulsebaseError):
    """Nobody of that id is known."""


class DataSetMissingError(PulsebaseError):
    """A source does not give one data set: the person did not allow it, or something it takes is not known. The other
    data sets of that person are not affected.
    """


# --- stop: a person has to act -------------------------------------------------------------------------------------


class StopError(PulsebaseError):
    """The program cannot go on; the message says what was found and what a person can do."""


class SettingsError(StopError):
    """A setting is wrong."""


class ReconnectError(StopError):
    """A source no longer accepts our tokens, or did not grant what is needed: the person has to connect again."""


class StoreLockedError(StopError):
    """Another process holds the store."""


class StoreCorruptError(StopError):
    """A stored file is damaged: its bytes are not what was written. Nothing of the request was kept, unless `said` says
    what was.

    `file` is the name of the damaged file, without its folder.
    """

    def __init__(self, message: str, file: str = "", said: str = "") -> None:
        super().__init__(f"{message}; {said}" if said else message)
        self.file, self.said = file, said

    def but(self, said: str) -> Self:
        """Return the same error with a statement of what was kept."""
        return type(self)(str(self), self.file, said)


class StoreVersionError(StopError):
    """The store was written by a newer version of the program."""


def shown(error: PulsebaseError) -> str:
    """Return the error text that anybody may see: for a damaged file without the path of its folder."""
    return f"{error.file or 'the database'} is damaged" if isinstance(error, StoreCorruptError) else str(error)


@contextlib.contextmanager
def after(said: str) -> Iterator[None]:
    """Wrap steps that follow after something was already kept. If one fails, `said` is added to its error."""
    try:
        yield
    except (RetryLaterError, StoreCorruptError) as error:
        raise error.but(said) from error
