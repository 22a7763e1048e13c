"""The decoder of FIT files, by hand and against Garmin's own library."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from garmin_fit_sdk import Decoder, Stream

from pulsebase.etl.transform.fit import checksum, heart_rates
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US
from tests.support import fit
from tests.support.fit import (
    EPOCH_S,
    HEART_RATE,
    MONITORING,
    MONITORING_HEART_RATE,
    RECORD,
    TIMESTAMP,
    TIMESTAMP_16,
    activity,
    definition,
    file_id,
    fit_file,
    record,
)

TEN = int(datetime(2024, 1, 15, 10, tzinfo=UTC).timestamp())
LAYOUT = definition(1, RECORD, [TIMESTAMP, HEART_RATE])


def read(data: bytes, device_id: str | None = None) -> tuple[list[tuple[int, float]], str | None]:
    """(seconds after ten o'clock, bpm) of every reading, and what is wrong with the file."""
    rows: list[tuple[int, float]] = []
    try:
        for block in blocks_of(data, device_id):
            times_s = block.candidates.times_us // SECOND_US - TEN
            rows += zip(times_s.tolist(), block.candidates.values.tolist(), strict=True)
    except MalformedError as error:
        return rows, str(error)
    return rows, None


def blocks_of(data: bytes, device_id: str | None = None) -> Iterator[Block]:
    return (found for found in heart_rates(data, "ann", device_id) if isinstance(found, Block))


def device_of(data: bytes) -> set[str]:
    found: set[str] = set()
    for block in blocks_of(data):
        found |= set(block.candidates.device_ids)
    return found


def test_records_are_read_and_what_was_not_measured_left_out() -> None:
    samples = [(TEN, 70), (TEN + 1, 255), (TEN + 2, 0), (TEN + 3, 71)]
    assert read(activity(samples)) == ([(0, 70.0), (3, 71.0)], None)


def test_the_epoch_is_the_protocols() -> None:
    (block, *_) = blocks_of(activity([(EPOCH_S + 0x10000000, 70)]))
    assert block.candidates.times_us.tolist() == [(631_065_600 + 0x10000000) * SECOND_US]


def test_times_since_the_device_was_switched_on_are_refused() -> None:
    blocks = list(blocks_of(activity([(EPOCH_S + 0x0FFFFFFF, 70), (TEN, 71)])))
    assert sum(len(block.candidates) for block in blocks) == 1
    assert [(error.field, error.index) for block in blocks for error in block.errors] == [("timestamp", 4)]
    assert sum(block.total for block in blocks) == 2


def test_a_time_that_is_none_brings_no_reading() -> None:
    assert read(fit_file([LAYOUT, struct.pack("<BIB", 1, 0xFFFFFFFF, 70), record(TEN, 71)])) == ([(0, 71.0)], None)


def test_monitoring_tells_the_low_half_of_its_time() -> None:
    base = (TEN - EPOCH_S) // 0x10000 * 0x10000 + 0xFFF0  # close to where the low half begins again
    seconds = EPOCH_S + base - TEN
    data = fit_file(
        [
            definition(0, MONITORING, [TIMESTAMP, (5, 1, 0x00)]),
            struct.pack("<BIB", 0, base, 6),
            definition(1, MONITORING, [TIMESTAMP_16, MONITORING_HEART_RATE]),
            struct.pack("<BHB", 1, 0xFFF8, 60),
            struct.pack("<BHB", 1, 0x0010, 61),
            struct.pack("<BHB", 1, 0xFFFF, 62),  # none
            struct.pack("<BHB", 1, 0xFFF0, 63),
        ]
    )
    assert read(data) == ([(seconds + 8, 60.0), (seconds + 0x20, 61.0), (seconds, 63.0)], None)


def test_compressed_headers_tell_five_bits_of_time() -> None:
    begin = (TEN - EPOCH_S) // 32 * 32 + 30
    seconds = EPOCH_S + begin - TEN
    data = fit_file(
        [
            LAYOUT,
            record(EPOCH_S + begin, 70),
            definition(2, RECORD, [HEART_RATE]),
            *(bytes([0x80 | 2 << 5 | offset, bpm]) for offset, bpm in ((31, 71), (1, 72), (1, 73), (0, 74))),
        ]
    )
    times = [0, 1, 3, 3, 34]
    assert read(data) == ([(seconds + at_s, 70.0 + n) for n, at_s in enumerate(times)], None)


#: Of `hr`: the time in full with its fraction, then a beat; and eight beats in 12 bits each.
ANCHOR = definition(3, 132, [TIMESTAMP, (0, 2, 0x84), (6, 1, 0x02), (9, 4, 0x86)])
PACKED = definition(4, 132, [(6, 8, 0x02), (10, 12, 0x0D)])


def anchor(at_s: int, fraction: int, bpm: int, event: int) -> bytes:
    return struct.pack("<BIHBI", 3, at_s - EPOCH_S, fraction, bpm, event)


def packed(beats: Sequence[tuple[int, int]]) -> bytes:
    """(time in 1/1024 s, bpm) of eight beats."""
    bits = sum((event & 0xFFF) << 12 * place for place, (event, _) in enumerate(beats))
    return bytes([4, *(bpm for _, bpm in beats)]) + bits.to_bytes(12, "little")


def beats_of(data: bytes) -> list[tuple[int, float]]:
    """(microseconds after ten o'clock, bpm)"""
    (block,) = blocks_of(data)
    return list(zip((block.candidates.times_us - TEN * SECOND_US).tolist(), block.candidates.values, strict=True))


@pytest.mark.parametrize("first", [5_000, 4_090, 0xFFFFFF00])
def test_beats_that_a_strap_kept_are_read_at_their_own_times(first: int) -> None:
    """Against Garmin's library, which unrolls the 12 bits; where the strap's clock goes round it gives up."""
    steps = [(first + 700 * n, 60 + n) for n in range(1, 17)]
    messages = [anchor(TEN, 16_384, 60, first), PACKED, packed(steps[:8]), packed(steps[8:])]
    data = fit_file([file_id(), ANCHOR, *messages])
    expected = [(500_000 + 700 * n * SECOND_US // 1_024, 60.0 + n) for n in range(17)]
    assert beats_of(data) == expected
    if first == 5_000:
        read = Decoder(Stream.from_byte_array(bytearray(data))).read(merge_heart_rates=False)
        theirs: list[dict[str, Any]] = read[0]["hr_mesgs"]  # type: ignore[assignment]
        events = [event for message in theirs for event in np.atleast_1d(message["event_timestamp"]).tolist()]
        assert [(event * 1_024 - first) / 700 for event in events] == pytest.approx(range(17))


def test_beats_may_tell_their_times_in_full_and_some_were_not_measured() -> None:
    full = definition(5, 132, [(6, 3, 0x02), (9, 12, 0x86)])
    beats = struct.pack("<BBBBIII", 5, 61, 255, 63, 3_048, 4_072, 5_096)
    again = anchor(TEN + 60, 0xFFFF, 70, 1_000)  # another clock: the strap was taken off
    assert beats_of(fit_file([ANCHOR, anchor(TEN, 0xFFFF, 60, 2_024), full, beats, again])) == [
        (0, 60.0),
        (1_000_000, 61.0),
        (3_000_000, 63.0),
        (60_000_000, 70.0),
    ]


def test_beats_before_any_time_are_refused() -> None:
    blocks = list(blocks_of(fit_file([PACKED, packed([(n, 60) for n in range(8)]), ANCHOR, anchor(TEN, 0, 61, 8)])))
    assert [(error.field, error.index) for block in blocks for error in block.errors] == [("event_timestamp", 2)] * 8
    assert [value for block in blocks for value in block.candidates.values] == [61.0]


def test_the_watchs_resting_heart_rate_is_of_its_own_day() -> None:
    info, resting = definition(1, 103, [TIMESTAMP, (0, 4, 0x86)]), definition(2, 211, [TIMESTAMP, (0, 1, 2), (1, 1, 2)])
    late = int(datetime(2024, 1, 15, 20, tzinfo=UTC).timestamp()) - EPOCH_S

    def days(*bpm: int, east_s: int) -> list[DailySummary]:
        messages = [struct.pack("<BIBB", 2, late, 50, each) for each in bpm]
        data = fit_file([info, struct.pack("<BII", 1, late, late + east_s), resting, *messages])
        return [day for found in heart_rates(data, "ann", None) if not isinstance(found, Block) for day in found]

    assert days(52, 255, east_s=11 * 3600) == [DailySummary("ann", date(2024, 1, 16), 52, "garmin")]
    assert days(52, east_s=-6 * 3600) == [DailySummary("ann", date(2024, 1, 15), 52, "garmin")]
    assert days(255, 0, east_s=0) == []


def test_big_endian_messages_and_developer_fields_are_read() -> None:
    big = definition(3, RECORD, [TIMESTAMP, HEART_RATE], big_endian=True)
    developer = bytes([0x60 | 4]) + LAYOUT[1:] + bytes([2, 0, 3, 0, 1, 2, 0])
    data = fit_file(
        [
            big,
            struct.pack(">BIB", 3, TEN - EPOCH_S, 70),
            developer,
            struct.pack("<BIB", 4, TEN + 1 - EPOCH_S, 71) + b"abcde",
            struct.pack(">BIB", 3, TEN + 2 - EPOCH_S, 72),
        ]
    )
    assert read(data) == ([(0, 70.0), (1, 71.0), (2, 72.0)], None)


def test_the_file_names_its_device() -> None:
    sample = [LAYOUT, record(TEN, 70)]
    assert device_of(fit_file([file_id(), *sample])) == {"garmin-3113-987654321"}
    assert device_of(fit_file([file_id(manufacturer=32, product=31), *sample])) == {"fit-32-31-987654321"}
    assert device_of(fit_file([file_id(serial=0), *sample])) == {"garmin-3113"}
    assert device_of(fit_file(sample)) == {"fit"}


def test_files_that_follow_each_other_are_read_as_one() -> None:
    assert read(activity([(TEN, 70)]) + activity([(TEN + 1, 71)])) == ([(0, 70.0), (1, 71.0)], None)


@pytest.mark.parametrize("left_out", [1, 2, 3, 7, 8, 14, 300, 599])
def test_a_file_cut_short_gives_its_good_part(left_out: int) -> None:
    data = activity([(TEN + n, 70) for n in range(100)])
    rows, problem = read(data[:-left_out])
    whole = 100 - -(-max(0, left_out - 2) // 6)
    assert rows == [(n, 70.0) for n in range(whole)]
    assert problem == f"the file is cut short behind message {3 + whole}"


def test_a_changed_byte_is_noticed() -> None:
    data = bytearray(activity([(TEN + n, 70) for n in range(10)]))
    data[-3] = 99
    rows, problem = read(bytes(data))
    assert rows[-1] == (9, 99.0)
    assert problem == "the file's checksum does not match: some of what was read may be damaged"


def test_no_damage_brings_more_than_a_message() -> None:
    beats = [ANCHOR, anchor(TEN, 0, 60, 9), PACKED, *(packed([(n, 60)] * 8) for n in range(5))]
    daily = [definition(2, 211, [TIMESTAMP, (1, 1, 2)]), struct.pack("<BIB", 2, TEN - EPOCH_S, 50)]
    data = fit_file([*beats, *daily, LAYOUT, *(record(TEN + n, 70) for n in range(50))])
    dice = random.Random(3)
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        rows, _ = read(bytes(damaged[: dice.randint(1, len(damaged))]))
        assert len(rows) <= 50 * 6


def test_the_checksum_is_the_protocols() -> None:
    data = bytes(range(256))
    assert checksum(data) == fit.checksum(data)


def test_garmins_own_library_reads_the_same() -> None:
    dice = random.Random(7)
    fields = [TIMESTAMP, (0, 4, 0x85), HEART_RATE, (2, 2, 0x84), (4, 1, 0x02)]
    layouts = {local: definition(local, RECORD, dice.sample(fields, len(fields))) for local in (1, 2, 5)}
    messages = [file_id()]
    for n in range(2000):
        if n % 100 == 0:
            messages += layouts.values()
        layout = layouts[dice.choice(list(layouts))]
        values = {253: TEN - EPOCH_S + n, 0: dice.randint(-9, 9), 3: dice.choice([0, 255, 60, 170]), 2: 2500, 4: 90}
        kinds = {1: "B", 2: "H", 4: "I"}
        body = b"".join(
            struct.pack("<" + ("i" if number == 0 else kinds[size]), values[number])
            for number, size, _ in zip(layout[6::3], layout[7::3], layout[8::3], strict=True)
        )
        messages.append(bytes([layout[0] & 0xF]) + body)
    data = fit_file(messages)
    theirs, errors = Decoder(Stream.from_byte_array(bytearray(data))).read()
    assert errors == []
    expected = [
        (int(datetime.fromisoformat(str(each["timestamp"])).timestamp()) - TEN, float(each["heart_rate"]))
        for each in theirs["record_mesgs"]
        if each.get("heart_rate")
    ]
    assert len(expected) > 900
    assert read(data) == (expected, None)
