"""Read whole request bodies (plain, gzip or zstd), limited in size as sent and as decompressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.threads import BODIES
from pulsebase.api.codecs.decompression import BROKEN, unpacker_of

Made = TypeVar("Made")

#: Bodies up to this size are decoded on the event loop: that takes less than a millisecond, and saves the tenth of a
#: millisecond that a thread costs.
QUICK_BYTES = 64 << 10
#: The most digits of a 64-bit length. Python refuses to parse numbers of thousands of digits.
_LENGTH_DIGITS = 20


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the decompressed body.

    Raises:
        ProblemError: it is too large, does not match its encoding, or has an unknown encoding.
    """
    announced = request.headers.get("content-length", "")
    _check_length(int(announced[:_LENGTH_DIGITS]) if announced.isdecimal() else 0, limit_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            _check_length(size, limit_bytes)
            parts.append(part)
    except ClientDisconnect:
        raise ProblemError("malformed-body", "the body is cut short") from None
    body, encoding = b"".join(parts), request.headers.get("content-encoding", "")
    if not encoding:
        return body
    return await BODIES.run(lambda: _unpacked(body, encoding, limit_bytes))


async def worked_out(body: bytes, work: Callable[[], Made]) -> Made:
    """Do the work on a body and return its result: at once for a small body, in a thread for a large one."""
    if len(body) <= QUICK_BYTES:
        return work()
    return await BODIES.run(work)


def require_json(request: Request) -> None:
    """Raise `ProblemError` if the Content-Type is something other than JSON."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise ProblemError("unsupported-media-type", "send the body as Content-Type: application/json")


def _unpacked(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    unpacker, found, size = unpacker_of(encoding), [], 0
    try:
        for piece in unpacker.unpack(body):
            found.append(piece)
            size += len(piece)
            _check_length(size, limit_bytes)
    except BROKEN:
        raise _broken(encoding) from None
    if not unpacker.complete:
        raise _broken(encoding)
    return b"".join(found)


def _broken(encoding: str) -> ProblemError:
    return ProblemError("malformed-body", f"the body is not {encoding.strip().lower()}, or is cut short")


def _check_length(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise ProblemError("body-too-large", f"the body is larger than {limit_bytes} bytes")
