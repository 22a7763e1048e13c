"""Whole HTTP requests, written to a file before the clock starts, so that sending them costs the generator nearly
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: its bytes, how many readings it brings and how many of them are bad, and the kind of its question."""

    data: bytes
    readings: int = 0
    bad: int = 0
    kind: str = ""


def post(path: str, body: bytes, content_type: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


@dataclass(frozen=True, slots=True)
class RequestFile:
    """Requests on disk: `path` holds their bytes, `path.npz` where each ends and what it brings."""

    path: Path
    requests: int
    readings: int
    bytes: int

    def remove(self) -> None:
        self.path.unlink()
        self.path.with_suffix(".npz").unlink()


def write_requests(path: Path, requests: Iterable[Sent]) -> RequestFile:
    ends, readings, bad, kinds = [0], [], [], []
    with path.open("wb") as file:
        for request in requests:
            file.write(request.data)
            ends.append(ends[-1] + len(request.data))
            readings.append(request.readings)
            bad.append(request.bad)
            kinds.append(request.kind)
    columns = {"ends": np.array(ends), "readings": np.array(readings), "bad": np.array(bad), "kinds": np.array(kinds)}
    np.savez(path.with_suffix(".npz"), **columns)  # type: ignore[arg-type] # its stub takes the flag for a column
    return RequestFile(path, len(readings), sum(readings), ends[-1])
