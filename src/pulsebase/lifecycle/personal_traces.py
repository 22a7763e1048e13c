"""Everything outside of the store that mentions people, in every worker of a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pulsebase.access.access_file import AccessFile
from pulsebase.etl.import_jobs import ImportJobs
from pulsebase.events.event_file import EventFile
from pulsebase.model.users import User
from pulsebase.worker_rpc import OtherWorkers


@dataclass(frozen=True, slots=True)
class SharedTraces:
    """Keys, the audit and webhooks, which the workers share, and the reports of imports, which each worker has in
    memory.
    """

    access: AccessFile
    events: EventFile
    imports: ImportJobs
    other_workers: OtherWorkers

    def people(self) -> Iterable[str]:
        """See `erasures.PersonalTraces.people`. Reports of imports are left out: they end with the process."""
        return {*self.access.people(), *self.events.people()}

    def forget(self, person: User) -> None:
        """See `erasures.PersonalTraces.forget`."""
        self.access.forget(person)
        self.events.forget(person)
        self.imports.forget(person)
        self.other_workers.ask("forget", asdict(person))

    def scrub(self) -> None:
        """See `erasures.PersonalTraces.scrub`."""
        self.access.scrub()
        self.events.scrub()
