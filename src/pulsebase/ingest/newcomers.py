"""New people: a write creates a person whenever it names an id that the store does not know yet. Allowances limit how
many one request may create.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pulsebase.model.errors import NewPeopleError, OutcomeUnknownError, PulsebaseError, TooManyNewPeopleError
from pulsebase.model.readings import Ids

#: Returns those of the given ids that the store does not know; see `contract.Reader.unknown_users`.
Unknown = Callable[[Collection[str]], Collection[str]]
_LEAST_CAPACITY = 1024


class Allowance(Protocol):
    """How many new people one request may create. Every method may be called from any thread."""

    def take(self, people: int) -> None:
        """Count people who are about to be created.

        Raises:
            NewPeopleError: so many are not allowed now, but may be later.
            TooManyNewPeopleError: so many are never allowed in one request.
        """

    def give_back(self, people: int) -> None:
        """Undo the count of people who were not created after all."""


@contextlib.contextmanager
def admitted(allowance: Allowance | None, unknown: Unknown, user_ids: Collection[str]) -> Iterator[None]:
    """Count the new people among `user_ids`, whom the `with` block creates, and undo the count if the block fails.
    Without an allowance nobody is counted.

    Raises:
        NewPeopleError, TooManyNewPeopleError: as `Allowance.take`, before the block.
    """
    people = 0 if allowance is None else len(unknown(set(user_ids)))
    if allowance is None or not people:
        yield
        return
    allowance.take(people)
    try:
        yield
    except OutcomeUnknownError:
        raise
    except BaseException:
        allowance.give_back(people)
        raise


class Newcomers:
    """Finds the people in a column whom the store does not know. Used by the commit thread alone.

    Ids found in the store once are not looked up again. Columns mostly share one list of texts (`known_ids`), so that
    remembering an id costs one place in an array. A person who is removed meanwhile may come back uncounted.
    """

    def __init__(self, unknown: Unknown) -> None:
        self._unknown = unknown
        self._texts: Sequence[str] = ()
        self._known: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def among(self, users: Ids) -> set[str]:
        """Return the ids that the store does not know."""
        if users.texts is not self._texts:
            self._texts, self._known = users.texts, np.zeros(0, np.bool_)
        if len(users.texts) > len(self._known):
            grown = max(_LEAST_CAPACITY, 2 * len(users.texts))
            self._known = np.concatenate([self._known, np.zeros(grown - len(self._known), np.bool_)])
        known = self._known.take(users.codes)
        if known.all():
            return set()
        codes = np.unique(users.codes[~known])
        texts = [users.texts[code] for code in codes.tolist()]
        new = set(self._unknown(texts))
        self._known[codes[[text not in new for text in texts]]] = True
        return new


class Arrivals:
    """The people whom one commit creates. Each is counted against the first request that names them."""

    def __init__(self, newcomers: Newcomers) -> None:
        self._newcomers = newcomers
        self._counted: list[tuple[Allowance, int]] = []
        self._fresh: set[str] = set()

    def among(self, users: Ids) -> set[str]:
        """Return the people of a column whom this commit would create and has not counted yet."""
        new = self._newcomers.among(users)
        return new - self._fresh if new else new

    def admit(self, users: Ids, allowance: Allowance | None) -> PulsebaseError | None:
        """Count the new people of a column. If they are too many, count none and return the error."""
        new = self.among(users)
        if not new:
            return None
        try:
            if allowance is not None:
                allowance.take(len(new))
                self._counted.append((allowance, len(new)))
        except (NewPeopleError, TooManyNewPeopleError) as error:
            return error
        self._fresh |= new
        return None

    def give_back(self) -> None:
        """Undo all counts, since nothing was written."""
        for allowance, people in self._counted:
            allowance.give_back(people)
