"""Pulsebase: a self-hosted platform for heart-rate time series.

For programs and notebooks: `open_store(url)` gives a `Library` with `query_users` and `query_top`; both are also
functions of any store. They are loaded on first use, so that `import pulsebase` alone stays quick; so is what looks
the version up.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulsebase.library import Library, open_store, query_top, query_users

    __version__: str

__all__ = ["Library", "__version__", "open_store", "query_top", "query_users"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version("pulsebase")
    from pulsebase import library

    return getattr(library, name)
