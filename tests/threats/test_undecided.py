"""A promise of the store that nobody thought of at the border: whoever asks is refused, and a decision is demanded."""

from __future__ import annotations

import contextvars
import inspect
from datetime import date
from typing import Any, cast

import pytest

from pulsebase.access.service import Access
from pulsebase.authorization.store import PASSED_ON, AuthorizedStore
from pulsebase.model.annotations import Annotation
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Capabilities, Embedded, SeriesQuery, TotalsQuery
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.wrapper import CONTRACT
from tests.threats.conftest import Guarded

DECIDED = frozenset(vars(AuthorizedStore)) & CONTRACT
#: What asks nobody who they are, since it gives them nothing.
EMPTY = {"capabilities", "close"}

MINUTE = TimeRange(0, 60_000_000)
SUMMARY = DailySummary("bob", date(2024, 1, 15), 50.0, None)
BATCH = ReadingBatch.of_columns(["bob"], ["strap"], [1], [7000], None, 0)
#: For each parameter of the contract something that fits.
GIVEN: dict[str, Any] = {
    "user_id": "bob",
    "device_id": "strap",
    "interval": MINUTE,
    "query": SeriesQuery("bob", MINUTE, Resolution.RAW),
    "user_ids": ["bob"],
    "text": "",
    "limit": 1,
    "after": None,
    "first": date.min,
    "last": date.max,
    "readings": BATCH,
    "numbers": [1],
    "user": User("bob"),
    "users": [User("bob")],
    "priority": DevicePriority("bob", "strap", 1),
    "summaries": [SUMMARY],
    "batches": [BATCH],
    "origin": 1,
    "most": 1,
    "cancellation": None,
    "metric": "heart_rate",
    "metrics": ["heart_rate"],
    "annotation_id": "run",
    "annotations": [Annotation("bob", "run", 1, None, "a run")],
}


def test_every_promise_of_a_store_is_decided_on() -> None:
    undecided = {name for name in CONTRACT if type(vars(AuthorizedStore).get(name)).__name__ == "_Undecided"}
    assert undecided == set(), "override it in AuthorizedStore, or say in PASSED_ON why it tells of nobody"
    assert set(PASSED_ON) <= CONTRACT
    assert set(PASSED_ON) & DECIDED == set(), "both passed on and overridden"
    assert set(PASSED_ON) | DECIDED == CONTRACT
    assert all(PASSED_ON.values())


@pytest.mark.parametrize("name", sorted(DECIDED - EMPTY))
def test_what_is_not_passed_on_asks_who_the_caller_is(name: str, crowd: Guarded) -> None:
    access: Access = crowd.parts.services.access
    store = AuthorizedStore(MemoryStore(), access, crowd.parts.services.newcomers)
    method = getattr(store, name)
    given = {each: GIVEN[each] for each in inspect.signature(method).parameters}
    if name == "totals":
        given["query"] = TotalsQuery(MINUTE)
    with pytest.raises(LookupError, match="pulsebase_caller"):
        contextvars.Context().run(lambda: method(**given))


def test_what_a_store_can_do_besides_is_not_for_callers(crowd: Guarded) -> None:
    class Besides(MemoryStore):
        def capabilities(self) -> Capabilities:
            return Capabilities(writes_alone=True, embedded=cast(Embedded, self), erasure_log=lambda: cast(Any, None))

    store = AuthorizedStore(Besides(), crowd.parts.services.access, crowd.parts.services.newcomers)
    assert store.capabilities() == Capabilities(writes_alone=True)
