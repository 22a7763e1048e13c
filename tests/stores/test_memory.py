"""The memory store is the oracle of the others, so it also has to answer what was worked out by hand."""

from __future__ import annotations

import ast
import inspect

import pytest

from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import MINUTE_US, SECOND_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores import memory, memory_rows
from pulsebase.stores.memory import MemoryStore
from tests.stores.harness import Harness, Reading, StoredRow, ask, at, rows_of, span, write
from tests.stores.laws import StoreLaws
from tests.stores.machine import machine_of


class MemoryHarness(Harness):
    """There is no file to open again: the object is the data."""

    def __init__(self) -> None:
        self.store: MemoryStore = MemoryStore()

    def reopen(self) -> None:
        self.store.close()

    def back_door(self) -> list[StoredRow]:
        return [
            (user_id, device_id, time_us, kept.value, kept.confidence, metric, kept.origin)
            for user_id, readings in self.store._readings.items()
            for (time_us, device_id, metric), kept in readings.items()
        ]


class TestMemoryStore(StoreLaws, harness=MemoryHarness):
    pass


TestMemoryMachine = machine_of(MemoryHarness, max_examples=20)


def night() -> MemoryStore:
    """Two devices around midnight of a Berlin spring, a third one that never counts."""
    store = MemoryStore()
    midnight = at("2024-03-30T23:00:00")  # 2024-03-31T00:00 in Berlin, a day of 23 hours
    write(
        store,
        Reading(midnight - 1, 5000, "device_b"),
        Reading(midnight, 6050, "device_b", 1),
        Reading(midnight + 30 * SECOND_US, 6101),
        Reading(midnight + 59_999_999, 6203, confidence=3),
        Reading(midnight + 30 * SECOND_US, 22000, "strap", 0),
        Reading(midnight + MINUTE_US, 7000, "device_b"),
        Reading(midnight + 20 * MINUTE_US, 22000, "strap", 0),
        Reading(at("2024-03-31T21:59:59.999999"), 8000, "device_b"),
        Reading(at("2024-03-31T22:00:00"), 9000, "device_b"),
    )
    return store


BERLIN_DAY = span("2024-03-31T00:00:00", "2024-03-31T22:00:00")
BERLIN = "Europe/Berlin"


def test_a_night_by_hand() -> None:
    store = night()
    first, hour = at("2024-03-30T23:00:00"), 60 * MINUTE_US
    assert rows_of(ask(store, Resolution.RAW, span("2024-03-30T23:00:00", "2024-03-31T22:00:00"))) == [
        (first + 30_000_000, 6101, "device_a", None),
        (first + 59_999_999, 6203, "device_a", 3),
        (first + 60_000_000, 7000, "device_b", None),
        (first + 23 * hour - 1, 8000, "device_b", None),
    ]
    assert rows_of(ask(store, Resolution.HOUR, span("2024-03-30T22:30:00", "2024-03-31T00:00:00"))) == [
        (first - hour, 1, 5000, 5000, 5000, 1, None),
        (first, 3, 19304, 6101, 7000, 2, None),
    ]
    assert rows_of(ask(store, Resolution.DAY, BERLIN_DAY, zone=BERLIN)) == [(first, 4, 27304, 6101, 8000, 3, None)]


def test_a_night_by_hand_of_everything_and_of_one_device() -> None:
    store = night()
    first = at("2024-03-30T23:00:00")
    minute = TimeRange(first, first + MINUTE_US)
    assert rows_of(ask(store, Resolution.RAW, minute, include_all=True)) == [
        (first, 6050, "device_b", 1),
        (first + 30_000_000, 6101, "device_a", None),
        (first + 30_000_000, 22000, "strap", 0),
        (first + 59_999_999, 6203, "device_a", 3),
    ]
    assert rows_of(ask(store, Resolution.MINUTE, minute, include_all=True)) == [(first, 3, 18354, 6050, 6203, 1, None)]
    assert rows_of(ask(store, Resolution.MINUTE, minute, device_id="device_b")) == [
        (first, 1, 6050, 6050, 6050, 1, "device_b")
    ]
    assert rows_of(ask(store, Resolution.DAY, BERLIN_DAY, zone=BERLIN, include_all=True)) == [
        (first, 5, 33354, 6050, 8000, 3, None)
    ]


def test_a_night_by_hand_with_another_priority_from_its_second_minute_on() -> None:
    store = night()
    first = at("2024-03-30T23:00:00")
    store.put_priority(DevicePriority("ann", "device_a", 3, first + 1))
    assert rows_of(ask(store, Resolution.DAY, BERLIN_DAY, zone=BERLIN))[0][1:3] == (4, 27304)
    store.put_priority(DevicePriority("ann", "device_a", 3, first))
    assert rows_of(ask(store, Resolution.DAY, BERLIN_DAY, zone=BERLIN)) == [(first, 3, 21050, 6050, 8000, 3, None)]


def nodes_of_the_oracle() -> list[ast.AST]:
    return [node for module in (memory, memory_rows) for node in ast.walk(ast.parse(inspect.getsource(module)))]


def test_the_oracle_shares_no_code_with_what_it_judges() -> None:
    nodes = nodes_of_the_oracle()
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not {"pulsebase.model.rollups", "pulsebase.model.resolution", "pulsebase.model"} & modules


def test_the_oracle_takes_no_more_than_the_name_of_a_rung() -> None:
    nodes = nodes_of_the_oracle()
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    taken = [ast.unparse(node) for node in attributes if ast.unparse(node.value) == "query.resolution"]
    assert set(taken) == {"query.resolution.value"}
    assert len(taken) == sum(node.attr == "resolution" for node in attributes)
    assert not {"step_us", "widened"} & {node.attr for node in attributes}


@pytest.mark.parametrize(
    "changes",
    [
        {"test_losers_stay_stored": print},
        {"harness": None},
        {"pytestmark": pytest.mark.skip},
        {"__test__": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_no_backend_may_change_the_suite(changes: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(changes))):
        type("Tampered", (StoreLaws,), changes, harness=MemoryHarness)
    mixin = type("Mixin", (), changes)
    with pytest.raises(TypeError, match="Mixin"):
        type("Tampered", (mixin, StoreLaws), {}, harness=MemoryHarness)
