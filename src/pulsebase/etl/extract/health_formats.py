"""Read files in the formats of health systems: FHIR Observations, and data points of Open mHealth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pulsebase.etl.extract.json_objects import objects_in
from pulsebase.etl.extract.parts import Damage, FileOwner, Kind, Part, PassedOver, RecordBlock, Stream
from pulsebase.etl.transform.fhir import FhirReader
from pulsebase.etl.transform.health_readings import HealthReadings
from pulsebase.etl.transform.open_mhealth import OpenMHealthReader

_BLOCK_READINGS = 50_000
_BLOCK_DAYS = 500
#: How many objects may pass before whoever waits hears of it.
_MOST_SILENT = 10_000
#: How much of a file tells whether it is one large Bundle or has an object a line.
_HEAD_BYTES = 1 << 16
#: Bundles in Bundles are read this deep.
_MOST_NESTED = 3
_RESOURCE = re.compile(rb'"resourceType"\s*:\s*"(?:Bundle|Observation)"')
_HEADER = re.compile(rb'"header"\s*:\s*\{')
_SCHEMA_ID = re.compile(rb'"schema_id"\s*:\s*\{')
_BOM = b"\xef\xbb\xbf"


def fhir(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """A Bundle, Observations a line each or in a list, or a single one; positions count resources from 1."""
    readings = HealthReadings()
    reader = FhirReader(owner.whose, owner.device_id, readings, datetime.now(UTC).date())
    peeked = _Peeked(stream)
    place = 0
    damage = Damage()
    lists = () if peeked.begins_whole else ("entry",)
    for number, found in damage.before(objects_in(peeked, lists)):
        for resource in _resources(found, readings.pass_over):
            place += 1
            reader.read(resource, place)
            if len(readings) >= _BLOCK_READINGS:
                yield from readings.taken()
        if len(reader.days) >= _BLOCK_DAYS:
            yield _days_of(reader)
        if number % _MOST_SILENT == 0:
            yield from readings.so_far()
    yield from readings.taken()
    if reader.days:
        yield _days_of(reader)
    for what, count in readings.passed_over:
        yield PassedOver(what, count)
    damage.tell()


def _days_of(reader: FhirReader) -> RecordBlock:
    """Return the days that were read, as records: they may be of anybody, so each has to be in the caller's reach."""
    days, reader.days = reader.days, []
    return RecordBlock([day for day, _ in days], [place for _, place in days], [], len(days))


def open_mhealth(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Data points or data series, a line each, in a list, or a single one; positions count them from 1."""
    readings = HealthReadings()
    reader = OpenMHealthReader(owner.whose, owner.device_id, readings)
    damage = Damage()
    for number, point in damage.before(objects_in(stream)):
        reader.read(point, number)
        if len(readings) >= _BLOCK_READINGS:
            yield from readings.taken()
        elif number % _MOST_SILENT == 0:
            yield from readings.so_far()
    yield from readings.taken()
    for what, count in readings.passed_over:
        yield PassedOver(what, count)
    damage.tell()


FHIR = Kind("FHIR Observations", "resource", True, fhir)
OPEN_MHEALTH = Kind("Open mHealth", "data point", True, open_mhealth)


def kind_of_health(head: bytes) -> Kind | None:
    """Return the kind of a file by its first bytes, None if it is in none of these formats."""
    text = head.removeprefix(_BOM).lstrip()
    if text[:1] not in (b"{", b"["):
        return None
    if _RESOURCE.search(text):
        return FHIR
    return OPEN_MHEALTH if _HEADER.search(text) and _SCHEMA_ID.search(text) else None


def _resources(
    found: Mapping[str, Any], pass_over: Callable[[str], None], depth: int = 0
) -> Iterator[Mapping[str, Any]]:
    """Yield the resources of an object: itself, that of an entry, or those of a Bundle."""
    if "resourceType" not in found:
        inner = found.get("resource")
        if isinstance(inner, dict):
            yield from _resources(inner, pass_over, depth)
        else:
            pass_over("entries without a resource")
    elif found["resourceType"] != "Bundle" or not isinstance(found.get("entry") or [], list):
        yield found
    elif depth >= _MOST_NESTED:
        pass_over("Bundles too deep in Bundles")
    else:
        for entry in found.get("entry") or ():
            if isinstance(entry, dict):
                yield from _resources(entry, pass_over, depth + 1)
            else:
                pass_over("entries without a resource")


class _Peeked:
    """A stream whose beginning was looked at."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._head = stream.read(_HEAD_BYTES)

    @property
    def begins_whole(self) -> bool:
        """Whether the first object ends within the head, so that others may follow it."""
        try:
            json.JSONDecoder().raw_decode(self._head.removeprefix(_BOM).decode("utf-8", "replace").lstrip())
        except (ValueError, RecursionError):
            return False
        return True

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only where the file ends."""
        if not self._head:
            return self._stream.read(size)
        taken, self._head = self._head[:size], self._head[size:]
        return taken + self._stream.read(size - len(taken)) if len(taken) < size else taken
