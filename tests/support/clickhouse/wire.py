"""Values and blocks of ClickHouse's native protocol."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

#: The bytes of a value by its type.
_SIZES = {"Bool": 1, "Date": 2, "Date32": 4, "DateTime": 4, "DateTime64": 8, "Enum8": 1, "Enum16": 2, "UUID": 16}
_SIZES |= {f"{kind}{bits}": bits // 8 for kind in ("Int", "UInt", "Float") for bits in (8, 16, 32, 64, 128, 256)}
_NAMED = re.compile(r"(?:`[^`]+`|\w+) (?=[A-Z])")


def varuint(number: int) -> bytes:
    """Encode a number in groups of seven bits, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(value: str) -> bytes:
    """Encode a text with its length before it."""
    encoded = value.encode()
    return varuint(len(encoded)) + encoded


class Reader:
    """Reads values from bytes, and further bytes from `more`, which returns b"" at the end.

    Every method raises `EOFError` when the bytes end too early.
    """

    def __init__(self, data: bytes = b"", more: Callable[[], bytes] = bytes) -> None:
        self._data, self._more, self._place = data, more, 0
        self._recorded: list[bytes] | None = None

    @property
    def at_end(self) -> bool:
        """Whether all bytes that are here have been read."""
        return self._place == len(self._data)

    def raw(self, size: int) -> bytes:
        """Read so many bytes."""
        if len(self._data) - self._place < size:
            pieces, there = [self._data[self._place :]], len(self._data) - self._place
            if self._recorded is not None:
                self._recorded.append(self._data[: self._place])
            while there < size:
                piece = self._more()
                if not piece:
                    raise EOFError
                pieces.append(piece)
                there += len(piece)
            self._data, self._place = b"".join(pieces), 0
        self._place += size
        return self._data[self._place - size : self._place]

    def varuint(self) -> int:
        """Read a number as `varuint` encodes it."""
        number = shift = 0
        while True:
            (byte,) = self.raw(1)
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def text(self) -> str:
        """Read a text as `text` encodes it."""
        return self.raw(self.varuint()).decode()

    def uint64(self) -> int:
        """Read eight bytes, the lowest first."""
        (number,) = struct.unpack("<Q", self.raw(8))
        return int(number)

    def record(self) -> None:
        """Remember the bytes that are read from now on."""
        self._data, self._place, self._recorded = self._data[self._place :], 0, []

    def recorded(self) -> bytes:
        """Return the bytes read since `record`."""
        assert self._recorded is not None
        out, self._recorded = b"".join(self._recorded) + self._data[: self._place], None
        return out


Column = tuple[str, str]  # its name and type


def read_block(reader: Reader) -> tuple[int, list[Column], bytes]:
    """Read a block: its number of rows, its columns, and the block itself, which is what FORMAT Native consists of."""
    reader.record()
    count, rows = reader.varuint(), reader.varuint()
    columns = []
    for _ in range(count):
        columns.append((reader.text(), reader.text()))
        if rows:
            _skip_values(reader, columns[-1][1], rows)
    return rows, columns, reader.recorded()


def header(columns: list[Column]) -> bytes:
    """Encode a block of these columns without rows."""
    return varuint(len(columns)) + varuint(0) + b"".join(text(name) + text(kind) for name, kind in columns)


def _skip_values(reader: Reader, kind: str, rows: int) -> None:
    """Step over the values of a column. Nothing states how many bytes they are: that follows from the type."""
    name, _, inner = kind.partition("(")
    inner = inner[:-1]
    if name in _SIZES:
        reader.raw(_SIZES[name] * rows)
    elif name == "String":
        for _ in range(rows):
            reader.raw(reader.varuint())
    elif name == "Nullable":
        reader.raw(rows)
        _skip_values(reader, inner, rows)
    elif name == "Array":
        ends = reader.raw(8 * rows)
        _skip_values(reader, inner, struct.unpack("<Q", ends[-8:])[0])
    elif name == "Tuple":
        for element in _split(inner):
            named = _NAMED.match(element)
            _skip_values(reader, element[named.end() :] if named else element, rows)
    else:
        raise ValueError(f"the tests' server does not know how long values of the type {kind} are")


def _split(arguments: str) -> list[str]:
    """Split the arguments of a type at the commas outside parentheses."""
    out, depth, start = [], 0, 0
    for place, character in enumerate(arguments):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            out.append(arguments[start:place].strip())
            start = place + 1
    return [*out, arguments[start:].strip()]
