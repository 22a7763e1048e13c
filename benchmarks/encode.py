"""Readings as the bytes of each protocol, whole columns at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.workloads import DAY_S, DEVICES, NO_CONFIDENCE, Array, Ints, Readings, user_id

Bytes = npt.NDArray[np.uint8]

_NUMBERS = np.zeros((256, 3), np.uint8)
for _n in range(256):
    _NUMBERS[_n, : len(str(_n))] = list(str(_n).encode())
_USERS = np.array([list(user_id(n).encode()) for n in range(2_000)], np.uint8)
_DEVICES = np.array([list(name.encode()) for name in DEVICES], np.uint8)
_CLOCK = np.array([list(f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}".encode()) for s in range(DAY_S)], np.uint8)
_CONFIDENCE = list(b',"confidence":')


def json_readings(readings: Readings) -> tuple[bytes, Ints]:
    """`{…},{…},` and where each reading ends; no spaces, as programs write it."""
    confidence = np.zeros((len(readings), len(_CONFIDENCE) + 1), np.uint8)
    has = readings.confidences != NO_CONFIDENCE
    confidence[has, :-1] = _CONFIDENCE
    confidence[has, -1] = readings.confidences[has] + ord("0")
    return _rows(
        len(readings),
        [
            b'{"device_id":"',
            _DEVICES[readings.devices],
            b'","user_id":"',
            _USERS[readings.people],
            b'","timestamp":"',
            _dates(readings.times_s),
            b"T",
            _CLOCK[readings.times_s % DAY_S],
            b'Z","heart_rate":',
            _NUMBERS[readings.bpm],
            confidence,
            b"},",
        ],
    )


def influx_lines(readings: Readings) -> tuple[bytes, Ints]:
    """Line protocol with times in seconds, and where each line ends."""
    return _rows(
        len(readings),
        [
            b"heart_rate,user_id=",
            _USERS[readings.people],
            b",device_id=",
            _DEVICES[readings.devices],
            b" bpm=",
            _NUMBERS[readings.bpm],
            b" ",
            _digits(readings.times_s, 10),
            b"\n",
        ],
    )


def victoria_lines(readings: Readings) -> bytes:
    """JSON lines of VictoriaMetrics: a line for each run of one device's readings."""
    values, value_ends = _rows(len(readings), [_NUMBERS[readings.bpm], b","])
    times, time_ends = _rows(len(readings), [_digits(readings.times_s, 10), b"000,"])
    series = readings.people.astype(np.int64) * len(DEVICES) + readings.devices
    edges = [0, *(np.flatnonzero(np.diff(series)) + 1).tolist(), len(readings)]
    lines = []
    for first, last in pairwise(edges):
        person, device = user_id(int(readings.people[first])), DEVICES[int(readings.devices[first])]
        head = f'{{"metric":{{"__name__":"heart_rate_bpm","user_id":"{person}","device_id":"{device}"}},"values":['
        lines += [
            head.encode(),
            _between(values, value_ends, first, last),
            b'],"timestamps":[',
            _between(times, time_ends, first, last),
            b"]}\n",
        ]
    return b"".join(lines)


def arrow_stream(readings: Readings, record_batch_readings: int) -> bytes:
    """An Arrow IPC stream of several record batches, ids as dictionaries."""
    users = pa.array([user_id(n) for n in range(int(readings.people.max()) + 1)])
    confidences = pa.array(readings.confidences, mask=readings.confidences == NO_CONFIDENCE)
    batch = pa.record_batch(
        {
            "user_id": pa.DictionaryArray.from_arrays(pa.array(readings.people), users),
            "device_id": pa.DictionaryArray.from_arrays(pa.array(readings.devices), pa.array(DEVICES)),
            "timestamp": pa.array(readings.times_s * 1_000_000).cast(pa.timestamp("us", "UTC")),
            "heart_rate": pa.array(readings.bpm.astype(np.float64)),
            "confidence": confidences,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for start in range(0, len(readings), record_batch_readings):
            writer.write_batch(batch.slice(start, record_batch_readings))
    return bytes(sink.getvalue())


def pieces(text: bytes, ends: Ints, size: int) -> Iterator[bytes]:
    """The rows, `size` at a time, without the last row's separator."""
    for first in range(0, len(ends), size):
        yield _between(text, ends, first, min(first + size, len(ends)))


def _between(text: bytes, ends: Ints, first: int, last: int) -> bytes:
    return text[int(ends[first - 1]) if first else 0 : int(ends[last - 1]) - 1]


def _rows(count: int, columns: list[bytes | Array]) -> tuple[bytes, Ints]:
    """Rows side by side from fixed texts and columns of letters; letters that are 0 are left out."""
    widths = [len(column) if isinstance(column, bytes) else column.shape[1] for column in columns]
    table = np.empty((count, sum(widths)), np.uint8)
    at = 0
    for column, width in zip(columns, widths, strict=True):
        table[:, at : at + width] = np.frombuffer(column, np.uint8) if isinstance(column, bytes) else column
        at += width
    kept = table != 0
    return table[kept].tobytes(), np.asarray(np.cumsum(kept.sum(axis=1, dtype=np.int64)), np.int64)


def _dates(times_s: Ints) -> Bytes:
    days, inverse = np.unique(times_s // DAY_S, return_inverse=True)
    texts = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
    return np.asarray(np.array([list(text.encode()) for text in texts], np.uint8)[inverse], np.uint8)


def _digits(numbers: Ints, width: int) -> Bytes:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return np.asarray(numbers[:, None] // powers % 10 + ord("0"), np.uint8)
