"""A reading belongs to the origin that brought it, and is deleted with it."""

from __future__ import annotations

from itertools import product

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    TimeRange,
)
from pulsebase.model.users import User
from pulsebase.stores.contract import OriginExtent
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, StoredRow, batch_of, rows_of, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import TEN, THAT_DAY, day_figures, raw, settled_or_not, states

#: Who writes are of: imports, a sync and devices that push.
_KINDS = {"i": "import", "j": "import", "k": "import", "s": "sync", "p": "push", "q": "push"}
#: Writes of one reading, one commit each, and whose it is in the end. A write is its origin, its value and `/` its
#: confidence; `!` says that it is written afresh, and `x` deletes the reading.
SEQUENCES = [
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
]
#: The same of one commit.
COMMITS = [("i70 j70", "i"), ("i71 j70", "j"), ("i70 j71 k70", "k"), ("p70 i70", "p"), ("i71 p70 j70", "p")]


def registered(harness: Harness) -> dict[str, int]:
    """Return the number of each origin, and of one that brings nothing."""
    return {name: harness.store.register_origin(kind, name) for name, kind in ({"idle": "import"} | _KINDS).items()}


def id_for(writes: str) -> str:
    """Return an id for the person of a case."""
    return "".join(character if character.isalnum() else "_" for character in writes)


def batch_said(user_id: str, said: str, numbers: dict[str, int]) -> ReadingBatch:
    """Return the batch of a write of the person's reading."""
    value, _, confidence = said[1:].partition("/")
    reading = Reading(TEN, int(value) * 100, confidence=int(confidence) if confidence else None, user_id=user_id)
    return batch_of([reading], numbers[said[0]])


def owners_of(rows: list[StoredRow]) -> dict[str, int]:
    """Return the origin of each person's one reading."""
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[-1] for row in rows}


def assert_owned(harness: Harness, owners: dict[str, int], numbers: dict[str, int]) -> None:
    """Check whose the readings are, by every way to ask, in every state of the store."""
    counts = {number: list(owners.values()).count(number) for number in numbers.values()}
    for store in states(harness):
        assert owners_of(harness.back_door()) == owners
        assert {row[0]: row[-1] for row in rows_of(store.stored())} == owners
        assert store.origin_readings(list(numbers.values())) == counts


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
            extents = [OriginExtent(watch, 5, TEN, TEN + 4), OriginExtent(file, 4, TEN + 5, TEN + 8)]
            assert each.origin_extents("ann") == extents
            assert each.origin_extents("nobody") == []

    def test_what_origins_brought_of_a_person_is_told_over_days_devices_and_metrics(self, harness: Harness) -> None:
        store = harness.store
        watch, file, other = (store.register_origin("import", name) for name in ("watch", "file", "other"))
        hour = [Reading(TEN + n * MINUTE_US, 7000 + n, "device_a") for n in range(60)]
        store.write([batch_of(hour, watch)])
        store.write([batch_of([each._replace(time_us=each.time_us + DAY_US) for each in hour], file)])
        harness.settle()
        # In one hour of several origins: a value that another file changes, and a device of its own.
        store.write(
            [batch_of([Reading(TEN + 9 * MINUTE_US, 9900, "device_a"), Reading(TEN - 1, 7000, "strap")], other)]
        )
        harness.settle()
        store.write([batch_of([Reading(TEN + 2 * DAY_US, 3000, "ring")], other, "hrv_rmssd")])
        store.write([batch_of([Reading(TEN + 30 * MINUTE_US, 7000, user_id="bob")], other)])
        # Sent again as it is stored: it stays with what brought it.
        store.write([batch_of([hour[5]._replace(time_us=hour[5].time_us + DAY_US)], other)])
        store.delete("ann", TimeRange(TEN, TEN + 1))
        for each in states(harness):
            assert each.origin_extents("ann") == [
                OriginExtent(watch, 58, TEN + MINUTE_US, TEN + 59 * MINUTE_US),
                OriginExtent(file, 60, TEN + DAY_US, TEN + DAY_US + 59 * MINUTE_US),
                OriginExtent(other, 3, TEN - 1, TEN + 2 * DAY_US),
            ]
            assert each.origin_extents("bob") == [OriginExtent(other, 1, TEN + 30 * MINUTE_US, TEN + 30 * MINUTE_US)]
        harness.store.remove_user("bob")
        assert harness.store.origin_extents("bob") == []

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
    def test_a_reading_belongs_to_what_brought_it(self, harness: Harness, settled: bool) -> None:
        """Each case has a person of its own; the n-th writes of all cases come together."""
        numbers = registered(harness)
        cases = {id_for(writes): (writes.split(), owner) for writes, owner in SEQUENCES}
        owners = {user_id: numbers[owner] for user_id, (_, owner) in cases.items()}
        for turn in range(max(len(writes) for writes, _ in cases.values())):
            said_by_user = {user_id: writes[turn] for user_id, (writes, _) in cases.items() if turn < len(writes)}
            for user_id in (user_id for user_id, said in said_by_user.items() if said == "x"):
                harness.store.delete(user_id, THAT_DAY)
            afresh = {user_id: said[1:] for user_id, said in said_by_user.items() if said.startswith("!")}
            others = {user_id: said for user_id, said in said_by_user.items() if said[0] not in "!x"}
            harness.store.write([batch_said(user_id, said, numbers) for user_id, said in others.items()])
            harness.store.write_afresh([batch_said(user_id, said, numbers) for user_id, said in afresh.items()])
            if settled:
                harness.settle()
        assert_owned(harness, owners, numbers)
        for name, number in numbers.items():
            mine = {user_id for user_id, owner in owners.items() if owner == number}
            assert harness.store.delete_origin(number, 100) == len(mine), name
            owners = {user_id: owner for user_id, owner in owners.items() if user_id not in mine}
            assert owners_of(harness.back_door()) == owners

    def test_rows_of_one_commit_follow_each_other(self, harness: Harness) -> None:
        """Compare with separate commits. Each case has a person of its own, whose rows follow each other."""
        numbers = registered(harness)
        owners, bases, batches = dict[str, int](), [], []
        for base, (writes, last) in product([None, "i70", "j70", "p70", "k71"], COMMITS):
            user_id, owner = id_for(f"{base} {writes}"), last
            if base is not None:
                bases.append(batch_said(user_id, base, numbers))
                unchanged = len({said[1:] for said in [base, *writes.split()]}) == 1
                owner = base[0] if unchanged and last != "p" else last
            owners[user_id] = numbers[owner]
            batches += [batch_said(user_id, said, numbers) for said in writes.split()]
        harness.store.write(bases)
        harness.store.write(batches)
        assert_owned(harness, owners, numbers)

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
