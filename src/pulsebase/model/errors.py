"""Errors, grouped by what the caller should do: try again, send something else, or stop and call a person.

No message carries a reading, a token or a key: names of fields and reasons only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request. `index` is the position in a batch, where there is one."""

    field: str
    reason: str
    index: int | None = None


def shown_name(name: str) -> str:
    """A field's name as errors may show it: cut, since an unknown one may hold anything, lone surrogates included."""
    return name[:64].encode(errors="replace").decode()


class PulsebaseError(Exception):
    """The base of every error this package raises on purpose."""


# --- retry: nothing is wrong with the request, the same one may succeed later -------------------------------------


#: What was kept of what failed: nothing, nobody knows, or what the message says.
Kept = Literal["nothing", "unknown", "as said"]


class RetryLaterError(PulsebaseError):
    """The same request may succeed later; `retry_after_s` says when to try, `kept` what was kept of this one."""

    def __init__(self, message: str, retry_after_s: int = 1, kept: Kept = "nothing") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.kept: Kept = kept

    def but(self, said: str) -> Self:
        """The same error, saying what was kept."""
        return type(self)(f"{self}; {said}", self.retry_after_s, "as said")

    def leaving(self, kept: Kept) -> Self:
        """The same error where so much was kept."""
        return type(self)(str(self), self.retry_after_s, kept)


class QueueFullError(RetryLaterError):
    """The write queue is at its limit; nothing of the request was accepted."""


class StoreUnavailableError(RetryLaterError):
    """The store cannot take the request now: it shuts down, is opened again, or for one of the reasons below."""


class DiskFullError(StoreUnavailableError):
    """A disk has no room, or the quota on it is used up."""


class DiskFailedError(StoreUnavailableError):
    """A disk did not read or write what it was asked to."""


class ReadOnlyStoreError(StoreUnavailableError):
    """What would be written to may only be read: a file system, a folder, a database."""


class MemoryLimitError(StoreUnavailableError):
    """The engine of the store has not enough memory for it."""


class TooManyQuestionsError(RetryLaterError):
    """Whoever asks has asked as many questions as they may for now."""


class OutcomeUnknownError(RetryLaterError):
    """Whether the request was carried out is not known: what had to say so failed. Sending the same again is safe."""


class PoolFullError(RetryLaterError):
    """All callers together use as much as there is of something; nothing of the request was done."""


class ShareFullError(RetryLaterError):
    """The caller uses as much of something as one may; nothing of the request was done."""


class NewPeopleError(RetryLaterError):
    """The request brings more people whom nobody knows yet than may come for now; nothing of it was stored."""

    FIELD = "user_id"


class NewPeopleShareError(NewPeopleError, ShareFullError):
    """More than the caller may bring for now."""


class NewPeoplePoolError(NewPeopleError, PoolFullError):
    """More than all callers together may bring for now."""


class SourceUnavailableError(RetryLaterError):
    """A source of readings cannot answer now: its limit is reached, it fails, or nothing answers there."""


class SourceForbiddenError(SourceUnavailableError):
    """A source says that we may not, which may be a mistake of its own or last; asked again after longer and longer."""


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
        """A rejection that names one field."""
        return cls([FieldError(field, reason)])


class TooManyRowsError(RejectedError):
    """The answer would be longer than the row limit."""


class ErasedUserError(RejectedError):
    """Somebody of that id was erased; nothing is taken for them until the id is allowed again."""

    REASON = "belongs to somebody who was erased"

    def __init__(self) -> None:
        super().__init__([FieldError("user_id", self.REASON)])


class TooManyNewPeopleError(PulsebaseError):
    """One request brings more people whom nobody knows yet than a request may bring; it has to come in smaller ones."""

    FIELD = "user_id"

    def but(self, said: str) -> Self:
        """The same error, saying what was kept."""
        return type(self)(f"{self}; {said}")


class UnreadableAnswerError(RejectedError):
    """A source's answer is not what its documentation says; nothing of that answer was kept."""


class QueryTimeoutError(PulsebaseError):
    """The query ran into its time limit and was cancelled; ask a shorter range or a coarser interval."""


class QueryCancelledError(PulsebaseError):
    """Whoever asked took the question back."""


class UnknownUserError(PulsebaseError):
    """Nobody of that id is known."""


# --- stop: a person has to act -------------------------------------------------------------------------------------


class StopError(PulsebaseError):
    """The program cannot go on; the message says what was found and what a person can do."""


class SettingsError(StopError):
    """A setting is wrong."""


class ReconnectError(StopError):
    """A source does not know us any more, or did not give what is needed: the person has to connect again."""


class StoreLockedError(StopError):
    """Another process holds the store."""


class StoreCorruptError(StopError):
    """The stored bytes are not what was written; nothing of the request was kept, unless `said` says what was.

    `file` is the name of the file they are in, without its folder.
    """

    def __init__(self, message: str, file: str = "", said: str = "") -> None:
        super().__init__(f"{message}; {said}" if said else message)
        self.file, self.said = file, said

    def but(self, said: str) -> Self:
        """The same error, saying what was kept."""
        return type(self)(str(self), self.file, said)


class StoreVersionError(StopError):
    """The store was written by a newer version of the program."""


def shown(error: PulsebaseError) -> str:
    """The error as anybody may see it: a damage without the folder that its file is in."""
    return f"{error.file or 'the database'} is damaged" if isinstance(error, StoreCorruptError) else str(error)


@contextlib.contextmanager
def after(said: str) -> Iterator[None]:
    """What may fail in the block comes after something was kept, as these words say; the error repeats them."""
    try:
        yield
    except (RetryLaterError, StoreCorruptError) as error:
        raise error.but(said) from error
