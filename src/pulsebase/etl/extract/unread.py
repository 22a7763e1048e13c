"""Describe files that are not read by what they look like, so that nobody has to guess what was left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pulsebase.etl.extract import takeout_csv
from pulsebase.etl.extract.archives import is_archive
from pulsebase.etl.extract.kinds import is_utf16, why_unknown
from pulsebase.etl.extract.vendors import lost_its_name
from pulsebase.etl.transform.csv_plan import NearMiss

_LIKE_VITAL_SIGNS = "looks like vital signs"
#: Unsupported compressions, by the first bytes.
_PACKED = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
#: Vital signs in the formats of others, by how their files begin. The first match counts.
_OTHERS = [
    (re.compile(pattern, re.IGNORECASE), what)
    for pattern, what in (
        (rb"com\.google\.heart_rate", "Google Fit"),
        (rb"com\.samsung\.s?health", "Samsung Health"),
        (rb'^\s*\{\s*"data"\s*:\s*\{\s*"(metrics|workouts)"', "Health Auto Export"),
        (rb'^[^\r\n]{0,200}"type"\s*:\s*"heart_rate"', "lines of a database with a heart rate in each"),
        (rb"^\W*sourceName,sourceVersion,", "Apple Health as CSV"),
        (rb"^key\.projectId,[^\r\n]*value\.heartRate", "RADAR-base"),
        (rb"^SQLite format 3\0", "an SQLite database"),
    )
]
#: Files of an export that inform the person: runs, what brought readings, who asked. Names and routes in them mention
#: heart rates, but nobody needs them imported.
_FOR_THE_PERSON = re.compile(rb'^\s*\[\s*\{\s*("source"\s*:\s*"\w+",\s*"data_set"|"id"\s*:\s*\d+,\s*"(kind|key)")\s*:')
_VITAL_SIGN = re.compile(
    r"heart[ _-]?(rate|beat)|\bbpm\b|beats[ _-]per[ _-]minute|\bpulse\b|spo2|oxygen[ _-]?saturation"
    r"|respiratory[ _-]?rate|\bhrv\b|(^|/)hr\.\w+$",
    re.IGNORECASE,
)
_PAGE = re.compile(rb"^\s*<(!doctype )?html", re.IGNORECASE)
#: How much of a file is searched for words.
_SEARCHED_BYTES = 1 << 12


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file that is not read: its name, and what it looks like. `named` files are those that somebody may miss,
    because they look like vital signs or it cannot be told what they hold.
    """

    name: str
    what: str
    named: bool


def unread(name: str, head: bytes, near: NearMiss | None = None) -> UnreadFile:
    """Describe a file of an unsupported kind by its first bytes, and by what is missing to read it."""
    if not head.strip():
        return UnreadFile(name, "empty", named=False)
    if _FOR_THE_PERSON.match(head):
        return UnreadFile(name, "a record of an export, for the person", named=False)
    what = _needs_hands(name, head, near) or _vital_signs(name, head.removeprefix(b"\xef\xbb\xbf")[:_SEARCHED_BYTES])
    if near is not None and near.vital:
        what = near.text if what is None or what == _LIKE_VITAL_SIGNS else f"{what}: {near.text}"
    return UnreadFile(name, what or "of no kind that is read", named=what is not None)


def _needs_hands(name: str, head: bytes, near: NearMiss | None) -> str | None:
    """Return what the user has to do with a file before its kind can be told, or None."""
    if is_archive(head):
        return "an archive that lies too deep in others; unpack it first"
    for sign, packing in _PACKED.items():
        if head.startswith(sign):
            return f"packed as {packing}, which is not read; unpack it first"
    if head.startswith(b"FEA1"):
        return "Feather of version 1, which is not read; write it with version 2, or as Parquet"
    if lost_its_name(name, head):
        return "a series of Withings, of what only its name tells; name it as in the export, raw_tracker_hr.csv"
    if (is_utf16(head) and near is None) or takeout_csv.what_of(name, head) == "undecided":
        return why_unknown(name, head)
    return None


def _vital_signs(name: str, begin: bytes) -> str | None:
    """Return the program whose vital signs a file seems to hold, or None."""
    for pattern, what in () if _PAGE.match(begin) else _OTHERS:
        if pattern.search(begin):
            return what
    return _LIKE_VITAL_SIGNS if _has_vital_signs(name, begin) else None


def _has_vital_signs(name: str, begin: bytes) -> bool:
    """Return whether the name or the text mentions vital signs. Web pages and pictures do not count."""
    if _VITAL_SIGN.search(name.replace("\\", "/").rpartition("/")[2]):
        return True
    is_text = b"\0" not in begin and not _PAGE.match(begin)
    return is_text and _VITAL_SIGN.search(begin.decode("utf-8", "replace")) is not None
