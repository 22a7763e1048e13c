"""`fixtures`: fill the store with a population of made-up people, showing progress, rate and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime

import httpx2 as httpx
import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from pulsebase.cli.blocks import store_block
from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.ingest import Candidates
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.readings import Ids
from pulsebase.model.users import User
from pulsebase.settings import Settings
from pulsebase.sources.fixture_vitals import FEWEST_A_DAY, FixtureValues
from pulsebase.sources.fixtures import (
    DEVICES,
    FixtureReadings,
    FixtureSpec,
    fixture_readings,
    fixture_users,
    fixture_values,
)

#: Readings in one commit. The stored result does not depend on it.
_BLOCK_READINGS = 500_000
#: People in one request.
_USERS_AT_ONCE = 1_000
#: With this start the oldest people, aged ninety, are born in 1900, the earliest birth year that is accepted.
_EARLIEST_START = date(1990, 1, 1)


def fixture_spec(
    users: int, readings: int, seed: int, start: str | None, metrics: Sequence[MetricSpec] = (HEART_RATE,)
) -> FixtureSpec:
    """Return the specification that the options ask for.

    Raises:
        RejectedError: the start is not a date, a metric is not made up, or the readings would reach into the future.
    """
    for metric in metrics:
        if metric.name not in FEWEST_A_DAY:
            raise RejectedError.of("--metric", f"{metric.name} is not made up; there are {', '.join(FEWEST_A_DAY)}")
    spec = FixtureSpec(users, readings, seed, metrics=tuple(metric.name for metric in metrics))
    if start is not None:
        try:
            spec = replace(spec, first_day=date.fromisoformat(start))
        except ValueError:
            raise RejectedError.of("--start", "must be a date such as 2025-01-01") from None
    if spec.first_day < _EARLIEST_START:
        raise RejectedError.of("--start", f"must be {_EARLIEST_START} or later; people are born ninety years before it")
    try:
        reaches_on = spec.end_day > datetime.now(UTC).date()
    except OverflowError:
        reaches_on = True
    if reaches_on:
        raise RejectedError.of(
            "--readings", "this many readings of this few people would reach into the future; see --start"
        )
    return spec


def run_fixtures(settings: Settings, spec: FixtureSpec) -> None:
    """Store the people and their readings, and wait until all merges are done."""
    started = time.monotonic()
    users = fixture_users(spec)
    ids = [user.user_id for user in users]
    with session(settings) as client, _progress() as progress:
        _store_users(client, users)
        task = progress.add_task("readings", total=spec.readings)
        for rows in _blocks(spec, ids):
            name = f"fixtures, seed {spec.seed}"
            answer = store_block(client, name, rows, progress.console.print)
            if answer["rejected"]:
                error = answer["errors"][0]
                text = f"the store's own bounds refuse a made-up reading: {error['field']} {error['reason']}"
                raise StopError(text)
            progress.advance(task, len(rows))
        progress.update(task, description="merging ")
        answer_of(client.post("/v1/admin/settle"))
    seconds = time.monotonic() - started
    text = f"{spec.users:,} people and {spec.readings:,} readings stored and merged in {seconds:.1f} s"
    console.print(f"{text}, {spec.readings / seconds:,.0f} readings/s", highlight=False)


def _store_users(client: httpx.Client, users: list[User]) -> None:
    for first in range(0, len(users), _USERS_AT_ONCE):
        people = [asdict(user) | {"birth_date": str(user.birth_date)} for user in users[first : first + _USERS_AT_ONCE]]
        answer_of(client.post("/v1/admin/users", json={"users": people}))


def _blocks(spec: FixtureSpec, ids: Sequence[str]) -> Iterator[Candidates]:
    """What is stored at once: readings of one metric."""
    if spec.metrics == (HEART_RATE.name,):
        for readings in fixture_readings(spec, _BLOCK_READINGS):
            yield _candidates(readings, readings.bpm.astype(np.float64), ids)
        return
    for metric, values in fixture_values(spec, _BLOCK_READINGS // len(spec.metrics)):
        yield replace(_candidates(values, values.values, ids), metric=metric)


def _candidates(
    readings: FixtureReadings | FixtureValues, values: npt.NDArray[np.float64], ids: Sequence[str]
) -> Candidates:
    return Candidates(
        Ids((readings.people - 1).astype(np.int32), ids),
        Ids(readings.devices.astype(np.int32), DEVICES),
        readings.times_us,
        values,
        readings.confidences,
        np.arange(len(readings)),
    )


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed if task.elapsed else 0:,.0f}/s")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
    )
