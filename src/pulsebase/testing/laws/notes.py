"""Whatever changes answers about readings is noted with the commit that changes it, where somebody wants to know."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pulsebase.model.timerange import MINUTE_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.contract import CommitNote, CommitNotes, Store
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, metric_under_test, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import TEN, settled_or_not


class NoteLaws(LawsOfOneStore):
    """Whatever changes answers about readings is noted with the commit that changes it."""

    @settled_or_not
    def test_each_commit_is_noted_and_no_restart_loses_a_note(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000))
        _notes_of(harness.store).want(True)
        assert _notes_of(harness.store).notes(10) == []
        write(harness.store, Reading(TEN + MINUTE_US, 7000), Reading(TEN, 7100), Reading(TEN + 5, 7200, user_id="bob"))
        if settled:
            harness.settle()
        harness.reopen()
        write(harness.store, Reading(TEN + 2 * MINUTE_US, 7000))
        if settled:
            harness.settle()
        found = _notes_of(harness.store).notes(10)
        assert _spans(found, "bob") == [(metric_under_test(), TEN + 5, TEN + 6, 1)]
        assert _covered(found, "ann") == (TEN, TEN + 2 * MINUTE_US + 1)
        assert sum(note.readings for note in found if note.user_id == "ann") == 3
        _notes_of(harness.store).drop([note.number for note in found])
        write(harness.store, Reading(TEN + 7, 7000))
        harness.reopen()
        assert _spans(_notes_of(harness.store).notes(10), "ann") == [(metric_under_test(), TEN + 7, TEN + 8, 1)]

    def test_what_is_deleted_or_counts_anew_is_noted(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + MINUTE_US, 7100, "device_b"))
        notes = _notes_of(harness.store)
        notes.want(True)
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        assert {note.user_id for note in _taken(notes)} == {"ann"}
        harness.store.remove_priorities("ann", "device_b")
        assert {note.user_id for note in _taken(notes)} == {"ann"}
        harness.store.delete("ann", TimeRange(TEN, TEN + 1))
        assert _holds(_taken(notes), "ann", TEN)
        harness.store.delete_origin(harness.store.register_origin("test", "laws"), 10)
        assert _holds(_taken(notes), "ann", TEN + MINUTE_US)
        harness.store.delete("ann", TimeRange(TEN, TEN + 1))  # nothing is left
        assert _taken(notes) == []

    def test_who_is_removed_goes_with_their_notes(self, harness: Harness) -> None:
        notes = _notes_of(harness.store)
        notes.want(True)
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 7000, user_id="bob"))
        harness.store.remove_user("ann")
        assert {note.user_id for note in notes.notes(10)} == {"bob"}

    def test_nothing_is_noted_unless_it_is_wanted(self, harness: Harness) -> None:
        notes = _notes_of(harness.store)
        notes.want(True)
        write(harness.store, Reading(TEN, 7000))
        notes.want(False)
        write(harness.store, Reading(TEN + 1, 7000))
        notes.want(True)
        assert notes.notes(10) == []

    def test_no_number_is_given_twice(self, harness: Harness) -> None:
        """Who reads notes keeps their numbers for a while after they were dropped."""
        notes, numbers = _notes_of(harness.store), set[int]()
        for n in range(3):
            notes.want(True)
            write(harness.store, Reading(TEN + n, 7000))
            fresh = {note.number for note in _taken(notes)}
            assert fresh
            assert numbers.isdisjoint(fresh)
            numbers |= fresh
            notes.want(False)


def _notes_of(store: Store) -> CommitNotes:
    notes = store.capabilities().commit_notes
    if notes is None:
        pytest.skip("the store keeps no notes of its commits")
    return notes


def _taken(notes: CommitNotes) -> Sequence[CommitNote]:
    found = notes.notes(10)
    notes.drop([note.number for note in found])
    return found


def _spans(found: Sequence[CommitNote], user_id: str) -> list[tuple[str | None, int, int, int]]:
    return [
        (note.metric, note.range.start_us, note.range.end_us, note.readings)
        for note in found
        if note.user_id == user_id
    ]


def _covered(found: Sequence[CommitNote], user_id: str) -> tuple[int, int]:
    spans = _spans(found, user_id)
    return min(start for _, start, _, _ in spans), max(end for _, _, end, _ in spans)


def _holds(found: Sequence[CommitNote], user_id: str, time_us: int) -> bool:
    return any(
        note.user_id in (None, user_id)
        and note.metric in (None, metric_under_test())
        and note.range.start_us <= time_us < note.range.end_us
        for note in found
    )
