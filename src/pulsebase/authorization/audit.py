"""The audit, as the caller of a request may read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pulsebase.access.access_file import AuditEntry, AuditFilter
from pulsebase.access.audit import AuditTrail
from pulsebase.access.caller import caller
from pulsebase.worker_rpc import OtherWorkers

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class AuthorizedAudit:
    """The trail of what was done to people in the caller's reach."""

    audit: AuditTrail
    other_workers: OtherWorkers

    def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """See `AuditTrail.entries`. What other workers have noted is included."""
        asking = caller()
        self.other_workers.ask("flush")
        if wanted.user_id is not None:
            return self.audit.entries(wanted) if asking.reaches(wanted.user_id) else ()
        return self.audit.entries(replace(wanted, people=asking.ask_everybody()))

    def about(self, user_id: str) -> Iterator[AuditEntry]:
        """Every entry about one person, the newest first, a page at a time."""
        wanted = AuditFilter(user_id, limit=_PAGE)
        while found := self.entries(wanted):
            yield from found
            wanted = replace(wanted, before=found[-1].number)
