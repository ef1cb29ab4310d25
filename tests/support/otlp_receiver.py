"""A collector on loopback that keeps the spans it gets, over OTLP with HTTP and Protobuf."""

import gzip
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from unittest.mock import patch

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

#: The W3C's own example of a trace that someone else has begun.
FOREIGN_TRACE, FOREIGN_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FOREIGN = f"00-{FOREIGN_TRACE}-{FOREIGN_SPAN}-01"


class SeenSpan(NamedTuple):
    """A span as it was received; ids in hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str | int]
    has_failed: bool
    resource: dict[str, str | int]


class OtlpReceiver:
    """Keeps spans; `status` is what it answers, 0 for nothing at all until the end."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests = 0
        #: All that came, as text: nothing in it may be private.
        self.text = ""
        self._spans: list[SeenSpan] = []
        self._end = threading.Event()

    @property
    def spans(self) -> list[SeenSpan]:
        return list(self._spans)

    def path_to(self, span: SeenSpan) -> list[str]:
        """The names from the trace's first span to this one."""
        parents = [one for one in self.spans if one.span_id == span.parent_id]
        return [*(self.path_to(parents[0]) if parents else []), span.name]

    @contextmanager
    def running(self, **changes: str) -> Iterator[None]:
        """Serves; the environment leads to it until the end."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        try:
            with patch.dict(os.environ, variables | changes):
                yield
        finally:
            self._end.set()
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver, end, keep = self, self._end, self._keep

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests += 1
                if not receiver.status:
                    end.wait()
                    return
                keep(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_about: object) -> None:
                pass

        return Handler

    def _keep(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.text += str(request)
        for one in request.resource_spans:
            for scope in one.scope_spans:
                self._spans += [
                    SeenSpan(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        _values(span.attributes),
                        span.status.code == span.status.STATUS_CODE_ERROR,
                        _values(one.resource.attributes),
                    )
                    for span in scope.spans
                ]


def _values(attributes: object) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in attributes}
