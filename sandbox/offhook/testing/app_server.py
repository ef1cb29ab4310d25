"""A program's app, WSGI or ASGI, in a thread of the test's process."""

import asyncio
import inspect
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from socketserver import ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from offhook.clock import UnfrozenLoop

HOST = "127.0.0.1"
POLL_S = 0.05  #: How soon a server notices that it should end.

AsgiApplication = Callable[[Any, Any, Any], Awaitable[Any]]
App = WSGIApplication | AsgiApplication
Serve = Callable[[App], str]  #: The fixture `serve`.


def served(app: App, port: int = 0) -> AbstractContextManager[str]:
    """Serve an app until the end of the `with`; yield its URL.

    Raise TypeError for what is no app, ImportError without uvicorn (ASGI), RuntimeError if the app doesn't start.
    """
    if _takes(app, "environ", "start_response"):
        return _served_wsgi(cast("WSGIApplication", app), port)
    if _takes(app, "scope", "receive", "send"):
        return _served_asgi(cast("AsgiApplication", app), port)
    raise TypeError(f"serve takes a WSGI or an ASGI app, not {app!r}")


def _takes(app: object, *arguments: str) -> bool:
    try:
        inspect.signature(app).bind(*arguments)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


class _WsgiServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Log nothing: the sandbox logs the same requests."""


@contextmanager
def _served_wsgi(app: WSGIApplication, port: int) -> Iterator[str]:
    with _WsgiServer((HOST, port), _QuietHandler) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="your app", daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _served_asgi(app: AsgiApplication, port: int) -> Iterator[str]:
    try:
        uvicorn = import_module("uvicorn")
    except ImportError as error:
        raise ImportError(f"to serve an ASGI app, serve needs uvicorn ({error}): pip install uvicorn") from error
    # Without its own logging: what it logs, such as a traceback of the app, is then in pytest's report.
    config = uvicorn.Config(app, interface="asgi3", log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    def run() -> None:
        # uvicorn exits if the app's start fails.
        with suppress(SystemExit), asyncio.Runner(loop_factory=UnfrozenLoop) as runner:
            runner.run(server.serve([listening]))

    with socket.create_server((HOST, port)) as listening:
        thread = threading.Thread(target=run, name="your app", daemon=True)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(POLL_S / 10)
            if not server.started:
                raise RuntimeError(f"{app!r} does not start; the log says why")
            yield f"http://{HOST}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
