"""The OpenAPI documents: one of what anybody may ask, which clients are generated from, and one of the owner's routes.

The framework writes the documents. Here they are made fit for generators: short and distinct names, examples, the
errors that callers have to handle, and parameters that may be left out but are never null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from pulsebase.access.scopes import need_of
from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.schemas.service import Problem

Document = dict[str, Any]

#: Ids of operations whose function has a name that says too little beside all others.
_IDS = {
    "GET /metrics": "prometheus_metrics",
    "GET /v1/metrics": "list_metrics",
    "GET /v1/users/{user_id}/metrics": "list_metrics_of_user",
    "GET /v1/metrics/heart-rate": "heart_rate_minutes",
    "GET /v1/metrics/{metric}": "metric_minutes",
    "GET /v1/cohorts/{metric}": "metric_cohort",
    "GET /v1/users/{user_id}/{metric}/top-hours": "metric_top_hours",
    "GET /v1/users/{user_id}/sources": "list_sources_of_user",
    "GET /v1/etl/runs": "list_runs",
    "GET /v1/audit": "list_audit",
    "POST /v1/push/health-auto-export": "push_health_auto_export",
    "POST /v1/push/health-connect": "push_health_connect",
    "GET /ping": "influx_ping",
    "POST /write": "influx_write",
    "POST /api/v2/write": "influx_v2_write",
    "GET /query": "influx_query",
    "POST /query": "influx_query_in_form",
}
_TAGS = {
    "service": "Whether the server works, and what it is.",
    "readings": "Store, delete and list readings.",
    "influx": "What clients of InfluxDB ask and send.",
    "series": "Series at the resolution that fits the range, and streams of new readings.",
    "people": "People, their devices, and everything of theirs.",
    "cohorts": "Groups of people, and a person's highest hours.",
    "derived": "What is worked out from stored readings: variability, resting heart rates.",
    "imports": "Files that are read in the background.",
    "sources": "Wearable clouds that people connect.",
    "access": "Who did what.",
    "webhooks": "Addresses that are told what happens.",
    "signals": "Rules over what is stored, and whom they hold for now.",
    "admin": "The owner's, on the socket alone.",
}
_OF_INFLUX = ("/ping", "/write", "/api/v2/write", "/query")
#: What is taken because clients of InfluxDB send it, and has a name that generated code uses for its own.
HIDDEN_PARAMETERS = frozenset({"params"})
#: A value of each parameter as somebody would send it.
_EXAMPLES: Mapping[str, Any] = {
    "user_id": "ann",
    "user_ids": ["ann", "ben"],
    "device_id": "strap",
    "start": "2024-01-15",
    "end": "2024-01-21",
    "start_date": "2024-01-15",
    "end_date": "2024-01-21",
    "tz": "Europe/Berlin",
    "interval": "1h",
    "min_avg_heart_rate": 70,
    "source": "fitbit",
    "name": "takeout.zip",
    "import_id": 1,
    "annotation_id": "run-1",
    "signal_id": "high-at-night",
    "webhook_id": "our-alarms",
    "q": "SHOW DATABASES",
}
_METRIC = {"path": "oxygen-saturation", "query": ["heart_rate"]}
_READING = {"user_id": "ann", "device_id": "strap", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 61}
_SPO2 = {"user_id": "ann", "device_id": "ring", "timestamp": "2024-01-15T03:00:00Z", "value": 96.5}
_PERSON = {"name": "Ann", "gender": "female", "birth_date": "1990-05-01", "time_zone": "Europe/Berlin"}
#: A body of each schema as somebody would send it.
_BODIES: Mapping[str, Any] = {
    "Reading": _READING,
    "ReadingsBody": {"readings": [_READING]},
    "ValueReading": _SPO2,
    "ValueReadingsBody": {"readings": [_SPO2]},
    "MetricReading": _SPO2 | {"metric": "oxygen_saturation"},
    "MetricReadingsBody": {"readings": [_SPO2 | {"metric": "oxygen_saturation"}]},
    "PersonFields": _PERSON,
    "NewPerson": {"user_id": "ann"} | _PERSON,
    "PrioritySetting": {"priority": 1, "valid_from": "2024-01-15"},
    "Retry": {"ids": [1, 2]},
    "NewAnnotation": {"start": "2024-01-15T18:00:00Z", "end": "2024-01-15T18:45:00Z", "text": "a run, uphill"},
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}}
#: Errors that a program meets without being wrong, so that it has to handle them.
_ERRORS = {
    "409": "It cannot be done as things stand: the id is in use or was erased, or something has to end first.",
    "429": "The key or the address has sent, asked or holds more than it may; wait.",
    "503": "The server cannot do it now; `detail` says what was kept of the request.",
}
_CHANGES = ("post", "put", "patch", "delete")


def document_of(app: FastAPI, bodies: Sequence[type[BaseModel]], *, owners: bool) -> Document:
    """Return the document of the routes of the owner, or of all others.

    `bodies` are the schemas of bodies that routes decode themselves.
    """
    chosen = [route for route in app.routes if _is_owners(route) == owners]
    title = f"{app.title}, the owner's routes" if owners else app.title
    document = get_openapi(title=title, version=app.version, summary=app.summary, routes=chosen)
    wanted = [*([] if owners else [(model, "validation") for model in bodies]), (Problem, "serialization")]
    _, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    document["components"]["schemas"] |= definitions["$defs"]
    for path, method, operation in _operations(document):
        _name(operation, f"{method.upper()} {path}", path)
        _say_problems(operation, method)
        _say_scope(operation, method, path)
        _fill_parameters(operation)
        _fill_body(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    _title(document)
    used = {tag for _, _, operation in _operations(document) for tag in operation["tags"]}
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items() if name in used]
    return document


def _is_owners(route: BaseRoute) -> bool:
    return isinstance(route, LateRoute) and any(need_of(each, route.path) == "owner" for each in route.methods or ())


def _operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _name(operation: dict[str, Any], route: str, path: str) -> None:
    # The framework's id is the function's name, then the path and the method.
    generated = operation["operationId"]
    suffix = "".join(char if char.isalnum() else "_" for char in f"{path}_{route.partition(' ')[0].lower()}")
    operation["operationId"] = _IDS.get(route, generated.removesuffix(suffix))
    if path in _OF_INFLUX:
        operation["tags"] = ["influx"]


def _say_problems(operation: dict[str, Any], method: str) -> None:
    """Every operation can answer a problem; none answers the framework's own validation errors."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation["responses"]
    responses.pop("422", None)
    for status, text in _ERRORS.items():
        if status != "409":
            responses[status] = {"description": text, "headers": _RETRY_AFTER, "content": content}
        elif method in _CHANGES:
            responses[status] = {"description": text, "content": content}
    for status in ("4XX", "5XX"):
        responses[status] = {"description": "A problem (RFC 9457).", "content": content}


def _say_scope(operation: dict[str, Any], method: str, path: str) -> None:
    """Where access is on, what is not open takes a key; which scope, its description says."""
    need = need_of(method.upper(), path)
    operation["security"] = [{}] if need in ("open", "owner") else [{}, {"key": []}]
    if need == "key":
        operation["description"] += "\n\nAny key will do."
    elif need not in ("open", "owner"):
        operation["description"] += f"\n\nScope: `{need}`."


def _fill_parameters(operation: dict[str, Any]) -> None:
    """A parameter that may be left out cannot be sent as null, so its schema does not say so."""
    parameters = operation.get("parameters", [])
    parameters[:] = [each for each in parameters if each["name"] not in HIDDEN_PARAMETERS]
    for parameter in parameters:
        schema = parameter["schema"]
        choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
        if len(choices) > 1:
            schema["anyOf"] = choices
        for choice in choices[:1] if len(choices) == 1 else []:
            parameter["schema"] = choice | schema
        name = parameter["name"]
        example = _METRIC[parameter["in"]] if name == "metric" else _EXAMPLES.get(name)
        is_list = parameter["schema"].get("type") == "array"
        if name == "metric" and parameter["in"] == "query" and not is_list:
            example = "heart_rate"
        if name == "min_avg_heart_rate" and operation["operationId"] != "heart_rate_cohort":
            example = None  # of other metrics it is refused
        if example is not None:
            parameter["example"] = example


def _fill_body(operation: dict[str, Any]) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    if schema in _BODIES:
        content["example"] = _BODIES[schema]


def _title(document: Document) -> None:
    """Each schema of the document is titled by its own name, and nothing else has a title: generators name classes by
    titles, and the framework gives the same one to every field of a name.
    """
    _without_titles(document["paths"], named=False)
    for name, schema in document["components"]["schemas"].items():
        _without_titles(schema, named=False)
        schema["title"] = name
        for field in schema.get("properties", {}).values():
            field.pop("default", None)  # generators take a field with a default for one that has to be there


def _without_titles(part: Any, *, named: bool) -> None:
    if isinstance(part, dict):
        if not named:
            part.pop("title", None)
        for key, value in part.items():
            if key in ("default", "example", "examples", "enum", "const"):
                continue
            _without_titles(value, named=not named and key in ("properties", "schemas", "$defs", "headers", "content"))
    elif isinstance(part, list):
        for each in part:
            _without_titles(each, named=False)


def cached(make: Callable[[], Document]) -> Callable[[], Document]:
    """Return a function that makes the document once."""
    made: list[Document] = []

    def document() -> Document:
        if not made:
            made.append(make())
        return made[0]

    return document
