"""What the server and a decoder say to each other, and blocks of readings as they travel between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from pulsebase.decoding.arena import Arena
from pulsebase.decoding.channel import Buffer, ChannelError
from pulsebase.etl.load import StoredRows
from pulsebase.etl.results import FileResult
from pulsebase.etl.totals import UnreadFiles
from pulsebase.etl.transform.csv_choices import CsvChoices
from pulsebase.ingest.blocks import BLOCK_READINGS, Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import METRICS
from pulsebase.model.readings import Ids

#: Rows of a block that a decoder may send: an import puts the readings of many small files together.
MOST_ROWS = 2 * BLOCK_READINGS
_TEXT_CHARACTERS = 1024
#: Users and devices as codes, times, values, confidences, positions.
_COLUMNS = (np.int32, np.int32, np.int64, np.float64, np.int8, np.int64)
#: Room for them.
ARENA_BYTES = MOST_ROWS * sum(np.dtype(kind).itemsize for kind in _COLUMNS) + 4096

FieldErrors = list[tuple[str, str, int | None]]


class DecodeParquet(msgspec.Struct, tag=True, frozen=True):
    """A task: the blocks of the Parquet file that comes with it, with its values in the column `value`. `cpu_s` is what
    it may take of the processor.
    """

    cpu_s: int
    value: str
    names_metric: bool


class ImportFile(msgspec.Struct, tag=True, frozen=True):
    """A task: import the file that comes with it; `cpu_s` as in `DecodeParquet`."""

    name: str
    user_id: str | None
    device_id: str | None
    metric: str | None
    csv: CsvChoices
    limit_bytes: int
    cpu_s: int


Task = DecodeParquet | ImportFile


class BlockCame(msgspec.Struct, tag=True, frozen=True):
    """Readings, whose columns are in the arena. Answered by `Done` once they are out of it, in an import by `Stored`.

    `first_position` is that of the first row where rows stand at places in a row; else the last column has them.
    """

    users: list[str]
    devices: list[str]
    rows: int
    first_position: int | None
    errors: FieldErrors
    total: int
    passed_over: list[str]
    metric: str
    twins: bool = False


class RecordsCame(msgspec.Struct, tag=True, frozen=True):
    """Records of people of an import, as lines of an export in the buffer. Of `days` that only a part is known of the
    answer is `Done`, of other records `Refused`.
    """

    kind: Literal["people", "priorities", "summaries", "annotations"]
    days: bool


class RejectsCame(msgspec.Struct, tag=True, frozen=True):
    """Refusals of an import, in the file and of what is counted there."""

    file: str
    counts: str
    errors: FieldErrors


class ProgressMade(msgspec.Struct, tag=True, frozen=True):
    """Bytes of the file read so far; answered by `GoOn`."""

    read_bytes: int


class ZoneAsked(msgspec.Struct, tag=True, frozen=True):
    """In whose zone local times of this person are; answered by `ZoneSaid`."""

    user_id: str


class ResultCame(msgspec.Struct, tag=True, frozen=True):
    """What became of one file of an import: the fields of `FileResult`."""

    result: dict[str, Any]


class UnreadCame(msgspec.Struct, tag=True, frozen=True):
    """The files of an import that are not read, those told of before included."""

    unread: UnreadFiles


class Done(msgspec.Struct, tag=True, frozen=True):
    """The task, or what was asked, is done."""


class Failed(msgspec.Struct, tag=True, frozen=True):
    """The task cannot be done. `kind` is `malformed`, `rejected` (with `errors`), `retry` (after `retry_after_s`),
    `memory` or `fault`.
    """

    kind: str
    text: str
    errors: FieldErrors = []
    retry_after_s: int = 1


Answer = BlockCame | RecordsCame | RejectsCame | ProgressMade | ZoneAsked | ResultCame | UnreadCame | Done | Failed


class Stored(msgspec.Struct, frozen=True):
    """What became of readings, by their places in what was sent: the buffers say which were there unchanged and which
    are of readings that came before, a byte each; `errors` why others were refused. The rest was `written`.
    """

    written: int
    errors: FieldErrors


class GoOn(msgspec.Struct, frozen=True):
    """Whether the import should stop here."""

    stopped: bool


class ZoneSaid(msgspec.Struct, frozen=True):
    """An IANA zone."""

    tz: str


class Refused(msgspec.Struct, frozen=True):
    """Why records were refused, by their places, and how many said what was known already."""

    errors: FieldErrors
    unchanged: int


def packed_errors(errors: Sequence[FieldError]) -> FieldErrors:
    """Errors as messages have them."""
    return [(error.field, error.reason, error.index) for error in errors]


def unpacked_errors(errors: FieldErrors) -> list[FieldError]:
    """The other way round."""
    return [FieldError(*error) for error in errors]


def packed_rows(rows: StoredRows) -> tuple[Stored, list[Buffer]]:
    """What became of rows as a message."""
    left = len(rows.unchanged) - int(rows.unchanged.sum()) - int(rows.repeated.sum())
    head = Stored(left - len(rows.refused), packed_errors(rows.refused))
    return head, [rows.unchanged.astype(np.uint8), rows.repeated.astype(np.uint8)]


def unpacked_rows(head: Stored, buffers: Sequence[npt.NDArray[np.uint8]]) -> StoredRows:
    """The other way round."""
    unchanged, repeated = (buffer.astype(np.bool_) for buffer in buffers)
    return StoredRows(unchanged, repeated, unpacked_errors(head.errors))


def packed_result(result: FileResult) -> ResultCame:
    """What became of a file as a message."""
    return ResultCame(msgspec.to_builtins(result))


def unpacked_result(answer: ResultCame) -> FileResult:
    """The other way round.

    Raises:
        ChannelError: it is none.
    """
    try:
        return msgspec.convert(answer.result, FileResult)
    except msgspec.ValidationError:
        raise ChannelError("a file's result is none") from None


def packed_block(block: Block, arena: Arena) -> BlockCame:
    """A block as a message, its columns in the arena."""
    rows = block.candidates
    users, devices = _used(rows.user_ids), _used(rows.device_ids)
    first = _first_in_a_row(rows)
    columns = [users.codes, devices.codes, rows.times_us, rows.values, rows.confidences]
    if first is None:
        assert rows.positions is not None
        columns.append(rows.positions)
    arena.put([np.asarray(column, kind) for column, kind in zip(columns, _COLUMNS, strict=False)])
    errors = packed_errors(block.errors)
    passed_over = list(block.passed_over)
    ids = list(users.texts), list(devices.texts)
    return BlockCame(*ids, len(rows), first, errors, block.total, passed_over, rows.metric, rows.twins)


def unpacked_block(head: BlockCame, arena: Arena) -> Block:
    """The other way round.

    Raises:
        ChannelError: it is no block.
    """
    if head.rows and head.metric not in METRICS:
        raise ChannelError("a block is of no metric")
    if not 0 <= head.rows <= MOST_ROWS:
        raise ChannelError("a block is too large")
    first = head.first_position
    columns = arena.take(_COLUMNS if first is None else _COLUMNS[:-1], head.rows)
    for codes, texts in ((columns[0], head.users), (columns[1], head.devices)):
        if head.rows and not 0 <= int(codes.min()) <= int(codes.max()) < len(texts):
            raise ChannelError("a block has codes without an id")
    candidates = Candidates(
        Ids(columns[0], head.users),
        Ids(columns[1], head.devices),
        columns[2],
        columns[3],
        columns[4],
        columns[5] if first is None else np.arange(first, first + head.rows),
        head.metric,
        head.twins,
    )
    return Block(candidates, unpacked_errors(head.errors), head.total, head.passed_over)


def _first_in_a_row(rows: Candidates) -> int | None:
    """The first of the rows' places if there is none missing between them, which are in order."""
    positions = rows.positions
    if positions is None or len(positions) == 0:
        return 0
    first = int(positions[0])
    return first if int(positions[-1]) - first == len(positions) - 1 else None


def _used(ids: Sequence[str]) -> Ids:
    """The ids with the texts that some row has: lists of texts are shared by many columns and may be long. What is far
    too long for an id is cut, and none still.
    """
    if not isinstance(ids, Ids):
        ids = Ids.of(ids)
    used, codes = np.unique(ids.codes, return_inverse=True)
    return Ids(codes.astype(np.int32), [ids.texts[code][:_TEXT_CHARACTERS] for code in used.tolist()])
