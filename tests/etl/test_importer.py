"""Whole imports, from the bytes of files to what is stored, over a real ingestor and the memory store."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.etl import importer
from pulsebase.etl.extract import apple_health, fit, packed, takeout, tars, zips
from pulsebase.etl.extract.parts import NOBODY, FileOwner, everybody_in
from pulsebase.etl.importer import Importer, ImportWatcher
from pulsebase.etl.results import FileResult, MetricCount
from pulsebase.ingest import Ingestor, parquet
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import SECOND_US, format_us
from pulsebase.stores.memory import MemoryStore
from tests.etl.desk import ANN, Desk, sink_of
from tests.support.clock_changes import each_clock_change
from tests.support.fit import activity
from tests.support.health_files import (
    APPLE_WATCH,
    apple_export,
    apple_record,
    apple_resting,
    at,
    takeout_heart_rate,
    takeout_record,
    takeout_resting,
    takeout_zones,
    zipped,
)

TEN = at("2020-05-01T10:00:00")
SAMPLES = [(TEN + 5 * n, 60 + n % 40, n % 4) for n in range(500)]


def each_kind_of_file() -> dict[str, bytes]:
    return {
        "a.json": takeout_heart_rate(SAMPLES[:50]),
        "b.xml": apple_export(APPLE_DAY),
        "c.fit": activity([(TEN + n, 70) for n in range(50)]),
        "d.csv": b"Id,Time,Value\n" + b"bob,2020-05-01 10:00:00,70\n" * 50,
        "e.parquet": own_parquet(),
        "f.ndjson": "\n".join(own_lines()).encode(),
        "g.json": takeout_resting([("05/01/20", 54.5)]),
        "h.json": takeout_zones("05/01/20", {"IN_DEFAULT_ZONE_1": 75.0}),
    }


def of_ann(device_id: str, samples: Sequence[tuple[int, int, int]]) -> list[tuple[str, str, int, float, int | None]]:
    return [("ann", device_id, at_s, float(bpm), confidence) for at_s, bpm, confidence in samples]


# --- Takeout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", [None, 0, 2], ids=["compact", "lines", "indented"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("breaks", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_takeout_heart_rate_is_stored_whole(desk: Desk, indent: int | None, mark: bytes, breaks: bytes) -> None:
    data = mark + takeout_heart_rate(SAMPLES, indent).replace(b"\n", breaks)
    result = desk.bring_one(data)
    expected = FileResult("file", "Takeout heart rate", "record", 500, 500, 0, 0, None)
    expected.spans(date(2020, 5, 1), date(2020, 5, 1))
    expected.count("heart_rate", read=500, written=500)
    assert result == expected
    assert desk.rows == of_ann("takeout", SAMPLES)


@pytest.mark.parametrize("piece_bytes", [32, 97, 1000, 4096])
def test_it_does_not_matter_where_a_file_is_cut_into_pieces(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    for reader in (takeout, apple_health, fit):
        monkeypatch.setattr(reader, "_PIECE_BYTES", piece_bytes)
    for packing in (packed, zips, tars):
        monkeypatch.setattr(packing, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(apple_health, "_DOCTYPE_BYTES", 1000)
    monkeypatch.setattr(apple_health, "_BLOCK_RECORDS", 2)
    files = {
        "a.json": takeout_heart_rate(SAMPLES[:100], None),
        "b.json": takeout_heart_rate(SAMPLES[100:200]),
        "c.xml": apple_export(APPLE_DAY),
        "d.fit": activity([(TEN + n, 70) for n in range(50)]),
        "e.csv": b"Id,Time,Value\n" + b"bob,2020-05-01 10:00:00,70\n" * 50,
    }
    for data in (zipped(files), zipped(files, streamed=True), zipped({n: gzip.compress(d) for n, d in files.items()})):
        results = desk.bring(data)
        assert [(each.written + each.unchanged + each.repeated, each.rejected, each.problem) for each in results] == [
            (100, 0, None),
            (100, 0, None),
            (5, 0, None),
            (50, 0, None),
            (50, 0, None),
        ]
    assert len(desk.rows) == 200 + 5 + 50 + 1


def test_importing_again_stores_no_more(desk: Desk) -> None:
    data = takeout_heart_rate(SAMPLES)
    first, second = desk.bring_one(data), desk.bring_one(data)
    assert (first.read, first.written, first.unchanged) == (500, 500, 0)
    counted = [MetricCount("heart_rate", read=500, unchanged=500)]
    assert second == replace(first, written=0, unchanged=500, metrics=counted)
    assert desk.rows == of_ann("takeout", SAMPLES)


def test_the_last_of_the_same_instant_wins(desk: Desk) -> None:
    result = desk.bring_one(takeout_heart_rate([(TEN, 60, 1), (TEN + 1, 61, 2), (TEN, 70, 3)]))
    assert desk.rows == of_ann("takeout", [(TEN, 70, 3), (TEN + 1, 61, 2)])
    assert (result.read, result.written, result.repeated) == (3, 2, 1)


@pytest.mark.parametrize("at_once", [1, 7, 50_000])
def test_what_was_read_is_written_there_repeated_or_rejected(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """However the files are put together for commits."""
    monkeypatch.setattr(importer, "_READINGS_AT_ONCE", at_once)
    desk.bring_one(takeout_heart_rate([(TEN + n, 60, 1) for n in range(20)]))
    samples = [(TEN + n, 60 if n < 15 else 61, 1) for n in range(30)]  # 15 there, 5 changed, 10 new
    samples += [*samples[25:28], (TEN + 29, 62, 1), (TEN + 30, 500, 1), (TEN + 31, 70, 2), (TEN + 31, 71, 2)]
    parts = {f"{n:02}.json": takeout_heart_rate(samples[n : n + 3]) for n in range(0, len(samples), 3)}
    results = desk.bring(zipped(parts))
    names = ("read", "written", "unchanged", "repeated", "rejected")
    assert [sum(getattr(result, name) for result in results) for name in names] == [37, 16, 15, 5, 1]
    for result in results:
        assert result.read == result.written + result.unchanged + result.repeated + result.rejected
    numbers = [each.number for each in desk.store.origins()]
    assert desk.store.origin_readings(numbers) == {numbers[0]: 15, numbers[1]: 16}
    desk.store.delete_origin(numbers[1], 1000)
    assert desk.rows == of_ann("takeout", [(TEN + n, 60, 1) for n in range(15)])


def test_what_a_device_sends_between_two_imports_stays(desk: Desk) -> None:
    samples = [(TEN + n, 60, 1) for n in range(20)]
    desk.bring_one(takeout_heart_rate(samples))
    push = desk.store.register_origin("push", "http")
    times_us = [(TEN + n) * SECOND_US for n in range(5)]
    desk.store.write([ReadingBatch.of_columns(["ann"] * 5, ["takeout"] * 5, times_us, [6000] * 5, [1] * 5, push)])
    second = desk.bring_one(takeout_heart_rate(samples))
    assert (second.written, second.unchanged) == (0, 20)
    for origin in desk.store.origins():
        if origin.kind == "import":
            desk.store.delete_origin(origin.number, 1000)
    assert desk.rows == of_ann("takeout", samples[:5])


def test_the_day_on_which_clocks_fall_back_has_25_hours(desk: Desk) -> None:
    """One file a local day (here of Chicago, 1 November 2020), its times in UTC."""
    begin = at("2020-11-01T05:00:00")
    samples = [(begin + 600 * n, 60 + n % 90, 2) for n in range(25 * 6)]
    desk.bring_one(takeout_heart_rate(samples))
    assert desk.rows == of_ann("takeout", samples)
    assert format_us(desk.rows[-1][2] * SECOND_US) == "2020-11-02T05:50:00Z"


@pytest.mark.parametrize("kind", ["Takeout", "Apple", "CSV", "FIT"])
@each_clock_change
def test_a_day_on_which_clocks_change_is_imported_whole(
    desk: Desk, kind: str, zone: str, day: date, hours: int
) -> None:
    """A reading every ten minutes, written the way each kind tells times."""
    lived_in = ZoneInfo(zone)
    begin = int(datetime.combine(day, time(), lived_in).timestamp())
    samples = [(begin + 600 * n, 60 + n % 100, 2) for n in range(hours * 6)]
    clocks = [datetime.fromtimestamp(at_s, lived_in) for at_s, *_ in samples]
    files = {
        "Takeout": lambda: takeout_heart_rate(samples),
        "Apple": lambda: apple_export(
            apple_record(f"{clock:%Y-%m-%d %H:%M:%S %z}", str(bpm), source="w")
            for clock, (_, bpm, _) in zip(clocks, samples, strict=True)
        ),
        "CSV": lambda: (
            b"Id,Time,Value\n"
            + "".join(
                f"ann,{clock:%Y-%m-%d %H:%M:%S},{bpm}\n" for clock, (_, bpm, _) in zip(clocks, samples, strict=True)
            ).encode()
        ),
        "FIT": lambda: activity([(at_s, bpm) for at_s, bpm, _ in samples]),
    }
    result = desk.bring_one(files[kind](), FileOwner("ann", "d", {"ann": lived_in}.__getitem__))
    assert (result.read, result.rejected, result.problem) == (hours * 6, 0, None)
    assert [(at_s, bpm) for _, _, at_s, bpm, _ in desk.rows] == [(at_s, bpm) for at_s, bpm, _ in samples]
    last = (datetime.combine(day, time(), lived_in) + timedelta(days=1)).timestamp()
    assert last - begin == hours * 3600


def test_times_that_come_twice_without_an_order_are_remarked_on(desk: Desk) -> None:
    berlin = FileOwner(None, None, everybody_in(ZoneInfo("Europe/Berlin")))
    result = desk.bring_one(b"Id,Time,Value\nann,2016-10-30 02:10:00,70\nann,2016-10-30 03:10:00,71\n", berlin)
    assert (result.written, result.problem, result.remark) == (
        2,
        None,
        "1 times came twice as clocks fell back, and their order does not tell which they were",
    )


def test_readings_every_half_hour_are_all_stored_where_clocks_fall_back(desk: Desk) -> None:
    berlin = FileOwner(None, None, everybody_in(ZoneInfo("Europe/Berlin")))
    clocks = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    lines = "".join(f"ann,2024-10-27 {clock}:00,{60 + place}\n" for place, clock in enumerate(clocks))
    result = desk.bring_one(f"Id,Time,Value\n{lines}".encode(), berlin)
    assert (result.written, result.remark) == (6, None)
    first_s = int(datetime(2024, 10, 27, 1, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    assert [(at_s, bpm) for _, _, at_s, bpm, _ in desk.rows] == [(first_s + 1800 * n, 60 + n) for n in range(6)]


def test_times_that_never_were_are_remarked_on(desk: Desk) -> None:
    berlin = FileOwner(None, None, everybody_in(ZoneInfo("Europe/Berlin")))
    result = desk.bring_one(b"Id,Time,Value\nann,2024-03-31 02:10:00,70\nann,2024-03-31 03:20:00,71\n", berlin)
    remark = "1 times did not exist as clocks went forward, and were moved on by the change"
    assert (result.written, result.problem, result.remark) == (2, None, remark)


@pytest.mark.parametrize("left_out", [1, 30, 100, 20_000])
def test_a_takeout_file_cut_short_gives_its_good_part(desk: Desk, left_out: int) -> None:
    data = takeout_heart_rate(SAMPLES)[:-left_out]
    whole = data.count(b"}\n  }")
    result = desk.bring_one(data)
    assert (result.written, result.problem) == (whole, f"the file is cut short behind record {whole}")
    assert desk.rows == of_ann("takeout", SAMPLES[:whole])


def test_a_damaged_record_costs_itself_alone(desk: Desk) -> None:
    records = [json.dumps(takeout_record(*sample)) for sample in SAMPLES]
    records[3] = records[3].replace('"bpm"', '"bp"')
    records[5] = records[5].replace(": ", "= ", 1)
    records[8] = records[8].replace("10:00", "25:00")
    records[9] = records[9].replace('"bpm": 69', '"bpm": 250')
    records[11] = records[11].replace('"confidence": 3', '"confidence": 7')
    result = desk.bring_one(("[" + ",\n".join(records) + "]").encode())
    bad = [3, 5, 8, 9, 11]
    assert (result.read, result.written, result.rejected, result.problem) == (500, 495, 5, None)
    assert desk.rows == of_ann("takeout", [sample for place, sample in enumerate(SAMPLES) if place not in bad])
    assert sorted(desk.refusals, key=lambda each: each[1] or 0) == [
        ("record", 4, "record"),
        ("record", 6, "record"),
        ("record", 9, "timestamp"),
        ("record", 10, "heart_rate"),
        ("record", 12, "confidence"),
    ]


def test_bytes_that_are_no_text_cost_their_record(desk: Desk) -> None:
    data = takeout_heart_rate(SAMPLES[:4], None).replace(b"10:00:05", b"10:\xff\xfe:05")
    result = desk.bring_one(data)
    assert (result.written, result.rejected) == (3, 1)


def test_a_list_without_end_takes_no_memory(desk: Desk) -> None:
    data = takeout_heart_rate(SAMPLES[:2], None)[:-1] + b"," + b" " * (64 << 20)
    tracemalloc.start()
    result = desk.bring_one(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result.written, result.problem) == (2, "the file is damaged behind record 2")
    assert peak < 16 << 20


def test_a_vendors_day_is_put_together_from_its_files(desk: Desk) -> None:
    zones = {"BELOW_DEFAULT_ZONE_1": 1321.0, "IN_DEFAULT_ZONE_1": 75.0, "IN_DEFAULT_ZONE_3": 0.0, "IN_CUSTOM": 3.0}
    files = {
        "resting_heart_rate-2020-04-30.json": takeout_resting([("04/30/20", None), ("05/01/20", 54.5)]),
        "time_in_heart_rate_zones-2020-05-01.json": takeout_zones("05/01/20", zones),
    }
    expected = [
        DailySummary(
            "ann",
            date(2020, 5, 1),
            54.5,
            "fitbit",
            (
                HeartRateZone("Out of Range", None, None, 1321),
                HeartRateZone("Fat Burn", None, None, 75),
                HeartRateZone("Peak", None, None, 0),
            ),
            (HeartRateZone("IN_CUSTOM", None, None, 3),),
        )
    ]
    desk.store.put_summaries([DailySummary("ann", date(2020, 5, 1), 61.0, "our-own")])
    for order in (list(files), list(reversed(files))):
        results = desk.bring(zipped({name: files[name] for name in order}))
        assert [(result.days, result.problem) for result in results] == [(1, None), (1, None)]
        found = desk.store.summaries("ann", date.min, date.max)
        assert [day for day in found if day.resting_heart_rate_method == "fitbit"] == expected
        assert len(found) == 2  # the other method's day is as it was


def test_a_day_that_no_day_can_be_is_refused_and_the_others_stay(desk: Desk) -> None:
    files = {
        "a.json": takeout_resting([("04/30/20", 1e300), ("05/01/20", 54.5)]),
        "b.json": takeout_zones("05/02/20", {"IN_DEFAULT_ZONE_1": 1e308}),
    }
    results = desk.bring(zipped(files))
    assert [(result.read, result.days, result.rejected, result.problem) for result in results] == [
        (2, 1, 1, None),
        (1, 0, 1, None),
    ]
    assert [(error.field, error.reason) for _, error in desk.refused] == [
        ("resting_heart_rate", "must be above 0 and at most 1000 (2020-04-30)"),
        ("zones", "are not what a day can have (2020-05-02)"),
    ]
    assert [day.day for day in desk.store.summaries("ann", date.min, date.max)] == [date(2020, 5, 1)]


@pytest.mark.parametrize(
    ("record", "confidence"),
    [
        ('{"dateTime":"2020-05-01 10:00:03","value":{"bpm":63,"confidence":2}}', 2),
        ('{"dateTime":"2020-05-01T10:00:03","value":{"bpm":63,"confidence":2}}', 2),
        ('{"dateTime":"2020-05-01T10:00:03Z","value":{"bpm":63,"confidence":2}}', 2),
        ('{"dateTime":"05/01/20 10:00:03","value":{"bpm":63.0,"confidence":2.0}}', 2),
        ('{"value":{"bpm":63,"confidence":2},"dateTime":"05/01/20 10:00:03"}', 2),
        ('{"value":{"confidence":2,"bpm":63},"dateTime":"05/01/20 10:00:03"}', 2),
        ('{"dateTime":"05/01/20 10:00:03","value":{"confidence":2,"bpm":63}}', 2),
        ('{"dateTime":"05/01/20 10:00:03","value":{"bpm":63}}', None),
    ],
)
@pytest.mark.parametrize("piece_bytes", [100, 1 << 20])
def test_takeout_records_that_went_through_other_programs_are_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, record: str, confidence: int | None, piece_bytes: int
) -> None:
    monkeypatch.setattr(takeout, "_PIECE_BYTES", piece_bytes)
    records = [record.replace(":03", f":{second:02}") for second in range(60)]
    result = desk.bring_one(f"[{', '.join(records)}]".encode())
    assert (result.kind, result.read, result.written, result.problem) == ("Takeout heart rate", 60, 60, None)
    assert desk.rows == [("ann", "takeout", TEN + second, 63.0, confidence) for second in range(60)]


def test_a_confidence_between_two_is_refused(desk: Desk) -> None:
    result = desk.bring_one(b'[{"dateTime":"05/01/20 10:00:03","value":{"bpm":63,"confidence":2.5}}]')
    assert (result.read, result.rejected, desk.refusals) == (1, 1, [("record", 1, "confidence")])


def test_days_in_another_order_and_with_other_dates_are_read(desk: Desk) -> None:
    resting = b'[{"value": {"error": 6.8, "value": 54.5, "date": "2020-05-01"}, "dateTime": "2020-05-01T00:00:00"}]'
    zones = b'[{"value": {"valuesInZones": {"IN_DEFAULT_ZONE_1": 75.0}}, "dateTime": "2020-05-01T00:00:00"}]'
    results = desk.bring(zipped({"a.json": resting, "b.json": zones}))
    assert [(result.days, result.problem) for result in results] == [(1, None), (1, None)]
    assert desk.store.summaries("ann", date.min, date.max) == [
        DailySummary("ann", date(2020, 5, 1), 54.5, "fitbit", (HeartRateZone("Fat Burn", None, None, 75),))
    ]


# --- Apple Health ---------------------------------------------------------------------------------------------------

APPLE_DAY = [
    apple_record("2018-05-01 10:00:00 +0200", "72"),
    apple_record("2018-05-01 10:00:05 +0200", "73.5"),
    apple_record("2018-10-28 02:30:00 +0200", "60"),
    apple_record("2018-10-28 02:30:00 +0100", "61", source="Chest & strap"),
    apple_record("2018-10-28 02:30:00 -0330", "62", source="心拍計"),
]
APPLE_ROWS = [
    ("ann", "Ann-s-Apple-Watch", at("2018-05-01T08:00:00"), 72.0, None),
    ("ann", "Ann-s-Apple-Watch", at("2018-05-01T08:00:05"), 73.5, None),
    ("ann", "Ann-s-Apple-Watch", at("2018-10-28T00:30:00"), 60.0, None),
    ("ann", "Chest-strap.ba8f4d4032058ec8", at("2018-10-28T01:30:00"), 61.0, None),
    ("ann", "apple.151aef804144f4bc", at("2018-10-28T06:00:00"), 62.0, None),
]


@pytest.mark.parametrize(
    "data",
    [
        apple_export(APPLE_DAY),
        apple_export(APPLE_DAY).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + apple_export(APPLE_DAY),
        apple_export(APPLE_DAY).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        zipped({"apple_health_export/export.xml": apple_export(APPLE_DAY), "apple_health_export/notes.txt": b"hello"}),
    ],
    ids=["plain", "CRLF", "BOM", "UTF-16", "zip"],
)
def test_apple_records_are_stored_under_their_sources(desk: Desk, data: bytes) -> None:
    result = desk.bring_one(data)
    assert (result.kind, result.read, result.written, result.problem) == ("Apple Health export", 5, 5, None)
    assert sorted(desk.rows) == sorted(APPLE_ROWS)


def test_apples_resting_heart_rate_is_of_the_day_it_was_on(desk: Desk) -> None:
    """The day that the person had, whatever it was in UTC; of two records of a day the later counts."""
    records = [
        apple_resting("2018-05-01 00:00:00 +1000", "58"),
        apple_record("2018-05-01 10:00:00 +1000", "72"),
        apple_resting("2018-05-02 23:59:00 -0500", "57"),
        apple_resting("2018-05-02 23:59:30 -0500", "56.5"),
        apple_resting("2018-05-03 00:00:00 +1000", "0.9", unit="count/s"),
        apple_resting("2018-05-04 00:00:00 +1000", "none"),
    ]
    result = desk.bring_one(apple_export(records))
    assert (result.read, result.written, result.days, result.rejected, result.problem) == (6, 1, 2, 2, None)
    assert desk.store.summaries("ann", date.min, date.max) == [
        DailySummary("ann", date(2018, 5, 1), 58, "apple"),
        DailySummary("ann", date(2018, 5, 2), 56.5, "apple"),
    ]
    assert [(place, name) for _, place, name in desk.refusals] == [(5, "unit"), (6, "value")]


@pytest.mark.parametrize("cut_at", [b" sourceName", b" unit", b"/>", b">", b'="'])
def test_records_of_no_use_are_passed_over_wherever_a_piece_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, cut_at: bytes
) -> None:
    data = apple_export(APPLE_DAY)
    others = data[data.index(b"<Record") :]
    monkeypatch.setattr(apple_health, "_DOCTYPE_BYTES", len(data) - len(others) + others.index(cut_at) + 1)
    assert desk.bring_one(data).written == 5
    assert sorted(desk.rows) == sorted(APPLE_ROWS)


def test_what_looks_like_a_record_inside_of_something_else_is_none(desk: Desk) -> None:
    record = apple_record("2018-05-01 10:00:00 +0200", "99").replace("\n", "")
    odd = [
        f"<!-- {record} -->",
        f'<Note><![CDATA[{record} <Record type="HKOther" a="/>"/>]]></Note>',
        '<Record type="HKOther" unit="a>b" value="/>"/>',
        '<Record type="HKOther" unit="1"><MetadataEntry key="a" value="&lt;"/></Record>',
        "<Record unit='count/min' startDate='2018-05-01 10:00:00 +0200' value='72' sourceName='w' "
        "type='HKQuantityTypeIdentifierHeartRate'/>",
    ]
    result = desk.bring_one(apple_export(odd))
    assert (result.written, result.problem) == (1, None)
    assert desk.rows == [("ann", "w", at("2018-05-01T08:00:00"), 72.0, None)]


def test_an_apple_file_may_go_under_one_device(desk: Desk) -> None:
    desk.bring_one(apple_export(APPLE_DAY[:2]), FileOwner("ann", "watch", everybody_in(ZoneInfo("UTC"))))
    assert {device for _, device, *_ in desk.rows} == {"watch"}


def test_apple_records_that_say_something_else_are_refused_by_place(desk: Desk) -> None:
    records = [
        apple_record("2018-05-01 10:00:00 +0200", "1.2", unit="count/s"),
        apple_record("2018-05-01 10:00", "72"),
        apple_record("2018-02-30 10:00:00 +0200", "72"),
        apple_record("2018-05-01 10:00:02 +0200", "fast"),
        apple_record("2018-05-01 10:00:03 +0200", "nan"),
        apple_record("2018-05-01 10:00:04 +0200", "300"),
        apple_record("2018-05-01 10:00:05 +0200", "72"),
        apple_record("2018-05-01 10:00:06 +0200", "72").replace('value="72"', ""),
    ]
    result = desk.bring_one(apple_export(records))
    assert (result.read, result.written, result.rejected, result.problem) == (8, 1, 7, None)
    assert [(place, name) for _, place, name in desk.refusals] == [
        (1, "unit"),
        (2, "startDate"),
        (3, "startDate"),
        (4, "value"),
        (5, "value"),
        (6, "heart_rate"),
        (8, "value"),
    ]


@pytest.mark.parametrize("left_out", [2, 14, 60, 700])
def test_an_apple_file_cut_short_gives_its_good_part(desk: Desk, left_out: int) -> None:
    data = apple_export(APPLE_DAY * 40)[:-left_out]
    result = desk.bring_one(data)
    assert result.problem is not None
    assert result.problem.startswith("the file is cut short at line ")
    assert result.written == 5
    assert result.written + result.repeated == result.read >= 198
    assert sorted(desk.rows) == sorted(APPLE_ROWS)


def test_a_broken_tag_ends_an_apple_file_with_its_line(desk: Desk) -> None:
    records = [*APPLE_DAY[:2], "<Record type=<\n", *APPLE_DAY[2:]]
    data = apple_export(records)
    line = data[: data.index(b"type=<")].count(b"\n") + 1
    result = desk.bring_one(data)
    assert (result.written, result.problem) == (2, f"the file is damaged at line {line}")


def test_declarations_that_are_not_well_formed_do_no_harm(desk: Desk) -> None:
    """As iOS 16 wrote them."""
    data = apple_export(APPLE_DAY).replace(b"locale CDATA #REQUIRED\n>", b"locale CDATA #REQUIRED\n")
    assert desk.bring_one(data).written == 5


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_entities_are_never_expanded_and_nothing_is_fetched(desk: Desk, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("99")
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE HealthData [<!ENTITY a0 "ha">{laughs}'
        f'<!ENTITY file SYSTEM "file://{tmp_path}/secret">]><HealthData>'
        + apple_record("2018-05-01 10:00:00 +0200", "72")
        + "<Me x='&a9;'>&file;</Me></HealthData>"
    )
    tracemalloc.start()
    result = desk.bring_one(text.encode(encoding))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.problem is not None
    assert [row[3] for row in desk.rows] == [72.0]
    assert peak < 32 << 20


@pytest.mark.parametrize("encoding", ["big5", "no-such-thing", "latin-1"])
def test_encodings_that_the_parser_does_not_know_are_said_to_be_so(desk: Desk, encoding: str) -> None:
    data = apple_export(APPLE_DAY[:2]).decode().replace("UTF-8", encoding).replace(APPLE_WATCH, "Watch")
    result = desk.bring_one(data.encode("ascii"))
    if encoding == "latin-1":
        assert (result.written, result.problem) == (2, None)
    else:
        assert result.problem == "the file is in an encoding that is not read; save it as UTF-8"


def test_a_tag_without_end_takes_no_memory(desk: Desk) -> None:
    data = apple_export(APPLE_DAY).removesuffix(b"</HealthData>\n") + b'<Record value="' + b"1" * (40 << 20)
    tracemalloc.start()
    result = desk.bring_one(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.written == 5
    assert "a tag without an end" in (result.problem or "")
    assert peak < 24 << 20


# --- archives -------------------------------------------------------------------------------------------------------

TAKEOUT = {
    "Takeout/archive_browser.html": b"<html></html>",
    "Takeout/Fitbit/Global Export Data/heart_rate-2020-05-01.json": takeout_heart_rate(SAMPLES[:200]),
    "Takeout/Fitbit/Global Export Data/steps-2020-05-01.json": b'[{"dateTime": "05/01/20 10:00:00", "value": "7"}]',
    "Takeout/Fitbit/Global Export Data/heart_rate-2020-05-02.json": takeout_heart_rate(SAMPLES[200:]),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["sizes first", "sizes behind"])
def test_an_archive_is_read_file_by_file(desk: Desk, streamed: bool) -> None:
    results = desk.bring(zipped(TAKEOUT, streamed=streamed), "takeout.zip")
    assert [(result.name, result.written, result.problem) for result in results] == [
        ("takeout.zip/Takeout/Fitbit/Global Export Data/heart_rate-2020-05-01.json", 200, None),
        ("takeout.zip/Takeout/Fitbit/Global Export Data/heart_rate-2020-05-02.json", 300, None),
    ]
    assert desk.rows == of_ann("takeout", SAMPLES)


def test_files_that_are_stored_unpacked_are_read_too(desk: Desk) -> None:
    results = desk.bring(zipped(TAKEOUT, method=zipfile.ZIP_STORED))
    assert [result.written for result in results] == [200, 300]


@pytest.mark.parametrize("streamed", [False, True], ids=["sizes first", "sizes behind"])
def test_an_archive_cut_short_gives_its_good_part(desk: Desk, streamed: bool) -> None:
    data = zipped(TAKEOUT, streamed=streamed)
    inside = data.index(b"heart_rate-2020-05-02.json") + 600
    results = desk.bring(data[:inside], "takeout.zip")
    assert [result.problem for result in results[:1]] == [None]
    assert results[1].problem == "the archive is cut short inside this file"
    assert desk.rows == of_ann("takeout", SAMPLES[: 200 + results[1].written])
    assert results[1].written > 0
    assert results[2:] == [FileResult("takeout.zip", problem=results[2].problem)]  # the archive itself
    without_contents = desk.bring(data[: data.index(b"PK\x01\x02")], "takeout.zip")
    assert [result.problem for result in without_contents] == [
        None,
        None,
        "the archive is cut short: its table of contents is missing",
    ]


def test_damage_inside_an_archive_costs_the_file_it_is_in(desk: Desk) -> None:
    data = bytearray(zipped(TAKEOUT))
    place = data.index(b"heart_rate-2020-05-01.json") + 400
    data[place : place + 8] = b"\xff" * 8
    results = desk.bring(bytes(data))
    assert results[0].problem in (
        "the archive is damaged inside this file",
        "its checksum in the archive does not match: some of it is damaged",
    )
    assert (results[1].written, results[1].problem) == (300, None)


def test_names_in_an_archive_are_names_alone(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../heart_rate.json", "/etc/heart_rate.json", "a\\..\\b.json"]
    results = desk.bring(zipped({name: takeout_heart_rate(SAMPLES[:1]) for name in names}), "evil.zip")
    assert [result.name for result in results] == [f"evil.zip/{name}" for name in names]
    assert [(result.written, result.repeated) for result in results] == [(1, 0), (0, 1), (0, 1)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pack", [lambda data: zipped({"bomb.json": data}), gzip.compress], ids=["zip", "gzip"])
def test_a_bomb_is_put_down(desk: Desk, pack, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(packed, "RATIO_FROM_BYTES", 1 << 20)
    bomb = pack(takeout_heart_rate(SAMPLES)[:-1] + b"," + b" " * (64 << 20))
    tracemalloc.start()
    results = desk.bring(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [result.problem for result in results] == ["it unpacks to more than 250 times its size"]
    assert peak < 16 << 20


def test_what_is_unpacked_is_bounded_over_all_files(desk: Desk) -> None:
    desk.limit_bytes = 50_000
    results = desk.bring(zipped(TAKEOUT))
    assert [(result.written > 0, result.problem) for result in results] == [
        (True, None),
        (False, "unpacked it is larger than 50000 bytes"),
    ]


def test_too_many_files_are_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MOST_FILES", 3)
    results = desk.bring(zipped({f"heart_rate-{n}.json": takeout_heart_rate([SAMPLES[n]]) for n in range(5)}), "z")
    assert [result.written for result in results] == [1, 1, 1, 0]
    assert results[-1].problem == "the archive has more than 3 files"


def test_an_encrypted_file_is_said_to_be(desk: Desk) -> None:
    data = bytearray(zipped({"a.json": takeout_heart_rate(SAMPLES), "b.json": takeout_heart_rate(SAMPLES)}))
    data[6] |= 1
    results = desk.bring(bytes(data), "secret.zip")
    assert [(result.name, result.written, result.problem) for result in results] == [
        ("secret.zip/a.json", 0, "it is encrypted in its archive"),
        ("secret.zip/b.json", 500, None),
    ]


def test_a_gzip_is_read_as_what_is_in_it(desk: Desk) -> None:
    data = takeout_heart_rate(SAMPLES)
    assert desk.bring(gzip.compress(data), "heart_rate.json.gz")[0].name == "heart_rate.json"
    two_members = gzip.compress(data[:9000]) + gzip.compress(data[9000:]) + bytes(512)
    assert desk.bring_one(two_members).problem is None
    assert desk.rows == of_ann("takeout", SAMPLES)


def test_a_gzip_cut_short_gives_its_good_part(desk: Desk) -> None:
    packer = zlib.compressobj(wbits=31)
    data = takeout_heart_rate(SAMPLES)
    begin = packer.compress(data[:20_000]) + packer.flush(zlib.Z_SYNC_FLUSH)
    result = desk.bring_one(begin)
    assert result.problem == "the gzip archive is cut short"
    assert result.written == data[:20_000].count(b"}\n  }")
    assert desk.rows == of_ann("takeout", SAMPLES[: result.written])


# --- what a file is, and whose ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [takeout_heart_rate(SAMPLES), apple_export(APPLE_DAY), activity([(TEN, 70)])],
    ids=["Takeout", "Apple", "FIT"],
)
def test_a_file_that_names_nobody_needs_a_person(desk: Desk, data: bytes) -> None:
    result = desk.bring_one(data, FileOwner(None, None, everybody_in(ZoneInfo("UTC"))))
    assert (result.written, result.problem) == (0, NOBODY)
    assert "--user" in NOBODY
    assert "user_id" in NOBODY


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"Dear diary\n", "is of no kind that is read"),
        (b"[]", "is an empty list"),
        (b'{"a": 1}', "is of no kind that is read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is of no kind that is read"),
        (b"<html></html>", "is of no kind that is read"),
        ("Dear diary\n".encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
        (zipped({"a.txt": b"hello", "b/": b""}), "holds no file that is read"),
        (zipped({}), "holds no file that is read"),
        (gzip.compress(b"hello", mtime=0), "is of no kind that is read"),
    ],
)
def test_other_files_are_said_to_be_so(desk: Desk, data: bytes, problem: str) -> None:
    assert desk.bring_one(data).problem == problem
    assert desk.rows == []


def test_a_folder_is_read_with_everything_below_it(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "renamed.txt").write_bytes(takeout_heart_rate(SAMPLES[:100]))
    (folder / "b.zip").write_bytes(zipped({"heart_rate.json": takeout_heart_rate(SAMPLES[100:200])}))
    (folder / "c.fit.gz").write_bytes(gzip.compress(activity([(TEN, 70)])))
    (folder / "d.csv").write_bytes(b"Id,Time,Value\nbob,2020-05-01 10:00:00,70\n")
    (folder / "letter.txt").write_bytes(b"Dear diary\n")
    results = list(desk.importer().path(folder))
    assert [(result.name, result.kind, result.written) for result in results] == [
        ("mine/b.zip/heart_rate.json", "Takeout heart rate", 100),
        ("mine/c.fit", "FIT", 1),
        ("mine/d.csv", "research CSV", 1),
        ("mine/deep/renamed.txt", "Takeout heart rate", 100),
    ]
    (folder / "empty").mkdir()
    assert [result.problem for result in desk.importer().path(folder / "empty")] == ["holds no file that is read"]


@pytest.mark.parametrize("before", [True, False], ids=["before the first part", "after it"])
@pytest.mark.parametrize("place", ["file", "archive", "folder"])
def test_an_import_that_is_stopped_names_what_was_not_read(tmp_path: Path, place: str, *, before: bool) -> None:
    store = MemoryStore()
    ingestor = Ingestor(store)
    seen: list[int] = []
    sink = sink_of(ingestor, store, ingestor.register_origin("import", "x"))
    watcher = ImportWatcher(progress=seen.append, stopped=lambda: before or bool(seen))
    files = {f"{n}.json": takeout_heart_rate([SAMPLES[n]]) for n in range(5)}
    importer = Importer(sink, ANN, 1 << 30, watcher)
    size = 0
    if place == "folder":
        (tmp_path / "z").mkdir()
        for name, data in files.items():
            (tmp_path / "z" / name).write_bytes(data)
        results = list(importer.path(tmp_path / "z"))
        rest = "4 of its files were not read" if seen else "5 of its files were not read"
        partly = [("z/0.json", 1, "was not read to its end")] * bool(seen)
    else:
        data = files["0.json"] if place == "file" else zipped(files)
        size = len(data)
        results = list(importer.upload("z", io.BytesIO(data)))
        rest = "was not read to its end" if seen else "was not read"
        partly = [("z/0.json", 1, rest)] * bool(seen and place == "archive")
    told = [(result.name, result.written, result.problem) for result in results]
    assert told == [*partly, ("z", int(place == "file" and bool(seen)), rest)]
    assert bool(seen) is not before
    assert not seen or 0 < seen[0] <= (size or 1 << 20)
    ingestor.close()


# --- our own exports, and damage of every kind -----------------------------------------------------------------------


def own_parquet() -> bytes:
    out = io.BytesIO()
    columns = {
        "user_id": ["ann", "bob"] * 50,
        "device_id": ["band"] * 100,
        "timestamp": pa.array([(TEN + n) * SECOND_US + n for n in range(100)], pa.timestamp("us", "UTC")),
        "heart_rate": [60 + n / 4 for n in range(100)],
        "confidence": pa.array([None, 0, 1, 2, 3] * 20, pa.int8()),
    }
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def own_lines() -> list[str]:
    return [
        f'{{"user_id":"ann","device_id":"band","timestamp":"{format_us((TEN + n) * SECOND_US)}","heart_rate":{60 + n}}}'
        for n in range(100)
    ]


@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_lines_of_our_own_are_read(desk: Desk, breaks: str, mark: str) -> None:
    lines = own_lines()
    lines[7] = lines[7].replace("ann", "n/a")
    lines[9] = lines[9][:-20]
    result = desk.bring_one((mark + breaks.join(lines)).encode())
    assert (result.kind, result.read, result.written, result.problem) == ("NDJSON export", 100, 98, None)
    assert [(place, name) for _, place, name in desk.refusals] == [(8, "user_id"), (10, "reading")]


def test_parquet_of_our_own_is_read_whole_or_not_at_all(desk: Desk) -> None:
    data = own_parquet()
    assert desk.bring_one(data[:-10]).problem == (
        "the file is damaged or cut short: Parquet cannot be read without its end"
    )
    assert desk.rows == []
    assert desk.bring_one(data).written == 100
    assert desk.rows[0] == ("ann", "band", TEN, 60.0, None)
    assert desk.bring_one(zipped({"date=2020-05-01/part-0.parquet": data})).unchanged == 100
    assert len(desk.rows) == 100


def test_row_groups_that_would_fill_the_memory_are_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bytes that stand for many: one page has to be in memory whole."""
    monkeypatch.setattr(parquet, "_COLUMN_BYTES", 1 << 20)
    count = 20_000
    texts = pa.array(["a" * 100]).take(pa.array(np.zeros(count, np.int64)))
    columns = {
        "user_id": texts,
        "device_id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), ["band"]),
        "timestamp": pa.array(np.full(count, TEN * SECOND_US), pa.timestamp("us", "UTC")),
        "heart_rate": pa.array(np.full(count, 70, np.int16)),
    }
    out = io.BytesIO()
    options = {"compression": "zstd", "use_dictionary": False, "data_page_size": 1 << 30, "row_group_size": count}
    pq.write_table(pa.table(columns), out, **options)
    assert len(out.getvalue()) < 1 << 16
    result = desk.bring_one(out.getvalue())
    assert result.problem == "a column of a row group is larger than 1048576 bytes; write smaller ones"
    assert desk.rows == []


def _fitbits_file(*beats: tuple[str, int, int]) -> bytes:
    lines = (
        f'{{"dateTime": "01/15/24 {clock}", "value": {{"bpm": {bpm}, "confidence": {sure}}}}}'
        for clock, bpm, sure in beats
    )
    return f"[{', '.join(lines)}]".encode()


def _googles_file(*beats: tuple[str, str, str]) -> bytes:
    lines = (f"2024-01-15T{clock}Z,{bpm},{device}\n" for clock, bpm, device in beats)
    return f"timestamp,beats per minute,data source\n{''.join(lines)}".encode()


_OLD = _fitbits_file(("10:00:00", 60, 3), ("10:00:05", 61, 2), ("10:00:10", 70, 0), ("10:00:15", 63, 3))
_NEW = _googles_file(
    ("10:00:00", "60.0", "Charge 6"),
    ("10:00:05.7", "61", "Charge 6"),
    ("10:00:10", "70", "Charge 6"),
    ("10:00:20", "64", "Charge 6"),
    ("10:00:05", "88", "Phone"),
    ("10:00:07", "89", "Phone"),
    ("10:00:09", "87", "Phone"),
    ("10:00:15", "63", "Phone"),
    ("10:00:20", "65", "Phone"),
    ("10:00:25", "90", "Phone"),
    ("10:00:30", "91", "Phone"),
)
_PHONE = [("Phone", at, bpm, None) for at, bpm in ((5, 88), (7, 89), (9, 87), (15, 63), (20, 65), (25, 90), (30, 91))]
_TEN = 1_705_312_800


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("old_first", [True, False])
def test_a_reading_in_both_generations_of_a_takeout_is_stored_once(desk: Desk, together: bool, old_first: bool) -> None:
    """With the confidence of the old one, under the device of the first; two devices that agree by chance stay two."""
    files = [("Takeout/a/heart_rate-2024-01-15.json", _OLD), ("Takeout/b/heart_rate_2024-01-15.csv", _NEW)]
    files = files if old_first else files[::-1]
    for _ in range(2):
        if together:
            written = sum(result.written for result in desk.bring(zipped(dict(files)), "takeout.zip"))
        else:
            written = sum(desk.bring(data, name.rpartition("/")[2])[0].written for name, data in files)
        stored = [(device, at - _TEN, bpm, sure) for _, device, at, bpm, sure in desk.rows]
        both = "takeout" if old_first else "Charge-6"
        mine = [
            (both, 0, 60, 3),
            (both, 5, 61, 2),
            (both, 10, 70, 0),
            ("takeout", 15, 63, 3),
            ("Charge-6", 20, 64, None),
        ]
        assert sorted(stored, key=str) == sorted([*mine, *_PHONE], key=str)
    assert written == 0  # by the second time


def test_a_list_of_readings_in_json_is_read_up_to_its_damage(desk: Desk) -> None:
    good = '{"timestamp": "2024-01-15T10:00:0%dZ", "user_id": "bo", "device_id": "d", "heart_rate": %s}'
    whole = f"[{good % (0, 60)},\n {good % (1, 500)}, {good % (2, 62)}]"
    result = desk.bring_one(whole.encode())
    assert (result.kind, result.read, result.written, result.problem) == ("JSON export", 3, 2, None)
    assert desk.rows == [("bo", "d", _TEN, 60, None), ("bo", "d", _TEN + 2, 62, None)]
    assert desk.reasons == [(2, "heart_rate", "out of range 30–220")]
    cut = desk.bring_one(whole[:-20].encode())
    assert (cut.read, cut.problem) == (2, "the file is cut short or damaged behind record 2")


def test_what_follows_a_list_of_readings_is_not_lost_in_silence(desk: Desk) -> None:
    one = '[{"user_id":"ann","device_id":"a","timestamp":"2024-01-15T10:00:00Z","heart_rate":60}]\n'
    assert desk.bring_one(one.encode()).problem is None
    result = desk.bring_one((one + one.replace("10:00", "11:00")).encode())
    assert (result.read, result.problem) == (1, "something else follows behind record 1, which is not read")
