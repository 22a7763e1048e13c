"""How many people whom nobody knows yet a caller may bring, by a clock that the tests turn."""

from __future__ import annotations

import pytest

from pulsebase.access.caller import Caller
from pulsebase.access.keys import ANYBODY, OWNER, Principal
from pulsebase.access.newcomers import Bringing, NewcomerLimits, NewcomerShares
from pulsebase.model.errors import NewPeoplePoolError, NewPeopleShareError, TooManyNewPeopleError

DAY_S = 86_400


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> NewcomerShares:
    return NewcomerShares(NewcomerLimits(per_day=40, share=0.25, per_request=6), clock)


def key(number: int, *scopes: str, people: frozenset[str] | None = None) -> Caller:
    return Caller(Principal(number, "a", frozenset(scopes or ("ingest",)), people))  # type: ignore[arg-type]


def bringing(shares: NewcomerShares, caller: Caller) -> Bringing:
    found = shares.of(caller)
    assert found is not None
    return found


def test_a_key_has_its_share_and_gets_it_again_evenly_in_a_day(shares: NewcomerShares, clock: Clock) -> None:
    for people in (6, 4):
        bringing(shares, key(1)).take(people)
    with pytest.raises(NewPeopleShareError, match=r"user_id: brings 2 people .* may bring 0 now") as refused:
        bringing(shares, key(1)).take(2)
    assert refused.value.retry_after_s == DAY_S / 10 * 2
    clock.now_s += DAY_S / 10 * 2
    bringing(shares, key(1)).take(2)
    bringing(shares, key(2)).take(6)


def test_a_request_brings_no_more_than_a_request_may_whatever_the_parts_it_comes_in(shares: NewcomerShares) -> None:
    one = bringing(shares, key(1))
    one.take(6)
    with pytest.raises(TooManyNewPeopleError, match="more than 6 people"):
        one.take(1)
    with pytest.raises(TooManyNewPeopleError):
        bringing(shares, key(2)).take(7)
    bringing(shares, key(1)).take(4)


def test_a_request_is_one_whichever_part_of_it_is_asked_about(shares: NewcomerShares) -> None:
    caller = key(1)
    bringing(shares, caller).take(6)
    with pytest.raises(TooManyNewPeopleError):
        bringing(shares, caller).take(1)


def test_all_callers_together_have_so_many(shares: NewcomerShares) -> None:
    for number in range(1, 9):
        bringing(shares, key(number)).take(5)
    with pytest.raises(NewPeoplePoolError, match="all callers may bring 0 now"):
        bringing(shares, key(9)).take(1)
    with pytest.raises(NewPeoplePoolError):
        bringing(shares, key(9)).take(1)


def test_what_did_not_come_into_being_is_given_back_to_both(shares: NewcomerShares) -> None:
    caller = key(1)
    for _ in range(20):
        bringing(shares, caller).take(6)
        bringing(shares, caller).give_back(6)
    for number in range(1, 9):
        bringing(shares, key(number)).take(5)


def test_whoever_may_remove_everybody_may_bring_all_there_is(shares: NewcomerShares) -> None:
    bringing(shares, key(1, "admin")).take(40)
    with pytest.raises(NewPeoplePoolError):
        bringing(shares, key(1, "admin")).take(1)
    with pytest.raises(TooManyNewPeopleError):
        bringing(shares, key(1, "admin")).take(41)
    with pytest.raises(TooManyNewPeopleError):
        bringing(shares, key(2, "admin", people=frozenset("a"))).take(7)


def test_without_keys_addresses_have_shares_and_this_machine_all(shares: NewcomerShares) -> None:
    bringing(shares, Caller(ANYBODY, "192.0.2.1")).take(6)
    with pytest.raises(NewPeopleShareError):
        bringing(shares, Caller(ANYBODY, "192.0.2.1")).take(5)
    bringing(shares, Caller(ANYBODY, "192.0.2.2")).take(5)
    bringing(shares, Caller(ANYBODY)).take(29)


def test_the_owner_is_not_counted(shares: NewcomerShares) -> None:
    assert shares.of(Caller(OWNER)) is None
