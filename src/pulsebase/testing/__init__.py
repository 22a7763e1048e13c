"""A test kit for those who write a store: the laws, and a state machine that compares any store with the memory store.

    from pulsebase.testing import Harness, StoreLaws, machine_of

    class TestMyStore(StoreLaws, harness=MyHarness): ...
    TestMyMachine = machine_of(MyHarness)

It needs pytest and hypothesis, which Pulsebase itself does not.
"""

from importlib.util import find_spec

_NEEDED = ("pytest", "hypothesis")
_missing = [name for name in _NEEDED if find_spec(name) is None]
if _missing:
    raise ImportError(f"pulsebase.testing needs {' and '.join(_missing)}: pip install {' '.join(_missing)}")

import pytest  # noqa: E402 only once it is known to be there

# Before they are imported: so that what fails in them is shown with its values.
pytest.register_assert_rewrite("pulsebase.testing.laws", "pulsebase.testing.machine")

from pulsebase.testing.harness import GivenReading, Harness, Kept, StoredRow  # noqa: E402
from pulsebase.testing.laws import StoreLaws  # noqa: E402
from pulsebase.testing.machine import machine_of  # noqa: E402

__all__ = ["GivenReading", "Harness", "Kept", "StoreLaws", "StoredRow", "machine_of"]
