"""From settings to built parts. The only module that knows all of them."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from pulsebase.api.app import Application, create_app
from pulsebase.api.services import BorderOptions, Services
from pulsebase.etl import Pipeline, Scheduler, extractors, loaders, transformers
from pulsebase.ingest import IngestLimits, Ingestor, ReadingRules
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import StopError
from pulsebase.model.timerange import DAY_US, SECOND_US
from pulsebase.query.plan import QueryLimits
from pulsebase.query.series import SeriesService
from pulsebase.settings import Settings
from pulsebase.sources.synthetic import DEMO_PEOPLE
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.lock import StoreLock
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.metered import MeteredStore
from pulsebase.stores.open import open_store, parse_store_url
from pulsebase.stores.timescale.options import Policies, PoolOptions, TimescaleOptions


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
def build(settings: Settings) -> Iterator[Parts]:
    """Open the store and put the parts together; at the end drain the queue and close the store.

    Raises:
        StopError: the store cannot be opened.
    """
    with contextlib.ExitStack() as closing:
        opened = _opened(settings)
        store = MeteredStore(opened)
        embedded = opened if isinstance(opened, DuckdbStore) else None
        closing.callback(store.close)
        limits = IngestLimits(settings.queue_readings, settings.commit_readings)
        ingestor = Ingestor(store, limits)
        closing.callback(ingestor.close)
        series = SeriesService(store, QueryLimits(settings.max_rows, settings.max_people, settings.query_timeout_s))
        closing.callback(series.close)
        services = Services(
            store=store,
            ingestor=ingestor,
            rules=_rules(settings),
            series=series,
            push_origin=ingestor.register_origin("push", "http"),
            options=_border(settings),
            embedded=embedded,
        )
        yield Parts(settings, store, ingestor, services, create_app(services), embedded.lock if embedded else None)


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
    for person in DEMO_PEOPLE:
        parts.store.put_user(person.as_user())
    start_us = (wall_clock_us() // DAY_US - parts.settings.demo_days) * DAY_US
    pipeline = Pipeline(
        extractors(DEMO_PEOPLE),
        transformers(),
        loaders(parts.ingestor, parts.store, parts.store, parts.services.rules),
        start_us=start_us,
    )
    with Scheduler(pipeline, [person.user_id for person in DEMO_PEOPLE]) as scheduler:
        yield scheduler


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


def _rules(settings: Settings) -> ReadingRules:
    return ReadingRules(settings.min_heart_rate, settings.max_heart_rate, settings.future_tolerance_s * SECOND_US)


def _border(settings: Settings) -> BorderOptions:
    return BorderOptions(
        settings.body_limit_bytes,
        settings.bulk_limit_bytes,
        settings.allowed_hosts,
        check_host=is_loopback(settings.host),
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
