"""Bulk ingest: millions of readings as columns or lines."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Path, Query, Request, Response

from pulsebase.api.border.problems import ProblemError, field_errors, partly_done
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.border.threads import UPLOADS
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.body_stream import BodyStream, BrokenOffError
from pulsebase.api.codecs.bulk_bodies import READERS, blocks_of
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.metric_paths import metric_in_path
from pulsebase.api.schemas.common import NoParameters
from pulsebase.api.schemas.readings import BulkAccepted
from pulsebase.ingest import validate
from pulsebase.ingest.blocks import BLOCK_READINGS, METRIC_FIELDS, Block, ReadingFields, fields_of
from pulsebase.ingest.committer import LONG_WAIT_S, SHORT_WAIT_S
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.refusals import Refusals
from pulsebase.model.errors import (
    FieldError,
    OutcomeUnknownError,
    PulsebaseError,
    QueueFullError,
    RejectedError,
    RetryLaterError,
    StopError,
    TooManyNewPeopleError,
)
from pulsebase.model.metrics import HEART_RATE, METRICS, MetricSpec
from pulsebase.model.readings import ReadingBatch

#: How many refusals an answer lists.
SHOWN_ERRORS = 100
#: How many blocks may wait for their commit while the next one is read.
_OPEN_BLOCKS = 4
_SOURCE = "bulk"

_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {kind: {"schema": {"type": "string"}} for kind in READERS}}
}


@dataclass(slots=True)
class _Count:
    """Counts what became of a body's readings so far: of one metric, or of those that the readings name."""

    metric: MetricSpec | None
    total: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by the field at fault
    errors: list[FieldError] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # columns
    #: What waits for its commit: the rows of a block, and their positions in the body.
    open: deque[tuple[Future[Sequence[FieldError]], npt.NDArray[np.int64]]] = field(default_factory=deque)
    #: Readings queued since the body last waited for its turn. A turn admits one large block or several small ones.
    in_turn: int = 0

    @property
    def fields(self) -> ReadingFields:
        """The names of the body's columns or fields."""
        return METRIC_FIELDS if self.metric is None else fields_of(self.metric)

    def refuse(self, unread: list[FieldError], refusals: Refusals | None) -> None:
        """Count the readings of a block that could not be read or were refused, and keep the first ones by position."""
        self.rejected.update(error.field for error in unread)
        if refusals is not None:
            self.rejected.update(refusals.by_field())
        room = SHOWN_ERRORS - len(self.errors)
        if room > 0:
            refused = [] if refusals is None else refusals.errors(room)
            found = sorted([*unread, *refused], key=_place_of)[:room]
            self.errors = sorted([*self.errors, *found], key=_place_of)  # a block comes metric by metric

    def settle(self, most_open: int) -> None:
        """Wait until at most this many blocks are not committed yet."""
        while len(self.open) > most_open:
            done, positions = self.open.popleft()
            refused = done.result()
            self.accepted += len(positions) - len(refused)
            self.rejected.update(error.field for error in refused)
            room = max(0, SHOWN_ERRORS - len(self.errors))
            self.errors += [replace(error, index=int(positions[error.index or 0])) for error in refused[:room]]

    def drain(self) -> list[PulsebaseError]:
        """Wait until every block is committed or has failed. Return the errors of those that failed."""
        failures = []
        while self.open:
            try:
                self.settle(len(self.open) - 1)
            except PulsebaseError as error:
                failures.append(error)
        return failures

    def as_json(self) -> dict[str, Any]:
        rejected = self.rejected.total()
        errors = field_errors(sorted(self.errors, key=lambda error: error.index or 0))
        counts = {"accepted": self.accepted, "rejected": rejected, "total": self.total, "errors": errors}
        return counts | ({"passed_over": self.passed_over} if self.passed_over else {})


def _place_of(error: FieldError) -> int:
    return error.index or 0


def router(services: RequestServices) -> APIRouter:
    """`/metrics/heart-rate/bulk`, that of every other metric, and that of readings that name their metrics."""
    routes = APIRouter(route_class=SharedRoute, tags=["readings"])

    @routes.post("/metrics/heart-rate/bulk", status_code=202, response_model=BulkAccepted, openapi_extra=_BODY)
    async def ingest_bulk(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store any number of readings with the columns or fields `user_id`, `device_id`, `timestamp`, `heart_rate`
        and, optionally, `confidence`. The body is stored while it arrives, in blocks of at most 100,000 readings; each
        block becomes durable and visible as a whole or not at all. The answer counts the readings. `errors` lists the
        first 100 refusals, `passed_over` the columns that were ignored, such as the index of a data frame.
        """
        return await _ingested(services, request, HEART_RATE)

    @routes.post("/metrics/{metric}/bulk", status_code=202, response_model=BulkAccepted, openapi_extra=_BODY)
    async def ingest_bulk_of(
        request: Request, metric: Annotated[str, Path()], _: Annotated[NoParameters, Query()]
    ) -> Response:
        """Store any number of readings of a metric. This works as for heart rate, but the values are in a column or
        field named `value`.
        """
        return await _ingested(services, request, metric_in_path(metric))

    @routes.post("/readings/bulk", status_code=202, response_model=BulkAccepted, openapi_extra=_BODY)
    async def ingest_bulk_of_any(request: Request, _: Annotated[NoParameters, Query()]) -> Response:
        """Store any number of readings, each of which names its metric in the column or field `metric`. As for one
        metric, and a block's readings of each metric are visible whole or not at all.
        """
        return await _ingested(services, request, None)

    return routes


async def _ingested(services: RequestServices, request: Request, metric: MetricSpec | None) -> Response:
    """Store a body of one metric; without one, the readings name theirs."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body = BodyStream(request, services.options.bulk_limit_bytes, services.options.processor)
    count = _Count(metric)
    feeding = asyncio.create_task(body.feed())
    try:
        await UPLOADS.run(lambda: _store(services, body, media_type, count))
    finally:
        body.abandon()
        feeding.cancel()
    return Response(msgspec.json.encode({"status": "accepted"} | count.as_json()), 202, media_type=JSON)


def _store(services: RequestServices, body: BodyStream, media_type: str, count: _Count) -> None:
    """Store block after block, with a few commits still open while the next block is read.

    Raises:
        ProblemError: the rest of the body cannot be read. Says how many readings were committed before.
        RetryLaterError: a block cannot be committed. Says the same.
        OutcomeUnknownError: it is not known whether one or more blocks were committed.
    """
    try:
        with closing(blocks_of(body, media_type, services.decoders, count.fields)) as blocks:
            for block in blocks:
                _submit(services, block, count)
        count.settle(0)
    except (BrokenOffError, ProblemError, RejectedError, RetryLaterError, StopError, TooManyNewPeopleError) as error:
        failures: list[Exception] = [error, *count.drain()]
        unknown = [failure for failure in failures if isinstance(failure, OutcomeUnknownError)]
        raise _broken_off((unknown or failures)[0], count) from error
    finally:
        count.drain()
        count_readings(_SOURCE, count.accepted, count.rejected)
    if count.total and not count.accepted:
        raise ProblemError("nothing-accepted", "every reading of the body was refused", **count.as_json())


def _submit(services: RequestServices, block: Block, count: _Count) -> None:
    count.total += block.total
    count.passed_over += block.passed_over
    metric = METRICS.get(block.candidates.metric) if count.metric is None else count.metric
    if metric is None:  # none of its readings names one that is known
        count.refuse(block.errors, None)
        return
    verdict = validate(block.candidates, services.rules.of_metric(metric, count.fields.value), services.push_origin)
    count.refuse(block.errors, verdict.refusals)
    if verdict.accepted is not None:
        _queue(services, verdict.accepted, verdict.refusals.left_positions(), count)


def _queue(
    services: RequestServices,
    accepted: ReadingBatch,
    positions: npt.NDArray[np.int64],
    count: _Count,
) -> None:
    """Queue what may be stored of a block, once few enough of the body's blocks wait for their commits."""
    count.settle(_OPEN_BLOCKS - 1)
    give_up_at = monotonic() + (LONG_WAIT_S if count.open or count.accepted else SHORT_WAIT_S)
    readings = len(accepted)
    count.in_turn += readings
    within_turn = readings < count.in_turn <= BLOCK_READINGS
    services.ingestor.pace(readings, give_up_at - monotonic(), within_turn=within_turn)
    if not within_turn:
        count.in_turn = readings
    while True:
        try:
            done = services.ingestor.submit(accepted, give_up_at - monotonic())
        except QueueFullError:
            if not count.open:
                raise
            # This body's own blocks fill the queue, so wait here rather than have the client retry.
            count.settle(len(count.open) - 1)
        else:
            count.open.append((done, positions))
            return


def _broken_off(error: Exception, count: _Count) -> Exception:
    """Return the error, extended by how many readings of the body were committed nevertheless."""
    if count.total == 0 and not isinstance(error, BrokenOffError):
        return error
    stored = f"{count.accepted} readings of the body were stored"
    if isinstance(error, RetryLaterError | StopError | TooManyNewPeopleError):
        if count.accepted == 0:
            return error
        return partly_done(error, stored)
    slug = error.slug if isinstance(error, ProblemError) else "malformed-body"
    detail = f"{error}; {stored}"
    return ProblemError(slug, detail, **count.as_json())
