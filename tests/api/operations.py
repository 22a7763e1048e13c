"""What the document of the server offers, to be tried one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def ending_operations(document: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation but the streams of events, whose answers never end."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not is_stream(operation):
                yield method.upper(), path, operation


def is_stream(operation: Any) -> bool:
    """Whether the answer is a stream of events."""
    return any("text/event-stream" in answer.get("content", {}) for answer in operation["responses"].values())
