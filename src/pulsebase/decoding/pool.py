"""The processes that decode for a server, and what they may take."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from pulsebase import telemetry
from pulsebase.decoding.arena import Arena
from pulsebase.decoding.channel import Buffer, Buffers, ChannelError, DecoderChannel, pair
from pulsebase.decoding.messages import (
    ARENA_BYTES,
    Answer,
    BlockCame,
    DecodeParquet,
    Done,
    Failed,
    GoOn,
    ImportFile,
    ProgressMade,
    RecordsCame,
    Refused,
    RejectsCame,
    ResultCame,
    Stored,
    Task,
    UnreadCame,
    ZoneAsked,
    ZoneSaid,
    packed_errors,
    packed_rows,
    unpacked_block,
    unpacked_errors,
    unpacked_result,
)
from pulsebase.etl.importer import ImportWatcher, Sink, Upload
from pulsebase.etl.results import FileResult
from pulsebase.etl.totals import UnreadFiles
from pulsebase.etl.transform.own_records import parse_records
from pulsebase.ingest.blocks import HEART_RATE_FIELDS, Block, MalformedError, ReadingFields
from pulsebase.ingest.processor import ProcessorLimit, TooCostlyError
from pulsebase.model.errors import RejectedError, StoreUnavailableError
from pulsebase.model.summaries import DailySummary

logger = logging.getLogger(__name__)

#: Tasks after which a process is replaced: what decoders leave behind in its memory goes with it.
_TASKS_OF_A_PROCESS = 64
_TOO_COSTLY = "takes more of the processor to read than its size as sent allows"
#: Of the environment: what Python and its libraries need to start. No setting, no secret.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "LD_PRELOAD")


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What decoding may take in all.

    Attributes:
        most: processes at once.
        memory_bytes: the memory of each, beyond what it takes to start.
        step_s: how long one may be silent.
        wait_s: how long a request waits for a free one.
        processor: what a file may take of the processor.
    """

    most: int = 2
    memory_bytes: int = 768 << 20
    step_s: float = 60
    wait_s: float = 20
    processor: ProcessorLimit = field(default_factory=ProcessorLimit)


class Decoders:
    """A few processes, started when they are first needed. Every method may be called from any thread."""

    def __init__(self, limits: DecoderLimits | None = None) -> None:
        self._limits = limits or DecoderLimits()
        self._free = threading.Semaphore(self._limits.most)
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._working: set[_Decoder] = set()
        self._closed = False

    def parquet(
        self, file: BinaryIO, sent_bytes: int | None = None, fields: ReadingFields = HEART_RATE_FIELDS
    ) -> Generator[Block, None, None]:
        """The blocks of a Parquet file with a descriptor, for which so much was sent: by default its size.

        Raises:
            MalformedError, RejectedError: as `ingest.parquet.blocks_in_file`; also where no decoder survives the file.
            TooCostlyError: it takes too much of the processor.
            StoreUnavailableError: every decoder is busy.
        """
        with self._decoder() as decoder:
            decoder.begin(DecodeParquet(self._cpu_s(file, sent_bytes), fields.value, fields.names_metric), file)
            for answer, _ in decoder.answers():
                block = decoder.block_of(answer)
                decoder.reply(Done())
                yield block

    def importing(
        self, file: Upload, sink: Sink, watcher: ImportWatcher
    ) -> Generator[FileResult | UnreadFiles, None, None]:
        """Import an open file; as `Importer.upload`, with the reading of it in another process.

        Where that does not survive the file, the last result says so; what was stored until then stays.

        Raises:
            RetryLaterError: the sink takes nothing now, or every decoder is busy.
        """
        untold = 0  # readings stored that no result has counted yet
        with self._decoder() as decoder:
            cpu_s = self._cpu_s(file.raw, file.sent_bytes)
            owner = file.owner
            said = owner.user_id, owner.device_id, owner.metric, owner.csv
            task = ImportFile(file.name, *said, file.limit_bytes, cpu_s)
            try:
                decoder.begin(task, file.raw)
                for answer, buffers in decoder.answers():
                    if isinstance(answer, ResultCame):
                        result = unpacked_result(answer)
                        untold -= result.written
                        yield result
                    elif isinstance(answer, UnreadCame):
                        yield answer.unread
                    elif isinstance(answer, RejectsCame):
                        watcher.rejects(FileResult(answer.file, counts=answer.counts), unpacked_errors(answer.errors))
                    else:
                        reply, more = _reply(decoder, answer, buffers, file, (sink, watcher))
                        untold += reply.written if isinstance(reply, Stored) else 0
                        decoder.reply(reply, more)
            except MalformedError as error:
                yield FileResult(file.name, problem=str(error), written=max(untold, 0))

    def close(self) -> None:
        """End every process, and with it the task it is at: whoever waits for that is told that the server stops."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for decoder in self._working:
                decoder.stop()
        for decoder in idle:
            decoder.end()

    def _cpu_s(self, file: BinaryIO, sent_bytes: int | None) -> int:
        size = os.fstat(file.fileno()).st_size if sent_bytes is None else sent_bytes
        return math.ceil(self._limits.processor.of(size))

    @contextlib.contextmanager
    def _decoder(self) -> Iterator[_Decoder]:
        if not self._free.acquire(timeout=self._limits.wait_s):
            raise StoreUnavailableError(
                "every process that decodes files is busy; nothing of this request was stored", retry_after_s=5
            )
        decoder = None
        try:
            with self._lock:
                if self._closed:
                    raise _stops()
                decoder = self._idle.pop() if self._idle else None
            decoder = decoder or _Decoder(self._limits)
            self._begin(decoder)
            yield decoder
        finally:
            if decoder is not None:
                self._give_back(decoder)
            self._free.release()

    def _begin(self, decoder: _Decoder) -> None:
        with self._lock:
            self._working.add(decoder)
            if self._closed:
                decoder.stop()

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            self._working.discard(decoder)
            keep = decoder.sound and not self._closed
            if keep:
                self._idle.append(decoder)
        if not keep:
            decoder.end()


class _Decoder:
    """One process and the end of the channel to it."""

    def __init__(self, limits: DecoderLimits) -> None:
        ours, theirs = pair()
        self._arena = Arena.new(ARENA_BYTES)
        files = [theirs.fileno(), self._arena.file]
        command = [sys.executable, "-m", "pulsebase.decoding.process", *map(str, [*files, limits.memory_bytes])]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=files,
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._arena.close()
            raise StoreUnavailableError("no process for decoding files can be started", retry_after_s=10) from error
        finally:
            theirs.close()
        self._channel, self._step_s = DecoderChannel(ours), limits.step_s
        self._answers = msgspec.msgpack.Decoder(Answer)
        self._tasks = 0
        self._busy = False
        self._stopped = False

    @property
    def sound(self) -> bool:
        """Whether it may be given another task: the one before came to its end without a complaint."""
        return not self._busy and self._tasks < _TASKS_OF_A_PROCESS and self._process.poll() is None

    def begin(self, task: Task, file: BinaryIO) -> None:
        """Give it a task.

        Raises:
            MalformedError: it is gone.
        """
        self._tasks += 1
        self._busy = True
        with self._watched():
            self._channel.send(task, file=file.fileno())

    def answers(self) -> Iterator[tuple[Answer, Buffers]]:
        """What it says of the task until that is done.

        Raises:
            MalformedError, RejectedError, RetryLaterError: as decoding itself; also where it did not survive the task.
        """
        while True:
            with self._watched():
                head, buffers = self._channel.receive(self._step_s)
                answer = self._answers.decode(head)
            if isinstance(answer, Done):
                self._busy = False
                return
            if isinstance(answer, Failed):
                raise _error_of(answer)
            yield answer, buffers

    def block_of(self, answer: Answer) -> Block:
        """The block that it says it has sent."""
        with self._watched():
            if not isinstance(answer, BlockCame):
                raise ChannelError("a decoder says what was not asked")
            return unpacked_block(answer, self._arena)

    def reply(self, answer: object, buffers: Sequence[Buffer] = ()) -> None:
        """Answer what it asked."""
        with self._watched():
            self._channel.send(answer, buffers)

    def stop(self) -> None:
        """End the process while another thread waits for what it says, which finds out by that."""
        self._stopped = True
        self._process.kill()

    def end(self) -> None:
        """End the process, whatever it is at: it has nothing to put in order."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        self._arena.close()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise self._died("deadline", "took too long to read") from None
        except (ChannelError, msgspec.MsgspecError):
            self._process.kill()
            status = self._process.wait()
            if self._stopped:
                raise _stops() from None
            if status == -signal.SIGXCPU:
                raise TooCostlyError(str(self._died("processor-time", _TOO_COSTLY))) from None
            raise self._died("crash", "could not be read: what read it crashed") from None

    def _died(self, reason: str, what: str) -> MalformedError:
        telemetry.DECODERS_ENDED.labels(reason).inc()
        logger.warning("a process that decodes files was ended: %s", reason)
        return MalformedError(f"the file {what}; it is damaged, or not what it seems")


def _stops() -> StoreUnavailableError:
    return StoreUnavailableError("the server is shutting down; the file is not read on")


def _error_of(failed: Failed) -> Exception:
    match failed.kind:
        case "rejected":
            return RejectedError(unpacked_errors(failed.errors))
        case "retry":
            return StoreUnavailableError(failed.text, failed.retry_after_s)
        case "memory":
            telemetry.DECODERS_ENDED.labels("memory").inc()
            return MalformedError("the file takes more memory to read than a file may; write smaller pieces")
        case "malformed":
            return MalformedError(failed.text)
        case _:
            telemetry.DECODERS_ENDED.labels("fault").inc()
            logger.error("a file could not be decoded: %s", failed.text)
            return MalformedError("the file could not be read; the server's log says more")


def _reply(
    decoder: _Decoder, answer: Answer, buffers: Buffers, file: Upload, watched: tuple[Sink, ImportWatcher]
) -> tuple[object, Sequence[Buffer]]:
    """What an import is told in return."""
    sink, watcher = watched
    match answer:
        case BlockCame():
            return packed_rows(sink.readings(decoder.block_of(answer).candidates))
        case RecordsCame():
            return _kept(answer, buffers, sink), ()
        case ProgressMade():
            watcher.progress(answer.read_bytes)
            return GoOn(watcher.stopped()), ()
        case ZoneAsked():
            return ZoneSaid(file.owner.zone_of(answer.user_id).key), ()
        case _:
            raise ChannelError("a decoder says what was not asked")


def _kept(answer: RecordsCame, buffers: Buffers, sink: Sink) -> object:
    """Have records kept, which are checked once more: the process that read them may not be what it was."""
    if len(buffers) != 1:
        raise ChannelError("records are none")
    parsed = parse_records(answer.kind, buffers[0].tobytes().splitlines(), 0, datetime.now(UTC).date())
    if parsed.errors or not parsed.records:
        raise ChannelError("records are none")
    if answer.days:
        sink.summaries([record for record in parsed.records if isinstance(record, DailySummary)])
        return Done()
    kept = sink.records(parsed.records)
    return Refused(packed_errors(kept.errors), kept.unchanged)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # The address space is what is limited, so whatever reserves it in advance is kept from that.
    return kept | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
