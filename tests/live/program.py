"""A small program in front of a Twilio: it answers each path with a document, and keeps what was requested."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Self, TypeVar
from urllib.parse import parse_qsl

T = TypeVar("T")
EMPTY = "<Response/>"
#: Between two reads of what changes without a request to the program, seconds.
_POLL_S = 0.2
#: How long a connection without a request is kept, seconds: no other request is read meanwhile.
_IDLE_S = 2


@dataclass(frozen=True, slots=True)
class Request:
    """A request of Twilio's."""

    path: str
    query: str
    fields: dict[str, str]
    #: When it arrived, on the monotonic clock.
    at_s: float = field(default_factory=time.monotonic)


@dataclass
class Program:
    """Documents by path; of several, each is given once, and the last one from then on."""

    port: int
    #: Where Twilio reaches it.
    url: str
    #: How long Twilio may take, seconds.
    patience_s: float
    documents: dict[str, list[str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    #: All of them, also those that a test has cleared.
    kept: list[Request] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        program = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _IDLE_S

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                path, _, query = self.path.partition("?")
                content = program.answer(Request(path, query, dict(parse_qsl(body, keep_blank_values=True)))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Requests have numbers."""

        # One request after another, in the order of their connections: the tests compare what arrived first.
        self._server = HTTPServer(("127.0.0.1", self.port), Handler)
        if not self.url:
            self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: Request) -> str:
        """Keep a request; return its document."""
        with self._changed:
            self.requests.append(request)
            self.kept.append(request)
            self._changed.notify_all()
            documents = self.documents.get(request.path, [EMPTY])
            return documents.pop(0) if len(documents) > 1 else documents[0]

    def seen(self, path: str, **fields: str) -> list[Request]:
        """Return the requests of a path that have these fields, oldest first."""
        wanted = fields.items()
        with self._changed:
            return [one for one in self.requests if one.path == path and wanted <= one.fields.items()]

    def expect(self, path: str, **fields: str) -> Request:
        """Wait for the first request of a path with these fields."""
        return self.until(lambda: next(iter(self.seen(path, **fields)), None), f"{path} with {fields}")

    def until(self, read: Callable[[], T | None], what: str) -> T:
        """Return what is there once it is; it may change with a request, or without."""
        deadline = time.monotonic() + self.patience_s
        while (found := read()) is None:
            assert time.monotonic() < deadline, f"not in time: {what}, but {self.story()}"
            with self._changed:
                self._changed.wait(_POLL_S)
        return found

    def story(self) -> list[str]:
        """Return what was requested, without numbers and SIDs."""
        with self._changed:
            return [
                f"{one.path} {one.fields.get('StatusCallbackEvent') or one.fields.get('CallStatus', '')}"
                for one in self.requests
            ]
