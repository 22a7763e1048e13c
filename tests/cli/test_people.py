"""`pulsebase users` and `pulsebase devices`, with a server on the store and without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulsebase.cli.session import session
from pulsebase.settings import Settings
from tests.cli.files import US_ROWS
from tests.support.process import Place

WIDE = {"COLUMNS": "160"}


def said(place: Place, *arguments: str) -> str:
    """What a command that succeeds prints."""
    done = place.run(*arguments, **WIDE)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def cells(text: str) -> list[list[str]]:
    """The rows of a printed table, without its head."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def facts(text: str) -> dict[str, str]:
    return {row[0]: row[1] for row in cells(text)}


def test_a_person_is_added_shown_changed_listed_and_removed(stocked: Place) -> None:
    given = ("--name", "Ann [red]Ærø", "--gender", "female", "--birth-year", "1980", "--time-zone", "Europe/Berlin")
    shown = facts(said(stocked, "users", "add", "ann", *given))
    assert shown == {
        "id": "ann",
        "name": "Ann [red]Ærø",
        "gender": "female",
        "born": "1980-07-01",
        "time zone": "Europe/Berlin",
        "readings": "0",
        "first reading": "",
        "last reading": "",
    }
    assert "already somebody with that id" in stocked.refusal("users", "add", "ann")
    changed = facts(said(stocked, "users", "set", "ann", "--birth-date", "1980-02-29", "--clear", "name"))
    assert changed == shown | {"born": "1980-02-29", "name": ""}
    assert facts(said(stocked, "users", "show", "ann")) == changed
    assert cells(said(stocked, "users", "list", "AN"))[0][:4] == ["ann", "", "female", "1980-02-29"]
    assert said(stocked, "users", "erase", "ann", "--yes").startswith("ann erased, with 0 readings.\n")
    assert stocked.refusal("users", "show", "ann") == "pulsebase: nobody of that id is known"
    assert stocked.refusal("users", "erase", "ann", "--yes") == "pulsebase: nobody of that id is known"


def test_people_are_listed_up_to_a_limit(stocked: Place) -> None:
    listed = cells(said(stocked, "users", "list"))
    assert [row[0] for row in listed] == ["7", "8"]
    assert listed[1][5:] == [str(len(US_ROWS)), "2016-04-12T21:00:00Z", "2016-04-12T21:59:00Z"]
    short = said(stocked, "users", "list", "--limit", "1")
    assert ([row[0] for row in cells(short)], "and more" in short) == (["7"], True)


def test_erasing_asks_first(stocked: Place) -> None:
    said(stocked, "users", "add", "eve")
    for answer, status in (("n\n", 1), ("y\n", 0)):
        done = stocked.run("users", "erase", "eve", typed=answer)
        assert (done.returncode, "Erase eve and their 0 readings for good?" in done.stdout) == (status, True), done
    assert "nobody" in stocked.refusal("users", "erase", "eve")


def test_what_cannot_be_is_refused_in_one_line(stocked: Place) -> None:
    assert stocked.refusal("users", "add", "a/b").startswith("pulsebase: USER_ID: must be")
    assert stocked.refusal("users", "add", "x", "--gender", "cat").startswith("pulsebase: gender: must be one of")
    assert "birth_year" in stocked.refusal("users", "add", "x", "--birth-date", "1980-01-01", "--birth-year", "1980")
    assert "--clear" in stocked.refusal("users", "set", "7", "--name", "A", "--clear", "name")
    assert "shoe: is not a known field" in stocked.refusal("users", "set", "7", "--clear", "shoe")
    assert "option" in stocked.refusal("users", "set", "7")
    assert "NUMBER" in stocked.refusal("devices", "priority", "7", "csv")
    assert "NUMBER" in stocked.refusal("devices", "priority", "7", "csv", "1", "--default")
    assert "--from" in stocked.refusal("devices", "priority", "7", "csv", "--reset", "--from", "2024-01-01")
    assert "DEVICE_ID" in stocked.refusal("devices", "priority", "7", "c/v", "1")
    assert "priority" in stocked.refusal("devices", "priority", "7", "csv", "1000001")
    assert "valid_from" in stocked.refusal("devices", "priority", "7", "csv", "1", "--from", "soon")
    assert "nobody" in stocked.refusal("devices", "list", "nobody")


def test_a_devices_priority_is_set_over_time_and_taken_back(stocked: Place) -> None:
    (before,) = cells(said(stocked, "devices", "list", "7"))
    assert (before[0], before[4:]) == ("csv", ["999", ""])
    said(stocked, "devices", "priority", "7", "csv", "5")
    rows = cells(said(stocked, "devices", "priority", "7", "csv", "--default", "--from", "2024-06-01T10:00:00+02:00"))
    assert [row[4:] for row in rows] == [
        ["999", "5 from 1970-01-01T00:00:00Z"],
        ["", "default from 2024-06-01T08:00:00Z"],
    ]
    assert cells(said(stocked, "devices", "list", "7")) == rows
    assert "2 settings" in said(stocked, "devices", "priority", "7", "csv", "--reset")
    assert cells(said(stocked, "devices", "list", "7")) == [before]


def test_a_file_of_people_is_stored_whole_or_not_at_all(stocked: Place) -> None:
    head = "id,name,gender,age,time_zone\n"
    (stocked.folder / "people.csv").write_text(head + "p1,Pia,female,30,UTC\np2,,other,,\n")
    (stocked.folder / "bad.csv").write_text(head + "p3,Paul,male,30,UTC\np1,Pit,cat,,Mars\n")
    assert said(stocked, "users", "import", "people.csv", "--age-on", "2020-07-01") == "people.csv: 2 people stored\n"
    listed = {row[0]: row[1:5] for row in cells(said(stocked, "users", "list", "p"))}
    assert listed == {"p1": ["Pia", "female", "1990-07-01", "UTC"], "p2": ["", "other", "", ""]}
    done = stocked.run("users", "import", "bad.csv")
    assert (done.returncode, done.stderr) == (1, "")
    assert [line.split(": ")[1:3] for line in done.stdout.splitlines()[:2]] == [
        ["line 3", "gender"],
        ["line 3", "time_zone"],
    ]
    assert done.stdout.splitlines()[2] == "bad.csv: nothing was stored"
    assert {row[0]: row[1:5] for row in cells(said(stocked, "users", "list", "p"))} == listed
    assert "nowhere.csv: No such file" in stocked.refusal("users", "import", "nowhere.csv")
    assert "--age-on" in stocked.refusal("users", "import", "people.csv", "--age-on", "then")
    for user_id in ("p1", "p2"):
        said(stocked, "users", "erase", user_id, "--yes")


def test_an_erased_person_is_gone_from_series_and_sql(stocked: Place) -> None:
    (stocked.folder / "gone.csv").write_text("Id,Time,Value\ngone,2016-04-12 07:21:00,60\n")
    assert stocked.run("import", "gone.csv").returncode == 0
    erased = said(stocked, "users", "erase", "gone", "--yes", "--wait")
    assert erased.startswith("gone erased, with 1 readings.\n")
    assert facts(erased)["hidden"] < facts(erased)["scrubbed"] != "not yet"
    assert cells(said(stocked, "users", "erasures"))[0][:2] == [facts(erased)["erasure"], "scrubbed"]
    assert "was erased" in stocked.refusal("users", "add", "gone")
    assert said(stocked, "users", "allow", "gone") == "The id gone may be used again.\n"
    assert "nobody" in stocked.refusal("users", "allow", "gone")
    assert "nobody" in stocked.refusal("query", "gone", "2016-04-12", "2016-04-12")
    statement = "SELECT count(*) AS n FROM activities_heart_intraday WHERE user_id = 'gone'"
    assert json.loads(said(stocked, "sql", statement, "--format", "json")) == {"n": 0}
    assert "sound" in said(stocked, "check")


@pytest.mark.parametrize(
    ("body", "at_fault"),
    [
        ({"users": [{"user_id": "new"}, {"user_id": "a b"}, {"gender": "cat"}, 5]}, [(1, "user_id"), (2, "user_id")]),
        ({"users": [{"user_id": "new", "age": 30}, {"user_id": "b", "name": ""}]}, [(0, "age"), (1, "name")]),
        ({"users": []}, [(None, "users")]),
        ({"users": {}}, [(None, "users")]),
        ({"people": []}, [(None, "people")]),
        ([], [(None, "body")]),
    ],
    ids=str,
)
def test_the_server_checks_people_of_an_import_itself(
    tmp_path: Path, body: object, at_fault: list[tuple[int | None, str]]
) -> None:
    with session(Settings(_env_file=None, store_url=f"duckdb:///{tmp_path}/store.duckdb")) as client:
        answer = client.post("/v1/admin/users", json=body)
        assert answer.status_code == 400
        found = [(error.get("index"), error["field"]) for error in answer.json()["errors"]]
        assert found[: len(at_fault)] == at_fault
        assert client.get("/v1/users").json()["data"] == []
