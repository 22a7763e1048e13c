"""Vital signs other than heart rate in FIT files, and beats, by hand and against Garmin's own library."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from garmin_fit_sdk import Decoder, Profile, Stream

from pulsebase.etl.transform import fit_values
from pulsebase.etl.transform.fit import vital_signs
from pulsebase.ingest.blocks import Block
from pulsebase.model.timerange import SECOND_US
from tests.etl.desk import Desk
from tests.support.fit import EPOCH_S, HEART_RATE, RECORD, TIMESTAMP, definition, file_id, fit_file, record

TEN = int(datetime(2024, 1, 15, 10, tzinfo=UTC).timestamp())
HRV, SPO2, BEAT_INTERVALS, RESPIRATION, HRV_VALUE = 78, 269, 290, 297, 371
RECORDS = definition(1, RECORD, [TIMESTAMP, HEART_RATE])
BEATS = definition(3, HRV, [(0, 10, 0x84)])
NONE = 0xFFFF


def beats(*intervals_ms: int) -> bytes:
    """An `hrv` message, filled up."""
    return struct.pack("<B5H", 3, *intervals_ms, *[NONE] * (5 - len(intervals_ms)))


def read(messages: Sequence[bytes]) -> list[tuple[str, int, float]]:
    """(metric, milliseconds after ten o'clock, value)"""
    found: list[tuple[str, int, float]] = []
    for part in vital_signs(fit_file([file_id(), *messages]), "ann", None):
        if isinstance(part, Block):
            rows = part.candidates
            assert set(rows.device_ids) <= {"garmin-3113-987654321"}
            times_ms = (rows.times_us - TEN * SECOND_US) // 1_000
            found += zip([rows.metric] * len(rows), times_ms.tolist(), rows.values.tolist(), strict=True)
    return found


def intervals(messages: Sequence[bytes]) -> list[tuple[int, float]]:
    return [(at_ms, value) for metric, at_ms, value in read(messages) if metric == "rr_interval"]


def refused(messages: Sequence[bytes]) -> list[tuple[str, str, int | None]]:
    parts = [part for part in vital_signs(fit_file([file_id(), *messages]), "ann", None) if isinstance(part, Block)]
    return [(part.candidates.metric, error.field, error.index) for part in parts for error in part.errors]


def timed(form: str, local: int, second: int, *values: int) -> bytes:
    return struct.pack(f"<BI{form}", local, TEN - EPOCH_S + second, *values)


# --- values ----------------------------------------------------------------------------------------------------------


def test_values_beside_a_time_are_read_in_their_unit() -> None:
    assert read(
        [
            definition(1, SPO2, [TIMESTAMP, (0, 1, 2), (1, 1, 2)]),
            *(timed("BB", 1, second, value, 10) for second, value in ((0, 97), (1, 255), (2, 0), (3, 88))),
            definition(2, RESPIRATION, [TIMESTAMP, (0, 2, 0x83)]),
            *(timed("h", 2, second, value) for second, value in ((0, 1_450), (1, 0x7FFF), (2, -300), (3, 0))),
            definition(3, HRV_VALUE, [TIMESTAMP, (0, 2, 0x84)]),
            *(timed("H", 3, 300 * n, value) for n, value in enumerate((5_000, NONE, 128))),
        ]
    ) == [
        ("oxygen_saturation", 0, 97.0),
        ("oxygen_saturation", 3_000, 88.0),
        ("respiratory_rate", 0, 14.5),
        ("hrv_rmssd", 0, 39.0625),
        ("hrv_rmssd", 600_000, 1.0),
    ]


def test_records_have_respiration_and_body_temperature() -> None:
    """The finer field of a record counts, the other one where it says nothing."""
    layout = definition(1, RECORD, [TIMESTAMP, HEART_RATE, (99, 1, 2), (108, 2, 0x84), (139, 2, 0x84)])
    assert read(
        [
            layout,
            timed("BBHH", 1, 0, 70, 15, 1_525, 3_705),
            timed("BBHH", 1, 1, 255, 16, NONE, NONE),
            timed("BBHH", 1, 2, 71, 255, NONE, 3_710),
        ]
    ) == [
        ("heart_rate", 0, 70.0),
        ("heart_rate", 2_000, 71.0),
        ("respiratory_rate", 0, 15.25),
        ("respiratory_rate", 1_000, 16.0),
        ("body_temperature", 0, 37.05),
        ("body_temperature", 2_000, 37.1),
    ]


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_either_order_of_bytes_is_read(order: str) -> None:
    big = order == ">"
    messages = [
        definition(1, RESPIRATION, [TIMESTAMP, (0, 2, 0x83)], big_endian=big),
        struct.pack(f"{order}BIh", 1, TEN - EPOCH_S, 1_450),
        definition(2, HRV, [(0, 4, 0x84)], big_endian=big),
        struct.pack(f"{order}BHH", 2, 800, 810),
    ]
    assert read(messages) == [("respiratory_rate", 0, 14.5), ("rr_interval", -810, 800.0), ("rr_interval", 0, 810.0)]


def test_a_value_without_a_time_is_refused_under_its_metric() -> None:
    messages = [
        definition(1, SPO2, [(0, 1, 2)]),
        bytes([1, 97]),
        bytes([1, 255]),
        definition(2, RESPIRATION, [TIMESTAMP, (0, 2, 0x83)]),
        struct.pack("<BIh", 2, 77, 1_450),
        BEATS,
    ]
    assert refused(messages) == [("oxygen_saturation", "timestamp", 4), ("respiratory_rate", "timestamp", 7)]
    assert refused([BEATS, beats(800, 810)]) == [("rr_interval", "timestamp", 4)] * 2


def test_the_fields_are_the_profiles() -> None:
    """Numbers, names, sizes, scales and units, as Garmin publishes them."""
    letters = {"uint8": "B", "uint16": "H", "sint16": "h"}
    for number, (name, metrics) in fit_values._OF_MESSAGE.items():
        message = Profile["messages"][number]
        assert message["name"] == name
        for _, fields in metrics:
            for each in fields:
                theirs = message["fields"][each.number]
                assert (each.name, each.form) == (theirs["name"], letters[theirs["type"]])
                assert [each.scale] == theirs["scale"]
    for number, name in ((HRV, "hrv"), (BEAT_INTERVALS, "beat_intervals")):
        assert Profile["messages"][number]["name"] == name


# --- beats -----------------------------------------------------------------------------------------------------------


def test_beats_go_on_from_each_other_and_the_first_end_where_the_file_is() -> None:
    messages = [RECORDS, BEATS, record(TEN, 70), beats(800, 810), record(TEN + 1, 70), beats(790)]
    messages += [record(TEN + 2, 70), beats(), record(TEN + 3, 70), beats(805, 795, 800)]
    assert intervals(messages) == [
        *((-810, 800.0), (0, 810.0)),
        (790, 790.0),
        *((1_595, 805.0), (2_390, 795.0), (3_190, 800.0)),
    ]


def test_fill_values_and_zeros_are_no_beats() -> None:
    messages = [RECORDS, BEATS, record(TEN, 70), struct.pack("<B5H", 3, NONE, 800, NONE, 0, 810)]
    assert intervals(messages) == [(-810, 800.0), (0, 810.0)]
    assert intervals([RECORDS, BEATS, record(TEN, 70), beats(), beats()]) == []


def test_after_a_pause_beats_are_where_the_file_is() -> None:
    """And so they are after many were lost, or where the file steps back."""
    messages = [RECORDS, BEATS, record(TEN, 70), beats(800), record(TEN + 60, 70), beats(800, 800)]
    messages += [record(TEN + 20, 70), beats(700)]
    assert intervals(messages) == [(0, 800.0), (59_200, 800.0), (60_000, 800.0), (20_000, 700.0)]


def test_a_message_that_comes_twice_has_its_beats_once(desk: Desk) -> None:
    twice = [record(TEN + 1, 70), beats(800, 810), beats(800, 810), record(TEN + 2, 70), beats(805)]
    messages = [RECORDS, BEATS, record(TEN, 70), beats(820), *twice]
    assert intervals(messages) == [
        (0, 820.0),
        *((800, 800.0), (1_610, 810.0)) * 2,
        (2_415, 805.0),
    ]
    result = desk.bring_one(fit_file([file_id(), *messages]))
    assert (result.read, result.written, result.repeated, result.rejected) == (9, 7, 2, 0)


def test_one_beat_may_take_as_long_as_the_next() -> None:
    messages = [RECORDS, BEATS, record(TEN, 100), beats(600), beats(600), beats(600)]
    assert [at_ms for at_ms, _ in intervals(messages)] == [0, 600, 1_200]


def test_a_night_of_beats_keeps_its_length_and_stays_near_the_files_time() -> None:
    """Handed over up to two seconds late, some of them lost."""
    chance = random.Random(7)
    messages, told, clock_ms = [RECORDS, BEATS], [], 0
    for second in range(2_000):
        messages.append(record(TEN + second, 60))
        ready: list[int] = []
        while clock_ms < 1_000 * (second - chance.randrange(3)) and len(ready) < 5:
            ready.append(chance.randrange(700, 1_200))
            clock_ms += ready[-1]
        kept = [each for each in ready if chance.random() > 0.02]
        told += kept
        messages.append(beats(*kept))
    found = intervals(messages)
    assert [value for _, value in found] == told
    times = [at_ms for at_ms, _ in found]
    assert len(set(times)) == len(times)
    at_message = 0
    for second, message in enumerate(messages[3::2]):
        came = sum(each not in (0, NONE) for each in struct.unpack("<B5H", message)[1:])
        at_message += came
        assert not came or abs(times[at_message - 1] - 1_000 * second) <= 5_000


def test_intervals_with_a_time_end_there() -> None:
    layout = definition(3, BEAT_INTERVALS, [TIMESTAMP, (0, 2, 0x84), (1, 6, 0x84)])
    messages = [layout, timed("HHHH", 3, 10, 250, 800, 810, NONE), timed("HHHH", 3, 12, NONE, 790, 0, 795)]
    assert intervals(messages) == [(9_440, 800.0), (10_250, 810.0), (11_205, 790.0), (12_000, 795.0)]
    untimed = [definition(3, BEAT_INTERVALS, [(1, 2, 0x84)]), struct.pack("<BH", 3, 800)]
    assert refused(untimed) == [("rr_interval", "timestamp", 4)]


def test_artefacts_are_refused_and_counted(desk: Desk) -> None:
    data = fit_file([file_id(), RECORDS, BEATS, record(TEN, 70), beats(800, 3_000, 100, 810)])
    result = desk.bring_one(data)
    assert (result.read, result.written, result.rejected) == (5, 3, 2)
    assert [(place, field) for place, field, _ in desk.reasons] == [(6, "rr_interval")] * 2
    assert [value for metric, *_, value in desk.readings if metric == "rr_interval"] == [800.0, 810.0]


def test_values_agree_with_the_vendors_library() -> None:
    chance = random.Random(3)
    layouts = [
        definition(1, RECORD, [TIMESTAMP, HEART_RATE, (108, 2, 0x84), (139, 2, 0x84)]),
        definition(2, SPO2, [TIMESTAMP, (0, 1, 2)]),
        definition(4, RESPIRATION, [TIMESTAMP, (0, 2, 0x83)]),
        definition(5, HRV_VALUE, [TIMESTAMP, (0, 2, 0x84)]),
        BEATS,
    ]
    messages = [*layouts]
    for second in range(500):
        messages += [
            timed(
                "BHH", 1, second, chance.choice([60, 255]), chance.choice([1_525, NONE]), chance.choice([3_701, NONE])
            ),
            timed("B", 2, second, chance.choice([94, 97, 255])),
            timed("h", 4, second, chance.choice([1_433, 0x7FFF])),
            timed("H", 5, second, chance.choice([4_711, NONE])),
            beats(*(chance.randrange(700, 900) for _ in range(chance.randrange(3)))),
        ]
    theirs, errors = Decoder(Stream.from_byte_array(bytearray(fit_file([file_id(), *messages])))).read(
        merge_heart_rates=False
    )
    assert errors == []
    ours: dict[str, list[float]] = {}
    for metric, _, value in read(messages):
        ours.setdefault(metric, []).append(value)
    messages_of: Mapping[str, Any] = theirs
    for metric, message, field in (
        ("heart_rate", "record", "heart_rate"),
        ("respiratory_rate", "respiration_rate", "respiration_rate"),
        ("body_temperature", "record", "core_temperature"),
        ("oxygen_saturation", "spo2_data", "reading_spo2"),
        ("hrv_rmssd", "hrv_value", "value"),
    ):
        expected = [each[field] for each in messages_of[f"{message}_mesgs"] if each.get(field) is not None]
        if metric == "respiratory_rate":  # of both messages, in their order
            both = zip(theirs["record_mesgs"], theirs["respiration_rate_mesgs"], strict=True)
            pairs = ((one.get("enhanced_respiration_rate"), other.get(field)) for one, other in both)
            expected = [each for pair in pairs for each in pair if each is not None]
        assert ours[metric] == pytest.approx(expected), metric
    expected_s = [each for mesg in messages_of["hrv_mesgs"] for each in mesg.get("time", ()) if each is not None]
    assert ours["rr_interval"] == pytest.approx([1_000 * each for each in expected_s])
