"""Stores for tests, by the names of their kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.postgres import empty_timescale


def named_store(kind: str, folder: Path) -> dict[str, Any]:
    """Settings that name an empty store of this kind: memory, duckdb or timescale."""
    if kind == "timescale":
        return {"store_url": empty_timescale(), "pool_size": 1, "state_folder": folder / "sources"}
    return {"store_url": "memory://" if kind == "memory" else f"duckdb:///{folder / 'store.duckdb'}"}
