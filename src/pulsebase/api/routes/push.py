"""The hot path, where devices push one reading or a batch per request.

These handlers work without the framework: the middleware calls them directly for requests without query parameters. The
routes that document them in OpenAPI call them for all other requests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Request, Response

from pulsebase.access.caller import caller
from pulsebase.api.border.problems import ProblemError, field_errors
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.json_bodies import (
    decode_batch,
    decode_batch_of_metrics,
    decode_single,
    decode_single_of_metric,
)
from pulsebase.api.codecs.request_body import read_body, require_json, worked_out
from pulsebase.api.components import Components, RequestServices
from pulsebase.ingest import validate
from pulsebase.ingest.blocks import VALUE_FIELDS, ReadingFields, fields_of
from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.items import Parsed, columns_of_parsed
from pulsebase.ingest.newcomers import Allowance
from pulsebase.ingest.validate import OUT_OF_REACH
from pulsebase.model.errors import FieldError, PulsebaseError, RejectedError
from pulsebase.model.metrics import HEART_RATE, METRICS, MetricSpec

#: A reading that waits to be checked, the future that gets its result, and its allowance for new people.
_Single = tuple[Parsed, asyncio.Future[None], Allowance | None]
_SOURCE = "http"
#: Batches up to this size are decoded on the event loop. A usual one of 1,000 readings takes half a millisecond, the
#: worst one eight. In a thread the usual one would take a tenth longer.
_QUICK_BATCH_BYTES = 192 << 10
_SINGLE_ANSWER = msgspec.json.encode({"status": "accepted"})


class PushHandlers:
    """The handlers of `POST /metrics/heart-rate` and `POST /metrics/heart-rate/batch`."""

    def __init__(self, services: RequestServices, built: Components) -> None:
        self._services = services
        #: Without authorization, because the readings of several callers are written together. Each reading is checked
        #: for its own caller before.
        self._ingestor, self._rules, self._newcomers = built.ingestor, built.rules, built.newcomers
        self._limit_bytes = services.options.body_limit_bytes
        #: Single readings that arrived in this turn of the event loop. They are checked and queued together.
        self._singles: list[_Single] = []

    async def single(self, request: Request) -> Response:
        """Store one reading of heart rate.

        Raises:
            ProblemError, RejectedError: the body or the reading is refused.
            RetryLaterError: nothing was stored, or that is not known (`OutcomeUnknownError`); the same request may
                succeed later.
        """
        require_json(request)
        body = await read_body(request, self._limit_bytes)
        parsed = await worked_out(body, lambda: decode_single(body))
        asking = caller()
        if not asking.reaches(parsed[1]):
            raise RejectedError.of("user_id", OUT_OF_REACH)
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        if not self._singles:
            loop.call_soon(self._submit_singles)
        self._singles.append((parsed, stored, self._newcomers.of(asking)))
        await stored
        return Response(_SINGLE_ANSWER, 202, media_type=JSON)

    async def batch(self, request: Request) -> Response:
        """Store up to 1,000 readings of heart rate. The answer lists those that were refused.

        Raises:
            ProblemError, RejectedError: the body is refused, or every reading of it.
            RetryLaterError: nothing was stored, or that is not known (`OutcomeUnknownError`); the same request may
                succeed later.
        """
        return await self.batch_of(request, HEART_RATE)

    async def single_of(self, request: Request, metric: MetricSpec) -> Response:
        """Store one reading of another metric. Raises as `single`."""
        require_json(request)
        body = await read_body(request, self._limit_bytes)
        return await self._store_one(metric, decode_single(body, VALUE_FIELDS))

    async def batch_of(self, request: Request, metric: MetricSpec) -> Response:
        """Store up to 1,000 readings of a metric. Raises as `batch`."""
        require_json(request)
        fields = fields_of(metric)
        body = await read_body(request, self._limit_bytes)
        candidates, errors, total = await worked_out(body, lambda: decode_batch(body, fields), _QUICK_BATCH_BYTES)
        return await self._store_several({metric.name: candidates}, errors, total, fields)

    async def single_of_any(self, request: Request) -> Response:
        """Store one reading that names its metric. Raises as `single`."""
        require_json(request)
        metric, parsed = decode_single_of_metric(await read_body(request, self._limit_bytes))
        return await self._store_one(METRICS[metric], parsed)

    async def batch_of_any(self, request: Request) -> Response:
        """Store up to 1,000 readings that name their metrics. Raises as `batch`."""
        require_json(request)
        body = await read_body(request, self._limit_bytes)
        found, errors, total = await worked_out(body, lambda: decode_batch_of_metrics(body))
        return await self._store_several(found, errors, total)

    async def _store_one(self, metric: MetricSpec, parsed: Parsed) -> Response:
        if not caller().reaches(parsed[1]):
            raise RejectedError.of("user_id", OUT_OF_REACH)
        services = self._services
        rules = services.rules.of_metric(metric, VALUE_FIELDS.value)
        offered = services.ingestor.offer(columns_of_parsed([parsed]), rules, services.push_origin, _SOURCE)
        outcome = await asyncio.wrap_future(offered)
        if outcome.errors:
            raise RejectedError([FieldError(error.field, error.reason) for error in outcome.errors])
        return Response(_SINGLE_ANSWER, 202, media_type=JSON)

    async def _store_several(
        self,
        found: Mapping[str, Candidates | Decoded],
        errors: list[FieldError],
        total: int,
        fields: ReadingFields = VALUE_FIELDS,
    ) -> Response:
        """Store readings by metric, all in one commit if there is room for them, and say what became of them."""
        services = self._services
        count_readings(_SOURCE, 0, Counter(error.field for error in errors))
        offered = [
            services.ingestor.offer(
                candidates,
                services.rules.of_metric(METRICS[metric], fields.value),
                services.push_origin,
                _SOURCE,
            )
            for metric, candidates in found.items()
            if len(candidates)
        ]
        outcomes = [await asyncio.wrap_future(each) for each in offered]
        refused = [error for outcome in outcomes for error in outcome.errors]
        return _answer_of_batch(sum(each.accepted for each in outcomes), total, [*errors, *refused])

    def _submit_singles(self) -> None:
        """Check and queue the readings that arrived together. An error of one reading goes to its own request, an error
        of the queue to every request.
        """
        waiting, self._singles = self._singles, []
        try:
            rows = columns_of_parsed([(place, *parsed[1:]) for place, (parsed, _, _) in enumerate(waiting)])
            verdict = validate(rows, self._rules, self._services.push_origin)
            refused = {error.index: error for error in verdict.errors}
            count_readings(_SOURCE, 0, verdict.refusals.by_field())
            kept, allowances = [], []
            for place, (_, stored, allowance) in enumerate(waiting):
                error = refused.get(place)
                if error is None:
                    kept.append(stored)
                    allowances.append(allowance)
                else:
                    _fail(stored, RejectedError([FieldError(error.field, error.reason)]))
            if verdict.accepted is not None:
                done = asyncio.wrap_future(self._ingestor.submit_singles(verdict.accepted, allowances))
                done.add_done_callback(lambda done: _pass_on(done, kept))
        except Exception as error:  # every waiting request needs an answer
            for _, stored, _ in waiting:
                _fail(stored, error)


def _answer_of_batch(accepted: int, total: int, errors: list[FieldError]) -> Response:
    """Return the answer to a batch.

    Raises:
        ProblemError: no reading was accepted.
    """
    shown = field_errors(sorted(errors, key=lambda error: error.index or 0))
    counts: dict[str, Any] = {"accepted": accepted, "rejected": total - accepted, "total": total}
    if accepted == 0:
        raise ProblemError("nothing-accepted", "every reading of the batch was refused", errors=shown, **counts)
    return Response(msgspec.json.encode({"status": "accepted"} | counts | {"errors": shown}), 202, media_type=JSON)


def _pass_on(done: asyncio.Future[Mapping[int, PulsebaseError]], waiting: Sequence[asyncio.Future[None]]) -> None:
    failed = done.exception()
    refused = {} if failed is not None else done.result()
    if failed is None:
        named = [error.errors[0].field for error in refused.values() if isinstance(error, RejectedError)]
        count_readings(_SOURCE, len(waiting) - len(refused), Counter(named))
    for row, stored in enumerate(waiting):
        error = failed or refused.get(row)
        if error is not None:
            _fail(stored, error)
        elif not stored.done():
            stored.set_result(None)


def _fail(stored: asyncio.Future[None], error: BaseException) -> None:
    if not stored.done():  # its client may be gone
        stored.set_exception(error)
