"""Devices of which a file says no more than a name that people gave them."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

_NO_ID = re.compile(r"[^A-Za-z0-9._:@+-]+")
#: Names that differ give ids that differ: words between single blanks, without a hyphen of their own.
_PLAIN = re.compile(r"[A-Za-z0-9._:@+]+(?: [A-Za-z0-9._:@+]+)*")
_LONGEST_ID = 128
_MARK_DIGITS = 8


@lru_cache(maxsize=1 << 10)
def device_named(name: str, nameless: str) -> str:
    """A device's name as an id; `nameless` where there is none.

    Blanks become hyphens: `Fitbit Charge 6` is `Fitbit-Charge-6`. Where more than that is lost, the id ends in digits
    made of the whole name, so that two names never become one device.
    """
    name = name.strip()
    if not name:
        return nameless
    if len(name) <= _LONGEST_ID and _PLAIN.fullmatch(name):
        return name.replace(" ", "-")
    mark = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK_DIGITS]
    words = _NO_ID.sub("-", name).strip("-")[: _LONGEST_ID - _MARK_DIGITS - 1] or nameless
    return f"{words}-{mark}"
