"""Bodies without end, on every route."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi.routing import APIRoute

from pulsebase.access.scopes import is_owners
from pulsebase.api.codecs.request_body import FIELDS_BYTES, FieldsRoute
from tests.threats.conftest import Guarded, guarded

#: Routes that keep what comes in files, or store it as it comes, up to limits of their own.
_STREAMED = ("/imports", "/metrics/heart-rate/bulk", "/metrics/{metric}/bulk", "/readings/bulk")


@pytest.fixture(scope="module")
def place() -> Iterator[Guarded]:
    with guarded(body_limit_bytes=1 << 20) as place:
        yield place


def routes_in(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    """The routes of the framework, by their paths."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from routes_in(route.original_router.routes, prefix + route.include_context.prefix)
        elif isinstance(route, APIRoute):
            yield prefix + route.path, route


def test_no_body_that_never_ends_is_read(place: Guarded) -> None:
    tried = 0
    for template, route in routes_in(place.parts.app.routes):
        if template.removeprefix("/v1") in _STREAMED:
            continue
        for method in (route.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            sent = itertools.count()

            def body(sent: Any = sent) -> Iterator[bytes]:
                yield b'{"a":"'
                while next(sent) < 4:
                    yield b" " * (1 << 20)

            path = template.format(
                user_id="ann",
                device_id="a",
                source="fitbit",
                import_id=1,
                erasure_id="a",
                metric="spo2",
                webhook_id="a",
                signal_id="a",
                annotation_id="a",
            )
            answer = place.owner.request(method, path, content=body(), headers={"content-type": "application/json"})
            assert answer.status_code in (400, 403, 404, 405, 413), (method, path)
            tried += answer.status_code == 413
    assert tried > 10


def test_what_the_framework_makes_fields_of_is_bounded_first(place: Guarded) -> None:
    """By itself the framework reads all that comes. What the owner's own commands send, nobody else may."""
    found = routes_in(place.parts.app.routes)
    with_fields = [route for path, route in found if route.body_field is not None and not is_owners(path)]
    assert with_fields
    assert {type(route) for route in with_fields} == {FieldsRoute}


def test_fields_beyond_the_limit_are_refused_and_others_read(place: Guarded) -> None:
    path = "/v1/sources/fitbit/authorize"
    answer = place.owner.post(path, content=b'{"user_id":"ann"}' + b" " * FIELDS_BYTES)
    assert (answer.status_code, answer.json()["detail"]) == (413, f"the body is larger than {FIELDS_BYTES} bytes")
    assert place.owner.post(path, json={"user_id": "ann"}).status_code in (200, 404, 409)
    assert place.owner.post(path, json={"user_id": "nobody's"}).json()["errors"][0]["field"] == "user_id"
