"""Errors as clients of InfluxDB read them: members of the answer that they show to people, beside ours."""

from __future__ import annotations

from collections.abc import Mapping

INFLUX_WRITE, INFLUX_QUERY, INFLUX_2_WRITE = "/write", "/query", "/api/v2/write"

#: The codes of InfluxDB 2, by status.
_CODES: Mapping[int, str] = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    413: "request too large",
    415: "unsupported media type",
    429: "too many requests",
    503: "unavailable",
}


def influx_members(path: str, status: int, said: str) -> dict[str, str]:
    """Return what an error answer of this path holds besides, empty for paths that are not of InfluxDB's."""
    if path in (INFLUX_WRITE, INFLUX_QUERY):
        return {"error": said}
    if path == INFLUX_2_WRITE:
        return {"code": _CODES.get(status, "internal error"), "message": said}
    return {}
