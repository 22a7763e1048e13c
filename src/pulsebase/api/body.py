"""Request bodies: bounded as sent and as unpacked, gzip and zstd."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import zstandard
from fastapi import Request

from pulsebase.api.errors import ProblemError


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The unpacked body.

    Raises:
        ProblemError: it is too large, not what its encoding says, or of an unknown encoding.
    """
    _check_length(int(request.headers.get("content-length") or 0), limit_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        _check_length(size, limit_bytes)
        parts.append(part)
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
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise ProblemError("malformed-body", f"the body is not {encoding}, or is cut short") from None
    _check_length(len(unpacked), limit_bytes)
    return unpacked


def _gunzip(body: bytes, most_bytes: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    unpacked = decoder.decompress(body, most_bytes)
    if len(unpacked) < most_bytes and not decoder.eof:
        raise EOFError
    return unpacked


def _unzstd(body: bytes, most_bytes: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
        unpacked = reader.read(most_bytes)
    if not unpacked and body:
        raise EOFError
    return unpacked


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gunzip, "x-gzip": _gunzip, "zstd": _unzstd}


def _check_length(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise ProblemError("body-too-large", f"the body is larger than {limit_bytes} bytes")
