"""What programs that read from InfluxDB 1 ask: statements of InfluxQL. The route exists only at the root."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from pulsebase.access.caller import caller
from pulsebase.api.border.cancellation import while_connected
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute, rows_held
from pulsebase.api.codecs.answers import CSV, JSON
from pulsebase.api.codecs.influx_answers import AnswerForm, Epoch, as_csv, as_json
from pulsebase.api.codecs.request_body import FIELDS_BYTES, read_body
from pulsebase.api.components import RequestServices
from pulsebase.api.routes.influx import ABOUT
from pulsebase.api.schemas.influx import InfluxQueryParameters
from pulsebase.etl.transform.line_mapping import LineMapping
from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.service import Asked, read_statements, tells_of_nobody
from pulsebase.influxql.syntax import Statement
from pulsebase.influxql.words import Parameters
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import RejectedError
from pulsebase.stores.contract import Cancellation

_MOST_FIELDS = 32
#: Units of times by other names.
_EPOCHS: Mapping[str, Epoch] = {"n": "ns", "us": "u", "µ": "u"}
_CSV_TYPES = ("application/csv", CSV)
#: Shorter answers are not worth to be compressed.
_COMPRESSED_BYTES = 4 << 10
_FORMS: dict[int | str, dict[str, Any]] = {200: {"content": {JSON: {}, "application/csv": {}}}}


def router(services: RequestServices) -> APIRouter:
    """Return `/query`."""
    routes = APIRouter(route_class=SharedRoute, tags=["series"])

    @routes.get("/query", response_model=None, responses=_FORMS)
    async def query(request: Request, parameters: Annotated[InfluxQueryParameters, Query()]) -> Response:
        """Answer statements of InfluxQL as InfluxDB 1 does, as JSON or, by `Accept`, as CSV: `SELECT` and `SHOW`.
        `CREATE DATABASE` does nothing, since lines can be written to a database of any name. Questions about readings
        take the scope `read`.
        """
        return await _answered(services, request, parameters)

    @routes.post("/query", response_model=None, responses=_FORMS)
    async def query_in_form(request: Request, parameters: Annotated[InfluxQueryParameters, Query()]) -> Response:
        """The same, with parameters in the address or in a form."""
        body = await read_body(request, FIELDS_BYTES)
        return await _answered(services, request, _with_form(parameters, body))

    return routes


async def _answered(services: RequestServices, request: Request, parameters: InfluxQueryParameters) -> Response:
    """Answer statements.

    Raises:
        ProblemError: they cannot be read, are not answered, or the key is not for them.
        RejectedError: there are none, or `params` is wrong.
    """
    if not (parameters.q or "").strip():
        raise RejectedError.of("q", "is required")
    try:
        statements = read_statements(parameters.q or "", _given(parameters.params))
    except QuerySyntaxError as error:
        errors = [{"field": "q", "reason": str(error)}]
        raise ProblemError("invalid-request", f"error parsing query: {error}", errors=errors) from None
    _require_read(statements)
    return await while_connected(
        request, lambda cancellation: _answer(services, request, parameters, statements, cancellation)
    )


def _answer(
    services: RequestServices,
    request: Request,
    parameters: InfluxQueryParameters,
    statements: list[Statement],
    cancellation: Cancellation,
) -> Response:
    people = caller().principal.people
    asked = Asked(
        statements,
        parameters.db,
        next(iter(people)) if people is not None and len(people) == 1 else None,
        _may_see,
        wall_clock_us(),
        cancellation,
        rows_held(request),
    )
    answers = list(services.influxql.answers(asked))
    epoch = parameters.epoch
    form = AnswerForm(
        _EPOCHS.get(epoch, epoch) if epoch else None,  # type: ignore[arg-type]
        parameters.chunk_size if parameters.chunked else None,
        parameters.pretty,
    )
    accepted = request.headers.get("accept", "").lower()
    media_type = next((each for each in _CSV_TYPES if each in accepted), JSON)
    body = as_json(answers, form) if media_type == JSON else as_csv(answers, form)
    headers = ABOUT | {"Vary": "Accept, Accept-Encoding"}
    if len(body) > _COMPRESSED_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers = zlib.compress(body, 1, wbits=31), headers | {"Content-Encoding": "gzip"}
    return Response(body, headers=headers, media_type=media_type)


def _require_read(statements: list[Statement]) -> None:
    """Raise `ProblemError` if a statement is about readings, and the caller's key is not."""
    if not all(map(tells_of_nobody, statements)) and not caller().principal.holds("read"):
        raise ProblemError("missing-scope", "the key has no scope read")


def _may_see(mapping: LineMapping) -> bool:
    return all(map(caller().principal.reaches, mapping.people))


def _given(text: str | None) -> Parameters:
    """Return what `params` gives.

    Raises:
        RejectedError: it is no JSON object of texts, numbers and truths.
    """
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, str | int | float | bool])
    except msgspec.MsgspecError:
        raise RejectedError.of("params", "must be a JSON object of texts, numbers, true and false") from None


def _with_form(parameters: InfluxQueryParameters, body: bytes) -> InfluxQueryParameters:
    """Return the parameters of an address and of a form, which goes before."""
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise ProblemError("malformed-body", "the body is no form") from None
    try:
        return InfluxQueryParameters.model_validate(parameters.model_dump(exclude_unset=True) | fields)
    except ValidationError as error:
        raise RequestValidationError([each | {"loc": ("body", *each["loc"])} for each in error.errors()]) from None
