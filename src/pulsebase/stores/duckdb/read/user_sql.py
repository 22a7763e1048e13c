"""Running users' own SQL queries."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from pulsebase.model.errors import RejectedError, TooManyRowsError
from pulsebase.stores.duckdb.engine.engine_errors import tells_of_damage


def select(connection: duckdb.DuckDBPyConnection, statement: str, limit: int) -> pa.Table:
    """Run a statement that passed `check_statement`; return its rows as the engine gives them.

    The connection's transaction is replaced by a new one that cannot write.

    Raises:
        RejectedError: the engine refuses the statement.
        TooManyRowsError: more than `limit` rows.
    """
    connection.execute("ROLLBACK")
    connection.execute("BEGIN TRANSACTION READ ONLY")
    try:
        found = connection.sql(statement)
        if found is None:
            raise RejectedError.of("statement", "answers nothing")
        # Always closed: a result left open blocks its connection.
        with found.to_arrow_reader(min(limit + 1, 100_000)) as reader:
            return _bounded(reader, limit)
    except (duckdb.InterruptException, duckdb.FatalException, duckdb.IOException):
        raise  # nothing is wrong with the statement
    except duckdb.Error as error:
        if isinstance(error, duckdb.InternalException) or tells_of_damage(error):
            raise
        raise RejectedError.of("statement", str(error).splitlines()[0]) from None


def _bounded(reader: pa.RecordBatchReader, limit: int) -> pa.Table:
    batches, rows = [], 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        if rows > limit:
            raise TooManyRowsError.of("statement", f"the answer has more than {limit} rows; add a LIMIT")
    return pa.Table.from_batches(batches, schema=reader.schema)
