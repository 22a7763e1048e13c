"""Read Arrow files, streams of Arrow, and Parquet files in blocks: those of our own form, and any others by the names
of their columns and what the user says of them, as with any CSV.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pulsebase.etl.extract import own_export
from pulsebase.etl.extract.parts import NOBODY, FileOwner, Part, PassedOver, ReadAs, Stream, clock_remarks
from pulsebase.etl.transform.any_csv import CsvOwner, block_of_texts
from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.etl.transform.csv_plan import MOST_COLUMNS, CsvPlan, NearMiss, plan_of_columns
from pulsebase.ingest.arrow_messages import Body, BoundedMessages, FileAsStream
from pulsebase.ingest.blocks import BLOCK_READINGS, MalformedError
from pulsebase.ingest.columns import blocks_of_batches, bounded, check_schema, checked, indexes_in
from pulsebase.ingest.parquet import blocks_in_file, check_sizes, spooled
from pulsebase.model.errors import shown_name

#: How Arrow files begin.
FILE_SIGN = b"ARROW1"
_STREAM_BEGIN, _LONGEST_SCHEMA_BYTES = b"\xff\xff\xff\xff", 1 << 20
#: The largest batch, and what one file may unpack to in all.
_BATCH_BYTES, _UNPACKED_BYTES = 256 << 20, 64 << 30
#: Rows that decide what the names of columns do not say.
_SAMPLE_ROWS = 200
#: The most that the texts of a dictionary may come to in the rows of a block.
_TEXT_BYTES = 64 << 20
_REQUIRED = frozenset(("user_id", "device_id", "timestamp"))
_OURS = _REQUIRED | {"heart_rate", "metric", "value", "confidence"}
_ARROW_DAMAGE = "the file is damaged or cut short"
_PARQUET_DAMAGE = "the file is damaged or cut short: Parquet cannot be read without its end"
_UNKNOWN = (
    "has no columns that are known as those of readings; name those of the time and of the value with --time-column "
    "and --value-column"
)


def is_arrow(head: bytes) -> bool:
    """Return whether a file that begins like this is an Arrow file (Feather) or a stream of Arrow."""
    length = int.from_bytes(head[4:8], "little", signed=True)
    return head.startswith(FILE_SIGN) or (head[:4] == _STREAM_BEGIN and 0 < length <= _LONGEST_SCHEMA_BYTES)


def arrow(stream: Stream, owner: FileOwner, *, of_days: bool = False) -> Iterator[Part]:
    """The readings of an Arrow file or stream; positions count rows from 1. `of_days` says that, by its name, the file
    may have a value a day, which is no reading.

    Raises:
        MalformedError: it is damaged, or cannot be read without being told more; what was yielded before is valid.
        RejectedError: the columns are nearly those of readings, and not quite.
    """
    begin = stream.read(len(FILE_SIGN))
    rest = _Rest(begin, stream)
    if begin != FILE_SIGN:
        yield from _messages(rest, owner, of_days=of_days)
        if rest.read(1):
            raise MalformedError("more follows behind the end of the Arrow stream")
        return
    with spooled(rest) as file:
        yield from _messages(FileAsStream(file), owner, of_days=of_days)


def _messages(body: Body, owner: FileOwner, *, of_days: bool) -> Iterator[Part]:
    try:
        source = pa.PythonFile(BoundedMessages(body, _BATCH_BYTES, _UNPACKED_BYTES), mode="r")
        reader = pa.ipc.open_stream(source, options=pa.ipc.IpcReadOptions(use_threads=False))
        names = reader.schema.names
        if _is_ours(names, owner):
            fields = own_export.fields_for(owner)(names)
            check_schema(reader.schema, fields)
            yield from own_export.counted_from_one(blocks_of_batches(iter(reader), fields), owner)
        else:
            first = next(iter(reader), None)
            plan = _plan(names, first, owner, of_days=of_days)
            yield from _by_plan(plan, names, iter(reader) if first is None else chain([first], reader), owner)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise MalformedError(_ARROW_DAMAGE) from None


def parquet(stream: Stream, owner: FileOwner, *, of_days: bool = False) -> Iterator[Part]:
    """The readings of a Parquet file; as `arrow`."""
    with spooled(stream) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False)
            names = table.schema_arrow.names
            check_sizes(table.metadata)
            if not _is_ours(names, owner):
                first = next(table.iter_batches(_SAMPLE_ROWS), None)
                plan = _plan(names, first, owner, of_days=of_days)
                wanted = [names[place] for place in plan.used]
                batches = table.iter_batches(BLOCK_READINGS, columns=wanted)
                yield from _by_plan(plan, names, batches, owner)
                return
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise MalformedError(_PARQUET_DAMAGE) from None
        file.seek(0)
        yield from own_export.counted_from_one(blocks_in_file(file, own_export.fields_for(owner)), owner)


def _is_ours(names: Sequence[str], owner: FileOwner) -> bool:
    """Return whether the columns are those of our own form, and the user names no others."""
    plain = set(names) - set(indexes_in(names))
    return plain >= _REQUIRED and plain <= _OURS and not owner.csv.name_columns


def _plan(names: Sequence[str], first: pa.RecordBatch | None, owner: FileOwner, *, of_days: bool) -> CsvPlan:
    """Return how to read the columns.

    Raises:
        MalformedError: they do not say; the error says what to add.
    """
    if len(names) > MOST_COLUMNS or len(set(names)) < len(names):
        raise MalformedError(f"has more than {MOST_COLUMNS} columns, or two of one name; write those of readings alone")
    if of_days and not owner.csv.name_columns:
        raise MalformedError(
            "is called as files of days are, whose values are no readings; name the columns if it is none"
        )
    rows: list[Sequence[str]] = []
    if first is not None:
        sample = checked(first).slice(0, _SAMPLE_ROWS)
        texts = [_texts(column) if _is_readable(column.type) else None for column in sample.columns]
        cells = [[""] * sample.num_rows if text is None else text.to_pylist() for text in texts]
        rows = list(zip(*cells, strict=True))
    plan = plan_of_columns(names, rows, owner.csv, owner.metric, has_person=owner.user_id is not None)
    if isinstance(plan, NearMiss):
        raise MalformedError(plan.text)
    if plan is None:
        raise MalformedError(_UNKNOWN)
    if plan.user is None and owner.user_id is None:
        raise MalformedError(NOBODY)
    if first is not None:
        for place in plan.used:
            if not _is_readable(first.schema.field(place).type):
                raise MalformedError(f"has neither texts nor numbers nor times in column {shown_name(names[place])}")
    return replace(plan, has_header=True)


def _by_plan(
    plan: CsvPlan, names: Sequence[str], batches: Iterator[pa.RecordBatch], owner: FileOwner
) -> Iterator[Part]:
    yield ReadAs(plan.read_as)
    clocks = LocalClocks(owner.zone_of)
    whose = CsvOwner(None if plan.user is not None else owner.person, owner.device_id)
    used = dict.fromkeys(plan.used)
    number, empty = 1, 0
    for batch in batches:
        wanted = checked(batch.select([names[place] for place in used]))
        for start in range(0, batch.num_rows, BLOCK_READINGS):
            rows = bounded(wanted.slice(start, BLOCK_READINGS))
            columns = {place: _texts(column) for place, column in zip(used, rows.columns, strict=True)}
            numbers = np.arange(number, number + rows.num_rows)
            block, without = block_of_texts(columns, numbers, [], plan, clocks, whose)
            yield block
            number, empty = number + rows.num_rows, empty + without
    if empty:
        yield PassedOver("rows without a value", empty)
    for place, name in enumerate(names):
        if place not in used:
            yield PassedOver(
                f"column {shown_name(name)}" if name else f"column {place + 1}, which has no name", number - 1
            )
    yield from clock_remarks(clocks)


def _is_readable(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(
        is_text
        or is_number
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or pa.types.is_time(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def _texts(column: pa.Array) -> pa.Array:
    """Return a column of a checked batch as texts without blanks around them, empty ones for nulls."""
    if pa.types.is_dictionary(column.type):
        words = _texts(column.dictionary)
        lengths = pc.fill_null(pc.binary_length(words).take(column.indices), 0)
        if (pc.sum(lengths).as_py() or 0) > _TEXT_BYTES:
            raise MalformedError(f"texts that come together are longer than {_TEXT_BYTES} bytes in all")
        return pc.fill_null(words.take(column.indices), "")
    if pa.types.is_timestamp(column.type):
        zone = None if column.type.tz is None else "UTC"
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.timestamp("us", zone))
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    return pc.fill_null(pc.utf8_trim_whitespace(column), "")


class _Rest:
    """A stream whose first bytes were read already."""

    def __init__(self, begin: bytes, stream: Stream) -> None:
        self._begin, self._stream = begin, stream

    def read(self, size: int = -1, /) -> bytes:
        taken, self._begin = self._begin[:size], self._begin[size:]
        return taken + (self._stream.read(size - len(taken)) if len(taken) < size else b"")
