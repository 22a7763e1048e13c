"""The trail: who asked what, about whom, when; counted by minute, kept for some days."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pulsebase.access.access_file import AccessFile, AuditFilter
from pulsebase.access.audit import AuditTrail
from pulsebase.access.caller import Caller
from pulsebase.access.keys import OWNER, Principal
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.model.readings import Ids
from pulsebase.model.timerange import MINUTE_US
from pulsebase.model.users import User

DAY_US = 24 * 60 * MINUTE_US
START_US = 1_700_000_000 * 1_000_000 // MINUTE_US * MINUTE_US


class Desk:
    def __init__(self, state: AccessFile) -> None:
        self.state, self.now_us = state, START_US
        self.known = {"ann", "bob"}
        self.audit = AuditTrail(state, 30, lambda user_id: user_id in self.known, lambda: self.now_us)
        key, _ = create_key(state, KeyRequest("phone", ["read"]), START_US)
        self.principal = Principal(key.number, key.name, key.scopes)

    def ask(self, *people: str, everybody: bool = False, route: str = "/users/{user_id}", status: int = 200) -> None:
        caller = Caller(self.principal)
        for user_id in people:
            caller.reaches(user_id)
        if everybody:
            caller.ask_everybody()
        self.audit.note(caller, "GET", route, status)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    state = AccessFile(tmp_path / "access.sqlite")
    yield Desk(state)
    state.close()


def test_equal_requests_of_a_minute_are_one_entry(desk: Desk) -> None:
    desk.ask("ann")
    desk.now_us += 10
    desk.ask("ann")
    desk.audit.flush()
    desk.now_us += 10
    desk.ask("ann")
    (entry,) = desk.audit.entries(AuditFilter())
    assert (entry.key, entry.method, entry.route, entry.status) == ("phone", "GET", "/users/{user_id}", 200)
    assert (entry.whom, entry.user_id) == ("person", "ann")
    assert (entry.first_us, entry.last_us, entry.requests) == (START_US, START_US + 20, 3)


@pytest.mark.parametrize(
    "other",
    [
        lambda desk: desk.ask("bob"),
        lambda desk: desk.ask("ann", status=404),
        lambda desk: desk.ask("ann", route="/timeseries"),
        lambda desk: desk.ask(everybody=True),
        lambda desk: desk.ask(),
        lambda desk: desk.audit.note(Caller(OWNER), "GET", "/users/{user_id}", 200),
    ],
    ids=["person", "outcome", "route", "everybody", "nobody", "caller"],
)
def test_requests_that_differ_are_entries_of_their_own(desk: Desk, other: Callable[[Desk], None]) -> None:
    desk.ask("ann")
    other(desk)
    assert len(desk.audit.entries(AuditFilter())) == 2
    desk.now_us += MINUTE_US
    other(desk)
    assert len(desk.audit.entries(AuditFilter())) == 3


def test_several_people_of_one_request_are_an_entry_each_and_everybody_is_one(desk: Desk) -> None:
    desk.ask("ann", "bob")
    assert {entry.user_id for entry in desk.audit.entries(AuditFilter())} == {"ann", "bob"}
    desk.now_us += MINUTE_US
    desk.ask("ann", "bob", everybody=True)
    newest = desk.audit.entries(AuditFilter(limit=1))[0]
    assert (newest.whom, newest.user_id) == ("everybody", None)


def test_people_of_columns_are_counted_once_a_request(desk: Desk) -> None:
    for texts in (["ann", "bob", "ann"], ["ann"], ["bob", "ann"] * 3_000):
        caller = Caller(desk.principal)
        caller.require_all(Ids.of(texts))
        desk.audit.note(caller, "POST", "/metrics/heart-rate/batch", 202)
    nobody = Caller(desk.principal)
    nobody.name(Ids(np.array([-1, -1], np.int32), ["ann"]))
    desk.audit.note(nobody, "POST", "/metrics/heart-rate/batch", 202)
    assert {entry.user_id: entry.requests for entry in desk.audit.entries(AuditFilter())} == {"ann": 3, "bob": 2}


def test_ids_of_people_who_are_not_known_are_not_kept(desk: Desk) -> None:
    desk.ask("anything-at-all")
    (entry,) = desk.audit.entries(AuditFilter())
    assert (entry.whom, entry.user_id) == ("unknown", None)


def test_somebody_who_is_removed_loses_their_name_and_not_the_entries(desk: Desk) -> None:
    desk.ask("ann")
    desk.audit.flush()
    desk.ask("ann", status=201)  # noted, and not yet written
    desk.known.remove("ann")
    desk.state.forget(User("ann"))
    first, second = desk.audit.entries(AuditFilter())
    assert {(first.whom, first.user_id), (second.whom, second.user_id)} == {("unknown", None), ("removed", None)}


def test_entries_are_found_by_person_by_key_by_reach_and_page_after_page(desk: Desk) -> None:
    desk.ask("ann")
    desk.ask("bob")
    desk.ask(everybody=True)
    desk.audit.note(Caller(OWNER), "POST", "/admin/check", 200)
    audit = desk.audit
    assert [entry.user_id for entry in audit.entries(AuditFilter(user_id="ann"))] == ["ann"]
    assert len(audit.entries(AuditFilter(key="phone"))) == 3
    assert [entry.route for entry in audit.entries(AuditFilter(key="owner"))] == ["/admin/check"]
    assert [entry.user_id for entry in audit.entries(AuditFilter(people=frozenset({"bob", "carl"})))] == ["bob"]
    assert audit.entries(AuditFilter(people=frozenset())) == []
    pages = []
    before = None
    while page := audit.entries(AuditFilter(before=before, limit=3)):
        pages.append([entry.number for entry in page])
        before = page[-1].number
    assert pages == [[4, 3, 2], [1]]


def test_entries_go_after_the_days_they_are_kept(desk: Desk) -> None:
    desk.ask("ann")
    desk.now_us += 30 * DAY_US
    desk.ask("ann")
    desk.audit.flush()
    desk.audit.prune()
    assert len(desk.audit.entries(AuditFilter())) == 2
    desk.now_us += MINUTE_US
    desk.audit.prune()
    assert [entry.first_us for entry in desk.audit.entries(AuditFilter())] == [START_US + 30 * DAY_US]


def test_what_cannot_be_written_now_is_written_later(desk: Desk) -> None:
    other = sqlite3.connect(desk.state.path, isolation_level=None)
    desk.state._connection.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    desk.ask("ann")
    desk.audit.flush()
    other.execute("ROLLBACK")
    other.close()
    assert len(desk.audit.entries(AuditFilter())) == 1
