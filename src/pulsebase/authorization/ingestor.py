"""The write path, as the caller of a request may use it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from pulsebase.access.caller import caller
from pulsebase.access.newcomers import NewcomerShares
from pulsebase.access.service import Access
from pulsebase.authorization.rules import require_everybody_or
from pulsebase.ingest import Candidates, Ingestor, ReadingRules
from pulsebase.ingest.candidates import Decoded
from pulsebase.ingest.committer import SHORT_WAIT_S
from pulsebase.ingest.newcomers import Allowance, Unknown
from pulsebase.ingest.queue_items import Outcome
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange


class AuthorizedIngestor:
    """The write path, for readings of people in the caller's reach."""

    def __init__(self, inner: Ingestor, access: Access, unknown: Unknown, newcomers: NewcomerShares) -> None:
        self._inner, self._access, self._unknown, self._newcomers = inner, access, unknown, newcomers

    def pace(self, readings: int, max_wait_s: float, *, within_turn: bool = False) -> None:
        """See `Ingestor.pace`."""
        self._inner.pace(readings, max_wait_s, within_turn=within_turn)

    def submit(self, batch: ReadingBatch, max_wait_s: float = SHORT_WAIT_S) -> Future[Sequence[FieldError]]:
        """See `Ingestor.submit`.

        Raises:
            UnknownUserError: somebody in the batch is out of reach; rules of the caller refuse such rows before.
            TooManyNewPeopleError: it brings more of them than a request may, which is told before it waits.
        """
        allowance = self._newcomers.of(caller())
        if allowance is not None and len(batch) > allowance.most:
            people = batch.users.distinct()
            if len(people) > allowance.most:
                allowance.refuse_beyond_most(len(self._unknown(people)))
        caller().require_all(batch.users)
        return self._inner.submit(batch, max_wait_s, allowance)

    def offer(self, readings: Candidates | Decoded, rules: ReadingRules, origin: int, source: str) -> Future[Outcome]:
        """See `Ingestor.offer`; readings of others are refused one by one."""
        asking = caller()
        asking.name(readings.users if isinstance(readings, Decoded) else readings.user_ids)
        allowance = self._newcomers.of(asking)
        return self._inner.offer(readings, rules.of_people(asking.principal.people), origin, source, allowance)

    def submit_delete(
        self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None
    ) -> Future[int]:
        """See `Ingestor.submit_delete`."""
        caller().require([user_id])
        return self._inner.submit_delete(user_id, interval, device_id, metric)

    def submit_delete_origin(self, origin: int, most: int) -> Future[int]:
        """See `Ingestor.submit_delete_origin`."""
        require_everybody_or(origin, self._access)
        return self._inner.submit_delete_origin(origin, most)

    def register_origin(self, kind: str, name: str) -> int:
        """See `Ingestor.register_origin`."""
        return self._inner.register_origin(kind, name)

    def write(self, batch: ReadingBatch, allowance: Allowance | None = None) -> Sequence[FieldError]:
        """See `Ingestor.write`. The allowance is the caller's, if none is given."""
        caller().require_all(batch.users)
        return self._inner.write(batch, self._newcomers.of(caller()) if allowance is None else allowance)

    @property
    def alive(self) -> bool:
        """See `Ingestor.alive`."""
        return self._inner.alive
