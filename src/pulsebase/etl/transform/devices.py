"""Make ids of devices that files name in words: `Ann’s Apple Watch` becomes `Ann-s-Apple-Watch`.

The same name gets the same id in every import, and no two names share an id, because the readings of two devices would
overwrite each other. Characters that an id must not contain become hyphens, so several names have the same readable
form. One of them gets it as its id, namely the spelling that vendors use: spaces where the form has hyphens, `’s` for
`-s`, and `Apple Watch` with Apple's no-break space. A form without capitals, which programs make rather than people,
belongs to the name that is spelled just like it. Every other name gets a digest of itself after the readable form.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

#: Readers refuse longer names, so that the names they remember take bounded memory.
LONGEST_NAME = 1_000
_LONGEST_ID = 128
_DIGEST_DIGITS = 16
_NO_ID = re.compile(r"[^A-Za-z0-9._:@+-]+")
_DIGESTED = re.compile(rf".*\.[0-9a-f]{{{_DIGEST_DIGITS}}}")
_SPELLINGS = (("-s-", "’s "), ("-", " "), ("Apple Watch", "Apple\N{NO-BREAK SPACE}Watch"))


@lru_cache(maxsize=1 << 10)
def device_id_of(name: str, fallback: str) -> str:
    """Return the id of the device called `name`; `fallback`, itself an id, if the name is empty.

    If no character of the name is allowed in an id, the id begins with `fallback`.
    """
    if not name:
        return fallback
    form = _NO_ID.sub("-", name).strip("-")
    if form != fallback and _spelled(form) == name and len(form) <= _LONGEST_ID and not _DIGESTED.fullmatch(form):
        return form
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    return f"{(form or fallback)[: _LONGEST_ID - _DIGEST_DIGITS - 1]}.{digest}"


def device_name_of(device_id: str, fallback: str) -> str | None:
    """Return a name whose id `device_id_of` says is this one; None if only a digest of the name is known."""
    names = (_spelled(device_id), device_id, "")
    return next((name for name in names if device_id_of(name, fallback) == device_id), None)


def _spelled(form: str) -> str:
    """Return the one name that has this readable form as its id."""
    if form == form.lower():
        return form
    for ours, theirs in _SPELLINGS:
        form = form.replace(ours, theirs)
    return form
