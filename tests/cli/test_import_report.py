"""What `import` prints and how it ends, as a user sees it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from pulsebase.cli.import_report import _WHAT_TO_DO
from tests.cli.files import ISO_FILE, US_FILE
from tests.support.health_files import at, takeout_csv, takeout_heart_rate, takeout_resting, tarred, zipped
from tests.support.process import Place, wait_until

TEN = at("2024-01-15T10:00:00")
DAYS = [takeout_heart_rate([(TEN + 86_400 * day + n, 60 + n, 2) for n in range(50)]) for day in range(30)]
TAKEOUT = {
    **{f"Takeout/Fitbit/heart_rate-2024-01-{day + 1:02}.json": data for day, data in enumerate(DAYS)},
    "Takeout/Fitbit/heart_rate-2024-03-01.json": b"[]",
    "Takeout/Fitbit/heart_rate-2024-03-02.json": takeout_heart_rate([(TEN, 250, 2)] * 12),
    "Takeout/Fitbit/resting_heart_rate-2024-01-15.json": takeout_resting([("01/15/24", 54.5)]),
    "Takeout/Fitbit/Physical Activity_GoogleData/heart_rate_2024-06-01.csv": takeout_csv(
        [("2024-06-01T10:00:00Z", "70", "Band"), ("2024-06-01T10:00:05Z", "", "Band")]
    ),
    **{f"Takeout/Fitbit/steps-2024-01-{day:02}.json": b'[{"value": "7"}]' for day in range(10, 16)},
    **{f"Takeout/Fitbit/oxygen_saturation_2024-01-{day}.csv": b"timestamp,percent\n" for day in range(10, 15)},
}


def test_a_takeout_has_a_line_a_kind(place: Place) -> None:
    (place.folder / "takeout.tgz").write_bytes(tarred(TAKEOUT, pack=True))
    done = place.run("import", "takeout.tgz", "--user", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    fitbit = "takeout.tgz/Takeout/Fitbit"
    assert re.sub(r"[━╸╺ ]+ [\d.]+/[\d.]+ .*", " …", done.stdout).splitlines() == [
        f"{fitbit}/heart_rate-2024-03-02.json: 12 read, 0 written, 12 rejected",
        *(f"  record {n}: heart_rate: out of range 30–220" for n in range(1, 11)),
        "  … and 2 more:",
        "  12 × heart_rate: out of range 30–220",
        "takeout.tgz: Takeout heart rate: 32 files (1 without a record), 1,512 read, 1,500 written, 12 rejected, "
        "2024-01-15 to 2024-02-13",
        "takeout.tgz: Takeout resting heart rate: 1 file, 1 read, 0 written, 0 rejected, 1 day, 2024-01-15",
        "takeout.tgz: Takeout heart rate, CSV: 1 file, 1 read, 1 written, 0 rejected, 2024-06-01",
        "  not read in Takeout heart rate, CSV: 1 × lines without a value",
        "takeout.tgz: in all: 34 files (1 without a record), 1,514 read, 1,501 written, 12 rejected, 1 day, "
        "2024-01-15 to 2024-06-01",
        "  people: ann",
        "  metrics: heart_rate (1,501)",
        "  refused: 12 × heart_rate: out of range 30–220",
        "takeout.tgz: not read: 5 files that may hold vital signs:",
        *(f"  {fitbit}/oxygen_saturation_2024-01-{day}.csv: looks like vital signs" for day in (10, 11, 12)),
        f"  and 2 more like {fitbit}/oxygen_saturation_#.csv",
        "  To import them, convert them to CSV: user_id,device_id,timestamp and heart_rate, or metric and value.",
        "takeout.tgz: not read: 6 other files (6 .json), such as",
        f"  {fitbit}/steps-2024-01-10.json",
        "--rejects FILE writes every refusal to a file.",
        "takeout.tgz is import 2; pulsebase imports undo 2 removes it",
        "takeout.tgz …",
    ]
    bar = done.stdout.splitlines()[-1]
    read, whole = re.findall(r"([\d.]+)/([\d.]+) ", bar)[0]
    assert read == whole


def test_a_missing_person_is_asked_for_a_few_times(place: Place) -> None:
    (place.folder / "takeout.zip").write_bytes(zipped(TAKEOUT))
    done = place.run("import", "takeout.zip")
    assert done.returncode == 1
    asked = [line for line in done.stdout.splitlines() if "name the person with --user" in line]
    assert len(asked) == 4
    assert asked[-1].startswith("takeout.zip: 31 more files: does not say whose it is; name the person with --user")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty", None, "empty: holds no file that is read"),
        ("a.txt", b"Dear diary", "a.txt: is of no kind that is read"),
        (
            "a.json",
            b'{"Data Source": "raw:com.google.heart_rate.bpm:x"}',
            "a.json: is of no kind that is read: Google Fit",
        ),
        ("a.zip", zipped({"b.txt": b"Dear diary"}), "a.zip: holds no file that is read"),
        ("a.csv", b"Id,Time,Value\n", "a.csv: nothing was read"),
        ("a.csv", b"Id,Time,Value\nann,2024-01-15 10:00:00,7\n", "a.csv: 1 read, 0 written, 1 rejected"),
        ("a.csv", b"timestamp,beats per minute\n2024-01-15T10:00:00Z,70\n", "name it heart_rate_….csv or resting_"),
    ],
)
def test_what_comes_to_nothing_ends_with_status_1(place: Place, name: str, data: bytes | None, said: str) -> None:
    if data is None:
        (place.folder / name).mkdir()
    else:
        (place.folder / name).write_bytes(data)
    done = place.run("import", name, "--user", "ann")
    assert done.returncode == 1
    assert said in done.stdout


def test_a_day_without_a_record_ends_well(place: Place) -> None:
    (place.folder / "heart_rate-2024-01-15.json").write_bytes(b"[]")
    done = place.run("import", "heart_rate-2024-01-15.json", "--user", "ann")
    assert (done.returncode, "0 read" in done.stdout) == (0, True)


def test_local_times_without_a_zone_are_said_to_be_read_as_utc(place: Place) -> None:
    done = place.run("import", ISO_FILE)
    assert f"{ISO_FILE}: local times of one person were read as UTC" in done.stdout
    assert "read as UTC" not in place.run("import", ISO_FILE, "--tz", "Europe/Berlin").stdout
    assert place.run("users", "set", "7", "--time-zone", "Europe/Berlin").returncode == 0
    assert "read as UTC" not in place.run("import", ISO_FILE).stdout


def test_an_import_that_is_interrupted_says_so_and_goes_on_when_run_again(place: Place) -> None:
    header, line = "user_id,device_id,timestamp,heart_rate\n", "ann,a,2024-01-15T10:{:02}:{:02}Z,70\n"
    minutes = "".join(line.format(n // 60, n % 60) for n in range(3600))
    (place.folder / "large.csv").write_text(header + minutes * 200)  # for many seconds
    (place.folder / "small.csv").write_text(header + minutes)
    log = place.folder / "out"
    with log.open("wb") as out:
        running = place.start("import", "small.csv", "large.csv", "small.csv", output=out)
        wait_until(lambda: "small.csv is import" in log.read_text(), "the first file is stored", 60)
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(60) == 130
    said = log.read_text()
    # The signal may come before the first part of the file is read.
    assert re.search("large.csv: was not read( to its end)?$", said, re.MULTILINE)
    assert said.count("small.csv: was not read\n") == 1
    assert (
        "Interrupted. What was stored stays. Run the same command again to continue; nothing is stored twice." in said
    )
    assert said.count("small.csv is import") == 1
    assert place.run("check").returncode == 0
    assert place.run("import", "small.csv").returncode == 0


@pytest.mark.parametrize(
    "command", [("imports", "list"), ("users", "list"), ("sql", "SELECT repeat('x', 300) AS wide")]
)
def test_tables_that_are_piped_are_not_cut(place: Place, command: tuple[str, ...]) -> None:
    wide = "x" * 40 + "-" + "y" * 40
    (place.folder / f"{wide}.csv").write_bytes(
        (place.folder / US_FILE).read_bytes().replace(b"\n8,", f"\n{wide},".encode())
    )
    assert place.run("import", f"{wide}.csv", "--tz", "UTC").returncode == 0
    done = place.run(*command)
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    assert ("x" * 300 if command[0] == "sql" else wide) in done.stdout
    rows = [text for text in done.stdout.splitlines() if text[:1] in "│┃"]
    assert rows
    assert len({len(text) for text in rows}) == 1


def test_a_folder_is_named_by_its_name(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.json").write_bytes(DAYS[0])
    place.folder = tmp_path / "here"
    done = place.run("import", ".", "--user", "ann")
    assert "here: Takeout heart rate: 1 file, 50 read" in done.stdout


def test_the_advice_names_every_kind_that_the_guide_has() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "importing.md").read_text()
    _, table, _ = guide.partition("## What is read")[2].split("\n\n", 2)
    first, _, *rows = re.findall(r"^\|(.+?)\|", table, re.MULTILINE)
    assert (first, len(rows) > 20) == (" Kind ", True)
    unnamed = [row for row in rows if not any(word in _WHAT_TO_DO for word in re.findall(r"[A-Z]\w{2,}", row))]
    assert unnamed == [" our own exports, and `heart_rate_metrics_YYYY-MM-DD.parquet` "]
