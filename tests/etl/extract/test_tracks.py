"""TCX and GPX, as programs for sports write them, over a real ingestor."""

from __future__ import annotations

import gzip

import pytest

from pulsebase.etl.extract import tracks
from pulsebase.etl.extract.packed import PackedFile
from pulsebase.etl.results import FileResult
from pulsebase.ingest.blocks import Block
from tests.etl.desk import ANN, Desk
from tests.support import fit
from tests.support.health_files import at, zipped

START = at("2024-10-27T00:30:00")  # as clocks fall back in Berlin, which no time here minds


def tcx(count: int = 3, creator: str = "<Name>Forerunner 235</Name><UnitId>3912345678</UnitId>") -> bytes:
    points = "".join(
        f"""<Trackpoint><Time>2024-10-27T00:{30 + n:02}:00.000Z</Time><Position><LatitudeDegrees>52.5</LatitudeDegrees>
        </Position><HeartRateBpm xsi:type="HeartRateInBeatsPerMinute_t"><Value>{60 + n}</Value></HeartRateBpm>
        <Extensions><ns3:TPX><ns3:Speed>2.1</ns3:Speed></ns3:TPX></Extensions></Trackpoint>"""
        for n in range(count)
    )
    return f"""          <?xml version="1.0" encoding="UTF-8"?>
<TrainingCenterDatabase xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:ns3="http://www.garmin.com/xmlschemas/ActivityExtension/v2">
<Activities><Activity Sport="Running"><Id>2024-10-27T00:30:00Z</Id><Lap StartTime="2024-10-27T00:30:00Z">
<AverageHeartRateBpm><Value>99</Value></AverageHeartRateBpm><MaximumHeartRateBpm><Value>101</Value></MaximumHeartRateBpm>
<Track>{points}<Trackpoint><Time>2024-10-27T00:59:00Z</Time><HeartRateBpm><Value>0</Value></HeartRateBpm></Trackpoint>
<Trackpoint><Time>2024-10-27T00:59:30Z</Time></Trackpoint></Track></Lap>
<Creator xsi:type="Device_t">{creator}</Creator></Activity></Activities></TrainingCenterDatabase>""".encode()


def gpx(count: int = 3) -> bytes:
    points = "".join(
        f"""<trkpt lat="52.5" lon="13.4"><ele>34</ele><time>2024-10-27T02:{30 + n:02}:00+02:00</time><extensions>
        <gpxtpx:TrackPointExtension><gpxtpx:atemp>12</gpxtpx:atemp><gpxtpx:hr>{60 + n}</gpxtpx:hr>
        </gpxtpx:TrackPointExtension></extensions></trkpt>"""
        for n in range(count)
    )
    return f"""<?xml version="1.0"?><gpx creator="Garmin Edge 530" version="1.1" xmlns="http://www.topografix.com/GPX/1/1"
xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v1"><metadata><time>2024-10-27T00:00:00Z</time></metadata>
<trk><trkseg>{points}<trkpt lat="1" lon="2"><time>2024-10-27T00:59:00Z</time></trkpt></trkseg></trk></gpx>""".encode()


def rows_of(device: str, count: int = 3) -> list[tuple[str, str, int, float, int | None]]:
    return [("ann", device, START + 60 * n, 60.0 + n, None) for n in range(count)]


def counts(result: FileResult) -> tuple[str | None, int, int, int, dict[str, int], str | None]:
    return result.kind, result.read, result.written, result.rejected, result.passed_over, result.problem


def test_tcx_is_read_with_the_device_behind_its_points(desk: Desk) -> None:
    result = desk.bring_one(tcx())
    assert counts(result) == ("TCX", 3, 3, 0, {"track points without a heart rate": 2}, None)
    assert desk.rows == rows_of("Forerunner-235-3912345678")


def test_gpx_is_read_with_the_device_that_wrote_it(desk: Desk) -> None:
    result = desk.bring_one(gpx())
    assert counts(result) == ("GPX", 3, 3, 0, {"track points without a heart rate": 1}, None)
    assert desk.rows == rows_of("Garmin-Edge-530")


@pytest.mark.parametrize(
    ("data", "device"), [(tcx(creator="<UnitId>0</UnitId>"), "tcx"), (gpx().replace(b"creator", b"by"), "gpx")]
)
def test_a_track_without_a_device_has_that_of_its_kind(desk: Desk, data: bytes, device: str) -> None:
    desk.bring_one(data)
    assert desk.rows == rows_of(device)


def test_a_track_imported_twice_stores_nothing_twice(desk: Desk) -> None:
    for data in (tcx(), gpx()):
        assert (desk.bring_one(data).written, desk.bring_one(data).unchanged) == (3, 3)


@pytest.mark.parametrize("make", [tcx, gpx])
def test_a_track_cut_short_gives_its_good_part(desk: Desk, make, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(tracks, "_PIECE_BYTES", 500)
    whole = make(20)
    result = desk.bring_one(whole[: len(whole) // 2])
    assert str(result.problem).startswith("the file is cut short at line")
    assert 5 < result.written == len(desk.rows) < 15


def test_points_that_say_something_else_are_refused_by_number(desk: Desk) -> None:
    data = tcx().replace(b"<Value>61<", b"<Value>many<").replace(b"2024-10-27T00:32:00.000Z", b"noon")
    result = desk.bring_one(data)
    assert (result.read, result.written, result.rejected) == (3, 1, 2)
    assert [(place, name) for place, name, _ in desk.reasons] == [(2, "heart_rate"), (3, "timestamp")]


def test_entities_and_endless_nesting_are_refused(desk: Desk) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "b">]>' + gpx()[21:].replace(b"<ele>34", b"<ele>&a;")
    assert "damaged" in str(desk.bring_one(bomb).problem)
    assert "nested too deeply" in str(desk.bring_one(b"<gpx>" + b"<a>" * 100).problem)


def test_stravas_export_is_read_file_by_file(desk: Desk) -> None:
    ride = fit.activity([(at("2024-01-15T10:00:00") + n, 70 + n) for n in range(4)])
    files = {
        "activities.csv": b"Activity ID,Activity Date,Average Heart Rate\n1,2024,99\n",
        "activities/1.fit.gz": gzip.compress(ride),
        "activities/2.tcx.gz": gzip.compress(tcx()),
        "activities/3.gpx.gz": gzip.compress(gpx()),
        "activities/4.gpx": gpx(0),
        "media/1.jpg": b"\xff\xd8\xff",
    }
    results = desk.bring(zipped(files), "export_1.zip")
    assert [(result.kind, result.written, result.problem) for result in results] == [
        ("FIT", 4, None),
        ("TCX", 3, None),
        ("GPX", 3, None),
        ("GPX", 0, None),
    ]
    assert len(desk.rows) == 10


@pytest.mark.parametrize(
    "data",
    [
        gpx().replace(b"Garmin Edge 530", b"Apple Health Export"),
        b"<!DOCTYPE html><html><pre><gpx></pre></html>",
        b"<notes><gpx/></notes>",
    ],
)
def test_routes_and_pages_that_show_a_track_are_none(desk: Desk, data: bytes) -> None:
    assert desk.bring_one(data).kind is None


def test_whoever_waits_hears_of_a_long_activity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its points wait for its device."""
    monkeypatch.setattr(tracks, "_PIECE_BYTES", 500)
    parts = list(tracks.tcx(PackedFile("a.tcx", iter([tcx(20)])), ANN))
    totals = [part.total for part in parts if isinstance(part, Block)]
    assert len(totals) > 5
    assert (sum(totals), max(totals)) == (20, 20)
