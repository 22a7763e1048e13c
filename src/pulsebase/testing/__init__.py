"""A test kit for those who write a store: the laws, and a state machine that compares any store with the memory store.

    from pulsebase.testing import Harness, StoreLaws, machine_of

    class TestMyStore(StoreLaws, harness=MyHarness): ...
    TestMyMachine = machine_of(MyHarness)

It needs pytest and hypothesis, which Pulsebase itself does not.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulsebase.testing.harness import GivenReading, Harness, Kept, StoredRow
    from pulsebase.testing.laws.suite import StoreLaws
    from pulsebase.testing.machine import machine_of

__all__ = ["GivenReading", "Harness", "Kept", "StoreLaws", "StoredRow", "machine_of"]

_missing = [name for name in ("pytest", "hypothesis") if find_spec(name) is None]
if _missing:
    raise ImportError(f"pulsebase.testing needs {' and '.join(_missing)}: pip install {' '.join(_missing)}")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # Registered before they are imported, so that pytest shows the values in failed assertions.
    pytest.register_assert_rewrite("pulsebase.testing.laws", "pulsebase.testing.machine")
    from pulsebase.testing import harness, machine
    from pulsebase.testing.laws import suite

    homes = (harness, suite, machine)
    return next(getattr(home, name) for home in homes if hasattr(home, name))
