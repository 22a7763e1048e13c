"""People who come into being by what is written, since nobody in the store has their id yet; and how many of them one
request may bring.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pulsebase.model.errors import NewPeopleError, OutcomeUnknownError, PulsebaseError, TooManyNewPeopleError
from pulsebase.model.readings import Ids

#: Which of some ids nobody in the store has; see `contract.Reader.unknown_users`.
Unknown = Callable[[Collection[str]], Collection[str]]
_LEAST_CAPACITY = 1024


class Allowance(Protocol):
    """How many people nobody knows yet one request may bring. Every method may be called from any thread."""

    def take(self, people: int) -> None:
        """Count people who are about to come into being.

        Raises:
            NewPeopleError: not so many now; later they may come.
            TooManyNewPeopleError: never so many in one request.
        """

    def give_back(self, people: int) -> None:
        """Count people no longer, since they did not come into being."""


@contextlib.contextmanager
def admitted(allowance: Allowance | None, unknown: Unknown, user_ids: Collection[str]) -> Iterator[None]:
    """Those of the people whom nobody knows come into being in the block; without an allowance nobody is counted.

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
    """Tells who of a column comes into being with it. Used by the thread that commits, alone.

    Whoever was found in the store once, or was written, is not looked for again: columns mostly share one list of texts
    (`known_ids`), and an id of it costs a place in an array. Who is removed meanwhile may come back uncounted.
    """

    def __init__(self, unknown: Unknown) -> None:
        self._unknown = unknown
        self._texts: Sequence[str] = ()
        self._known: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def among(self, users: Ids) -> set[str]:
        """Those whom the store does not know."""
        if users.texts is not self._texts:
            self._texts, self._known = users.texts, np.zeros(0, np.bool_)
        if len(users.texts) > len(self._known):
            grown = max(_LEAST_CAPACITY, 2 * len(users.texts))
            self._known = np.concatenate([self._known, np.zeros(grown - len(self._known), np.bool_)])
        known = self._known[users.codes]
        if known.all():
            return set()
        codes = np.unique(users.codes[~known])
        texts = [users.texts[code] for code in codes.tolist()]
        new = set(self._unknown(texts))
        self._known[codes[[text not in new for text in texts]]] = True
        return new


class Arrivals:
    """The people who come into being by one commit, each counted for whoever brings them first."""

    def __init__(self, newcomers: Newcomers) -> None:
        self._newcomers = newcomers
        self._counted: list[tuple[Allowance, int]] = []
        self._fresh: set[str] = set()

    def among(self, users: Ids) -> set[str]:
        """The people of a column who would come into being by it."""
        new = self._newcomers.among(users)
        return new - self._fresh if new else new

    def admit(self, users: Ids, allowance: Allowance | None) -> PulsebaseError | None:
        """Count the new people of a column; why it cannot be written, if it cannot: nobody of it is counted then."""
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
        """Nothing was written."""
        for allowance, people in self._counted:
            allowance.give_back(people)
