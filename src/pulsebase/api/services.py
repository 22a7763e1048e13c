"""What the API needs to be given: parts that are already built, and the limits of the border."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Scope

from pulsebase.api.erasures import Erasures
from pulsebase.api.retention import Retention
from pulsebase.etl.connections import Connections
from pulsebase.etl.import_jobs import ImportJobs
from pulsebase.etl.sync import Synchronizer
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.query.cohorts import CohortService
from pulsebase.query.series import SeriesService

if TYPE_CHECKING:
    from pulsebase.stores.contract import Embedded, Store


@dataclass(frozen=True, slots=True)
class BorderOptions:
    """What the border lets in.

    Attributes:
        body_limit_bytes: the largest request body, as sent and as unpacked.
        bulk_limit_bytes: the largest body of the bulk route, which is never held whole, as unpacked.
        import_limit_bytes: the largest upload of an import, as sent.
        allowed_hosts: names and addresses the server answers to besides loopback ones (`Host` header, without port).
        public_url: the address browsers reach the server at; None: the one they used.
        check_host: whether `Host` and `Origin` are checked at all; off only behind a proxy that does it.
    """

    body_limit_bytes: int = 16 << 20
    bulk_limit_bytes: int = 8 << 30
    import_limit_bytes: int = 16 << 30
    allowed_hosts: tuple[str, ...] = field(default=())
    check_host: bool = True
    public_url: str | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """The built parts. `embedded` is the store once more if it lies in a folder of its own."""

    store: Store
    ingestor: Ingestor
    rules: ReadingRules
    series: SeriesService
    cohorts: CohortService
    push_origin: int
    imports: ImportJobs
    options: BorderOptions
    connections: Connections
    sync: Synchronizer
    erasures: Erasures
    retention: Retention
    embedded: Embedded | None = None


def came_by_socket(scope: Scope) -> bool:
    """Whether the request came over the owner's Unix socket rather than the network."""
    server = scope.get("server")
    return server is not None and server[1] is None
