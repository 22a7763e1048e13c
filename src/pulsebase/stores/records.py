"""What is kept of people besides their readings: the one list of it, for whatever takes all of somebody along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

from pulsebase.model.annotations import Annotation
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User, UserOverview
from pulsebase.stores.contract import Reader, Registry

Kind = Literal["people", "priorities", "summaries", "annotations"]

#: People that are listed at once.
_PAGE = 100


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of records.

    Attributes:
        what: what they are, in words.
        type: what each of them is.
        read: those of a person; of daily ones those from the first to the last day, both included.
        put: keeps some, in place of what is kept for the same person and thing.
    """

    what: str
    type: type[Record]
    read: Callable[[Reader, User, date, date], Sequence[Record]]
    put: Callable[[Registry, Sequence[Any]], None]


def _put_priorities(registry: Registry, priorities: Sequence[DevicePriority]) -> None:
    for priority in priorities:
        registry.put_priority(priority)


#: In an order in which they can be put.
KINDS: Mapping[Kind, RecordKind] = MappingProxyType(
    {
        "people": RecordKind(
            "what is known of the person",
            User,
            lambda _store, user, _first, _last: [user],
            lambda registry, users: registry.put_users(users),
        ),
        "priorities": RecordKind(
            "the priorities of devices",
            DevicePriority,
            lambda store, user, _first, _last: store.priorities(user.user_id),
            _put_priorities,
        ),
        "summaries": RecordKind(
            "the daily summaries",
            DailySummary,
            lambda store, user, first, last: store.summaries(user.user_id, first, last),
            lambda registry, days: registry.put_summaries(days),
        ),
        "annotations": RecordKind(
            "the annotations",
            Annotation,
            lambda store, user, _first, _last: store.annotations(user.user_id),
            lambda registry, annotations: registry.put_annotations(annotations),
        ),
    }
)


def kind_of_record(record: Record) -> Kind:
    """Which kind of records this is one of."""
    return next(name for name, kind in KINDS.items() if isinstance(record, kind.type))


def records_of(
    store: Reader, kind: Kind, user: User, first: date = date.min, last: date = date.max
) -> Sequence[Record]:
    """A person's records of a kind; of daily ones those from `first` to `last`."""
    return KINDS[kind].read(store, user, first, last)


def everybody(store: Reader) -> Iterator[UserOverview]:
    """Everybody who is known, by id."""
    after: str | None = None
    while page := store.users("", _PAGE, after):
        yield from page
        after = page[-1].user.user_id
