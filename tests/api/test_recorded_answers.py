"""What is asked about heart rate is answered as it was by the version before other metrics, to the byte."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pulsebase.model.metrics import METRICS
from tests.api.conftest import Api
from tests.api.heart_rate_questions import answer, answers, asked, client_of, questions, sent
from tests.support.journal_files import commits_of, files_of
from tests.support.stores import named_store

RECORDED = Path(__file__).parent / "recorded"
STORE = RECORDED / "store.tar.xz"
#: What a reading of another metric changes: how many readings a person and a device have, and exports.
TELLS_OF_ALL_METRICS = re.compile(r"^/v1/users(/ann(/devices|/export)?)?\?")


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    """What was asked of the version before, and what it answered."""
    found: list[dict[str, Any]] = json.loads((RECORDED / "heart_rate.json").read_text(encoding="utf-8"))
    assert len(found) == len(list(questions())) + 1  # the stream
    return found


@pytest.mark.parametrize("store", ["duckdb", "timescale"])
def test_heart_rate_is_answered_as_before(
    installed: Callable[..., Api], recorded: list[dict[str, Any]], tmp_path: Path, store: str
) -> None:
    compare(recorded, answers(installed(**named_store(store, tmp_path)).parts.app))


@pytest.mark.parametrize("spelled", ["heart_rate", "activities-heart-intraday", "activities_heart_intraday"])
def test_heart_rate_is_answered_so_however_its_path_is_spelled(
    installed: Callable[..., Api], recorded: list[dict[str, Any]], tmp_path: Path, spelled: str
) -> None:
    compare(recorded, answers(installed(**named_store("duckdb", tmp_path)).parts.app, spelled))


def test_a_store_of_the_version_before_is_opened_with_everything_that_is_in_it(
    installed: Callable[..., Api], recorded: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Its process was killed: part of it is merged, part is in the journal. It also has priorities and summaries."""
    with tarfile.open(STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    journal = tmp_path / "store.duckdb.journal"
    with duckdb.connect(str(tmp_path / "store.duckdb"), read_only=True) as before:
        assert ("metrics",) not in before.execute("SHOW TABLES").fetchall()
        merged = before.execute("SELECT count(*) FROM readings").fetchall()[0][0]
    waiting = {row[:3] for file in files_of(journal) for commit in commits_of(file) for row in commit.rows}
    assert merged > 50
    assert len(waiting) > 50
    api = installed(store_url=f"duckdb:///{tmp_path / 'store.duckdb'}", merge_interval_s=3600)
    client = client_of(api.parts.app)
    first = len(list(sent()))
    expected = recorded[first : first + len(list(asked()))]
    compare(expected, [answer(client, question) for question in asked()])
    oxygen = {"user_id": "ann", "device_id": "strap", "timestamp": "2024-01-15T10:00:00Z", "value": 97}
    assert api.post("/v1/metrics/oxygen-saturation", json=oxygen).status_code == 202
    api.parts.store.settle()
    assert client.post("/v1/admin/check", json={}).json()["problems"] == []
    of_heart_rate = [question for question in asked() if not TELLS_OF_ALL_METRICS.search(question[1])]
    asked_again = {f"{method} {path}" for method, path, _, _ in of_heart_rate}
    compare(
        [each for each in expected if each["asked"] in asked_again], [answer(client, each) for each in of_heart_rate]
    )
    assert api.get("/v1/users/ann/metrics").json()["data"][1]["metric"] == "oxygen_saturation"


def compare(recorded: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    expected = [also_intended(before, now) for before, now in zip(recorded, found, strict=True)]
    for before, now in zip(expected, found, strict=True):
        assert now == before, before["asked"]


def also_intended(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The recorded answer with all that was changed on purpose since; each change is one of those named here."""
    of_texts = (lines_of_no_json_are_called_so, measurements_are_metrics)
    of_files = (exports_of_a_person_tell_more, exports_of_all_name_the_metric)
    for change in (every_answer_says_if_it_may_be_kept, *of_texts, *of_files):
        before = change(before, now)
    return before


def every_answer_says_if_it_may_be_kept(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """`Cache-Control` used to be on series alone."""
    if "headers" not in before or "cache-control" in before["headers"]:
        return before
    kept = "no-store" if before["status"] >= 400 else "private, no-cache"
    return before | {"headers": before["headers"] | {"cache-control": kept}}


def lines_of_no_json_are_called_so(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A line of a bulk body that is no JSON used to be refused as a line of JSON that is no object."""
    old, new = (
        '"field":"reading","reason":"must be an object"',
        '"field":"reading","reason":"is not JSON; a line holds one reading"',
    )
    return with_text(before, old, new) if before["asked"].endswith("/bulk") else before


def measurements_are_metrics(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A line of another measurement than heart rate used to be refused; now only one that is no metric is."""
    if not before["asked"].startswith("POST /api/v2/write"):
        return before
    names = ", ".join(METRICS)
    new = f"measurement is no metric; there are {names}; or send vital_signs, with a field for each metric"
    return with_text(before, "measurement must be heart_rate", new)


def with_text(answer: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The answer with this text in the place of that one, if it has that one."""
    if old not in answer["body"]:
        return answer
    body = answer["body"].replace(old, new)
    return answer | {"body": body, "headers": answer["headers"] | {"content-length": str(len(body.encode()))}}


def exports_of_a_person_tell_more(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What brought the readings, who asked about them, and what the person noted, in files of their own."""
    if not isinstance(before.get("body"), dict):
        return before
    added = {name: now["body"][name] for name in ("imports.json", "audit.json")} | {"annotations.ndjson": ""}
    return before | {"body": before["body"] | added}


def exports_of_all_name_the_metric(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The stream over the owner's socket has a column more, behind the others."""
    if not before["asked"].startswith("GET /v1/admin/export"):
        return before
    old, new = (pa.ipc.open_stream(base64.b64decode(each["body"])).read_all() for each in (before, now))
    assert new.column_names == [*old.column_names, "metric"]
    assert set(new["metric"].to_pylist()) == {"heart_rate"}
    assert by_day(new.drop_columns("metric")) == by_day(old)
    return before | {"body": now["body"]}


def by_day(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of an export: by UTC day, and within one in an order that is each store's own."""
    rows = table.to_pylist()
    days = [row["time"].date() for row in rows]
    assert days == sorted(days)
    return sorted(rows, key=lambda row: (row["time"], row["user_id"], row["device_id"]))
