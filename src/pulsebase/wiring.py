"""From settings to built parts. The only module that knows all of them."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx

from pulsebase.api.app import Application, create_app
from pulsebase.api.erasures import Erasures, Marks
from pulsebase.api.retention import Retention
from pulsebase.api.services import BorderOptions, Services
from pulsebase.etl import Scheduler
from pulsebase.etl.import_jobs import ImportJobs
from pulsebase.etl.schedule import CronSchedule, EverySchedule
from pulsebase.ingest import IngestLimits, Ingestor, ReadingRules
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import StopError
from pulsebase.model.timerange import SECOND_US
from pulsebase.query.cohorts import CohortService
from pulsebase.query.plan import QueryLimits
from pulsebase.query.series import SeriesService
from pulsebase.settings import Settings
from pulsebase.sources.sealed import key_in, read_key
from pulsebase.sources.synthetic import DEMO_PEOPLE, SyntheticPerson
from pulsebase.stores.barred import Barred, BarringStore
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.lock import StoreLock
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.erasures import ErasureLog, SqliteErasureLog
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.open import open_store, parse_store_url
from pulsebase.stores.timescale.options import Policies, PoolOptions, TimescaleOptions
from pulsebase.wiring_sources import build_sources, sources_folder

#: The demo's live end: how often it is brought, and how far it looks back each time, seconds.
_DEMO_EVERY_S, _DEMO_LOOKBACK_S = 10, 600


@dataclass(frozen=True, slots=True)
class Parts:
    """A running installation: everything but the network."""

    settings: Settings
    store: Store
    ingestor: Ingestor
    services: Services
    app: Application
    lock: StoreLock | None

    def advertise(self, socket_path: str | None) -> None:
        """Tell other commands where this process takes requests for the store, if the store is one process's own."""
        if self.lock is not None:
            self.lock.advertise(socket_path)


@contextlib.contextmanager
def build(
    settings: Settings,
    *,
    synthetic: Sequence[SyntheticPerson] = (),
    now_us: Callable[[], int] = wall_clock_us,
) -> Iterator[Parts]:
    """Open the store and put the parts together; at the end drain the queue and close the store.

    `synthetic` people's chest straps are a source too.

    Raises:
        StopError: the store cannot be opened.
    """
    with contextlib.ExitStack() as closing:
        opened = _opened(settings)
        closing.callback(opened.close)
        folder = sources_folder(settings, closing)
        marks = _marks(settings, opened, folder)
        barred = Barred(marks.key, marks.log.marks())
        store = BarringStore(opened, barred, settings.slow_query_ms)
        embedded = opened if isinstance(opened, DuckdbStore) else None
        limits = IngestLimits(settings.queue_readings, settings.commit_readings)
        ingestor = Ingestor(store, limits, barred)
        closing.callback(ingestor.close)
        query_limits = QueryLimits(settings.max_rows, settings.max_people, settings.query_timeout_s)
        series = SeriesService(store, query_limits)
        closing.callback(series.close)
        retention = Retention(store, settings.retention_days, now_us)
        closing.callback(retention.close)
        rules = _rules(settings, barred, retention, now_us)
        syncing = build_sources(
            settings, closing, store, ingestor, rules, folder=folder, synthetic=synthetic, now_us=now_us
        )
        imports = ImportJobs(ingestor, store, rules, settings.import_limit_bytes)
        closing.callback(imports.close)
        erasures = Erasures(store, ingestor, syncing.connections, marks=marks, barred=barred, now_us=now_us)
        closing.callback(erasures.close)
        services = Services(
            store=store,
            ingestor=ingestor,
            rules=rules,
            series=series,
            cohorts=CohortService(store, query_limits),
            imports=imports,
            push_origin=ingestor.register_origin("push", "http"),
            options=_border(settings),
            connections=syncing.connections,
            sync=syncing.sync,
            erasures=erasures,
            retention=retention,
            embedded=embedded,
        )
        yield Parts(settings, store, ingestor, services, create_app(services), embedded.lock if embedded else None)


@contextlib.contextmanager
def scheduled(parts: Parts) -> Iterator[Scheduler]:
    """Everybody's connections, brought when they are due."""
    with Scheduler(parts.services.sync, CronSchedule(parts.settings.ingest_schedule)) as scheduler:
        yield scheduler


@contextlib.contextmanager
def simulated_fitbit(settings: Settings, people: Sequence[SyntheticPerson]) -> Iterator[Settings]:
    """A simulated Fitbit-shaped cloud of these people, its hourly limit lifted; the settings that name it."""
    from pulsebase.sources.simulators.process import unlimited_fitbit

    with unlimited_fitbit(people) as url:
        yield settings.model_copy(update={"fitbit_url": url, "fitbit_client_id": "demo", "fitbit_client_secret": None})


@contextlib.contextmanager
def synthetic_people(parts: Parts, people: Sequence[SyntheticPerson]) -> Iterator[None]:
    """The people, connected to their simulated service the way anybody is, and disconnected at the end."""
    connections = parts.services.connections
    state = parts.services.sync.state
    for person in people:
        if parts.services.rules.barred.holds(person.user_id):
            continue  # erased, and not allowed again
        parts.store.put_user(person.as_user())
        begun = connections.begin(person.user_id, "fitbit", "http://127.0.0.1/back")
        consent = httpx.URL(begun.url).copy_merge_params({"person": person.user_id})
        said_yes = httpx.get(consent, follow_redirects=False, trust_env=False)
        code = httpx.URL(said_yes.headers["location"]).params["code"]
        connections.finish("fitbit", begun.state, code, None)
        if person.chest_strap:
            state.connect(person.user_id, "synthetic", None, wall_clock_us())
    try:
        yield
    finally:
        for person in people:
            for source in ("fitbit", "synthetic"):
                connections.disconnect(person.user_id, source)


@contextlib.contextmanager
def both_stores(settings: Settings, source_url: str, target_url: str) -> Iterator[tuple[Store, Store]]:
    """Two different stores, opened with the same settings; what is only in memory is none to copy.

    Raises:
        StopError: one of them cannot be opened, is in memory, or is the other one.
    """
    for url in (source_url, target_url):
        if parse_store_url(url).scheme == "memory":
            raise StopError("a store in memory has nothing that could be copied, and keeps nothing")
    if parse_store_url(source_url) == parse_store_url(target_url):
        raise StopError("the store to copy to is the one to copy from")
    with contextlib.ExitStack() as closing:
        source = _opened(settings, source_url)
        closing.callback(source.close)
        target = _opened(settings, target_url)
        closing.callback(target.close)
        yield source, target


def set_up_database(settings: Settings) -> list[int]:
    """Make the tables of a server store, or bring them to the newest schema; the numbers of the steps this took.

    Raises:
        StopError: the store is none that is set up, or something is missing or in the way.
    """
    from pulsebase.stores.timescale.database import connect
    from pulsebase.stores.timescale.migrate import set_up

    address = parse_store_url(settings.store_url)
    if address.conninfo is None:
        raise StopError("PULSEBASE_STORE_URL names no server store (postgresql://…); other stores set themselves up")
    with connect(address.conninfo) as connection:
        return set_up(connection, Policies(settings.compress_after_days))


@contextlib.contextmanager
def demo(parts: Parts) -> Iterator[Scheduler]:
    """The two synthetic people, brought up to now and kept there."""
    with (
        synthetic_people(parts, DEMO_PEOPLE),
        Scheduler(parts.services.sync, EverySchedule(_DEMO_EVERY_S)) as scheduler,
    ):
        yield scheduler


def demo_settings(settings: Settings) -> Settings:
    """The settings, with the demo's days, and nothing that narrows or widens them."""
    first_day = (datetime.now(UTC) - timedelta(days=settings.demo_days)).date()
    only = {"user_id": None, "start_date": first_day, "end_date": None, "lookback_s": _DEMO_LOOKBACK_S}
    return settings.model_copy(update=only)


def is_loopback(host: str) -> bool:
    """Whether a server on this address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _opened(settings: Settings, url: str | None = None) -> Store:
    try:
        return open_store(url or settings.store_url, _duckdb_options(settings), _timescale_options(settings))
    except OSError as error:  # a folder that cannot be made, a file that cannot be read
        where = f" {error.filename}:" if error.filename else ""
        raise StopError(f"the store cannot be opened:{where} {error.strerror}") from error


def _rules(settings: Settings, barred: Barred, retention: Retention, now_us: Callable[[], int]) -> ReadingRules:
    return ReadingRules(
        settings.min_heart_rate,
        settings.max_heart_rate,
        settings.future_tolerance_s * SECOND_US,
        now_us,
        barred=barred,
        horizon_us=retention.horizon_us,
    )


def _marks(settings: Settings, store: Store, folder: Path) -> Marks:
    """Where erasures are noted: in a server store's database, else in a file beside the store."""
    log = _erasure_log(store, folder)
    if settings.erasure_key is not None:
        return Marks(log, read_key(settings.erasure_key.get_secret_value(), "PULSEBASE_ERASURE_KEY"))
    return Marks(log, log.key() or key_in(folder / "erasure.key"))


def _border(settings: Settings) -> BorderOptions:
    return BorderOptions(
        settings.body_limit_bytes,
        settings.bulk_limit_bytes,
        settings.import_limit_bytes,
        settings.allowed_hosts,
        check_host=is_loopback(settings.host),
        public_url=settings.public_url,
    )


def _duckdb_options(settings: Settings) -> DuckdbOptions:
    return DuckdbOptions(
        memory_limit=settings.memory_limit,
        threads=settings.engine_threads,
        merge_readings=settings.merge_readings,
        merge_interval_s=settings.merge_interval_s,
    )


def _timescale_options(settings: Settings) -> TimescaleOptions:
    pool = PoolOptions(settings.pool_size, settings.max_overflow, settings.pool_timeout_s, settings.pool_recycle_s)
    return TimescaleOptions(pool, merge_interval_s=settings.merge_interval_s)


def _erasure_log(store: Store, folder: Path) -> ErasureLog:
    if isinstance(store, (DuckdbStore, MemoryStore)):
        return SqliteErasureLog(folder / "erasures.sqlite")
    from pulsebase.stores.timescale.store import TimescaleStore  # loads the driver

    assert isinstance(store, TimescaleStore)
    return store.erasure_log()
