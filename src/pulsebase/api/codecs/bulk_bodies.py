"""Read bulk bodies block by block, in bounded memory: Arrow streams, Parquet, NDJSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing

import pyarrow as pa

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.body_stream import BodyStream
from pulsebase.decoding import Decoders
from pulsebase.ingest.arrow_messages import BoundedMessages
from pulsebase.ingest.blocks import HEART_RATE_FIELDS, Block, MalformedError, ReadingFields, TooLargeError
from pulsebase.ingest.columns import blocks_of_batches, check_schema
from pulsebase.ingest.csv_lines import csv_blocks
from pulsebase.ingest.lines import ndjson_blocks
from pulsebase.ingest.parquet import spooled
from pulsebase.ingest.processor import TooCostlyError

#: The largest record batch of an Arrow stream, as sent and as decompressed, since it is held in memory whole.
_RECORD_BATCH_BYTES = 256 << 20
#: The most that one stream may decompress to: some minutes of work for one processor.
_STREAM_BYTES = 64 << 30


def blocks_of(
    body: BodyStream, media_type: str, decoders: Decoders, fields: ReadingFields = HEART_RATE_FIELDS
) -> Generator[Block, None, None]:
    """The body's blocks. To be closed: what reads them holds a decoder, or a file, until then.

    Raises:
        ProblemError: the type is not one of `READERS`, the body is not of its type, or takes too much of the processor.
        ShareFullError, PoolFullError: no decoder is free for a while.
        RejectedError: the columns are not those of readings.
        BrokenOffError: the body broke off.
    """
    reader = READERS.get(media_type)
    if reader is None:
        known = ", ".join(READERS)
        raise ProblemError("unsupported-media-type", f"the body's Content-Type must be one of {known}")
    _check_form(body.peek(_HEAD_BYTES), media_type)
    try:
        with closing(reader(body, decoders, fields)) as blocks:
            for block in blocks:
                body.check()
                yield block
    except TooCostlyError as error:
        raise ProblemError("body-too-costly", str(error)) from None
    except TooLargeError as error:
        raise ProblemError("body-too-large", str(error)) from None
    except MalformedError as error:
        raise ProblemError("malformed-body", str(error)) from None


def _check_form(head: bytes, media_type: str) -> None:
    """Raise `ProblemError` if the first bytes show another format than the stated one. The error names that format."""
    for begins, (form, media_types, advice) in _FORMS.items():
        if head.startswith(begins) and media_type not in media_types:
            raise ProblemError("malformed-body", f"the body is {form}, not {_NAMES[media_type]}; {advice}")


def _arrow(body: BodyStream, decoders: Decoders, fields: ReadingFields) -> Generator[Block, None, None]:
    del decoders
    messages = BoundedMessages(body, _RECORD_BATCH_BYTES, _STREAM_BYTES)
    try:
        # In this thread, whose processor time is counted.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        stream = pa.ipc.open_stream(pa.PythonFile(messages, mode="r"), options=options)
        check_schema(stream.schema, fields)
        yield from blocks_of_batches(iter(stream), fields)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise ProblemError("malformed-body", "it is not an Arrow IPC stream, or is cut short") from None
    if body.read(1):
        raise ProblemError("malformed-body", "more follows behind the end of the Arrow stream")


def _parquet(body: BodyStream, decoders: Decoders, fields: ReadingFields) -> Generator[Block, None, None]:
    """Read in another process: what reads Parquet is large, native, and believes much of what a file says of itself."""
    with spooled(body.to_spool()) as file, body.decoder():
        yield from decoders.parquet(file, body.sent_bytes, fields)


def _ndjson(body: BodyStream, decoders: Decoders, fields: ReadingFields) -> Generator[Block, None, None]:
    del decoders
    yield from ndjson_blocks(body, fields)


def _csv(body: BodyStream, decoders: Decoders, fields: ReadingFields) -> Generator[Block, None, None]:
    del decoders
    yield from csv_blocks(body, fields)


_ARROW, _PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
_NDJSON, _CSV = "application/x-ndjson", "text/csv"
_NAMES = {_ARROW: "an Arrow stream", _PARQUET: "Parquet", _NDJSON: "NDJSON", _CSV: "CSV"}
_HEAD_BYTES = 8
_WRITE_A_STREAM = f"send a stream as {_ARROW} (pyarrow.ipc.new_stream, polars.DataFrame.write_ipc_stream)"
#: Formats by their first bytes: the name, the media types they may have, and advice for a body with another type.
_FORMS: Mapping[bytes, tuple[str, Sequence[str], str]] = {
    b"ARROW1": ("an Arrow file (Feather)", (), _WRITE_A_STREAM),
    b"FEA1": ("a Feather file of version 1", (), _WRITE_A_STREAM),
    b"\xff\xff\xff\xff": ("an Arrow stream", (_ARROW,), f"send it as {_ARROW}"),
    b"PAR1": ("Parquet", (_PARQUET,), f"send it as {_PARQUET}"),
    b"\x1f\x8b": ("packed with gzip", (), "send it with Content-Encoding: gzip"),
    b"\x28\xb5\x2f\xfd": ("packed with zstd", (), "send it with Content-Encoding: zstd"),
    b"PK\x03\x04": ("a zip", (), "send what is in it"),
}

READERS: Mapping[str, Callable[[BodyStream, Decoders, ReadingFields], Generator[Block, None, None]]] = {
    _ARROW: _arrow,
    _PARQUET: _parquet,
    _NDJSON: _ndjson,
    _CSV: _csv,
}
