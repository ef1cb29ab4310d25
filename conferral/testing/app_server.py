"""Your own app, in a thread, at an address known before."""

import socket
from contextlib import ExitStack
from typing import Self

from conferral.processes.subprocesses import HOST
from offhook.testing.app_server import App, served


def free_port() -> int:
    """Return a port that no one listens on now."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class AppAddress:
    """A reserved address; programs that allow its reuse can listen there, too."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self._port: int = self._socket.getsockname()[1]
        self._apps = ExitStack()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self._port}"

    def serve(self, app: App) -> None:
        """Serve an app there, until the end."""
        self._apps.enter_context(served(app, self._port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._apps.close()
        self._socket.close()
