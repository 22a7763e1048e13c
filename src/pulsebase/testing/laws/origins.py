"""A reading belongs to the origin that brought it, and is deleted with it."""

from __future__ import annotations

import pytest

from pulsebase.model.timerange import (
    HOUR_US,
    MINUTE_US,
    TimeRange,
)
from pulsebase.model.users import User
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, batch_of, rows_of, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import TEN, THAT_DAY, day_figures, raw, settled_or_not, states


class OriginLaws(LawsOfOneStore):
    """A reading belongs to the origin that brought it, and is deleted with it."""

    def test_an_origin_has_one_number_for_good(self, harness: Harness) -> None:
        names = [("push", "watch"), ("push", "strap"), ("import", "watch"), ("pus", "hwatch")]
        numbers = [harness.store.register_origin(*name) for name in names]
        assert len(set(numbers)) == len(names)
        for store in states(harness):
            assert [store.register_origin(*name) for name in reversed(names)] == numbers[::-1]
        assert harness.store.register_origin("sync", "later") not in numbers

    @settled_or_not
    def test_an_origin_goes_with_what_is_stored_of_it_and_nothing_else(self, harness: Harness, settled: bool) -> None:
        store = harness.store
        watch, file = store.register_origin("push", "watch"), store.register_origin("import", "file")
        mine = [Reading(TEN + n * MINUTE_US, 9000 + n, "device_a", n % 4) for n in range(200)]
        store.write([batch_of([Reading(TEN, 7000), Reading(TEN + 1, 7000)], watch), batch_of(mine, file)])
        if settled:
            harness.settle()
        # It came again from the watch, with the device of the import: it belongs to the watch now.
        store.write([batch_of([Reading(TEN + MINUTE_US, 7100)], watch)])
        gone = [store.delete_origin(file, 150), store.delete_origin(file, 150), store.delete_origin(file, 150)]
        assert gone == [150, 49, 0]
        for each in states(harness):
            # The reading at ten o'clock that the import had replaced does not come back.
            assert raw(each) == [(1, 7000, "device_a"), (MINUTE_US, 7100, "device_a")]
            assert day_figures(each) == (2, 14100, 7000, 7100, 2)
            assert each.delete_origin(file, 150) == 0
            assert each.check().problems == ()

    @settled_or_not
    def test_an_origin_may_bring_its_readings_again(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 7000, user_id="bob"))
        origin = harness.store.register_origin("test", "laws")
        assert harness.store.delete_origin(origin, 10) == 2
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 7200))
        for store in states(harness):
            assert raw(store) == [(0, 7200, "device_a")]
            assert store.user("bob") == User("bob")
            assert [each.number for each in store.origins()] == [origin]
            assert store.origin_readings([origin]) == {origin: 1}

    def test_origins_say_what_is_stored_of_them_now(self, harness: Harness) -> None:
        store = harness.store
        watch, file = store.register_origin("push", "watch"), store.register_origin("import", "file")
        store.write([batch_of([Reading(TEN + n, 7000) for n in range(5)], watch)])
        harness.settle()
        store.write([batch_of([Reading(TEN + n, 7000) for n in range(3, 10)], file)])
        store.delete("ann", TimeRange(TEN + 9, TEN + 10))
        for each in states(harness):
            found = [(origin.number, origin.kind, origin.name) for origin in each.origins()]
            assert found == [(watch, "push", "watch"), (file, "import", "file")]
            assert each.origin_readings([watch, file]) == {watch: 5, file: 4}
            assert each.origin_readings([file]) == {file: 4}
            assert each.origin_readings([]) == {}
            assert each.origin_readings([file + 1]) == {file + 1: 0}
            assert all(origin.received_us > THAT_DAY.end_us for origin in each.origins())

    @settled_or_not
    def test_undoing_a_second_import_of_the_same_file_leaves_the_first(self, harness: Harness, settled: bool) -> None:
        store = harness.store
        first, second = store.register_origin("import", "file"), store.register_origin("import", "file, again")
        rows = [Reading(TEN + n * MINUTE_US, 7000 + n, confidence=(None, 0, 3)[n % 3]) for n in range(30)]
        for origin in (first, second):
            store.write([batch_of(rows, origin)])
            if settled:
                harness.settle()
        for each in states(harness):
            assert each.origin_readings([first, second]) == {first: 30, second: 0}
            assert {row[-1] for row in harness.back_door()} == {first}
            assert each.delete_origin(second, 1000) == 0
            assert each.stored().num_rows == 30
        assert harness.store.delete_origin(first, 1000) == 30
        assert harness.store.stored().num_rows == 0

    @settled_or_not
    @pytest.mark.parametrize(
        ("writes", "owner"),
        [
            ("i70 j70", "i"),  # an import finds what another one stored
            ("i70 s70", "i"),  # so does a sync
            ("s70 i70", "s"),
            ("p70 i70", "p"),  # an import finds what a device sent
            ("i70 p70", "p"),  # a device sends what an import stored: it was acknowledged
            ("i70 p70 j70", "p"),
            ("p70 q70", "q"),
            ("i70 j71", "j"),  # another value
            ("i70 j71 i70", "i"),
            ("i70 j71 k70", "k"),  # the earlier value differs from the one stored then
            ("p70 i71 j70", "j"),
            ("p70 i71 p70", "p"),
            ("i70 j70/2", "j"),  # another confidence
            ("i70/0 j70", "j"),
            ("i70/2 j70/2", "i"),
            ("i70 x j70", "j"),  # deleted in between
            ("i70 j70 x j70 i70", "j"),
            ("p70 x i70", "i"),
            ("i70 j70 k71 j71 i71", "k"),
            ("i70 !j70", "j"),  # written as new
            ("p70 !i70 j70", "i"),
            ("i70 !j70 k71 !i71", "i"),
        ],
    )
    def test_a_reading_belongs_to_what_brought_it(
        self, harness: Harness, settled: bool, writes: str, owner: str
    ) -> None:
        kinds = {"i": "import", "j": "import", "k": "import", "s": "sync", "p": "push", "q": "push"}
        named = {"idle": "import"} | {name: kind for name, kind in kinds.items() if name in writes}
        numbers = {name: harness.store.register_origin(kind, name) for name, kind in named.items()}
        for said in writes.split():
            if said == "x":
                harness.store.delete("ann", THAT_DAY)
            else:
                of = said.removeprefix("!")
                value, _, confidence = of[1:].partition("/")
                reading = Reading(TEN, int(value) * 100, confidence=int(confidence) if confidence else None)
                write = harness.store.write if of == said else harness.store.write_afresh
                write([batch_of([reading], numbers[of[0]])])
            if settled:
                harness.settle()
        for store in states(harness):
            assert [row[-1] for row in harness.back_door()] == [numbers[owner]]
            assert [row[-1] for row in rows_of(store.stored())] == [numbers[owner]]
            counts = store.origin_readings(list(numbers.values()))
            assert [number for number, count in counts.items() if count] == [numbers[owner]]
        for name in [name for name in numbers if name != owner] + [owner]:
            assert harness.store.delete_origin(numbers[name], 10) == (name == owner)

    @pytest.mark.parametrize(
        ("writes", "owner"),
        [("i70 j70", "i"), ("i71 j70", "j"), ("i70 j71 k70", "k"), ("p70 i70", "p"), ("i71 p70 j70", "p")],
    )
    @pytest.mark.parametrize("base", [None, "i70", "j70", "p70", "k71"])
    def test_rows_of_one_commit_follow_each_other(
        self, harness: Harness, base: str | None, writes: str, owner: str
    ) -> None:
        """Compare with separate commits."""
        names = sorted({said[0] for said in [*writes.split(), base or "k"]})
        numbers = {name: harness.store.register_origin("push" if name == "p" else "import", name) for name in names}
        batches = {
            said: batch_of([Reading(TEN, int(said[1:]) * 100)], numbers[said[0]])
            for said in [*writes.split(), *([base] if base else [])]
        }
        if base is not None:
            harness.store.write([batches[base]])
            unchanged = len({said[1:] for said in [base, *writes.split()]}) == 1
            owner = base[0] if unchanged and owner != "p" else owner
        harness.store.write([batches[said] for said in writes.split()])
        for store in states(harness):
            assert [row[-1] for row in harness.back_door()] == [numbers[owner]]
            assert [row[-1] for row in rows_of(store.stored())] == [numbers[owner]]
            counts = store.origin_readings(list(numbers.values()))
            assert [number for number, count in counts.items() if count] == [numbers[owner]]

    @settled_or_not
    def test_what_stands_of_readings_is_told_row_by_row(self, harness: Harness, settled: bool) -> None:
        store = harness.store
        watch, file = store.register_origin("push", "watch"), store.register_origin("import", "file")
        store.write([batch_of([Reading(TEN, 7000, confidence=2), Reading(TEN + 1, 7001, "strap")], watch)])
        if settled:
            harness.settle()
        store.write([batch_of([Reading(TEN, 7000, confidence=2), Reading(TEN + 1, 9001, "strap")], file)])
        store.write([batch_of([Reading(TEN + HOUR_US, 8000), Reading(TEN + 2 * HOUR_US, 8000, user_id="bob")], file)])
        store.delete("ann", TimeRange(TEN + HOUR_US, TEN + HOUR_US + 1))
        asked = [
            Reading(TEN + 2 * HOUR_US, 0, user_id="bob"),
            Reading(TEN + 2 * HOUR_US, 0),
            Reading(TEN, 0),
            Reading(TEN, 0, "strap"),
            Reading(TEN + 1, 0, "strap"),
            Reading(TEN, 0, "Strap"),
            Reading(TEN + 1, 0),
            Reading(TEN + HOUR_US, 0),
            Reading(TEN, 0, user_id="nobody"),
            Reading(TEN, 0),
            Reading(0, 0),
        ]
        for each in states(harness):
            found = each.stored_values(batch_of(asked, file))
            assert found.there.tolist() == [row in (0, 2, 4, 9) for row in range(len(asked))]
            columns = (found.values, found.confidences, found.origins)
            rows = [[int(column[row]) for column in columns] for row in (0, 2, 4, 9)]
            assert rows == [[8000, -1, file], [7000, 2, watch], [9001, -1, file], [7000, 2, watch]]
            assert len(each.stored_values(batch_of([], file)).there) == 0
            assert not each.stored_values(batch_of([Reading(TEN, 0, user_id="nobody")], file)).there.any()
