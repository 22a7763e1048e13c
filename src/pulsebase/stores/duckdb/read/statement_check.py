"""Which statements of users' own SQL are run: those that only read, with functions that only compute.

The engine's read-only transactions protect tables, and nothing else: `EXPLAIN ANALYZE COPY … TO` writes files, and some
functions make a checkpoint, switch logging on, or run a text as another statement. So a statement is inspected as the
engine itself parses it (https://duckdb.org/docs/stable/data/json/sql_to_and_from_json), and every function it calls has
to be known as harmless.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import duckdb

from pulsebase.model.errors import RejectedError

#: The permitted table functions; others read files, run texts as statements or change the engine.
_TABLES = frozenset(
    {
        "duckdb_columns",
        "duckdb_memory",
        "duckdb_tables",
        "duckdb_views",
        "generate_series",
        "histogram",
        "histogram_values",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "unnest",
    }
)
#: Functions that do more than compute, but are harmless.
_HARMLESS = frozenset({"random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "error", "setseed"})
#: Functions that make a value of as many characters or items as a number says, and which argument that is. The engine
#: does not look at its time limit while it makes one value, nor at its memory limit.
_LENGTHENING = {"repeat": 1, "lpad": 1, "rpad": 1, "list_resize": 1, "array_resize": 1}
#: The largest such number, and of `repeat` the largest product in one statement.
_LONGEST = 100_000
_EXPLAIN = re.compile(r"\s*EXPLAIN\b\s*(ANALYZE\b\s*)?(\([^()]*\)\s*)?", re.IGNORECASE)
_READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_DESCRIBED = frozenset({"DESCRIBE", "SUMMARY", "SHOW_SPECIAL", "SHOW_FROM", "SHOW_UNQUALIFIED"})


def check_statement(statement: str) -> None:
    """Refuse anything but one statement that only reads and calls only harmless functions.

    Raises:
        RejectedError: it is something else.
    """
    explain = _EXPLAIN.match(statement)
    parsed = _parsed(statement[explain.end() :] if explain else statement)
    if len(parsed["statements"]) != 1:
        raise _no_reading()
    repeated = 1.0
    for name, answers_table, call in _called(parsed, in_from=False):
        if name not in (_TABLES if answers_table else _computing()):
            raise RejectedError.of("statement", f"calls {name}, which is no function that may be used here")
        if name in _LENGTHENING and not answers_table:
            count = _literal(call, _LENGTHENING[name])
            repeated *= max(count, 1) if name == "repeat" else 1
            if max(count, repeated) > _LONGEST:
                raise RejectedError.of("statement", f"calls {name} without a plain number up to {_LONGEST:,}, in all")


def _literal(call: dict[str, Any], place: int) -> float:
    """Return the number that stands at that place of a call's arguments; infinity if it is worked out."""
    arguments = call.get("arguments", [])
    literal = arguments[place]["expression"].get("literal", {}) if place < len(arguments) else {}
    return float(literal["text"]) if literal.get("kind") in ("INTEGER", "NUMERIC") else math.inf


def _parsed(statement: str) -> dict[str, Any]:
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchone()
    assert found is not None
    try:
        parsed: dict[str, Any] = json.loads(found[0])
    except RecursionError:
        raise RejectedError.of("statement", "is nested too deeply") from None
    if not parsed["error"]:
        return parsed
    if parsed.get("error_type") == "parser":
        raise RejectedError.of("statement", f"Parser Error: {str(parsed['error_message']).splitlines()[0]}")
    raise _no_reading()


def _no_reading() -> RejectedError:
    return RejectedError.of("statement", "must be one statement that only reads, such as SELECT")


def _called(node: Any, *, in_from: bool) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Yield the functions in a parsed statement, whether each is a table function, and its call."""
    if isinstance(node, list):
        for each in node:
            yield from _called(each, in_from=False)
    if not isinstance(node, dict):
        return
    kind = str(node.get("type"))
    if kind.endswith("_NODE") and kind not in _READING:  # a common table expression may insert, update or delete
        raise _no_reading()
    if kind == "SHOW_REF" and node.get("show_type") not in _DESCRIBED:
        raise _no_reading()
    if "function_name" in node:
        yield str(node["function_name"]).lower(), in_from, node
    for key, each in node.items():
        yield from _called(each, in_from=kind == "TABLE_FUNCTION" and key == "function")


@lru_cache(maxsize=1)
def _computing() -> frozenset[str]:
    """Return the names of functions that return a value and have no side effect."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() GROUP BY function_name "
            "HAVING bool_or(function_type IN ('scalar', 'aggregate', 'macro', 'window')) "
            "AND NOT coalesce(bool_or(has_side_effects), false)"
        ).fetchall()
    return frozenset(name.lower() for (name,) in found) | _HARMLESS | {"unnest", "range", "generate_series"}
