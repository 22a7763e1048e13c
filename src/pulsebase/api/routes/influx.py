"""What programs that write to InfluxDB 1 and 2 ask for: lines in, and what their clients ask before the first one.

These routes exist only at the root, where such clients expect them. What such programs ask is in `influx_queries`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import Future
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from pulsebase import telemetry
from pulsebase.access.caller import caller
from pulsebase.api.border.influx_errors import INFLUX_WRITE, influx_members
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.request_body import read_sent, worked_out
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.influx import (
    InfluxWriteParameters,
    LineProtocolParameters,
    PingParameters,
)
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.line_protocol import ReadLine, TooManyLinesError, own_line, parse_lines
from pulsebase.ingest.processor import ProcessorTime, TooCostlyError
from pulsebase.ingest.queue_items import Outcome
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import METRICS

_SOURCE = "line-protocol"
#: How many refusals an answer lists.
_SHOWN_ERRORS = 100
#: The version by which clients tell the protocol that is spoken, and who speaks it.
_VERSION = "1.8.10"
ABOUT = {"X-Influxdb-Version": _VERSION, "X-Influxdb-Build": "Pulsebase"}
#: Units of times as InfluxDB 1 names them, where InfluxDB 2 has another name.
_PRECISIONS = {"n": "ns", "u": "us"}


def router(services: RequestServices) -> APIRouter:
    """Return `/ping`, `/write` and `/api/v2/write`."""
    routes = APIRouter(route_class=SharedRoute, tags=["readings"])

    @routes.get(
        "/ping",
        status_code=204,
        response_model=None,
        responses={200: {"description": "The version, if `verbose` asks for it.", "content": {JSON: {}}}},
    )
    async def ping(parameters: Annotated[PingParameters, Query()]) -> Response:
        """Say that lines can be written here: 204, or the version as JSON if `verbose` is asked for."""
        if parameters.verbose is None or parameters.verbose.lower() in ("", "0", "false"):
            return Response(status_code=204, headers=ABOUT)
        return Response(msgspec.json.encode({"version": _VERSION}), 200, ABOUT, JSON)

    @routes.post("/write", status_code=204, response_model=None)
    async def write(request: Request, parameters: Annotated[InfluxWriteParameters, Query()]) -> Response:
        """Store readings in line protocol, as clients of InfluxDB 1 send them. What lines mean, the mapping of the
        database says; if it has none, they are those of `/api/v2/write`.
        """
        precision = _PRECISIONS.get(parameters.precision, parameters.precision)
        return await _written(services, request, parameters.db, precision)

    @routes.post("/api/v2/write", status_code=204, response_model=None)
    async def write_lines(request: Request, parameters: Annotated[LineProtocolParameters, Query()]) -> Response:
        """Store readings in InfluxDB line protocol: measurement `heart_rate`, tags `user_id` and `device_id`, field
        `bpm` and, if wanted, `confidence`. Of another metric the measurement is its name and the field `value`; in the
        measurement `vital_signs` each field is a metric. What lines of a bucket with a mapping mean, that says. Lines
        without a time are of now. Good lines are stored even if others are refused.
        """
        return await _written(services, request, parameters.bucket, parameters.precision)

    return routes


async def _written(services: RequestServices, request: Request, database: str | None, precision: str) -> Response:
    """Store the readings of a body of lines."""
    body, sent_bytes = await read_sent(request, services.options.body_limit_bytes)
    read = _reader(services, database)
    unread, offered = await worked_out(body, lambda: _offered(services, body, precision, read, sent_bytes))
    outcomes = [await asyncio.wrap_future(each) for each in offered]
    refused = sorted((error for each in outcomes for error in each.errors), key=_place_of)
    if unread or refused:
        return _partial_write(request, unread, refused)
    return Response(status_code=204, headers=_about(request))


def _about(request: Request) -> dict[str, str]:
    """Return what clients of InfluxDB 1 are told with every answer."""
    return ABOUT if request.scope["path"] == INFLUX_WRITE else {}


def _reader(services: RequestServices, database: str | None) -> ReadLine:
    """Return what understands the lines of a database. With its retention policy it is called `telegraf/autogen`."""
    name, mappings = database or "", services.line_mappings
    mapping = mappings.get(name) or mappings.get(name.partition("/")[0])
    if mapping is None:
        return own_line
    people = caller().principal.people
    return mapping.reader(next(iter(people)) if people is not None and len(people) == 1 else None)


def _offered(
    services: RequestServices, body: bytes, precision: str, read: ReadLine, sent_bytes: int
) -> tuple[list[FieldError], list[Future[Outcome]]]:
    """Why some lines cannot be read, and what becomes of the readings of the others, by metric.

    Raises:
        ProblemError: there are too many lines, or they take too much processor time.
    """
    time = ProcessorTime(services.options.processor, lambda: sent_bytes)
    try:
        lines = parse_lines(body, precision, wall_clock_us(), time, read)
    except TooManyLinesError as error:
        raise ProblemError("body-too-large", str(error)) from error
    except TooCostlyError as error:
        raise ProblemError("body-too-costly", f"{error}; nothing was stored") from None
    count_readings(_SOURCE, 0, Counter(error.field for error in lines.errors))
    telemetry.LINES_PASSED_OVER.inc(lines.passed_over)
    offered = [
        services.ingestor.offer(
            candidates, services.rules.of_metric(METRICS[metric], metric), services.push_origin, _SOURCE
        )
        for metric, candidates in lines.candidates.items()
    ]
    return lines.errors, offered


def _partial_write(request: Request, unread: list[FieldError], refused: list[FieldError]) -> Response:
    """Return an error in the shape that clients of the route show. Both lists are in the order of lines."""
    first = sorted([*unread[:_SHOWN_ERRORS], *refused[:_SHOWN_ERRORS]], key=_place_of)
    named = "; ".join(f"line {error.index}: {error.field} {error.reason}" for error in first[:_SHOWN_ERRORS])
    said = f"partial write: {named}; dropped={len(unread) + len(refused)}"
    body = influx_members(request.scope["path"], 400, said)
    return Response(msgspec.json.encode(body), 400, _about(request), media_type=JSON)


def _place_of(error: FieldError) -> int:
    return error.index or 0
