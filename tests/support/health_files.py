"""Files as people bring them, made after the shapes that vendors write."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

#: (seconds since 1970, bpm)
Sample = tuple[int, int]

#: As Apple calls it, with its no-break space.
APPLE_WATCH = "Ann’s Apple\N{NO-BREAK SPACE}Watch"

_APPLE_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 12 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT Record ((MetadataEntry|HeartRateVariabilityMetadataList)*)>
<!ATTLIST Record
  type          CDATA #REQUIRED
  unit          CDATA #IMPLIED
>
]>
<HealthData locale="en_GB">
 <ExportDate value="2024-02-01 10:00:00 +0100"/>
 <Me HKCharacteristicTypeIdentifierBiologicalSex="HKBiologicalSexFemale"/>
"""


def at(text: str) -> int:
    """Seconds since 1970 of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def takeout_record(at_s: int, bpm: int, confidence: int) -> dict[str, object]:
    moment = datetime.fromtimestamp(at_s, UTC)
    return {"dateTime": f"{moment:%m/%d/%y %H:%M:%S}", "value": {"bpm": bpm, "confidence": confidence}}


def takeout_heart_rate(samples: Iterable[tuple[int, int, int]], indent: int | None = 2) -> bytes:
    """`heart_rate-YYYY-MM-DD.json` of (seconds since 1970, bpm, confidence)."""
    return json.dumps([takeout_record(*sample) for sample in samples], indent=indent).encode()


def takeout_resting(days: Iterable[tuple[str, float | None]]) -> bytes:
    """`resting_heart_rate-YYYY-MM-DD.json` of (`05/01/20`, bpm or none)."""
    records = [
        {
            "dateTime": f"{day} 00:00:00",
            "value": {"date": None if bpm is None else day, "value": bpm or 0.0, "error": 6.8 if bpm else 0.0},
        }
        for day, bpm in days
    ]
    return json.dumps(records, indent=2).encode()


def takeout_zones(day: str, minutes: Mapping[str, float]) -> bytes:
    """`time_in_heart_rate_zones-YYYY-MM-DD.json` of one day."""
    return json.dumps([{"dateTime": f"{day} 00:00:00", "value": {"valuesInZones": dict(minutes)}}]).encode()


def takeout_csv(rows: Iterable[tuple[str, str, str]], *, sources: bool = True) -> bytes:
    """Google's CSV of (time, bpm, device): `heart_rate_YYYY-MM-DD.csv`, and the files of resting heart rates."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["timestamp", "beats per minute", *(["data source"] if sources else [])])
    writer.writerows(row if sources else row[:2] for row in rows)
    return out.getvalue().encode()


def apple_record(start: str, value: str, source: str = APPLE_WATCH, unit: str = "count/min") -> str:
    return (
        f' <Record type="HKQuantityTypeIdentifierHeartRate" sourceName={quoteattr(source)} sourceVersion="5.1" '
        f'device="&lt;&lt;HKDevice: 0x2831&gt;, name:Apple Watch&gt;" unit="{unit}" creationDate="{start}" '
        f'startDate="{start}" endDate="{start}" value="{value}">\n'
        '  <MetadataEntry key="HKMetadataKeyHeartRateMotionContext" value="1"/>\n </Record>\n'
    )


def apple_resting(start: str, value: str, unit: str = "count/min") -> str:
    return (
        f' <Record type="HKQuantityTypeIdentifierRestingHeartRate" sourceName="{APPLE_WATCH}" sourceVersion="8" '
        f'unit="{unit}" creationDate="{start}" startDate="{start}" endDate="{start}" value="{value}"/>\n'
    )


def apple_value(
    kind: str,
    start: str,
    value: str,
    unit: str,
    *,
    end: str | None = None,
    source: str = APPLE_WATCH,
    beats: Iterable[tuple[str, str]] = (),
) -> str:
    """A record of any quantity, and the (rate, time) of the beats that it holds."""
    head = (
        f' <Record type="HKQuantityTypeIdentifier{kind}" sourceName={quoteattr(source)} sourceVersion="10.2" '
        f'unit="{unit}" creationDate="{end or start}" startDate="{start}" endDate="{end or start}" value="{value}"'
    )
    held = "".join(f'   <InstantaneousBeatsPerMinute bpm="{bpm}" time="{time}"/>\n' for bpm, time in beats)
    if not held:
        return f'{head}>\n  <MetadataEntry key="HKTimeZone" value="Europe/Berlin"/>\n </Record>\n'
    listed = f"  <HeartRateVariabilityMetadataList>\n{held}  </HeartRateVariabilityMetadataList>\n"
    return f'{head}>\n  <MetadataEntry key="HKTimeZone" value="Europe/Berlin"/>\n{listed} </Record>\n'


def apple_export(records: Iterable[str]) -> bytes:
    """`export.xml` with these records among others."""
    steps = (
        ' <Record type="HKQuantityTypeIdentifierStepCount" sourceName="Phone" unit="count" '
        'startDate="2018-05-01 10:00:00 +0200" endDate="2018-05-01 10:01:00 +0200" value="17"/>\n'
    )
    return (_APPLE_HEAD + "".join(steps + record for record in records) + "</HealthData>\n").encode()


def zipped(files: Mapping[str, bytes], *, streamed: bool = False, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive; `streamed` as programs write it that do not know sizes beforehand."""
    target = _Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def tarred(files: Mapping[str, bytes], *, form: int = tarfile.PAX_FORMAT, pack: bool = False) -> bytes:
    """A tar archive in one of the forms of `tarfile`, packed with gzip or not."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(target.getvalue()) if pack else target.getvalue()


class _Unseekable(io.BytesIO):
    """Makes `zipfile` write sizes behind each file."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation
