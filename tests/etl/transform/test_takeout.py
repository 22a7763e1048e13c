"""Heart rates of a Takeout: read as columns where records are laid out alike, one by one where they are not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pulsebase.etl.transform import takeout
from pulsebase.ingest.blocks import Block
from tests.support.health_files import at, takeout_heart_rate, takeout_record

SAMPLES = [(at("2020-02-28T23:59:30") + 7 * n, 58 + n % 90, n % 4) for n in range(200)]


def columns_of(block: Block) -> tuple[list[object], ...]:
    rows = block.candidates
    assert rows.positions is not None
    columns = (rows.times_us, rows.values, rows.confidences, rows.positions)
    return (*(column.tolist() for column in columns), list(rows.user_ids), list(rows.device_ids), block.errors)


def both_ways(text: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Block, Block]:
    found = takeout.heart_rates(text, 7, "ann", "takeout")
    with monkeypatch.context() as slowly:
        slowly.setattr(takeout, "_laid_out_alike", lambda _: None)
        return found, takeout.heart_rates(text, 7, "ann", "takeout")


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"\n", b"\r\n"),
        (b"00:00:", b"25:00:"),  # times that do not exist
        (b"02/29", b"02/30"),
        (b'"confidence": 3', b'"confidence": 9'),
        *((b'"bpm": 60', b'"bpm": ' + bpm) for bpm in (b"060", b"60.5", b"6", b"-60", b"6000", b"null")),
        (b'"bpm": 60', b'"bps": 60'),
        (b"}\n  },", b"}\n  };"),
        (b"}\n  },\n", b"}\n  },"),
        (b"/20 ", b"-20 "),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_both_ways_of_reading_say_the_same(
    there: bytes, instead: bytes, indent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = takeout_heart_rate(SAMPLES, indent).replace(there, instead)
    quick, slow = both_ways(text, monkeypatch)
    assert columns_of(quick) == columns_of(slow)
    assert quick.total == slow.total


@pytest.mark.parametrize("count", [1, 2, 200])
def test_files_as_the_vendor_writes_them_are_read_as_columns(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = takeout_heart_rate(SAMPLES[:count])
    columns = takeout._laid_out_alike(text)
    assert columns is not None
    assert (columns[0] // 1_000_000).tolist() == [at_s for at_s, _, _ in SAMPLES[:count]]
    assert columns[1].all()
    assert columns[2].tolist() == [bpm for _, bpm, _ in SAMPLES[:count]]
    assert columns[3].tolist() == [confidence for _, _, confidence in SAMPLES[:count]]


def test_damage_anywhere_is_seen_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("[" + ",".join(json.dumps(takeout_record(*sample)) for sample in SAMPLES[:3]) + "]").encode()
    dice = np.random.default_rng(5)
    for place in range(1, len(text) - 1):
        damaged = bytearray(text)
        damaged[place] = int(dice.choice(list(b'0159{}[]",: x')))
        quick, slow = both_ways(bytes(damaged), monkeypatch)
        assert columns_of(quick) == columns_of(slow)
