"""A limit on the devices of a person. Each id of a device takes memory and disk space for good and is part of every
question about the person, and whoever sends readings makes them up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from time import monotonic

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import ReadingBatch

#: Returns the ids of a person's devices that the store knows.
DevicesOf = Callable[[str], Collection[str]]
_Mask = npt.NDArray[np.bool_]

#: The store is asked about a person once this part of the limit was named since the start: hardly anybody has so many.
_UNASKED_PART = 0.01
#: How long the answer counts before a device is refused by it. Deletions make room meanwhile.
_ASKED_AGAIN_S = 1.0
#: How many devices of all people are remembered. Beyond that it begins anew.
_MOST_REMEMBERED = 200_000
#: How many pairs of person and device pass without a look-up by text; two to the power of this.
_PLACES_BITS = 18
#: A large odd number, whose products with neighbouring numbers differ in the upper bits (2^64 by the golden ratio).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class DeviceLimit:
    """Finds readings of devices beyond the limit of their person. Used by the commit thread alone.

    A person can exceed the limit by a hundredth of it whenever what is remembered begins anew, as with every start.
    """

    def __init__(self, devices_of: DevicesOf, most: int, clock_s: Callable[[], float] = monotonic) -> None:
        self.reason = f"the person has {most} devices already, the most that are taken (PULSEBASE_DEVICES_PER_PERSON)"
        self._devices_of, self._most, self._clock_s = devices_of, most, clock_s
        self._unasked = int(most * _UNASKED_PART)
        self._texts: tuple[Sequence[str], Sequence[str]] = ((), ())
        #: Pairs of codes that passed, each in the place that its product with `_SPREAD` names. Later ones displace it.
        self._passed: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._people: dict[str, _Devices] = {}
        self._remembered = 0
        #: The devices of this commit, which the store does not know yet, by person.
        self._fresh: dict[str, set[str]] = {}

    def beyond(self, batch: ReadingBatch) -> _Mask | None:
        """Return which rows are of a device beyond the limit, None if none is. The devices of all others count from
        then on: call `written` or `forget` when the commit has ended.
        """
        pairs = self._pairs(batch)
        places = (pairs * _SPREAD) >> np.uint64(64 - _PLACES_BITS)
        unseen = self._passed.take(places.astype(np.intp)) != pairs
        if not unseen.any():
            return None
        new, first = np.unique(pairs[unseen], return_index=True)
        rows = np.flatnonzero(unseen)[first]
        refused = np.array([not self._admits(batch.users[row], batch.devices[row]) for row in rows.tolist()], np.bool_)
        self._passed[places[rows[~refused]].astype(np.intp)] = new[~refused]
        return np.isin(pairs, new[refused]) if refused.any() else None

    def written(self) -> None:
        """The store knows the devices that passed."""
        if self._fresh:
            self._fresh = {}
            if self._remembered > _MOST_REMEMBERED:
                self.forget()

    def forget(self) -> None:
        """Begin anew: it is not known which of the devices that passed were written."""
        self._people, self._fresh, self._remembered = {}, {}, 0
        self._passed = _no_pairs()

    def _pairs(self, batch: ReadingBatch) -> npt.NDArray[np.uint64]:
        """A number for the person and device of each row. Batches mostly share two lists of texts."""
        users, devices = batch.users, batch.devices
        if users.texts is not self._texts[0] or devices.texts is not self._texts[1]:
            self._texts = users.texts, devices.texts
            self._passed = _no_pairs()
        return users.codes.astype(np.uint64) << np.uint64(32) | devices.codes.astype(np.uint64)

    def _admits(self, user_id: str, device_id: str) -> bool:
        person = self._people.get(user_id)
        if person is None:
            person = self._people[user_id] = _Devices()
            self._remembered += 1
        if device_id in person.ids:
            return True
        if len(person.ids) >= self._unasked and person.asked_s is None:
            self._ask(user_id, person)
        if len(person.ids) >= self._most and device_id not in person.ids:
            asked_s = person.asked_s
            if asked_s is None or self._clock_s() - asked_s >= _ASKED_AGAIN_S:
                self._remembered -= len(person.ids)
                person.ids = set(self._fresh.get(user_id, ()))
                self._remembered += len(person.ids)
                self._ask(user_id, person)
        if device_id in person.ids:
            return True
        if len(person.ids) >= self._most:
            return False
        person.ids.add(device_id)
        self._fresh.setdefault(user_id, set()).add(device_id)
        self._remembered += 1
        return True

    def _ask(self, user_id: str, person: _Devices) -> None:
        known = len(person.ids)
        person.ids.update(self._devices_of(user_id))
        person.asked_s = self._clock_s()
        self._remembered += len(person.ids) - known


class _Devices:
    """The devices of a person that are known, and when the store was asked for them."""

    __slots__ = ("asked_s", "ids")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.asked_s: float | None = None


def _no_pairs() -> npt.NDArray[np.uint64]:
    # No id has a code of so many bits.
    return np.full(1 << _PLACES_BITS, np.iinfo(np.uint64).max, np.uint64)
