"""Stores for tests, by the names of their kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pulsebase.stores.postgres.roles import API
from tests.support.clickhouse.store import empty_store
from tests.support.postgres import PASSWORDS, as_role, empty_timescale


def named_store(kind: str, folder: Path) -> dict[str, Any]:
    """Settings that name an empty store of this kind: memory, duckdb, timescale or clickhouse."""
    if kind == "clickhouse":
        urls = empty_store()
        served = as_role(urls.postgres, API, PASSWORDS.api or "")
        settings = {"store_url": served, "clickhouse_url": urls.cluster, "pool_size": 1}
        return settings | {"state_folder": folder / "sources"}
    if kind == "timescale":
        return {"store_url": empty_timescale(), "pool_size": 1, "state_folder": folder / "sources"}
    return {"store_url": "memory://" if kind == "memory" else f"duckdb:///{folder / 'store.duckdb'}"}
