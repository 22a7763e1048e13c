"""The native protocol, as far as one server asks another: questions, insertions, and what the other side may say."""

from __future__ import annotations

import re
import socket
import socketserver
import struct
from collections.abc import Callable, Iterator

from tests.support.clickhouse.engine import INSERT, Session, error_code
from tests.support.clickhouse.wire import Column, Reader, header, read_block, text, varuint

#: Later revisions number the versions of aggregate states, and add a byte to each column.
_REVISION = 54_451
_WHOLE = 2  # of the stages up to which a question may be answered, the last

# What clients send …
_HELLO, _QUERY, _DATA, _CANCEL, _PING, _TABLES, _SCALAR = 0, 1, 2, 3, 4, 5, 7
# … and servers.
_EXCEPTION, _PONG, _END, _TABLE_STATES = 2, 4, 5, 9
#: How whoever asked first reached its server.
_BY_TCP, _BY_HTTP = 1, 2
#: Before each block: it holds no overflows, and is of no bucket of a two-level aggregation.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_FORMAT = re.compile(r"(?is)\sFORMAT\s+\w+\s*;?\s*\Z")


class UnexpectedError(Exception):
    """The other side sent what this server does not understand; the connection ends, and the log says why."""


class NativeServer(socketserver.ThreadingTCPServer):
    """Listens on loopback; each connection has a session of its own."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, open_session: Callable[[], Session], note: Callable[[str], None]) -> None:
        self.open_session, self.note = open_session, note
        super().__init__(("127.0.0.1", port), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket
    server: NativeServer

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader(more=lambda: self.request.recv(1 << 18))
        session = None
        try:
            self._greet()
            self._session = session = self.server.open_session()
            while True:
                self._packet(self._reader.varuint())
        except (EOFError, ConnectionError):
            pass
        finally:
            if session is not None:
                session.close()

    def _send(self, kind: int, *parts: bytes) -> None:
        self.request.sendall(varuint(kind) + b"".join(parts))

    def _greet(self) -> None:
        reader = self._reader
        if (kind := reader.varuint()) != _HELLO:
            raise UnexpectedError(f"packet {kind} in place of a greeting")
        reader.text(), reader.varuint(), reader.varuint()  # who it is, and its version
        if (revision := reader.varuint()) < _REVISION:
            raise UnexpectedError(f"revision {revision} of the protocol")
        self._database = reader.text()
        reader.text(), reader.text()  # user and password
        version = varuint(26) + varuint(9) + varuint(_REVISION)
        self._send(_HELLO, text("ClickHouse"), version, text("UTC"), text("a shard of the tests"), varuint(2))

    def _packet(self, kind: int) -> None:
        if kind == _PING:
            self._send(_PONG)
        elif kind == _TABLES:
            self._tell_tables()
        elif kind == _QUERY:
            self._query()
        elif kind == _DATA:
            self._block()
        elif kind != _CANCEL:  # which may come after the end
            raise UnexpectedError(f"packet {kind}")

    def _tell_tables(self) -> None:
        reader = self._reader
        names = [(reader.text(), reader.text()) for _ in range(reader.varuint())]
        there = [name for name in names if self._session.ask("EXISTS `{}`.`{}`".format(*name), "TSV") == b"1\n"]
        not_replicated = b"\x00"
        self._send(
            _TABLE_STATES, varuint(len(there)), *(text(one) + text(other) + not_replicated for one, other in there)
        )

    def _query(self) -> None:
        reader = self._reader
        reader.text()  # its id
        self._skip_client()
        settings = {}
        while name := reader.text():
            reader.varuint()
            settings[name] = reader.text()
        reader.text()  # the hash of a secret between servers
        stage, compressed, statement = reader.varuint(), reader.varuint(), reader.text()
        if compressed:
            raise UnexpectedError("compressed blocks")
        self.server.note(statement)
        while self._block(may_be_scalar=True):
            pass
        unread = [_INSERT_OPEN] if (found := INSERT.fullmatch(statement)) else []
        try:
            self._session.prepare(self._database, settings)
            if found:
                self._insert(found[1], found[2], found[3], unread)
            else:
                self._answer(_FORMAT.sub("", statement), stage)
        except (EOFError, ConnectionError, UnexpectedError):
            raise
        except Exception as error:
            while unread and self._block():
                pass
            said = text("DB::Exception") + text(str(error)) + text("")
            self._send(_EXCEPTION, struct.pack("<i", error_code(error)), said, b"\x00")
        else:
            self._send(_END)

    def _skip_client(self) -> None:
        reader = self._reader
        if reader.raw(1) == b"\x00":
            return
        reader.text(), reader.text(), reader.text(), reader.raw(8)  # who asked first, when
        (interface,) = reader.raw(1)
        if interface == _BY_TCP:
            reader.text(), reader.text(), reader.text(), reader.varuint(), reader.varuint(), reader.varuint()
        elif interface == _BY_HTTP:
            reader.raw(1), reader.text(), reader.text(), reader.text()
        reader.text(), reader.varuint()  # the quota, and how many servers it has passed
        if interface == _BY_TCP:
            reader.varuint()
        if reader.raw(1) != b"\x00":  # it is traced
            reader.raw(24), reader.text(), reader.raw(1)

    def _block(self, *, may_be_scalar: bool = False) -> tuple[int, bytes] | None:
        """Read a block; None if it is the empty one that ends a row of them."""
        kind = self._reader.varuint()
        if kind == _CANCEL:
            raise ConnectionAbortedError
        if kind != _DATA and not (may_be_scalar and kind == _SCALAR):
            raise UnexpectedError(f"packet {kind} in place of a block")
        name = self._reader.text()
        while field := self._reader.varuint():
            self._reader.raw({1: 1, 2: 4}[field])
        rows, columns, block = read_block(self._reader)
        if kind == _SCALAR:
            return 0, b""
        if name and columns:
            raise UnexpectedError("a temporary table")
        return (rows, block) if columns else None

    def _send_block(self, block: bytes) -> None:
        self._send(1, text(""), _BLOCK_INFO, block)

    def _answer(self, statement: str, stage: int) -> None:
        if stage != _WHOLE:
            raise NotImplementedError("Code: 48. The tests' server answers questions whole only (NOT_IMPLEMENTED)")
        for block in self._session.blocks(statement):
            self._send_block(block)

    def _insert(self, statement: str, table: str, names: str | None, unread: list[str]) -> None:
        columns: list[Column] = self._session.columns(f"SELECT {names[1:-1] if names else '*'} FROM {table}")
        self._send_block(header(columns))

        def incoming() -> Iterator[bytes]:
            while got := self._block():
                if got[0]:
                    yield got[1]
            unread.clear()

        self._session.insert(statement, "Native", incoming())


_INSERT_OPEN = "the rows have not ended"
