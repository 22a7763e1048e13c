"""The words of a statement, taken one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from pulsebase.influxql.lexer import Lexer, QuerySyntaxError, Token
from pulsebase.influxql.syntax import Pattern

#: What a client may give for `$name` in a statement.
Parameters = Mapping[str, "str | float | bool"]

_KEYWORDS = frozenset(
    (
        *("AND", "AS", "ASC", "BY", "CREATE", "DESC", "FROM", "GROUP", "IN", "INTO", "KEY", "LIMIT", "OFFSET", "ON"),
        *("OR", "ORDER", "SELECT", "SHOW", "SLIMIT", "SOFFSET", "WHERE", "WITH"),
    )
)


class Words:
    """What comes next in a text, and what is said when it is something else."""

    def __init__(self, lexer: Lexer, parameters: Parameters) -> None:
        self._lexer, self._parameters = lexer, parameters
        self._next = lexer.token(0)

    def _take(self) -> Token:
        taken = self._next
        self._next = self._lexer.token(taken.end)
        return taken

    def _is(self, *keywords: str) -> bool:
        return self._next.kind == "word" and self._next.text.upper() in keywords

    def _is_sign(self, *signs: str) -> bool:
        return self._next.kind == "sign" and self._next.text in signs

    def _took(self, *keywords: str) -> bool:
        """Take the next word if it is one of these."""
        if not self._is(*keywords):
            return False
        self._take()
        return True

    def _took_sign(self, sign: str) -> bool:
        if not self._is_sign(sign):
            return False
        self._take()
        return True

    def _need(self, *keywords: str) -> str:
        if not self._is(*keywords):
            raise self._unexpected(", ".join(keywords))
        return self._take().text.upper()

    def _need_sign(self, sign: str) -> None:
        if not self._took_sign(sign):
            raise self._unexpected(sign)

    def _name(self, what: str = "identifier") -> str:
        token = self._next
        if token.kind == "parameter":
            value = self._parameter(token)
            if not isinstance(value, str):
                raise self._lexer.error(token.at, f"${token.text} must be a text here")
            self._take()
            return value
        if token.kind != "name" and (token.kind != "word" or token.text.upper() in _KEYWORDS):
            raise self._unexpected(what)
        return self._take().text

    def _integer(self, what: str) -> int:
        token = self._next
        value = self._parameter(token) if token.kind == "parameter" else token.value
        if token.kind not in ("number", "parameter") or not isinstance(value, int) or isinstance(value, bool):
            raise self._unexpected("integer")
        if value < 0:
            raise self._lexer.error(token.at, f"{what} must be >= 0")
        self._take()
        return value

    def _pattern(self) -> Pattern | None:
        """Take the regular expression that comes next, if one does."""
        if not self._is_sign("/"):
            return None
        token = self._lexer.pattern(self._next.at)
        if token is None:
            raise self._lexer.error(self._next.at, "found a regular expression without its end")
        self._next = self._lexer.token(token.end)
        return Pattern(token.text)

    def _parameter(self, token: Token) -> str | float | bool:
        if token.text not in self._parameters:
            raise self._lexer.error(token.at, f"missing parameter: {token.shown}")
        return self._parameters[token.text]

    def _unexpected(self, wanted: str) -> QuerySyntaxError:
        return self._lexer.error(self._next.at, f"found {self._next.shown}, expected {wanted}")

    def _refused(self, token: Token, said: str) -> QuerySyntaxError:
        return self._lexer.error(token.at, said)

    def _needed_pattern(self) -> str:
        pattern = self._pattern()
        if pattern is None:
            raise self._unexpected("regular expression")
        return pattern.text
