"""Pools: who gets units, and in which order."""

from __future__ import annotations

import threading
import time

import pytest

from pulsebase.access.shares import HeldShare, Resource, SharePool, ShareSize
from pulsebase.model.errors import PoolFullError, ShareFullError

RESOURCE: Resource = "decoders"


def pool_of(total: int, part: float = 0.25, wait_s: float = 0) -> SharePool:
    return SharePool(RESOURCE, ShareSize.of(total, part, wait_s))


def held(pool: SharePool, who: str) -> HeldShare:
    return HeldShare({RESOURCE: pool}, who)


def test_whose_caller_had_most_while_others_waited_goes_last() -> None:
    pool = pool_of(1)
    first = pool.ask("greedy", 1)
    assert first.done()
    more = [pool.ask("greedy", 1) for _ in range(3)]
    other = pool.ask("other", 1)
    time.sleep(0.01)  # so that what is held counts for something
    pool.give_back("greedy", 1)
    assert other.done(), "though others had asked before"
    assert not any(each.done() for each in more)
    pool.give_back("other", 1)
    assert [each.done() for each in more] == [True, False, False]


def test_among_callers_who_had_nothing_the_first_goes_first() -> None:
    pool = pool_of(1)
    assert pool.ask("a", 1).done()
    waiting = [pool.ask(who, 1) for who in "bcd"]
    pool.give_back("a", 1)
    assert [each.done() for each in waiting] == [True, False, False]


def test_a_caller_cannot_hold_all_while_there_are_two() -> None:
    pool = pool_of(2)
    assert pool.ask("greedy", 1).done()
    waiting = pool.ask("greedy", 1)
    assert pool.ask("other", 1).done()
    assert isinstance(pool.give_up(waiting), ShareFullError)
    assert isinstance(pool.give_up(pool.ask("third", 1)), PoolFullError)


def test_what_was_had_is_forgotten_once_nobody_waits() -> None:
    pool = pool_of(1)
    pool.ask("a", 1)
    waiting = pool.ask("b", 1)
    time.sleep(0.01)
    pool.give_back("a", 1)
    assert waiting.done()
    first, second = pool.ask("a", 1), pool.ask("c", 1)
    pool.give_back("b", 1)
    assert (first.done(), second.done()) == (True, False)


def test_who_waits_without_end_gets_a_unit_or_stops() -> None:
    pool = pool_of(1)
    mine, other = held(pool, "a"), held(pool, "b")
    other.resize(RESOURCE, 1)
    stopped = threading.Event()
    waiting = threading.Thread(target=mine.wait, args=(RESOURCE, stopped.is_set))
    waiting.start()
    stopped.set()
    waiting.join(30)
    assert not waiting.is_alive()
    mine.close()
    other.close()
    assert pool.ask("c", 1).done(), "nothing is held by whoever stopped"
    waiting = threading.Thread(target=mine.wait, args=(RESOURCE, lambda: False))
    waiting.start()
    pool.give_back("c", 1)
    waiting.join(30)
    assert not waiting.is_alive()
    with pytest.raises(ShareFullError):
        held(pool, "a").resize(RESOURCE, 1)
    mine.close()
