"""How Withings answers: mostly with status 200 of HTTP, and with a status of its own in the body. Here that becomes the
status of HTTP that says the same, and the body what is in it.

The table is that of the vendor's reference, "Response status".
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import msgspec


def _stated(text: str) -> Iterator[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


_FAMILIES = {
    httpx.codes.UNAUTHORIZED: "100-102 200 401",
    httpx.codes.FORBIDDEN: "214 277 2553 2555",
    httpx.codes.NOT_IMPLEMENTED: "2554",
    httpx.codes.GATEWAY_TIMEOUT: "522",
    httpx.codes.TOO_MANY_REQUESTS: "601",
    httpx.codes.BAD_REQUEST: "201-213 216-218 220-221 223 225 227-230 234-236 238 240-252 254 260-267 271-272 275-276 "
    "283-288 290 293-295 297 300-304 321 323-353 380-382 400 501-511 523 532 3017-3019",
}
#: What a status of the service means in HTTP. All others are "An error occurred".
_MEANS = {status: code for code, text in _FAMILIES.items() for status in _stated(text)} | {0: httpx.codes.OK}


class _Envelope(msgspec.Struct):
    status: int
    body: msgspec.Raw = msgspec.Raw(b"{}")


def unwrapped(answer: httpx.Response) -> httpx.Response:
    """Return what an answer says, as HTTP says it. What is no such answer is returned as it is."""
    if answer.status_code != httpx.codes.OK:
        return answer
    try:
        said = msgspec.json.decode(answer.content, type=_Envelope)
    except (msgspec.DecodeError, RecursionError):
        return answer
    code = _MEANS.get(said.status, httpx.codes.INTERNAL_SERVER_ERROR)
    headers = {"retry-after": answer.headers["retry-after"]} if "retry-after" in answer.headers else {}
    if code == httpx.codes.FORBIDDEN:  # the person did not grant the scope
        headers["www-authenticate"] = 'Bearer error="insufficient_scope"'
    return httpx.Response(code, headers=headers, content=bytes(said.body))
