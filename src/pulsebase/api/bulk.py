"""Bulk bodies as blocks of candidates: Arrow streams, Parquet, NDJSON and CSV, each in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from pulsebase.api.arrowstream import BoundedMessages
from pulsebase.api.errors import ProblemError
from pulsebase.api.streaming import BodyStream
from pulsebase.decoding import Decoders
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.ingest.columns import blocks_of_batches, check_columns
from pulsebase.ingest.lines import csv_blocks, ndjson_blocks
from pulsebase.ingest.parquet import spooled

#: The largest record batch of an Arrow stream, as sent and as unpacked: it has to be in memory whole.
_RECORD_BATCH_BYTES = 256 << 20


def blocks_of(body: BodyStream, media_type: str, decoders: Decoders) -> Iterator[Block]:
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
        yield from reader(body, decoders)
    except MalformedError as error:
        raise ProblemError("malformed-body", str(error)) from None


def _arrow(body: BodyStream, decoders: Decoders) -> Iterator[Block]:
    del decoders
    try:
        stream = pa.ipc.open_stream(pa.PythonFile(BoundedMessages(body, _RECORD_BATCH_BYTES), mode="r"))
        check_columns(stream.schema.names)
        yield from blocks_of_batches(iter(stream))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise ProblemError("malformed-body", "the body is not an Arrow IPC stream, or is cut short") from None
    if body.read(1):
        raise ProblemError("malformed-body", "more follows behind the end of the Arrow stream")


def _parquet(body: BodyStream, decoders: Decoders) -> Iterator[Block]:
    """Read in another process: what reads Parquet is large, native, and believes much of what a file says of itself."""
    with spooled(body.to_spool()) as file:
        yield from decoders.parquet(file)


def _ndjson(body: BodyStream, decoders: Decoders) -> Iterator[Block]:
    del decoders
    return ndjson_blocks(body)


def _csv(body: BodyStream, decoders: Decoders) -> Iterator[Block]:
    del decoders
    return csv_blocks(body)


READERS: Mapping[str, Callable[[BodyStream, Decoders], Iterator[Block]]] = {
    "application/vnd.apache.arrow.stream": _arrow,
    "application/vnd.apache.parquet": _parquet,
    "application/x-ndjson": _ndjson,
    "text/csv": _csv,
}
