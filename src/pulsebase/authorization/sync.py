"""Connections to clouds and what syncs brought, as the caller of a request may use them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from zoneinfo import ZoneInfo

from pulsebase.access.caller import caller
from pulsebase.access.newcomers import NewcomerShares
from pulsebase.etl.connections import Agreed, Begun, Connections, Offer
from pulsebase.etl.state import Connection, RunFilter, RunRecord, RunReport
from pulsebase.etl.sync import Synchronizer
from pulsebase.ingest.newcomers import Unknown, admitted


class AuthorizedConnections:
    """Connections of people in the caller's reach."""

    def __init__(self, inner: Connections, unknown: Unknown, newcomers: NewcomerShares) -> None:
        self._inner, self._unknown, self._newcomers = inner, unknown, newcomers

    def sources(self) -> Sequence[Offer]:
        """See `Connections.sources`, which say nothing of anybody."""
        return self._inner.sources()

    def begin(self, user_id: str, source: str, redirect_uri: str) -> Begun:
        """See `Connections.begin`. Somebody whom nobody knows yet counts as brought by the caller: a sync will."""
        caller().require([user_id])
        with self._admitted(user_id):
            return self._inner.begin(user_id, source, redirect_uri)

    def finish(self, source: str, state: str, code: str | None, error: str | None) -> Connection:
        """See `Connections.finish`. The state stands for the right that `begin` asked for."""
        made = self._inner.finish(source, state, code, error)
        caller().asked.add(made.user_id)
        return made

    def ticket(self, user_id: str, source: str) -> str:
        """See `Connections.ticket`, and `begin`."""
        caller().require([user_id])
        with self._admitted(user_id):
            return self._inner.ticket(user_id, source)

    def _admitted(self, user_id: str) -> AbstractContextManager[None]:
        return admitted(self._newcomers.of(caller()), self._unknown, [user_id])

    def offered(self, source: str, ticket: str) -> str:
        """See `Connections.offered`. The ticket stands for the right that `ticket` asked for."""
        user_id = self._inner.offered(source, ticket)
        caller().asked.add(user_id)
        return user_id

    def agree(self, source: str, ticket: str, redirect_uri: str) -> Agreed:
        """See `Connections.agree`, and `offered`."""
        self.offered(source, ticket)
        return self._inner.agree(source, ticket, redirect_uri)

    def come_back(self, source: str, state: str, kept: str | None, code: str | None, error: str | None) -> Connection:
        """See `Connections.come_back`. What the browser kept stands for that right."""
        made = self._inner.come_back(source, state, kept, code, error)
        caller().asked.add(made.user_id)
        return made

    def disconnect(self, user_id: str, source: str) -> bool:
        """See `Connections.disconnect`."""
        return caller().reaches(user_id) and self._inner.disconnect(user_id, source)

    def of(self, user_id: str) -> Sequence[Connection]:
        """See `Connections.of`."""
        return self._inner.of(user_id) if caller().reaches(user_id) else ()


class AuthorizedSync:
    """What the pipeline did for people in the caller's reach."""

    def __init__(self, inner: Synchronizer) -> None:
        self._inner = inner

    @property
    def schedule(self) -> threading.Thread | None:
        """See `Synchronizer.schedule`."""
        return self._inner.schedule

    @property
    def caught_up(self) -> bool:
        """Whether everybody's data was fetched once since the server started."""
        return self._inner.caught_up.is_set()

    @property
    def zone_of(self) -> Callable[[str], ZoneInfo]:
        """See `Synchronizer.zone_of`. For threads, which know no caller; somebody out of reach has no zone."""
        people, zone_of = caller().ask_everybody(), self._inner.zone_of
        return lambda user_id: zone_of(user_id) if people is None or user_id in people else ZoneInfo("UTC")

    @contextlib.contextmanager
    def kept_out(self, user_id: str, source: str) -> Iterator[bool]:
        """See `Synchronizer.kept_out`."""
        caller().require([user_id])
        with self._inner.kept_out(user_id, source) as mine:
            yield mine

    def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """See `SyncState.runs`."""
        asking = caller()
        if wanted.user_id is not None:
            return self._inner.state.runs(wanted) if asking.reaches(wanted.user_id) else ()
        return self._inner.state.runs(replace(wanted, people=asking.ask_everybody()))

    def noted(self) -> Sequence[Connection]:
        """See `SyncState.connections`."""
        return self._in_reach(self._inner.state.connections())

    def connections(self) -> Sequence[Connection]:
        """See `Synchronizer.connections`."""
        return self._in_reach(self._inner.connections())

    def run(self, user_id: str, source: str, data_sets: Collection[str] | None = None) -> Sequence[RunReport]:
        """See `Synchronizer.run`."""
        caller().require([user_id])
        return self._inner.run(user_id, source, data_sets=data_sets)

    def last_us(self, connection: Connection) -> int | None:
        """See `Synchronizer.last_us`."""
        return self._inner.last_us(connection)

    def measure(self) -> None:
        """See `Synchronizer.measure`."""
        self._inner.measure()

    def _in_reach(self, found: Sequence[Connection]) -> Sequence[Connection]:
        people = caller().ask_everybody()
        return found if people is None else [each for each in found if each.user_id in people]
