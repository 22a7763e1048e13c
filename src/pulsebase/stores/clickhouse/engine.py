"""Access to the cluster: the servers of its URL, the settings that every statement needs, and what errors mean."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import re
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import clickhouse_connect
import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from clickhouse_connect.driver.httpclient import HttpClient
from urllib3 import Timeout

from pulsebase.model.errors import (
    DiskFullError,
    MemoryLimitError,
    PulsebaseError,
    QueryCancelledError,
    QueryTimeoutError,
    StopError,
    StoreUnavailableError,
)
from pulsebase.stores.clickhouse.address import Address
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.deadline import TIMED_OUT

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 5
#: How much longer than a statement may take somebody waits for its answer, before the server is taken for dead.
_PATIENCE_S = 5.0
#: How long that is at least.
_SILENCE_S = 10.0
#: How often a question that was taken back is ended, until it has ended: it may still be on its way to the server.
_END_AGAIN_S = 0.05
_END_LIMIT_S = 2.0
#: How often servers that were never seen are looked for.
_LOOK_AGAIN_S = 2.0
#: Insertions return when every shard has the rows on its disk; questions are sent to the shards they are about, which
#: answer whole, since a person lies on one.
SETTINGS: Mapping[str, int] = {
    "async_insert": 0,
    "distributed_foreground_insert": 1,
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,
    "parallel_distributed_insert_select": 0,
    "distributed_group_by_no_merge": 1,
    "optimize_skip_unused_shards": 1,
    "skip_unavailable_shards": 0,
    # Else comparisons that cannot all be true are found to be so, and a question that is known to find nothing fails.
    "optimize_redundant_comparisons": 0,
    # Questions may list many numbers.
    "max_query_size": 1 << 24,
    # A shard that takes no connection, or says nothing on it, is given up after this.
    "connections_with_failover_max_tries": 2,
    "handshake_timeout_ms": 3000,
}
#: What every table of readings has: what was inserted, or merged by the engine, is on the disk, and what it replaced
#: is not for long.
DURABLE: Mapping[str, int] = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
    "min_compressed_bytes_to_fsync_after_fetch": 1,
    # Parts that were replaced leave the disk within seconds: what replaces them is on it.
    "old_parts_lifetime": 0,
    "cleanup_delay_period": 1,
    "cleanup_delay_period_random_add": 0,
    "max_cleanup_delay_period": 5,
}


class _Silence(Timeout):
    """How long somebody waits for a server to say something, which each statement decides for itself. Making a client
    takes longer than most statements, so one client serves them all.
    """

    def __init__(self) -> None:
        super().__init__(connect=_CONNECT_TIMEOUT_S)
        self.of_this_thread = threading.local()

    def clone(self) -> Timeout:
        """Return what holds for the statement of this thread; urllib3 asks with each request."""
        return Timeout(connect=_CONNECT_TIMEOUT_S, read=self.of_this_thread.silence_s)


class Server:
    """One server of the cluster. It may be used from many threads."""

    def __init__(self, address: Address, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self._address, self._host, self._port = address, host, port
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._silence = _Silence()

    def ask(
        self, statement: str, limit_s: float, values: Mapping[str, object] | None = None, name: str | None = None
    ) -> pa.Table:
        """Return the answer to a question as columns. By the name, `end` can end it."""
        settings = _limited(limit_s) | ({} if name is None else {"log_comment": name})
        try:
            return self._do(limit_s, lambda client: client.query_arrow(statement, dict(values or {}), settings))
        except pa.ArrowException:  # a shard that the server asks may die when the answer has begun already
            raise StoreUnavailableError("a server of the cluster broke its answer off", 5) from None

    def command(self, statement: str, limit_s: float, values: Mapping[str, object] | None = None) -> None:
        """Run a statement that has no answer."""
        self._do(limit_s, lambda client: client.command(statement, dict(values or {}), settings=_limited(limit_s)))

    def insert(self, table: str, rows: pa.Table, limit_s: float) -> None:
        """Add rows to a table; when this raises, some may be there."""
        self._do(limit_s, lambda client: client.insert_arrow(table, rows, settings=_limited(limit_s)))

    def end(self, name: str) -> None:
        """End what runs here of the question of this name, whichever server was asked."""
        self.command("KILL QUERY WHERE Settings['log_comment'] = {name:String} ASYNC", _END_LIMIT_S, {"name": name})

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _do(self, limit_s: float, work: Callable[[Client], T]) -> T:
        silence_s = max(limit_s + _PATIENCE_S, _SILENCE_S)
        self._silence.of_this_thread.silence_s = silence_s
        try:
            return work(self._opened(silence_s))
        except ClickHouseError as error:
            raise _ours(error) from None

    def _opened(self, silence_s: float) -> Client:
        with self._lock:
            if self._client is None:
                client = clickhouse_connect.get_client(
                    host=self._host,
                    port=self._port,
                    username=self._address.user,
                    password=self._address.password,
                    database=self._address.database,
                    secure=self._address.encrypted,
                    compress=False,
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    autogenerate_session_id=False,
                    send_receive_timeout=math.ceil(silence_s),
                    query_retries=0,
                )
                assert isinstance(client, HttpClient)
                client.timeout = self._silence
                self._client = client
            return self._client


class ClickHouse:
    """A cluster. Any of its servers takes statements about all of it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._servers = [Server(address, host, port) for host, port in address.hosts]
        self._turns = itertools.count()
        #: What a server has to be before anything is asked of it, see `open`.
        self._require: Callable[[Server, int, int], None] | None = None
        #: The shard of each remainder of a person's number, the servers that are what they have to be, by name, and
        #: one of each shard, as far as they are known.
        self._slots: list[int] = []
        self._ready: dict[str, Server] = {}
        self._by_shard: dict[int, Server] = {}
        self._all_shards: Mapping[int, Server] | None = None
        self._looking, self._look_again_at = threading.Lock(), 0.0

    def open(self, require: Callable[[Server, int, int], None]) -> None:
        """See which servers there are. `require` is called with each, its shard and how many there are, before
        anything is asked of it: now, or once it can be reached.

        Raises:
            StopError: one is not what it has to be, or the cluster is not one that this store is made for.
            StoreUnavailableError: none can be reached.
        """
        before = self._require, self._slots, self._ready, self._by_shard, self._all_shards
        self._require, self._slots, self._ready, self._by_shard, self._all_shards = require, [], {}, {}, None
        try:
            away = self._look()
            if not self._ready:
                raise UnreachableError("no server of the cluster can be reached", 5)
            if not away:
                self.shards()
        except BaseException:
            self._require, self._slots, self._ready, self._by_shard, self._all_shards = before
            raise
        for server in away:
            logger.warning(
                "the server %s of the cluster cannot be reached; its people are answered once it can", server
            )

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.close()

    def ask(
        self,
        statement: str,
        limit_s: float,
        values: Mapping[str, object] | None = None,
        cancellation: Cancellation | None = None,
        people: Collection[int] | None = None,
    ) -> pa.Table:
        """Return the answer to a question, by whichever server can be reached. When this raises, the question has ended
        on every server that can be reached, or ends within the limit. `people` are those it is about, by number.

        Raises:
            QueryTimeoutError: longer than `limit_s`.
            QueryCancelledError: it was taken back.
            StoreUnavailableError: a shard that it is about does not answer.
        """
        self._require_ready(people)
        if cancellation is None:
            return self._by_any(lambda server: server.ask(statement, limit_s, values))
        with self._ended_with(cancellation) as name:
            return self._by_any(lambda server: server.ask(statement, limit_s, values, name))

    def ask_shards(
        self, statement: str, limit_s: float, person: int | None = None, cancellation: Cancellation | None = None
    ) -> list[pa.Table]:
        """Return what shards answer to a question about their own tables: all of them at once, or the person's.

        Raises:
            QueryTimeoutError: longer than `limit_s`.
            QueryCancelledError: it was taken back.
            StoreUnavailableError: one of these shards does not answer.
        """
        servers = self._placed(person)
        with self._ended_with(cancellation or Cancellation()) as name:
            if len(servers) == 1:
                return [servers[0].ask(statement, limit_s, None, name)]
            with ThreadPoolExecutor(len(servers)) as threads:
                return list(threads.map(lambda server: server.ask(statement, limit_s, None, name), servers))

    def _placed(self, person: int | None) -> list[Server]:
        """Return the servers where rows lie: the person's, or everybody's. What was found is remembered."""
        self._require_ready(None if person is None else [person])
        wanted = sorted(set(self._slots)) if person is None else [self._slots[person % len(self._slots)]]
        return [self._by_shard[shard] for shard in wanted]

    def _require_ready(self, people: Collection[int] | None) -> None:
        """Raise `StoreUnavailableError` unless every shard on which these people lie, or everybody, was seen and is
        what it has to be. Whoever was seen once is not looked at again: its answers tell whether it is there.
        """
        if self._slots and len(self._by_shard) == len(set(self._slots)):
            return
        if not self._are_ready(people):
            self._look_now_and_then()
            if not self._are_ready(people):
                raise UnreachableError("a server of the cluster cannot be reached", 5)

    def _are_ready(self, people: Collection[int] | None) -> bool:
        if not self._slots:
            return False
        wanted = self._slots if people is None else {self._slots[person % len(self._slots)] for person in people}
        return self._by_shard.keys() >= set(wanted)

    def _look_now_and_then(self) -> None:
        """Look for servers that were away, unless that was done just now; who waits for one, waits for all."""
        with self._looking:
            if time.monotonic() < self._look_again_at:
                return
            try:
                self._look()
            finally:
                self._look_again_at = time.monotonic() + _LOOK_AGAIN_S

    def _look(self) -> list[str]:
        """Look for servers that were not seen yet; return the names of those that cannot be reached."""
        away = []
        for server in self._servers:
            if server.name in self._ready:
                continue
            try:
                slots, shard = self._place_of(server, _PATIENCE_S)
                if shard is not None and self._require is not None:
                    self._require(server, shard, len(set(slots)))
            except StoreUnavailableError:
                away.append(server.name)
                continue
            self._slots, self._ready[server.name] = slots, server
            if shard is not None:
                self._by_shard[shard] = server
        return away

    def _place_of(self, server: Server, limit_s: float) -> tuple[list[int], int | None]:
        """Return the shards in order, as a server knows them, and which of them it is."""
        rows = server.ask(
            "SELECT shard_num, shard_weight, replica_num, is_local FROM system.clusters "
            "WHERE cluster = {cluster:String} ORDER BY shard_num",
            limit_s,
            {"cluster": self.address.cluster},
        ).to_pylist()
        if not rows:
            raise StopError(f"the servers know no cluster {self.address.cluster}")
        if any(row["replica_num"] > 1 for row in rows):
            raise StopError("the cluster has replicas, which this version does not support")
        if any(row["shard_weight"] != 1 for row in rows):
            raise StopError("a shard of the cluster has another weight than 1, which this version does not support")
        return [row["shard_num"] for row in rows], next((row["shard_num"] for row in rows if row["is_local"]), None)

    @contextlib.contextmanager
    def _ended_with(self, cancellation: Cancellation) -> Iterator[str]:
        """Give a name for the question of the block, which is ended on all servers when it is taken back."""
        name, answered = uuid.uuid4().hex, threading.Event()

        def end() -> None:
            while True:
                for server in self._servers:
                    with contextlib.suppress(PulsebaseError):
                        server.end(name)
                if answered.wait(_END_AGAIN_S):
                    return

        def begin_to_end() -> None:  # whoever takes a question back does not wait for the servers
            threading.Thread(target=end, name="pulsebase-end-question", daemon=True).start()

        try:
            if cancellation.cancelled:
                raise QueryCancelledError(_TAKEN_BACK)
            with cancellation.stopping(begin_to_end):
                yield name
        finally:
            answered.set()

    def insert(self, table: str, rows: pa.Table, limit_s: float) -> None:
        """Add rows of people (`person`, by number) to a table of each one's shard, synced to disk. When this raises,
        some may be there. A server that took them for the others would read and send them once more.

        Raises:
            StoreUnavailableError: a shard of these people does not take them.
        """
        people = rows["person"].to_numpy()
        if not self._slots or len(self._by_shard) < len(set(self._slots)):
            self._require_ready(np.unique(people).tolist())
        shard_of = np.array(self._slots)[people % len(self._slots)]
        shards = np.unique(shard_of).tolist()
        servers = [self._by_shard[shard] for shard in shards]
        if len(servers) == 1:
            servers[0].insert(table, rows, limit_s)
            return
        parts = [rows.filter(pa.array(shard_of == shard)) for shard in shards]
        with ThreadPoolExecutor(len(servers)) as threads:
            list(threads.map(lambda server, part: server.insert(table, part, limit_s), servers, parts))

    def command(self, statement: str, limit_s: float, values: Mapping[str, object] | None = None) -> None:
        """Run a statement that has no answer, by whichever server can be reached."""
        self._require_ready(None)
        self._by_any(lambda server: server.command(statement, limit_s, values))

    def ping(self, limit_s: float = _PATIENCE_S) -> None:
        """Raise a `PulsebaseError` if a server does not answer."""
        for server in self._servers:
            server.ask("SELECT 1", limit_s)

    def seen(self) -> tuple[int, Sequence[Server]]:
        """Return how many shards there are, and a server of each that was seen since the store was opened."""
        with contextlib.suppress(StoreUnavailableError, StopError):
            self._require_ready(None)
        return len(set(self._slots)), list(self._by_shard.values())

    def shards(self, limit_s: float = _PATIENCE_S) -> Mapping[int, Server]:
        """Return a server of each shard, by the shard's number, for work that is done where the rows lie. What was
        found is remembered.

        Raises:
            StoreUnavailableError: a server cannot be reached.
            StopError: the cluster is not one that this store is made for.
        """
        if self._all_shards is None:
            self._all_shards = self._found_shards(limit_s)
        return self._all_shards

    def _found_shards(self, limit_s: float) -> Mapping[int, Server]:
        found: dict[int, Server] = {}
        shards = set()
        for server in self._servers:
            slots, shard = self._place_of(server, limit_s)
            shards |= set(slots)
            if shard is not None:
                if self._require is not None and server.name not in self._ready:
                    self._require(server, shard, len(slots))
                found[shard] = server
        if missing := sorted(shards - found.keys()):
            raise StopError(f"the URL names no server of the shards {', '.join(map(str, missing))}")
        return found

    def _by_any(self, work: Callable[[Server], T]) -> T:
        ready = list(self._ready.values())
        first = next(self._turns) % len(ready)
        for attempt, server in enumerate([*ready[first:], *ready[:first]], 1):
            try:
                return work(server)
            except UnreachableError:
                if attempt == len(ready):
                    raise
        raise AssertionError("unreachable")


_TAKEN_BACK = "the question was taken back"


class UnreachableError(StoreUnavailableError):
    """A server refused the connection: the statement has not begun."""


def _limited(limit_s: float) -> dict[str, int | float]:
    whole_s = math.ceil(limit_s)
    times = {"max_execution_time": max(0.001, round(limit_s, 3)), "receive_timeout": whole_s, "send_timeout": whole_s}
    return {**SETTINGS, **times}


def _ours(error: ClickHouseError) -> Exception:
    """Translate an error. Of the engine's texts only the name of the error is kept: they repeat statements and rows."""
    text = str(error)
    if isinstance(error, OperationalError):
        if "Connection refused" in text or "NewConnectionError" in text:
            return UnreachableError("a server of the cluster cannot be reached", 5)
        return StoreUnavailableError("a server of the cluster does not answer", 5)
    names = re.findall(r"\(([A-Z][A-Z0-9_]{3,})\)", text)
    for found, ours in _MEANINGS:
        if name := next((name for name in names if name in found), None):
            return ours(name)
    return RuntimeError(f"ClickHouse: {names[-1] if names else 'an error without a name'}")


_MEANINGS: Sequence[tuple[frozenset[str], Callable[[str], PulsebaseError]]] = (
    (frozenset({"TIMEOUT_EXCEEDED"}), lambda _: QueryTimeoutError(TIMED_OUT)),
    (frozenset({"QUERY_WAS_CANCELLED"}), lambda _: QueryCancelledError(_TAKEN_BACK)),
    (frozenset({"NOT_ENOUGH_SPACE"}), lambda _: DiskFullError("a disk of the cluster is full", 30)),
    (frozenset({"MEMORY_LIMIT_EXCEEDED"}), lambda _: MemoryLimitError("a server of the cluster is out of memory", 10)),
    (
        frozenset({"UNKNOWN_TABLE", "UNKNOWN_DATABASE"}),
        lambda name: StopError(f"the cluster is not set up ({name}): run pulsebase db init"),
    ),
    (
        frozenset({"AUTHENTICATION_FAILED", "REQUIRED_PASSWORD", "ACCESS_DENIED", "READONLY"}),
        lambda name: StopError(f"the cluster refuses us: {name}"),
    ),
    (
        frozenset(
            {
                *("ALL_CONNECTION_TRIES_FAILED", "NETWORK_ERROR", "SOCKET_TIMEOUT", "ATTEMPT_TO_READ_AFTER_EOF"),
                *("TOO_MANY_PARTS", "TOO_MANY_SIMULTANEOUS_QUERIES", "TABLE_IS_READ_ONLY", "ABORTED"),
            }
        ),
        lambda name: StoreUnavailableError(f"the cluster cannot take this now: {name}", 5),
    ),
)
