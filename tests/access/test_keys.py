"""Keys: what is kept of them, and what they are good for."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.access.access_file import AccessFile
from pulsebase.access.keys import OWNER, Principal, hash_of, new_key
from pulsebase.access.service import KeyRequest, KeyRing, create_key
from pulsebase.model.errors import RejectedError, RetryLaterError, StopError
from pulsebase.model.users import User

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def state(tmp_path: Path) -> Iterator[AccessFile]:
    made = AccessFile(tmp_path / "access.sqlite")
    yield made
    made.close()


def test_no_two_keys_are_the_same_and_each_has_256_random_bits() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(bytes.fromhex(key.removeprefix("pulsebase_"))) for key in keys} == {32}


def test_a_key_is_known_again_by_its_hash_and_is_not_in_the_file(state: AccessFile) -> None:
    kept, key = create_key(state, KeyRequest("phone", ["ingest"], ["ann"]), NOW_US)
    ring = KeyRing(state)
    principal = ring.principal(key.encode(), NOW_US)
    assert principal is not None
    assert (principal.number, principal.name, principal.people) == (kept.number, "phone", frozenset({"ann"}))
    assert ring.principal(key.encode()[:-1], NOW_US) is None
    state.close()
    for path in state.path.parent.iterdir():
        assert key.encode() not in path.read_bytes()
    assert hash_of(key.encode()) in state.path.read_bytes()


def test_another_process_that_makes_or_revokes_a_key_is_noticed(state: AccessFile) -> None:
    ring, other = KeyRing(state), AccessFile(state.path)
    _, key = create_key(other, KeyRequest("phone", ["read"]), NOW_US)
    assert ring.principal(key.encode(), NOW_US) is None
    ring.refresh()
    assert ring.principal(key.encode(), NOW_US) is not None
    assert other.revoke_key("phone", NOW_US)
    assert not other.revoke_key("phone", NOW_US)
    ring.refresh()
    assert ring.principal(key.encode(), NOW_US) is None
    other.close()


def test_a_key_is_good_until_it_expires(state: AccessFile) -> None:
    kept, key = create_key(state, KeyRequest("soon", ["read"], expires_us=NOW_US + 10), NOW_US)
    ring = KeyRing(state)
    assert ring.principal(key.encode(), NOW_US + 9) is not None
    assert ring.principal(key.encode(), NOW_US + 10) is None
    assert (kept.good_at(NOW_US + 9), kept.good_at(NOW_US + 10)) == (True, False)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (KeyRequest("", ["read"]), "name"),
        (KeyRequest("a b", ["read"]), "name"),
        (KeyRequest("x" * 65, ["read"]), "name"),
        (KeyRequest("owner", ["read"]), "name"),
        (KeyRequest("taken", ["read"]), "name"),
        (KeyRequest("x", []), "scope"),
        (KeyRequest("x", ["write"]), "scope"),
        (KeyRequest("x", ["metrics"], ["ann"]), "scope"),
        (KeyRequest("x", ["read"], []), "user"),
        (KeyRequest("x", ["read"], ["a b"]), "user"),
        (KeyRequest("x", ["read"], [str(number) for number in range(1001)]), "user"),
        (KeyRequest("x", ["read"], expires_us=NOW_US), "expires"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_by_name(state: AccessFile, wish: KeyRequest, field: str) -> None:
    create_key(state, KeyRequest("taken", ["read"]), NOW_US)
    state.revoke_key("taken", NOW_US)
    with pytest.raises(RejectedError) as refused:
        create_key(state, wish, NOW_US)
    assert refused.value.errors[0].field == field
    assert len(state.all_keys()) == 1


def test_a_person_who_is_forgotten_leaves_no_byte_and_their_key_is_for_nobody(state: AccessFile) -> None:
    create_key(state, KeyRequest("phone", ["ingest"], ["ann-to-forget"]), NOW_US)
    entry = (1, 1, "GET", "/users/{user_id}", 200, "ann-to-forget")
    state.add_entries([(entry, (1, 1, 1))], lambda _: True)
    state.forget(User("ann-to-forget"))
    state.forget(User("never-there"))
    assert state.all_keys()[0][1].people == frozenset()
    for path in state.path.parent.iterdir():
        assert b"ann-to-forget" not in path.read_bytes()


def test_names_of_keys_that_tell_who_was_forgotten_go_and_others_stay(state: AccessFile) -> None:
    for name, people in (
        ("ann-phone", None),
        ("ward-7", ["ann", "bob"]),
        ("watch", ["ann"]),
        ("lee.ann", ["bob"]),
        ("joanna", None),
    ):
        create_key(state, KeyRequest(name, ["read"], people), NOW_US)
    before = state.changes()
    state.forget(User("ann", "Ann Lee"))
    assert [key.name for _, key in state.all_keys()] == ["key 1", "ward-7", "key 3", "key 4", "joanna"]
    assert state.changes() > before, "running servers notice"
    state.forget(User("bob"))
    assert [key.name for _, key in state.all_keys()][1] == "key 2", "bob was the last it was for"
    state.scrub()
    for path in state.path.parent.iterdir():
        assert not any(name in path.read_bytes() for name in (b"ann-phone", b"watch", b"lee.ann", b"ward-7"))
    assert state.revoke_key("key 1", NOW_US)
    with pytest.raises(RejectedError):
        create_key(state, KeyRequest("key 9", ["read"]), NOW_US)


def test_the_log_is_emptied_later_if_another_process_reads_it(state: AccessFile) -> None:
    create_key(state, KeyRequest("phone", ["ingest"], ["ann-to-forget"]), NOW_US)
    state._connection.execute("PRAGMA busy_timeout = 10")
    with contextlib.closing(sqlite3.connect(state.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM people").fetchall()
        state.forget(User("ann-to-forget"))
        with pytest.raises(RetryLaterError):
            state.scrub()
        other.execute("COMMIT")
    state.scrub()
    for path in state.path.parent.iterdir():
        assert b"ann-to-forget" not in path.read_bytes()


def test_a_file_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StopError, match="newer version"):
        AccessFile(path)


@pytest.mark.parametrize(
    ("scopes", "people", "holds"),
    [
        ({"read"}, None, {"read", "aggregate"}),
        ({"ingest"}, {"ann"}, {"ingest"}),
        ({"admin"}, None, {"read", "ingest", "admin", "metrics", "aggregate"}),
        ({"admin"}, {"ann"}, {"read", "ingest", "admin", "aggregate"}),
    ],
)
def test_admin_takes_in_the_others_but_metrics_are_not_of_some_people(
    scopes: set[str], people: set[str] | None, holds: set[str]
) -> None:
    reach = None if people is None else frozenset(people)
    principal = Principal(1, "key", frozenset(scopes), reach)  # type: ignore[arg-type]
    assert {scope for scope in OWNER.scopes if principal.holds(scope)} == holds
