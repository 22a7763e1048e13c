"""Request bodies: bounded as sent and as unpacked, gzip and zstd."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable

import zstandard
from fastapi import Request
from starlette.requests import ClientDisconnect

from pulsebase.api.errors import ProblemError

#: What unpacking zstd may take in memory, a request: the window RFC 9659 allows in HTTP.
_WINDOW_BYTES = 8 << 20
#: What a length has at most that fits into 64 bits. Python refuses to read thousands.
_LENGTH_DIGITS = 20


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The unpacked body.

    Raises:
        ProblemError: it is too large, not what its encoding says, or of an unknown encoding.
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
    return _unpacked(b"".join(parts), request.headers.get("content-encoding", "identity").strip().lower(), limit_bytes)


def require_json(request: Request) -> None:
    """Raises `ProblemError` if the body says it is something else than JSON."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise ProblemError("unsupported-media-type", "send the body as Content-Type: application/json")


def _unpacked(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    unpack = _UNPACKERS.get(encoding)
    if unpack is None:
        raise ProblemError("unsupported-media-type", "the body's Content-Encoding must be gzip, zstd or none")
    try:
        unpacked = unpack(body, limit_bytes + 1)
    except (zlib.error, zstandard.ZstdError, EOFError, gzip.BadGzipFile):
        raise ProblemError("malformed-body", f"the body is not {encoding}, or is cut short") from None
    _check_length(len(unpacked), limit_bytes)
    return unpacked


def _gunzip(body: bytes, most_bytes: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as reader:
        return reader.read(most_bytes)


def _unzstd(body: bytes, most_bytes: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    with decoder.stream_reader(body, read_across_frames=True) as reader:
        unpacked = reader.read(most_bytes)
    if not unpacked and body:
        raise EOFError
    return unpacked


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gunzip, "x-gzip": _gunzip, "zstd": _unzstd}


def _check_length(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise ProblemError("body-too-large", f"the body is larger than {limit_bytes} bytes")
