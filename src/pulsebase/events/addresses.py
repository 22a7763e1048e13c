"""Where webhooks may be sent: public addresses over https, and private networks that a setting names.

A name is looked up for each delivery, and the address that was checked is the one connected to, so no later answer of a
name server leads elsewhere.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pulsebase.model.errors import RejectedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_URL_CHARACTERS = 2_048
_PORTS = {"https": 443, "http": 80}
#: IPv4 addresses behind a translator (RFC 6052): the last four bytes are the address.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(Exception):
    """None of the addresses of a host may be called."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook is sent, as its URL says it."""

    scheme: str
    host: str
    port: int
    path: str


def target_of(url: str) -> Target:
    """Take a URL apart.

    Raises:
        RejectedError: it is none that a webhook may have.
    """
    if len(url) > _MOST_URL_CHARACTERS or any(not "!" <= character <= "~" for character in url):
        raise RejectedError.of("url", f"must be of at most {_MOST_URL_CHARACTERS} characters of ASCII, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RejectedError.of("url", "is not a URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RejectedError.of("url", "must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise RejectedError.of("url", "must hold no name or password; receivers check the signature")
    if parts.fragment:
        raise RejectedError.of("url", "must have no fragment")
    return Target(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], _path_of(parts))


def _path_of(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks that a setting names.

    Raises:
        ValueError: one of the texts names none.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def address_for(target: Target, private: Sequence[Network]) -> Address:
    """Look a host up, and return the first of its addresses that may be called; those of `private` networks may, also
    without encryption.

    Raises:
        ForbiddenAddressError: none may.
        OSError: the host is not found.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # an empty label, or one that is too long: no host can have such a name
        raise OSError("no host has such a name") from error
    for _, _, _, _, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if may_be_called(address, private, encrypted=target.scheme == "https"):
            return address
    raise ForbiddenAddressError


def may_be_called(address: Address, private: Sequence[Network], *, encrypted: bool) -> bool:
    """Whether deliveries may go to this address."""
    if any(address in network for network in private):
        return True
    return encrypted and all(each.is_global and not each.is_multicast for each in _meant_by(address))


def _meant_by(address: Address) -> Sequence[Address]:
    """Return the address, and those of IPv4 that an address of IPv6 leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    inner: list[Address] = [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
    if address.teredo is not None:
        inner += address.teredo
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(address.packed[-4:]))
    if address.ipv4_mapped is not None:
        return inner
    return (address, *inner)
