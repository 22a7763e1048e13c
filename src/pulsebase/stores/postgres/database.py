"""Access to the server: the pool, transactions, and the translation of the engine's errors."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from pulsebase.model.errors import (
    DiskFailedError,
    DiskFullError,
    MemoryLimitError,
    OutcomeUnknownError,
    PulsebaseError,
    QueryCancelledError,
    QueryTimeoutError,
    ReadOnlyStoreError,
    StopError,
    StoreCorruptError,
    StoreUnavailableError,
)
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.postgres.instants import adapt
from pulsebase.stores.postgres.options import PoolOptions

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
T = TypeVar("T")

_ATTEMPTS = 3
_PAUSE_S = 0.1
_CONNECT_TIMEOUT_S = 10
#: How long the server may take to answer a cancel request.
_CANCEL_TIMEOUT_S = 2.0
#: Errors after which nothing was changed, and a retry may succeed at once.
_TRY_AGAIN = (errors.LockNotAvailable, errors.SerializationFailure, errors.DeadlockDetected)
#: Errors with which the server ends a connection.
_GOING_AWAY = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
)
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_CHANGING = "BEGIN"
#: JIT compilation takes longer than most of our statements.
_ALWAYS = {"jit": "off"}
_TIMED_OUT = "the query ran into its time limit and was cancelled; ask for a shorter range or a coarser interval"


class Lost(Exception):  # noqa: N818 never leaves this module
    """The connection was lost; nothing was changed."""


class OnlyAnswersError(ReadOnlyStoreError):
    """The database accepts no changes: it is a replica, or set to read-only."""


class PostgresDatabase:
    """Transactions on one database. Every method may be called from any thread.

    Statements are never prepared on the server, because the plans of partitioned tables depend on the values, and
    because a pooler such as PgBouncer might not support it.

    Args:
        conninfo: a libpq URL.
        options: how connections are pooled.
        while_reading: settings of the server for each transaction that reads, by name.
        while_changing: the same for each transaction that changes something.
    """

    def __init__(
        self,
        conninfo: str,
        options: PoolOptions,
        *,
        while_reading: Mapping[str, str] | None = None,
        while_changing: Mapping[str, str] | None = None,
    ) -> None:
        self._begin_reading = _begun(_BEGIN_READING, while_reading or {})
        self._begin_changing = _begun(_BEGIN_CHANGING, while_changing or {})
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            conninfo,
            kwargs={"autocommit": True, "prepare_threshold": None, "connect_timeout": _CONNECT_TIMEOUT_S},
            configure=adapt,
            min_size=options.size,
            max_size=options.size + options.overflow,
            timeout=options.timeout_s,
            max_lifetime=options.recycle_s,
            name="pulsebase",
            open=True,
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def read(
        self,
        work: Callable[[Connection], T],
        timeout_s: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> T:
        """Run the work in a read transaction, on one consistent state; retry it if the connection is lost.

        Raises:
            QueryTimeoutError: longer than `timeout_s`.
            QueryCancelledError: the query was cancelled.
            StoreUnavailableError: the server does not answer.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        cancellation = cancellation or Cancellation()

        def once() -> T:
            left_ms = 0 if give_up_at is None else int((give_up_at - time.monotonic()) * 1000)
            if cancellation.cancelled:
                raise QueryCancelledError("the question was taken back")
            if give_up_at is not None and left_ms <= 0:
                raise QueryTimeoutError(_TIMED_OUT)
            begin = f"{self._begin_reading}; SET LOCAL statement_timeout = {left_ms}"
            with self._transaction(begin, cancellation) as connection:
                return work(connection)

        try:
            return _retried(once, self._pool.check)
        except errors.QueryCanceled as error:
            if cancellation.cancelled:
                raise QueryCancelledError("the question was taken back") from error
            raise QueryTimeoutError(_TIMED_OUT) from error

    def change(self, work: Callable[[Connection], T]) -> T:
        """Run the work in a transaction and commit it; retry it where it is certain that nothing was changed.

        Raises:
            StoreUnavailableError: nothing was changed.
            OutcomeUnknownError: the reply to the commit was lost.
        """

        def once() -> T:
            with self._transaction(self._begin_changing, Cancellation()) as connection:
                answer = work(connection)
                self._commit(connection)
                return answer

        try:
            return _retried(once, self._pool.check)
        except errors.QueryCanceled as error:
            raise StoreUnavailableError("the database took too long; nothing was changed", 5) from error

    @contextlib.contextmanager
    def outside(self, cancellation: Cancellation) -> Iterator[Connection]:
        """Lend a connection without a transaction, for statements that the engine does not allow inside one."""
        try:
            with self._pool.connection() as connection, cancellation.stopping(lambda: _cancel(connection)):
                yield connection
        except psycopg.Error as error:
            raise _ours(error) from None

    @contextlib.contextmanager
    def _transaction(self, begin: str, cancellation: Cancellation) -> Iterator[Connection]:
        """Run the block in a transaction, which is rolled back unless the block commits it."""
        with self._pool.connection() as connection:
            with cancellation.stopping(lambda: _cancel(connection)):
                try:
                    connection.execute(begin)
                    yield connection
                except psycopg.OperationalError as error:
                    if _is_lost(connection, error):
                        raise Lost from error
                    raise
                finally:
                    _roll_back(connection)
            if cancellation.cancelled:
                connection.close()  # the cancel request may still be on its way and must not hit the next query

    @staticmethod
    def _commit(connection: Connection) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            if _is_lost(connection, error):
                raise OutcomeUnknownError(
                    "the connection to the database was lost while it committed: it is not known whether the change "
                    "was kept; sending the same again does no harm",
                    retry_after_s=5,
                    kept="as said",
                ) from error
            raise


def connect(conninfo: str) -> Connection:
    """Open one connection outside any pool.

    Raises:
        StopError: the server cannot be reached or refuses the connection; the message has its reason.
    """
    try:
        connection = psycopg.connect(
            conninfo, autocommit=True, prepare_threshold=None, connect_timeout=_CONNECT_TIMEOUT_S
        )
    except psycopg.Error as error:
        raise StopError(f"the database cannot be reached: {first_line(error)}") from None
    adapt(connection)
    return connection


def _begun(begin: str, settings: Mapping[str, str]) -> str:
    """Write the statements that begin a transaction with these settings of the server."""
    return "; ".join([begin, *(f"SET LOCAL {name} = {value}" for name, value in {**_ALWAYS, **settings}.items())])


def first_line(error: Exception) -> str:
    """Return the engine's message without the lines that repeat the statement or its values."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _is_lost(connection: Connection, error: psycopg.OperationalError) -> bool:
    return connection.closed or isinstance(error, _GOING_AWAY)


def _cancel(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)


def _roll_back(connection: Connection) -> None:
    if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")


def _retried(once: Callable[[], T], check: Callable[[], None]) -> T:
    """Retry a few times if nothing was changed and another attempt may succeed."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return once()
        except Lost as error:
            if attempt == _ATTEMPTS:
                raise StoreUnavailableError("the connection to the database was lost", 5) from error
            check()  # after a restart of the server every pooled connection is dead
        except _TRY_AGAIN as error:
            if attempt == _ATTEMPTS:
                raise StoreUnavailableError("the database is busy with the same rows", 2) from error
        except errors.QueryCanceled:
            raise
        except psycopg.Error as error:
            raise _ours(error) from None
        time.sleep(_PAUSE_S * attempt)
    raise AssertionError("unreachable")


def _ours(error: psycopg.Error) -> Exception:
    """Translate an engine error for callers. Of an unexpected one only the first line is kept: the others may repeat
    rows.
    """
    for kinds, ours in _MEANINGS:
        if isinstance(error, kinds):
            return ours(first_line(error) if error.sqlstate else "it cannot be reached")
    return RuntimeError(f"{type(error).__name__}: {first_line(error)}")


_Kinds = type[psycopg.Error] | tuple[type[psycopg.Error], ...]
#: The first match applies.
_MEANINGS: Sequence[tuple[_Kinds, Callable[[str], PulsebaseError]]] = (
    (
        (PoolTimeout, TooManyRequests),
        lambda _: StoreUnavailableError("every connection to the database is in use, or it cannot be reached", 2),
    ),
    (PoolClosed, lambda _: StoreUnavailableError("the store is closed")),
    (
        errors.ReadOnlySqlTransaction,
        lambda _: OnlyAnswersError("the database only answers questions: a replica, or set to read only", 30),
    ),
    (
        (errors.UndefinedTable, errors.InvalidSchemaName),
        lambda reason: StopError(f"the database is not set up: {reason}; run pulsebase db init"),
    ),
    (errors.DiskFull, lambda _: DiskFullError("the database cannot be written: its server's disk is full", 30)),
    (errors.IoError, lambda _: DiskFailedError("the database cannot be reached: its server's disk fails", 60)),
    (errors.OutOfMemory, lambda _: MemoryLimitError("the database's server is out of memory", 10)),
    (
        (errors.DataCorrupted, errors.IndexCorrupted),
        lambda reason: StoreCorruptError(f"the database is damaged: {reason}; restore a backup", "the database"),
    ),
    (errors.InsufficientPrivilege, lambda reason: StopError(f"the database refuses us: {reason}")),
    (
        (psycopg.OperationalError, errors.InsufficientResources, errors.ObjectNotInPrerequisiteState),
        lambda reason: StoreUnavailableError(f"the database cannot take this now: {reason}", 5),
    ),
)
