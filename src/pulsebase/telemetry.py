"""Every metric of the program, declared once. `docs/reference/metrics.md` is checked against this table.

No label carries an id of a person or a device: labels are route templates, kinds and reasons only.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_FAST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

HTTP_REQUESTS = Counter(
    "pulsebase_http_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
HTTP_REQUEST_SECONDS = Histogram(
    "pulsebase_http_request_seconds",
    "Time from a request's first byte to its answer's last.",
    ["method", "route"],
    buckets=_FAST_SECONDS,
    registry=REGISTRY,
)
ACCESS_FAILURES = Counter(
    "pulsebase_access_failures",
    "Requests refused for want of a right: no key, a wrong one, one without the scope.",
    ["reason"],
    registry=REGISTRY,
)
ACCESS_LIMITED = Counter(
    "pulsebase_access_limited",
    "Requests refused for being too many, by what there were too many of.",
    ["by"],
    registry=REGISTRY,
)
SHARES_REFUSED = Counter(
    "pulsebase_shares_refused",
    "Requests refused since their caller held its share of something (own), or all callers held all of it (all).",
    ["resource", "reason"],
    registry=REGISTRY,
)
ACCESS_TRAIL_LOST = Counter(
    "pulsebase_access_trail_lost",
    "Requests that the trail does not have, since it could not be written.",
    registry=REGISTRY,
)
CONNECTIONS_DROPPED = Counter(
    "pulsebase_http_connections_dropped", "Connections ended by the server, by reason.", ["reason"], registry=REGISTRY
)
DECODERS_ENDED = Counter(
    "pulsebase_decoders_ended", "Files whose decoding was ended, by reason.", ["reason"], registry=REGISTRY
)
INGEST_ACCEPTED = Counter(
    "pulsebase_ingest_readings_accepted", "Readings stored, durable.", ["source"], registry=REGISTRY
)
INGEST_REJECTED = Counter(
    "pulsebase_ingest_readings_rejected",
    "Readings refused, by the field at fault.",
    ["source", "field"],
    registry=REGISTRY,
)
LINES_PASSED_OVER = Counter(
    "pulsebase_ingest_lines_passed_over",
    "Lines of other programs in line protocol that are of no metric.",
    registry=REGISTRY,
)
MQTT_CONNECTED = Gauge(
    "pulsebase_mqtt_connected", "Whether the MQTT broker of the settings is connected.", registry=REGISTRY
)
MQTT_PASSED_OVER = Counter(
    "pulsebase_mqtt_messages_passed_over", "Messages of the MQTT broker that are of no metric.", registry=REGISTRY
)
MQTT_GIVEN_UP = Counter(
    "pulsebase_mqtt_readings_given_up",
    "Readings of the MQTT broker that could not be stored, while others could.",
    registry=REGISTRY,
)
INGEST_DELETED = Counter("pulsebase_ingest_readings_deleted", "Readings deleted on request.", registry=REGISTRY)
READINGS_EXPIRED = Counter(
    "pulsebase_readings_expired", "Raw readings that went since they were older than they are kept.", registry=REGISTRY
)
INGEST_QUEUE_READINGS = Gauge("pulsebase_ingest_queue_readings", "Readings that wait for a commit.", registry=REGISTRY)
INGEST_QUEUE_LIMIT_READINGS = Gauge(
    "pulsebase_ingest_queue_limit_readings", "Readings that may wait for a commit.", registry=REGISTRY
)
INGEST_QUEUE_FULL = Counter(
    "pulsebase_ingest_queue_full", "Requests refused because the write queue was full.", registry=REGISTRY
)
INGEST_ROOM_WAIT_SECONDS = Histogram(
    "pulsebase_ingest_room_wait_seconds",
    "How long writes waited for merges to make room: a block of a stream before it is queued, a commit.",
    ["write"],
    buckets=_FAST_SECONDS,
    registry=REGISTRY,
)
INGEST_ROOM_REFUSED = Counter(
    "pulsebase_ingest_room_refused",
    "Blocks and requests refused because merges did not make room in time.",
    ["write"],
    registry=REGISTRY,
)
INGEST_COMMIT_SECONDS = Histogram(
    "pulsebase_ingest_commit_seconds", "Time of one group commit.", buckets=_FAST_SECONDS, registry=REGISTRY
)
INGEST_COMMIT_READINGS = Histogram(
    "pulsebase_ingest_commit_readings",
    "Readings in one group commit.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    registry=REGISTRY,
)
INGEST_COMMIT_FAILURES = Counter(
    "pulsebase_ingest_commit_failures", "Group commits that failed; nothing of them was kept.", registry=REGISTRY
)
INGEST_LAST_COMMIT_TIMESTAMP_SECONDS = Gauge(
    "pulsebase_ingest_last_commit_timestamp_seconds",
    "When readings were last committed, seconds since 1970; 0 before the first.",
    registry=REGISTRY,
)
STREAM_SUBSCRIBERS = Gauge("pulsebase_stream_subscribers", "Streams of new readings that are open.", registry=REGISTRY)
STREAM_EVENTS = Counter(
    "pulsebase_stream_events", "Events sent on streams, by kind: hello, readings, dropped.", ["kind"], registry=REGISTRY
)
STREAM_DROPPED = Counter(
    "pulsebase_stream_dropped",
    "Streams ended because their clients were too slow: behind or stalled.",
    ["reason"],
    registry=REGISTRY,
)
WEBHOOK_DELIVERIES = Counter(
    "pulsebase_webhook_deliveries",
    "Events sent to webhooks, by outcome: delivered, failed (and sent again), dead (given up).",
    ["outcome"],
    registry=REGISTRY,
)
WEBHOOK_WAITING = Gauge("pulsebase_webhook_waiting", "Events that wait to be delivered to webhooks.", registry=REGISTRY)
WEBHOOK_DEAD = Gauge("pulsebase_webhook_dead", "Events that were given up and are still listed.", registry=REGISTRY)
WEBHOOK_OLDEST_SECONDS = Gauge(
    "pulsebase_webhook_oldest_seconds",
    "How long the oldest event that waits has waited; 0 for none.",
    registry=REGISTRY,
)
STORE_QUERY_SECONDS = Histogram(
    "pulsebase_store_query_seconds",
    "Time of one question to the store.",
    ["kind", "rung"],
    buckets=_FAST_SECONDS,
    registry=REGISTRY,
)
STORE_QUERY_FAILURES = Counter(
    "pulsebase_store_query_failures",
    "Questions to the store that failed, by error.",
    ["kind", "error"],
    registry=REGISTRY,
)
#: What `Store.statistics` tells, set whenever the metrics are read; not a number where a store does not tell it.
STORE_STATISTICS = {
    "readings": Gauge("pulsebase_store_readings", "Readings that are merged where they belong.", registry=REGISTRY),
    "unmerged_rows": Gauge("pulsebase_store_unmerged_readings", "Readings that wait for a merge.", registry=REGISTRY),
    "staged_rows": Gauge(
        "pulsebase_store_staged_readings", "Readings in memory that wait for a merge.", registry=REGISTRY
    ),
    "staged_limit_rows": Gauge(
        "pulsebase_store_staged_limit_readings",
        "Readings that may wait in memory for a merge; beyond that writes wait.",
        registry=REGISTRY,
    ),
    "merge_lag_seconds": Gauge(
        "pulsebase_store_merge_lag_seconds", "How long the oldest staged reading has waited.", registry=REGISTRY
    ),
    "refresh_lag_seconds": Gauge(
        "pulsebase_store_refresh_lag_seconds",
        "How long people's aggregates have waited to follow merges.",
        registry=REGISTRY,
    ),
    "damaged": Gauge(
        "pulsebase_store_damaged",
        "1 since a damage was met in the store's files, 0 while none was.",
        registry=REGISTRY,
    ),
    "size_bytes": Gauge("pulsebase_store_size_bytes", "Bytes of the store's files.", registry=REGISTRY),
    "merges": Gauge("pulsebase_store_merges", "Merges since the start.", registry=REGISTRY),
    "merge_failures": Gauge(
        "pulsebase_store_merge_failures", "Merges since the start that failed and were tried again.", registry=REGISTRY
    ),
    "merge_seconds": Gauge("pulsebase_store_merge_seconds", "Time spent in merges since the start.", registry=REGISTRY),
    "shards": Gauge("pulsebase_store_shards", "Shards of the cluster.", registry=REGISTRY),
    "reachable_shards": Gauge(
        "pulsebase_store_reachable_shards", "Shards of the cluster that answer this process.", registry=REGISTRY
    ),
    "stage_rows": Gauge("pulsebase_store_stage_rows", "Rows in the stages of all shards.", registry=REGISTRY),
    "most_parts": Gauge(
        "pulsebase_store_most_parts", "Parts of the partition of a shard's table that has most.", registry=REGISTRY
    ),
    "waiting_commits": Gauge("pulsebase_store_waiting_commits", "Commits that are not merged yet.", registry=REGISTRY),
    "commit_in_flight_seconds": Gauge(
        "pulsebase_store_commit_in_flight_seconds",
        "For how long the oldest commit in flight has been so.",
        registry=REGISTRY,
    ),
}
#: Those of them that tell of the whole store.
_OF_THE_STORE = (
    *("readings", "unmerged_rows", "refresh_lag_seconds", "size_bytes"),
    *("shards", "stage_rows", "most_parts", "waiting_commits", "commit_in_flight_seconds"),
)
#: A first sync of years takes hours where a source limits requests.
_LONG_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400)

ETL_RUN_SECONDS = Histogram(
    "pulsebase_etl_run_seconds",
    "Time of one run of the pipeline.",
    ["source", "data_set"],
    buckets=_LONG_SECONDS,
    registry=REGISTRY,
)
ETL_ROWS = Counter(
    "pulsebase_etl_rows",
    "Rows that runs read, and what became of them: written, unchanged, rejected.",
    ["source", "data_set", "result"],
    registry=REGISTRY,
)
#: Set whenever the metrics are read.
ETL_CONNECTIONS = Gauge(
    "pulsebase_etl_connections", "Connections to sources, by how they are.", ["source", "state"], registry=REGISTRY
)
ETL_FRESHNESS_SECONDS = Gauge(
    "pulsebase_etl_freshness_seconds",
    "Age of the last reading that a source brought, of the connection that lags most.",
    ["source"],
    registry=REGISTRY,
)
SOURCE_REQUESTS = Counter(
    "pulsebase_source_requests", "Questions sent to sources, by answer.", ["source", "outcome"], registry=REGISTRY
)
ETL_RUNS = Counter("pulsebase_etl_runs", "Runs of the pipeline.", ["source", "data_set", "outcome"], registry=REGISTRY)
#: Told of everything there is rather than by a process of itself: of several workers one is asked.
WHOLE = (
    *(STORE_STATISTICS[name] for name in _OF_THE_STORE),
    ETL_CONNECTIONS,
    ETL_FRESHNESS_SECONDS,
)


def declared() -> list[MetricWrapperBase]:
    """Every metric of this table."""
    ours = [metric for metric in globals().values() if isinstance(metric, MetricWrapperBase)]
    return ours + list(STORE_STATISTICS.values())
