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


def objects_in(
    stream: Stream, lists: Sequence[str] = (), *, alone: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a list, or of a list of one of these names in an object; or else the objects that follow
    each other, a line each for example. Each has its number, counted from 1.

    With `alone`, nothing may follow the object that holds the list.

    Raises:
        MalformedError: the file is damaged or cut short; what was yielded before is valid.
    """
    source = _Text(stream)
    in_list = _begin(source, lists)
    number = 0
    at = 0
    while True:
        at = _skip(source, at)
        if at >= len(source.text):
            if in_list or source.damage:
                raise _cut_short(source, number)
            return
        if in_list and source.text[at] == "]":
            if alone:
                _require_end(source, at + 1, number)
            source.finish()
            return
        found, at = _object(source, at, number)
        number += 1
        if isinstance(found, dict):
            yield number, found
        if at > _PIECE_BYTES:
            source.drop(at)
            at = 0


def _begin(source: _Text, lists: Sequence[str]) -> bool:
    """Skip to the first object. Return whether it is in a list."""
    while len(source.text) < _HEAD_CHARACTERS and not source.ended:
        source.more()
    source.drop(len(source.text) - len(source.text.lstrip()))
    named = f'"(?:{"|".join(lists)})"\\s*:\\s*\\[' if lists else "(?!)"
    found = re.match(r"\[", source.text) or re.compile(named).search(source.text, 0, _HEAD_CHARACTERS)
    if found is not None:
        source.drop(found.end())
    return found is not None


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


def _require_end(source: _Text, at: int, number: int) -> None:
    """Raise if something follows the object whose list ended before `at`. What is far behind the list is not read."""
    source.drop(at)
    while len(source.text) < _HEAD_CHARACTERS and not source.ended:
        source.more()
    text = source.text
    at = _after(text, 0)
    while at < len(text) and text[at] == '"':
        try:
            _, at = _DECODER.raw_decode(text, at)
            _, at = _DECODER.raw_decode(text, _after(text, _after(text, at) + 1))
        except (ValueError, RecursionError):
            return
        at = _after(text, at)
    if text[at : at + 1] == "}" and _after(text, at + 1) < len(text):
        raise MalformedError(f"something else follows behind record {number}, which is not read")


def _after(text: str, at: int) -> int:
    gap = _BETWEEN.match(text, at)
    return at if gap is None else gap.end()


def _cut_short(source: _Text, number: int) -> MalformedError:
    return source.damage or MalformedError(f"the file is cut short or damaged behind record {number}")
