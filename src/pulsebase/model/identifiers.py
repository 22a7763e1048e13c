"""The one rule for the ids of people and devices."""

from __future__ import annotations

import re
from functools import lru_cache

ID_PATTERN = r"^[A-Za-z0-9._:@+-]{1,128}$"
ID_RULE = "must be 1–128 characters of A–Z a–z 0–9 . _ : @ + -"

_ID = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")


@lru_cache(maxsize=1 << 16)
def text_problem(text: str) -> str | None:
    """Return why a text is not an identifier, or None if it is one. Cached, since devices repeat the same few ids."""
    return None if _ID.fullmatch(text) else ID_RULE


def identifier_problem(value: object) -> str | None:
    """Return why `value` is not an identifier, or None if it is one. Integers count as their decimal text."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "must be a text or an integer"
    return text_problem(str(value))


#: How spreadsheets show a long number (2.02E+09), and how programs write a column of integers with gaps (2022484408.0).
_ROUNDED = re.compile(r"[+-]?\d+([.,]\d*)?[eE][+-]\d+")
_DECIMAL = re.compile(r"\d+[.,]0+")
_AS_TEXT = "bring the file as it was before, or with the ids as text"


@lru_cache(maxsize=1 << 16)
def changed_in_table(text: str) -> str | None:
    """Return why a text in a CSV file looks like an id that a spreadsheet or another program changed because it took it
    for a number; None if it does not.

    CSV does not mark what is text. JSON, Arrow and Parquet do, so there such a text is accepted as an id.
    """
    if _ROUNDED.fullmatch(text):
        return f"is a number that a spreadsheet rounded, so that several ids may look the same; {_AS_TEXT}"
    if _DECIMAL.fullmatch(text):
        return f"is a number with a decimal point, which a spreadsheet or program added to the id; {_AS_TEXT}"
    return None
