"""Send readings that wait in an outbox to a server, again and again until it has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import httpx2 as httpx

from pulsebase.files.outbox import Outbox
from pulsebase.model.errors import RejectedError, StopError, StoreUnavailableError
from pulsebase.sources.simulator import retry_after_s

_PATH = "/v1/readings/batch"
#: The most that one batch may hold.
_MOST = 1_000
_LONGEST_WAIT_S = 60.0
_TIMEOUT_S = 30.0
#: Answers after which the same request may succeed later: somebody mends the key, or the server has time again.
_LATER = frozenset({401, 403, 408, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class UploadCounts:
    """What the server made of readings: `stored`, or `refused`."""

    stored: int = 0
    refused: int = 0


class Uploader:
    """Sends what waits in the outbox, oldest first. A reading leaves it when the server has stored or refused it.

    Args:
        outbox: JSON texts, each a reading as `POST /v1/readings` takes it.
        url: the server.
        key: sent as `Authorization: Bearer`; None for a server without keys.
        say: told in a sentence what goes wrong, once until something else does, and why readings were refused.
        every_s: the pause between two batches.

    Raises:
        RejectedError: the URL is none.
    """

    def __init__(
        self, outbox: Outbox, url: str, key: str | None, say: Callable[[str], None], *, every_s: float = 2.0
    ) -> None:
        self.counts = UploadCounts()
        self._outbox, self._say, self._every_s = outbox, say, every_s
        self._said = ""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        try:  # the server as it is named to people, without a password in it
            self._server = str(httpx.URL(url).copy_with(userinfo=b""))
        except httpx.InvalidURL:
            raise RejectedError.of("--url", "must be an address such as http://127.0.0.1:8000") from None
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_S)

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            StopError: what answers is no server of readings.
        """
        wait_s = self._every_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = await self._send_all(wait_s)

    async def send_once(self) -> None:
        """Send what waits now, as far as the server takes it."""
        await self._send_all(self._every_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send_all(self, waited_s: float) -> float:
        """Send batches while the server takes them; return after how many seconds to go on."""
        while rows := self._outbox.first(_MOST):
            try:
                answer = await self._client.post(
                    _PATH, content=f'{{"readings":[{",".join(text for _, text in rows)}]}}'
                )
            except httpx.TransportError as error:
                return self._wait(f"{self._server} does not answer ({type(error).__name__})", waited_s * 2)
            if answer.status_code in _LATER:
                asked_s = retry_after_s(answer.headers.get("retry-after"))
                reason = f"the server refuses for now with {_named(answer.status_code)}"
                return self._wait(reason, max(waited_s * 2, asked_s))
            self._count(answer)
            try:
                self._outbox.remove(rows[-1][0])
            except StoreUnavailableError as error:
                return self._wait(f"what was sent cannot leave the outbox: {error}", waited_s * 2)
            if self._said:
                self._said = ""
                self._say("The server takes readings again.")
        return self._every_s

    def _count(self, answer: httpx.Response) -> None:
        """Count what became of the readings.

        Raises:
            StopError: it is not this program that answered, or one that does not know the route.
        """
        try:
            told = answer.json()
            errors = [f"{each['field']}: {each['reason']}" for each in told.get("errors", [])]
            stored, refused = int(told["accepted"]), int(told["rejected"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StopError(
                f"{self._server.rstrip('/')}{_PATH} answers with {_named(answer.status_code)} and takes no readings; "
                "those that wait stay in the outbox"
            ) from None
        self.counts.stored += stored
        self.counts.refused += refused
        for reason in dict.fromkeys(errors):
            self._say(f"Readings were refused, {reason}")

    def _wait(self, problem: str, wait_s: float) -> float:
        if problem != self._said:
            self._said = problem
            self._say(f"Readings wait ({len(self._outbox):,}): {problem}.")
        return min(wait_s, _LONGEST_WAIT_S)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
