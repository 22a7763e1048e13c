"""The facts of the machine that figures depend on; nothing that names it."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("pulsebase", "duckdb", "pyarrow", "numpy", "fastapi", "uvicorn", "uvloop", "polars", "sqlalchemy")
_SYNCS = 50


def facts(folder: Path) -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _first("/proc/cpuinfo", "model name"),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "sync_ms": _sync_ms(folder),
        "python": platform.python_version(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _first(path: str, name: str) -> str:
    lines = [line for line in Path(path).read_text().splitlines() if line.startswith(name)]
    return lines[0].split(":", 1)[1].strip() if lines else "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _sync_ms(folder: Path) -> float:
    """Median time of a small fdatasync in the folder: what a durable answer costs at the least here."""
    path = folder / "sync"
    times_s = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * 4096)
            started_s = time.perf_counter()
            os.fdatasync(file.fileno())
            times_s.append(time.perf_counter() - started_s)
    path.unlink()
    return round(sorted(times_s)[_SYNCS // 2] * 1_000, 3)
