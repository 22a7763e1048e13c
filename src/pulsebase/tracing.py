"""What ties together everything that one request did: its id in the log, and OpenTelemetry spans where they are wanted.

Spans are off unless `started`; then they go out over OTLP. Names and attributes are route templates, kinds, counts and
the request's id, as in metrics: no id of a person or a device.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pulsebase.model.errors import StopError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

#: The id of the request that is being answered; empty outside of one.
REQUEST_ID: ContextVar[str] = ContextVar("pulsebase_request_id", default="")

_tracer: Tracer | None = None


def on() -> bool:
    """Whether spans are recorded."""
    return _tracer is not None


@contextlib.contextmanager
def started(url: str | None) -> Iterator[None]:
    """Record spans during the block and send them to `url` (OTLP over HTTP); without one, none.

    Raises:
        StopError: the packages of the extra `otel` are not installed.
    """
    global _tracer  # noqa: PLW0603 one place for the process, as the metrics have
    if url is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StopError("PULSEBASE_TRACES_URL needs more packages; in the checkout: pip install '.[otel]'") from error
    name = os.environ.get("OTEL_SERVICE_NAME", "pulsebase")
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    _tracer = provider.get_tracer("pulsebase")
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()  # sends what waits


@contextlib.contextmanager
def span(name: str, headers: Mapping[str, str] | None = None, **attributes: str | float) -> Iterator[Any]:
    """A span of what the block does, below the one it runs in; None where spans are off.

    `headers` are those of a request from outside, whose own span (`traceparent`) is then the one above.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if headers is None:
        above, kind = None, SpanKind.INTERNAL
    else:
        above, kind = TraceContextTextMapPropagator().extract(headers), SpanKind.SERVER
    # What an exception says may name what it is about, so of its text nothing goes out.
    with _tracer.start_as_current_span(
        name, above, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as recorded:
        try:
            yield recorded
        except Exception as error:
            recorded.set_attribute("error.type", type(error).__name__)
            recorded.set_status(Status(StatusCode.ERROR))
            raise
