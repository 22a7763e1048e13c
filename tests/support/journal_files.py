"""The journal's files read and written by code of their own, after docs/reference/storage.md."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

#: user_no, device_no, t, v, confidence, origin
TYPES = ("<i4", "<i4", "<i8", "<i2", "i1", "<i4")
HEADER_BYTES = 72

Row = tuple[int, int, int, int, int, int]
Given = Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Commit:
    """One commit, and where its frame begins."""

    first_seq: int
    users: dict[int, str]
    devices: dict[int, str]
    rows: list[Row]
    at: int


@dataclass(frozen=True)
class Head:
    """The header of a file."""

    store: bytes
    file: bytes
    before: bytes
    first_seq: int
    changes: int

    def packed(self, magic: bytes = b"PBJ2") -> bytes:
        data = magic + self.store + self.file + self.before + struct.pack("<QQ", self.first_seq, self.changes)
        return data + struct.pack("<I", zlib.crc32(data))


def head_of(path: Path) -> Head:
    data = path.read_bytes()[:HEADER_BYTES]
    assert (data[:4], zlib.crc32(data[:68])) == (b"PBJ2", struct.unpack("<I", data[68:])[0])
    return Head(data[4:20], data[20:36], data[36:52], *struct.unpack("<QQ", data[52:68]))


def commits_of(path: Path) -> list[Commit]:
    """The whole commits of a file of either version."""
    data, commits = path.read_bytes(), []
    is_new = data[:4] == b"PBJ2"
    at, magic = (HEADER_BYTES, b"PBF2") if is_new else (0, b"PBJ1")
    seed = zlib.crc32(data[20:36]) if is_new else 0
    while at + 16 <= len(data):
        found, length, checksum, of_header = struct.unpack("<4sIII", data[at : at + 16])
        payload = data[at + 16 : at + 16 + length]
        assert (found, zlib.crc32(data[at : at + 12])) == (magic, of_header)
        if len(payload) < length:
            break
        assert zlib.crc32(payload, seed) == checksum
        first_seq, users, devices, columns = msgspec.msgpack.decode(payload)
        rows = list(zip(*(np.frombuffer(*each).tolist() for each in zip(columns, TYPES, strict=True)), strict=True))
        commits.append(Commit(first_seq, dict(users), dict(devices), rows, at))
        at += 16 + length
    return commits


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.journal"))


def columns_of(rows: Sequence[Row]) -> list[bytes]:
    return [
        np.array(column, kind).tobytes() for column, kind in zip(zip(*rows, strict=True), TYPES, strict=True)
    ]  # fmt: skip


def payload_of(first_seq: int, users: Given, devices: Given, rows: Sequence[Row]) -> bytes:
    return msgspec.msgpack.encode([first_seq, list(users), list(devices), columns_of(rows)])


def frame_of(payload: bytes, file: bytes | None, magic: bytes | None = None) -> bytes:
    """A frame with right sums; of version 1 where it is of no file."""
    seed = 0 if file is None else zlib.crc32(file)
    header = magic or (b"PBJ1" if file is None else b"PBF2")
    header += struct.pack("<II", len(payload), zlib.crc32(payload, seed))
    return header + struct.pack("<I", zlib.crc32(header)) + payload


def list_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".list")


def listed(folder: Path) -> dict[str, Any]:
    checksum, _, body = list_of(folder).read_bytes().partition(b" ")
    assert int(checksum, 16) == zlib.crc32(body)
    said: dict[str, Any] = json.loads(body)
    return said


def rewrite_list(folder: Path, **changes: Any) -> None:
    body = json.dumps(listed(folder) | changes).encode()
    list_of(folder).write_bytes(b"%08x " % zlib.crc32(body) + body)


def as_version_1(folder: Path) -> None:
    """Write what the journal holds as the version before wrote it: frames alone, and no list."""
    for path in files_of(folder):
        frames = [
            frame_of(payload_of(each.first_seq, list(each.users.items()), list(each.devices.items()), each.rows), None)
            for each in commits_of(path)
        ]
        path.write_bytes(b"".join(frames))
    list_of(folder).unlink(missing_ok=True)
