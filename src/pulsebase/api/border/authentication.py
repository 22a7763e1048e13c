"""Find out who a request comes from, and apply the rate limits."""

from __future__ import annotations

import ipaddress
import time
from base64 import b64decode
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from urllib.parse import parse_qs

from fastapi import Request
from starlette.types import Scope

from pulsebase import telemetry
from pulsebase.access.caller import caller
from pulsebase.access.keys import ANYBODY, NOBODY, OWNER, Principal
from pulsebase.access.rate_limits import TokenBuckets
from pulsebase.access.scopes import is_met, is_open, is_owners, need_of
from pulsebase.access.service import Access
from pulsebase.api.border.influx_errors import INFLUX_2_WRITE, INFLUX_QUERY, INFLUX_WRITE
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_scope import came_by_socket

Header = tuple[bytes, bytes]
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="pulsebase"'}
_BEARER, _TOKEN, _BASIC = b"bearer ", b"token ", b"basic "
#: Where clients of InfluxDB 1 write and ask. Their key is the password, in a header or in the address.
_INFLUX_1 = frozenset({INFLUX_WRITE, INFLUX_QUERY})
_MOST_PARAMETERS = 32


@dataclass(frozen=True, slots=True)
class Denial:
    """The reason for denying a request: a problem, and headers that go with it."""

    problem: ProblemError
    headers: dict[str, str]


class Authenticator:
    """Decides as whom a request is let in. Used by the event loop's thread alone."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.closed = access.enforced
        self._policies = {
            buckets.name: _policy(buckets) for buckets in (access.keys, access.addresses, access.failures)
        }

    def admit(self, scope: Scope) -> tuple[Principal, Denial | None, list[Header]]:
        """Return the principal, the denial if the request is refused, and headers that state the rate limit."""
        if came_by_socket(scope):
            return OWNER, None, []
        if not self.closed:
            return ANYBODY, _owners_alone(scope["path"]), []
        now_s = monotonic()
        addresses, address = self._access.addresses, _address(scope)
        allowed, left = addresses.take(address, now_s)
        if not allowed:
            return NOBODY, self._too_many(addresses, left), []
        key = _key_in(scope)
        if key is not None:
            return self._with_key(key, address, scope["path"], now_s)
        if is_open(scope["path"]):
            return NOBODY, None, self._left(addresses, left)
        telemetry.ACCESS_FAILURES.labels("no-key").inc()
        return NOBODY, Denial(ProblemError("unauthorized", "a key is needed"), _CHALLENGE), []

    def _with_key(
        self, key: bytes, address: str, path: str, now_s: float
    ) -> tuple[Principal, Denial | None, list[Header]]:
        keys = self._access.keys
        principal = self._access.ring.principal(key, time.time_ns() // 1000)
        if principal is None:  # open paths stay open for a client that sends a key meant for something else
            refusal = None if is_open(path) else self._wrong_key(address, now_s)
            return NOBODY, refusal, []
        allowed, left = keys.take(principal.number, now_s)
        if not allowed:
            return principal, self._too_many(keys, left), []
        return principal, _owners_alone(path), self._left(keys, left)

    def _wrong_key(self, address: str, now_s: float) -> Denial:
        failures = self._access.failures
        allowed, left = failures.take(address, now_s)
        if not allowed:
            return self._too_many(failures, left)
        telemetry.ACCESS_FAILURES.labels("wrong-key").inc()
        return Denial(ProblemError("unauthorized", "the key is unknown, expired or revoked"), _CHALLENGE)

    def _too_many(self, buckets: TokenBuckets, left: float) -> Denial:
        telemetry.ACCESS_LIMITED.labels(buckets.name).inc()
        headers = {header.decode(): value.decode() for header, value in self._left(buckets, left)}
        retry = {"Retry-After": str(buckets.next_in_s(left))}
        return Denial(ProblemError("too-many-requests", f"too many requests: {buckets.name}"), headers | retry)

    def _left(self, buckets: TokenBuckets, left: float) -> list[Header]:
        """Return headers by draft-ietf-httpapi-ratelimit-headers-10: `r` requests are left, and all of them again in
        `t` seconds.
        """
        rate = buckets.rate
        shown = b'"%b";r=%d;t=%d' % (buckets.name.encode(), left, (rate.burst - left) / rate.per_s + 1)
        return [self._policies[buckets.name], (b"ratelimit", shown)]


def require_scope(method: str, template: str) -> None:
    """Require the scope of this route from the caller.

    Raises:
        ProblemError: the caller does not have it.
    """
    need = need_of(method, template)
    if need == "open":
        return
    if need == "key":  # without one, nothing but open paths came this far
        return
    principal = caller().principal
    if principal is OWNER:
        return
    if need is None or need == "owner":
        raise _no_such_route()
    if not is_met(need, principal):
        telemetry.ACCESS_FAILURES.labels("scope").inc()
        raise ProblemError("missing-scope", f"the key has no scope {need}")


async def route_requires_scope(request: Request) -> None:
    """Check the scope. Runs for every route of the framework, before everything else."""
    require_scope(request.method, request.scope["route"].path)


def _owners_alone(path: str) -> Denial | None:
    return Denial(_no_such_route(), {}) if is_owners(path) else None


def _no_such_route() -> ProblemError:
    return ProblemError("not-found", "there is no such route")


def told_apart_by(scope: Scope) -> str:
    """Return the address or IPv6 network that a request came from; an empty text for one from this machine."""
    client = scope.get("client")
    if client is None or came_by_socket(scope) or _is_loopback(client[0]):
        return ""
    return _network(client[0])


def _key_in(scope: Scope) -> bytes | None:
    path = scope["path"]
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == _BEARER:
                return bytes(value[7:]).strip()
            if value[:6].lower() == _TOKEN and path == INFLUX_2_WRITE:  # what clients of InfluxDB 2 say for `Bearer`
                return bytes(value[6:]).strip()
            if value[:6].lower() == _BASIC and path in _INFLUX_1:
                return _password_in(bytes(value[6:]))
            return b""  # another kind of credentials counts as a wrong key, not as a missing one
    return _password_in_address(scope["query_string"]) if path in _INFLUX_1 else None


def _password_in(credentials: bytes) -> bytes:
    """Return the password of a Basic header; of one that cannot be read an empty one, which is no key."""
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _password_in_address(query: bytes) -> bytes | None:
    if b"p=" not in query:
        return None
    try:
        found = parse_qs(query, max_num_fields=_MOST_PARAMETERS).get(b"p")
    except ValueError:
        return b""
    return found[0] if found else None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return _network(client[0]) if client else ""


@lru_cache(maxsize=4096)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # not an address, so the request did not come over the network
        return True


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """Return an IPv4 address as it is, an IPv6 address as its /64 network, since its owner has all 2^64 addresses."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address


def _policy(buckets: TokenBuckets) -> Header:
    """Return the policy header of the same draft: `q` requests in `w` seconds."""
    rate = buckets.rate
    return b"ratelimit-policy", f'"{buckets.name}";q={int(rate.burst)};w={rate.window_s}'.encode()
