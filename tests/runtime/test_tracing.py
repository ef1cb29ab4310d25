"""Traces: off without an endpoint, and harmless when the collector is down."""

import io
import json
import logging
import os
import subprocess
import sys
import time
from unittest.mock import patch

import pytest
import structlog

from conferral.runtime import log, tracing
from conferral.runtime.clock import SystemClock
from tests.support import plain_log
from tests.support.each import each
from tests.support.otlp_receiver import FOREIGN, FOREIGN_SPAN, FOREIGN_TRACE, OtlpReceiver
from tests.support.ports import free_port

#: Everything that the processes import, and a span.
USE = """
import sys
from conferral.main import main
main(["--version"])
from conferral.cli import submission
from conferral.processes import console, services
from conferral.runtime import log, tracing
log.configure("json", process="test")
with tracing.exporting("test"), tracing.span("a", {}):
    assert tracing.traceparent() == tracing.trace_id() == ""
print([name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module is not None])
"""
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def lines():
    stream = io.StringIO()
    with patch.dict(os.environ, {"OTEL_SERVICE_NAME": "calls"}):
        log.configure("json", stream, process="worker", cache_loggers=False)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    plain_log.configure()
    logging.basicConfig(force=True)


def ours(found):
    """Lines without those of the SDK's threads: one may outlast its test, and log in the next."""
    return [line for line in found if line["event"] != "library_logged"]


def test_nothing_of_opentelemetry_is_imported_unless_spans_are_sent():
    given = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = given | ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}
    ran = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, check=True, env=environment)
    assert (ran.stdout.splitlines()[1:], ran.stderr) == (["[]"], "")


@each("variables, expected", [
    ({}, False), (ENDPOINT, True), ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
    (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, False), (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
])  # fmt: skip
def test_spans_are_sent_if_there_is_an_endpoint_and_nothing_disables_them(variables, expected):
    with patch.dict(os.environ, variables):
        assert tracing.is_wanted() is expected


def test_process_without_the_extra_runs_without_traces_and_says_so(lines):
    hidden = {name: None for name in ("opentelemetry", *sys.modules) if name.startswith("opentelemetry")}
    with patch.dict(os.environ, ENDPOINT), patch.dict(sys.modules, hidden):
        sys.modules.pop("conferral.runtime.otel", None)
        with tracing.exporting("worker"), tracing.span("a", {}):
            assert tracing.traceparent() == tracing.trace_id() == ""
    (line,) = ours(lines())
    assert (line["event"], line["level"]) == ("tracing_unavailable", "warning")
    assert "conferral[otel]" in line["reason"]


def test_invalid_variable_of_opentelemetry_stops_no_process(lines):
    bad = {"OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"}
    with OtlpReceiver().running(**bad), tracing.exporting("worker"):
        assert tracing.traceparent() == ""
    (line,) = ours(lines())
    assert (line["event"], line["error_type"]) == ("tracing_unavailable", "ValueError")


def test_span_reaches_the_collector_with_its_parent_and_without_an_errors_text(lines):
    receiver = OtlpReceiver()

    def fail():
        with tracing.span("a", {"of": "it"}, "consumer", FOREIGN):
            tracing.annotate({tracing.SESSION_ID: "s"})
            with tracing.span("b", {}, "client"):
                structlog.get_logger().info("call_came_in")
            raise ValueError("+14155550123")

    with receiver.running(), tracing.exporting("worker"):
        with pytest.raises(ValueError):
            fail()
        assert tracing.traceparent() == ""
    inner, outer = receiver.spans
    assert (outer.trace_id, outer.parent_id, outer.has_failed) == (FOREIGN_TRACE, FOREIGN_SPAN, True)
    assert outer.attributes == {"of": "it", tracing.SESSION_ID: "s", "error.type": "ValueError"}
    assert (inner.trace_id, inner.parent_id, inner.has_failed) == (FOREIGN_TRACE, outer.span_id, False)
    assert "5550123" not in receiver.text
    assert outer.resource["service.name"] == "conferral"
    assert outer.resource["conferral.process"] == "worker"
    (line,) = ours(lines())
    assert (line["trace_id"], line["service"], line["process"]) == (FOREIGN_TRACE, "calls", "worker")
    assert (line["event"], line["message"]) == ("call_came_in", "call came in")


@each("variables, name", [
    ({}, "conferral"), ({"OTEL_SERVICE_NAME": "calls", "OTEL_RESOURCE_ATTRIBUTES": "service.name=phones"}, "calls"),
    ({"OTEL_RESOURCE_ATTRIBUTES": "nonsense, service.name = my%20phones,a=b=c"}, "my phones"),
])  # fmt: skip
def test_spans_and_log_lines_name_the_service_as_opentelemetry_says(variables, name):
    receiver = OtlpReceiver()
    with receiver.running(**variables), tracing.exporting("worker"), tracing.span("b", {}, parent=""):
        assert tracing.service_name() == name
    assert [span.resource["service.name"] for span in receiver.spans] == [name]


def test_request_to_twilio_outside_of_a_trace_begins_none():
    receiver = OtlpReceiver()
    with receiver.running(), tracing.exporting("worker"), tracing.span("GET calls", {}, "client"):
        pass
    assert receiver.spans == []


def test_spans_of_a_batch_each_have_their_own_trace():
    receiver = OtlpReceiver()
    with receiver.running(), tracing.exporting("worker"):
        wanted = [("1-0", "a", {}, FOREIGN), ("1-1", "b", {}, "nonsense")]
        with tracing.consumer_spans(iter(wanted)) as traceparents:
            pass
        with tracing.within(traceparents["1-0"]):
            assert tracing.trace_id() == FOREIGN_TRACE
        assert tracing.trace_id() == ""
    by_name = {span.name: span for span in receiver.spans}
    assert traceparents == {
        "1-0": f"00-{FOREIGN_TRACE}-{by_name['a'].span_id}-01",
        "1-1": f"00-{by_name['b'].trace_id}-{by_name['b'].span_id}-03",
    }
    assert by_name["b"].parent_id == ""


@each("status", [None, 0, 503])
def test_collector_that_is_down_slow_or_refusing_delays_nothing_and_fills_no_log(lines, status):
    clock, receiver = SystemClock(), OtlpReceiver(status or 0)
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"} if status is None else {}
    with receiver.running(OTEL_BSP_SCHEDULE_DELAY="1", **away):
        with tracing.exporting("worker"):
            began_s, spans = time.thread_time(), 5_000
            for _ in range(spans):
                with tracing.span("a", {}, parent=""):
                    pass
            assert (time.thread_time() - began_s) / spans < 0.001
            stopping_s = clock.monotonic_s()
        assert clock.monotonic_s() - stopping_s < 2
    # Others' coroutines may log as they are collected.
    found = [line["level"] for line in lines() if line["event"] in ("library_logged", "tracing_unavailable")]
    assert set(found) <= {"warning"}
    assert len(found) <= 6, "a line a minute for each place"
