"""FIT files as devices write them: header, definition and data messages, checksum (FIT protocol, sections 3 and 4)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

EPOCH_S = 631_065_600
#: (field number, size in bytes, base type)
TIMESTAMP, HEART_RATE = (253, 4, 0x86), (3, 1, 0x02)
TIMESTAMP_16, MONITORING_HEART_RATE = (26, 2, 0x84), (27, 1, 0x02)
FILE_ID, RECORD, MONITORING = 0, 20, 55

_CRC = (
    0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
    0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400,
)  # fmt: skip


def checksum(data: bytes, crc: int = 0) -> int:
    """The protocol's CRC-16."""
    for byte in data:
        for half in (byte & 0xF, byte >> 4):
            crc = (crc >> 4) & 0x0FFF ^ _CRC[crc & 0xF] ^ _CRC[half]
    return crc


def definition(local: int, number: int, fields: Sequence[tuple[int, int, int]], *, big_endian: bool = False) -> bytes:
    head = struct.pack(">BBBHB" if big_endian else "<BBBHB", 0x40 | local, 0, int(big_endian), number, len(fields))
    return head + b"".join(bytes(field) for field in fields)


def file_id(local: int = 0, *, manufacturer: int = 1, product: int = 3113, serial: int = 987654321) -> bytes:
    fields = [(0, 1, 0x00), (1, 2, 0x84), (2, 2, 0x84), (3, 4, 0x8C)]
    return definition(local, FILE_ID, fields) + struct.pack("<BBHHI", local, 4, manufacturer, product, serial)


def record(at_s: int, bpm: int, local: int = 1) -> bytes:
    """A data message of `[TIMESTAMP, HEART_RATE]`; the time in seconds since 1970."""
    return struct.pack("<BIB", local, at_s - EPOCH_S, bpm)


def fit_file(messages: Iterable[bytes]) -> bytes:
    body = b"".join(messages)
    head = struct.pack("<BBHI4s", 14, 0x20, 2132, len(body), b".FIT")
    whole = head + struct.pack("<H", checksum(head)) + body
    return whole + struct.pack("<H", checksum(whole))


def activity(samples: Iterable[tuple[int, int]]) -> bytes:
    """A file of records, (seconds since 1970, bpm) each."""
    records = (record(at_s, bpm) for at_s, bpm in samples)
    return fit_file([file_id(), definition(1, RECORD, [TIMESTAMP, HEART_RATE]), *records])
