"""Texts that are nested a hundred thousand deep: whoever reads them says so, and goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.routes.admin_transfer import _store_days
from pulsebase.model.errors import RejectedError, StoreCorruptError
from pulsebase.sources.cloud import _seconds
from pulsebase.stores.duckdb.journal.format import _decoded
from pulsebase.stores.duckdb.read.statement_check import check_statement
from tests.fuzz import corpus
from tests.fuzz.targets import _imported

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "record",
    [
        b'{"dateTime":"01/15/24 10:00:00","value":{"bpm":70,"confidence":1,"x":%s}}',
        b'{"dateTime":"01/15/24 00:00:00","value":{"date":"01/15/24","value":54.5,"x":%s}}',
        b'{"dateTime":"01/15/24 00:00:00","value":{"valuesInZones":{"IN_DEFAULT_ZONE_1":75.0},"x":%s}}',
    ],
)
def test_a_deep_record_of_a_takeout_is_refused_alone(record: bytes) -> None:
    (result,) = _imported("x", b"[" + record % b"1" + b", " + record % DEEP + b", " + record % b"2" + b"]")
    assert (result.problem, result.read, result.rejected) == (None, 3, 1)


def test_a_deep_manifest_is_damaged() -> None:
    (result,) = _imported("x", b'{"format":"pulsebase-export","x":%s,"version":1}' % DEEP)
    assert result.problem == "the manifest of the export is damaged"


def test_deep_days_are_none() -> None:
    with pytest.raises(ProblemError, match="not a list of days"):
        _store_days(None, b'[{"x":%s}]' % DEEP)  # type: ignore[arg-type] # it comes not so far


def test_a_deep_commit_is_none() -> None:
    deep = b"\x95\x00\x90\x90\x90" + b"\x91" * 100_000 + b"\x00"
    with pytest.raises(StoreCorruptError, match="it is no commit"):
        _decoded(Path("x"), 0, memoryview(deep))


@pytest.mark.parametrize("said", ["²", "-1", "", "1.5", None])
def test_what_says_no_number_of_seconds_says_nothing(said: str | None) -> None:
    assert _seconds(said) is None
    assert _seconds("2400") == 2400
    assert _seconds("9" * 5000) == 86_400, "nothing is waited for longer"


@pytest.mark.parametrize("depth", [300, 900, 5000])
@pytest.mark.parametrize("form", ["abs({})", "({}) + 1", "(SELECT {})", "[{}]"])
def test_deep_sql_is_judged_or_refused(depth: int, form: str) -> None:
    begin, _, end = form.partition("{}")
    with contextlib.suppress(RejectedError):
        check_statement(f"SELECT {begin * depth}1{end * depth}")


def test_a_lone_surrogate_in_a_record_of_an_export_refuses_it_alone() -> None:
    for data in corpus.own_files()[:3]:
        (result,) = _imported(
            "x", data + data.replace(b'"ann"', b'"ann\\ud800"') + data[:-2] + b',"\\ud800":"\\ud800"}\n'
        )
        assert (result.problem, result.read, result.rejected) == (None, 3, 2)
    day = corpus.own_files()[2].replace(b'"made-up"', b'"\\ud800"')
    (result,) = _imported("x", day)
    assert (result.problem, result.read, result.rejected) == (None, 1, 1)
