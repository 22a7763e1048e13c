"""A process that decodes for a server: one task at a time, within limits that it cannot leave.

It opens no file of its own but temporary ones, knows none of the server's settings, and ends when the server is gone.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from pulsebase.decoding.arena import Arena
from pulsebase.decoding.channel import Buffer, Buffers, ChannelError, DecoderChannel
from pulsebase.decoding.messages import (
    DecodeParquet,
    Done,
    Failed,
    GoOn,
    ImportFile,
    ProgressMade,
    RecordsCame,
    Refused,
    RejectsCame,
    Stored,
    Task,
    UnreadCame,
    ZoneAsked,
    ZoneSaid,
    packed_block,
    packed_errors,
    packed_result,
    unpacked_errors,
    unpacked_rows,
)
from pulsebase.etl.extract.parts import FileOwner
from pulsebase.etl.importer import Importer, ImportWatcher
from pulsebase.etl.load import StoredRows
from pulsebase.etl.records import KeptRecords
from pulsebase.etl.results import FileResult
from pulsebase.ingest import Candidates
from pulsebase.ingest.blocks import Block, MalformedError, ReadingFields
from pulsebase.ingest.parquet import blocks_in_file
from pulsebase.model.errors import FieldError, RejectedError, RetryLaterError
from pulsebase.model.exported import Record, fields_of
from pulsebase.model.summaries import DailySummary
from pulsebase.stores.records import kind_of_record

AnswerT = TypeVar("AnswerT")

_REMEMBERED_ZONES = 10_000
_OPEN_FILES = 64


def main() -> None:
    """Decode what comes over a socket. The arguments are its descriptor, that of the arena, and the bytes of memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which means the server
    connection = socket.socket(fileno=int(sys.argv[1]))
    _limit(int(sys.argv[3]))
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())  # what native code says as it dies may hold readings
    channel, arena = DecoderChannel(connection), Arena(int(sys.argv[2]))
    tasks = msgspec.msgpack.Decoder(Task)
    try:
        while True:
            head, _, file = channel.receive_with_file()
            assert file is not None
            with os.fdopen(file, "rb", closefd=True) as raw:
                _work(channel, arena, tasks.decode(head), raw)
    except ChannelError:
        return  # the server wants no more


def _limit(memory_bytes: int) -> None:
    """No more memory than this beyond what the program itself takes, no core files, few open files."""
    page_bytes = resource.getpagesize()
    taken_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * page_bytes
    resource.setrlimit(resource.RLIMIT_AS, (taken_bytes + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def _limit_processor(cpu_s: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + cpu_s, hard))


def _work(channel: DecoderChannel, arena: Arena, task: Task, raw: BinaryIO) -> None:
    _limit_processor(task.cpu_s)
    try:
        if isinstance(task, DecodeParquet):
            _decode(channel, arena, raw, ReadingFields(task.value, task.names_metric))
        else:
            _import(channel, arena, task, raw)
    except ChannelError:
        raise
    except MalformedError as error:
        channel.send(Failed("malformed", str(error)))
    except RejectedError as error:
        channel.send(Failed("rejected", str(error), packed_errors(error.errors)))
    except RetryLaterError as error:
        channel.send(Failed("retry", str(error), retry_after_s=error.retry_after_s))
    except MemoryError:
        channel.send(Failed("memory", ""))
    except Exception as error:  # whatever a decoder raises; its text may hold readings, and stays here
        channel.send(Failed("fault", f"{type(error).__name__} at {_place_of(error)}"))
    else:
        channel.send(Done())


def _decode(channel: DecoderChannel, arena: Arena, raw: BinaryIO, fields: ReadingFields) -> None:
    """Send block after block. The next one is decoded while the server has not taken the one before."""
    waiting = False
    for block in blocks_in_file(raw, fields):
        if waiting:
            channel.receive(None)
        channel.send(packed_block(block, arena))
        waiting = True
    if waiting:
        channel.receive(None)


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _import(channel: DecoderChannel, arena: Arena, task: ImportFile, raw: BinaryIO) -> None:
    server = _Server(channel, arena)
    owner = FileOwner(task.user_id, task.device_id, server.zone_of, task.metric, task.csv)
    watcher = ImportWatcher(server.rejects, server.progress, lambda: server.stopped)
    importer = Importer(server, owner, task.limit_bytes, watcher)
    told = importer.unread
    for result in importer.upload(task.name, raw):
        channel.send(packed_result(result))
        if importer.unread is not told:
            told = importer.unread
            channel.send(UnreadCame(told))
    if importer.unread is not told:
        channel.send(UnreadCame(importer.unread))


class _Server:
    """The server, as an import sees it: where it stores what it reads, and who watches. See `importer.Sink`."""

    def __init__(self, channel: DecoderChannel, arena: Arena) -> None:
        self._channel, self._arena = channel, arena
        self.stopped = False
        self.zone_of = lru_cache(maxsize=_REMEMBERED_ZONES)(self._zone_of)

    def readings(self, rows: Candidates) -> StoredRows:
        """Have them checked and stored."""
        return unpacked_rows(*self._asked(packed_block(Block(rows, [], len(rows)), self._arena), [], Stored))

    def summaries(self, days: Sequence[DailySummary]) -> None:
        """Have days put together with what is stored of them."""
        self._asked(RecordsCame("summaries", days=True), [_lines(days)], Done)

    def records(self, records: Sequence[Record]) -> KeptRecords:
        """Have records kept, all of one kind."""
        head = RecordsCame(kind_of_record(records[0]), days=False)
        answer, _ = self._asked(head, [_lines(records)], Refused)
        return KeptRecords(answer.unchanged, unpacked_errors(answer.errors))

    def rejects(self, result: FileResult, errors: Sequence[FieldError]) -> None:
        """Tell of refusals."""
        self._channel.send(RejectsCame(result.name, result.counts, packed_errors(errors)))

    def progress(self, read_bytes: int) -> None:
        """Tell how far the file is read, and hear whether to go on."""
        answer, _ = self._asked(ProgressMade(read_bytes), [], GoOn)
        self.stopped = answer.stopped

    def _zone_of(self, user_id: str) -> ZoneInfo:
        answer, _ = self._asked(ZoneAsked(user_id), [], ZoneSaid)
        return ZoneInfo(answer.tz)

    def _asked(self, head: object, buffers: Sequence[Buffer], kind: type[AnswerT]) -> tuple[AnswerT, Buffers]:
        self._channel.send(head, buffers)
        answer, more = self._channel.receive(None)
        return msgspec.msgpack.decode(answer, type=kind), more


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(msgspec.json.encode(fields_of(record)) + b"\n" for record in records)


if __name__ == "__main__":
    np.seterr(all="ignore")  # senseless numbers are refused, not warned of
    main()
