"""Inputs that are read, of every form but Arrow, made by the helpers of the other tests; and changes that know them."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pulsebase.model.exported import fields_of, manifest
from pulsebase.model.metrics import METRICS
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import format_us
from pulsebase.model.users import DevicePriority, User
from pulsebase.query import fhir, open_mhealth
from pulsebase.query.runs import Run
from pulsebase.stores.duckdb.journal import format as journal_format
from pulsebase.stores.duckdb.merge.stage import DTYPES, Rows
from tests.fuzz.arrow import columns
from tests.fuzz.mutate import bytes_changed, text_changed
from tests.support import fit
from tests.support.app_databases import GADGETBRIDGE, HEALTH_CONNECT, sqlite_file
from tests.support.health_files import (
    apple_export,
    apple_record,
    apple_resting,
    at,
    takeout_csv,
    takeout_heart_rate,
    takeout_resting,
    takeout_zones,
    tarred,
    zipped,
)

_TEN = at("2024-01-15T10:00:00")
_STORE = "0f" * 16


def reading_of(row: int) -> dict[str, Any]:
    """A reading as devices send it."""
    when = format_us((_TEN + row) * 1_000_000)
    return {"device_id": "watch", "user_id": f"user-{row % 3}", "timestamp": when, "heart_rate": 60 + row / 4}


# --- bodies ---------------------------------------------------------------------------------------------------------


@cache
def parquet_files() -> list[bytes]:
    """Tables of each version and packing, with dictionaries and without."""
    files = []
    for options in ({"compression": "none"}, {"compression": "zstd"}, {"use_dictionary": False}, {"version": "1.0"}):
        out = io.BytesIO()
        pq.write_table(pa.table(columns()), out, **options)
        files.append(out.getvalue())
    return files


@cache
def ndjson_bodies() -> list[bytes]:
    """Lines as they should be, with integers for ids, with confidences."""
    readings = [reading_of(row) for row in range(5)]
    more = [{**each, "user_id": 7, "confidence": 3} for each in readings]
    return [b"".join(json.dumps(each).encode() + b"\n" for each in some) for some in (readings, more)]


@cache
def csv_bodies() -> list[bytes]:
    """Lines as they should be, and in quotes."""
    head = "user_id,device_id,timestamp,heart_rate,confidence"
    rows = [[*map(str, (each["user_id"], "watch", each["timestamp"], each["heart_rate"])), "1"] for each in _some(5)]
    plain = "\n".join([head, *(",".join(row) for row in rows)])
    quoted = "\r\n".join([head, *(",".join(f'"{cell}"' for cell in row) for row in rows)])
    return [plain.encode(), quoted.encode()]


@cache
def named_arrow_streams() -> list[bytes]:
    """Streams of readings that name their metrics: as texts, and as a dictionary."""
    named = pa.Table.from_pylist(_named(5))
    coded = named.set_column(
        named.schema.get_field_index("metric"), "metric", named["metric"].combine_chunks().dictionary_encode()
    )
    streams = []
    for table in (named, coded):
        out = io.BytesIO()
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        streams.append(out.getvalue())
    return streams


@cache
def named_ndjson_bodies() -> list[bytes]:
    """Lines of readings that name their metrics."""
    return [b"".join(json.dumps(each).encode() + b"\n" for each in _named(5))]


@cache
def named_csv_bodies() -> list[bytes]:
    """The same as CSV."""
    rows = _named(5)
    return ["\n".join([",".join(rows[0]), *(",".join(map(str, each.values())) for each in rows)]).encode()]


@cache
def single_bodies() -> list[bytes]:
    """One reading."""
    return [json.dumps(reading_of(0) | more).encode() for more in ({}, {"confidence": 2}, {"user_id": 7})]


@cache
def batch_bodies() -> list[bytes]:
    """Some readings."""
    return [json.dumps({"readings": _some(count)}).encode() for count in (1, 4)]


@cache
def line_protocol_bodies() -> list[bytes]:
    """Lines with and without texts, escapes and times."""
    ns = _TEN * 1_000_000_000
    return [
        f"heart_rate,user_id=ann,device_id=watch bpm=72i {ns}\nheart_rate,user_id=bob bpm=71.5,confidence=2i".encode(),
        f"vital_signs,user_id=ann spo2=97,heart_rate=60 {ns}\nskin_temperature,user_id=bob value=33.5".encode(),
        f'heart_rate,user_id=ann,room=a\\ b bpm=72,note="a \\"text\\"\nover lines" {ns}\n# a comment\n'.encode(),
    ]


@cache
def lines_of_programs() -> list[bytes]:
    """Lines as Home Assistant, fitbit-grafana and garmin-grafana write them."""
    ns = _TEN * 1_000_000_000
    return [
        f'bpm,domain=sensor,entity_id=watch_heart_rate value=72.0,friendly_name_str="Watch, heart rate" {ns}'.encode(),
        f"HeartRate_Intraday,Device=Charge\\ 6 value=72i {ns}\nDemoPoint,DemoTag=x DemoField=0i 0".encode(),
        f"SleepIntraday,Device=F965,Database_Name=Stats spo2Reading=95,heartRate=60 {ns}".encode(),
    ]


@cache
def iphone_bodies() -> list[bytes]:
    """What Health Auto Export pushes."""
    points = [
        {"date": "2024-01-15 10:00:05 +0100", "Min": 70, "Avg": 70, "Max": 70, "source": "Ann’s Watch"},
        {"date": "2024-01-15 2:30:06\N{NARROW NO-BREAK SPACE}PM -0800", "qty": 71.5},
    ]
    metrics = [
        {"name": "heart_rate", "units": "count/min", "data": points},
        {"name": "body_temperature", "units": "degF", "data": [{"date": "2024-01-15 10:01:07 +0000", "qty": 98.2}]},
        {"name": "sleep_analysis", "units": "hr", "data": [{"asleep": 7}]},
    ]
    return [json.dumps({"data": {"metrics": metrics, "workouts": [{"heartRateData": points}]}}).encode()]


@cache
def android_bodies() -> list[bytes]:
    """What HC Webhook pushes."""
    device = {"data_origin": "app", "device": {"manufacturer": "Google", "model": "Pixel Watch"}}
    records = [{"bpm": 70, "time": "2024-01-15T10:00:00.250Z", "metadata": device}, {"bpm": 71, "time": "no time"}]
    more = {"oxygen_saturation": [{"percentage": 97.5, "time": "2024-01-15T10:01:00Z"}], "steps": [{"count": 3}]}
    return [json.dumps({"timestamp": "2024-01-15T11:00:00Z", "heart_rate": records} | more).encode()]


@cache
def mqtt_payloads() -> list[bytes]:
    """Payloads of sensors."""
    named = {"bpm": 61, "spo2": 97, "battery": 80, "confidence": 2, "timestamp": "2024-01-15T10:00:00Z"}
    return [b"72.5", json.dumps({"value": 72, "time": _TEN}).encode(), json.dumps(named).encode()]


def _named(count: int) -> list[dict[str, Any]]:
    metrics = ["heart_rate", "spo2", "no metric"]
    return [
        {"user_id": "ann", "device_id": "a", "metric": metrics[row % 3], "timestamp": reading_of(row)["timestamp"]}
        | {"value": 97}
        for row in range(count)
    ]


def _some(count: int) -> list[dict[str, Any]]:
    return [reading_of(row) for row in range(count)]


JSON_CHANGED = text_changed(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b",",
        b":",
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"-1",
        b"0",
        b"1e999",
        b"9" * 400,
        b"9" * 5000,
        b"220.005",
        b"[" * 2000,
        b'"user_id":',
        b"\xff",
        b"\xed\xa0\x80",
        b"\n",
        b"\0",
        b"2024-02-30T25:61:61Z",
        b"+14:60",
        b"9999-12-31T23:59:59.999999Z",
        b"0001-01-01T00:00:00+14:00",
    ]
)
CSV_CHANGED = text_changed(
    [
        b",",
        b'"',
        b'""',
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b";",
        b"\t",
        b"\xef\xbb\xbf",
        b"\xff",
        b" ",
        b"NaN",
        b"1e400",
        b"-5",
        b"heart_rate",
        b"user_id,",
        b"2024-10-27 02:30:00",
        b"9" * 5000,
        b"0001-01-01",
        b"12/31/9999 11:59:59 PM",
    ]
)
LINES_CHANGED = text_changed(
    [
        b",",
        b"=",
        b" ",
        b'"',
        b"\\",
        b"\n",
        b"\\\n",
        b"#",
        b"i",
        b"u",
        b"bpm=",
        b"user_id=",
        b"-9223372036854775808",
        b"9223372036854775807",
        b"1e400",
        b"NaN",
        b"\0",
        b"\xff",
        b"heart_rate,",
        b'="',
        b"\\" * 999,
    ]
)


# --- files ----------------------------------------------------------------------------------------------------------


@cache
def fit_files() -> list[bytes]:
    """An activity, a day of monitoring, and two in one file."""
    beats = [fit.definition(5, fit.MONITORING, [fit.TIMESTAMP_16, fit.MONITORING_HEART_RATE])]
    beats += [struct.pack("<BHB", 5, row * 60, 60 + row) for row in range(9)]
    anchor = [fit.definition(1, fit.RECORD, [fit.TIMESTAMP, fit.HEART_RATE]), fit.record(_TEN, 70)]
    ride = fit.activity([(_TEN + row, 70 + row) for row in range(9)])
    return [ride, fit.fit_file([fit.file_id(), *anchor, *beats]), ride + ride]


def fit_changed(dice: random.Random, data: bytes) -> bytes:
    """Changes, mostly with the length and the checksums of what came out."""
    changed = bytes_changed(dice, data)
    if dice.random() < 0.25 or len(changed) < 16:
        return changed
    body = changed[14:-2]
    head = changed[:4] + struct.pack("<I", len(body)) + b".FIT"
    whole = head + struct.pack("<H", fit.checksum(head)) + body
    return whole + struct.pack("<H", fit.checksum(whole))


@cache
def apple_files() -> list[bytes]:
    """An export, and a packed one."""
    texts = [apple_record(f"2024-01-15 10:00:0{row} +0100", str(60 + row)) for row in range(4)]
    texts += [apple_record("2024-01-15 10:00:09 +0100", "70", "心"), apple_resting("2024-01-15 00:00:00 +0100", "55")]
    data = apple_export(texts)
    return [data, zipped({"apple_health_export/export.xml": data})]


XML_CHANGED = text_changed(
    [
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"&#x",
        b"&#0;",
        b"&",
        b";",
        b"<",
        b">",
        b'"',
        b"'",
        b"=",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"<!DOCTYPE",
        b"<!ENTITY a 'b'>",
        b"&a;",
        b"<Record ",
        b"</Record>",
        b"</HealthData>",
        b"<?xml encoding='utf-16'?>",
        b"value=",
        b'value="1e999"',
        b"9999-12-31 23:59:59 -1400",
        b"<a>" * 500,
    ]
)


@cache
def takeout_json_files() -> list[bytes]:
    """Heart rates, resting ones, and minutes in zones."""
    return [
        takeout_heart_rate([(_TEN + row, 70 + row, row % 4) for row in range(6)]),
        takeout_resting([("01/15/24", 54.5), ("01/16/24", None)]),
        takeout_zones("01/15/24", {"IN_DEFAULT_ZONE_1": 75.0, "BELOW_DEFAULT_ZONE_1": 1000.0}),
    ]


@cache
def takeout_csv_files() -> list[bytes]:
    """With sources and without."""
    rows = [(f"2024-01-15T10:00:0{row}Z", str(60 + row), "Watch") for row in range(6)]
    return [takeout_csv(rows), takeout_csv(rows, sources=False)]


@cache
def vendor_json_files() -> list[bytes]:
    """Minutes of Samsung, an answer of Oura, a day of Polar, a page of Fitbit, and lines of LifeSnaps."""
    clocks = [f"10:00:0{row}" for row in range(6)]
    samples = [{"heart_rate": 60, "sample_time": clock} for clock in clocks]
    points = {"dataset": [{"time": clock, "value": 60} for clock in clocks], "datasetInterval": 1}
    value = {"dateTime": "2024-01-15T10:00:00", "value": {"bpm": 60, "confidence": 2}}
    line = json.dumps({"_id": "x", "type": "heart_rate", "id": {"$oid": "ann"}, "data": value})
    files: list[Any] = [
        [{"heart_rate": 60.0 + row, "start_time": (_TEN + 60 * row) * 1000} for row in range(6)],
        {"data": [{"bpm": 60, "source": "awake", "timestamp": f"2024-01-15T{clock}+00:00"} for clock in clocks]},
        {"date": "2024-01-15", "heart_rate_samples": samples},
        {"activities-heart": [{"dateTime": "2024-01-15", "value": {}}], "activities-heart-intraday": points},
    ]
    return [*(json.dumps(file).encode() for file in files), f"{line}\n{line}\n".encode()]


@cache
def health_files() -> list[bytes]:
    """Exports as FHIR and Open mHealth, and FHIR as others write it."""
    confidences = [row % 5 - 1 for row in range(6)]
    times = [_TEN * 1_000_000 + row * 1_234_567 for row in range(6)]
    columns = np.array(times), np.array([61.5, 62, 63, 64, 65, 66]), np.array(confidences, np.int8)
    run = Run("ann", METRICS["heart_rate"], "strap", *columns)
    observation = fhir.observation_of(run)
    other = {"valueQuantity": {"value": 98.6, "code": "[degF]"}, "effectiveDateTime": "2024-01-15T11:00:00+01:00"}
    fever = {"code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]}, "subject": {"reference": "P/ann"}}
    single = {"resourceType": "Observation", "id": "1", "status": "final"} | other | fever
    day = fhir.resting_of(DailySummary("ann", date(2024, 1, 15), 58.5, "vendor"))
    period = {"origin": {"value": 0, "unit": "bpm"}, "period": 500, "dimensions": 1, "data": "60 E 62"}
    series = single | {"code": observation["code"], "valueSampledData": period, "component": [single]}
    assert day is not None
    return [
        b"".join(fhir.bundle([observation, single, day])),
        b"".join(fhir.ndjson([observation, single, day, series])),
        b"".join(open_mhealth.points_of(run)),
    ]


@cache
def vendor_csv_files() -> list[bytes]:
    """Tables of Samsung, Mi Fitness, Zepp, Withings and Oura."""
    name = "com.samsung.health.heart_rate"
    return [
        f"com.samsung.shealth.tracker.heart_rate,1,7\n{name}.start_time,{name}.heart_rate\n{_TEN}000,63,\n".encode(),
        b'Uid,Sid,Key,Time,Value,UpdateTime\n1,s,heart_rate,%d,"{""bpm"":62}",1\n' % _TEN,
        b"date,time,heartRate\n2024-01-15,10:00,63\n2024-01-15,10:01,64\n",
        b'start,duration,value\n2024-01-15T10:00:00+01:00,"[60,60]","[52,51]"\n',
        b"timestamp;bpm;source\n2024-01-15T10:00:00.000Z;63;awake\n",
    ]


@cache
def track_files() -> list[bytes]:
    """TCX and GPX."""
    time = "<{0}>2024-01-15T10:00:00Z</{0}>"
    points = f"<Trackpoint>{time.format('Time')}<HeartRateBpm><Value>61</Value></HeartRateBpm></Trackpoint>" * 3
    tcx = f"<TrainingCenterDatabase><Activity><Track>{points}</Track><Creator><Name>Watch</Name></Creator></Activity>"
    point = f'<trkpt lat="1" lon="2">{time.format("time")}<extensions><a:hr>60</a:hr></extensions></trkpt>'
    return [f"{tcx}</TrainingCenterDatabase>".encode(), f'<gpx creator="Watch">{point * 3}</gpx>'.encode()]


@cache
def app_databases() -> list[bytes]:
    """Databases of Health Connect and of Gadgetbridge."""
    sample = {"parent_key": 1, "beats_per_minute": 60, "epoch_millis": _TEN * 1000}
    minutes = [{"TIMESTAMP": _TEN + 60 * row, "DEVICE_ID": 1, "HEART_RATE": 60 + row} for row in range(50)]
    return [
        sqlite_file(HEALTH_CONNECT, {"heart_rate_record_series_table": [sample] * 50}),
        sqlite_file(GADGETBRIDGE, {"MI_BAND_ACTIVITY_SAMPLE": minutes}),
    ]


@cache
def research_files() -> list[bytes]:
    """The columns of the data set that many papers use, in both its forms of time."""
    return [
        b"Id,Time,Value\n" + b"".join(b"20224,4/12/2016 7:21:%02d AM,%d\n" % (row, 90 + row) for row in range(6)),
        b"Id,Time,Value\n" + b"".join(b"bob,2020-05-01 10:00:%02d,%d\n" % (row, 70 + row) for row in range(6)),
    ]


@cache
def own_files() -> list[bytes]:
    """What an export holds besides Parquet: readings, the manifest, people, priorities, days."""
    ann = User("ann", "Ann", "female", date(1980, 2, 3), "Europe/Berlin")
    day = DailySummary("ann", date(2024, 1, 15), 55.0, "made-up", (HeartRateZone("rest", 30, 100, 60),))
    records = [fields_of(record) for record in (ann, DevicePriority("ann", "watch", 3, _TEN * 1_000_000), day)]
    files = [msgspec.json.encode(each) + b"\n" for each in (*records, manifest())]
    return [*files, *ndjson_bodies(), *csv_bodies(), *parquet_files()]


@cache
def people_files() -> list[bytes]:
    """Every column of people, and an age."""
    return [
        b"id,name,gender,birth_date,age,time_zone\nann,Ann,female,1980-02-03,,UTC\nbob,Bob,male,,45,UTC\n",
        b"id,birth_year\n1,1980\n2,1945.0\n",
    ]


@cache
def archives() -> list[bytes]:
    """Every way to pack, also in each other, with a file of each kind."""
    files = _members()
    packed = [zipped(files), zipped(files, streamed=True), zipped(files, method=zipfile.ZIP_STORED)]
    packed += [tarred(files), tarred(files, pack=True), gzip.compress(files["a.json"])]
    return [*packed, zipped({"in.zip": packed[1], "in.tgz": packed[4]}), tarred({"in.zip": packed[0]})]


def archive_changed(dice: random.Random, data: bytes) -> bytes:
    """Changes of what is packed, of what packs it, and of the bytes of both."""
    if dice.random() < 0.4:
        files = dict(_members())
        name = dice.choice(list(files))
        files[name] = bytes_changed(dice, files[name])
        odd = dice.choice(["../a", "/etc/passwd", "a" * 300, "\u202e.json", "a/./b", "C:\\x", "a\0b"])
        files = {odd: files.pop(name), **files} if dice.random() < 0.5 else files
        data = zipped(files, streamed=dice.random() < 0.5) if dice.random() < 0.5 else tarred(files)
    return bytes_changed(dice, data) if dice.random() < 0.8 else data


def _members() -> Mapping[str, bytes]:
    return {
        "a.json": takeout_json_files()[0],
        "b.xml": apple_files()[0],
        "c.fit": fit_files()[0],
        "d.csv": research_files()[1],
        "e.parquet": parquet_files()[0],
        "f.ndjson": ndjson_bodies()[0],
        "g.txt": b"something else",
    }


# --- the journal, and small texts -----------------------------------------------------------------------------------


@cache
def journals() -> list[bytes]:
    """A file of the journal with two commits."""
    header = journal_format.new_header(_STORE, journal_format.NO_FILE, 0, 0)
    data = journal_format.header_bytes(header)
    for first, names in ((0, [(0, "ann"), (1, "bob")]), (4, [])):
        given = {"user_no": [0, 1, 0, 1], "device_no": [0] * 4, "t": [1, 2, 3, 4], "v": [6000] * 4}
        given |= {"confidence": [-1, 0, 3, 1], "origin": [1] * 4}
        rows = Rows(**{name: np.array(given[name], kind) for name, kind in DTYPES.items()})
        data += journal_format.frame_bytes(header.file, first, names, names and [(0, "watch")], rows)
    return [data]


def journal_changed(dice: random.Random, data: bytes) -> bytes:
    """Changes, mostly of a payload, with checksums that fit: damage that a checksum finds is the lesser part."""
    if dice.random() < 0.2:
        return bytes_changed(dice, data)
    at, out, file = journal_format.HEADER_BYTES, data[: journal_format.HEADER_BYTES], data[20:36]
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        payload = data[at + 16 : at + 16 + length]
        at += 16 + length
        payload = bytes_changed(dice, payload) if dice.random() < 0.5 else payload
        head = struct.pack("<4sII", b"PBF2", len(payload), zlib.crc32(payload, zlib.crc32(file)))
        out += head + struct.pack("<I", zlib.crc32(head)) + payload
    return out


def cursors() -> Sequence[bytes]:
    """Places in pages and in streams as answers give them."""
    return [b"1200/3400/ann", b"5f3a9c01-17"]


CURSOR_CHANGED = text_changed(
    [b"/", b"-", b"9" * 19, b"9" * 5000, b"0", b"\xc2\xb2", b"\xd9\xa3", b"\0", b"5f3a9c01-", b" ", b"\xff"]
)
