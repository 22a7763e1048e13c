"""Readings are counted in one place, whichever way they come; who checks them before the queue is listed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "pulsebase"

#: Who checks readings, and why not by offering them.
CHECKING = {
    "ingest/admission.py": "what was offered, together with whatever waits for the same commit",
    "ingest/committer.py": "long columns that are offered, in the thread that brings them",
    "api/routes/push.py": "single readings of several callers at once: a refusal is told whatever the commit does",
    "api/routes/bulk.py": "blocks: the good readings of one take their turn in the stream before they are queued",
    "etl/load.py": "what a source or a file brings is compared with what is stored before it is queued",
}


def nodes_of(name: str) -> Iterator[tuple[str, ast.AST]]:
    """Every module in which the name stands anywhere, with each of its nodes."""
    for path in SOURCE.rglob("*.py"):
        if name in (text := path.read_text()):
            yield from ((str(path.relative_to(SOURCE)), node) for node in ast.walk(ast.parse(text)))


def using(name: str) -> set[str]:
    """The modules in which a name stands, as a name or as an attribute."""
    return {
        module
        for module, node in nodes_of(name)
        if (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)
    }


def calling(name: str) -> set[str]:
    """The modules that call a function of this name."""
    return {
        module
        for module, node in nodes_of(name)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }


def test_readings_are_counted_in_one_module() -> None:
    for counter in ("INGEST_ACCEPTED", "INGEST_REJECTED"):
        assert using(counter) == {"ingest/counting.py", "telemetry.py"}


def test_nobody_checks_readings_who_could_offer_them() -> None:
    assert calling("validate") == set(CHECKING)
