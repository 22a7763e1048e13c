"""Bulk bodies as blocks of candidates: Arrow streams, Parquet, NDJSON and CSV, each in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from pulsebase.api.arrowstream import BoundedMessages
from pulsebase.api.errors import ProblemError
from pulsebase.api.streaming import BodyStream
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.ingest.columns import blocks_of_batches, check_columns
from pulsebase.ingest.lines import csv_blocks, ndjson_blocks
from pulsebase.ingest.parquet import parquet_blocks

#: The largest record batch of an Arrow stream, as sent and as unpacked: it has to be in memory whole.
_RECORD_BATCH_BYTES = 256 << 20


def blocks_of(body: BodyStream, media_type: str) -> Iterator[Block]:
    """The body's blocks.

    Raises:
        ProblemError: the type is not one of `READERS`, or the body is not of its type.
        RejectedError: the columns are not those of readings.
        BrokenOffError: the body broke off.
    """
    reader = READERS.get(media_type)
    if reader is None:
        known = ", ".join(READERS)
        raise ProblemError("unsupported-media-type", f"the body's Content-Type must be one of {known}")
    try:
        yield from reader(body)
    except MalformedError as error:
        raise ProblemError("malformed-body", str(error)) from None


def _arrow(body: BodyStream) -> Iterator[Block]:
    try:
        stream = pa.ipc.open_stream(pa.PythonFile(BoundedMessages(body, _RECORD_BATCH_BYTES), mode="r"))
        check_columns(stream.schema.names)
        yield from blocks_of_batches(iter(stream))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise ProblemError("malformed-body", "the body is not an Arrow IPC stream, or is cut short") from None
    if body.read(1):
        raise ProblemError("malformed-body", "more follows behind the end of the Arrow stream")


READERS: Mapping[str, Callable[[BodyStream], Iterator[Block]]] = {
    "application/vnd.apache.arrow.stream": _arrow,
    "application/vnd.apache.parquet": parquet_blocks,
    "application/x-ndjson": ndjson_blocks,
    "text/csv": csv_blocks,
}
