"""Read an Arrow IPC stream in bounded memory, message by message.

Arrow's own reader trusts the sizes that a message states: it allocates a buffer before it decompresses into it. So each
message is checked here before Arrow sees it, against limits on its size as sent and as decompressed.

Formats: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc, and of
the tables in a message's head https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import pyarrow as pa

from pulsebase.ingest.blocks import MalformedError, TooLargeError

#: The most bytes (decompressed) and values of the dictionaries in force: every batch refers to all of them, however few
#: rows it has.
_DICTIONARIES_BYTES = 64 << 20
_DICTIONARY_VALUES = 4_000_000
#: The most dictionaries between two batches, and the most additions to dictionaries: Arrow copies one each time.
_DICTIONARIES_BETWEEN = 64
_MOST_DELTAS = 256
#: Rows that a batch may state beyond those it has bytes for: a column of nulls alone takes none.
_FREE_ROWS = 100_000
_CONTINUES = b"\xff\xff\xff\xff"
_DICTIONARY, _RECORDS = 2, 3
#: The fields of the tables `Message`, `DictionaryBatch` and `RecordBatch`, by their places in the schema.
_KIND, _HEADER, _BODY_BYTES = 1, 2, 3
_ID, _DATA, _IS_DELTA = 0, 1, 2
_ROWS, _BUFFERS, _COMPRESSION = 0, 2, 3
_HEAD_BYTES = 1 << 20
#: The same of the table `Footer`; and what follows it in a file: its length, and how Arrow files end.
_FILE_DICTIONARIES, _FILE_RECORDS = 2, 3
_FILE_END_BYTES = 10
#: How old writers stated that buffers are compressed; Arrow still accepts it.
_PACKED_OF_OLD = b"ARROW:experimental_compression"
#: What reading one row costs at least, counted in bytes.
_ROW_BYTES = 64


class Body(Protocol):
    """The source of the bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return `size` bytes, fewer only where the body ends."""


class FileAsStream:
    """The messages of an Arrow file (Feather) one after the other, as a stream has them. The file says at its end where
    they are; what lies between them is skipped.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the table of contents.

        Raises:
            MalformedError: the file is damaged or cut short.
        """
        self._file, self._left = file, 0
        try:
            with pa.ipc.open_file(pa.PythonFile(file, mode="r")) as contents:
                self._schema = memoryview(contents.schema.serialize().to_pybytes())
            self._blocks = deque(self._found())
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, struct.error, IndexError):
            raise MalformedError(
                "the file is damaged or cut short: an Arrow file cannot be read without its end"
            ) from None

    def read(self, size: int = -1, /) -> bytes:
        """See `Body.read`."""
        taken = bytes(self._schema[:size])
        self._schema = self._schema[size:]
        while len(taken) < size and (self._left or self._blocks):
            if not self._left:
                start, self._left = self._blocks.popleft()
                self._file.seek(start)
            piece = self._file.read(min(size - len(taken), self._left))
            if not piece:
                break
            taken, self._left = taken + piece, self._left - len(piece)
        return taken

    def _found(self) -> Iterator[tuple[int, int]]:
        """Yield where each message begins, and its length: first the dictionaries, which the others refer to."""
        size = self._file.seek(0, 2)
        self._file.seek(size - _FILE_END_BYTES)
        length = int(struct.unpack_from("<i", self._file.read(4))[0])
        if not 0 < length <= size - _FILE_END_BYTES:
            raise IndexError
        self._file.seek(size - _FILE_END_BYTES - length)
        contents = _message(self._file.read(length))
        for field in (_FILE_DICTIONARIES, _FILE_RECORDS):
            vector = contents.place(field)
            vector += _number("<I", contents.data, vector) if vector else 0
            for number in range(_number("<I", contents.data, vector) if vector else 0):
                start, head, body = struct.unpack_from("<qi4xq", contents.data, vector + 4 + 24 * number)
                if min(start, head, body) < 0 or start + head + body > size:
                    raise IndexError
                yield start, head + body


class BoundedMessages:
    """A file for Arrow's reader, over the body of a request or a file.

    `most_bytes` limits each message, and all dictionaries together, which stay in memory until they are replaced.
    `most_read_bytes` limits the whole stream: all batches as decompressed, each with the dictionaries it may use. Both
    are needed since a few sent bytes can stand for very many.
    """

    def __init__(self, body: Body, most_bytes: int, most_read_bytes: int) -> None:
        self._body, self._most_bytes = body, most_bytes
        self._left_bytes = most_read_bytes
        self._held: dict[int, int] = {}  # bytes of dictionaries by their numbers
        self._parts: deque[bytes] = deque()  # of the current message; Arrow asks for one at a time
        self._begun = False
        self._dictionaries = _Dictionaries()
        self.closed = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of the current message, or of the next one.

        Raises:
            TooLargeError: the next message is too large.
            MalformedError: it is not a valid message.
        """
        if not self._parts:
            self._parts.extend(self._next())
        part = self._parts.popleft() if self._parts else b""
        if len(part) > size:
            self._parts.appendleft(part[size:])
        return part[:size]

    def readable(self) -> bool:
        """Tell Arrow that this can be read."""
        return True

    def close(self) -> None:
        """Called by Arrow when it is done."""
        self.closed = True

    def _next(self) -> Iterator[bytes]:
        """Yield the parts of the next message; where the body ends, as much of it as there is."""
        length = self._body.read(4)
        yield length
        if length == _CONTINUES:  # older writers leave it out
            length = self._body.read(4)
            yield length
        head_bytes = int.from_bytes(length, "little", signed=True)
        if head_bytes <= 0:  # the end of the stream
            return
        if head_bytes > _HEAD_BYTES and not self._begun:  # a body of another type begins with any number
            raise MalformedError("it is not an Arrow IPC stream")
        self._begun = True
        self._check(head_bytes, _HEAD_BYTES)
        head = self._body.read(head_bytes)
        yield head
        if len(head) < head_bytes:
            return
        try:
            body_bytes = _body_bytes(head)
            self._check(body_bytes, self._most_bytes)
            body = b""
            if body_bytes > 0:
                body = self._body.read(body_bytes)
                if len(body) < body_bytes:
                    yield body
                    return
            self._take(head, body)
            if body:
                yield body
        except (struct.error, IndexError):
            raise MalformedError("it is not an Arrow IPC stream, or is cut short") from None

    def _take(self, head: bytes, body: bytes) -> None:
        """Check the size of a whole message against the limits, and count it."""
        message = _message(head)
        kind = head[message.place(_KIND)]
        if kind not in (_DICTIONARY, _RECORDS):
            return
        if _PACKED_OF_OLD in head:
            raise MalformedError("a record batch is packed as before Arrow 1.0; write it anew")
        table = message.table(_HEADER)
        records = table.table(_DATA) if kind == _DICTIONARY else table
        size = max(len(body), _unpacked_bytes(records, body))
        self._check(size, self._most_bytes)
        rows = records.number("<q", _ROWS)
        if rows < 0:
            raise MalformedError("a record batch says that it has fewer rows than none")
        if rows > size + _FREE_ROWS:
            raise MalformedError("a record batch says that it has more rows than it has bytes")
        if kind == _DICTIONARY:
            number, is_delta = table.number("<q", _ID), table.number("<B", _IS_DELTA)
            self._dictionaries.take(number, size, rows, is_delta)
            size += self._held.get(number, 0) if is_delta else 0
            self._held[number] = size
            if sum(self._held.values()) > self._most_bytes:
                detail = f"the dictionaries are larger than {self._most_bytes} bytes in all; write smaller ones"
                raise TooLargeError(detail)
        else:
            self._dictionaries.between = 0
            size = max(size, rows * _ROW_BYTES) + sum(self._held.values())
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise TooLargeError("the batches and their dictionaries unpack to too much; send it in parts")

    def _check(self, size: int, most_bytes: int) -> None:
        if size > most_bytes:
            detail = f"a record batch is larger than {most_bytes} bytes; write smaller ones"
            raise TooLargeError(detail)


class _Dictionaries:
    """Counts the dictionaries of a stream. A new one replaces the old one of its number; a delta adds to it."""

    def __init__(self) -> None:
        self._bytes: dict[int, int] = {}
        self._values: dict[int, int] = {}
        self._deltas = self.between = 0

    def take(self, number: int, size: int, values: int, is_delta: int) -> None:
        """Count another dictionary. Raises `TooLargeError` if a limit is exceeded."""
        self.between += 1
        self._deltas += bool(is_delta)
        self._bytes[number] = size + (self._bytes.get(number, 0) if is_delta else 0)
        self._values[number] = values + (self._values.get(number, 0) if is_delta else 0)
        if sum(self._bytes.values()) > _DICTIONARIES_BYTES:
            detail = f"the dictionaries of the stream are larger than {_DICTIONARIES_BYTES} bytes in all"
        elif not 0 <= sum(self._values.values()) <= _DICTIONARY_VALUES:
            detail = f"the dictionaries of the stream have more than {_DICTIONARY_VALUES} values in all"
        elif self.between > _DICTIONARIES_BETWEEN:
            detail = f"more than {_DICTIONARIES_BETWEEN} dictionaries come before a record batch"
        elif self._deltas > _MOST_DELTAS:
            detail = f"dictionaries are added to more than {_MOST_DELTAS} times"
        else:
            return
        raise TooLargeError(f"{detail}; write plain texts")


class _Table:
    """A table in a flatbuffer; see the internals of the format."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self._fields = at - _number("<i", data, at)

    def place(self, field: int) -> int:
        """Return the offset of the field's value, 0 if the field is left out."""
        slot = 4 + 2 * field
        if slot >= _number("<H", self.data, self._fields):
            return 0
        offset = _number("<H", self.data, self._fields + slot)
        return self.at + offset if offset else 0

    def number(self, form: str, field: int) -> int:
        """Return the field's value, 0 if it is left out."""
        place = self.place(field)
        return _number(form, self.data, place) if place else 0

    def table(self, field: int) -> _Table:
        """Return the table that the field refers to."""
        place = self.place(field)
        return _Table(self.data, place + _number("<I", self.data, place))


def _body_bytes(head: bytes) -> int:
    return _message(head).number("<q", _BODY_BYTES)


def _unpacked_bytes(records: _Table, body: bytes) -> int:
    """Return the size of a record batch's or dictionary's buffers once decompressed. Several buffers may share the same
    bytes, and each counts.
    """
    if not records.place(_BUFFERS):
        return 0
    head, vector, is_packed = records.data, records.place(_BUFFERS), bool(records.place(_COMPRESSION))
    vector += _number("<I", head, vector)
    total = 0
    for number in range(_number("<I", head, vector)):
        offset, length = struct.unpack_from("<qq", head, vector + 4 + 16 * number)
        if length < 0 or offset < 0:
            raise IndexError
        if length and not is_packed:
            total += length
        elif length:
            unpacked = _number("<q", body, offset)
            total += unpacked if unpacked >= 0 else length  # -1: this one is not packed
    return total


def _message(head: bytes) -> _Table:
    return _Table(head, _number("<I", head, 0))


def _number(form: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])
