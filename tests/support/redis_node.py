"""One redis-server on a port of loopback: a node of a cluster, a primary, a replica, or a Sentinel."""

import os
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Self

import redis

from tests.support.fair_time import watch_process
from tests.support.ports import HOST
from tests.support.redis_server import ServerProcess

#: How long servers may take to agree on anything, seconds.
PATIENCE_S = 40.0


class Node(ServerProcess):
    """`kill` and `start` keep its folder, so that its append-only file survives.

    Args:
        program: Which redis-server.
        folder: Where its own folder is made.
        port: Where it listens.
        options: Its settings, beyond those of every node.
        host: The address of loopback where it listens and from which it connects: Linux has all of 127.0.0.0/8.
    """

    def __init__(self, program: Path, folder: Path, port: int, options: Iterable[object], *, host: str = HOST) -> None:
        self.program = program
        self.folder = folder / str(port)
        self.folder.mkdir()
        self.port = port
        self.host = host
        self.options = list(options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.port} {'up' if self.is_up else 'down'}>"

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def arguments(self) -> list[object]:
        """What the program is started with."""
        return [
            "--port", self.port, *bound_to(self.program, self.host), "--dir", self.folder,
            "--logfile", self.folder / "log.txt", "--loglevel", "notice",
            "--save", "", "--repl-diskless-sync-delay", 0, *self.options,
        ]  # fmt: skip

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.program, *map(str, self.arguments())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        watch_process(self.process.pid)
        until(lambda: bool(self.ask("PING")), f"{self!r} answers")

    def client(self) -> "redis.Redis":
        """A client of this node alone."""
        return redis.Redis(host=self.host, port=self.port, decode_responses=True, socket_timeout=5)

    def ask(self, *command: str) -> Any:
        """One command to this node alone."""
        with self.client() as client:
            return client.execute_command(*command)

    def is_primary(self) -> bool:
        return str(self.ask("ROLE")[0]) == "master"


class NodeGroup(ABC):
    """Nodes in one folder, which start and end together."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"conferral-{name}-"))

    def __enter__(self) -> Self:
        with ExitStack() as undoing:
            undoing.callback(self.__exit__)
            self.start()
            undoing.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        for node in self.all_nodes():
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def all_nodes(self) -> Sequence[Node]:
        """All that may run."""

    @abstractmethod
    def start(self) -> None:
        """Starts them, and waits until they work together."""


def bound_to(program: Path, host: str) -> list[object]:
    """Settings with which a server listens on an address of loopback, and connects from it.

    Before Redis 7, `bind` alone does both. Source: redis.conf of 6.2 and 7.0.
    """
    return ["--bind", host, *(["--bind-source-addr", host] if version_of(program) >= (7, 0) else [])]


@cache
def version_of(program: Path) -> tuple[int, ...]:
    """The version of a server program."""
    line = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return tuple(map(int, line.partition(" v=")[2].split()[0].split(".")))


def until(holds: Callable[[], bool], what: str) -> None:
    """Waits until something holds; an error of Redis means that it does not yet."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < until_s, f"not within {PATIENCE_S} s: {what}"
        os.sched_yield()
        time.sleep(0.02)
