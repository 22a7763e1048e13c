"""Turn the bytes of FIT files (Garmin and others) into candidates. This module finds where each file begins and ends,
and checks that it is complete (FIT protocol 2.x: file header, checksum); `fit_messages` reads what is in between.

A device writes the length into the header, and the checksum after the messages, when it closes the file. A device that
lost power has done neither; such a file is read as far as its messages go.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pulsebase.etl.transform.fit_messages import FitReader, is_header
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.summaries import DailySummary

_CRC_BYTES = 2
#: Lengths of a file that was not closed.
_NO_LENGTH = (0, 0xFFFFFFFF)
_NOT_CLOSED = "the device did not close the file, as when it loses power; it was read as far as it goes"
_TOO_SHORT = "the length in the file's header is too small; what lies behind it was read too"
_NO_CHECKSUM = "the file has no checksum, so it cannot be told whether it is damaged"
_CUT_SHORT = "the file is cut short behind message {}"
_CHECKSUM = "the file's checksum does not match: some of what was read may be damaged"
_FILLING = "behind the file there is nothing but filling"

#: Readings; resting heart rates of days; a remark; how many vital signs were ignored, by name.
Part = Block | list[DailySummary] | str | Counter[str]


def vital_signs(data: bytes, user_id: str, device_id: str | None) -> Iterator[Part]:
    """The readings of a file, or of several that follow each other, in blocks of one metric, and the resting heart
    rates of days. Without a device the file names its own.

    Raises:
        MalformedError: a file is damaged or incomplete; what was yielded before is valid.
    """
    chain = _Chain(data)
    while (extent := chain.next()) is not None:
        reader = FitReader(data, extent.last, extent.end, chain.messages, extent.header_from)
        damage = None
        try:
            for _ in reader.read(extent.begin):
                yield from _parts(reader, user_id, device_id)
        except MalformedError as error:
            damage = str(error)
        yield from _parts(reader, user_id, device_id)
        chain.went_on(extent, reader, damage)
    yield from chain.remarks
    if chain.passed_over:
        yield chain.passed_over
    if chain.damage is not None:
        raise MalformedError(chain.damage)


def _parts(reader: FitReader, user_id: str, device_id: str | None) -> Iterator[Part]:
    blocks, days = reader.found.taken(user_id, device_id)
    yield from blocks
    if days:
        yield days


@dataclass(frozen=True, slots=True)
class _Extent:
    """The extent of a file: messages begin between `begin` and `last`, and end at `end` at the latest. The next file
    begins at `next_at`.

    If the end is not known, `header_from` is where the header of another file may be. `damage` says what is wrong with
    the file as a whole, if anything.
    """

    begin: int
    last: int
    end: int
    next_at: int
    header_from: int | None = None
    damage: str | None = None


class _Chain:
    """The consecutive files in `data`, usually one.

    Attributes:
        messages: how many messages the files so far have.
        remarks: notes on them, each once.
        passed_over: vital signs in them that are ignored.
        damage: the first damage that was found.
    """

    def __init__(self, data: bytes) -> None:
        self.messages = 0
        self.remarks: dict[str, None] = {}
        self.passed_over: Counter[str] = Counter()
        self.damage: str | None = None
        self._data, self._at = data, 0
        self._last_header = data.rfind(b".FIT") - 8
        self._filling_from = min(len(data.rstrip(b"\0")), len(data.rstrip(b"\xff")))

    def next(self) -> _Extent | None:
        """Return the next file, or None."""
        left = len(self._data) - self._at
        if left <= 0:
            return None
        if self._at >= self._filling_from:
            if left > _CRC_BYTES:
                self.remarks[_FILLING] = None
            return None
        if not is_header(self._data, self._at):
            self._is_damaged(f"the file is damaged behind message {self.messages}: there is no FIT header")
            return None
        return self._extent()

    def went_on(self, extent: _Extent, reader: FitReader, damage: str | None) -> None:
        """Note that the messages of a file were read, up to the damage if there is any."""
        self.messages = reader.messages
        self.passed_over += reader.passed_over
        self._at = extent.next_at
        if extent.header_from is None:
            whole = None if extent.damage is None else extent.damage.format(reader.messages)
            self._is_damaged(damage or whole)
        elif damage is None and reader.at < extent.end:  # filling, or another header
            self._at = reader.at
        elif len(self._data) - reader.at > _CRC_BYTES and not reader.broke_off:
            self._is_damaged(damage)
        # Otherwise a checksum follows the last message, or the written part of another message.

    def _extent(self) -> _Extent:
        data, at = self._data, self._at
        begin = at + data[at]
        (data_bytes,) = struct.unpack_from("<I", data, at + 4)
        end = begin + data_bytes
        behind = end + _CRC_BYTES
        follows = behind == len(data) or behind >= self._filling_from or is_header(data, behind)
        closed = data_bytes not in _NO_LENGTH
        if behind <= len(data) and (closed or follows) and checksum(data[at:behind]) == 0:
            return _Extent(begin, end, end, behind)
        if not closed:
            self.remarks[_NOT_CLOSED] = None
            return self._open(begin, begin)
        if behind > len(data):
            end = min(end, len(data))
            return _Extent(begin, end, end, behind, damage=_CUT_SHORT)
        if not follows:
            self.remarks[_TOO_SHORT] = None
            return self._open(begin, behind)
        if data[end:behind] == bytes(_CRC_BYTES):
            self.remarks[_NO_CHECKSUM] = None
            return _Extent(begin, end, end, behind)
        return _Extent(begin, end, end, behind, damage=_CHECKSUM)

    def _open(self, begin: int, header_from: int) -> _Extent:
        """Return the extent of a file that ends where its messages do. The bytes between two headers are searched only
        once, so that many headers take no longer than one.
        """
        data, end = self._data, len(self._data)
        if self._last_header < header_from and checksum(data[self._at :]) == 0:
            end -= _CRC_BYTES
        return _Extent(begin, min(end, self._filling_from), end, len(data), header_from)

    def _is_damaged(self, damage: str | None) -> None:
        self.damage = self.damage or damage


def checksum(data: bytes) -> int:
    """Return the protocol's CRC-16 (polynomial 0x8005 reflected, start 0). It is 0 for data that end with their own."""
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return table


_CRC_TABLE = _crc_table()
