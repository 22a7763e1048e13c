"""Read the objects of a JSON file one after the other, in constant memory, up to where it is damaged."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pulsebase.etl.extract.parts import Stream
from pulsebase.ingest.blocks import MalformedError

_PIECE_BYTES = 1 << 18
#: The longest object: a day with a reading every second takes 3 MiB.
_OBJECT_CHARACTERS = 8 << 20
#: Where a list must begin in an object of other fields.
_HEAD_CHARACTERS = 1 << 16
_BETWEEN = re.compile(r"[\s,]*")
#: What tells how deep in an object a place is; the last text may be cut.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_DECODER = json.JSONDecoder()


class _Text:
    """A file as text, of which the part that was read already is let go."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self.text = ""
        self.ended = False
        self.damage: MalformedError | None = None

    def more(self) -> None:
        """Read on."""
        try:
            piece = self._stream.read(_PIECE_BYTES)
        except MalformedError as error:
            piece, self.damage = b"", error
        self.ended = not piece
        self.text += self._decoder.decode(piece, final=self.ended)

    def finish(self) -> None:
        """Read the rest, in which nothing is, so that an archive can check the whole.

        Raises:
            MalformedError: the archive is damaged.
        """
        while not self.ended:
            self.text = ""
            self.more()
        if self.damage is not None:
            raise self.damage

    def drop(self, count: int) -> None:
        """Let go of the beginning."""
        self.text = self.text[count:]


def objects_in(stream: Stream, lists: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a list, or of the first list of one of these names that is a field of the outer object; or
    else the objects that follow each other, a line each for example. Each has its number, counted from 1.

    Raises:
        MalformedError: the file is damaged or cut short, or something follows that would not be read: behind a list or
            the object that it is in, a second list of these names, or a list behind an object. What was yielded before
            is valid.
    """
    source = _Text(stream)
    in_list, named = _begin(source, lists)
    number = 0
    at = 0
    while True:
        at = _skip(source, at)
        if at >= len(source.text):
            if in_list or source.damage:
                raise _cut_short(source, number)
            return
        if in_list and source.text[at] == "]":
            _require_end(source, at + 1, number, lists if named else ())
            return
        found, at = _object(source, at, number)
        if isinstance(found, list) and not in_list:
            raise MalformedError(f"a list follows behind record {number}, which is not read")
        number += 1
        if isinstance(found, dict):
            yield number, found
        if at > _PIECE_BYTES:
            source.drop(at)
            at = 0


def _begin(source: _Text, lists: Sequence[str]) -> tuple[bool, bool]:
    """Skip to the first object. Return whether it is in a list, and whether that is one of these names."""
    while len(source.text) < _HEAD_CHARACTERS and not source.ended:
        source.more()
    source.drop(len(source.text) - len(source.text.lstrip()))
    if source.text[:1] == "[":
        source.drop(1)
        return True, False
    begin = _begin_of_list(source.text, lists) if lists else None
    if begin is not None:
        source.drop(begin)
    return begin is not None, begin is not None


def _begin_of_list(text: str, lists: Sequence[str]) -> int | None:
    """Return where the first object of such a list is. Lists of that name further inside are others'."""
    named = re.compile(f'"(?:{"|".join(lists)})"\\s*:\\s*\\[')
    depth = 0
    for token in _TOKEN.finditer(text, 0, _HEAD_CHARACTERS):
        if token[0] in ("{", "["):
            depth += 1
        elif token[0] in ("}", "]"):
            depth -= 1
            if not depth:
                return None
        elif depth == 1 and (found := named.match(text, token.start(), _HEAD_CHARACTERS)):
            return found.end()
    return None


def _skip(source: _Text, at: int) -> int:
    """Return where the next object begins, or the end of the text."""
    while True:
        gap = _BETWEEN.match(source.text, at)
        at = at if gap is None else gap.end()
        if at < len(source.text) or source.ended:
            return at
        source.drop(at)
        at = 0
        source.more()


def _object(source: _Text, at: int, number: int) -> tuple[Any, int]:
    while True:
        try:
            found, end = _DECODER.raw_decode(source.text, at)
        except (ValueError, RecursionError):
            pass
        else:
            # A number at the end of what was read may go on.
            if isinstance(found, dict) or end < len(source.text) or source.ended:
                return found, end
        if source.ended:
            raise _cut_short(source, number)
        if len(source.text) - at > _OBJECT_CHARACTERS:
            raise MalformedError(f"the file is damaged behind record {number}")
        if at:
            source.drop(at)
            at = 0
        size = len(source.text)
        while len(source.text) < 2 * size and not source.ended:  # so that long objects are not tried too often
            source.more()


def _require_end(source: _Text, at: int, number: int, lists: Sequence[str]) -> None:
    """Read what follows the list that ended before `at`: further fields of the object that it is in, if it was found by
    one of these names, and nothing else.
    """
    if lists:
        at = _end_of_object(source, at, number, lists)
    if _skip(source, at) < len(source.text):
        raise MalformedError(f"something else follows behind record {number}, which is not read")
    source.finish()


def _end_of_object(source: _Text, at: int, number: int, lists: Sequence[str]) -> int:
    at = _skip(source, at)
    while source.text[at : at + 1] == '"':
        name, at = _object(source, at, number)
        if name in lists:
            raise MalformedError(f"a second list {name} follows behind record {number}, which is not read")
        at = _skip(source, at)
        if source.text[at : at + 1] != ":":
            raise _cut_short(source, number)
        _, at = _object(source, _skip(source, at + 1), number)
        at = _skip(source, at)
    if source.text[at : at + 1] != "}":
        raise _cut_short(source, number)
    return at + 1


def _cut_short(source: _Text, number: int) -> MalformedError:
    return source.damage or MalformedError(f"the file is cut short or damaged behind record {number}")
