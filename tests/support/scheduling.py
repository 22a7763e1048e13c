"""Which process runs which tests, also once a process has died."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xdist.scheduler import LoadScopeScheduling


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Groups first, the largest before the others, then every test by itself.

    pytest-xdist's own groups are marks, which it writes into a name that pytest no longer reads. And when a process
    dies, it gives the test that died with it to the next process, and that one too few tests to begin with: at the end
    of a run both wait for each other for good.
    """

    def __init__(self, group_of: Callable[[str], str], config: Any, log: Any) -> None:
        super().__init__(config, log)
        self._group_of = group_of

    def _split_scope(self, nodeid: str) -> str:
        return self._group_of(nodeid)

    def remove_node(self, node: Any) -> str | None:
        """Take a process out that has ended; the test it died in, if it did. What it had left, others begin with."""
        groups = self.assigned_work.pop(node)
        left = [(tests, test) for tests in groups.values() for test, completed in tests.items() if not completed]
        for tests, test in left[:1]:
            tests[test] = True
        for group, tests in reversed(groups.items()):
            if not all(tests.values()):
                self.workqueue[group] = tests
                self.workqueue.move_to_end(group, last=False)
        for other in self.nodes:
            self._reschedule(other)
        return left[0][1] if left else None

    def _reschedule(self, node: Any) -> None:
        """Give a process as many tests as it needs: it begins one when it knows the next."""
        super()._reschedule(node)
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)
