"""Archives that lie about sizes, about names, about what is in them."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib

import pytest

from tests.fuzz.targets import _imported

CSV = b"Id,Time,Value\nann,1/2/2024 10:00:00 AM,70\n"


def overlapping() -> bytes:
    """A thousand members that are the same bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = CSV + b"x" * 100_000
    packed = packer.compress(content) + packer.flush()
    sizes = struct.pack("<III", zlib.crc32(content), len(packed), len(content))
    first = (
        b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 0x5821) + sizes + struct.pack("<HH", 5, 0) + b"a.csv" + packed
    )
    listed = b""
    for number in range(1_000):
        name = f"{number:05}.csv".encode()
        listed += b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0x5821) + sizes
        listed += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    return first + listed + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1_000, 1_000, len(listed), len(first), 0)


def nested() -> bytes:
    """Sixteen archives in each of sixteen, five deep."""
    packed = CSV
    for depth in range(6):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(16 if depth else 1):
                archive.writestr(f"{number}.zip" if depth else "a.csv", packed)
        packed = file.getvalue()
    return packed


def encrypted() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", CSV)
    packed = bytearray(file.getvalue())
    packed[6] |= 1
    packed[packed.index(b"PK\1\2") + 8] |= 1
    return bytes(packed)


def member(kind: bytes, size: int, name: str = "a.csv", target: str = "") -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.size, header.linkname = kind, size, target
    return header.tobuf(tarfile.GNU_FORMAT)


def links() -> bytes:
    """Links and devices hold nothing; names that lead elsewhere are names."""
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    found = b"".join(member(kind, 0, "l.csv", "/etc/passwd") for kind in kinds)
    return found + member(tarfile.REGTYPE, len(CSV), "../../a.csv") + CSV.ljust(512, b"\0") + bytes(1024)


ARCHIVES = {
    "overlapping": (overlapping, 1, 1, None),
    "nested": (nested, 1, 0, "holds no file that is read"),
    "encrypted": (encrypted, 1, 0, "it is encrypted in its archive"),
    "links": (links, 1, 1, None),
    "a terabyte": (
        lambda: member(tarfile.REGTYPE, 1 << 40) + bytes(2048),
        2,
        0,
        "the archive is cut short inside this file",
    ),
    "a name of gigabytes": (
        lambda: member(tarfile.GNUTYPE_LONGNAME, 1 << 33) + b"a" * 2048,
        1,
        0,
        "the archive is damaged: a name has no end",
    ),
    "records of gigabytes": (
        lambda: member(tarfile.XHDTYPE, 1 << 33) + bytes(2048),
        1,
        0,
        "the archive is damaged: a name has no end",
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_lie_bring_what_is_in_them_and_no_more(name: str) -> None:
    made, files, readings, problem = ARCHIVES[name]
    results = [result for result in _imported("a", made()) if hasattr(result, "written")]
    assert (len(results), sum(result.written for result in results)) == (files, readings)
    assert results[0].problem == problem
