"""What speaks of people beside the store, in every worker of a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pulsebase.access.state import AccessState
from pulsebase.api.siblings import Siblings
from pulsebase.etl.import_jobs import ImportJobs
from pulsebase.model.users import User


@dataclass(frozen=True, slots=True)
class Traces:
    """Keys and the trail, which workers share, and the courses of imports, which each has in its memory."""

    access: AccessState
    imports: ImportJobs
    siblings: Siblings

    def people(self) -> Iterable[str]:
        """See `erasures.Traces.people`. Courses of imports end with the process, and are told of each erasure."""
        return self.access.people()

    def forget(self, person: User) -> None:
        """See `erasures.Traces.forget`."""
        self.access.forget(person)
        self.imports.forget(person)
        self.siblings.ask("forget", asdict(person))

    def scrub(self) -> None:
        """See `erasures.Traces.scrub`."""
        self.access.scrub()
