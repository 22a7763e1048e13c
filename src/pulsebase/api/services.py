"""What the API needs to be given: parts that are already built, and the limits of the border."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.query.series import SeriesService

if TYPE_CHECKING:
    from pulsebase.stores.contract import Store


@dataclass(frozen=True, slots=True)
class BorderOptions:
    """What the border lets in.

    Attributes:
        body_limit_bytes: the largest request body, as sent and as unpacked.
        allowed_hosts: names and addresses the server answers to besides loopback ones (`Host` header, without port).
        check_host: whether `Host` and `Origin` are checked at all; off only behind a proxy that does it.
    """

    body_limit_bytes: int = 16 << 20
    allowed_hosts: tuple[str, ...] = field(default=())
    check_host: bool = True


@dataclass(frozen=True, slots=True)
class Services:
    """The built parts."""

    store: Store
    ingestor: Ingestor
    rules: ReadingRules
    series: SeriesService
    push_origin: int
    options: BorderOptions
