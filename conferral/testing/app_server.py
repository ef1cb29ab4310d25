"""Your own WSGI app, in a thread, at an address known before."""

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from conferral.processes.subprocesses import HOST

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def free_port() -> int:
    """Return a port that no one listens on now."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Log nothing: the sandbox logs the same requests."""


class AppAddress:
    """A reserved address; programs that allow its reuse can listen there, too."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self._port: int = self._socket.getsockname()[1]
        self._servers: list[tuple[_Server, threading.Thread]] = []

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self._port}"

    def serve(self, app: WsgiApp) -> None:
        """Serve an app there, until the end."""
        server = _Server((HOST, self._port), _QuietHandler)
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="your app", daemon=True)
        thread.start()
        self._servers.append((server, thread))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        for server, thread in self._servers:
            server.shutdown()
            thread.join()
            server.server_close()
        self._socket.close()
