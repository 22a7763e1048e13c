"""The decoder of FIT files, by hand and against Garmin's own library."""

from __future__ import annotations

import contextlib
import random
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from garmin_fit_sdk import Decoder, Profile, Stream

from pulsebase.etl.transform import fit as fit_transform
from pulsebase.etl.transform import fit_messages
from pulsebase.etl.transform.fit import checksum, vital_signs
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
    return (found for found in vital_signs(data, "ann", device_id) if isinstance(found, Block))


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


def refusals(data: bytes) -> list[tuple[str, int | None]]:
    """(field, message) of what was refused; every heart rate is either read or refused."""
    blocks: list[Block] = []
    with contextlib.suppress(MalformedError):
        blocks += blocks_of(data)
    errors = [error for block in blocks for error in block.errors]
    assert sum(block.total for block in blocks) == len(errors) + sum(len(block.candidates) for block in blocks)
    return [(error.field, error.index) for error in errors]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([LAYOUT, struct.pack("<BIB", 1, 0xFFFFFFFF, 70)], "timestamp"),
        ([definition(1, RECORD, [HEART_RATE]), bytes([1, 70])], "timestamp"),
        ([definition(1, RECORD, [HEART_RATE]), bytes([0x80 | 1 << 5 | 7, 70])], "timestamp"),
        (
            [definition(1, MONITORING, [TIMESTAMP_16, MONITORING_HEART_RATE]), struct.pack("<BHB", 1, 7, 70)],
            "timestamp_16",
        ),
        ([definition(1, MONITORING, [MONITORING_HEART_RATE]), bytes([1, 70])], "timestamp"),
        ([definition(1, 211, [TIMESTAMP, (1, 1, 2)]), struct.pack("<BIB", 1, 0xFFFFFFFF, 50)], "timestamp"),
        ([definition(1, 211, [TIMESTAMP, (1, 1, 2)]), struct.pack("<BIB", 1, 77, 50)], "timestamp"),
        ([definition(1, 132, [TIMESTAMP, (6, 1, 2)]), struct.pack("<BIB", 1, TEN - EPOCH_S, 50)], "event_timestamp"),
    ],
)
def test_a_heart_rate_without_a_time_is_refused(messages: list[bytes], field: str) -> None:
    """Of a file that tells no time before."""
    data = fit_file([*messages, messages[-1], LAYOUT, record(TEN, 71), record(TEN + 1, 255)])
    assert refusals(data) == [(field, 2), (field, 3)]
    assert read(data) == ([(0, 71.0)], None)


def test_what_was_not_measured_needs_no_time() -> None:
    no_time = definition(1, RECORD, [HEART_RATE])
    assert refusals(fit_file([no_time, bytes([1, 0]), bytes([1, 255])])) == []


def test_many_refusals_come_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_messages, "BLOCK_READINGS", 10)
    data = fit_file([definition(1, RECORD, [HEART_RATE]), *([bytes([1, 70])] * 95)])
    assert [len(block.errors) for block in blocks_of(data)] == [10] * 9 + [5]


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


def monitored(*told: tuple[int, int | None], begin: int) -> bytes:
    """(seconds after `begin`, bpm) of minutes that tell the low half of their time; without bpm one that tells all."""
    messages = [
        definition(0, MONITORING, [TIMESTAMP]),
        definition(1, MONITORING, [TIMESTAMP_16, MONITORING_HEART_RATE]),
    ]
    for at_s, bpm in told:
        time_s = begin - EPOCH_S + at_s
        messages.append(struct.pack("<BI", 0, time_s) if bpm is None else struct.pack("<BHB", 1, time_s & 0xFFFF, bpm))
    return fit_file(messages)


@pytest.mark.parametrize("begin", [TEN, EPOCH_S + 0x3F000000 - 1, EPOCH_S + 0x3F00FFFE])
@pytest.mark.parametrize("behind_s", [1, 60, 3_600, 9 * 3_600])
def test_half_a_time_may_be_behind_the_time_before(begin: int, behind_s: int) -> None:
    data = monitored((0, None), (-behind_s, 60), (60, 61), (5, 62), begin=begin)
    assert read(data) == ([(begin - TEN + at_s, bpm) for at_s, bpm in ((-behind_s, 60.0), (60, 61.0), (5, 62.0))], None)


@pytest.mark.parametrize("step_s", [60, 900, 3_600, 32_767, -32_768])
def test_half_times_carry_on_for_days_without_a_time_in_full(step_s: int) -> None:
    told = [(step_s * n, 60 + n % 50) for n in range(1, 200)]
    assert read(monitored((0, None), *told, begin=TEN)) == ([(at_s, float(bpm)) for at_s, bpm in told], None)


def test_half_times_are_of_the_time_before_whichever_message_told_it() -> None:
    step = definition(2, 21, [TIMESTAMP])  # of a message that is not read
    data = fit_file(
        [
            step,
            struct.pack("<BI", 2, TEN - EPOCH_S),
            definition(1, MONITORING, [TIMESTAMP_16, MONITORING_HEART_RATE]),
            struct.pack("<BHB", 1, (TEN - EPOCH_S - 60) & 0xFFFF, 60),
            struct.pack("<BI", 2, TEN - EPOCH_S + 200_000),
            struct.pack("<BHB", 1, (TEN - EPOCH_S + 200_060) & 0xFFFF, 61),
            definition(3, RECORD, [HEART_RATE]),
            bytes([0x80 | 3 << 5 | (TEN - EPOCH_S + 200_063) & 0x1F, 62]),
        ]
    )
    assert read(data) == ([(-60, 60.0), (200_060, 61.0), (200_063, 62.0)], None)


def test_each_file_of_several_tells_its_own_times() -> None:
    later = monitored((0, 61), begin=TEN)
    assert refusals(activity([(TEN, 70)]) + later) == [("timestamp_16", 7)]


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
        return [day for found in vital_signs(data, "ann", None) if isinstance(found, list) for day in found]

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


def remarks(data: bytes) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(MalformedError):
        found += [part for part in vital_signs(data, "ann", None) if isinstance(part, str)]
    return found


RIDE = [(TEN + n, 70 + n % 3) for n in range(100)]
RIDE_ROWS = [(at_s - TEN, float(bpm)) for at_s, bpm in RIDE]


def with_length(data: bytes, length: int) -> bytes:
    """The file with another length in its header, and everything else as it was."""
    return data[:4] + struct.pack("<I", length) + data[8:]


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "behind",
    [b"", bytes(2), bytes(500), b"\xff" * 500, b"\x4a\xc2", b"\x01\x20\xb6"],
    ids=["nothing", "checksum of zeros", "zeros", "ones", "checksum", "part of a message"],
)
def test_a_file_that_was_not_closed_is_read_as_far_as_it_goes(length: int, behind: bytes) -> None:
    data = with_length(activity(RIDE)[:-2], length) + behind
    assert read(data) == (RIDE_ROWS, None)
    assert "the device did not close the file" in remarks(data)[0]
    assert device_of(data) == {"garmin-3113-987654321"}


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_file_that_was_not_closed_may_end_within_a_message(cut: int) -> None:
    data = with_length(activity(RIDE)[:-2], 0)[:-cut]
    assert read(data) == (RIDE_ROWS[: -((cut + 5) // 6)], None)


def test_a_file_behind_one_that_was_not_closed_is_read() -> None:
    first = with_length(activity(RIDE)[:-2], 0)
    for data in (first + activity([(TEN + 500, 80)]), first + first[:14] + activity([(TEN + 500, 80)])[14:-2]):
        assert read(data) == ([*RIDE_ROWS, (500, 80.0)], None)


def test_nonsense_in_a_file_that_was_not_closed_is_said_to_be_so() -> None:
    data = with_length(activity(RIDE)[:-2], 0) + b"\x0f" + bytes(range(1, 200))
    assert read(data) == (RIDE_ROWS, "the file is damaged behind message 103: data without a definition")


@pytest.mark.parametrize("length", [1, 59, 100, 300])
def test_a_length_that_is_too_small_loses_nothing(length: int) -> None:
    data = with_length(activity(RIDE), length)
    assert read(data) == (RIDE_ROWS, None)
    assert remarks(data) == ["the length in the file's header is too small; what lies behind it was read too"]
    assert read(data + activity([(TEN + 500, 80)]))[0][:100] == RIDE_ROWS


def test_a_length_that_is_too_small_may_have_its_checksum() -> None:
    data = with_length(activity(RIDE), 59)[:-2]
    assert read(data + struct.pack("<H", checksum(data))) == (RIDE_ROWS, None)


def test_a_checksum_is_not_read_as_a_message() -> None:
    """One of two bytes that would be a heart rate."""
    short = [
        definition(1, RECORD, [TIMESTAMP]),
        struct.pack("<BI", 1, TEN - EPOCH_S),
        definition(2, RECORD, [HEART_RATE]),
    ]
    for product in range(3_000):
        body = b"".join([file_id(product=product), *short, bytes([0x80 | 2 << 5, 70])])
        head = struct.pack("<BBHI4s", 12, 0x20, 2132, 0, b".FIT")
        data = head + body + struct.pack("<H", checksum(head + body))
        if data[-2] & 0xE0 == 0xC0:
            assert [bpm for _, bpm in read(data)[0]] == [70.0]
            return
    pytest.fail("no such checksum")


@pytest.mark.parametrize("filling", [b"\0" * 512, b"\xff" * 512, b"\0" * 3])
def test_what_fills_the_end_is_left_out(filling: bytes) -> None:
    data = activity(RIDE) + filling
    assert read(data) == (RIDE_ROWS, None)
    assert remarks(data) == ["behind the file there is nothing but filling"]


def test_a_file_without_a_checksum_is_read() -> None:
    data = activity(RIDE)[:-2] + bytes(2)
    said = ["the file has no checksum, so it cannot be told whether it is damaged"]
    assert (read(data), remarks(data)) == ((RIDE_ROWS, None), said)
    assert (read(data + bytes(9)), remarks(data + activity([]))) == ((RIDE_ROWS, None), said)


def test_a_damage_ends_one_file_of_several() -> None:
    damaged = bytearray(activity(RIDE))
    damaged[-3] = 99
    rows, problem = read(bytes(damaged) + activity([(TEN + 500, 80)]))
    assert rows == [*RIDE_ROWS[:-1], (99, 99.0), (500, 80.0)]
    assert problem == "the file's checksum does not match: some of what was read may be damaged"


def test_many_headers_take_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a length that leads to the end, or with none."""
    work: list[int] = []

    def counted(data: bytes) -> int:
        work.append(len(data))
        return checksum(data)

    monkeypatch.setattr(fit_transform, "checksum", counted)
    for length in (0, 0xFFFFFFFF, 1, 40, 10_000, 29_000):
        header = struct.pack("<BBHI4sH", 14, 0x20, 2132, length, b".FIT", 0)
        work.clear()
        read(header * 2_000 + b"\1")
        assert sum(work) < 4 * 14 * 2_000


def test_vital_signs_that_are_not_read_are_counted() -> None:
    stress, summary = definition(2, 227, [(1, 4, 0x86), (0, 2, 0x83)]), definition(3, 370, [TIMESTAMP, (1, 2, 0x84)])
    strain = definition(4, RECORD, [TIMESTAMP, HEART_RATE, (116, 1, 2), (108, 1, 2)])
    wide = definition(5, RECORD, [TIMESTAMP, (3, 2, 0x84)])
    messages = [
        *(stress + struct.pack("<BIh", 2, TEN - EPOCH_S + n, 30) for n in range(3)),
        summary + struct.pack("<BIH", 3, TEN - EPOCH_S, 5_000),
        strain,
        *(struct.pack("<BIBBB", 4, TEN - EPOCH_S, 70, each, 15) for each in (20, 255, 30)),
        wide,
        struct.pack("<BIH", 5, TEN - EPOCH_S, 70),
    ]
    (counts,) = [part for part in vital_signs(fit_file(messages) * 2, "ann", None) if isinstance(part, Counter)]
    assert counts == {
        "stress_level": 6,
        "hrv_status_summary": 2,
        "current_stress of record": 4,
        "enhanced_respiration_rate of record in another size": 6,
        "heart_rate in more than a byte": 2,
    }


def test_the_names_of_what_is_not_read_are_the_profiles() -> None:
    messages = {int(number): message["name"] for number, message in Profile["messages"].items()}
    record_fields = {int(number): each["name"] for number, each in Profile["messages"][RECORD]["fields"].items()}
    assert {number: messages[number] for number in fit_messages._OTHER_VITALS} == fit_messages._OTHER_VITALS
    for number, name in fit_messages._OTHER_FIELDS.items():
        assert name == f"{record_fields[number]} of record"


def test_times_beyond_what_the_format_can_say_are_refused() -> None:
    """A strap's clock that goes round again and again."""
    event = definition(2, 132, [(6, 1, 0x02), (9, 4, 0x86)])
    rounds = [struct.pack("<BBI", 2, 60, 0x70000000 * n & 0xFFFFFFFF) for n in range(4_000)]
    data = fit_file([ANCHOR, anchor(TEN, 0, 60, 0), event, *rounds])
    assert {name for name, _ in refusals(data)} == {"timestamp"}


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
    """Every heart rate that is found is either read or refused, whatever becomes of headers, lengths and messages."""
    beats = [ANCHOR, anchor(TEN, 0, 60, 9), PACKED, *(packed([(n, 60)] * 8) for n in range(5))]
    daily = [definition(2, 211, [TIMESTAMP, (1, 1, 2)]), struct.pack("<BIB", 2, TEN - EPOCH_S, 50)]
    half = [definition(5, MONITORING, [TIMESTAMP_16, MONITORING_HEART_RATE]), struct.pack("<BHB", 5, 9, 60)]
    data = fit_file([*beats, *daily, *half, LAYOUT, *(record(TEN + n, 70) for n in range(50))])
    dice = random.Random(3)
    for _ in range(2_000):
        damaged = bytearray(data * dice.choice([1, 1, 1, 2]))
        if dice.random() < 0.3:
            damaged[4:8] = struct.pack("<I", dice.choice([0, 0xFFFFFFFF, 1, 50, len(data) - 15, len(data)]))
        for _ in range(dice.randint(0, 6)):
            begin = dice.randrange(len(damaged))
            end = begin + dice.choice([0, 1, 1, 1, 8, 100])
            damaged[begin:end] = dice.choice([bytes([dice.randrange(256)]), b".FIT", bytes(14), damaged[begin:end] * 2])
        damaged += dice.choice([b"", b"", bytes(dice.randrange(600)), dice.randbytes(9)])
        whole = bytes(damaged[: dice.randint(1, len(damaged))] if dice.random() < 0.3 else damaged)
        found = len(refusals(whole)) + len(read(whole)[0])
        assert found <= 10 * len(whole)


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
