"""Read the readings of a Parquet file block by block, in bounded memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pulsebase.files.disk_errors import meaning_of, translated
from pulsebase.ingest.blocks import (
    BLOCK_READINGS,
    HEART_RATE_FIELDS,
    Block,
    ChooseFields,
    MalformedError,
    ReadingFields,
)
from pulsebase.ingest.columns import blocks_of_batches, check_schema
from pulsebase.model.errors import StoreUnavailableError

_PIECE_BYTES = 4 << 20
#: The largest column of a row group, decompressed: a page is held in memory whole, and one page may be all of it.
_COLUMN_BYTES = 256 << 20


class SeekableBytes(Protocol):
    """The source of the file: a request body, or a member of an archive."""

    def read(self, size: int, /) -> bytes: ...


def parquet_blocks(stream: SeekableBytes, fields: ReadingFields | ChooseFields = HEART_RATE_FIELDS) -> Iterator[Block]:
    """Yield the blocks of a file that comes as a stream; see `spooled` and `blocks_in_file`."""
    with spooled(stream) as file:
        yield from blocks_in_file(file, fields)


@contextlib.contextmanager
def spooled(stream: SeekableBytes) -> Iterator[BinaryIO]:
    """Copy the stream to a temporary file: Parquet keeps its table of contents at the end, so it needs seeking.

    Raises:
        StoreUnavailableError: there is no room for it.
    """
    with translated("the file"):
        opened = tempfile.TemporaryFile(prefix="pulsebase-parquet-")  # noqa: SIM115 closed below
    with opened as file:
        try:
            while piece := stream.read(_PIECE_BYTES):
                file.write(piece)
            file.seek(0)
        except OSError as error:
            unnamed = StoreUnavailableError(f"the file cannot be kept: {error.strerror}", retry_after_s=60)
            raise meaning_of(error, "the file") or unnamed from error
        yield file


def blocks_in_file(file: BinaryIO, fields: ReadingFields | ChooseFields = HEART_RATE_FIELDS) -> Iterator[Block]:
    """Yield the blocks of an open file. The fields may be chosen by the names of its columns.

    Raises:
        MalformedError: it is damaged or cut short, or a row group is too large.
        RejectedError: the columns are not those of readings.
        MemoryError: a row group takes more memory than there is.
    """
    try:
        table = pq.ParquetFile(file, pre_buffer=False)
        fields = fields if isinstance(fields, ReadingFields) else fields(table.schema_arrow.names)
        check_schema(table.schema_arrow, fields)
        check_sizes(table.metadata)
        yield from blocks_of_batches(table.iter_batches(BLOCK_READINGS), fields)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise MalformedError("the file is damaged or cut short: Parquet cannot be read without its end") from None


def check_sizes(contents: pq.FileMetaData) -> None:
    """Raises `MalformedError` if a column of a row group unpacks to too much."""
    for number in range(contents.num_row_groups):
        group = contents.row_group(number)
        if group.total_byte_size <= _COLUMN_BYTES:
            continue  # so is each column; and over one whose counts are wrong the library ends the process
        if any(group.column(place).total_uncompressed_size > _COLUMN_BYTES for place in range(group.num_columns)):
            raise MalformedError(f"a column of a row group is larger than {_COLUMN_BYTES} bytes; write smaller ones")
