"""Traces: spans for OpenTelemetry, from a callback to its REST request.

Without an endpoint, or without the extra `otel`, nothing imports OpenTelemetry, and each function costs one call. Spans
hold ids and words from our own lists, never an address or an error's text.

Source: OpenTelemetry, Environment Variable Specification.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

if TYPE_CHECKING:
    from conferral.runtime.otel import Tracer

#: Field of stream and outbox entries that names the span they follow from. Source: W3C, Trace Context, section 3.2.
FIELD = "traceparent"
#: The attribute by which all traces of a session are found.
SESSION_ID = "conferral.session_id"

Attributes = Mapping[str, str | int]
#: A `client` has a span only within a trace: requests of the sweep begin none.
Kind = Literal["internal", "server", "client", "producer", "consumer"]

_tracer: "Tracer | None" = None
_OFF: AbstractContextManager[None] = nullcontext()


def is_wanted() -> bool:
    """Whether there is an endpoint, and tracing is not disabled."""
    given = os.environ.get
    is_disabled = given("OTEL_SDK_DISABLED", "").lower() == "true" or given("OTEL_TRACES_EXPORTER") == "none"
    return bool(given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given("OTEL_EXPORTER_OTLP_ENDPOINT")) and not is_disabled


def service_name() -> str:
    """Return the service's name, for logs and spans."""
    given = (one.split("=", 1) for one in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if "=" in one)
    attributes = {name.strip(): unquote(value.strip()) for name, value in given}
    return os.environ.get("OTEL_SERVICE_NAME") or attributes.get("service.name") or "conferral"


@contextmanager
def exporting(process: str) -> Iterator[None]:
    """Send spans while inside, if that is wanted."""
    global _tracer
    _tracer = _make_tracer(process) if is_wanted() else None
    try:
        yield
    finally:
        if _tracer is not None:
            _tracer.stop()
            _tracer = None


def _make_tracer(process: str) -> "Tracer | None":
    """Return a tracer; None, and a warning, if it can't be set up."""
    import structlog  # not at the start: `--help` stays fast

    log = structlog.get_logger()
    try:
        from conferral.runtime.otel import Tracer

        return Tracer(process, service_name())
    except ImportError:
        log.warning("tracing_unavailable", reason="the extra is not installed: pip install 'conferral[otel]'")
    except (ValueError, OSError) as error:
        name = type(error).__name__
        log.warning("tracing_unavailable", reason="an OTEL_ variable is invalid", error_type=name)
    return None  # calls matter more than traces


def span(
    name: str, attributes: Attributes, kind: Kind = "internal", parent: str | None = None
) -> AbstractContextManager[object]:
    """Return a span for a `with`; nothing while tracing is off.

    It follows from `parent`, a `traceparent`, by default from the current span; an empty one begins a trace.
    """
    return _OFF if _tracer is None else _tracer.span(name, attributes, kind, parent)


@contextmanager
def consumer_spans(spans: Iterable[tuple[str, str, Attributes, str]]) -> Iterator[dict[str, str]]:
    """Open spans for a `with`, each given as key, name, attributes, parent.

    It yields each one's `traceparent` by its key; nothing while tracing is off.
    """
    with ExitStack() as stack:
        traceparents = {}
        for key, name, attributes, parent in spans if _tracer is not None else ():
            stack.enter_context(span(name, attributes, "consumer", parent))
            traceparents[key] = traceparent()
        yield traceparents


def within(traceparent: str) -> AbstractContextManager[object]:
    """Return a `with` whose log lines name the trace of a span that has ended."""
    return _OFF if _tracer is None else _tracer.within(traceparent)


def annotate(attributes: Attributes) -> None:
    """Add attributes to the current span."""
    if _tracer is not None:
        _tracer.annotate(attributes)


def traceparent() -> str:
    """Return the current span for `FIELD`; empty without one."""
    return "" if _tracer is None else _tracer.traceparent()


def trace_id() -> str:
    """Return the current trace's id, 32 hexadecimal digits; empty without one."""
    return traceparent()[3:35]
