"""The specification's own design, built as it is described: FastAPI, a buffer flushed every 5 s or 100 records under an
asyncio lock, and Polars that rewrites one Parquet file a date.

`DATA` names the folder. What it acknowledges may still be in the buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field, ValidationError

FLUSH_S = 5
FLUSH_RECORDS = 100
MAX_BATCH = 1_000
PRIORITIES = {"device_a": 1, "device_b": 2}
UNKNOWN_PRIORITY = 999
_SCHEMA = pl.Schema(
    {
        "device_id": pl.String(),
        "user_id": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
        "heart_rate": pl.Float64(),
    }
)


class Reading(BaseModel):
    device_id: str
    user_id: str
    timestamp: datetime
    heart_rate: float = Field(ge=30, le=220)


class Batch(BaseModel):
    readings: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_BATCH)


class Storage:
    """Buffered writes into one file a date."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffer: list[dict[str, Any]] = []
        self._lock = asyncio.Lock()

    async def add(self, readings: list[Reading]) -> None:
        async with self._lock:
            self._buffer += [reading.model_dump() for reading in readings]
            if len(self._buffer) >= FLUSH_RECORDS:
                self._flush()

    async def flush(self) -> None:
        async with self._lock:
            self._flush()

    def _flush(self) -> None:
        if not self._buffer:
            return
        rows = pl.DataFrame(self._buffer, schema=_SCHEMA)
        self._buffer = []
        for (date,), part in rows.group_by(pl.col("timestamp").dt.date()):
            path = self._path(str(date))
            kept = [pl.read_parquet(path), part] if path.exists() else [part]
            pl.concat(kept).write_parquet(path)

    def minutes(self, user_id: str, start: datetime, end: datetime, device_id: str | None) -> list[dict[str, Any]]:
        days = range((end.date() - start.date()).days + 1)
        paths = [self._path(str(start.date() + timedelta(days=day))) for day in days]
        paths = [path for path in paths if path.exists()]
        if not paths:
            return []
        rows = pl.scan_parquet(paths).filter(
            (pl.col("user_id") == user_id) & (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
        )
        if device_id is not None:
            rows = rows.filter(pl.col("device_id") == device_id)
        priority = pl.col("device_id").replace_strict(PRIORITIES, default=UNKNOWN_PRIORITY, return_dtype=pl.Int64)
        minutes = (
            rows.with_columns(priority.alias("priority"), pl.col("timestamp").dt.truncate("1m"))
            .filter(pl.col("priority") == pl.col("priority").min().over("timestamp"))
            .group_by("timestamp", "device_id")
            .agg(pl.col("heart_rate").mean())
            .sort("timestamp")
        )
        return minutes.collect().to_dicts()

    def _path(self, date: str) -> Path:
        return self._folder / f"heart_rate_metrics_{date}.parquet"


storage = Storage(Path(os.environ["DATA"]))


@contextlib.asynccontextmanager
async def flushing(app: FastAPI) -> AsyncIterator[None]:
    del app

    async def flush_now_and_then() -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await storage.flush()

    task = asyncio.create_task(flush_now_and_then())
    yield
    task.cancel()
    await storage.flush()


app = FastAPI(lifespan=flushing)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy", "service": "heart-rate-metrics"}


@app.post("/metrics/heart-rate", status_code=202)
async def ingest(reading: Reading) -> dict[str, str]:
    await storage.add([reading])
    return {"status": "accepted"}


@app.post("/metrics/heart-rate/batch", status_code=202)
async def ingest_batch(batch: Batch) -> dict[str, Any]:
    accepted = []
    for item in batch.readings:
        with contextlib.suppress(ValidationError):
            accepted.append(Reading.model_validate(item))
    await storage.add(accepted)
    total = len(batch.readings)
    return {"status": "accepted", "accepted": len(accepted), "rejected": total - len(accepted), "total": total}


@app.get("/metrics/heart-rate")
async def query(user_id: str, start: datetime, end: datetime, device_id: str | None = None) -> dict[str, Any]:
    await storage.flush()
    data = storage.minutes(user_id, start.astimezone(UTC), end.astimezone(UTC), device_id)
    if not data:
        raise HTTPException(404, "No data found for the query")
    return {"user_id": user_id, "data": data, "count": len(data)}
