"""The limit on the devices of a person, at its edges."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pulsebase.ingest.device_limit import DeviceLimit
from pulsebase.model.readings import ReadingBatch


class Stored:
    """What a store knows, and how often it was asked."""

    def __init__(self, **devices: Sequence[str]) -> None:
        self.devices, self.asked = {user_id: set(ids) for user_id, ids in devices.items()}, 0
        self.now_s = 0.0

    def devices_of(self, user_id: str) -> set[str]:
        self.asked += 1
        return self.devices.get(user_id, set())

    def limit(self, most: int) -> DeviceLimit:
        return DeviceLimit(self.devices_of, most, lambda: self.now_s)


def batch(*device_ids: str, user_id: str = "ann") -> ReadingBatch:
    count = len(device_ids)
    return ReadingBatch.of_columns([user_id] * count, device_ids, range(count), [6000] * count, None, 1)


def refused(limit: DeviceLimit, rows: ReadingBatch) -> list[int]:
    beyond = limit.beyond(rows)
    return [] if beyond is None else beyond.nonzero()[0].tolist()


def test_rows_of_a_device_are_refused_together_and_those_before_the_limit_taken() -> None:
    limit = Stored().limit(2)
    assert refused(limit, batch("a", "b", "c", "a", "c", "b")) == [2, 4]
    assert refused(limit, batch("c", "a")) == [0]
    assert refused(limit, batch("c", user_id="bob")) == []


def test_what_the_store_knows_counts_and_passes() -> None:
    limit = Stored(ann=["a", "b", "c"]).limit(2)
    assert refused(limit, batch("c", "new", "a", "b")) == [1]


def test_the_store_is_not_asked_about_people_of_few_devices() -> None:
    stored = Stored(ann=["a"])
    limit = stored.limit(300)
    for _ in range(5):
        assert refused(limit, batch("a", "b", "c")) == []
    assert stored.asked == 0
    assert refused(limit, batch(*[f"d{number:03}" for number in range(297)])) == []
    assert stored.asked == 1
    assert refused(limit, batch("one more")) == [0]


def test_before_a_refusal_the_store_is_asked_again_once_a_second() -> None:
    stored = Stored(ann=["a", "b"])
    limit = stored.limit(2)
    assert refused(limit, batch("c")) == [0]
    limit.written()
    stored.devices["ann"].remove("a")
    assert refused(limit, batch("c")) == [0], "asked within this second"
    assert stored.asked == 1
    stored.now_s = 1.0
    assert refused(limit, batch("c", "d")) == [1]
    assert stored.asked == 2


def test_devices_of_a_commit_that_lasts_count_before_the_store_knows_them() -> None:
    stored = Stored()
    limit = stored.limit(2)
    assert refused(limit, batch("a", "b")) == []
    stored.now_s = 5.0
    assert refused(limit, batch("c")) == [0]
    limit.written()
    stored.now_s = 10.0
    assert refused(limit, batch("c")) == [], "the store says that it has neither of the two"


@pytest.mark.parametrize("taken", [True, False])
def test_after_a_commit_that_failed_the_store_tells_what_is_there(*, taken: bool) -> None:
    stored = Stored()
    limit = stored.limit(2)
    assert refused(limit, batch("a", "b")) == []
    stored.devices["ann"] = {"a", "b"} if taken else set()
    limit.forget()
    assert refused(limit, batch("c")) == ([0] if taken else [])
