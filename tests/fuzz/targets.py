"""The decoders that are given changed inputs, and what each has to keep to."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.body_stream import BodyStream, BrokenOffError
from pulsebase.api.codecs.bulk_bodies import blocks_of
from pulsebase.api.codecs.json_bodies import decode_batch, decode_single
from pulsebase.api.routes.admin_transfer import _candidates
from pulsebase.decoding import Decoders
from pulsebase.etl.extract.parts import FileOwner
from pulsebase.etl.extract.people_csv import read_people_csv
from pulsebase.etl.importer import Importer
from pulsebase.etl.load import StoredRows
from pulsebase.etl.records import KeptRecords
from pulsebase.etl.results import FileResult
from pulsebase.etl.transform.line_mapping import PRESETS
from pulsebase.etl.transform.mqtt_messages import MessageError, topic_rules
from pulsebase.etl.transform.pushed import PushedReadings
from pulsebase.etl.transform.pushed_by_android import pushed_by_android
from pulsebase.etl.transform.pushed_by_iphone import pushed_by_iphone
from pulsebase.ingest import Candidates
from pulsebase.ingest.blocks import HEART_RATE_FIELDS, METRIC_FIELDS, ReadingFields
from pulsebase.ingest.items import columns_of_parsed
from pulsebase.ingest.line_protocol import parse_lines
from pulsebase.live.commit_log import CommitLog
from pulsebase.live.subscriptions import Subscriptions
from pulsebase.model.errors import PulsebaseError
from pulsebase.model.exported import Record
from pulsebase.model.metrics import METRICS
from pulsebase.model.summaries import DailySummary, summary_problem
from pulsebase.query.cohorts import page_after
from pulsebase.stores.duckdb.journal.format import check_rows, frames, read_header, restore_names
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.memory import MemoryStore
from tests.fuzz import arrow, corpus, requests
from tests.fuzz.checks import Body, check_blocks, check_candidates, check_id
from tests.fuzz.mutate import Change, bytes_changed

#: What a decoder may say of an input.
ALLOWED = (PulsebaseError, ProblemError, BrokenOffError)
_TODAY = date(2026, 1, 1)
#: What one import may unpack: an archive of a few bytes may stand for a lot.
_UNPACKED_BYTES = 16 << 20

Read = Callable[[bytes], object]
Opened = Callable[[], contextlib.AbstractContextManager[Read]]


@dataclass(frozen=True)
class Target:
    """A decoder: inputs that it reads, how they are changed, and how it is opened and called."""

    name: str
    corpus: Callable[[], Sequence[bytes]]
    change: Change
    opened: Opened


def _calling(read: Read) -> Opened:
    return lambda: contextlib.nullcontext(read)


# --- bodies ---------------------------------------------------------------------------------------------------------


def _bulk(media_type: str, fields: ReadingFields = HEART_RATE_FIELDS) -> Opened:
    @contextlib.contextmanager
    def opened() -> Iterator[Read]:
        decoders = Decoders()
        try:
            yield lambda data: check_blocks(blocks_of(cast(BodyStream, Body(data)), media_type, decoders, fields))
        finally:
            decoders.close()

    return opened


def _block(data: bytes) -> None:
    check_candidates(_candidates(data))


def _single(data: bytes) -> None:
    check_candidates(columns_of_parsed([decode_single(data)]))


def _batch(data: bytes) -> None:
    readings, errors, count = decode_batch(data)
    assert len(readings) + len(errors) == count, "a reading has no verdict, or two"
    check_candidates(readings)


def _lines(data: bytes) -> None:
    for readings in parse_lines(data, "ns", 1_705_312_800_000_000).candidates.values():
        check_candidates(readings)


def _mapped_lines(data: bytes) -> None:
    for mapping in PRESETS.values():
        lines = parse_lines(data, "ns", 1_705_312_800_000_000, read=mapping.reader("ann"))
        assert lines.passed_over <= data.count(b"\n") + 1
        for readings in lines.candidates.values():
            check_candidates(readings)


def _pushed(read: Callable[[bytes, str], PushedReadings], data: bytes) -> None:
    pushed = read(data, "ann")
    assert sum(map(len, pushed.candidates.values())) + len(pushed.errors) == pushed.total
    for readings in pushed.candidates.values():
        check_candidates(readings)


def _message(data: bytes) -> None:
    for rule in topic_rules("pulse/{user}/{device}=heart_rate, pulse/{user}/{device}"):
        with contextlib.suppress(MessageError):
            for each in rule.readings("pulse/ann/watch", data):
                time_us = 0 if each.time_us is None else each.time_us
                parsed = (0, each.user_id, each.device_id, time_us, each.value, each.confidence)
                check_candidates(columns_of_parsed([parsed]))


# --- files ----------------------------------------------------------------------------------------------------------


class _Sink:
    """Where imports store: everything is checked and nothing kept."""

    def readings(self, rows: Candidates) -> StoredRows:
        return StoredRows.all_written(len(rows), check_candidates(rows))

    def summaries(self, days: Sequence[DailySummary]) -> None:
        for day in days:
            check_id(day.user_id)
            assert summary_problem(day, datetime.now(UTC).date()) is None

    def records(self, records: Sequence[Record]) -> KeptRecords:
        for record in records:
            check_id(record.user_id)
        return KeptRecords(0, [])


def _imported(name: str, data: bytes) -> list[FileResult]:
    zone = ZoneInfo("Europe/Berlin")
    importer = Importer(_Sink(), FileOwner("ann", None, lambda _: zone), _UNPACKED_BYTES)
    results = list(importer.upload(name, io.BytesIO(data)))
    assert results or b"pulsebase-export" in data, "every file but a manifest has a result"
    for result in results:
        assert result.read >= result.written >= 0, "more was written than was read"
    return results


@contextlib.contextmanager
def _people() -> Iterator[Read]:
    with tempfile.NamedTemporaryFile(prefix="people-", suffix=".csv") as file:

        def read(data: bytes) -> None:
            Path(file.name).write_bytes(data)
            for user in read_people_csv(Path(file.name), _TODAY, _TODAY):
                check_id(user.user_id)
                assert user.birth_date is None or user.birth_date <= _TODAY

        yield read


# --- the journal, cursors, requests ---------------------------------------------------------------------------------


def _journal(data: bytes) -> None:
    path, users, devices = Path("00000000000000000000.journal"), IdNumbers(), IdNumbers()
    header = read_header(path, data)
    if header is None:
        return
    for at, _, frame in frames(path, header, memoryview(data)):
        restore_names(path, at, frame, users, devices)
        users.publish()
        devices.publish()
        rows = frame.rows()
        check_rows(path, at, rows, users, devices, len(METRICS))
        assert len({len(getattr(rows, name)) for name in rows.__slots__}) == 1, "columns differ in length"


@contextlib.contextmanager
def _cursors() -> Iterator[Read]:
    feed = CommitLog(100)
    feed.instance = "5f3a9c01"
    streams = Subscriptions(feed, MemoryStore())

    def read(data: bytes) -> None:
        text = data.decode("latin-1")
        streams.resumed(text, ["ann"])
        if "-" not in text:
            page_after([], text)

    yield read


_ARROW, _PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
_DECODERS = [
    Target("arrow", arrow.arrow_streams, arrow.stream_changed, _bulk(_ARROW)),
    Target("blocks", arrow.blocks_of_commands, arrow.stream_changed, _calling(_block)),
    Target("parquet", corpus.parquet_files, bytes_changed, _bulk(_PARQUET)),
    Target("ndjson", corpus.ndjson_bodies, corpus.JSON_CHANGED, _bulk("application/x-ndjson")),
    Target("csv", corpus.csv_bodies, corpus.CSV_CHANGED, _bulk("text/csv")),
    Target("named-arrow", corpus.named_arrow_streams, bytes_changed, _bulk(_ARROW, METRIC_FIELDS)),
    Target(
        "named-ndjson", corpus.named_ndjson_bodies, corpus.JSON_CHANGED, _bulk("application/x-ndjson", METRIC_FIELDS)
    ),
    Target("named-csv", corpus.named_csv_bodies, corpus.CSV_CHANGED, _bulk("text/csv", METRIC_FIELDS)),
    Target("single", corpus.single_bodies, corpus.JSON_CHANGED, _calling(_single)),
    Target("batch", corpus.batch_bodies, corpus.JSON_CHANGED, _calling(_batch)),
    Target("lines", corpus.line_protocol_bodies, corpus.LINES_CHANGED, _calling(_lines)),
    Target("mapped-lines", corpus.lines_of_programs, corpus.LINES_CHANGED, _calling(_mapped_lines)),
    Target("iphone", corpus.iphone_bodies, corpus.JSON_CHANGED, _calling(partial(_pushed, pushed_by_iphone))),
    Target("android", corpus.android_bodies, corpus.JSON_CHANGED, _calling(partial(_pushed, pushed_by_android))),
    Target("mqtt", corpus.mqtt_payloads, corpus.JSON_CHANGED, _calling(_message)),
    Target("fit", corpus.fit_files, corpus.fit_changed, _calling(partial(_imported, "a.fit"))),
    Target("apple", corpus.apple_files, corpus.XML_CHANGED, _calling(partial(_imported, "export.xml"))),
    Target("takeout-json", corpus.takeout_json_files, corpus.JSON_CHANGED, _calling(partial(_imported, "a.json"))),
    Target(
        "takeout-csv",
        corpus.takeout_csv_files,
        corpus.CSV_CHANGED,
        _calling(partial(_imported, "heart_rate_2024-01-15.csv")),
    ),
    Target("vendor-json", corpus.vendor_json_files, corpus.JSON_CHANGED, _calling(partial(_imported, "a.json"))),
    Target("health", corpus.health_files, corpus.JSON_CHANGED, _calling(partial(_imported, "a.json"))),
    Target("vendor-csv", corpus.vendor_csv_files, corpus.CSV_CHANGED, _calling(partial(_imported, "raw_bed_hr.csv"))),
    Target("tracks", corpus.track_files, corpus.XML_CHANGED, _calling(partial(_imported, "a.tcx"))),
    Target("databases", corpus.app_databases, bytes_changed, _calling(partial(_imported, "a.db"))),
    Target("research", corpus.research_files, corpus.CSV_CHANGED, _calling(partial(_imported, "a.csv"))),
    Target("own-export", corpus.own_files, corpus.JSON_CHANGED, _calling(partial(_imported, "x"))),
    Target("archives", corpus.archives, corpus.archive_changed, _calling(partial(_imported, "a.zip"))),
    Target("people", corpus.people_files, corpus.CSV_CHANGED, _people),
    Target("journal", corpus.journals, corpus.journal_changed, _calling(_journal)),
    Target("cursors", corpus.cursors, corpus.CURSOR_CHANGED, _cursors),
]
#: What a body is brought to over HTTP, besides the routes of `requests`.
_BODIES = {
    "arrow": f"/v1/metrics/heart-rate/bulk {_ARROW}",
    "parquet": f"/v1/metrics/heart-rate/bulk {_PARQUET}",
    "ndjson": "/v1/metrics/heart-rate/bulk application/x-ndjson",
    "csv": "/v1/metrics/heart-rate/bulk text/csv",
    "single": "/v1/metrics/heart-rate application/json",
    "batch": "/v1/metrics/heart-rate/batch application/json",
    "lines": "/api/v2/write text/plain",
    "mapped-lines": "/write?db=home-assistant text/plain",
    "iphone": "/v1/push/health-auto-export?user_id=ann application/json",
    "android": "/v1/push/health-connect?user_id=ann application/json",
    "fit": "/v1/imports?name=x&user_id=ann application/octet-stream",
    "archives": "/v1/imports?name=x&user_id=ann application/octet-stream",
}
_BY_NAME = {target.name: target for target in _DECODERS}
_DOORS = requests.PushHandlers({door: (_BY_NAME[name].corpus, _BY_NAME[name].change) for name, door in _BODIES.items()})
_SERVED = [
    Target("http", requests.heads, requests.HEAD_CHANGED, requests.served),
    Target("http-bodies", _DOORS.corpus, _DOORS.change, requests.served),
]
#: By name; those of `SERVED` are given to a server in a process of its own.
TARGETS = {target.name: target for target in (*_DECODERS, *_SERVED)}
SERVED = frozenset(target.name for target in _SERVED)
