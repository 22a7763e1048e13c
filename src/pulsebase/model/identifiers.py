"""The one rule for the ids of people and devices."""

from __future__ import annotations

import re
from functools import lru_cache

ID_PATTERN = r"^[A-Za-z0-9._:@+-]{1,128}$"
ID_RULE = "must be 1–128 characters of A–Z a–z 0–9 . _ : @ + -"

_ID = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")


@lru_cache(maxsize=1 << 16)
def text_problem(text: str) -> str | None:
    """Why a text is no identifier, or None when it is one. Devices send the same few again and again."""
    return None if _ID.fullmatch(text) else ID_RULE


def identifier_problem(value: object) -> str | None:
    """Why `value` is no identifier, or None when it is one. Integers count as their decimal text."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "must be a text or an integer"
    return text_problem(str(value))
