"""Messages between the server and a process that decodes for it, over a pair of sockets.

A message is a head (MessagePack) and a few buffers, whose lengths come first:

    length of the head u32 · number of buffers u32 · length of each buffer u64 · head · buffers      (little-endian)

A file may come with a message. What comes from a decoder is believed no more than what comes from the network: lengths
are bounded before there is room for them, and heads are decoded into types.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Buffer = npt.NDArray[Any] | bytes
#: As they come.
Buffers = list[npt.NDArray[np.uint8]]

_LENGTHS = struct.Struct("<II")
_SIZE = struct.Struct("<Q")
_MOST_BUFFERS = 8
_HEAD_BYTES = 64 << 20
_BUFFER_BYTES = 64 << 20


class ChannelError(Exception):
    """The other side is gone, or what it sends is no message."""


class DecoderChannel:
    """One end of the pair. Used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, head: object, buffers: Sequence[Buffer] = (), file: int | None = None) -> None:
        """Send a message, and a file's descriptor with it.

        Raises:
            ChannelError: the other side is gone.
            TimeoutError: it takes nothing.
        """
        encoded = msgspec.msgpack.encode(head)
        parts = [_bytes_of(each) for each in buffers]
        sizes = b"".join(_SIZE.pack(len(part)) for part in parts)
        start = _LENGTHS.pack(len(encoded), len(parts)) + sizes + encoded
        try:
            if file is not None:
                sent = socket.send_fds(self._connection, [start], [file])
                start = start[sent:]
            self._connection.sendall(start)
            for part in parts:
                self._connection.sendall(part)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelError("the other side is gone") from error

    def receive(self, timeout_s: float | None) -> tuple[bytes, Buffers]:
        """The next message.

        Raises:
            ChannelError: the other side is gone, or sends what is no message.
            TimeoutError: nothing, or not all of it, comes in time.
        """
        return self._receive(timeout_s, b"")

    def receive_with_file(self) -> tuple[bytes, Buffers, int | None]:
        """The next message, and the descriptor of the file that comes with it."""
        self._connection.settimeout(None)
        try:
            start, files, _, _ = socket.recv_fds(self._connection, 1, 1)
        except OSError as error:
            raise ChannelError("the other side is gone") from error
        head, buffers = self._receive(None, start)
        return head, buffers, files[0] if files else None

    def close(self) -> None:
        """Let go of this end."""
        self._connection.close()

    def _receive(self, timeout_s: float | None, start: bytes) -> tuple[bytes, Buffers]:
        self._connection.settimeout(timeout_s)
        first = start + self._read(_LENGTHS.size - len(start)).tobytes()
        head_bytes, count = _LENGTHS.unpack(first)
        if head_bytes > _HEAD_BYTES or count > _MOST_BUFFERS:
            raise ChannelError("a message is too large")
        sizes = [_SIZE.unpack(self._read(_SIZE.size).tobytes())[0] for _ in range(count)]
        if sum(sizes) > _BUFFER_BYTES:
            raise ChannelError("a message is too large")
        head = self._read(head_bytes).tobytes()
        return head, [self._read(size) for size in sizes]

    def _read(self, size: int) -> npt.NDArray[np.uint8]:
        data = np.empty(size, np.uint8)
        view = data.data
        while len(view):
            try:
                got = self._connection.recv_into(view)
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelError("the other side is gone") from error
            if not got:
                raise ChannelError("the other side is gone")
            view = view[got:]
        return data


def _bytes_of(buffer: Buffer) -> memoryview:
    if isinstance(buffer, bytes):
        return memoryview(buffer)
    return np.ascontiguousarray(buffer).view(np.uint8).data


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets with room for a good part of a block."""
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    os.set_inheritable(theirs.fileno(), True)
    return ours, theirs
