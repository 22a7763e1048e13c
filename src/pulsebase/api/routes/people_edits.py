"""Check and store changes to people and to the priorities of their devices, from the fields of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.json_bodies import identifier_in
from pulsebase.model.errors import FieldError, RejectedError, TooManyRowsError, UnknownUserError, after, shown_name
from pulsebase.model.timerange import instant_of
from pulsebase.model.users import (
    DeviceOverview,
    DevicePriority,
    User,
    UserOverview,
    checked_person,
    checked_priority,
    setting_like,
)
from pulsebase.stores.contract import Store

_KEPT = "the change itself was kept"
#: The most people in one import.
MOST_PEOPLE = 100_000
#: The most devices listed for a person. A limit is needed because whoever sends readings may invent device ids.
MOST_DEVICES = 10_000


@dataclass(frozen=True, slots=True)
class Device:
    """A person's device as stored, and the person's priority settings for it, in order of time."""

    stored: DeviceOverview
    history: Sequence[DevicePriority]


class PeopleEditor:
    """Makes one change at a time, so that what was checked still holds when the change is stored. It blocks: call it in
    threads.

    `changing` is the lock held during a change; all processes on this machine share it.
    """

    def __init__(self, store: Store, changing: Callable[[], AbstractContextManager[None]]) -> None:
        self._store, self._changing = store, changing

    def create(self, fields: dict[str, Any]) -> UserOverview:
        """Create a new person.

        Raises:
            ProblemError: there is already somebody with that id.
            RejectedError: a field is at fault.
        """
        user = _person_in(fields)
        with self._changing():
            if self._store.user(user.user_id) is not None:
                raise ProblemError("already-known", "there is already somebody with that id")
            self._store.put_user(user)
            with after(_KEPT):
                return self._known(user.user_id)

    def put(self, user_id: str, fields: Mapping[str, Any]) -> tuple[UserOverview, bool]:
        """Create a person or replace all their fields. Return the person, and whether they are new."""
        user = User(user_id, **_checked(fields))
        with self._changing():
            is_new = self._store.user(user_id) is None
            self._store.put_user(user)
            with after(_KEPT):
                return self._known(user_id), is_new

    def change(self, user_id: str, fields: Mapping[str, Any]) -> UserOverview:
        """Change these fields of a person and no others.

        Raises:
            UnknownUserError: nobody of that id is known.
        """
        changes = _checked(fields)
        with self._changing():
            user = self._store.user(user_id)
            if user is None:
                raise UnknownUserError
            self._store.put_user(replace(user, **changes))
            with after(_KEPT):
                return self._known(user_id)

    def put_all(self, body: dict[str, Any]) -> int:
        """Create or replace the people in `users`, all or none. Return how many there were.

        Raises:
            RejectedError: names each wrong field, with the person's index.
        """
        refuse_others(body, "users")
        entries = body.get("users")
        if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_PEOPLE:
            raise RejectedError.of("users", f"must be a list of 1 to {MOST_PEOPLE} people")
        people, errors = [], []
        for index, entry in enumerate(entries):
            try:
                people.append(_person_in(dict(entry) if isinstance(entry, dict) else {}))
            except RejectedError as error:
                errors += [FieldError(each.field, each.reason, index) for each in error.errors]
        if errors:
            raise RejectedError(errors)
        with self._changing():
            self._store.put_users(people)
        return len(people)

    def devices(self, user_id: str) -> list[Device]:
        """Return the person's devices, ordered by id.

        Raises:
            UnknownUserError: nobody of that id is known.
            TooManyRowsError: there are more than `MOST_DEVICES`.
        """
        with self._changing():
            if self._store.user(user_id) is None:
                raise UnknownUserError
            return self._devices(user_id)

    def set_priority(self, user_id: str, device_id: str, fields: Mapping[str, Any]) -> Device:
        """Set a device's priority as `fields` say. Return the device afterwards.

        Raises:
            RejectedError: a field is at fault.
            UnknownUserError: nobody of that id is known.
        """
        refuse_others(fields, "priority", "valid_from")
        if "priority" not in fields:
            raise RejectedError.of("priority", "is required; null restores the default")
        priority = checked_priority(fields["priority"])
        valid_from_us = instant_of(fields["valid_from"], "valid_from") if "valid_from" in fields else 0
        with self._changing():
            if self._store.user(user_id) is None:
                raise UnknownUserError
            said = DevicePriority(user_id, device_id, priority, valid_from_us)
            setting_like(self._store.priorities(user_id), said)
            self._store.put_priority(said)
            with after(_KEPT):
                stored = next(each for each in self._store.devices(user_id) if each.device_id == device_id)
                entries = self._store.priorities(user_id)
                return Device(stored, [entry for entry in entries if entry.device_id == device_id])

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """Remove every setting of a device's priority. Return how many there were.

        Raises:
            UnknownUserError: nobody of that id is known.
        """
        with self._changing():
            if self._store.user(user_id) is None:
                raise UnknownUserError
            return self._store.remove_priorities(user_id, device_id)

    def _devices(self, user_id: str) -> list[Device]:
        history: dict[str, list[DevicePriority]] = {}
        for entry in self._store.priorities(user_id):
            history.setdefault(entry.device_id, []).append(entry)
        found = self._store.devices(user_id)
        if len(found) > MOST_DEVICES:
            raise TooManyRowsError([FieldError("user_id", f"has more than {MOST_DEVICES} devices, too many to list")])
        return [Device(stored, history.get(stored.device_id, ())) for stored in found]

    def _known(self, user_id: str) -> UserOverview:
        overview = self._store.overview(user_id)
        assert overview is not None, "put just now, and nobody else removes people"
        return overview


def _person_in(fields: dict[str, Any]) -> User:
    user_id = identifier_in(fields, "user_id")
    return User(user_id, **_checked(fields))


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    return checked_person({shown_name(name): value for name, value in fields.items()}, _today())


def _today() -> date:
    return datetime.now(UTC).date()


def refuse_others(fields: Mapping[str, Any], *known: str) -> None:
    """Raise `RejectedError` if there are other fields than these."""
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise RejectedError([FieldError(shown_name(name), "is not a known field") for name in unknown[:10]])
