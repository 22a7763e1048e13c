"""Slow questions are told, and nobody's id with them."""

from __future__ import annotations

import logging
import re

import pytest

from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import MINUTE_US
from pulsebase.stores.contract import SeriesQuery, TotalsQuery
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.metered import MeteredStore
from tests.stores.harness import Reading, at, span, write

DAY = span("2024-01-15", "2024-01-16")
TEN = at("2024-01-15T10:00:00")
EVERY_QUESTION_MS = 1e-6


def stocked(slow_query_ms: float) -> MeteredStore:
    store = MeteredStore(MemoryStore(), slow_query_ms)
    write(store, Reading(TEN, 7012), Reading(TEN + MINUTE_US, 7013))
    return store


def ask(store: MeteredStore, limit: int | None = None) -> None:
    store.series(SeriesQuery("ann", DAY, Resolution.MINUTE, limit=limit))
    store.totals(TotalsQuery(DAY))
    store.series(SeriesQuery("ann", DAY, Resolution.HOUR, kind="top_hours"))
    store.user("ann")


def test_a_slow_question_is_logged_with_what_it_was_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ask(stocked(EVERY_QUESTION_MS))
    lines = [re.sub(r"elapsed_ms=\d+", "elapsed_ms=N", record.getMessage()) for record in caplog.records]
    assert lines == [
        "slow query: kind=series rung=1m period_s=86400 rows=2 outcome=answered elapsed_ms=N",
        "slow query: kind=totals period_s=86400 rows=1 outcome=answered elapsed_ms=N",
        "slow query: kind=top_hours rung=1h period_s=86400 rows=1 outcome=answered elapsed_ms=N",
        "slow query: kind=user outcome=answered elapsed_ms=N",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_a_slow_question_that_fails_is_logged_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(TooManyRowsError):
        ask(stocked(EVERY_QUESTION_MS), limit=1)
    (record,) = caplog.records
    assert "kind=series rung=1m period_s=86400 outcome=rejected" in record.getMessage()


@pytest.mark.parametrize("slow_query_ms", [0, 3_600_000])
def test_quick_questions_are_not_logged_and_zero_logs_none(
    caplog: pytest.LogCaptureFixture, slow_query_ms: float
) -> None:
    with caplog.at_level(logging.INFO):
        ask(stocked(slow_query_ms))
    assert caplog.records == []
