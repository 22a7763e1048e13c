"""The words of a statement of InfluxQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pulsebase.model.errors import PulsebaseError

Kind = Literal["word", "name", "text", "number", "duration", "parameter", "sign", "end"]

_UNIT_NS = {
    "ns": 1,
    "u": 1_000,
    "µ": 1_000,
    "μ": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_MOST_DIGITS = 19
_SPACE = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"[^\W\d]\w*")
_DURATION = re.compile(r"(?:[0-9]+(?:ns|ms|u|µ|μ|s|m|h|d|w))+(?!\w)")
_ONE_DURATION = re.compile(r"([0-9]+)(ns|ms|u|µ|μ|s|m|h|d|w)")
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?!\w)")
_PARAMETER = re.compile(r"\$(\w+|\"(?:[^\"\\]|\\.)*\")")
_SIGN = re.compile(r"::|=~|!~|!=|<>|<=|>=|[-+*/%(),;=<>.]")
#: The words without quotes, in the order in which they are tried.
_WORDS: Mapping[Kind, re.Pattern[str]] = {
    "word": _WORD,
    "duration": _DURATION,
    "number": _NUMBER,
    "parameter": _PARAMETER,
    "sign": _SIGN,
}
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)*)/")
_QUOTED = {
    '"': re.compile(r'"((?:[^"\\\n]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\\n]|\\.)*)'", re.DOTALL),
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"', "'": "'"}
_LONGEST_SHOWN = 40


_SHOWN: Mapping[Kind, str] = {"end": "EOF", "text": "a text", "number": "a number", "duration": "a duration"}


class QuerySyntaxError(PulsebaseError):
    """A statement cannot be read, or asks for something that is not answered; the text says what, and where."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a statement.

    Attributes:
        kind: `word` is a keyword or a name without quotes, `name` one in double quotes, `text` one in single quotes.
        text: the word, without quotes.
        value: of a number its value, of a duration its nanoseconds.
        at: where it begins.
        end: where what follows it begins.
    """

    kind: Kind
    text: str
    at: int
    end: int
    value: float = 0

    @property
    def shown(self) -> str:
        """The word as errors name it. They repeat no values."""
        return _SHOWN.get(self.kind) or self.text[:_LONGEST_SHOWN]


class Lexer:
    """Takes a text apart. A slash begins a regular expression where the parser asks for one, else it divides."""

    def __init__(self, text: str) -> None:
        self._text = text

    def token(self, at: int) -> Token:
        """Return the word that begins here, or after the space that begins here.

        Raises:
            QuerySyntaxError: there is none.
        """
        at = self._after_space(at)
        text = self._text
        if at == len(text):
            return Token("end", "", at, at)
        if text[at] in _QUOTED:
            return self._quoted(at)
        for kind, words in _WORDS.items():
            if found := words.match(text, at):
                return Token(kind, self._plain(kind, found), at, found.end(), self._value(kind, found[0], at))
        raise self.error(at, f"found {text[at]}, which has no meaning")

    def pattern(self, at: int) -> Token | None:
        """Return the regular expression that begins here, without its slashes, or None if there is none."""
        at = self._after_space(at)
        found = _REGEX.match(self._text, at)
        return None if found is None else Token("text", found[1].replace("\\/", "/"), at, found.end())

    def error(self, at: int, said: str) -> QuerySyntaxError:
        """Return an error that says where it is."""
        line = self._text.count("\n", 0, at) + 1
        character = at - self._text.rfind("\n", 0, at)
        return QuerySyntaxError(f"{said} at line {line}, char {character}")

    def _after_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

    def _quoted(self, at: int) -> Token:
        quote = self._text[at]
        found = _QUOTED[quote].match(self._text, at)
        if found is None:
            raise self.error(at, f"found {quote} without its end")
        for escape in _ESCAPE.finditer(found[1]):
            if escape[1] not in _ESCAPED:
                raise self.error(at + 1 + escape.start(), "found a backslash before a character that needs none")
        text = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], found[1])
        return Token("name" if quote == '"' else "text", text, at, found.end())

    @staticmethod
    def _plain(kind: Kind, found: re.Match[str]) -> str:
        if kind == "parameter":
            return found[1].strip('"')
        return "!=" if found[0] == "<>" else found[0]

    def _value(self, kind: Kind, text: str, at: int) -> float:
        if kind == "duration":
            return self._nanoseconds(text, at)
        return self._number(text, at) if kind == "number" else 0

    def _number(self, text: str, at: int) -> float:
        if "." in text:
            return float(text)
        if len(text.lstrip("0")) > _MOST_DIGITS or int(text) >= 1 << 63:
            raise self.error(at, "unable to parse integer")
        return int(text)

    def _nanoseconds(self, text: str, at: int) -> int:
        total = 0
        for count, unit in _ONE_DURATION.findall(text):
            if len(count.lstrip("0")) > _MOST_DIGITS:
                raise self.error(at, "overflowed duration")
            total += int(count) * _UNIT_NS[unit]
        if total >= 1 << 63:
            raise self.error(at, "overflowed duration")
        return total
