"""What the API is built from: the ready parts of the server, and the limits of its HTTP border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pulsebase import telemetry
from pulsebase.access.caller import caller
from pulsebase.access.newcomers import NewcomerShares
from pulsebase.access.service import Access
from pulsebase.access.shares import Shares
from pulsebase.authorization.audit import AuthorizedAudit
from pulsebase.authorization.erasures import AuthorizedErasures
from pulsebase.authorization.imports import AuthorizedImports
from pulsebase.authorization.ingestor import AuthorizedIngestor
from pulsebase.authorization.keys import AuthorizedKeys
from pulsebase.authorization.signals import AuthorizedSignals
from pulsebase.authorization.store import AuthorizedStore
from pulsebase.authorization.streams import AuthorizedStreams
from pulsebase.authorization.sync import AuthorizedConnections, AuthorizedSync
from pulsebase.authorization.webhooks import AuthorizedWebhooks
from pulsebase.decoding import Decoders
from pulsebase.etl.connections import Connections
from pulsebase.etl.import_jobs import ImportJobs
from pulsebase.etl.sync import Synchronizer
from pulsebase.etl.transform.line_mapping import PRESETS, LineMapping
from pulsebase.events.service import Webhooks
from pulsebase.events.signal_service import Signals
from pulsebase.influxql.service import InfluxqlService
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.ingest.processor import ProcessorLimit
from pulsebase.lifecycle.erasures import Erasures
from pulsebase.lifecycle.retention import Retention
from pulsebase.model.errors import TooManyQuestionsError
from pulsebase.query.cohorts import CohortService
from pulsebase.query.derived import DerivedService
from pulsebase.query.series import SeriesService
from pulsebase.worker_rpc import OtherWorkers

if TYPE_CHECKING:
    from pulsebase.live.subscriptions import Subscriptions
    from pulsebase.stores.contract import Embedded, Store


@dataclass(frozen=True, slots=True)
class BorderOptions:
    """What the HTTP border lets in.

    Attributes:
        body_limit_bytes: the largest request body, as sent and as decompressed.
        bulk_limit_bytes: the largest body of the bulk route, as decompressed; it is never held in memory whole.
        import_limit_bytes: the largest upload of an import, as sent.
        processor: what reading a body may take of the processor.
        export_timeout_s: how long an export may take, which holds a state of the store.
        allowed_hosts: names and addresses the server answers to besides loopback ones (`Host` header, without port).
        public_url: the address at which browsers reach the server; None: the one they used.
        check_host: whether `Host` and `Origin` are checked at all; off only behind a proxy that checks them.
        cors_origins: other origins whose pages may ask, with a key.
        behind_tls: whether browsers reach the server by https only, and are told to keep to it (HSTS).
    """

    body_limit_bytes: int = 16 << 20
    bulk_limit_bytes: int = 8 << 30
    import_limit_bytes: int = 16 << 30
    processor: ProcessorLimit = field(default_factory=ProcessorLimit)
    export_timeout_s: float = 21_600
    allowed_hosts: tuple[str, ...] = field(default=())
    check_host: bool = True
    public_url: str | None = None
    cors_origins: tuple[str, ...] = ()
    behind_tls: bool = False


@dataclass(frozen=True, slots=True)
class Components:
    """The built parts, without authorization. `embedded` is the same store again if it lies in a folder of its own;
    `line_mappings` say what lines mean that programs write to databases of InfluxDB, by database. `is_demo`: the
    people are made up, and brought up to now when the server starts.
    """

    store: Store
    ingestor: Ingestor
    rules: ReadingRules
    series: SeriesService
    push_origin: int
    imports: ImportJobs
    options: BorderOptions
    connections: Connections
    sync: Synchronizer
    access: Access
    streams: Subscriptions
    erasures: Erasures
    retention: Retention
    decoders: Decoders
    shares: Shares
    newcomers: NewcomerShares
    webhooks: Webhooks
    signals: Signals
    embedded: Embedded | None = None
    other_workers: OtherWorkers = field(default_factory=OtherWorkers)
    line_mappings: Mapping[str, LineMapping] = field(default_factory=lambda: PRESETS)
    is_demo: bool = False

    def give_up(self) -> None:
        """Have whatever requests and imports are at come to an end where it is, before the parts are closed: nothing
        waits for room, for a turn or for a decoder any more.
        """
        self.imports.stop()
        self.ingestor.leave()
        self.decoders.close()


class RequestServices:
    """What routes are given: the parts, limited to what the caller of the current request may do (see `authorization`).

    `embedded` is not limited by caller, so that only routes of the owner may use it.
    """

    def __init__(self, built: Components) -> None:
        self.store = AuthorizedStore(built.store, built.access, built.newcomers)
        self.ingestor = AuthorizedIngestor(built.ingestor, built.access, built.store.unknown_users, built.newcomers)
        self.series = built.series.through(self.store)
        self.cohorts = CohortService(self.store, built.series.limits)
        self.derived = DerivedService(self.store, built.series.limits)
        self.imports = AuthorizedImports(built.imports, built.access, built.other_workers, built.newcomers)
        self.streams = AuthorizedStreams(built.streams, built.access)
        self.connections = AuthorizedConnections(built.connections, built.store.unknown_users, built.newcomers)
        self.sync = AuthorizedSync(built.sync)
        self.erasures = AuthorizedErasures(built.erasures, self.streams)
        self.webhooks = AuthorizedWebhooks(built.webhooks, built.store.unknown_users)
        self.signals = AuthorizedSignals(built.signals, built.store.unknown_users, built.access)
        self.retention = built.retention
        self.keys = AuthorizedKeys(built.access)
        self.audit = AuthorizedAudit(built.access.audit, built.other_workers)
        self.decoders, self.line_mappings = built.decoders, built.line_mappings
        self.influxql = InfluxqlService(self.store, built.series.limits, built.line_mappings)
        self.push_origin, self.options, self.embedded = built.push_origin, built.options, built.embedded
        self.other_workers, self.is_demo = built.other_workers, built.is_demo
        self._access = built.access
        self._rules = built.rules

    @property
    def access_works(self) -> bool | None:
        """Whether the audit is written and changed keys are noticed; None where access control is off."""
        return self._access.works if self._access.enforced else None

    def ask(self) -> int:
        """Count one question of the caller's `aggregate` key. Return how many are left today.

        Raises:
            TooManyQuestionsError: none was left.
            StoreUnavailableError: it cannot be counted now.
        """
        left, again_in_s = self._access.ask(caller().principal)
        if left is None:
            telemetry.ACCESS_LIMITED.labels("questions").inc()
            raise TooManyQuestionsError("the key has asked all questions of today", again_in_s)
        return left

    @property
    def rules(self) -> ReadingRules:
        """Which readings may be stored for the caller."""
        return self._rules.of_people(caller().principal.people)
