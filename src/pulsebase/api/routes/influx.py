"""What programs that write to InfluxDB 1 and 2 ask for: lines in, and what their clients ask before the first one.

These routes exist only at the root, where such clients expect them.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Query, Request, Response

from pulsebase import telemetry
from pulsebase.access.caller import caller
from pulsebase.api.border.influx_errors import INFLUX_WRITE, influx_members
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON
from pulsebase.api.codecs.request_body import FIELDS_BYTES, read_body, read_sent, worked_out
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.influx import (
    InfluxQueryParameters,
    InfluxWriteParameters,
    LineProtocolParameters,
    PingParameters,
)
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.line_protocol import ReadLine, TooManyLinesError, own_line, parse_lines
from pulsebase.ingest.processor import ProcessorTime, TooCostlyError
from pulsebase.ingest.queue_items import Outcome
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.metrics import METRICS

_SOURCE = "line-protocol"
#: How many refusals an answer lists.
_SHOWN_ERRORS = 100
#: The version by which clients tell the protocol that is spoken, and who speaks it.
_VERSION = "1.8.10"
_ABOUT = {"X-Influxdb-Version": _VERSION, "X-Influxdb-Build": "Pulsebase"}
#: Units of times as InfluxDB 1 names them, where InfluxDB 2 has another name.
_PRECISIONS = {"n": "ns", "u": "us"}

_DATABASE = r'(?:"(?:[^"\\]|\\.)+"|\w+)'
_CREATE_DATABASE = re.compile(rf"CREATE\s+DATABASE\s+{_DATABASE}(?:\s+WITH\s.+)?", re.IGNORECASE | re.DOTALL)
_SHOW_DATABASES = re.compile(r"SHOW\s+DATABASES", re.IGNORECASE)
_MOST_STATEMENTS = 100
_NOT_ANSWERED = (
    "is not answered here, where only SHOW DATABASES and CREATE DATABASE are; ask for readings at /v1/timeseries"
)


def router(services: RequestServices) -> APIRouter:
    """Return `/ping`, `/write`, `/query` and `/api/v2/write`."""
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
            return Response(status_code=204, headers=_ABOUT)
        return Response(msgspec.json.encode({"version": _VERSION}), 200, _ABOUT, JSON)

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

    @routes.get("/query", response_model=None)
    async def query(parameters: Annotated[InfluxQueryParameters, Query()]) -> Response:
        """Answer what clients of InfluxDB 1 ask before they write: `SHOW DATABASES` lists the mappings that the caller
        may use; `CREATE DATABASE` does nothing, since lines can be written to a database of any name.
        """
        return _answered(services, parameters.q)

    @routes.post("/query", response_model=None)
    async def query_in_form(request: Request, parameters: Annotated[InfluxQueryParameters, Query()]) -> Response:
        """The same, with `q` in the address or in a form."""
        asked = parameters.q
        if asked is None:
            body = await read_body(request, FIELDS_BYTES)
            asked = _in_form(body)
        return _answered(services, asked)

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
    return _ABOUT if request.scope["path"] == INFLUX_WRITE else {}


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


def _in_form(body: bytes) -> str | None:
    """Return the field `q` of a form."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=_MOST_STATEMENTS)
    except ValueError:
        raise ProblemError("malformed-body", "the body is no form") from None
    return next(iter(fields.get("q", ())), None)


def _answered(services: RequestServices, asked: str | None) -> Response:
    """Answer statements.

    Raises:
        RejectedError: there are none, too many, or some that are not answered.
    """
    statements = list(filter(None, map(str.strip, (asked or "").split(";"))))
    if not 1 <= len(statements) <= _MOST_STATEMENTS:
        raise RejectedError.of("q", f"must have 1 to {_MOST_STATEMENTS} statements")
    results = [{"statement_id": number} | _result(services, each) for number, each in enumerate(statements)]
    return Response(msgspec.json.encode({"results": results}), headers=_ABOUT, media_type=JSON)


def _result(services: RequestServices, statement: str) -> dict[str, object]:
    if _CREATE_DATABASE.fullmatch(statement):
        return {}
    if _SHOW_DATABASES.fullmatch(statement):
        return {"series": [{"name": "databases", "columns": ["name"], "values": [[name] for name in _names(services)]}]}
    raise RejectedError.of("q", _NOT_ANSWERED)


def _names(services: RequestServices) -> Iterable[str]:
    """The databases that have a mapping, but for those of people out of the caller's reach."""
    principal = caller().principal
    mappings = services.line_mappings.items()
    return [name for name, mapping in mappings if all(map(principal.reaches, mapping.people))]
