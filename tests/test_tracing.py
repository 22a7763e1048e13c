"""Spans of a request reach whoever collects them, as one trace, and tell nothing of whom they are about."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pulsebase import tracing
from tests.support.process import Place, reading, serving

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector(http.server.ThreadingHTTPServer):
    """Takes spans, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1/traces"
        self.bodies: list[bytes] = []

    @property
    def spans(self) -> list[Span]:
        found = []
        for body in self.bodies:
            for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
                found += [span for scope in of_process.scope_spans for span in scope.spans]
        return found


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.05,))
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def said_by(span: Span) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_spans_of_a_request_make_one_trace(collector: Collector, tmp_path: Path) -> None:
    with serving(Place(tmp_path / "pulse", traces_url=collector.url)) as server:
        assert server.post([reading("secret-person", 0, 123.45)]).status_code == 202
        asked = {"user_ids": "secret-person", "start_date": "2024-01-01", "end_date": "2024-01-02"}
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "from-the-proxy"}
        server.client.get("/v1/multi-user/timeseries", params=asked, headers=headers).raise_for_status()
        server.client.request("PROPFIND", "/v1/users")
        assert server.stop() == 0
    spans = {span.name: span for span in collector.spans}
    assert {"commit", "POST /metrics/heart-rate/batch", "store series"} <= spans.keys()
    assert [name for name in spans if name.startswith("other ")]
    request, question = spans["GET /multi-user/timeseries"], spans["store series"]
    assert request.trace_id.hex() == question.trace_id.hex() == TRACE
    assert (request.parent_span_id.hex(), question.parent_span_id) == ("b7ad6b7169203331", request.span_id)
    assert said_by(request) == {
        "request_id": "from-the-proxy",
        "http.request.method": "GET",
        "http.route": "/multi-user/timeseries",
        "http.response.status_code": 200,
    }
    assert said_by(question) == {"rung": "1h"}
    assert all(word not in body for body in collector.bodies for word in (b"secret", b"123.45"))


def test_a_span_that_fails_says_with_what_and_nothing_of_its_words(collector: Collector) -> None:
    with tracing.started(collector.url), pytest.raises(ValueError, match="a secret"), tracing.span("broken"):
        raise ValueError("a secret")
    (span,) = collector.spans
    assert (span.name, said_by(span), span.status.message) == ("broken", {"error.type": "ValueError"}, "")
    assert not span.events
    assert all(b"secret" not in body for body in collector.bodies)


def test_nothing_is_recorded_unless_it_is_wanted(collector: Collector) -> None:
    with tracing.started(None), tracing.span("unwanted") as span:
        assert (span, tracing.on()) == (None, False)
    assert collector.bodies == []
