"""Read the files of an Empatica E4: `HR.csv` and `TEMP.csv` with a value at a steady rate, `IBI.csv` with beats.

The first line is the start in seconds since 1970, in UTC. In the first two the second line is how many values a second
has; beats are told in seconds since the start, each with the time since the one before.
"""

from __future__ import annotations

from collections.abc import Iterator

from pulsebase.etl.extract.parts import Damage, FileOwner, Part, Stream
from pulsebase.etl.transform.gathered import GatheredReadings, number_of
from pulsebase.ingest.blocks import MalformedError
from pulsebase.ingest.lines import line_pieces
from pulsebase.model.metrics import HEART_RATE, RR_INTERVAL, SKIN_TEMPERATURE
from pulsebase.model.timerange import SECOND_US

DEVICE_ID = "empatica"
_BLOCK_READINGS = 20_000
_MILLISECONDS = 1000
#: The highest rate of any of its files is 64 Hz.
_MOST_HZ = 1000
#: The latest start that is a time at all.
_MOST_S = 1 << 36


def heart_rates(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """`HR.csv`; positions count lines."""
    return _steady(stream, owner, HEART_RATE.name)


def temperatures(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """`TEMP.csv`; positions count lines."""
    return _steady(stream, owner, SKIN_TEMPERATURE.name)


def beats(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """`IBI.csv`; positions count lines."""
    readings = GatheredReadings(owner.person, owner.zone_of, owner.device_id, DEVICE_ID)
    start_s: float | None = None
    damage = Damage()
    for number, line in damage.before(_lines(stream)):
        first, _, second = (part.strip() for part in line.partition(","))
        if start_s is None:
            start_s = _start(first)
            continue
        offset_s, length_s = number_of(first), number_of(second)
        at_us = None if offset_s is None else round((start_s + offset_s) * SECOND_US)
        length_ms = None if length_s is None else length_s * _MILLISECONDS
        readings.add(RR_INTERVAL.name, number, at_us, length_ms)
        if len(readings) >= _BLOCK_READINGS:
            yield from readings.taken()
    yield from readings.taken()
    damage.tell()


def _steady(stream: Stream, owner: FileOwner, metric: str) -> Iterator[Part]:
    readings = GatheredReadings(owner.person, owner.zone_of, owner.device_id, DEVICE_ID)
    start_s: float | None = None
    rate_hz: float | None = None
    count = 0
    damage = Damage()
    for number, line in damage.before(_lines(stream)):
        text = line.partition(",")[0].strip()
        if start_s is None:
            start_s = _start(text)
        elif rate_hz is None:
            rate_hz = number_of(text)
            if rate_hz is None or not 0 < rate_hz <= _MOST_HZ:
                raise MalformedError("the second line must be the number of values a second")
        else:
            readings.add(metric, number, round((start_s + count / rate_hz) * SECOND_US), text)
            count += 1
        if len(readings) >= _BLOCK_READINGS:
            yield from readings.taken()
    yield from readings.taken()
    damage.tell()


def _start(text: str) -> float:
    try:
        start_s = float(text)
    except ValueError:
        start_s = -1
    if not 0 <= start_s < _MOST_S:
        raise MalformedError("the first line must be the start in seconds since 1970")
    return start_s


def _lines(stream: Stream) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers."""
    number = 0
    for piece in line_pieces(stream):
        lines = piece.decode("utf-8", "replace").split("\n")
        for place, line in enumerate(lines, number + 1):
            if line.strip():
                yield place, line
        number += len(lines) - piece.endswith(b"\n")
