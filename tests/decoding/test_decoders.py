"""Decoding in another process: the same answers, and an end to whatever does not end by itself."""

from __future__ import annotations

import io
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.decoding import DecoderLimits, Decoders
from pulsebase.decoding.arena import Arena
from pulsebase.decoding.channel import ChannelError, DecoderChannel, pair
from pulsebase.decoding.messages import ARENA_BYTES, BlockCame, packed_block, unpacked_block
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.ingest.candidates import Candidates
from pulsebase.ingest.parquet import blocks_in_file
from pulsebase.ingest.processor import ProcessorLimit, TooCostlyError
from pulsebase.model.errors import FieldError, RejectedError, StoreUnavailableError

US = 1_705_312_800_000_000


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders()
    yield made
    made.close()


def decoded(data: bytes, read: Callable[[BinaryIO], Iterator[Block]]) -> Generator[Block, None, None]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield from read(file)


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def readings(count: int) -> dict[str, Any]:
    return {
        "user_id": pa.array([f"user-{row % 3}" for row in range(count)]),
        "device_id": pa.array(["a"] * count).dictionary_encode(),
        "timestamp": pa.array(US + np.arange(count) * 1_000_000, pa.timestamp("us", "UTC")),
        "heart_rate": pa.array(60.0 + np.arange(count) % 100),
    }


def rows_of(blocks: Sequence[Block]) -> list[Any]:
    found: list[Any] = []
    for block in blocks:
        rows = block.candidates
        assert rows.positions is not None
        columns = (rows.times_us, rows.values, rows.confidences, rows.positions)
        found += zip(rows.user_ids, rows.device_ids, *(column.tolist() for column in columns), strict=True)
    return found


def test_blocks_come_as_they_would_in_this_process(decoders: Decoders) -> None:
    columns = readings(250_000)
    columns["timestamp"] = pa.array(
        [None if row % 1000 == 7 else f"2024-01-15T10:00:{row % 60:02}Z" for row in range(250_000)]
    )
    columns["confidence"] = pa.array([None if row % 2 else row % 5 for row in range(250_000)], pa.int8())
    data = parquet(columns)
    here, there = list(decoded(data, blocks_in_file)), list(decoded(data, decoders.parquet))
    assert [block.total for block in there] == [block.total for block in here]
    assert [block.errors for block in there] == [block.errors for block in here]
    assert sum(len(block.errors) for block in there) == 250
    assert rows_of(there) == rows_of(here)


def test_wrong_columns_are_refused_by_name(decoders: Decoders) -> None:
    columns = readings(3) | {"steps": pa.array([1, 2, 3])}
    with pytest.raises(RejectedError, match="steps: is not a known column"):
        list(decoded(parquet(columns), decoders.parquet))


def stated_large(data: bytes) -> bytes:
    """The file with a row group that says it has a GiB: only then are the sizes of its columns looked at."""
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    # Thrift's compact protocol writes 64 bits as 0x16 and a zigzag varint: `total_byte_size`, then `num_rows`, 3.
    found = list(re.finditer(rb"\x16([\x80-\xff]*[\x00-\x7f])\x16\x06", data[footer:-8]))
    start, end = (footer + place for place in found[-1].span(1))
    changed = data[footer:start] + b"\x80\x80\x80\x80\x08" + data[end:-8]
    return data[:footer] + changed + len(changed).to_bytes(4, "little") + data[-4:]


def crashing() -> Iterator[bytes]:
    """Small files whose contents lie about the type of a column, or about the number of its values."""
    data = stated_large(parquet(readings(3), compression="none"))
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for place in range(footer + 14, footer + 24):
        for byte in (0x00, 0x19):
            yield data[:place] + bytes([byte]) + data[place + 1 :]


def test_a_file_that_ends_its_decoder_is_damaged_and_the_next_one_is_read(decoders: Decoders) -> None:
    said = []
    for data in crashing():
        try:
            said.append(str(sum(block.total for block in decoded(data, decoders.parquet))))
        except (MalformedError, RejectedError) as error:
            said.append(str(error))
    assert any("crashed" in each for each in said), "none of the files does what this is about"
    assert sum(block.total for block in decoded(parquet(readings(3)), decoders.parquet)) == 3


def test_a_decoder_that_is_killed_in_the_middle_is_told_of(decoders: Decoders) -> None:
    blocks = decoded(parquet(readings(500_000)), decoders.parquet)
    assert next(blocks).total == 100_000
    for child in children():
        os.kill(child, signal.SIGSEGV)
    with pytest.raises(MalformedError, match="crashed"):
        list(blocks)
    assert sum(block.total for block in decoded(parquet(readings(3)), decoders.parquet)) == 3


def test_a_few_bytes_that_stand_for_a_lot_of_memory_are_refused() -> None:
    decoders = Decoders(DecoderLimits(memory_bytes=96 << 20))
    columns = readings(100_000)
    columns["user_id"] = pa.DictionaryArray.from_arrays(
        np.arange(100_000) % 40, [f"{n:02}" + "a" * (1 << 20) for n in range(40)]
    )
    data = parquet(columns, compression="zstd")
    assert len(data) < 1 << 20
    with pytest.raises(MalformedError, match="more memory"):
        list(decoded(data, decoders.parquet))
    assert sum(block.total for block in decoded(parquet(readings(3)), decoders.parquet)) == 3
    decoders.close()


def test_who_waits_for_a_decoder_is_told_when_the_server_stops() -> None:
    stopping = Decoders()
    blocks = decoded(parquet(readings(500_000)), stopping.parquet)
    assert next(blocks).total == 100_000
    stopping.close()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        list(blocks)
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        list(decoded(parquet(readings(3)), stopping.parquet))


def test_a_silent_decoder_is_ended() -> None:
    decoders = Decoders(DecoderLimits(step_s=0.001))
    with pytest.raises(MalformedError, match="took too long"):
        list(decoded(parquet(readings(3)), decoders.parquet))
    decoders.close()


def test_a_file_that_takes_too_much_of_the_processor_is_given_up() -> None:
    columns = readings(1000)
    columns["timestamp"] = pa.array(["2024-01-15 10:00:00.1"] * 1000)  # of the forms that are read one by one
    table = pa.table(columns)
    file = io.BytesIO()
    with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
        for _ in range(2000):
            writer.write_table(table)
    data = file.getvalue()
    assert len(data) < 16 << 20
    decoders = Decoders(DecoderLimits(processor=ProcessorLimit(0.001, 0)))
    with pytest.raises(TooCostlyError, match="processor"):
        list(decoded(data, decoders.parquet))
    decoders.close()


def test_who_finds_every_decoder_busy_is_told_to_come_again() -> None:
    decoders = Decoders(DecoderLimits(most=1, wait_s=0.05))
    blocks = decoded(parquet(readings(200_000)), decoders.parquet)
    next(blocks)
    with pytest.raises(StoreUnavailableError, match="busy"):
        list(decoded(parquet(readings(3)), decoders.parquet))
    blocks.close()
    assert sum(block.total for block in decoded(parquet(readings(3)), decoders.parquet)) == 3
    decoders.close()


def test_a_decoder_knows_no_setting_and_ends_with_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEBASE_STORE_URL", "postgresql://user:secret@localhost/x")
    before = set(children())
    decoders = Decoders()
    list(decoded(parquet(readings(3)), decoders.parquet))
    (child,) = set(children()) - before
    assert b"secret" not in Path(f"/proc/{child}/environ").read_bytes()
    decoders.close()
    assert not Path(f"/proc/{child}").exists()


def children() -> list[int]:
    """The processes that decode for this one."""
    text = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    found = [int(each) for each in text.split()]
    return [each for each in found if b"pulsebase.decoding" in Path(f"/proc/{each}/cmdline").read_bytes()]


# --- what a decoder that is not itself any more could say ---


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena.new(ARENA_BYTES)
    yield made
    made.close()


def block(count: int, positions: Any = None) -> Block:
    rows = Candidates(
        ["ann"] * count, ["a"] * count, np.arange(count), np.ones(count), np.zeros(count, np.int8), positions
    )
    return Block(rows, [FieldError("timestamp", "is required", 5)], count + 1)


def test_a_block_goes_through_the_arena_as_it_is(arena: Arena) -> None:
    for positions in (None, np.array([4, 5, 6]), np.array([1, 5, 6])):
        found = unpacked_block(packed_block(block(3, positions), arena), arena)
        assert rows_of([found]) == [
            ("ann", "a", row, 1.0, 0, row if positions is None else positions[row]) for row in range(3)
        ]
        assert found.errors == [FieldError("timestamp", "is required", 5)]
        assert found.total == 4


@pytest.mark.parametrize(
    "head",
    [
        BlockCame([], ["a"], 3, 0, [], 3, [], "heart_rate"),
        BlockCame(["ann"], [], 3, 0, [], 3, [], "heart_rate"),
        BlockCame(["ann"], ["a"], -1, 0, [], 3, [], "heart_rate"),
        BlockCame(["ann"], ["a"], 10**12, 0, [], 3, [], "heart_rate"),
        BlockCame(["ann"], ["a"], 3, 0, [], 3, [], "mood"),
        BlockCame(["ann"], ["a"], 3, 0, [], 3, [], ""),
    ],
)
def test_a_block_that_lies_is_none(arena: Arena, head: BlockCame) -> None:
    packed_block(block(3), arena)
    with pytest.raises(ChannelError):
        unpacked_block(head, arena)


def test_what_was_taken_from_the_arena_does_not_change_any_more(arena: Arena) -> None:
    found = unpacked_block(packed_block(block(3), arena), arena)
    arena.put([np.full(1000, 255, np.uint8)])
    assert found.candidates.times_us.tolist() == [0, 1, 2]


def test_the_arena_cannot_be_cut_off(arena: Arena) -> None:
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(arena.file, 0)


@pytest.mark.parametrize(
    "said",
    [b"", b"\x01", b"\xff" * 8, b"\xff\xff\xff\x00\xff\x00\x00\x00", b"\x00" * 4 + b"\x01\x00\x00\x00" + b"\xff" * 8],
)
def test_what_is_no_message_is_refused(said: bytes) -> None:
    ours, theirs = pair()
    theirs.sendall(said)
    theirs.close()
    channel = DecoderChannel(ours)
    started = time.monotonic()
    with pytest.raises(ChannelError):
        channel.receive(60)
    assert time.monotonic() - started < 30, "it did not wait for more"
    channel.close()
