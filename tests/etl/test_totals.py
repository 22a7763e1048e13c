"""What is said of files that were not read, and of an import as a whole."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pulsebase.etl.extract.parts import FileOwner, OwnZones
from pulsebase.etl.extract.unread import UnreadFile, unread
from pulsebase.etl.import_jobs import ImportReport
from pulsebase.etl.importer import Importer, ImportWatcher
from pulsebase.etl.results import FileResult
from pulsebase.etl.totals import MOST_NAMED, MOST_OTHER_NAMES, Totals, UnreadFiles
from pulsebase.ingest import Ingestor
from pulsebase.stores.memory import MemoryStore
from tests.etl.desk import ANN, Desk, sink_of
from tests.etl.test_importer import SAMPLES
from tests.support.health_files import takeout_heart_rate, tarred, zipped


@pytest.mark.parametrize(
    ("name", "head", "what"),
    [
        ("raw.json", b'{"Data Source": "raw:com.google.heart_rate.bpm:com.xyz"}', "Google Fit"),
        ("fitbit.jsonl", b'{"_id":{"$oid":"x"},"type":"heart_rate"}', "lines of a database with a heart rate in each"),
        ("HeartRate.csv", b"sourceName,sourceVersion,device,type\n", "Apple Health as CSV"),
        ("export.json", b'{"data": {"metrics": [{"name": "heart_rate"}]}}', "Health Auto Export"),
        ("a.csv", b"com.samsung.shealth.tracker.heart_rate,6310001,4\n", "Samsung Health"),
        ("a.csv", b"key.projectId,key.userId,value.time,value.heartRate\n", "RADAR-base"),
        ("a.db", b"SQLite format 3\0" + bytes(100), "an SQLite database"),
        ("oxygen_saturation_2024-01-15.csv", b"timestamp,oxygen saturation percentage\n", "looks like vital signs"),
        ("a.csv", b"Time;Heart rate\n", "looks like vital signs"),
        ("a/heart-rate.bin", bytes(100), "looks like vital signs"),
        ("a.zip", zipped({"a": b"b"}), "an archive that lies too deep in others; unpack it first"),
        ("a.tar", tarred({"a": b"b"}), "an archive that lies too deep in others; unpack it first"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), "packed as 7z, which is not read; unpack it first"),
        ("a.csv", "Id,Time,Value\n".encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
        ("steps-2024-01-15.json", b'[{"dateTime": "01/15/24 00:00:00", "value": "7"}]', None),
        ("archive_browser.html", b"<!DOCTYPE html><html>heart_rate-2024-01-15.json", None),
        ("a.png", b"\x89PNG\r\n\x1a\n bpm" + bytes(100), None),
        ("letter.txt", b"Dear diary", None),
        ("heart_rate/letter.txt", b"Dear diary", None),
        ("heart_rate.txt", b"", None),
        ("a.json", b"[]", None),
    ],
)
def test_what_somebody_may_miss_is_named(name: str, head: bytes, what: str | None) -> None:
    found = unread(name, head)
    assert found.named == (what is not None)
    if what is not None:
        assert found.what == what


def test_names_of_files_that_are_not_read_are_bounded() -> None:
    files = UnreadFiles()
    for number in range(1000):
        for word in ("oxygen", "steps", f"{'abcdefghij'[number % 10] * (1 + number // 10)}-heart-rate"):
            files = files.plus(UnreadFile(f"a/{word}-{number}.csv", "x", named=word != "steps"))
            files = files.plus(UnreadFile(f"a/b.{word}", "x", named=False))
    assert (files.named_count, files.other_count) == (2000, 4000)
    assert [file.name for file in files.named[:1]] == ["a/oxygen-0.csv"]
    assert sum(file.name.startswith("a/oxygen") for file in files.named) == 3
    assert len(files.named) == MOST_NAMED
    assert files.alike["a/oxygen-#.csv"] == 997
    assert sum(files.alike.values()) + len(files.named) == 2000
    assert sum(files.endings.values()) == 4000
    assert (len(files.others), len(files.alike)) <= (MOST_OTHER_NAMES, MOST_NAMED + 1)
    assert len(files.endings) <= 51


def totals_of(*results: FileResult) -> Totals:
    totals = Totals()
    for result in results:
        totals.add(result)
    return totals


def test_an_import_fails_if_it_comes_to_nothing() -> None:
    day, csv = "Takeout heart rate", "research CSV"
    good, refused = FileResult("a", day, "record", 3, 2, 1), FileResult("b", csv, "line", 3, 0, 3)
    empty_day, empty_csv = FileResult("c", day, "record"), FileResult("d", csv, "line")
    broken = FileResult("e", day, "record", problem="is damaged")
    assert totals_of().failure == "nothing was read"
    assert totals_of(good, refused, empty_csv, broken).failure is None
    assert totals_of(refused, empty_day).failure == "every record was refused"
    assert totals_of(empty_day, empty_csv).failure is None
    assert totals_of(empty_csv).failure == "nothing was read"
    assert totals_of(broken).failure == "nothing was read"
    assert totals_of(FileResult("f", problem="is empty")).failure == "nothing was read"


def test_files_that_are_not_read_are_those_beside_the_ones_that_are(desk: Desk, tmp_path: Path) -> None:
    day = takeout_heart_rate(SAMPLES[:10])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "letter.txt").write_bytes(b"Dear diary")
    (tmp_path / "a" / "b.zip").write_bytes(
        zipped({"day.json": day, "x.json": b'{"Data Source": "raw:com.google.heart_rate.bpm:x"}'})
    )
    importer = desk.importer()
    assert [result.written for result in importer.path(tmp_path / "a")] == [10]
    assert importer.unread == UnreadFiles(
        1,
        1,
        (UnreadFile("a/b.zip/x.json", "Google Fit", named=True),),
        {},
        ("a/letter.txt",),
        {".txt": 1},
    )
    (total,) = importer.totals.kinds
    assert (total.kind, total.files, total.read, total.first_day) == ("Takeout heart rate", 1, 10, total.last_day)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_progress_comes_to_its_end(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    files = {"a.json": takeout_heart_rate(SAMPLES), "b.txt": b"Dear diary" * 1000}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.zip").write_bytes(pack(files))
    (tmp_path / "a" / "2.png").write_bytes(bytes(5000))
    size = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    store = MemoryStore()
    ingestor = Ingestor(store)
    for done_bytes in (size, len(pack(files))):
        seen: list[int] = []
        sink = sink_of(ingestor, store, ingestor.register_origin("import", "x"))
        importer = Importer(sink, ANN, 1 << 30, ImportWatcher(progress=seen.append))
        list(importer.path(tmp_path / "a") if done_bytes == size else importer.upload("z", io.BytesIO(pack(files))))
        assert seen == sorted(seen)
        assert seen[-1] == done_bytes
    ingestor.close()


def test_local_times_that_are_read_as_utc_are_announced(desk: Desk) -> None:
    zones = {"ann": "Europe/Berlin", "bob": "UTC"}
    owner = FileOwner(None, None, OwnZones(lambda user_id: ZoneInfo(zones.get(user_id, "UTC"))))
    for people, count in (("ann", None), ("bob", "one person"), ("bob,cat", "2 people")):
        importer = desk.importer(owner)
        lines = "".join(f"{user_id},2024-01-15 10:00:00,70\n" for user_id in people.split(","))
        assert [result.remark for result in importer.upload("a", io.BytesIO(f"Id,Time,Value\n{lines}".encode()))] == [
            None
        ]
        remark = importer.remark
        assert (
            remark is None if count is None else (remark or "").startswith(f"local times of {count} were read as UTC")
        )


def test_a_report_goes_from_one_worker_to_another_whole() -> None:
    totals = Totals()
    result = FileResult("a", "research CSV", "line", 3, 2, 1, passed_over={"column x": 3}, first_day=date(2024, 1, 15))
    totals.add(result)
    files = UnreadFiles().plus(UnreadFile("b.tcx", "TCX", named=True)).plus(UnreadFile("c.txt", "x", named=False))
    report = ImportReport(7, "done", 10, files=(result,), kinds=totals.kinds, unread=files, remark="well")
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(report))
    assert msgspec.convert(sent, ImportReport) == report
