"""From settings to the options of the parts."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from pulsebase.access.service import RequestLimits
from pulsebase.access.shares import Shares, ShareSize
from pulsebase.api.border.connection_limits import ConnectionLimits
from pulsebase.api.components import BorderOptions
from pulsebase.etl.transform.line_mapping import PRESETS, LineMapping, mappings_in
from pulsebase.ingest import ReadingRules
from pulsebase.ingest.processor import ProcessorLimit
from pulsebase.lifecycle.retention import Retention
from pulsebase.model.errors import RejectedError, SettingsError
from pulsebase.model.metrics import bounds_in
from pulsebase.model.timerange import SECOND_US
from pulsebase.settings import Settings
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.duckdb.store import DuckdbOptions
from pulsebase.stores.erased_users import ErasedUsers
from pulsebase.stores.open import ClusterChoice, parse_store_url
from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.timescale.options import TimescaleOptions

#: How long a request waits for others to be done before it is refused, and how long for a decoder.
_WAIT_S, _DECODER_WAIT_S = 10, 20


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


def request_limits(settings: Settings) -> RequestLimits:
    """What a caller may ask in a time."""
    return RequestLimits(
        settings.key_requests_per_s,
        settings.address_requests_per_s,
        settings.wrong_keys_per_min,
        settings.aggregate_questions_per_day,
    )


def caller_shares(settings: Settings) -> Shares:
    """What all callers share, and how much of it each may have."""
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


def reading_rules(
    settings: Settings, erased_users: ErasedUsers, retention: Retention, now_us: Callable[[], int]
) -> ReadingRules:
    """Which readings may be stored."""
    return ReadingRules(
        settings.min_heart_rate,
        settings.max_heart_rate,
        settings.future_tolerance_s * SECOND_US,
        now_us,
        erased_users=erased_users,
        horizon_us=retention.horizon_us,
        bounds=bounds_in(settings.metric_bounds or ""),
    )


def line_mappings(settings: Settings) -> Mapping[str, LineMapping]:
    """What lines mean that programs write to databases of InfluxDB, by database.

    Raises:
        SettingsError: the file with them cannot be read, or is not as described.
    """
    if settings.influx_mappings is None:
        return PRESETS
    try:
        return mappings_in(tomllib.loads(settings.influx_mappings.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"PULSEBASE_INFLUX_MAPPINGS: {error.strerror}") from None
    except (RejectedError, ValueError) as error:  # it is not TOML, or not UTF-8
        raise SettingsError(f"PULSEBASE_INFLUX_MAPPINGS: {error}") from None


def border_options(settings: Settings) -> BorderOptions:
    """What the border lets in."""
    return BorderOptions(
        settings.body_limit_bytes,
        settings.bulk_limit_bytes,
        settings.import_limit_bytes,
        processor_limit(settings),
        settings.export_timeout_s,
        settings.allowed_hosts,
        check_host=is_loopback(settings.host),
        public_url=settings.public_url,
        cors_origins=settings.cors_origins,
        behind_tls=settings.behind_tls,
    )


def processor_limit(settings: Settings) -> ProcessorLimit:
    """What reading a body may take of the processor."""
    return ProcessorLimit(settings.body_processor_s, settings.body_processor_s_per_mib)


def duckdb_options(settings: Settings) -> DuckdbOptions:
    """How an embedded store is run."""
    return DuckdbOptions(
        memory_limit=settings.memory_limit,
        threads=settings.engine_threads,
        merge_readings=settings.merge_readings,
        merge_interval_s=settings.merge_interval_s,
    )


def timescale_options(settings: Settings) -> TimescaleOptions:
    """How a server store is run."""
    return TimescaleOptions(_pool(settings), merge_interval_s=settings.merge_interval_s)


def cluster_choice(settings: Settings, store_url: str) -> ClusterChoice | None:
    """The cluster beside a store. It belongs to the one that the settings name; another server store has none."""
    if settings.clickhouse_url is None or parse_store_url(store_url) != parse_store_url(settings.store_url):
        return None
    return ClusterChoice(settings.clickhouse_url, ClickHouseOptions(_pool(settings)), settings.clickhouse_sql_url)


def _pool(settings: Settings) -> PoolOptions:
    return PoolOptions(settings.pool_size, settings.max_overflow, settings.pool_timeout_s, settings.pool_recycle_s)
