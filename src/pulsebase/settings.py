"""Every setting, in one class. `docs/reference/settings.md` is checked against it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from pulsebase.model.metrics import HEART_RATE


def _default_store_url() -> str:
    return f"duckdb:///{Path(platformdirs.user_data_dir('pulsebase')) / 'pulsebase.duckdb'}"


def _default_demo_store_url() -> str:
    return f"duckdb:///{Path(platformdirs.user_data_dir('pulsebase')) / 'demo' / 'demo.duckdb'}"


def _from_specification(name: str, default: Any, **rules: Any) -> Any:
    """A setting that is also read under its plain name, as the specification of the ingestion service has it."""
    return Field(default, validation_alias=AliasChoices(f"PULSEBASE_{name}", name), **rules)


class Settings(BaseSettings):
    """Read from the environment (`PULSEBASE_…`) and from `.env` in the working directory; the environment wins."""

    model_config = SettingsConfigDict(
        env_prefix="PULSEBASE_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    store_url: str = Field(
        default_factory=_default_store_url,
        description="Where readings are kept: a path such as `pulse.duckdb`, `duckdb:////absolute.duckdb`, "
        "`postgresql://user:password@host:5432/database` or `memory://`. By default a file in the user's data folder.",
        repr=False,  # it may hold a password
    )
    clickhouse_url: str | None = Field(
        None,
        description="The ClickHouse cluster that keeps the readings, where `PULSEBASE_STORE_URL` names the PostgreSQL "
        "database of people and commits: `clickhouse[s]://user:password@host:port,host:port/database?cluster=name`, "
        "with a server of each shard.",
        repr=False,  # it may hold a password
    )
    clickhouse_sql_url: str | None = Field(
        None,
        description="The same PostgreSQL database as the servers of the cluster reach it, by a user who may do nothing "
        "but read names: `postgresql://user:password@host:5432/database`. With it `pulsebase db init` makes views for "
        "people's own SQL in the cluster.",
        repr=False,  # it may hold a password
    )
    host: str = Field("127.0.0.1", description="The address the server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port the server listens on; 0 picks a free one.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes of `pulsebase serve` that answer on the port. More than one need a server store.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="More names the server answers to on loopback, besides `localhost` and loopback addresses: a JSON "
        'list such as `["pulse.home.arpa"]`.',
    )
    access: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether a key is needed. `auto`: unless the server listens on loopback, with neither "
        "`PULSEBASE_ALLOWED_HOSTS` nor `PULSEBASE_PUBLIC_URL` set.",
    )
    open_to_everybody: bool = Field(
        False, description="Says that access may be off on an address that others reach; without it that is refused."
    )
    key_requests_per_s: float = Field(
        200, gt=0, le=1e6, description="Requests a second that a key may send; ten times as many at once."
    )
    address_requests_per_s: float = Field(
        400, gt=0, le=1e6, description="Requests a second that an address may send; ten times as many at once."
    )
    wrong_keys_per_min: float = Field(
        30, gt=0, le=1e6, description="Requests a minute with a wrong key that an address may send."
    )
    aggregate_questions_per_day: int = Field(
        200, ge=1, le=1_000_000, description="Questions a day, of UTC, that a key with the scope `aggregate` may ask."
    )
    audit_days: int = Field(90, ge=1, le=36_500, description="How long the trail of reads and changes is kept, days.")
    cors_origins: tuple[str, ...] = Field(
        (), description='Other origins whose pages may ask, with a key, such as `["https://health.example.org"]`.'
    )
    behind_tls: bool = Field(
        False, description="Browsers reach the server by https alone, and are told to keep to that (HSTS)."
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1",),
        description="Addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    )
    header_timeout_s: float = Field(
        10, gt=0, le=3600, description="How long a request's headers may take, seconds; a connection without any, too."
    )
    body_timeout_s: float = Field(
        30, gt=0, le=3600, description="How long the server waits for a body in all, and a second more for each KiB."
    )
    answer_timeout_s: float = Field(
        60, gt=0, le=3600, description="How long a client may take nothing of its answer, seconds."
    )
    max_connections: int = Field(800, ge=1, le=100_000, description="Most connections at once.")
    address_connections: int = Field(200, ge=1, le=100_000, description="Most connections of one address at once.")
    min_heart_rate: float = Field(HEART_RATE.low, ge=1, le=300, description="Lowest accepted reading, bpm.")
    max_heart_rate: float = Field(HEART_RATE.high, ge=1, le=300, description="Highest accepted reading, bpm.")
    metric_bounds: str | None = Field(
        None,
        description="Lowest and highest accepted values of other metrics than heart rate, where they differ from "
        "the defaults: `oxygen_saturation=60:100, body_temperature=34:42`.",
    )
    influx_mappings: Path | None = Field(
        None,
        description="A TOML file that says what the lines mean that programs write to databases of InfluxDB. Without "
        "it there are the presets.",
    )
    mqtt_url: str | None = Field(
        None,
        description="An MQTT broker whose messages are stored: `mqtt://host:1883`, or `mqtts://host:8883` for TLS; "
        "with `user@` before the host. By default none.",
        repr=False,  # it may hold a password
    )
    mqtt_password: SecretStr | None = Field(None, description="Our password there.")
    mqtt_password_file: Path | None = Field(None, description="A file with that password.")
    mqtt_ca_file: Path | None = Field(
        None, description="Certificates (PEM) that vouch for the broker; by default those that the system trusts."
    )
    mqtt_cert_file: Path | None = Field(
        None, description="Our own certificate (PEM, with those that vouch for it), for brokers that ask for one."
    )
    mqtt_key_file: Path | None = Field(
        None, description="The private key of that certificate (PEM); by default it is in the same file."
    )
    mqtt_topics: str = Field(
        "pulse/{user}/{device}/{metric}, pulse/{user}/{device}",
        description="Topics, separated by commas, with `{user}`, `{device}` and `{metric}` as whole levels; `=metric` "
        "and `@user/device` may follow.",
    )
    mqtt_client_id: str = Field(
        "pulsebase", min_length=1, max_length=128, description="The name of the session that the broker keeps for us."
    )
    mqtt_status_topic: str = Field(
        "pulsebase/status", description="Where `online` or `offline` is published, retained; empty for nowhere."
    )
    future_tolerance_s: int = Field(
        600, ge=0, le=86_400, description="How far ahead of the server's clock a reading may lie, seconds."
    )
    body_limit_bytes: int = Field(
        16 << 20, ge=1024, le=1 << 32, description="Largest request body, as sent and as unpacked."
    )
    bulk_limit_bytes: int = Field(
        8 << 30,
        ge=1024,
        le=1 << 50,
        description="Largest body of the bulk route, which is never held whole, as unpacked.",
    )
    import_limit_bytes: int = Field(
        16 << 30,
        ge=1024,
        le=1 << 50,
        description="Largest import: an upload as sent, and what all files of one import come to as unpacked.",
    )
    body_processor_s: float = Field(
        10,
        gt=0,
        le=86_400,
        description="Processor time that reading a body, or a file to import, may take however small it is, seconds.",
    )
    body_processor_s_per_mib: float = Field(
        60,
        ge=0,
        le=86_400,
        description="Processor time that it may take beyond that for each MiB of it, as sent, seconds.",
    )
    decoder_processes: int = Field(
        2, ge=1, le=64, description="Processes that read Parquet bodies and imported files, at once."
    )
    decoder_memory_bytes: int = Field(
        768 << 20,
        ge=128 << 20,
        le=1 << 40,
        description="Memory of each of them, beyond what it takes to start.",
    )
    export_timeout_s: float = Field(
        21_600,
        gt=0,
        le=604_800,
        description="Longest time an export may take, seconds: meanwhile the store cannot let go of its log.",
    )
    caller_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="The part of each of the following that one key, or one address without a key, may hold at once.",
    )
    questions: int = Field(24, ge=1, le=32, description="Questions and changes that are worked on at once.")
    answer_rows: int = Field(
        2_000_000,
        ge=1,
        description="Rows of series that may be read or wait to be taken at once; at least those of one answer.",
    )
    body_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        le=1 << 50,
        description="Bytes of bodies that may be in memory at once, bulk ones and imports aside; at least those of one "
        "body. Up to 128 KiB that are not packed are not counted.",
    )
    uploads: int = Field(16, ge=1, le=1000, description="Bulk bodies and files to import that may come in at once.")
    spooled_bytes: int = Field(
        32 << 30,
        ge=1 << 20,
        le=1 << 50,
        description="Bytes of uploads that may lie in the temporary folder at once.",
    )
    exports: int = Field(8, ge=1, le=1000, description="Exports of a person that may run at once.")
    new_people_per_day: int = Field(
        100_000,
        ge=1,
        le=2_000_000_000,
        description="People whom nobody knew before that all callers may bring at once, and as many again in a day; a "
        "caller has a share of them.",
    )
    new_people_per_request: int = Field(
        10_000, ge=1, le=2_000_000_000, description="Most people whom nobody knew before in one request or import."
    )
    devices_per_person: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Most devices of a person; readings of further ones are refused.",
    )
    queue_readings: int = Field(
        1_000_000,
        ge=1,
        description="Readings that may wait for a commit; beyond that requests get 503 and Retry-After.",
    )
    commit_readings: int = Field(500_000, ge=1, description="Most readings in one group commit.")
    max_rows: int = Field(1_000_000, ge=1, description="Most rows of one answer.")
    max_people: int = Field(100, ge=1, le=100, description="Most people in one answer.")
    query_timeout_s: float = Field(30, gt=0, le=3600, description="Longest time one query may take, seconds.")
    slow_query_ms: float = Field(
        1000, ge=0, le=3_600_000, description="A question to the store that takes so long is logged; 0 logs none."
    )
    stream_subscribers: int = Field(
        100, ge=0, le=10_000, description="Streams of new readings that may be open at once; beyond that 503."
    )
    stream_readings: int = Field(
        200_000,
        ge=1,
        description="The newest readings that are kept for streams: who is further behind is dropped.",
    )
    stream_heartbeat_s: float = Field(
        15.0, gt=0, le=3600, description="How often a stream without news says that it is still there, seconds."
    )
    webhook_private_networks: tuple[str, ...] = Field(
        (),
        description="Networks besides public addresses that webhooks may be sent to, also by http: a JSON list such as "
        '`["10.1.2.0/24"]`. Without it, loopback, private and link-local addresses are refused.',
    )
    webhook_timeout_s: float = Field(
        15, gt=0, le=120, description="How long a receiver of a webhook may take to answer, seconds."
    )
    webhook_queue: int = Field(
        100_000, ge=1, le=10_000_000, description="Most events that wait for one webhook; further ones are given up."
    )
    memory_limit: str = Field(
        "1GiB", pattern=r"^\d+(\.\d+)?\s*(KiB|MiB|GiB|TiB|KB|MB|GB|TB)$", description="Memory of the storage engine."
    )
    engine_threads: int = Field(2, ge=1, le=1024, description="Threads of the storage engine.")
    merge_readings: int = Field(
        2_000_000, ge=1, description="New readings that start a merge into the ordered ones at once."
    )
    merge_interval_s: float = Field(
        20, gt=0, le=3600, description="Longest time new readings wait for a merge, seconds."
    )
    pool_size: int = Field(4, ge=1, le=1000, description="Connections to the database server that are kept open.")
    max_overflow: int = Field(16, ge=0, le=1000, description="Further connections that may be opened for a while.")
    pool_timeout_s: float = Field(
        10, gt=0, le=3600, description="Longest time a request waits for a connection, seconds."
    )
    pool_recycle_s: float = Field(3600, gt=0, description="Age at which a connection is replaced, seconds.")
    compress_after_days: int = Field(
        30,
        ge=0,
        le=36_500,
        description="Age from which `pulsebase db init` has the database server compress readings, days; 0 for never.",
    )
    api_password: SecretStr | None = Field(
        None,
        description="The password that `pulsebase db init` gives the role `pulsebase_api`, which it makes if there is "
        "none.",
    )
    api_password_file: Path | None = Field(None, description="A file with that password.")
    exporter_password: SecretStr | None = Field(None, description="The same of the role `pulsebase_exporter`.")
    exporter_password_file: Path | None = Field(None, description="A file with that password.")
    state_folder: Path | None = Field(
        None,
        validation_alias=AliasChoices("PULSEBASE_STATE_FOLDER", "PULSEBASE_SOURCES_FOLDER"),
        description="Where keys, the trail, connections, tokens, checkpoints and records of runs are kept; by default "
        "beside the store, in the user's data folder for a server store, in memory with `memory://`.",
    )
    token_key: SecretStr | None = Field(
        None, description="The key that seals tokens: 32 bytes in URL-safe Base64. By default a file made beside them."
    )
    retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="How many UTC days raw readings are kept before today; 0 for ever. What they came to by quarter "
        "hour, hour and day stays.",
    )
    erasure_key: SecretStr | None = Field(
        None,
        description="The key under which erased people are noted: 32 bytes in URL-safe Base64. By default made beside "
        "the notes.",
    )
    public_url: str | None = Field(
        None,
        description="The address people's browsers reach the server at, for coming back from a source's consent page. "
        "By default the one they used.",
    )
    fitbit_url: str = Field(
        "http://127.0.0.1:8100",
        description="Where the Fitbit-shaped service is. The default is where `pulsebase fitbit-sim` listens.",
    )
    fitbit_client_id: str = Field("pulsebase", min_length=1, description="Who we are to it.")
    fitbit_client_secret: SecretStr | None = Field(None, description="Our secret there, if it gave one.")
    google_url: str = Field("https://health.googleapis.com", description="Where the Google Health API is.")
    google_auth_url: str = Field(
        "https://accounts.google.com/o/oauth2/v2/auth", description="Where people consent to it."
    )
    google_token_url: str = Field(
        "https://oauth2.googleapis.com/token", description="Where it gives tokens; revocation is beside it."
    )
    google_client_id: str | None = Field(None, description="Who we are to it; without this it is not offered.")
    google_client_secret: SecretStr | None = Field(None, description="Our secret there.")
    oura_url: str = Field("https://api.ouraring.com", description="Where the Oura API is, and gives tokens.")
    oura_auth_url: str = Field("https://cloud.ouraring.com/oauth/authorize", description="Where people consent to it.")
    oura_client_id: str | None = Field(None, description="Who we are to it; without this it is not offered.")
    oura_client_secret: SecretStr | None = Field(None, description="Our secret there.")
    polar_url: str = Field("https://www.polaraccesslink.com", description="Where the Polar AccessLink API is.")
    polar_auth_url: str = Field(
        "https://flow.polar.com/oauth2/authorization", description="Where people consent to it."
    )
    polar_token_url: str = Field("https://polarremote.com/v2/oauth2/token", description="Where it gives tokens.")
    polar_client_id: str | None = Field(None, description="Who we are to it; without this it is not offered.")
    polar_client_secret: SecretStr | None = Field(None, description="Our secret there.")
    withings_url: str = Field("https://wbsapi.withings.net", description="Where the Withings API is, and gives tokens.")
    withings_auth_url: str = Field(
        "https://account.withings.com/oauth2_user/authorize2", description="Where people consent to it."
    )
    withings_client_id: str | None = Field(
        None, description="Who we are to it; without this and a secret it is not offered."
    )
    withings_client_secret: SecretStr | None = Field(None, description="Our secret there.")
    ingest_schedule: str = Field(
        "0 2 * * *", description="When each connection is brought: a cron expression in the person's time zone."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="The port on which `pulsebase sync` answers `/health` and `/metrics`; 0 picks a free one. By "
        "default none.",
    )
    ingest_in_server: bool = Field(True, description="Whether `pulsebase serve` keeps the schedule.")
    lookback_s: int = Field(
        86_400,
        ge=0,
        le=30 * 86_400,
        description="How far behind the last stored reading a run asks again, for what synced late, seconds.",
    )
    user_id: str | None = _from_specification("USER_ID", None, description="Only this person is brought.")
    data_seed: int | None = _from_specification(
        "DATA_SEED",
        None,
        ge=0,
        description="Makes that person a synthetic one of this seed, behind a simulated service.",
    )
    data_sets: str | None = Field(
        None, description="Which data sets are brought, separated by commas; by default all that a source has."
    )
    start_date: date | None = _from_specification(
        "START_DATE", None, description="The first day brought, in the person's zone; by default 365 days back."
    )
    end_date: date | None = _from_specification(
        "END_DATE", None, description="The last day brought, included; by default up to now."
    )
    batch_size: int = _from_specification(
        "BATCH_SIZE", 100_000, ge=1, le=10_000_000, description="Rows that are gathered before they are stored."
    )
    upsert_mode: bool = _from_specification(
        "UPSERT_MODE", True, description="Whether what is stored already is replaced by what a source says of it now."
    )
    delta_mode: bool = _from_specification(
        "DELTA_MODE", True, description="Whether a run goes on from the last one; otherwise it reads everything again."
    )
    demo_days: int = Field(365, ge=1, le=3650, description="How far back `pulsebase demo` makes up readings, days.")
    demo_store_url: str = Field(
        default_factory=_default_demo_store_url,
        description="Where `pulsebase demo` keeps its people, so that they never stand among others. By default a "
        "file in a folder of its own in the user's data folder.",
        repr=False,  # it may hold a password
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="How log lines are written: for people, or each as a JSON object."
    )
    traces_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Where OpenTelemetry spans are sent, by OTLP over HTTP; needs the extra `otel`. By default none "
        "are recorded.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log lines shown.")
