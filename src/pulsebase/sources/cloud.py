"""What the clients of all clouds share: requests with a token, rate limits, and the handling of errors."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TypeVar

import httpx2 as httpx
import msgspec

from pulsebase import telemetry
from pulsebase.model.errors import (
    DataSetMissingError,
    ReconnectError,
    RejectedError,
    SourceForbiddenError,
    SourceUnavailableError,
    UnreadableAnswerError,
)
from pulsebase.model.timerange import MINUTE_US, SECOND_US
from pulsebase.sources.tokens import Tokens

AnswerT = TypeVar("AnswerT")
PageT = TypeVar("PageT")

#: The largest answer accepted. A person's day at one reading a second is a third of a megabyte.
_ANSWER_LIMIT_BYTES = 64 << 20
#: How often a request is tried when the server or the network fails, and the first pause, which doubles.
_ATTEMPTS, _FIRST_PAUSE_S = 3, 0.2
#: How long to wait by status, if the source does not say.
_UNTOLD_S = {429: 60, 403: 60, 500: 60}
#: The longest wait for a source, whatever it states.
_MOST_WAIT_S = 86_400
_SECONDS_DIGITS = 18
#: The most pages of one question. A year at one reading a second takes 3,154 of the smallest; a service with endless
#: pages is broken.
_MOST_PAGES = 10_000
#: How the clouds name a refusal for want of a scope; any other 403 may be a passing mistake.
_NOT_ALLOWED = ("insufficient_scope", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def http_client(url: str) -> httpx.Client:
    """Return a client for one cloud. It follows no redirects, since the token would be sent along."""
    host = httpx.URL(url).host
    on_this_machine = host in ("localhost", "127.0.0.1", "::1")
    trust_env = not on_this_machine
    return httpx.Client(verify=_trusted(trust_env), timeout=_TIMEOUT, follow_redirects=False, trust_env=trust_env)


@lru_cache(maxsize=2)
def _trusted(trust_env: bool) -> ssl.SSLContext:
    """Return the trusted certificate authorities. Loading them takes tens of milliseconds, so all clouds share them."""
    return httpx.create_ssl_context(trust_env=trust_env)


class _Reason(msgspec.Struct):
    reason: str = ""
    kind: str = msgspec.field(name="errorType", default="")


class _Details(msgspec.Struct):
    details: list[_Reason] = []


class _Refusal(msgspec.Struct):
    """The reasons of a refusal, as the Fitbit-shaped API and as Google write them."""

    errors: list[_Reason] = []
    error: _Details = msgspec.field(default_factory=_Details)

    def names(self) -> set[str]:
        return {each.kind for each in self.errors} | {each.reason for each in self.error.details}


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a token belongs to: the source's own id and the IANA zone, if the source states them."""

    account: str | None = None
    time_zone: str | None = None


class Limits:
    """The rate limit of one person's requests to a source. Other people have their own, unless the source counts the
    requests of an application: then they share one.

    It follows the source's headers: once they say that no requests are left, none is sent. `per_minute` is for sources
    that send no such headers.
    """

    def __init__(self, now_us: Callable[[], int], per_minute: int | None = None) -> None:
        self._now_us, self._per_minute = now_us, per_minute
        self._closed_until_us = 0
        self._sent_us: deque[int] = deque()
        self._lock = threading.Lock()

    def before(self) -> None:
        """Count a request that is about to be sent.

        Raises:
            SourceUnavailableError: it would exceed the limit; the error says when to try again.
        """
        now_us = self._now_us()
        with self._lock:
            if self._per_minute is not None:
                while self._sent_us and self._sent_us[0] <= now_us - MINUTE_US:
                    self._sent_us.popleft()
                if len(self._sent_us) >= self._per_minute:
                    self._closed_until_us = max(self._closed_until_us, self._sent_us[0] + MINUTE_US)
            if now_us < self._closed_until_us:
                raise self._reached(now_us)
            if self._per_minute is not None:
                self._sent_us.append(now_us)

    def after(self, answer: httpx.Response) -> None:
        """Update the limit from an answer's headers.

        Raises:
            SourceUnavailableError: the source says that the limit was exceeded.
        """
        now_us = self._now_us()
        reset_s = _seconds(answer.headers.get("fitbit-rate-limit-reset"))
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            wait_s = _seconds(answer.headers.get("retry-after")) or reset_s or _window_s(answer) or _UNTOLD_S[429]
            self._closed_until_us = now_us + wait_s * SECOND_US
            raise self._reached(now_us)
        if answer.headers.get("fitbit-rate-limit-remaining") == "0" and reset_s:
            self._closed_until_us = now_us + reset_s * SECOND_US

    def _reached(self, now_us: int) -> SourceUnavailableError:
        wait_s = max(1, ceil((self._closed_until_us - now_us) / SECOND_US))
        return SourceUnavailableError("the source's limit of requests is reached", wait_s)


def _window_s(answer: httpx.Response) -> int | None:
    """Return the seconds until the last window ends of those that are used up, if headers list usage, limit and end of
    each (`RateLimit-Usage: 540, 612`); None if they do not.
    """
    lists = [answer.headers.get(f"ratelimit-{name}", "").split(",") for name in ("usage", "limit", "reset")]
    windows = [[_seconds(text.strip()) for text in window] for window in zip(*lists, strict=False)]
    ends = [end for usage, limit, end in windows if None not in (usage, limit, end) and (usage or 0) >= (limit or 0)]
    return max((end for end in ends if end is not None), default=None)


def _seconds(header: str | None) -> int | None:
    """Return the whole seconds that a header states, a day at most; None if it states none."""
    if header is None or not header.isascii() or not header.isdecimal():
        return None
    return min(int(header[:_SECONDS_DIGITS]), _MOST_WAIT_S)


def each_page(ask: Callable[[str], PageT], next_of: Callable[[PageT], str | None], field: str) -> Iterator[PageT]:
    """Yield all pages of an answer. `ask` returns the page of a token, that of "" first, and `next_of` the token of the
    page after it, if there is one. Empty pages may be followed by others.

    Raises:
        UnreadableAnswerError: the pages come to no end; names the `field` of the token.
    """
    token = ""
    for _ in range(_MOST_PAGES):
        page = ask(token)
        yield page
        following = next_of(page)
        if not following:
            return
        if following == token:
            break
        token = following
    raise UnreadableAnswerError.of(field, "the pages of the source do not come to an end")


class CloudClient:
    """Sends one person's requests to one cloud, each with the `headers`. `unwrapped` is for clouds that take parameters
    as forms and do not answer as HTTP does: it says what an answer means in HTTP.
    """

    def __init__(
        self,
        http: httpx.Client,
        base_url: str,
        tokens: Tokens,
        *,
        user_id: str,
        source: str,
        limits: Limits,
        headers: Mapping[str, str] | None = None,
        unwrapped: Callable[[httpx.Response], httpx.Response] | None = None,
    ) -> None:
        self._unwrapped = unwrapped
        self._headers = {"Accept": "application/json"} | dict(headers or {})
        self._http, self._base_url = http, base_url.rstrip("/")
        self._tokens, self._user_id, self._source, self._limits = tokens, user_id, source, limits
        self._pause = threading.Event()  # never set: waits like `sleep`

    def get(
        self,
        kind: type[AnswerT],
        path: str,
        parameters: Mapping[str, str] | None = None,
        nothing: Collection[int] = (),
    ) -> AnswerT:
        """Send a request and return its answer, decoded as `kind`. The statuses `nothing` stand for an empty one.

        Raises:
            SourceUnavailableError: try again later; the error says when.
            SourceForbiddenError: the same, because the source denied access.
            DataSetMissingError: the person did not allow us to read this.
            ReconnectError: the person has to connect again.
            RejectedError: the source rejected the request, or its answer cannot be read.
        """
        answer = self._answered(path, parameters, None)
        if answer.status_code in nothing:
            return kind()
        self._judge(answer)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.DecodeError as error:  # names the field, and no value
            raise UnreadableAnswerError.of(self._source, f"the answer cannot be read: {error}") from None
        except RecursionError:
            raise UnreadableAnswerError.of(self._source, "the answer is nested too deeply") from None

    def post(self, path: str, body: Mapping[str, str], accepted: Collection[int]) -> None:
        """Send a body of JSON, which the source answers with one of the `accepted` statuses.

        Raises:
            SourceUnavailableError, SourceForbiddenError, DataSetMissingError, ReconnectError, RejectedError: as `get`.
        """
        answer = self._answered(path, None, body)
        if answer.status_code not in accepted:
            self._judge(answer)

    def _answered(
        self, path: str, parameters: Mapping[str, str] | None, body: Mapping[str, str] | None
    ) -> httpx.Response:
        """Return an answer, after a refused token was replaced."""
        token = self._tokens.access(self._user_id, self._source)
        answer = self._ask(path, parameters, token, body)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = self._tokens.access(self._user_id, self._source, refused=token)
            answer = self._ask(path, parameters, token, body)
        return answer

    def _ask(
        self, path: str, parameters: Mapping[str, str] | None, token: str, body: Mapping[str, str] | None
    ) -> httpx.Response:
        """Send one request, and retry a few times if the network or the server fails."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            self._limits.before()
            try:
                answer = self._sent(path, parameters, token, body)
            except httpx.HTTPError as error:
                self._count("no answer")
                failure = f"the source does not answer: {type(error).__name__}"
            else:
                self._count(str(answer.status_code))
                self._limits.after(answer)
                if answer.status_code < 500:
                    return answer
                failure = f"the source answered {answer.status_code}"
            if attempt < _ATTEMPTS:
                self._pause.wait(pause_s)
                pause_s *= 2
        raise SourceUnavailableError(failure, _UNTOLD_S[500])

    def _sent(
        self, path: str, parameters: Mapping[str, str] | None, token: str, sent: Mapping[str, str] | None
    ) -> httpx.Response:
        headers = self._headers | {"Authorization": f"Bearer {token}"}
        url = self._base_url + path
        asked = dict(parameters or {})
        if sent is not None:
            request = self._http.build_request("POST", url, json=dict(sent), headers=headers)
        elif self._unwrapped is None:
            request = self._http.build_request("GET", url, params=asked, headers=headers)
        else:
            request = self._http.build_request("POST", url, data=asked, headers=headers)
        with contextlib.closing(self._http.send(request, stream=True)) as answer:
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > _ANSWER_LIMIT_BYTES:
                    raise UnreadableAnswerError.of(self._source, "the answer is too large")
        # The body is decompressed already, so the headers about its encoding must not be applied again.
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        plain = httpx.Response(answer.status_code, headers=kept, content=bytes(body))
        return plain if self._unwrapped is None else self._unwrapped(plain)

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status == httpx.codes.UNAUTHORIZED:
            raise ReconnectError("the source does not accept the tokens it gave; connect again")
        if status == httpx.codes.FORBIDDEN and _is_not_allowed(answer):
            raise DataSetMissingError("the person did not allow this to be read; connect again to allow it")
        if status == httpx.codes.FORBIDDEN:
            raise SourceForbiddenError("the source says that this is not allowed (403)", _UNTOLD_S[403])
        if status != httpx.codes.OK:
            raise RejectedError.of(self._source, f"the source refused the question ({status})")

    def _count(self, outcome: str) -> None:
        telemetry.SOURCE_REQUESTS.labels(self._source, outcome).inc()


def _is_not_allowed(answer: httpx.Response) -> bool:
    """Whether the source refuses because the person did not grant the scope, said as the vendors or RFC 6750 do."""
    if "insufficient_scope" in answer.headers.get("www-authenticate", ""):
        return True
    try:
        return not msgspec.json.decode(answer.content, type=_Refusal).names().isdisjoint(_NOT_ALLOWED)
    except (msgspec.DecodeError, RecursionError):
        return False
