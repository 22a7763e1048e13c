"""From settings to built parts. The only module that knows all of them."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx2 as httpx
import msgspec

from pulsebase import tracing
from pulsebase.access.access_file import AccessFile
from pulsebase.access.newcomers import NewcomerLimits, NewcomerShares
from pulsebase.access.service import Access, RequestLimits
from pulsebase.access.shares import Shares, ShareSize
from pulsebase.api.app import Application, create_app, create_watch_app
from pulsebase.api.border.connection_limits import ConnectionLimits
from pulsebase.api.components import BorderOptions, Components
from pulsebase.api.server.prometheus import Family, families
from pulsebase.authorization.imports import reports_of
from pulsebase.decoding import DecoderLimits, Decoders
from pulsebase.etl import Scheduler
from pulsebase.etl.import_jobs import ImportJobs, ImportReport, running_imports
from pulsebase.etl.schedule import CronSchedule, EverySchedule
from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import key_in, read_key
from pulsebase.ingest import IngestLimits, Ingestor, ReadingRules
from pulsebase.ingest.processor import ProcessorLimit
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.lifecycle.erasures import ErasureMarks, Erasures
from pulsebase.lifecycle.personal_traces import SharedTraces
from pulsebase.lifecycle.retention import Retention
from pulsebase.live.commit_log import CommitLog
from pulsebase.live.follower import StoreFollower
from pulsebase.live.subscriptions import StreamLimits, Subscriptions
from pulsebase.model.errors import SettingsError, StopError
from pulsebase.model.timerange import SECOND_US
from pulsebase.model.users import User
from pulsebase.query.plan import QueryLimits
from pulsebase.query.series import SeriesService
from pulsebase.settings import Settings, role_passwords
from pulsebase.sources.synthetic import DEMO_PEOPLE, SyntheticPerson
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.engine.lock import StoreLock
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.erased_users import ErasedUsers, ErasedUsersStore
from pulsebase.stores.erasures import ErasureLog, SqliteErasureLog
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.open import open_store, parse_store_url
from pulsebase.stores.timescale.options import Policies, PoolOptions, TimescaleOptions
from pulsebase.wiring_sources import build_sources, state_folder
from pulsebase.worker_rpc import Answers, OtherWorkers

#: The demo's live end: how often it is brought, and how far it looks back each time, seconds.
#: How long a request waits for others to be done before it is refused, and how long for a decoder.
_WAIT_S, _DECODER_WAIT_S = 10, 20
_DEMO_EVERY_S, _DEMO_LOOKBACK_S = 10, 600


@dataclass(frozen=True, slots=True)
class BuiltServer:
    """A running installation: everything but the network."""

    settings: Settings
    store: Store
    ingestor: Ingestor
    services: Components
    app: Application
    lock: StoreLock | None

    def has_keys(self) -> bool:
        """Whether anybody has a key that opens something."""
        return any(key.good_at(wall_clock_us()) for _, key in self.services.access.state.all_keys())

    def advertise(self, socket_path: str | None) -> None:
        """Tell other commands where this process takes requests for the store, if the store is one process's own."""
        if self.lock is not None:
            self.lock.advertise(socket_path)


@contextlib.contextmanager
def build(
    settings: Settings,
    *,
    synthetic: Sequence[SyntheticPerson] = (),
    other_workers: OtherWorkers | None = None,
    now_us: Callable[[], int] = wall_clock_us,
) -> Iterator[BuiltServer]:
    """Open the store and put the parts together; at the end drain the queue and close the store.

    `synthetic` people's chest straps are a source too. `other_workers` are the other workers of the same server.

    Raises:
        StopError: the store cannot be opened.
    """
    other_workers = other_workers or OtherWorkers()
    with contextlib.ExitStack() as closing:
        closing.enter_context(tracing.started(settings.traces_url))
        opened = _opened(settings)
        closing.callback(opened.close)
        folder = state_folder(settings, closing)
        marks = _marks(settings, opened, folder)
        erased_users = ErasedUsers(marks.key, marks.log.marks())
        store = ErasedUsersStore(opened, erased_users, settings.slow_query_ms)
        embedded = opened if isinstance(opened, DuckdbStore) else None
        limits = IngestLimits(settings.queue_readings, settings.commit_readings)
        commit_log = CommitLog(settings.stream_readings)
        # Where this process alone writes it knows every commit; else it has to ask the store for the others' as well.
        writes_alone = isinstance(opened, DuckdbStore | MemoryStore)
        ingestor = Ingestor(store, limits, commit_log if writes_alone else None, erased_users, store.unknown_users)
        closing.callback(ingestor.close)
        follower = None if writes_alone else closing.enter_context(contextlib.closing(StoreFollower(store, commit_log)))
        listening = StreamLimits(settings.stream_heartbeat_s)
        query_limits = QueryLimits(settings.max_rows, settings.max_people, settings.query_timeout_s)
        series = SeriesService(store, query_limits)
        closing.callback(series.close)
        retention = Retention(store, settings.retention_days, now_us)
        closing.callback(retention.close)
        rules = _rules(settings, erased_users, retention, now_us)
        syncing = build_sources(
            settings,
            folder,
            closing,
            store=store,
            ingestor=ingestor,
            rules=rules,
            synthetic=synthetic,
            now_us=now_us,
        )
        locks = FolderLocks(folder / "locks")
        decoders = Decoders(
            DecoderLimits(
                settings.decoder_processes, settings.decoder_memory_bytes, processor=_processor_limit(settings)
            )
        )
        imports = ImportJobs(
            ingestor,
            store,
            rules,
            changing=partial(locks.held, "people"),
            running=running_imports(folder),
            limit_bytes=settings.import_limit_bytes,
            importing=decoders.importing,
            most_running=max(1, settings.decoder_processes - 1),  # one is left for bodies in Parquet
        )
        closing.callback(imports.close)
        access = _access(settings, folder, lambda user_id: not erased_users.holds(user_id) and store.knows(user_id))
        closing.callback(access.close)
        erasures = Erasures(
            store,
            ingestor,
            syncing.connections,
            marks=marks,
            erased_users=erased_users,
            traces=SharedTraces(access.state, imports, other_workers),
            locks=locks,
            tell=partial(other_workers.ask, "marks"),
            now_us=now_us,
        )
        closing.callback(erasures.close)
        services = Components(
            store=store,
            ingestor=ingestor,
            rules=rules,
            series=series,
            imports=imports,
            push_origin=ingestor.register_origin("push", "http"),
            options=_border(settings),
            connections=syncing.connections,
            sync=syncing.sync,
            access=access,
            streams=Subscriptions(commit_log, store, listening, follower),
            erasures=erasures,
            retention=retention,
            decoders=decoders,
            shares=_shares(settings),
            newcomers=NewcomerShares(
                NewcomerLimits(settings.new_people_per_day, settings.caller_share, settings.new_people_per_request)
            ),
            embedded=embedded,
            other_workers=other_workers,
        )
        closing.callback(services.give_up)
        yield BuiltServer(
            settings, store, ingestor, services, create_app(services), embedded.lock if embedded else None
        )


def answers_of(parts: BuiltServer) -> Answers:
    """What the other workers of a server may ask of this one."""
    built = parts.services

    def metrics(_: None) -> list[Family]:
        built.store.statistics()  # brings the store's gauges up to date
        return families()

    return {
        "metrics": metrics,
        "imports": partial(reports_of, built.imports),
        "cancel": built.imports.cancel,
        "remember": lambda reports: built.imports.remember(msgspec.convert(reports, dict[int, ImportReport])),
        "forget": lambda person: built.imports.forget(msgspec.convert(person, User)),
        "marks": lambda _: built.erasures.learn(),
        "flush": lambda _: built.access.audit.flush(),
    }


def watch_app(parts: BuiltServer) -> Application:
    """The parts' health and metrics alone."""
    return create_watch_app(parts.services)


@contextlib.contextmanager
def scheduled(parts: BuiltServer) -> Iterator[Scheduler]:
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
def synthetic_people(parts: BuiltServer, people: Sequence[SyntheticPerson]) -> Iterator[None]:
    """The people, connected to their simulated service the way anybody is, and disconnected at the end."""
    connections = parts.services.connections
    state = parts.services.sync.state
    for person in people:
        if parts.services.rules.erased_users.holds(person.user_id):
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


def set_up_database(settings: Settings) -> tuple[list[int], list[str]]:
    """Make the tables of a server store, or bring them to the newest schema, and the roles that have passwords: the
    numbers of the steps this took, and the roles there are.

    Raises:
        StopError: the store is none that is set up, or something is missing or in the way.
    """
    from pulsebase.stores.timescale.database import connect
    from pulsebase.stores.timescale.migrate import set_up
    from pulsebase.stores.timescale.roles import RolePasswords, apply_roles

    address = parse_store_url(settings.store_url)
    if address.conninfo is None:
        raise StopError("PULSEBASE_STORE_URL names no server store (postgresql://…); other stores set themselves up")
    passwords = RolePasswords(*role_passwords(settings))
    with connect(address.conninfo) as connection:
        done = set_up(connection, Policies(settings.compress_after_days))
        return done, apply_roles(connection, passwords)


def excess_of_store(settings: Settings) -> str | None:
    """What the server's user may do in a server store's database beyond serving; None where that is nothing, or the
    database does not say just now.
    """
    from pulsebase.stores.timescale.database import connect
    from pulsebase.stores.timescale.roles import excess_rights

    address = parse_store_url(settings.store_url)
    if address.conninfo is None:
        return None
    with contextlib.suppress(StopError), connect(address.conninfo) as connection:
        return excess_rights(connection)
    return None


@contextlib.contextmanager
def demo(parts: BuiltServer) -> Iterator[Scheduler]:
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


def access_is_on(settings: Settings) -> bool:
    """Whether a key is needed: as the setting says, else wherever more than this machine may reach the server.

    Raises:
        SettingsError: it would be open to others, and nothing says that this is meant.
    """
    alone = is_loopback(settings.host)
    said_elsewhere = settings.allowed_hosts or settings.public_url
    if settings.access == "auto":
        return not alone or bool(said_elsewhere)
    if settings.access == "off" and not alone and not settings.open_to_everybody:
        raise SettingsError(
            f"PULSEBASE_ACCESS=off on {settings.host} lets everybody who reaches that address read and write all there "
            "is; if that is meant, set PULSEBASE_OPEN_TO_EVERYBODY=true too"
        )
    return settings.access == "on"


def _access(settings: Settings, folder: Path, known: Callable[[str], bool]) -> Access:
    limits = RequestLimits(
        settings.key_requests_per_s,
        settings.address_requests_per_s,
        settings.wrong_keys_per_min,
        settings.aggregate_questions_per_day,
    )
    state = AccessFile(access_file(folder))
    return Access(state, limits, settings.audit_days, known, wall_clock_us, enforced=access_is_on(settings))


def _shares(settings: Settings) -> Shares:
    part = settings.caller_share
    return Shares(
        {
            "questions": ShareSize.of(settings.questions, part, _WAIT_S),
            "answer rows": ShareSize.of(settings.answer_rows, part, _WAIT_S, least=settings.max_rows),
            "body bytes": ShareSize.of(settings.body_bytes, part, _WAIT_S, least=settings.body_limit_bytes),
            "uploads": ShareSize.of(settings.uploads, part, _WAIT_S),
            "spooled bytes": ShareSize.of(settings.spooled_bytes, part, least=settings.import_limit_bytes),
            "decoders": ShareSize.of(settings.decoder_processes, part, _DECODER_WAIT_S),
            "exports": ShareSize.of(settings.exports, part),
            "streams": ShareSize.of(settings.stream_subscribers, part),
        }
    )


def connection_limits(settings: Settings) -> ConnectionLimits:
    """What connections to the server may cost."""
    return ConnectionLimits(
        settings.header_timeout_s,
        settings.body_timeout_s,
        settings.answer_timeout_s,
        settings.max_connections,
        settings.address_connections,
        settings.trusted_proxies,
    )


def access_file(folder: Path) -> Path:
    """Where keys and the trail are, in the folder of what is kept beside the store."""
    return folder / "access.sqlite"


def _opened(settings: Settings, url: str | None = None) -> Store:
    try:
        return open_store(url or settings.store_url, _duckdb_options(settings), _timescale_options(settings))
    except OSError as error:  # a folder that cannot be made, a file that cannot be read
        where = f" {error.filename}:" if error.filename else ""
        raise StopError(f"the store cannot be opened:{where} {error.strerror}") from error


def _rules(
    settings: Settings, erased_users: ErasedUsers, retention: Retention, now_us: Callable[[], int]
) -> ReadingRules:
    return ReadingRules(
        settings.min_heart_rate,
        settings.max_heart_rate,
        settings.future_tolerance_s * SECOND_US,
        now_us,
        erased_users=erased_users,
        horizon_us=retention.horizon_us,
    )


def _marks(settings: Settings, store: Store, folder: Path) -> ErasureMarks:
    """Where erasures are noted: in a server store's database, else in a file beside the store."""
    log = _erasure_log(store, folder)
    if settings.erasure_key is not None:
        return ErasureMarks(log, read_key(settings.erasure_key.get_secret_value(), "PULSEBASE_ERASURE_KEY"))
    return ErasureMarks(log, log.key() or key_in(folder / "erasure.key"))


def _border(settings: Settings) -> BorderOptions:
    return BorderOptions(
        settings.body_limit_bytes,
        settings.bulk_limit_bytes,
        settings.import_limit_bytes,
        _processor_limit(settings),
        settings.export_timeout_s,
        settings.allowed_hosts,
        check_host=is_loopback(settings.host),
        public_url=settings.public_url,
        cors_origins=settings.cors_origins,
        behind_tls=settings.behind_tls,
    )


def _processor_limit(settings: Settings) -> ProcessorLimit:
    return ProcessorLimit(settings.body_processor_s, settings.body_processor_s_per_mib)


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
