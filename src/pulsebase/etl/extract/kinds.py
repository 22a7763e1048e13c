"""The kinds of files that can be imported. They are recognised by content, since names get changed and extensions are
often wrong; the name decides only where the content leaves it open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pulsebase.etl.extract import (
    any_csv,
    apple_health,
    fit,
    gadgetbridge,
    health_connect,
    health_formats,
    own_export,
    research_csv,
    sqlite_files,
    tables,
    takeout,
    takeout_csv,
    takeout_vitals,
    tracks,
    vendors,
)
from pulsebase.etl.extract.packed import PackedFile
from pulsebase.etl.extract.parts import FileOwner, Kind
from pulsebase.etl.transform.csv_layout import comes_before, is_alike, is_header
from pulsebase.etl.transform.csv_plan import OF_DAYS, CsvPlan, NearMiss, plan_of
from pulsebase.model.exported import FORMAT

_BOM = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


TAKEOUT_HEART_RATE = Kind("Takeout heart rate", "record", False, takeout.heart_rates)
TAKEOUT_RESTING = Kind("Takeout resting heart rate", "record", False, takeout.restings)
TAKEOUT_ZONES = Kind("Takeout time in zones", "record", False, takeout.zone_times)
TAKEOUT_CSV_HEART_RATE = Kind("Takeout heart rate, CSV", "line", False, takeout_csv.csv_heart_rates)
TAKEOUT_CSV_RESTING = Kind("Takeout resting heart rate, CSV", "line", False, takeout_csv.csv_restings)
#: The other vital signs of a Takeout, by what they hold.
TAKEOUT_VITALS = {
    vital: Kind(f"Takeout {vital.title}, CSV", "line", False, partial(takeout_vitals.vital_readings, vital))
    for vital in takeout_vitals.VITALS
}
APPLE_HEALTH = Kind("Apple Health export", "record", False, apple_health.apple_health)
FIT = Kind("FIT", "message", False, fit.fit)
TCX = Kind("TCX", "track point", False, tracks.tcx)
GPX = Kind("GPX", "track point", False, tracks.gpx)
HEALTH_CONNECT = Kind("Health Connect export", "row", False, health_connect.health_connect)
GADGETBRIDGE = Kind("Gadgetbridge database", "row", False, gadgetbridge.gadgetbridge)
RESEARCH_CSV = Kind("research CSV", "line", True, research_csv.research_csv)
#: Any other CSV file. What is read of it is found out for each.
ANY_CSV = "CSV"
OWN_CSV = Kind("CSV export", "reading", True, own_export.csv)
OWN_JSON = Kind("JSON export", "reading", True, own_export.json_list)
OWN_NDJSON = Kind("NDJSON export", "reading", True, own_export.ndjson)
PARQUET = Kind("Parquet", "row", True, tables.parquet)
ARROW = Kind("Arrow", "row", True, tables.arrow)
#: The same for files that by their name may have a value a day, which is no reading.
_OF_DAYS = {
    kind.name: replace(kind, read=partial(read, of_days=True))
    for kind, read in ((PARQUET, tables.parquet), (ARROW, tables.arrow))
}
OWN_MANIFEST = Kind("manifest of an export", "", True, own_export.manifest)
OWN_PEOPLE = Kind("people of an export", "line", True, partial(own_export.records, "people"))
OWN_PRIORITIES = Kind("priorities of an export", "line", True, partial(own_export.records, "priorities"))
OWN_SUMMARIES = Kind("daily summaries of an export", "line", True, partial(own_export.records, "summaries"))
OWN_ANNOTATIONS = Kind("annotations of an export", "line", True, partial(own_export.records, "annotations"))

#: Kinds with one file for each day, of which some may be empty.
EMPTY_AT_TIMES = frozenset(
    kind.name
    for kind in (
        TAKEOUT_HEART_RATE,
        TAKEOUT_RESTING,
        TAKEOUT_ZONES,
        TAKEOUT_CSV_HEART_RATE,
        TAKEOUT_CSV_RESTING,
        *TAKEOUT_VITALS.values(),
    )
)

#: How the lists of a Takeout begin, in any layout, and the kind by the first field of the value; or, with the fields in
#: another order, by any field.
_FIRST_RECORD = re.compile(rb'\[\s*\{\s*"dateTime"\s*:\s*"[^"]{0,40}"\s*,\s*"value"\s*:\s*\{\s*"(\w+)"')
_OF_FIRST_VALUE = {b"bpm": TAKEOUT_HEART_RATE, b"date": TAKEOUT_RESTING, b"valuesInZones": TAKEOUT_ZONES}
_OF_VALUE = {"bpm": TAKEOUT_HEART_RATE, "date": TAKEOUT_RESTING, "valuesInZones": TAKEOUT_ZONES}
#: The kinds of lists by file name, which is all that identifies an empty one.
_OF_LIST = {
    "heart_rate-": TAKEOUT_HEART_RATE,
    "resting_heart_rate-": TAKEOUT_RESTING,
    "time_in_heart_rate_zones-": TAKEOUT_ZONES,
}
_OF_CSV = {"heart rate": TAKEOUT_CSV_HEART_RATE, "resting heart rate": TAKEOUT_CSV_RESTING}
_EMPTY_LIST = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*\]\s*")
_HEALTH_DATA = re.compile(rb"<(!DOCTYPE\s+)?HealthData\b")
#: The first element of a file of XML, and what it says of files with tracks. The routes in an Apple Health export never
#: have heart rates.
_FIRST_ELEMENT = re.compile(rb"<(?:\w+:)?([A-Za-z]\w*)([^>]*)")
_OF_ELEMENT = {b"TrainingCenterDatabase": TCX, b"gpx": GPX}
_APPLE_ROUTE = b"Apple Health Export"
_OWN_FIELDS = (b"user_id", b"device_id", b"timestamp")
_OWN_COLUMNS = {*_OWN_FIELDS, b"heart_rate", b"metric", b"value", b"confidence"}
_OWN_VALUES = re.compile(rb"heart_rate|\bvalue\b")
#: How lines of records begin, and for each kind a field that only it has.
_USER_FIRST = b'{"user_id":'
_OF_RECORDS = {
    b'"birth_date":': OWN_PEOPLE,
    b'"valid_from":': OWN_PRIORITIES,
    b'"resting_heart_rate_method":': OWN_SUMMARIES,
    b'"annotation_id":': OWN_ANNOTATIONS,
}
#: The header is looked for in this many lines, since comments may come before it.
_LINES = 50
_MANIFEST = re.compile(rb'\{\s*"format"\s*:\s*"' + FORMAT.encode() + rb'"')


def head_of(file: PackedFile) -> bytes:
    """Return the first bytes of a file, as many as it takes to tell its kind."""
    head = file.peek()
    return file.peek(sqlite_files.SCHEMA_BYTES) if sqlite_files.is_sqlite(head) else head


def kind_of_file(name: str, head: bytes) -> Kind | None:
    """Return the kind of a file by its name and first bytes; None if it cannot be imported."""
    if sqlite_files.is_sqlite(head):
        return _of_database(head)
    if is_empty_list(head):
        base = name.replace("\\", "/").rpartition("/")[2]
        return next((kind for begin, kind in _OF_LIST.items() if base.startswith(begin)), None)
    vital = takeout_vitals.vital_of(name, head)
    if vital is not None:
        return TAKEOUT_VITALS[vital]
    csv = takeout_csv.what_of(name, head)
    if csv is not None:
        return _OF_CSV.get(csv)
    return health_formats.kind_of_health(head) or vendors.kind_of_vendor(name, head) or kind_of(head)


def kind_for(name: str, head: bytes, owner: FileOwner) -> Kind | NearMiss | None:
    """Return the kind of a file as `kind_of_file` does or, of a CSV file of no known kind, by the names of its columns
    and what the owner says of them; what is missing, if it could be read then.
    """
    kind, said = kind_of_file(name, head), owner.csv
    if kind is not None and not (kind in (RESEARCH_CSV, OWN_CSV) and (said.any or not _as_it_should_be(kind, head))):
        return _OF_DAYS.get(kind.name, kind) if _of_days(name) else kind
    if kind is OWN_CSV and not said.name_columns and _as_it_should_be(kind, head):
        return kind
    if kind is None and not said.name_columns and (_of_days(name) or takeout_csv.what_of(name, head) is not None):
        return None
    plan = plan_of(head, said, owner.metric, has_person=owner.user_id is not None)
    if isinstance(plan, CsvPlan):
        return Kind(ANY_CSV, "line", plan.user is not None, partial(any_csv.any_csv, plan))
    if plan is not None and kind is RESEARCH_CSV:
        return replace(plan, vital=True)
    return plan if plan is not None and said.any and kind is not OWN_CSV else kind or plan


def _as_it_should_be(kind: Kind, head: bytes) -> bool:
    """Return whether the reader of this kind of CSV reads what begins like this, as far as the header tells."""
    header = next((line for line in re.split(rb"[\r\n]+", head, maxsplit=_LINES) if not comes_before(line)), b"")
    if kind is RESEARCH_CSV:
        return is_header(header)
    names = {name.strip().strip(b'"') for name in header.removeprefix(_BOM).split(b",")}
    return set(_OWN_FIELDS) <= names <= _OWN_COLUMNS and not (b"\r" in head and b"\n" not in head)


def _of_days(name: str) -> bool:
    """Return whether the name of a file says that it has a value a day, which is no reading."""
    return OF_DAYS.search(name.replace("\\", "/").rpartition("/")[2]) is not None


def is_empty_list(head: bytes) -> bool:
    """Whether a file with these first bytes is an empty JSON list."""
    return _EMPTY_LIST.fullmatch(head) is not None


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of a file by its first bytes alone, or None."""
    if head[:4] == b"PAR1" or tables.is_arrow(head):
        return PARQUET if head[:4] == b"PAR1" else ARROW
    if head[8:12] == b".FIT":
        return FIT
    text = head.removeprefix(_BOM).lstrip()
    if text.lstrip(b"\0")[:1] == b"<" or head[:2] in _UTF16_MARKS:
        return _of_xml(head.replace(b"\0", b""))
    if text[:1] == b"[":
        first = _FIRST_RECORD.match(text)
        return (_OF_FIRST_VALUE.get(first[1]) if first else None) or _of_record(text)
    if _MANIFEST.match(text):
        return OWN_MANIFEST
    lines = re.split(rb"[\r\n]+", text, maxsplit=_LINES)[:_LINES]
    return _of_lines(lines[0]) or _research_csv(lines)


def _of_xml(plain: bytes) -> Kind | None:
    """Return the kind of an XML file by its first element."""
    if _HEALTH_DATA.search(plain):
        return APPLE_HEALTH
    first = _FIRST_ELEMENT.search(plain)
    return None if first is None or _APPLE_ROUTE in first[2] else _OF_ELEMENT.get(first[1])


def _of_database(head: bytes) -> Kind | None:
    """Return the kind of an SQLite database by the names of its tables."""
    if health_connect.SERIES in head:
        return HEALTH_CONNECT
    return GADGETBRIDGE if gadgetbridge.is_gadgetbridge(head) else None


def _of_record(text: bytes) -> Kind | None:
    """Return the kind of a list by its first record, whatever the order of its fields."""
    try:
        record, _ = json.JSONDecoder().raw_decode(text[1:].lstrip().decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if isinstance(record, dict) and {field.decode() for field in _OWN_FIELDS} <= record.keys():
        return OWN_JSON if record.keys() & {"heart_rate", "value"} else None
    value = record.get("value") if isinstance(record, dict) and "dateTime" in record else None
    return (
        next((kind for field, kind in _OF_VALUE.items() if field in value), None) if isinstance(value, dict) else None
    )


def _of_lines(line: bytes) -> Kind | None:
    """Return the kind of a file of lines by its first line."""
    if all(field in line for field in _OWN_FIELDS) and _OWN_VALUES.search(line):
        return OWN_NDJSON if line[:1] == b"{" else OWN_CSV
    if line.startswith(_USER_FIRST):
        return next((kind for field, kind in _OF_RECORDS.items() if field in line), None)
    return None


def _research_csv(lines: Sequence[bytes]) -> Kind | None:
    """Recognise research CSV by a first line of content that is its header, or nearly: the reader then reports what is
    wrong.
    """
    header = next((line for line in lines if not comes_before(line)), b"")
    return RESEARCH_CSV if is_alike(header) else None


def is_utf16(head: bytes) -> bool:
    """Whether a file with these first bytes is text in UTF-16."""
    return head[:2] in _UTF16_MARKS


def why_unknown(name: str, head: bytes) -> str:
    """Return why a file cannot be imported."""
    if not head.strip():
        return "is empty"
    if is_empty_list(head):
        return "is an empty list"
    if is_utf16(head):
        return "is text in UTF-16; save it as UTF-8"
    if takeout_csv.what_of(name, head) == "undecided":
        return takeout_csv.UNDECIDED
    return "is of no kind that is read"
