"""OpenTelemetry's SDK: the only module that imports it.

The SDK reads its own variables: endpoint, headers, sampler, queue. Its thread sends the spans; if the endpoint is slow
or down, it drops them.
"""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

#: How long the last spans may take at the stop of a process, seconds: everything before may need 9.5 of its 10.
FLUSH_S = 0.4
_W3C = TraceContextTextMapPropagator()
#: Source: W3C, Trace Context, section 3.2.
_FIELD = "traceparent"


class Tracer:
    """Makes spans and sends them."""

    def __init__(self, process: str, service_name: str) -> None:
        about = {SERVICE_NAME: service_name, "service.version": version("conferral"), "conferral.process": process}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._exporter: SpanExporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("conferral", version("conferral"))

    def stop(self) -> None:
        """Send what has gathered, within `FLUSH_S`."""
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)
        if flushing.is_alive():
            self._exporter.shutdown()  # ends its retries

    def span(
        self, name: str, attributes: Mapping[str, str | int], kind: str, parent: str | None
    ) -> AbstractContextManager[object]:
        """Return a span for a `with`."""
        context = contexts.get_current() if parent is None else _context_of(parent)
        if kind == "client" and not trace.get_current_span(context).get_span_context().is_valid:
            return _Activation(context)
        span = self._tracer.start_span(name, context, SpanKind[kind.upper()], attributes)
        return _Activation(trace.set_span_in_context(span, context), span)

    def within(self, traceparent: str) -> AbstractContextManager[object]:
        """Make an ended span the current one."""
        return _Activation(_context_of(traceparent))

    def annotate(self, attributes: Mapping[str, str | int]) -> None:
        """Add attributes to the current span."""
        trace.get_current_span().set_attributes(attributes)

    def traceparent(self) -> str:
        """Return the current span in W3C's form; empty without one."""
        fields: dict[str, str] = {}
        _W3C.inject(fields)
        return fields.get(_FIELD, "")


def _context_of(traceparent: str) -> Context:
    """Return the context of a span; an empty one if it is malformed."""
    return _W3C.extract({_FIELD: traceparent}, Context())


class _Activation:
    """Makes a context the current one, and ends its span."""

    def __init__(self, context: Context, span: trace.Span = trace.INVALID_SPAN) -> None:
        self._context = context
        self._span = span

    def __enter__(self) -> None:
        self._before = contexts.get_current()
        contexts.attach(self._context)

    def __exit__(self, error: type[BaseException] | None, *_more: object) -> None:
        if error is not None:  # its text, which the SDK would record, may quote a number
            self._span.set_status(StatusCode.ERROR)
            self._span.set_attribute("error.type", error.__qualname__)
        self._span.end()
        contexts.attach(self._before)  # not by a token: an abandoned request may be closed in another context
