"""How tests are shared out among processes, and what they have in common in each."""

from __future__ import annotations

import gc
from typing import Any

from hypothesis import settings

from tests.support import ram_disk

#: Tests that share something dear (an engine, a browser, a measurement) run in one process, by the start of their file.
TOGETHER = {
    "benchmarks": ("tests/benchmarks/",),
    "documents": ("tests/test_docs.py::test_every", "tests/test_docs.py::test_a_document"),
    "page": ("tests/page/",),
    "clickhouse": ("tests/stores/test_clickhouse", "tests/api/test_clickhouse"),
    "timescale": (
        "tests/stores/test_postgres",
        "tests/stores/test_timescale",
        "tests/stores/test_transfer.py",
        "tests/api/test_same_answers.py",
        "tests/api/test_server_store.py",
        "tests/test_worker_rpc.py",
        "tests/cli/test_server_store.py",
        "tests/cli/test_workers.py",
        "tests/deploy/test_roles.py",
        "tests/etl/extract/test_sql_tables.py",
    ),
}
#: These share what one of their files set up.
TOGETHER_BY_FILE = (
    "tests/api/test_cancel.py",
    "tests/api/test_generated_clients.py",
    "tests/api/test_influx.py",
    "tests/api/test_influx_queries.py",
    "tests/assistants/",
    "tests/cli/",
    "tests/decoding/",
    "tests/deploy/test_compose.py",
    "tests/etl/test_clock_changes.py",
    "tests/etl/test_mqtt.py",
    "tests/faults/test_flipped.py",
    "tests/faults/test_refusals.py",
    "tests/influxql/",
    "tests/model/test_hrv.py",  # NeuroKit2 takes seconds to import
    "tests/sources/test_fixtures.py",
    "tests/stores/test_duckdb_check.py",
    "tests/stores/test_duckdb_damage.py",
    "tests/threats/",
)
#: Where single tests take longest, the longest first (`--durations=50` tells). What begins last decides how long one
#: process goes on alone, so these begin before all other tests that run by themselves.
SLOW = (
    "tests/faults/test_full_disk_routes.py",
    "tests/api/test_openapi.py",
    "tests/stores/test_duckdb.py",
    "tests/faults/test_origin_kill.py",
    "tests/faults/test_scrub_kill.py",
    "tests/stores/test_duckdb_compaction.py",
    "tests/faults/test_damaged_serving.py",
    "tests/faults/test_removal_kill.py",
    "tests/faults/test_people_kill.py",
    "tests/faults/test_journal_errors.py",
    "tests/api/test_numbers.py",
    "tests/test_docs.py",
    "tests/query/test_cohorts.py",
    "tests/faults/test_merge_kill.py",
)


# An example may take as long as a busy machine needs: tests judge no speed.
settings.register_profile("pulsebase", deadline=None)
settings.load_profile("pulsebase")


def pytest_configure(config: Any) -> None:
    if not hasattr(config, "workerinput"):
        ram_disk.use_if_there_is_room()


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    from tests.support.scheduling import GroupScheduling

    return GroupScheduling(group_of, config, log)


def group_of(nodeid: str) -> str:
    """What a test runs together with."""
    for store in ("timescale", "clickhouse"):
        if store in nodeid.partition("[")[2]:
            return store
    for group, starts in TOGETHER.items():
        if nodeid.startswith(starts):
            return group
    return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER_BY_FILE) else nodeid


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Where tests are shared out, slow ones come first; in a single process all stay in the order of their files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: slowness(item.nodeid))


def slowness(nodeid: str) -> int:
    """The place in the order; 0 begins first. What runs in a group keeps its place: groups begin before all others."""
    file = nodeid.partition("::")[0]
    return SLOW.index(file) if file in SLOW and group_of(nodeid) == nodeid else len(SLOW)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules and tests, which stay: looking at them took a tenth of the time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()
