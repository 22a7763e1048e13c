"""Questions of people, answered from a store."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pulsebase.model.errors import RejectedError, TooManyRowsError, UnknownUserError
from pulsebase.model.metrics import HEART_RATE, RR_INTERVAL, MetricSpec
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import SECOND_US
from pulsebase.query.plan import QueryLimits, SeriesQuestion
from pulsebase.query.series import SeriesService
from pulsebase.stores.memory import MemoryStore

TEN_US = 1_705_312_800 * SECOND_US
TEN = SeriesQuestion("2024-01-15T10:00:00Z", "2024-01-15T10:01:00Z", interval=Resolution.RAW)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for user_id in ("ann", "bob", "carl"):
        times = [TEN_US + place * SECOND_US for place in range(60)]
        store.write([ReadingBatch.of_columns([user_id] * 60, ["device_a"] * 60, times, [6001] * 60, None, 1)])
    return store


@pytest.fixture
def service_of(store: MemoryStore) -> Iterator[Callable[[QueryLimits], SeriesService]]:
    made: list[SeriesService] = []

    def make(limits: QueryLimits) -> SeriesService:
        made.append(SeriesService(store, limits))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(service_of: Callable[[QueryLimits], SeriesService]) -> SeriesService:
    return service_of(QueryLimits(max_rows=100, max_people=2))


def test_values_are_in_the_unit_that_people_read(service: SeriesService) -> None:
    (person,) = service.one("ann", TEN).series
    assert (person.user_id, len(person)) == ("ann", 60)
    assert set(person.columns["value"].to_pylist()) == {60.01}
    minutes = SeriesQuestion(TEN.start, TEN.end, interval=Resolution.MINUTE)
    (person,) = service.one("ann", minutes).series
    assert person.columns["avg"].to_pylist() == [60 * 6001 / (100 * 60)]


def test_somebody_unknown_is_an_error_alone_and_missing_among_others(service: SeriesService) -> None:
    with pytest.raises(UnknownUserError):
        service.one("nobody", TEN)
    with pytest.raises(UnknownUserError):
        service.require("nobody")
    answer = service.many(["nobody", "ann"], TEN, 10, None)
    assert ([person.user_id for person in answer.series], answer.missing) == (["ann"], ("nobody",))


def test_a_wrong_question_is_refused_before_anybody_is_looked_up(service: SeriesService) -> None:
    with pytest.raises(RejectedError):
        service.one("nobody", SeriesQuestion("soon", "later"))


def test_the_row_limit_holds_for_one_and_for_all_together(service: SeriesService) -> None:
    with pytest.raises(TooManyRowsError) as caught:
        service.many(["ann", "bob"], TEN, 10, None)
    assert caught.value.errors[0].field == "user_ids"


def test_more_people_than_the_limit_are_refused(service: SeriesService) -> None:
    with pytest.raises(RejectedError):
        service.many(["ann", "bob", "carl"], TEN, 10, None)
    assert len(service.many(["ann", "ann", "ann"], TEN, 10, None).series) == 1


def test_everybody_comes_in_pages(service_of: Callable[[QueryLimits], SeriesService]) -> None:
    service = service_of(QueryLimits())
    first = service.many(None, TEN, 2, None)
    rest = service.many(None, TEN, 2, first.next_cursor)
    assert [person.user_id for person in first.series] == ["ann", "bob"]
    assert ([person.user_id for person in rest.series], rest.next_cursor) == (["carl"], None)


def test_where_one_person_is_too_dense_all_step_up(
    store: MemoryStore, service_of: Callable[[QueryLimits], SeriesService]
) -> None:
    times = [TEN_US + place * 100_000 for place in range(600)]
    store.write([ReadingBatch.of_columns(["bob"] * 600, ["device_a"] * 600, times, [7000] * 600, None, 1)])
    question = SeriesQuestion(TEN.start, TEN.end, max_points=60)
    answer = service_of(QueryLimits()).many(["ann", "bob"], question, 10, None)
    assert answer.plan.resolution is Resolution.SECOND
    assert [len(person) for person in answer.series] == [60, 60]


@pytest.mark.parametrize("metrics", [(HEART_RATE, RR_INTERVAL), (RR_INTERVAL, HEART_RATE)])
def test_where_one_metric_is_too_dense_all_step_up(
    store: MemoryStore, service_of: Callable[[QueryLimits], SeriesService], metrics: tuple[MetricSpec, ...]
) -> None:
    times = [TEN_US + place * 500_000 for place in range(120)]
    store.write(
        [ReadingBatch.of_columns(["ann"] * 120, ["strap"] * 120, times, [5000] * 120, None, 1, RR_INTERVAL.name)]
    )
    service, held = service_of(QueryLimits()), list[int]()
    question = SeriesQuestion(TEN.start, TEN.end, max_points=60)
    answers = service.several(metrics, question, partial(service.one, "ann"), held.append)
    assert [answer.plan.question.metric for answer in answers] == list(metrics)
    assert [(answer.plan.resolution, len(answer.series[0])) for answer in answers] == [(Resolution.SECOND, 60)] * 2
    assert held[-1] == 120
