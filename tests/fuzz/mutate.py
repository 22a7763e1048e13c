"""Changes to inputs, all drawn from one generator, so that a seed gives the same inputs again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

Change = Callable[[random.Random, bytes], bytes]

#: Numbers at which readers of sizes, places and counts go wrong.
EDGES = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_WIDE_EDGES = (*EDGES, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 8)
_WIDTHS = ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))


def bytes_changed(dice: random.Random, data: bytes) -> bytes:
    """A few changes of single bytes, numbers, stretches and the length."""
    changed = bytearray(data)
    for _ in range(1 if dice.random() < 0.5 else dice.randint(1, 8)):
        if not changed:
            return dice.randbytes(dice.randint(0, 16))
        dice.choice(_CHANGES)(dice, changed)
    return bytes(changed)


def number_put(dice: random.Random, data: bytearray, aligned: bool = False) -> None:
    """Put a number of some width in place of another one: an edge, or one close to what was there."""
    width, form = dice.choice(_WIDTHS)
    if len(data) < width:
        return
    at = dice.randrange(len(data) - width + 1)
    if aligned:
        at -= at % width
    byte_order = "<" if dice.random() < 0.8 else ">"
    (before,) = struct.unpack_from(byte_order + form, data, at)
    number = before + dice.randint(-9, 9) if dice.random() < 0.5 else dice.choice(_WIDE_EDGES)
    struct.pack_into(byte_order + form, data, at, number % (1 << 8 * width))


def text_changed(words: Sequence[bytes]) -> Change:
    """Changes of texts: words of the form put in, pieces doubled, dropped and swapped, besides those of bytes."""

    def change(dice: random.Random, data: bytes) -> bytes:
        for _ in range(dice.randint(1, 4)):
            at = dice.randint(0, len(data))
            end = min(len(data), at + dice.choice((0, 0, 1, 2, 8, 40)))
            piece = data[at:end]
            match dice.randrange(5):
                case 0 | 1:
                    data = data[:at] + dice.choice(words) + data[end:]
                case 2:
                    data = data[:at] + piece * dice.choice((0, 2, 3, 100)) + data[end:]
                case 3:
                    other = dice.randint(0, len(data))
                    data = data[:at] + data[other : other + 40] + data[end:]
                case _:
                    data = bytes_changed(dice, data)
        return data

    return change


def _flip(dice: random.Random, data: bytearray) -> None:
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _byte(dice: random.Random, data: bytearray) -> None:
    data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def _cut(dice: random.Random, data: bytearray) -> None:
    del data[dice.randrange(len(data)) :]


def _drop(dice: random.Random, data: bytearray) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.choice((1, 2, 4, 8, 64))]


def _double(dice: random.Random, data: bytearray) -> None:
    at = dice.randrange(len(data))
    data[at:at] = data[at : at + dice.choice((1, 4, 8, 64, 512))]


def _noise(dice: random.Random, data: bytearray) -> None:
    at = dice.randrange(len(data))
    data[at : at + dice.choice((1, 4, 8, 32))] = dice.randbytes(dice.choice((1, 4, 8, 32)))


_CHANGES: Sequence[Callable[[random.Random, bytearray], None]] = (
    _flip,
    _byte,
    number_put,
    number_put,
    _cut,
    _drop,
    _double,
    _noise,
)
