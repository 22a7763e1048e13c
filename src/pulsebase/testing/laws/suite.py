"""The conformance suite: what `stores/contract.py` promises, as tests. Every backend passes these files unchanged.

A backend's test file says `class TestMine(StoreLaws, harness=MyHarness)` and nothing else of the suite: a subclass
that redefines anything of `StoreLaws` is refused when it is made.
"""

from __future__ import annotations

from collections.abc import Callable

from pulsebase.testing.harness import Harness
from pulsebase.testing.laws.answers import AnswerLaws
from pulsebase.testing.laws.buckets import BucketLaws
from pulsebase.testing.laws.devices import DeviceLaws
from pulsebase.testing.laws.exports import ExportLaws
from pulsebase.testing.laws.identity import IdentityLaws
from pulsebase.testing.laws.late import LateDataLaws
from pulsebase.testing.laws.metrics import MetricLaws
from pulsebase.testing.laws.notes import NoteLaws
from pulsebase.testing.laws.origins import OriginLaws
from pulsebase.testing.laws.people import PeopleLaws
from pulsebase.testing.laws.removal import RemovalLaws
from pulsebase.testing.laws.retention import RetentionLaws
from pulsebase.testing.laws.time import TimeLaws
from pulsebase.testing.laws.totals import TotalsLaws


class StoreLaws(
    IdentityLaws,
    LateDataLaws,
    TimeLaws,
    BucketLaws,
    DeviceLaws,
    MetricLaws,
    TotalsLaws,
    AnswerLaws,
    PeopleLaws,
    RemovalLaws,
    RetentionLaws,
    OriginLaws,
    ExportLaws,
    NoteLaws,
):
    """The laws. `harness` makes an empty store; each test gets its own."""

    def __init_subclass__(cls, *, harness: Callable[[], Harness]) -> None:
        """Refuse a subclass, or a mixin before the suite in its bases, that changes or silences a law."""
        super().__init_subclass__()
        for base in cls.__mro__[: cls.__mro__.index(StoreLaws)]:
            changed = sorted(name for name in vars(base) if _is_of_the_suite(name))
            if changed:
                raise TypeError(f"{base.__name__} changes the conformance suite: {', '.join(changed)}")
        cls.make_harness = staticmethod(harness)  # type: ignore[method-assign]


def _is_of_the_suite(name: str) -> bool:
    if name in {"pytestmark", "__test__"}:
        return True
    is_known = any(name in vars(base) for base in StoreLaws.__mro__[:-1])
    return is_known and not name.startswith("__") and name != "make_harness"
