"""Read the header of a research CSV file: the place of each column, and the delimiter."""

from __future__ import annotations

from dataclasses import dataclass

from pulsebase.model.errors import RejectedError, shown_name

HEADER = ("id", "time", "value")
#: Columns that may say that the values are not heart rates. A research CSV file with such a column is refused.
SAYS_WHAT = frozenset({"metric", "type", "data type", "datatype", "kind", "measure", "measurement", "parameter"})
SAYS_WHAT |= {"unit", "units", "variable"}
#: What stands for no value, in lower case. Lines with it are not readings.
NO_VALUES = ("", "nan", "na", "n/a", "null", "none", "-", "--")
_DELIMITERS = ",;\t|"
_BOM = b"\xef\xbb\xbf"
#: The most columns, so that messages about them stay short.
_MOST_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of the columns of a file.

    Attributes:
        width: how many fields a line has.
        unread: the names of the columns that are not read.
    """

    delimiter: str = ","
    id: int = 0
    time: int = 1
    value: int = 2
    width: int = 3
    unread: tuple[str, ...] = ()

    @property
    def decimal_comma(self) -> bool:
        """Return whether a comma in a value is a decimal comma, because it does not separate fields."""
        return self.delimiter != ","


PLAIN = Layout()


def comes_before(line: bytes) -> bool:
    """Return whether a line may come before the header: a blank line, a comment, or `sep=;`."""
    text = line.removeprefix(_BOM).strip().strip(b'"').lower()
    return not text or is_comment(line) or text.startswith(b"sep=")


def is_comment(line: bytes) -> bool:
    """Return whether a line before the header is a comment."""
    return line.removeprefix(_BOM).lstrip().startswith(b"#")


def is_alike(line: bytes) -> bool:
    """Return whether a line is the header of a research CSV file, or is so similar that one was meant."""
    return any(len(set(HEADER) & set(_names(line, delimiter))) >= 2 for delimiter in _DELIMITERS)


def is_header(line: bytes) -> bool:
    """Return whether a line names all columns of a research CSV file."""
    return any(set(HEADER) <= set(_names(line, delimiter)) for delimiter in _DELIMITERS)


def layout_of(line: bytes) -> Layout:
    """Return the layout that the header states.

    Raises:
        RejectedError: it is not a header; the error says what was found instead.
    """
    text = line.removeprefix(_BOM).decode("utf-8", "replace").strip()
    for delimiter in _DELIMITERS:
        names = _names(line, delimiter)
        if not set(HEADER) <= set(names) or len(names) > _MOST_COLUMNS:
            continue
        twice = next((name for name in HEADER if names.count(name) > 1), None)
        if twice is not None:
            raise RejectedError.of("header", f"names {twice} twice")
        unclear = next((name for name in names if name in SAYS_WHAT), None)
        if unclear is not None:
            reason = "says what values are of, which is not read; keep the lines of one metric, without that column"
            raise RejectedError.of("header", f"the column {unclear} {reason}")
        unread = tuple(_shown(name, place) for place, name in enumerate(names) if name not in HEADER)
        who, when, value = (names.index(name) for name in HEADER)
        return Layout(delimiter, who, when, value, len(names), unread)
    found = f"found {text[:80]!r}" if text else "found nothing"
    raise RejectedError.of("header", f"the first line must be Id,Time,Value; {found}")


def _names(line: bytes, delimiter: str) -> list[str]:
    text = line.removeprefix(_BOM).decode("utf-8", "replace").replace("\xa0", " ").replace("\u202f", " ")
    return [name.strip(' "\t\r').lower() for name in text.split(delimiter)]


def _shown(name: str, place: int) -> str:
    return f"column {shown_name(name)}" if name else f"column {place + 1}, which has no name"
