"""Convert an XML file piece by piece to UTF-8 that a parser can read to its end, whatever a phone wrote into it.

The document type is removed. So nothing can be declared that the parser would expand or fetch, and malformed
declarations do no harm.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from xml.parsers import expat

from pulsebase.etl.extract.parts import Remark, Stream
from pulsebase.ingest.blocks import MalformedError

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF16_STARTS = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_DECLARED = re.compile(rb"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][\w.:-]{0,40})["']""")
#: Codecs with one byte for each character. Those that extend ASCII are supported.
_ONE_BYTE = re.compile(r"iso8859-\d+|cp125\d|cp(?:437|8[5-7]\d)|koi8-\w|mac-\w+")
_UNREADABLE = "the file is in an encoding that is not read; save it as UTF-8"
#: How bytes that are not UTF-8 are read, since older devices wrote this encoding.
_FORMER_ENCODING = "cp1252"

#: What may come before the document type: blanks, comments, instructions. The pattern never backtracks.
_PROLOG = re.compile(rb"(?>[\x00-\x20]++|<!--(?>.*?-->)|<\?(?>.*?\?>))*+", re.DOTALL)
_DOCTYPE = re.compile(
    rb"""<!DOCTYPE(?>[^\["'>]++|"[^"]*+"|'[^']*+')*+
    (?:\[(?>[^\]"'<]++|"[^"]*+"|'[^']*+'|<!--(?>.*?-->)|<\?(?>.*?\?>)|<(?!!--|\?))*+\]\s*+)?>""",
    re.DOTALL | re.VERBOSE,
)
#: Where the declarations end if they are not well-formed.
_DECLARATIONS_END = re.compile(rb"\]\s*+>")

_CONTROLS = bytes([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20)])
_BLANKS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
#: U+FFFE and U+FFFF, which XML does not allow either, begin with these bytes.
_LAST_OF_PLANE = b"\xef\xbf"
#: Each character beyond ASCII; then a surrogate, and a byte that belongs to no character.
_BEYOND_ASCII = re.compile(
    rb"([\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})"
    rb"|(\xed[\xa0-\xbf][\x80-\xbf])|[\x80-\xff]"
)
_NO_CHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_REFERENCE = re.compile(rb"&#(?:x([0-9A-Fa-f]{1,60})|([0-9]{1,60}));")
#: The beginning of a reference, or of a character, at the end of a piece.
_BROKEN_END = re.compile(rb"(?:&[^;&<>\"']{0,63}|[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z")
_REFERENCE_BYTES = 64


def xml_pieces(stream: Stream, head_bytes: int, piece_bytes: int) -> Iterator[bytes]:
    """Yield the file in UTF-8 without its document type. Line breaks are kept, so that lines keep their numbers.

    The document type must end within the first `head_bytes`. The pieces still have to be cleaned, see `Cleaner`.

    Raises:
        MalformedError: the encoding is not supported, or the document type has no end.
    """
    head = stream.read(head_bytes)
    encoding = _encoding_of(head)
    if encoding == "utf-8":
        yield _without_doctype(head.removeprefix(codecs.BOM_UTF8))
        while piece := stream.read(piece_bytes):
            yield piece
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield _without_doctype(decoder.decode(head).encode())
    while piece := stream.read(piece_bytes):
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()


def _encoding_of(head: bytes) -> str:
    """Return the codec of a file that begins like this."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise MalformedError(_UNREADABLE)
    if head[:2] in _UTF16_MARKS:
        return "utf-16"
    if head[:2] in _UTF16_STARTS:
        return _UTF16_STARTS[head[:2]]
    declared = _DECLARED.match(head.removeprefix(codecs.BOM_UTF8))
    if declared is None or head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    try:
        name = codecs.lookup(declared[1].decode("ascii")).name
        if name in ("utf-8", "ascii") or name.startswith("utf-16"):  # no file in UTF-16 begins with these bytes
            return "utf-8"
        if _ONE_BYTE.fullmatch(name) and bytes(range(128)).decode(name).isascii():
            return name
    except (LookupError, ValueError):
        pass
    raise MalformedError(_UNREADABLE)


def _without_doctype(head: bytes) -> bytes:
    prolog = _PROLOG.match(head)
    begin = 0 if prolog is None else prolog.end()
    if not head.startswith(b"<!DOCTYPE", begin):
        return head
    whole = _DOCTYPE.match(head, begin) or _DECLARATIONS_END.search(head, begin)
    if whole is None:
        raise MalformedError("the file is damaged: its document type has no end")
    return head[:begin] + b"\n" * head.count(b"\n", begin, whole.end()) + head[whole.end() :]


class Cleaner:
    """Replaces characters that XML does not allow, written directly or as references, with blanks. Bytes that are not
    UTF-8 are read as Windows-1252.
    """

    def __init__(self) -> None:
        self._held = b""
        self._blanks = self._bytes = 0

    def clean(self, piece: bytes, *, ended: bool) -> bytes:
        """Return the cleaned piece, up to a character or a reference that continues in the next piece."""
        data = self._held + piece
        self._held = b""
        if not ended:
            broken = _BROKEN_END.search(data, max(0, len(data) - _REFERENCE_BYTES))
            if broken is not None:
                data, self._held = data[: broken.start()], broken[0]
        return self._without_references(self._without_controls(self._in_utf8(data)))

    def remarks(self) -> Iterator[Remark]:
        """Yield notes on what was changed, if anything was."""
        if self._blanks:
            yield Remark(f"{self._blanks:,} characters that XML does not allow were read as blanks")
        if self._bytes:
            yield Remark(f"{self._bytes:,} bytes that are not UTF-8 were read as Windows-1252")

    def _in_utf8(self, data: bytes) -> bytes:
        if data.isascii():
            return data
        if _LAST_OF_PLANE not in data:
            try:
                data.decode()
            except UnicodeDecodeError:
                pass
            else:
                return data
        return _BEYOND_ASCII.sub(self._character, data)

    def _character(self, match: re.Match[bytes]) -> bytes:
        if match[2] is not None or match[1] in _NO_CHARACTERS:
            self._blanks += 1
            return b" "
        if match[1] is not None:
            return match[1]
        self._bytes += 1
        try:
            return match[0].decode(_FORMER_ENCODING).encode()
        except UnicodeDecodeError:
            return match[0].decode("latin-1").encode()

    def _without_controls(self, data: bytes) -> bytes:
        if not any(control in data for control in _CONTROLS):
            return data
        self._blanks += len(data) - len(data.translate(None, _CONTROLS))
        return data.translate(_BLANKS)

    def _without_references(self, data: bytes) -> bytes:
        return _REFERENCE.sub(self._referred, data) if b"#" in data and b"&#" in data else data

    def _referred(self, match: re.Match[bytes]) -> bytes:
        number = int(match[1], 16) if match[1] else int(match[2])
        if (
            number in (0x9, 0xA, 0xD)
            or 0x20 <= number < 0xD800
            or 0xE000 <= number < 0xFFFE
            or 0x10000 <= number < 0x110000
        ):
            return match[0]
        self._blanks += 1
        return b" "


def parse_piece(parser: expat.XMLParserType, piece: bytes, ended: bool) -> None:
    """Give a parser the next piece of a file.

    Raises:
        MalformedError: the file is damaged or cut short; names the line.
    """
    try:
        parser.Parse(piece, ended)
    except expat.ExpatError as error:
        what = "is cut short" if ended else "is damaged"
        raise MalformedError(f"the file {what} at line {error.lineno}") from None
