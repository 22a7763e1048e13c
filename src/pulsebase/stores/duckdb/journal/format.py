"""The bytes of a journal file, little-endian: a header that names the file's store, then one frame per group commit.

    header   "PBJ2" · store 16 · file 16 · file before 16 · first_seq u64 · changes u64 · CRC-32 of these u32
    frame    "PBF2" · length of the payload u32 · CRC-32 of it u32 · CRC-32 of these twelve bytes u32
             payload (MessagePack of `Frame`)

The digit in both magics is the format's version, `VERSION`. Whatever a version changes, files and frames begin with
such a magic, and no reader goes past one of a version that it does not know.

The checksum of a payload is seeded with the id of its file, so a frame of another file does not pass. `store` is the
database's instance id; `file` is random, made with the file; `file before` is the one that holds the row before
`first_seq`. A file of version 1 has no header, and "PBJ1" before each frame; its id is derived from its first frame.
"""

from __future__ import annotations

import hashlib
import re
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from pulsebase.model.errors import StoreCorruptError, StoreVersionError
from pulsebase.model.identifiers import text_problem
from pulsebase.model.timerange import MAX_US
from pulsebase.stores.duckdb.merge.stage import DTYPES, NO_CONFIDENCE, TOMBSTONE, Rows
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.people.series_numbers import metrics_of, people_of, series_number

#: The version that is written. Versions from 1 on are read.
VERSION = 2
_FILE_LETTERS, _FRAME_LETTERS = b"PBJ", b"PBF"
_FILE_MAGIC, _FRAME_MAGIC, _VERSION_1_MAGIC = (
    b"%b%d" % (letters, version)
    for letters, version in ((_FILE_LETTERS, VERSION), (_FRAME_LETTERS, VERSION), (_FILE_LETTERS, 1))
)
_MAGIC_BYTES = 4
_HEADER = struct.Struct("<4s16s16s16sQQ")
HEADER_BYTES = _HEADER.size + 4
_FRAME = struct.Struct("<4sII")
_CHECKED_FRAME = struct.Struct("<4sIII")
#: MessagePack: an array of four, an array of six, and the type byte and length of a byte string.
_FOUR, _SIX = b"\x94", b"\x96"
_BYTES, _BYTES_MARK = struct.Struct(">BI"), 0xC6
#: The id that stands for "no file" before a store's first one.
NO_FILE = bytes(16).hex()
#: The prefix of the ids of files of version 1.
VERSION_1 = _VERSION_1_MAGIC.hex()
_MOST_CONFIDENCE = 3
_NAME = re.compile(r"\d{20}\.journal")


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One group commit, read back: its rows as packed columns, and the numbers given to people and devices with it."""

    first_seq: int
    users: list[tuple[int, str]]
    devices: list[tuple[int, str]]
    columns: list[bytes]

    def rows(self) -> Rows:
        """Unpack the rows."""
        return Rows(*(np.frombuffer(raw, dtype) for raw, dtype in zip(self.columns, DTYPES.values(), strict=True)))


@dataclass(frozen=True, slots=True)
class Header:
    """Which store a file belongs to, and where in its journal. Ids are in hexadecimal digits.

    Attributes:
        store: the store it belongs to; None in version 1.
        file: its own id.
        before: the file that holds the row before its first; None in version 1.
        first_seq: the sequence number of its first row; None in version 1, where only frames have one.
        changes: the database had seen at least this many changes when the file was begun.
    """

    store: str | None
    file: str
    before: str | None
    first_seq: int | None
    changes: int = 0

    @property
    def is_version_1(self) -> bool:
        """Whether the file is of version 1, which had no header."""
        return self.store is None


def new_header(store: str, before: str, first_seq: int, changes: int) -> Header:
    """Make the header of a new file."""
    return Header(uuid.UUID(store).hex, uuid.uuid4().hex, before, first_seq, changes)


def header_bytes(header: Header) -> bytes:
    """Encode a header."""
    assert header.store is not None
    assert header.before is not None
    ids = (bytes.fromhex(text) for text in (header.store, header.file, header.before))
    packed = _HEADER.pack(_FILE_MAGIC, *ids, header.first_seq, header.changes)
    return packed + zlib.crc32(packed).to_bytes(4, "little")


def read_header(path: Path, data: bytes | memoryview) -> Header | None:
    """Decode the header at the beginning of a file's bytes; None if there are too few for one.

    Raises:
        StoreVersionError: the file was written by a newer version.
        StoreCorruptError: the bytes are not a header.
    """
    magic = bytes(data[:_MAGIC_BYTES])
    if magic == _VERSION_1_MAGIC:
        if len(data) < _CHECKED_FRAME.size:
            return None
        digest = hashlib.blake2b(data[: _CHECKED_FRAME.size], digest_size=12).digest()
        return Header(None, (_VERSION_1_MAGIC + digest).hex(), None, None)
    refuse_newer(path, magic)
    if len(data) < HEADER_BYTES and _FILE_MAGIC.startswith(magic):
        return None
    if magic != _FILE_MAGIC:
        raise corrupt(path, 0)
    if zlib.crc32(data[: _HEADER.size]) != int.from_bytes(data[_HEADER.size : HEADER_BYTES], "little"):
        raise corrupt(path, 0)
    _, store, file, before, first_seq, changes = _HEADER.unpack_from(data)
    return Header(store.hex(), file.hex(), before.hex(), first_seq, changes)


def frame_bytes(
    file: str, first_seq: int, users: list[tuple[int, str]], devices: list[tuple[int, str]], rows: Rows
) -> bytes:
    """Encode a frame of this file. Columns are copied once, into the buffer that is written."""
    head = _encoder.encode((first_seq, users, devices))
    payload: list[bytes | memoryview] = [_FOUR + head[len(_FOUR) :] + _SIX]
    for name in DTYPES:
        column = np.ascontiguousarray(getattr(rows, name)).view(np.uint8).data
        payload += [_BYTES.pack(_BYTES_MARK, len(column)), column]
    checksum = _seed(file)
    for part in payload:
        checksum = zlib.crc32(part, checksum)
    header = _FRAME.pack(_FRAME_MAGIC, sum(map(len, payload)), checksum)
    return b"".join((header, zlib.crc32(header).to_bytes(4, "little"), *payload))


def refuse_newer(path: Path, magic: bytes) -> None:
    """Refuse what another version wrote: its bytes are not for this one to judge, still less to cut off.

    Raises:
        StoreVersionError: the magic, of a file or a frame, names a version newer than `VERSION`.
    """
    letters, version = magic[:-1], magic[-1:]
    if letters in (_FILE_LETTERS, _FRAME_LETTERS) and version.isdigit() and int(version) > VERSION:
        raise StoreVersionError(
            f"{path} has journal version {int(version)}, this program knows versions up to {VERSION}; use a newer "
            "version of Pulsebase"
        )


def frames(path: Path, header: Header, data: memoryview, begin: int | None = None) -> Iterator[tuple[int, int, Frame]]:
    """Iterate over the frames of a file as (start, end, frame), up to one that is cut short; over all of them, or from
    the one that begins at this byte.

    Raises:
        StoreVersionError: a frame was written by a newer version.
        StoreCorruptError: bytes are not what was written, or cannot be a commit.
    """
    at, magic, seed = HEADER_BYTES, _FRAME_MAGIC, _seed(header.file)
    if header.is_version_1:
        at, magic, seed = 0, _VERSION_1_MAGIC, 0
    at = at if begin is None else begin
    while at < len(data):
        refuse_newer(path, bytes(data[at : at + _MAGIC_BYTES]))
        if at + _CHECKED_FRAME.size > len(data):
            return
        body = at + _CHECKED_FRAME.size
        found_magic, length, checksum, checksum_of_header = _CHECKED_FRAME.unpack_from(data, at)
        if zlib.crc32(data[at : at + _FRAME.size]) != checksum_of_header or found_magic != magic:
            raise corrupt(path, at)
        end = body + length
        if end > len(data):
            return
        if zlib.crc32(data[body:end], seed) != checksum:
            raise corrupt(path, at)
        yield at, end, _decoded(path, at, data[body:end])
        at = end


def restore_names(path: Path, at: int, frame: Frame, users: IdNumbers, devices: IdNumbers) -> None:
    """Restore the numbers of people and devices that a frame brought.

    Raises:
        StoreCorruptError: they are not the next ones, or already stand for somebody else.
    """
    for names, given in ((users, frame.users), (devices, frame.devices)):
        for number, text in given:
            if text_problem(text) is not None or not names.restore(number, text):
                raise impossible_commit(path, at, f"number {number} is given to somebody who cannot have it")


def check_rows(  # noqa: PLR0917 what numbers may occur
    path: Path, at: int, rows: Rows, users: IdNumbers, devices: IdNumbers, metrics: int
) -> None:
    """Check that the rows of a frame are ones that a store of so many metrics writes.

    Raises:
        StoreCorruptError: they are of an unknown person or device, or hold values that cannot be stored.
    """
    # As unsigned, a negative number is a large one: comparing the maximum is enough.
    greatest = _greatest(rows.user_no, np.uint32)
    if greatest >= series_number(0, 1):
        if greatest >= series_number(0, metrics):
            raise impossible_commit(path, at, "a reading is of a metric that the database does not know")
        greatest = _greatest(people_of(rows.user_no), np.uint32)
    if greatest >= len(users) or _greatest(rows.device_no, np.uint32) >= len(devices):
        raise impossible_commit(path, at, "a reading is of a person or device that nobody knows")
    if _greatest(rows.t, np.uint64) > MAX_US or rows.origin.min() < 0:
        raise impossible_commit(path, at, "a reading has a time or an origin that cannot be")
    if rows.confidence.min() < NO_CONFIDENCE or rows.confidence.max() > _MOST_CONFIDENCE:
        raise impossible_commit(path, at, "a reading has a confidence that cannot be")
    if rows.v.min() < 0 and not ((rows.v >= 0) | (rows.v == TOMBSTONE) | (metrics_of(rows.user_no) > 0)).all():
        raise impossible_commit(path, at, "a reading has a value that cannot be")


def file_name(first_seq: int) -> str:
    """Return the name of the file whose first row has this sequence number."""
    return f"{first_seq:020d}.journal"


def is_file_name(name: str) -> bool:
    """Whether this is the name of a journal file."""
    return _NAME.fullmatch(name) is not None


def corrupt(path: Path, at: int) -> StoreCorruptError:
    """Make the error for bytes whose checksum differs."""
    return StoreCorruptError(f"{path}: the bytes from {at} on are not what was written")


def impossible_commit(path: Path, at: int, what: str) -> StoreCorruptError:
    """Make the error for a commit whose checksums are right but whose content cannot be."""
    return StoreCorruptError(f"{path}: the commit at byte {at} cannot be: {what}")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)
_SIZES = [np.dtype(dtype).itemsize for dtype in DTYPES.values()]


def _decoded(path: Path, at: int, payload: memoryview) -> Frame:
    try:
        frame = _decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise impossible_commit(path, at, "it is no commit") from error
    if len(frame.columns) != len(_SIZES) or frame.first_seq < 0:
        raise impossible_commit(path, at, "it has not the columns of a commit")
    count = len(frame.columns[0]) // _SIZES[0]
    if count == 0 or any(len(raw) != count * size for raw, size in zip(frame.columns, _SIZES, strict=True)):
        raise impossible_commit(path, at, "its columns differ in length")
    return frame


def _greatest(column: np.ndarray, unsigned: type[np.unsignedinteger]) -> int:
    return int(column.view(unsigned).max())


def _seed(file: str) -> int:
    return zlib.crc32(bytes.fromhex(file))
