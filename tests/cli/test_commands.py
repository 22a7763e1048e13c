"""Every command that needs the store, with a server on it and without one: the same words either way."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.cli.files import DAMAGED_FILE, ISO_FILE, ISO_ROWS, US_FILE, US_ROWS
from tests.support.process import Place

DAY = ("2016-04-12", "2016-04-12")


def asked(place: Place, *arguments: str) -> dict[str, Any]:
    """The answer of `query` as JSON."""
    done = place.run("query", *arguments, "--format", "json")
    assert (done.returncode, done.stderr) == (0, ""), done
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_importing_again_counts_the_same_and_stores_no_more(stocked: Place) -> None:
    done = stocked.run("import", ISO_FILE, US_FILE)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{ISO_FILE}: 1,080 read, 0 written, 1,080 already there, 0 rejected" in done.stdout
    assert f"{US_FILE}: 60 read, 0 written, 60 already there, 0 rejected" in done.stdout
    sums = [sum(asked(stocked, user, *DAY)["columns"]["count"]) for user in ("7", "8")]
    assert sums == [len(ISO_ROWS), len(US_ROWS)]


def test_query_shows_a_table(stocked: Place) -> None:
    done = stocked.run("query", "8", *DAY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("8, 1h of activities_heart_intraday_1h, 2016-04-12T00:00:00Z to 2016-04-13T00:00:00Z")
    average = sum(bpm for _, bpm in US_ROWS) / len(US_ROWS)
    assert all(text in done.stdout for text in ("2016-04-12T21:00:00Z", str(average), "1 rows"))


def test_query_writes_csv_of_raw_readings(stocked: Place) -> None:
    done = stocked.run("query", "7", *DAY, "--interval", "raw", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["timestamp"], float(row["value"])) for row in rows] == [
        (f"{at:%Y-%m-%dT%H:%M:%SZ}", bpm) for at, bpm in ISO_ROWS
    ]


def test_query_takes_max_points_a_device_and_a_zone(stocked: Place) -> None:
    assert asked(stocked, "7", *DAY, "--max-points", "200")["interval"] == "15m"
    assert asked(stocked, "7", *DAY, "--device", "csv")["count"] == 3
    assert asked(stocked, "7", *DAY, "--device", "another")["count"] == 0
    days = asked(stocked, "8", "2016-04-13", "2016-04-13", "--interval", "1d", "--tz", "Asia/Tokyo")
    assert (days["start"], days["columns"]["count"]) == ("2016-04-12T15:00:00Z", [60])


def test_a_question_that_cannot_be_answered_is_refused_in_one_line(stocked: Place) -> None:
    assert stocked.refusal("query", "nobody", *DAY) == "pulsebase: nobody of that id is known"
    assert "end_date" in stocked.refusal("query", "7", "2016-04-12", "2016-04-11")
    assert "--format" in stocked.refusal("query", "7", *DAY, "--format", "xml")


def test_local_times_are_read_in_the_zone_and_stored_under_the_device(stocked: Place) -> None:
    done = stocked.run("import", US_FILE, "--tz", "America/New_York", "--device", "watch")
    assert done.returncode == 0
    answer = asked(stocked, "8", "2016-04-13", "2016-04-13", "--interval", "1h", "--device", "watch")
    assert answer["columns"]["timestamp"] == ["2016-04-13T01:00:00Z"]
    both = asked(stocked, "8", "2016-04-12", "2016-04-13", "--interval", "raw", "--all")
    assert set(both["columns"]["device_id"]) == {"csv", "watch"}


def test_damaged_lines_are_named_and_the_others_stored(stocked: Place) -> None:
    done = stocked.run("import", DAMAGED_FILE, "--device", "damaged")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{DAMAGED_FILE}: 8 read, 2 written, 6 rejected" in done.stdout
    for line, name in (
        (3, "heart_rate"),
        (4, "timestamp"),
        (5, "line"),
        (6, "user_id"),
        (7, "heart_rate"),
        (9, "line"),
    ):
        assert f"line {line}: {name}" in done.stdout
    assert asked(stocked, "7", "2016-04-13", "2016-04-13", "--device", "damaged", "--interval", "raw")["count"] == 2


def test_a_file_that_is_none_fails_the_command_and_spares_the_others(stocked: Place) -> None:
    (stocked.folder / "letter.csv").write_text("Dear diary\n")
    (stocked.folder / "empty.csv").write_text("")
    (stocked.folder / "folder.csv").mkdir(exist_ok=True)
    done = stocked.run("import", "letter.csv", "empty.csv", "folder.csv", ISO_FILE)
    assert done.returncode == 1
    assert "letter.csv: is of no kind that is read" in done.stdout
    assert "empty.csv: is empty" in done.stdout
    assert "folder.csv: holds no file that is read" in done.stdout
    assert f"{ISO_FILE}: 1,080 read, 0 written, 1,080 already there, 0 rejected" in done.stdout


def test_check_says_that_the_store_is_sound(stocked: Place) -> None:
    done = stocked.run("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The store is sound." in done.stdout


def test_commands_at_the_same_time_all_answer(stocked: Place) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: stocked.run("query", "8", *DAY, "--format", "json"), range(3)))
    # One of them may have been the server of another and done before it: that one says so, in a line.
    for answer in answers:
        assert answer.returncode == 0 or "run it again" in answer.stderr
        assert "Traceback" not in answer.stderr
        assert answer.returncode or json.loads(answer.stdout)["count"] == 1
    assert any(answer.returncode == 0 for answer in answers)
