"""Arrow streams that say of themselves what is not so: none of it may end the server or fill its memory."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs import bulk_bodies as bulk
from pulsebase.api.codecs.bulk_bodies import blocks_of
from pulsebase.api.routes.admin_transfer import _candidates
from pulsebase.ingest.blocks import Block
from tests.fuzz.arrow import columns
from tests.fuzz.checks import Body

ROWS = 24


def read(data: bytes) -> list[Block]:
    return list(blocks_of(Body(data), "application/vnd.apache.arrow.stream", None))  # type: ignore[arg-type]


def refusal(read_it: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ProblemError) as caught:
        read_it()
    return caught.value.slug, caught.value.detail


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file.getvalue()


def batch(**others: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns() | others)


def dictionary(texts: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array(texts, pa.large_string()))


def view(length: int, buffer: int, offset: int) -> bytes:
    return struct.pack("<i4sii", length, b"what", buffer, offset)


def views(*stated: bytes, nulls: int = 0) -> pa.Array:
    """Views as they are stated, the last ones being null."""
    valid = pa.py_buffer(((1 << len(stated) - nulls) - 1).to_bytes(8, "little")) if nulls else None
    buffers = [valid, pa.py_buffer(b"".join(stated)), pa.py_buffer(b"what is longer than twelve")]
    return pa.Array.from_buffers(pa.string_view(), len(stated), buffers, nulls)


# --- what a few bytes stand for ---


def test_rows_without_bytes_are_none() -> None:
    """Columns of nothing but nulls take no byte a row."""
    nulls = {name: pa.nulls(7777) for name in ("user_id", "device_id", "timestamp", "heart_rate")}
    data = stream(pa.RecordBatch.from_pydict(nulls))
    (block,) = read(data)
    assert (block.total, len(block.errors)) == (7777, 7777)
    many = data.replace(struct.pack("<q", 7777), struct.pack("<q", 1 << 60))
    assert refusal(lambda: read(many)) == (
        "malformed-body",
        "a record batch says that it has more rows than it has bytes",
    )


@pytest.mark.parametrize("deltas", [False, True], ids=["replaced", "added to"])
def test_dictionaries_that_grow_are_bounded_by_what_is_held(monkeypatch: pytest.MonkeyPatch, deltas: bool) -> None:
    monkeypatch.setattr(bulk, "_RECORD_BATCH_BYTES", 1 << 20)
    texts = ["a" * (300 << 10) + str(number) for number in range(5)]
    grown = [batch(user_id=dictionary(texts[: most + 1])) for most in range(5)]
    short = stream(*grown[:3], emit_dictionary_deltas=deltas, compression="zstd")
    assert sum(block.total for block in read(short)) == 3 * ROWS
    data = stream(*grown, emit_dictionary_deltas=deltas, compression="zstd")
    assert len(data) < 1 << 16
    assert refusal(lambda: read(data))[0] == "body-too-large"


def test_dictionaries_of_many_columns_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_RECORD_BATCH_BYTES", 1 << 20)
    large = {f"__index_level_{number}__": dictionary(["a" * (300 << 10)]) for number in range(4)}
    data = stream(batch(**large), compression="zstd")
    assert len(data) < 1 << 16
    assert refusal(lambda: read(data)) == (
        "body-too-large",
        "the dictionaries are larger than 1048576 bytes in all; write smaller ones",
    )


def test_what_a_stream_has_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of a few bytes has a large dictionary looked through."""
    monkeypatch.setattr(bulk, "_STREAM_BYTES", 10 << 20)
    same = dictionary(["a" * (1 << 20)])
    batches = [batch(user_id=same)] * 20
    assert sum(block.total for block in read(stream(*batches[:5]))) == 5 * ROWS
    assert refusal(lambda: read(stream(*batches)))[0] == "body-too-large"


def test_buffers_that_are_said_to_be_packed_the_old_way_are_refused() -> None:
    """It is said in a list of names and values beside the batch, where what they unpack to is not looked for."""
    key = b"ARROW:experimental_compression".ljust(32, b"\0")
    data = stream(batch(), metadata_version=pa.MetadataVersion.V4)
    schema, records = list(pa.ipc.MessageReader.open_stream(data))
    framed = [_framed(schema.metadata, b""), _framed(bytes(records.metadata) + key, records.body)]
    assert sum(block.total for block in read(framed[0] + _framed(records.metadata, records.body))) == ROWS
    assert refusal(lambda: read(b"".join(framed)))[1].startswith("a record batch is packed as before Arrow 1.0")


def _framed(head: Any, body: Any) -> bytes:
    return b"\xff\xff\xff\xff" + len(head).to_bytes(4, "little") + bytes(head) + bytes(body)


# --- what lies outside of its buffers ---


def test_views_of_nulls_may_hold_anything() -> None:
    wild = view(1 << 20, 77, 1 << 30)
    plain = view(4, 0, 0)
    for users in (views(*[plain] * (ROWS - 2), wild, wild, nulls=2), views(plain, wild, nulls=1)):
        if len(users) == ROWS:
            (block,) = read(stream(batch(user_id=users)))
            assert [error.index for error in block.errors] == [ROWS - 2, ROWS - 1]
            assert set(block.candidates.user_ids) == {"what"}
        codes = pa.array([0] * (ROWS - 1) + [1], pa.int32())
        in_dictionary = pa.DictionaryArray.from_arrays(codes, users.slice(0, 2))
        assert sum(each.total for each in read(stream(batch(user_id=in_dictionary)))) == ROWS


@pytest.mark.parametrize("wild", [view(20, 0, 20), view(20, 1, 0), view(20, -1, 0), view(-1, 0, 0)])
def test_views_of_what_is_not_there_are_refused(wild: bytes) -> None:
    users = views(*[view(4, 0, 0)] * (ROWS - 1), wild)
    assert refusal(lambda: read(stream(batch(user_id=users))))[0] == "malformed-body"


@pytest.mark.parametrize("length", [-(1 << 40), -1, 1 << 40, (1 << 63) - 1])
@pytest.mark.parametrize("validity", [False, True])
def test_lengths_of_dictionaries_that_cannot_be_are_refused(length: int, validity: bool) -> None:
    texts = views(*[view(4, 0, 0)] * 11, nulls=int(validity))
    users = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int16()), texts)
    data = stream(batch(user_id=users))
    assert data.count(struct.pack("<q", 11)) >= 1
    assert refusal(lambda: read(data.replace(struct.pack("<q", 11), struct.pack("<q", length))))[0] == "malformed-body"


# --- the owner's door ---


def block_of(**others: Any) -> bytes:
    users = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), ["ann", "bob"])
    given = {
        "user_id": users,
        "device_id": users,
        "time_us": pa.array([1, 2]),
        "value": pa.array([60.0, 61.0]),
        "confidence": pa.array([-1, 2], pa.int8()),
        "position": pa.array([5, 7]),
    }
    return stream(pa.RecordBatch.from_pydict(given | others))


def test_a_block_of_a_command_is_read() -> None:
    rows = _candidates(block_of())
    assert (list(rows.user_ids), rows.times_us.tolist(), rows.values.tolist()) == (["ann", "bob"], [1, 2], [60, 61])
    assert rows.positions is not None
    assert (rows.confidences.tolist(), rows.positions.tolist()) == ([-1, 2], [5, 7])


def test_a_block_with_offsets_that_point_elsewhere_is_none() -> None:
    data = block_of()
    offsets = struct.pack("<iii", 0, 3, 6)
    assert offsets in data
    for wild in ((0, 3, 1 << 30), (0, -5, 6), (1 << 30, 3, 6)):
        damaged = data.replace(offsets, struct.pack("<iii", *wild))
        assert refusal(partial(_candidates, damaged))[0] == "malformed-body"


@pytest.mark.parametrize(
    "others",
    [
        {"value": pa.array([60, 61])},
        {"time_us": pa.array([1, None])},
        {"user_id": pa.array(["ann", "bob"])},
        {"more": pa.array([1, 2])},
        {"user_id": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), ["ann", None])},
    ],
)
def test_a_block_of_other_columns_is_none(others: dict[str, Any]) -> None:
    assert refusal(lambda: _candidates(block_of(**others)))[0] == "malformed-body"


def test_a_block_with_a_code_without_an_id_is_none() -> None:
    codes = pa.py_buffer(struct.pack("<ii", 0, 9))
    users = pa.DictionaryArray.from_buffers(_IDS, 2, [None, codes], pa.array(["ann", "bob"]))
    assert refusal(lambda: _candidates(block_of(user_id=users)))[0] == "malformed-body"


_IDS = pa.dictionary(pa.int32(), pa.string())
