"""From settings to built parts. The only module that knows all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from pulsebase import tracing
from pulsebase.access.access_file import AccessFile
from pulsebase.access.caller import Caller
from pulsebase.access.keys import BROKER
from pulsebase.access.newcomers import NewcomerLimits, NewcomerShares
from pulsebase.access.service import Access
from pulsebase.api.app import Application, create_app, create_watch_app
from pulsebase.api.components import Components
from pulsebase.api.server.prometheus import Family, families
from pulsebase.authorization.imports import reports_of
from pulsebase.decoding import DecoderLimits, Decoders
from pulsebase.etl.connections import Connections
from pulsebase.etl.import_jobs import ImportJobs, ImportReport, running_imports
from pulsebase.etl.schedule import CronSchedule
from pulsebase.etl.scheduler import Scheduler
from pulsebase.etl.state import Connection
from pulsebase.events.addresses import networks_of
from pulsebase.events.courier import Courier, Surroundings
from pulsebase.events.event_file import EventFile
from pulsebase.events.kinds import Event, ImportCounts, import_finished
from pulsebase.events.sender import Sender
from pulsebase.events.service import Webhooks
from pulsebase.events.signal_service import Signals
from pulsebase.events.webhooks import Reach
from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import Seal, key_in, read_key
from pulsebase.ingest import IngestLimits, Ingestor, ReadingRules
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.lifecycle.erasures import ErasureMarks, Erasures
from pulsebase.lifecycle.personal_traces import SharedTraces
from pulsebase.lifecycle.retention import Retention
from pulsebase.live.commit_log import CommitLog
from pulsebase.live.follower import StoreFollower
from pulsebase.live.subscriptions import StreamLimits, Subscriptions
from pulsebase.model.errors import SettingsError, StopError
from pulsebase.model.users import User
from pulsebase.query.plan import QueryLimits
from pulsebase.query.series import SeriesService
from pulsebase.settings import Settings
from pulsebase.settings_loading import role_passwords
from pulsebase.sources.synthetic import SyntheticPerson
from pulsebase.stores.contract import Capabilities, Store
from pulsebase.stores.erased_users import ErasedUsers, ErasedUsersStore
from pulsebase.stores.erasures import SqliteErasureLog
from pulsebase.stores.open import excess_rights_of, open_store, parse_store_url, set_up_store
from pulsebase.wiring_options import (
    access_file,
    access_is_on,
    border_options,
    caller_shares,
    cluster_choice,
    duckdb_options,
    line_mappings,
    processor_limit,
    reading_rules,
    request_limits,
    timescale_options,
)
from pulsebase.wiring_sources import broker_options, build_sources, state_folder
from pulsebase.worker_rpc import Answers, OtherWorkers


@dataclass(frozen=True, slots=True)
class BuiltServer:
    """A running installation: everything but the network."""

    settings: Settings
    store: Store
    ingestor: Ingestor
    services: Components
    app: Application

    def has_keys(self) -> bool:
        """Whether anybody has a key that opens something."""
        return any(key.good_at(wall_clock_us()) for _, key in self.services.access.state.all_keys())

    def advertise(self, socket_path: str | None) -> None:
        """Tell other commands where this process takes requests for the store, if the store is one process's own."""
        if self.services.embedded is not None:
            self.services.embedded.advertise(socket_path)


@contextlib.contextmanager
def build(
    settings: Settings,
    *,
    synthetic: Sequence[SyntheticPerson] = (),
    other_workers: OtherWorkers | None = None,
    now_us: Callable[[], int] = wall_clock_us,
) -> Iterator[BuiltServer]:
    """Open the store and put the parts together; at the end drain the queue and close the store.

    What `synthetic` people wear besides their wristbands is a source too, and then this is a demo. `other_workers` are
    the other workers of the same server.

    Raises:
        StopError: the store cannot be opened.
    """
    other_workers = other_workers or OtherWorkers()
    with contextlib.ExitStack() as closing:
        closing.enter_context(tracing.started(settings.traces_url))
        stored = _stored(settings, closing)
        ingestor, streams = _writing(settings, stored, closing)
        series = _reading(settings, stored.store, closing)
        retention = Retention(stored.store, settings.retention_days, now_us)
        closing.callback(retention.close)
        rules = reading_rules(settings, stored.erased_users, retention, now_us)
        access = _access(settings, stored, closing)
        events = _telling(settings, stored, access, closing, now_us)
        syncing = build_sources(
            settings,
            stored.folder,
            closing,
            store=stored.store,
            ingestor=ingestor,
            rules=rules,
            synthetic=synthetic,
            now_us=now_us,
            told=events.connection_failed,
        )
        decoders = _decoding(settings)
        imports = _importing(settings, stored, ingestor, rules, decoders, closing, events.import_finished)
        traces = SharedTraces(access.state, events.file, imports, other_workers)
        erasures = _erasing(stored, ingestor, syncing.connections, traces, other_workers, now_us)
        closing.callback(erasures.close)
        services = Components(
            store=stored.store,
            ingestor=ingestor,
            rules=rules,
            series=series,
            imports=imports,
            push_origin=ingestor.register_origin("push", "http"),
            options=border_options(settings),
            connections=syncing.connections,
            sync=syncing.sync,
            access=access,
            streams=streams,
            erasures=erasures,
            retention=retention,
            decoders=decoders,
            shares=caller_shares(settings),
            newcomers=_newcomers(settings),
            webhooks=events.webhooks,
            signals=Signals(events.courier.signals, events.courier, now_us),
            embedded=stored.capabilities.embedded,
            other_workers=other_workers,
            line_mappings=line_mappings(settings),
            is_demo=bool(synthetic),
        )
        events.courier.start()
        closing.callback(services.give_up)
        yield BuiltServer(settings, stored.store, ingestor, services, create_app(services))


def _decoding(settings: Settings) -> Decoders:
    limits = DecoderLimits(
        settings.decoder_processes, settings.decoder_memory_bytes, processor=processor_limit(settings)
    )
    return Decoders(limits)


def _newcomers(settings: Settings) -> NewcomerShares:
    limits = NewcomerLimits(settings.new_people_per_day, settings.caller_share, settings.new_people_per_request)
    return NewcomerShares(limits)


def _erasing(  # noqa: PLR0917 the parts that hold something of a person
    stored: _Stored,
    ingestor: Ingestor,
    connections: Connections,
    traces: SharedTraces,
    other_workers: OtherWorkers,
    now_us: Callable[[], int],
) -> Erasures:
    return Erasures(
        stored.store,
        ingestor,
        connections,
        marks=stored.marks,
        erased_users=stored.erased_users,
        traces=traces,
        locks=stored.locks,
        tell=partial(other_workers.ask, "marks"),
        now_us=now_us,
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """The store, and what is kept beside it."""

    store: Store
    capabilities: Capabilities
    folder: Path
    locks: FolderLocks
    marks: ErasureMarks
    erased_users: ErasedUsers


def _stored(settings: Settings, closing: contextlib.ExitStack) -> _Stored:
    opened = _opened(settings)
    closing.callback(opened.close)
    capabilities = opened.capabilities()
    folder = state_folder(settings, closing)
    marks = _marks(settings, capabilities, folder)
    erased_users = ErasedUsers(marks.key, marks.log.marks())
    store = ErasedUsersStore(opened, erased_users, settings.slow_query_ms)
    return _Stored(store, capabilities, folder, FolderLocks(folder / "locks"), marks, erased_users)


def _opened(settings: Settings, url: str | None = None) -> Store:
    try:
        named = url or settings.store_url
        beside = cluster_choice(settings, named)
        return open_store(named, duckdb_options(settings), timescale_options(settings), beside)
    except OSError as error:  # a folder that cannot be made, a file that cannot be read
        where = f" {error.filename}:" if error.filename else ""
        raise StopError(f"the store cannot be opened:{where} {error.strerror}") from error


def _marks(settings: Settings, capabilities: Capabilities, folder: Path) -> ErasureMarks:
    """Where erasures are noted: in the store if it keeps a log of them, else in a file beside it."""
    opens = capabilities.erasure_log
    log = SqliteErasureLog(folder / "erasures.sqlite") if opens is None else opens()
    if settings.erasure_key is not None:
        return ErasureMarks(log, read_key(settings.erasure_key.get_secret_value(), "PULSEBASE_ERASURE_KEY"))
    return ErasureMarks(log, log.key() or key_in(folder / "erasure.key"))


def _writing(settings: Settings, stored: _Stored, closing: contextlib.ExitStack) -> tuple[Ingestor, Subscriptions]:
    """The write path, and who listens to it.

    Where this process alone writes, it knows every commit; else it has to ask the store for the others' as well.
    """
    store, writes_alone = stored.store, stored.capabilities.writes_alone
    limits = IngestLimits(settings.queue_readings, settings.commit_readings, settings.devices_per_person)
    commit_log = CommitLog(settings.stream_readings)
    ingestor = Ingestor(
        store,
        limits,
        commit_log if writes_alone else None,
        stored.erased_users,
        store.unknown_users,
        devices_of=lambda user_id: [device.device_id for device in store.devices(user_id)],
    )
    closing.callback(ingestor.close)
    follower = None if writes_alone else closing.enter_context(contextlib.closing(StoreFollower(store, commit_log)))
    return ingestor, Subscriptions(commit_log, store, StreamLimits(settings.stream_heartbeat_s), follower)


def _reading(settings: Settings, store: Store, closing: contextlib.ExitStack) -> SeriesService:
    series = SeriesService(store, QueryLimits(settings.max_rows, settings.max_people, settings.query_timeout_s))
    closing.callback(series.close)
    return series


def _importing(  # noqa: PLR0917 a part each
    settings: Settings,
    stored: _Stored,
    ingestor: Ingestor,
    rules: ReadingRules,
    decoders: Decoders,
    closing: contextlib.ExitStack,
    told: Callable[[ImportReport], object],
) -> ImportJobs:
    imports = ImportJobs(
        ingestor,
        stored.store,
        rules,
        changing=partial(stored.locks.held, "people"),
        running=running_imports(stored.folder),
        limit_bytes=settings.import_limit_bytes,
        importing=decoders.importing,
        most_running=max(1, settings.decoder_processes - 1),  # one is left for bodies in Parquet
        told=told,
    )
    closing.callback(imports.close)
    return imports


def _access(settings: Settings, stored: _Stored, closing: contextlib.ExitStack) -> Access:
    def known(user_id: str) -> bool:
        return not stored.erased_users.holds(user_id) and stored.store.knows(user_id)

    state, limits = AccessFile(access_file(stored.folder)), request_limits(settings)
    access = Access(state, limits, settings.audit_days, known, wall_clock_us, enforced=access_is_on(settings))
    closing.callback(access.close)
    return access


@dataclass(frozen=True, slots=True)
class _Events:
    """Webhooks, what is kept of them, and who tells them."""

    file: EventFile
    courier: Courier
    webhooks: Webhooks
    access: Access

    def import_finished(self, report: ImportReport) -> None:
        """Tell of an import that ended."""
        stored = report.read, report.written, report.unchanged, report.rejected
        counts = ImportCounts(report.file_count, *stored, report.people)
        key = self.access.state.key_of_import(report.number)
        self.webhooks.announce(import_finished(report.number, report.status, counts, key))

    def connection_failed(self, connection: Connection) -> None:
        """Tell of a connection that fails."""
        data = {"source": connection.source, "needs_person": connection.needs_person, "failures": connection.failures}
        self.webhooks.announce(Event("connection.failed", connection.user_id, data))


def _telling(
    settings: Settings, stored: _Stored, access: Access, closing: contextlib.ExitStack, now_us: Callable[[], int]
) -> _Events:
    try:
        private = networks_of(settings.webhook_private_networks)
    except ValueError as error:
        raise SettingsError(f"PULSEBASE_WEBHOOK_PRIVATE_NETWORKS: {error}") from None

    def reach_of(key: int) -> Reach | None:
        found = access.people_of(key)
        return None if found is None else Reach(*found)

    seal = Seal(key_in(stored.folder / "webhook.key"))
    file = EventFile(stored.folder / "events.sqlite", seal, stored.erased_users.holds, settings.webhook_queue)
    closing.callback(file.close)
    around = Surroundings(stored.store, stored.capabilities.commit_notes, stored.locks, reach_of, now_us)
    courier = Courier(file, Sender(private, settings.webhook_timeout_s), around)
    closing.callback(courier.close)
    return _Events(file, courier, Webhooks(file, courier, private, reach_of, now_us), access)


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
    """Everybody's connections, brought when they are due, and what the MQTT broker of the settings sends meanwhile.

    Raises:
        SettingsError: the settings of the broker are wrong.
    """
    with (
        _subscribed(parts),
        Scheduler(parts.services.sync, CronSchedule(parts.settings.ingest_schedule)) as scheduler,
    ):
        yield scheduler


@contextlib.contextmanager
def _subscribed(parts: BuiltServer) -> Iterator[None]:
    """Messages of the MQTT broker are stored during the block, if the settings name one."""
    url, services = parts.settings.mqtt_url, parts.services
    if url is None:
        yield
        return
    from pulsebase.etl.mqtt_subscriber import MqttSubscriber
    from pulsebase.etl.transform.mqtt_messages import topic_rules

    try:
        topics = topic_rules(parts.settings.mqtt_topics)
    except ValueError as error:
        raise SettingsError(f"PULSEBASE_MQTT_TOPICS: {error}") from None
    with MqttSubscriber(
        broker_options(parts.settings, url),
        topics,
        parts.ingestor,
        services.rules,
        lambda: services.newcomers.of(Caller(BROKER)),
        note=partial(_note_messages, services.access) if services.access.enforced else _note_nothing,
    ):
        yield


def _note_messages(access: Access, people: Sequence[str], status: int) -> None:
    """Note in the audit that each of these people was the subject of a message with this outcome."""
    for person in people or [""]:
        caller = Caller(BROKER)
        caller.asked |= {person} if person else set()
        access.audit.note(caller, "PUBLISH", "mqtt", status)


def _note_nothing(people: Sequence[str], status: int) -> None:
    del people, status


@contextlib.contextmanager
def both_stores(settings: Settings, source_url: str, target_url: str) -> Iterator[tuple[Store, Store]]:
    """Two different stores, opened with the same settings; what is only in memory is none to copy.

    Raises:
        StopError: one of them cannot be opened, is in memory, or is the other one.
    """
    for url in (source_url, target_url):
        if not parse_store_url(url).is_kept:
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
    """See `open.set_up_store`, of the store that the settings name."""
    beside = cluster_choice(settings, settings.store_url)
    return set_up_store(settings.store_url, settings.compress_after_days, role_passwords(settings), beside)


def excess_of_store(settings: Settings) -> str | None:
    """See `open.excess_rights_of`, of the store that the settings name."""
    return excess_rights_of(settings.store_url)
