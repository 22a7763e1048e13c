"""Sends a delivery, signed as Standard Webhooks 1.0 has it (https://www.standardwebhooks.com)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import httpx2 as httpx

from pulsebase.events.addresses import ForbiddenAddressError, Network, address_for, target_of
from pulsebase.model.errors import RejectedError

logger = logging.getLogger(__name__)

_PREFIX = "whsec_"
_SECRET_BYTES = 32
_FEWEST_BYTES, _MOST_BYTES = 24, 64
#: The longest wait that a receiver may ask for.
_MOST_WAIT_S = 3_600


def new_secret() -> str:
    """Return a new secret, in the form that libraries for receivers take."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def key_of(secret: str) -> bytes:
    """Return the key in a secret.

    Raises:
        RejectedError: the secret has another form.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise RejectedError.of(
            "secret",
            f"must be {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} bytes in Base64; without one, one is made",
        )
    return key


def signed(secret: str, event_id: str, sent_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that let a receiver check what it gets."""
    said = b"%s.%d.%s" % (event_id.encode(), sent_s, body)
    signature = base64.b64encode(hmac.digest(key_of(secret), said, hashlib.sha256)).decode("ascii")
    return {"webhook-id": event_id, "webhook-timestamp": str(sent_s), "webhook-signature": f"v1,{signature}"}


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What came of sending: the status of the answer if there was one, and in words why it was not delivered."""

    status: int | None
    problem: str | None = None
    retry_after_s: int | None = None


class Sender:
    """Sends requests, each within a time limit, in a thread with an event loop of its own."""

    def __init__(self, private: Sequence[Network], timeout_s: float) -> None:
        self._private, self._timeout_s = private, timeout_s
        self._trusted: ssl.SSLContext | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pulsebase-webhooks-send", daemon=True)
        self._thread.start()

    def send(self, url: str, headers: dict[str, str], body: bytes) -> Future[SendOutcome]:
        """Begin to send. The future never fails; it is cancelled when the sender closes."""
        return asyncio.run_coroutine_threadsafe(self._sent(url, headers, body), self._loop)

    def close(self) -> None:
        """Give up what is being sent, and stop."""

        async def cancel_all() -> None:
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _sent(self, url: str, headers: dict[str, str], body: bytes) -> SendOutcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._answered(url, headers, body)
        except TimeoutError:
            return SendOutcome(None, "there was no answer in time")
        except ForbiddenAddressError:
            return SendOutcome(None, "its address is not one that may be called")
        except (OSError, RejectedError, httpx.HTTPError, httpx.InvalidURL):
            return SendOutcome(None, "it could not be reached")
        except Exception as error:
            logger.error("a webhook was not sent: %s", type(error).__name__)  # what it says may name the URL
            return SendOutcome(None, "it could not be sent")

    async def _answered(self, url: str, headers: dict[str, str], body: bytes) -> SendOutcome:
        target = target_of(url)
        address = await asyncio.to_thread(address_for, target, self._private)
        host = f"[{address}]" if address.version == 6 else str(address)
        named = f"[{target.host}]" if ":" in target.host else target.host
        sent = {
            **headers,
            "host": named if target.port in (80, 443) else f"{named}:{target.port}",
            "content-type": "application/json",
            "user-agent": "pulsebase-webhooks",
        }
        pinned = f"{target.scheme}://{host}:{target.port}{target.path}"
        async with httpx.AsyncClient(
            verify=self._certificates(target.scheme), timeout=self._timeout_s, follow_redirects=False, trust_env=False
        ) as client:
            # The certificate has to be the one of the host's name, whatever the address.
            request = client.build_request(
                "POST", pinned, headers=sent, content=body, extensions={"sni_hostname": target.host}
            )
            answer = await client.send(request, stream=True)  # nothing that the receiver writes is read
            await answer.aclose()
        if 200 <= answer.status_code < 300:
            return SendOutcome(answer.status_code)
        return SendOutcome(answer.status_code, f"it answered {answer.status_code}", _asked_wait_s(answer))

    def _certificates(self, scheme: str) -> ssl.SSLContext | bool:
        if scheme != "https":
            return False
        if self._trusted is None:
            self._trusted = httpx.create_ssl_context(trust_env=False)
        return self._trusted


def _asked_wait_s(answer: httpx.Response) -> int | None:
    text = answer.headers.get("retry-after", "")
    return min(int(text), _MOST_WAIT_S) if text.isascii() and text.isdigit() and len(text) < 8 else None
