"""What an export says of people meets what is known of them."""

from __future__ import annotations

import contextlib
from datetime import date

import pytest

from pulsebase.access.caller import Caller
from pulsebase.access.keys import Principal
from pulsebase.access.newcomers import NewcomerLimits, NewcomerShares
from pulsebase.etl.records import RecordKeeper
from pulsebase.ingest import ReadingRules
from pulsebase.model.errors import FieldError, TooManyNewPeopleError
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.erased_users import ErasedUsers
from pulsebase.stores.erasures import mark_of
from pulsebase.stores.memory import MemoryStore

STAYS = "is known otherwise here; what is known stays"
DAY = DailySummary("ann", date(2024, 1, 15), 61.0, "vendor")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def keeper(store: MemoryStore, rules: ReadingRules | None = None, *, changes_people: bool = True) -> RecordKeeper:
    return RecordKeeper(store, rules or ReadingRules(), contextlib.nullcontext, changes_people=changes_people)


def test_what_is_not_known_is_filled_and_what_is_known_stays(store: MemoryStore) -> None:
    store.put_user(User("ann", "Ann", None, date(1980, 1, 1)))
    said = [
        User("ann", "Anna", "female", date(1980, 1, 2), "Europe/Berlin"),
        User("bob", "Bob"),
        User("bob", None, "male"),
        User("bob", "Rob"),
    ]
    assert keeper(store).keep(said).errors == [
        FieldError("name, birth_date", STAYS, 0),
        FieldError("name", STAYS, 3),
    ]
    assert store.user("ann") == User("ann", "Ann", "female", date(1980, 1, 1), "Europe/Berlin")
    assert store.user("bob") == User("bob", "Bob", "male")


def test_a_priority_that_is_set_stays(store: MemoryStore) -> None:
    store.put_priority(DevicePriority("ann", "strap", 3, 7))
    said = [DevicePriority("ann", "strap", priority, at_us) for priority, at_us in ((3, 7), (4, 7), (None, 8), (5, 9))]
    assert keeper(store).keep(said).errors == [FieldError("priority", STAYS, 1)]
    assert store.priorities("ann") == [said[0], *said[2:]]


def test_a_day_that_both_have_is_the_exports(store: MemoryStore) -> None:
    store.put_summaries([DailySummary("ann", DAY.day, 55.0, "vendor"), DailySummary("ann", DAY.day, 50.0, None)])
    assert keeper(store).keep([DAY]).errors == []
    assert [day.resting_heart_rate for day in store.summaries("ann", date.min, date.max)] == [50.0, 61.0]


def test_nothing_is_taken_for_whom_nothing_may_be_taken(store: MemoryStore) -> None:
    erased_users = ErasedUsers(b"key", [mark_of(b"key", "eve")])
    said: list[Record] = [
        User("eve"),
        DevicePriority("eve", "a", 1),
        DailySummary("eve", DAY.day, 60, None),
        User("ann"),
    ]
    refused = keeper(store, ReadingRules(erased_users=erased_users)).keep(said).errors
    assert [(error.index, error.reason) for error in refused] == [
        (place, "belongs to somebody who was erased") for place in range(3)
    ]
    assert [each.user.user_id for each in store.users("", 10, None)] == ["ann"]
    refused = (
        keeper(store, ReadingRules(people=frozenset({"ann"}))).keep([User("bob", "Bob"), User("ann", "Ann")]).errors
    )
    assert [error.index for error in refused] == [0]
    refused = (
        keeper(store, changes_people=False)
        .keep([User("ann", None, "female"), DevicePriority("ann", "a", 1), DAY])
        .errors
    )
    assert [error.index for error in refused] == [0, 1]
    assert store.user("ann") == User("ann", "Ann")
    assert store.summaries("ann", date.min, date.max) == [DAY]


def test_days_of_people_out_of_reach_are_not_put_together(store: MemoryStore) -> None:
    other = DailySummary("bob", DAY.day, 61.0, "vendor")
    keeper(store, ReadingRules(people=frozenset({"ann"}))).put_together([other, DAY])
    assert store.summaries("ann", date.min, date.max) == [DAY]
    assert store.summaries("bob", date.min, date.max) == []


@pytest.mark.parametrize(
    "said",
    [
        [User("new1"), User("new2"), User("new3"), User("ann", "Ann")],
        [DailySummary(user_id, DAY.day, 60, None) for user_id in ("new1", "new2", "new3", "ann")],
    ],
    ids=["people", "days"],
)
def test_people_whom_nobody_knows_come_as_far_as_the_sender_may_bring_them(
    store: MemoryStore, said: list[Record]
) -> None:
    store.put_user(User("ann"))
    caller = Caller(Principal(1, "mover", frozenset(["ingest"])))
    few = NewcomerShares(NewcomerLimits(per_day=100, per_request=2)).of(caller)
    kept = RecordKeeper(store, ReadingRules(), contextlib.nullcontext, allowance=few)
    with pytest.raises(TooManyNewPeopleError):
        kept.keep(said)
    assert [each.user.user_id for each in store.users("", 10, None)] == ["ann"]
    assert kept.keep(said[1:]).errors == []
    assert len(store.users("", 10, None)) == 3
    assert kept.keep(said[1:]).unchanged == 3
