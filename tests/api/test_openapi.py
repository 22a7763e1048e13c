"""The application against its own OpenAPI document: whatever is asked, no fault, and the shapes are as documented."""

import re
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import Api, reading
from tests.api.operations import is_stream

LOCAL = {"Host": "localhost"}


def test_the_document_is_one_that_clients_can_be_made_of(installed: Callable[..., Api]) -> None:
    api = installed()
    document, owners = api.get("/openapi.json").json(), api.parts.app.owner_openapi()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert [each for each in ids if not re.fullmatch("[a-z][a-z0-9_]{1,29}", each)] == []
    described = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations.values() for tag in operation["tags"]} == described
    assert all(path.startswith("/v1/admin/") for path in owners["paths"])
    assert not any("/admin" in path for path in document["paths"])
    for name, schema in document["components"]["schemas"].items():
        assert schema["title"] == name
        assert not [each for each in schema.get("properties", {}).values() if "title" in each], name
    for route, operation in operations.items():
        for status in ("429", "503"):
            assert "Retry-After" in operation["responses"][status]["headers"], route
        assert ("409" in operation["responses"]) == (not route.startswith("GET ")), route
        for parameter in operation.get("parameters", []):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", []), (route, parameter["name"])
            assert not parameter["required"] or "example" in parameter or parameter["name"] in WITHOUT_EXAMPLE, route


#: What only somebody knows who was told.
WITHOUT_EXAMPLE = {"ticket", "state", "erasure_id"}
PERSONAL = ("/v1/sources", "/v1/erasures/")


def test_examples_are_taken_as_they_are(installed: Callable[..., Api]) -> None:
    api = installed()
    document = api.get("/openapi.json").json()
    asked = set[str]()
    for method in ("post", "get"):  # what is asked for has to be there first
        for path, methods in document["paths"].items():
            if method not in methods:
                continue
            operation = methods[method]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            if (method == "post" and body is None) or path.startswith(PERSONAL) or is_stream(operation):
                continue
            given = {each["name"]: each["example"] for each in operation.get("parameters", []) if "example" in each}
            place = path.format(**given)
            query = {
                each["name"]: given[each["name"]]
                for each in operation.get("parameters", [])
                if "query" in each["in"] and each["name"] in given
            }
            answer = api.request(method, place, params=query, json=body)
            assert answer.status_code != 400, (method, path, answer.text)
            asked.add(path)
    assert {"/v1/timeseries", "/v1/readings/batch", "/v1/users/{user_id}/hrv", "/v1/cohorts/{metric}"} <= asked


def no_fault(context: Any, response: Any, case: Any) -> bool | None:
    """A server that says when to come again, since so many imports wait, is not at fault."""
    if response.status_code == 503 and "retry-after" in response.headers:
        return None
    return not_a_server_error(context, response, case)


CHECKS = [
    no_fault,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_whatever_is_asked_no_fault_and_shapes_as_documented(installed: Callable[..., Api]) -> None:
    api = installed(max_rows=1000)
    api.store(reading(), reading(user_id="bob"))
    document = api.get("/openapi.json").json()
    schema = schemathesis.openapi.from_asgi("/openapi.json", api.parts.app, headers=LOCAL)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == sum(len(methods) for methods in document["paths"].values())
    for operation in operations:
        if operation.path.endswith("/stream"):  # lasts as long as it is listened to; see test_stream and test_signals
            continue
        usual = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @settings(
            max_examples=25,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.one_of(usual, wrong))
        def ask(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, headers=LOCAL)

        ask()
