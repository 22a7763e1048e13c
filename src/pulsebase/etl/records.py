"""Store records of people from an export. They fill in what is not known, and never replace what is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from datetime import date

from pulsebase.ingest import ReadingRules
from pulsebase.ingest.newcomers import Allowance, admitted
from pulsebase.ingest.validate import OUT_OF_REACH
from pulsebase.model.annotations import MOST_ANNOTATIONS, Annotation
from pulsebase.model.errors import ErasedUserError, FieldError, RejectedError, after
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User, setting_like
from pulsebase.stores.contract import Store

_KNOWN_OTHERWISE = "is known otherwise here; what is known stays"
_NOT_WITH_THIS_KEY = "takes a key that may change people"


@dataclass(frozen=True, slots=True)
class KeptRecords:
    """How many records were known already, and the errors of refused ones, by position."""

    unchanged: int
    errors: list[FieldError]


class RecordKeeper:
    """Stores records of people from an export where nothing else is known.

    Each unknown field of a person is filled in. If a field has another value already, or another priority is set from
    the same instant on, the stored value stays and the record is refused. Days are merged into what is stored of them;
    where both state something, the export wins, as with readings. `changing` is the lock held while people are changed.
    Without `changes_people` only days and annotations are accepted.
    """

    def __init__(
        self,
        store: Store,
        rules: ReadingRules,
        changing: Callable[[], AbstractContextManager[None]],
        *,
        changes_people: bool = True,
        allowance: Allowance | None = None,
    ) -> None:
        self._store, self._rules, self._changing = store, rules, changing
        self._changes_people, self._allowance = changes_people, allowance

    def keep(self, records: Sequence[Record]) -> KeptRecords:
        """Store the records. Repeating it changes nothing."""
        errors: list[FieldError] = []
        unchanged = 0
        users: dict[str, User] = {}
        days: list[DailySummary] = []
        with self._changing(), after("some of the records may have been kept; sending all of them again is no harm"):
            for place, record in enumerate(records):
                error = self._refusal(record)
                if error is None and isinstance(record, User):
                    known = users.get(record.user_id) or self._store.user(record.user_id)
                    users[record.user_id], error = _filled(record, known)
                    unchanged += error is None and users[record.user_id] == known
                elif error is None and isinstance(record, DevicePriority):
                    same, error = self._set(record)
                    unchanged += same
                elif error is None and isinstance(record, Annotation):
                    same, error = self._note(record)
                    unchanged += same
                elif error is None and isinstance(record, DailySummary):
                    days.append(record)
                if error is not None:
                    errors.append(replace(error, index=place))
            changed = [user for user in users.values() if self._store.user(user.user_id) != user]
            if changed:
                with self._admitted([user.user_id for user in changed]):
                    self._store.put_users(changed)
            unchanged += self._put_together(days)
        return KeptRecords(unchanged, errors)

    def put_together(self, days: Sequence[DailySummary]) -> None:
        """Store days, merging them with what is stored: a source may spread a day over several files. Days of people
        out of the caller's reach are left out.
        """
        people = self._rules.people
        with self._changing():
            self._put_together([day for day in days if people is None or day.user_id in people])

    def _refusal(self, record: Record) -> FieldError | None:
        people = self._rules.people
        if people is not None and record.user_id not in people:
            return FieldError("user_id", OUT_OF_REACH)
        if self._rules.erased_users.holds(record.user_id):
            return FieldError("user_id", ErasedUserError.REASON)
        if not self._changes_people and not isinstance(record, DailySummary | Annotation):
            return FieldError("record", _NOT_WITH_THIS_KEY)
        return None

    def _set(self, said: DevicePriority) -> tuple[bool, FieldError | None]:
        """Store a setting. Return whether it was known already, and why it is refused if it is."""
        try:
            known = setting_like(self._store.priorities(said.user_id), said)
        except RejectedError as error:
            return False, error.errors[0]
        if known is None:
            with self._admitted([said.user_id]):
                self._store.put_priority(said)
        elif known != said:
            return False, FieldError("priority", _KNOWN_OTHERWISE)
        return known is not None, None

    def _note(self, said: Annotation) -> tuple[bool, FieldError | None]:
        """Keep an annotation. Return whether it was known already, and why it is refused if it is."""
        stored = self._store.annotations(said.user_id)
        known = next((each for each in stored if each.annotation_id == said.annotation_id), None)
        if known is None and len(stored) >= MOST_ANNOTATIONS:
            return False, FieldError("user_id", f"has {MOST_ANNOTATIONS} annotations, which is the most")
        if known is None:
            with self._admitted([said.user_id]):
                self._store.put_annotations([said])
        elif known != said:
            return False, FieldError("annotation_id", _KNOWN_OTHERWISE)
        return known is not None, None

    def _put_together(self, days: Sequence[DailySummary]) -> int:
        """Merge the days with what is stored. Return how many of them contained nothing new."""
        stored: dict[tuple[str, date, str | None], DailySummary] = {}
        for user_id in {day.user_id for day in days}:
            asked = [day.day for day in days if day.user_id == user_id]
            known = self._store.summaries(user_id, min(asked), max(asked))
            stored |= {(user_id, day.day, day.resting_heart_rate_method): day for day in known}
        before = dict(stored)
        unchanged = 0
        for day in days:
            key = (day.user_id, day.day, day.resting_heart_rate_method)
            together = stored[key].completed_by(day) if key in stored else day
            unchanged += stored.get(key) == together
            stored[key] = together
        changed = [day for key, day in stored.items() if before.get(key) != day]
        if changed:
            with self._admitted([day.user_id for day in changed]):
                self._store.put_summaries(changed)
        return unchanged

    def _admitted(self, user_ids: Sequence[str]) -> AbstractContextManager[None]:
        return admitted(self._allowance, self._store.unknown_users, user_ids)


def _filled(said: User, known: User | None) -> tuple[User, FieldError | None]:
    """Return the person with unknown fields filled in, and an error that names the fields with another known value."""
    if known is None:
        return said, None
    others = []
    for name in (field.name for field in fields(User)):
        here, there = getattr(known, name), getattr(said, name)
        if here is None:
            known = replace(known, **{name: there})
        elif there not in (None, here):
            others.append(name)
    return known, FieldError(", ".join(others), _KNOWN_OTHERWISE) if others else None
