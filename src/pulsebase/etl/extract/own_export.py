"""What `pulsebase export` wrote: readings as NDJSON and CSV (bulk bodies have the same columns and the same
readers), and records of people. Readings of other metrics than heart rate have a `value` and name their `metric`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np

from pulsebase.etl.extract.json_objects import objects_in
from pulsebase.etl.extract.parts import Damage, EndOfImportError, FileOwner, Part, PassedOver, RecordBlock, Stream
from pulsebase.etl.transform.own_records import parse_records
from pulsebase.ingest.blocks import Block, ChooseFields, MalformedError, file_fields
from pulsebase.ingest.csv_lines import csv_blocks
from pulsebase.ingest.lines import line_pieces, ndjson_blocks
from pulsebase.model.exported import VERSION
from pulsebase.model.readings import Ids
from pulsebase.stores.records import Kind

_MANIFEST_BYTES = 1 << 16
#: How many records are stored at once.
_RECORDS = 500
_BOM = b"\xef\xbb\xbf"


def ndjson(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """A reading a line; positions count readings from 1."""
    return counted_from_one(ndjson_blocks(_WithoutMark(stream), fields_for(owner)), owner)


def json_list(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """A list of readings, as a batch over HTTP has them; positions count readings from 1."""
    return counted_from_one(ndjson_blocks(_ListAsLines(stream), fields_for(owner)), owner)


def csv(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """A reading a line below the names of the columns; positions count readings from 1."""
    return counted_from_one(csv_blocks(stream, fields_for(owner)), owner)


def manifest(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Check the manifest, which describes the other files and holds no records.

    Raises:
        EndOfImportError: the version of the export is not supported.
        MalformedError: the manifest is damaged.
    """
    del owner
    try:
        version = json.loads(stream.read(_MANIFEST_BYTES))["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MalformedError("the manifest of the export is damaged") from None
    if version != VERSION:
        raise EndOfImportError("the export was written by another version of the program; nothing of it was read")
    yield from ()


def records(kind: Kind, stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Read one kind of records of people, one per line; positions count the lines that are not blank."""
    del owner
    today, number = datetime.now(UTC).date(), 1
    for text in line_pieces(_WithoutMark(stream)):
        lines = [line for line in text.split(b"\n") if line.strip()]
        for at in range(0, len(lines), _RECORDS):
            some = lines[at : at + _RECORDS]
            parsed = parse_records(kind, some, number + at, today)
            yield RecordBlock(parsed.records, parsed.places, parsed.errors, len(some))
        number += len(lines)


class _ListAsLines:
    """A list of JSON objects as lines of such."""

    def __init__(self, stream: Stream) -> None:
        self._damage = Damage()
        self._objects = self._damage.before(objects_in(stream))
        self._left = b""

    def read(self, size: int, /) -> bytes:
        parts, have = [self._left], len(self._left)
        while have < size:
            found = next(self._objects, None)
            if found is None:
                break
            parts.append(json.dumps(found[1]).encode() + b"\n")
            have += len(parts[-1])
        data = b"".join(parts)
        if not data:
            self._damage.tell()
        self._left = data[size:]
        return data[:size]


class _WithoutMark:
    """A stream without the byte order mark that some programs write at the start."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._begun = stream, False

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        if self._begun:
            return piece
        self._begun = True
        return piece.removeprefix(_BOM)


def fields_for(owner: FileOwner) -> ChooseFields:
    """Return what tells the form of a file's readings by the names of its columns."""
    return partial(file_fields, metric=owner.metric)


def counted_from_one(blocks: Iterator[Block], owner: FileOwner) -> Iterator[Part]:
    """Yield the blocks, stored under the owner's device if one is given, and the columns that are ignored."""
    for block in blocks:
        rows = block.candidates
        positions = np.arange(len(rows)) if rows.positions is None else rows.positions
        rows = replace(rows, positions=positions + 1)
        if owner.device_id is not None:
            rows = replace(rows, device_ids=Ids.repeated(owner.device_id, len(rows)))
        errors = [replace(error, index=None if error.index is None else error.index + 1) for error in block.errors]
        yield Block(rows, errors, block.total)
        yield from (PassedOver(f"column {name}", 1) for name in block.passed_over)
