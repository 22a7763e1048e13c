"""HEAD wherever GET is: the same status and headers, no body, by the same rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.routing import Mount, Route

from pulsebase.access.scopes import NEEDS
from tests.api.conftest import Api, reading
from tests.api.heart_rate_questions import AsOwner
from tests.support.in_process import InProcessClient
from tests.support.process import wait_until

SPAN = {"start": "2024-01-15", "end": "2024-01-16"}
DATES = {"start_date": "2024-01-15", "end_date": "2024-01-16"}
#: What each GET route is asked with; nothing for those that need nothing.
PARAMETERS: dict[str, dict[str, str]] = {
    "/metrics/heart-rate": {"user_id": "ann"} | SPAN,
    "/metrics/{metric}": {"user_id": "ann"} | SPAN,
    "/users/{user_id}/{metric}/top-hours": SPAN,
    "/timeseries": {"user_id": "ann"} | DATES,
    "/multi-user/timeseries": {"user_ids": "ann"} | DATES,
    "/stream": {"user_ids": "ann"},
    "/query": {"q": "SHOW DATABASES"},
    "/cohorts/heart-rate": {"min_avg_heart_rate": "60"} | SPAN,
    "/cohorts/{metric}": SPAN,
    "/users/{user_id}/heart-rate/top-hours": SPAN,
    "/users/{user_id}/hrv": DATES,
    "/users/{user_id}/resting-heart-rate": DATES,
    "/admin/records": {"kind": "people"},
}
#: What answers with something else than what it is for: a redirection, and things that are not there.
WITHOUT = {"/app", "/app/", "/imports/{import_id}", "/erasures/{erasure_id}"}
WITHOUT |= {"/webhooks/{webhook_id}", "/webhooks/{webhook_id}/deliveries", "/signals/{signal_id}"}
WITHOUT |= {"/sources/{source}/authorize", "/sources/{source}/consent", "/sources/{source}/callback"}
#: Headers that say something of this one answer.
OWN = {"x-request-id", "date", "ratelimit", "pulsebase-place"}


def places_in(routes: Any) -> Iterator[tuple[str, str]]:
    """The path of each GET route, and the name without the version under which it stands in `PARAMETERS`."""
    for route in routes:
        if isinstance(route, Route):
            if "GET" in (route.methods or ()):
                yield route.path, route.path.removeprefix("/v1") or "/"
        else:
            assert isinstance(route, Mount), route
            yield f"{route.path}/", f"{route.path}/"


@pytest.fixture
def ann(api: Api) -> Api:
    api.store(reading(), reading("2024-01-15T10:00:05Z"))
    fields = {name: value for name, value in reading().items() if name != "heart_rate"}
    assert api.post("/v1/metrics/spo2", json=fields | {"value": 97}).status_code == 202
    return api


def comparable(answer: Any) -> tuple[int, dict[str, str]]:
    return answer.status_code, {name: value for name, value in answer.headers.items() if name not in OWN}


def url_of(path: str) -> str:
    for name, value in {
        "user_id": "ann",
        "import_id": "1",
        "erasure_id": "1",
        "webhook_id": "1",
        "signal_id": "1",
        "source": "none",
        "metric": "spo2",
    }.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path
    return path


def as_owner(api: Api) -> InProcessClient:
    """A client over the owner's socket, for whom there are all routes."""
    return InProcessClient(AsOwner(api.parts.app))


def test_every_route_that_answers_get_answers_head_alike(ann: Api) -> None:
    seen, owner = set(), as_owner(ann)
    for path, name in places_in(ann.parts.app.routes):
        url = f"{url_of(path)}?{urlencode(PARAMETERS.get(name, {}))}"
        head = owner.head(url, follow_redirects=False)
        assert head.content == b"", path
        if name in ("/stream", "/signals/stream"):  # GET would never end
            assert head.status_code == 200
            assert head.headers["content-type"].startswith("text/event-stream")
        elif path == "/metrics":  # other figures each time
            assert head.status_code == ann.get(url).status_code == 200
            assert int(head.headers["content-length"]) > 1_000
        else:
            get = owner.get(url, follow_redirects=False)
            assert comparable(head) == comparable(get), path
            assert get.status_code < 300 or name in WITHOUT, path
        seen.add(name)
    assert {need.removeprefix("GET ") for need in NEEDS if need.startswith("GET ")} <= seen
    assert {"/docs", "/redoc", "/openapi.json", "/app"} <= seen


@pytest.mark.parametrize("path", ["/v1/timeseries", "/v1/nothing", "/v1/users/nobody", "/v1/metrics/heart-rate/batch"])
def test_what_get_refuses_head_refuses(ann: Api, path: str) -> None:
    head, get = ann.head(path), ann.get(path)
    assert head.content == b""
    assert head.status_code == get.status_code >= 400
    assert head.headers["content-type"] == get.headers["content-type"] == "application/problem+json"
    assert head.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/users", "GET, HEAD, POST"),
        ("PUT", "/v1/metrics/heart-rate", "DELETE, GET, HEAD, POST"),
        ("HEAD", "/v1/metrics/heart-rate/batch", "POST"),
        ("GET", "/v1/metrics/heart-rate/bulk", "POST"),
        ("POST", "/users/ann/devices", "GET, HEAD"),
        ("BREW", "/health", "GET, HEAD"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("POST", "/v1/users/ann", "DELETE, GET, HEAD, PATCH, PUT"),
    ],
)
def test_a_refused_method_hears_which_there_are(api: Api, method: str, path: str, allow: str) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


def test_the_document_has_each_operation_once(api: Api) -> None:
    document = json.loads(api.get("/openapi.json").content)
    assert not any("head" in operations for operations in document["paths"].values())


def test_head_of_an_export_reads_nothing_of_the_store(ann: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    export = ann.parts.store.export

    def noted(*args: Any) -> Iterator[Any]:
        asked.append(args)
        yield from export(*args)

    monkeypatch.setattr(ann.parts.store, "export", noted)
    for path in ("/v1/users/ann/export", "/v1/admin/export"):
        assert as_owner(ann).head(path).status_code == 200
    assert asked == []
    assert ann.get("/v1/users/ann/export").status_code == 200
    assert [args[2] for args in asked] == [["heart_rate"], ["oxygen_saturation"]]


def test_head_of_a_stream_leaves_nobody_listening(installed: Callable[..., Api]) -> None:
    api = installed(stream_subscribers=1)
    for _ in range(3):
        assert api.head("/v1/stream", params={"user_ids": "ann"}).status_code == 200
    wait_until(lambda: b"pulsebase_stream_subscribers 0.0" in api.get("/metrics").content, "nobody listens")


def test_head_counts_under_its_own_name(api: Api) -> None:
    api.head("/v1/users")
    lines = api.get("/metrics").text.splitlines()
    assert any(line.startswith('pulsebase_http_requests_total{method="HEAD"') for line in lines)
