"""Laws 9 and 10: empty answers, schemas, limits, and answers that stay unchanged afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from pulsebase.model.errors import QueryCancelledError, QueryTimeoutError, TooManyRowsError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import (
    DAY_US,
    SECOND_US,
    TimeRange,
)
from pulsebase.model.users import DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    STORED_SCHEMA,
    Cancellation,
    SeriesQuery,
    Store,
    TotalsQuery,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, last_time_us, metric_under_test, span, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import DAY, HOUR, RAW, TEN, THAT_DAY, scattered, states, states_and


class AnswerLaws(LawsOfOneStore):
    """Laws 9 and 10: empty answers, schemas, limits, and answers that stay unchanged afterwards."""

    def test_nothing_there_is_an_empty_answer_with_the_full_schema(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        elsewhere = span("2023-01-01", "2023-01-02")
        for store, rung in states_and(harness, Resolution):
            for answer in (
                ask(store, rung, THAT_DAY, user_id="nobody"),
                ask(store, rung, THAT_DAY, user_id="nobody", include_all=True),
                ask(store, rung, THAT_DAY, device_id="no_such_device"),
                ask(store, rung, elsewhere),
                ask(store, rung, elsewhere, include_all=True),
            ):
                assert answer.num_rows == 0, rung
                assert answer.schema.equals(RAW_SCHEMA if rung is RAW else BUCKET_SCHEMA, check_metadata=True), rung

    def test_every_store_answers_in_the_same_schema(self, harness: Harness) -> None:
        """Compare names, order, types, nullability and metadata exactly, so that no two stores differ."""
        write(harness.store, *scattered(2, 50, THAT_DAY))
        for store, rung in states_and(harness, Resolution):
            for answer in (
                ask(store, rung, THAT_DAY),
                ask(store, rung, THAT_DAY, include_all=True),
                ask(store, rung, THAT_DAY, device_id="strap"),
            ):
                assert answer.num_rows > 0, rung
                assert answer.schema.equals(RAW_SCHEMA if rung is RAW else BUCKET_SCHEMA, check_metadata=True), rung

    def test_every_store_exports_in_the_same_schema(self, harness: Harness) -> None:
        for store in states(harness):
            assert store.stored().num_rows == 0
            assert store.stored().schema.equals(STORED_SCHEMA, check_metadata=True)
        write(harness.store, Reading(TEN, 7000))
        for store in states(harness):
            assert store.stored().num_rows == 1
            assert store.stored().schema.equals(STORED_SCHEMA, check_metadata=True)

    def test_a_question_gives_up_at_its_time_limit(self, harness: Harness) -> None:
        write(harness.store, *(Reading(TEN + n * SECOND_US, 6000) for n in range(100)))
        for rung in Resolution:
            days = (THAT_DAY.start_us, THAT_DAY.end_us) if rung is DAY else ()
            query = SeriesQuery("ann", THAT_DAY, rung, day_starts=days, timeout_s=1e-9, metric=metric_under_test())
            with pytest.raises(QueryTimeoutError):
                harness.store.series(query)
            assert harness.store.series(replace(query, timeout_s=60.0)).num_rows > 0, rung
        with pytest.raises(QueryTimeoutError):
            harness.store.totals(TotalsQuery(THAT_DAY, timeout_s=1e-9, metric=metric_under_test()))
        assert harness.store.totals(TotalsQuery(THAT_DAY, timeout_s=60.0, metric=metric_under_test())).num_rows == 1

    def test_a_question_that_was_taken_back_is_not_answered(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 6000))
        cancellation = Cancellation()
        cancellation.cancel()
        with pytest.raises(QueryCancelledError):
            harness.store.series(
                SeriesQuery("ann", THAT_DAY, HOUR, cancellation=cancellation, metric=metric_under_test())
            )
        with pytest.raises(QueryCancelledError):
            harness.store.totals(TotalsQuery(THAT_DAY, cancellation=cancellation, metric=metric_under_test()))
        with pytest.raises(QueryCancelledError):
            harness.store.origin_readings([1], cancellation)

    def test_an_empty_store_knows_nobody(self, harness: Harness) -> None:
        for store in states(harness):
            assert store.user("ann") is None
            assert store.overview("ann") is None
            assert store.users("", 10, None) == []
            assert store.priorities("ann") == []
            assert store.summaries("ann", date.min, date.max) == []
            assert last_time_us(store, "ann", "device_a") is None
            assert harness.back_door() == []

    def test_one_row_over_the_limit_is_refused(self, harness: Harness) -> None:
        write(harness.store, *(Reading(TEN + n * DAY_US, 7000) for n in range(3)))
        harness.settle()
        write(harness.store, *(Reading(TEN + n * DAY_US, 7000) for n in range(3, 5)))
        days = TimeRange(TEN, TEN + 5 * DAY_US)
        for store, rung in states_and(harness, Resolution):
            assert ask(store, rung, days, limit=5).num_rows == 5, rung
            with pytest.raises(TooManyRowsError):
                ask(store, rung, days, limit=4)
            assert ask(store, rung, days, limit=1, user_id="nobody").num_rows == 0, rung

    def test_what_was_answered_never_changes(self, store: Store) -> None:
        write(store, Reading(TEN, 7000))
        store.put_priority(DevicePriority("ann", "device_a", 4))
        answers = (ask(store, RAW, THAT_DAY), ask(store, HOUR, THAT_DAY), store.stored())
        before = [answer.to_pylist() for answer in answers]
        overviews, priorities, numbers = store.users("", 10, None), store.priorities("ann"), store.statistics()
        write(store, Reading(TEN, 9000), Reading(TEN + 1, 9000))
        store.put_priority(DevicePriority("ann", "device_a", 5))
        assert [answer.to_pylist() for answer in answers] == before
        assert overviews == [UserOverview(User("ann"), 1, TEN, TEN)]
        assert priorities == [DevicePriority("ann", "device_a", 4)]
        overviews.clear()
        priorities.clear()
        numbers.clear()
        assert store.users("", 10, None) == [UserOverview(User("ann"), 2, TEN, TEN + 1)]
        assert store.priorities("ann") == [DevicePriority("ann", "device_a", 5)]
        assert store.statistics()

    def test_nothing_is_left_unmerged_once_settled(self, harness: Harness) -> None:
        write(harness.store, *scattered(7, 100, THAT_DAY))
        harness.store.delete("ann", span("2024-01-15T03:00:00", "2024-01-15T05:30:00"))
        harness.settle()
        statistics = harness.store.statistics()
        assert (statistics["unmerged_rows"], statistics["merge_lag_seconds"]) == (0, 0)
        assert statistics["readings"] == len(harness.back_door())
        assert statistics["size_bytes"] >= 0

    def test_an_open_store_answers_a_ping(self, harness: Harness) -> None:
        for store in states(harness):
            store.ping()

    def test_closing_twice_is_closing_once(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.close()
        harness.store.close()
        harness.reopen()
        assert len(harness.back_door()) == 1
        assert isinstance(harness.store.stored(), pa.Table)
