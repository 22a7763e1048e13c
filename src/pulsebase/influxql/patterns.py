"""Regular expressions, matched by RE2 as InfluxDB's are by Go: none takes longer than its text is long."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.influxql.lexer import QuerySyntaxError

_LONGEST = 10_000
#: `^ann$` and `^(ann|bob)$`, as Grafana writes the values that were chosen.
_NAMES = re.compile(r"\^(?:\((?:\?:)?)?((?:[A-Za-z0-9_:@ -]|\\[^A-Za-z0-9]|\|)*)\)?\$")
_ESCAPE = re.compile(r"\\(.)")


def matches(pattern: str, texts: Sequence[str]) -> list[bool]:
    """Return which texts a pattern is found in.

    Raises:
        QuerySyntaxError: it is none.
    """
    if len(pattern) > _LONGEST:
        raise QuerySyntaxError(f"a regular expression has more than {_LONGEST} characters")
    try:
        found: list[bool] = pc.match_substring_regex(pa.array(texts, pa.string()), pattern).to_pylist()
    except pa.ArrowInvalid:
        raise QuerySyntaxError("a regular expression is none that RE2 takes, or is too large") from None
    return found


def names_in(pattern: str) -> frozenset[str] | None:
    """Return the texts that a pattern matches, if it lists them; None if it is another kind of pattern."""
    found = _NAMES.fullmatch(pattern)
    grouped = pattern.startswith("^(")
    if found is None or grouped is not pattern.endswith(")$") or ("|" in found[1] and not grouped):
        return None
    return frozenset(_ESCAPE.sub(r"\1", each) for each in found[1].split("|"))
