"""Read whole request bodies (plain, gzip or zstd), limited in size as sent and as decompressed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_scope import header_of
from pulsebase.api.border.request_shares import SharedRoute, hold_bytes
from pulsebase.api.border.threads import BODIES
from pulsebase.api.codecs.decompression import BROKEN, most_unpacked, unpacker_of

Made = TypeVar("Made")

#: Bodies up to this size are decoded on the event loop: that takes less than a millisecond, and saves the tenth of a
#: millisecond that a thread costs.
QUICK_BYTES = 64 << 10
#: Bodies up to this size are not held as their caller's share.
_UNHELD_BYTES = 128 << 10
#: Bodies that the framework reads are a few fields.
FIELDS_BYTES = 64 << 10
#: Of a body that does not say how long it is, so many bytes are held at a time, as they come.
_HELD_AT_ONCE_BYTES = 1 << 20
#: What a length has at most that fits into 64 bits. Python refuses to read thousands.
_LENGTH_DIGITS = 20


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The unpacked body. What is large of it is held as its caller's share, until the request is answered.

    Raises:
        ProblemError: it is too large, not what its encoding says, or of an unknown encoding.
        ShareFullError, PoolFullError: there is no memory for it for a while.
    """
    return (await read_sent(request, limit_bytes))[0]


async def read_sent(request: Request, limit_bytes: int) -> tuple[bytes, int]:
    """The unpacked body, and how many bytes of it were sent. Raises as `read_body`."""
    announced = header_of(request.scope, b"content-length") or ""
    announced_bytes = int(announced[:_LENGTH_DIGITS]) if announced.isdecimal() else 0
    _check_length(announced_bytes, limit_bytes)
    held_bytes = _UNHELD_BYTES
    if announced_bytes > held_bytes:
        await hold_bytes(request, held_bytes := announced_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            _check_length(size, limit_bytes)
            if size > held_bytes:
                await hold_bytes(request, held_bytes := size + _HELD_AT_ONCE_BYTES)
            parts.append(part)
    except ClientDisconnect:
        raise ProblemError("malformed-body", "the body is cut short") from None
    body, encoding = b"".join(parts), header_of(request.scope, b"content-encoding")
    if not encoding:
        return body, size
    await hold_bytes(request, size + min(limit_bytes, most_unpacked(size)))
    unpacked = await BODIES.run(lambda: _unpacked(body, encoding, limit_bytes))
    await hold_bytes(request, len(unpacked) if len(unpacked) > _UNHELD_BYTES else 0)
    return unpacked, size


class FieldsRoute(SharedRoute):
    """A route whose body the framework makes fields of. By itself it would read a body without end."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which finds the body read, up to `FIELDS_BYTES`."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def with_body(request: Request) -> Response:
            request._body = await read_body(request, FIELDS_BYTES)  # where the framework looks first
            return await handler(request)

        return with_body


async def worked_out(body: bytes, work: Callable[[], Made], quick_bytes: int = QUICK_BYTES) -> Made:
    """Do the work on a body and return its result: at once for a body up to `quick_bytes`, in a thread for others."""
    if len(body) <= quick_bytes:
        return work()
    return await BODIES.run(work)


def require_json(request: Request) -> None:
    """Raise `ProblemError` if the Content-Type is something other than JSON."""
    sent = header_of(request.scope, b"content-type")
    if sent is None or sent == "application/json":
        return
    kind = sent.split(";")[0].strip().lower()
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
