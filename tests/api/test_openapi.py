"""The application against its own OpenAPI document: whatever is asked, no fault, and the shapes are as documented."""

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

LOCAL = {"Host": "localhost"}


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
        if operation.path == "/v1/stream":  # lasts as long as it is listened to; see test_stream
            continue
        usual = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @settings(
            max_examples=60,
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
