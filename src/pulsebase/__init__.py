"""Pulsebase: a self-hosted platform for vital signs.

In programs and notebooks:

    from pulsebase import connect, open_store

    with open_store("pulse.duckdb") as library:       # a store on this machine
        library.series("ann", "2024-01-15", "2024-01-21").to_polars()

    with connect("https://pulse.example.org", key) as library:   # one on a server
        library.cohort("2024-01-01", "2024-01-31", min_avg=70).to_pandas()

Both give a `Library`, which has the same methods and answers: `people`, `metrics`, `series`, `readings`, `cohort`,
`top_hours`, `hrv`, `resting_heart_rate`, `write`, `put_person`, `import_file`, `export`.
`help(pulsebase.Library)` tells what each takes and gives.

What is here is loaded on first use, so that `import pulsebase` alone stays quick.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulsebase.library.answers import Answer, Imported, Written
    from pulsebase.library.client import Library
    from pulsebase.library.opening import connect, open_store
    from pulsebase.query.cohorts import query_top, query_users

    __version__: str

#: Where each name is from.
_HOMES = {
    "Answer": "pulsebase.library.answers",
    "Imported": "pulsebase.library.answers",
    "Library": "pulsebase.library.client",
    "Written": "pulsebase.library.answers",
    "connect": "pulsebase.library.opening",
    "open_store": "pulsebase.library.opening",
    "query_top": "pulsebase.query.cohorts",
    "query_users": "pulsebase.query.cohorts",
}

__all__ = [
    "Answer",
    "Imported",
    "Library",
    "Written",
    "__version__",
    "connect",
    "open_store",
    "query_top",
    "query_users",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pulsebase")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "Any"})
