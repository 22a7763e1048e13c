"""Imports, as the caller of a request may use them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import BinaryIO

import msgspec

from pulsebase.access.caller import Caller, caller
from pulsebase.access.newcomers import NewcomerShares
from pulsebase.access.service import Access
from pulsebase.access.shares import EVERYBODY, who_is
from pulsebase.etl.extract.parts import FileOwner
from pulsebase.etl.import_jobs import ImportJobs, ImportReport, Turn
from pulsebase.worker_rpc import OtherWorkers


class AuthorizedImports:
    """Imports of readings of people in the caller's reach; with a key for some people, those of that key alone."""

    def __init__(
        self, inner: ImportJobs, access: Access, other_workers: OtherWorkers, newcomers: NewcomerShares
    ) -> None:
        self._inner, self._access, self._other_workers, self._newcomers = inner, access, other_workers, newcomers

    def admit(self, owner: FileOwner) -> None:
        """Refuse before the upload is taken what would be refused after it.

        Raises:
            UnknownUserError: the owner is out of reach.
            StoreUnavailableError, ShareFullError: too many wait already.
        """
        if owner.user_id is not None:
            caller().require([owner.user_id])
        self._inner.refuse_when_full(_sender(caller()))

    def start(self, name: str, upload: BinaryIO, owner: FileOwner, turn: Turn, sent_bytes: int) -> ImportReport:
        """See `ImportJobs.start`."""
        asking = caller()
        try:
            self.admit(owner)
            return self._inner.start(
                name,
                upload,
                owner,
                asking.principal.people,
                changes_people=asking.principal.holds("admin"),
                noted=lambda number: self._access.state.note_import(number, asking.principal.number),
                who=_sender(asking),
                allowance=self._newcomers.of(asking),
                turn=turn,
                sent_bytes=sent_bytes,
            )
        except BaseException:
            upload.close()
            turn.ended()
            raise

    def reports(self, numbers: Sequence[int]) -> Mapping[int, ImportReport]:
        """How imports stand, by number; see `ImportJobs.report`. Whichever worker runs one is asked."""
        if caller().principal.people is not None:
            own = self._access.state.imports_of(caller().principal.number)
            numbers = [number for number in numbers if number in own]
        found = reports_of(self._inner, numbers)
        if missing := [number for number in numbers if number not in found]:
            for answer in self._other_workers.ask("imports", missing).values():
                found |= msgspec.convert(answer, dict[int, ImportReport])
        return found

    def cancel(self, number: int) -> bool:
        """See `ImportJobs.cancel`; also what another worker runs. Of those that `reports` knows."""
        if number not in self.reports([number]):
            return False
        return self._inner.cancel(number) or any(self._other_workers.ask("cancel", number).values())

    def runs(self, origin: str) -> bool:
        """See `ImportJobs.runs`. Whoever knows the name may see the import."""
        return self._inner.runs(origin)


def _sender(asking: Caller) -> Hashable:
    who = who_is(asking)
    return None if who == EVERYBODY else who


def reports_of(imports: ImportJobs, numbers: Sequence[int]) -> dict[int, ImportReport]:
    """How those of the imports stand that this process knows of."""
    return {number: report for number in numbers if (report := imports.report(number)) is not None}
