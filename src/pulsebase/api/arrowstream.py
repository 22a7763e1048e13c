"""An Arrow IPC stream, message by message, none of which may take more memory than is allowed, as sent or unpacked.

Arrow's own reader takes the sizes that a message states at their word: it makes room for a buffer before it unpacks
it. So the messages are looked at here on their way to it.

Formats: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc, and of
the tables in a message's head https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from pulsebase.api.errors import ProblemError

_CONTINUES = b"\xff\xff\xff\xff"
_DICTIONARY, _RECORDS = 2, 3
#: The fields of the tables `Message`, `DictionaryBatch` and `RecordBatch`, by their places in the schema.
_KIND, _HEADER, _BODY_BYTES = 1, 2, 3
_ID, _DATA, _IS_DELTA = 0, 1, 2
_ROWS, _BUFFERS, _COMPRESSION = 0, 2, 3
_HEAD_BYTES = 1 << 20
#: How writers of long ago said that buffers are packed; Arrow still believes it.
_PACKED_OF_OLD = b"ARROW:experimental_compression"
#: Rows of a record batch without a byte of their own, which columns of nothing but nulls may have.
_EMPTY_ROWS = 100_000
#: What reading a row comes to at least, in bytes read.
_ROW_BYTES = 64


class Body(Protocol):
    """What is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all of them unless the body ends."""


class BoundedMessages:
    """A file for Arrow's reader, over the body that a request brings.

    `most_bytes` bounds each message, and all dictionaries together, which are held until others take their places.
    `most_read_bytes` bounds what is read in all: batches as unpacked, each with the dictionaries that it may use. A few
    bytes stand for a lot of either.
    """

    def __init__(self, body: Body, most_bytes: int, most_read_bytes: int) -> None:
        self._body, self._most_bytes = body, most_bytes
        self._left_bytes = most_read_bytes
        self._dictionaries: dict[int, int] = {}  # bytes by id
        self._parts: deque[bytes] = deque()  # of the current message; Arrow asks for one at a time
        self._begun = False
        self.closed = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the current message, or of the next one.

        Raises:
            ProblemError: the next message is too large, or is none.
        """
        if not self._parts:
            self._parts.extend(self._next())
        part = self._parts.popleft() if self._parts else b""
        if len(part) > size:
            self._parts.appendleft(part[size:])
        return part[:size]

    def readable(self) -> bool:
        """For Arrow, which asks."""
        return True

    def close(self) -> None:
        """For Arrow, which closes what it has read."""
        self.closed = True

    def _next(self) -> Iterator[bytes]:
        """The parts of the next message; nothing, or what there is of it, where the body ends."""
        length = self._body.read(4)
        yield length
        if length == _CONTINUES:  # older writers leave it out
            length = self._body.read(4)
            yield length
        head_bytes = int.from_bytes(length, "little", signed=True)
        if head_bytes <= 0:  # the end of the stream
            return
        if head_bytes > _HEAD_BYTES and not self._begun:  # what is no stream begins with any number
            raise ProblemError("malformed-body", "the body is not an Arrow IPC stream")
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
            raise ProblemError("malformed-body", "the body is not an Arrow IPC stream, or is cut short") from None

    def _take(self, head: bytes, body: bytes) -> None:
        """See what a whole message comes to."""
        message = _message(head)
        kind = head[message.place(_KIND)]
        if kind not in (_DICTIONARY, _RECORDS):
            return
        if _PACKED_OF_OLD in head:
            raise ProblemError("malformed-body", "a record batch is packed as before Arrow 1.0; write it anew")
        table = message.table(_HEADER)
        records = table.table(_DATA) if kind == _DICTIONARY else table
        size = _unpacked_bytes(records, body)
        self._check(size, self._most_bytes)
        rows = records.number(_ROWS, "<q")
        if rows > max(size, _EMPTY_ROWS):
            raise ProblemError("malformed-body", "a record batch says that it has more rows than it has bytes")
        if kind == _DICTIONARY:
            number = table.number(_ID, "<q")
            held = self._dictionaries.get(number, 0) if table.number(_IS_DELTA, "<B") else 0
            self._dictionaries[number] = held + size
            if sum(self._dictionaries.values()) > self._most_bytes:
                detail = f"the dictionaries are larger than {self._most_bytes} bytes in all; write smaller ones"
                raise ProblemError("body-too-large", detail)
            size += held
        else:
            size = max(size, rows * _ROW_BYTES) + sum(self._dictionaries.values())
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise ProblemError(
                "body-too-large", "the batches and their dictionaries unpack to too much; send it in parts"
            )

    def _check(self, size: int, most_bytes: int) -> None:
        if size > most_bytes:
            detail = f"a record batch is larger than {most_bytes} bytes; write smaller ones"
            raise ProblemError("body-too-large", detail)


class _Table:
    """A table in a flatbuffer; see the format's description of its insides."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self._fields = at - _number("<i", data, at)

    def place(self, field: int) -> int:
        """Where the field's value lies; 0 if the field is left out."""
        slot = 4 + 2 * field
        if slot >= _number("<H", self.data, self._fields):
            return 0
        offset = _number("<H", self.data, self._fields + slot)
        return self.at + offset if offset else 0

    def table(self, field: int) -> _Table:
        """The table that the field refers to."""
        place = self.place(field)
        return _Table(self.data, place + _number("<I", self.data, place))

    def number(self, field: int, form: str) -> int:
        """The field's number, 0 if it is left out."""
        place = self.place(field)
        return _number(form, self.data, place) if place else 0


def _body_bytes(head: bytes) -> int:
    return _message(head).number(_BODY_BYTES, "<q")


def _unpacked_bytes(records: _Table, body: bytes) -> int:
    """What the buffers of a record batch take, those that are packed once they are unpacked."""
    if not records.place(_COMPRESSION) or not records.place(_BUFFERS):
        return len(body)
    head, vector = records.data, records.place(_BUFFERS)
    vector += _number("<I", head, vector)
    total = 0
    for number in range(_number("<I", head, vector)):
        offset, length = struct.unpack_from("<qq", head, vector + 4 + 16 * number)
        if length:
            unpacked = _number("<q", body, offset)
            total += unpacked if unpacked >= 0 else length  # -1: this one is not packed
    return total


def _message(head: bytes) -> _Table:
    return _Table(head, _number("<I", head, 0))


def _number(form: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])
