"""Who is barred, among columns of ids."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pulsebase.ingest.known_ids import KnownIds
from pulsebase.model.errors import ErasedUserError
from pulsebase.model.readings import Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.erased_users import ErasedUsers, ErasedUsersStore
from pulsebase.stores.erasures import mark_of
from pulsebase.stores.memory import MemoryStore

KEY = b"k" * 32
DAY = date(2024, 1, 15)


def barring(*user_ids: str) -> ErasedUsers:
    return ErasedUsers(KEY, [mark_of(KEY, user_id) for user_id in user_ids])


def found(erased_users: ErasedUsers, users: Ids) -> list[bool] | None:
    mask = erased_users.among(users)
    return None if mask is None else mask.tolist()


def test_rows_are_told_by_code_while_the_table_grows() -> None:
    table, erased_users = KnownIds(), barring("ann", "eve")
    assert found(erased_users, table.codes(["ann", "bob", "no id!", "ann"])) == [True, False, False, True]
    assert found(erased_users, table.codes(["bob", "no id!"])) is None
    assert found(erased_users, table.codes(["eve", "cid", "bob"])) == [True, False, False]
    assert found(erased_users, Ids(np.array([1, 0], np.int32), ["bob", "ann"])) == [True, False]
    assert found(ErasedUsers(), table.codes(["ann"])) is None


def test_who_is_barred_or_allowed_is_known_at_once() -> None:
    table, erased_users = KnownIds(), barring()
    users = table.codes(["ann", "bob"])
    assert found(erased_users, users) is None
    erased_users.replace([mark_of(KEY, "bob")])
    assert found(erased_users, users) == [False, True]
    assert (erased_users.holds("ann"), erased_users.holds("bob")) == (False, True)
    erased_users.replace([])
    assert found(erased_users, users) is None


def test_nothing_that_is_said_of_somebody_brings_them_back() -> None:
    store = ErasedUsersStore(MemoryStore(), barring("ann"))
    with pytest.raises(ErasedUserError):
        store.put_user(User("ann"))
    with pytest.raises(ErasedUserError):
        store.put_users([User("bob"), User("ann")])
    with pytest.raises(ErasedUserError):
        store.put_priority(DevicePriority("ann", "strap", 1))
    with pytest.raises(ErasedUserError):
        store.put_summaries([DailySummary("ann", DAY, 50.0, None)])
    assert store.users("", 10, None) == []
    store.put_user(User("bob"))
    store.put_priority(DevicePriority("bob", "strap", 1))
    store.put_summaries([DailySummary("bob", DAY, 50.0, None)])
    assert store.knows("bob")
