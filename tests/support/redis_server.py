"""Real redis-servers for tests: on a unix socket in a folder of their own, without persistence unless asked for."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Self

import redis

from tests.support.fair_time import forget_process, watch_process

BUNDLED = Path(sys.prefix) / "libexec" / "conferral" / "redis-server"


#: Paths of further programs that tests of Redis are to run on, such as Valkey's, with colons between them.
SETTING = "CONFERRAL_TEST_REDIS_SERVERS"


def found_programs() -> dict[str, Path]:
    """Every redis-server there is, by a name: the one of our own, the one on PATH, and those that the setting names."""
    programs = {}
    if BUNDLED.exists():
        programs["bundled"] = BUNDLED
    on_path = shutil.which("redis-server")
    if on_path:
        programs["on-path"] = Path(on_path)
    for named in filter(None, os.environ.get(SETTING, "").split(":")):
        assert Path(named).exists(), f"{SETTING}: there is no {named}"
        programs[Path(named).name if Path(named).name not in programs else named] = Path(named)
    return programs


class ServerProcess:
    """The process of a server, once it is started."""

    process: subprocess.Popen[bytes] | None = None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As kill -9 does: nothing is written that was not written before. A paused one goes too."""
        if self.process is not None:
            forget_process(self.process.pid)
            self.process.kill()
            self.process.wait()
            self.process = None


class RedisServer(ServerProcess):
    """One server. `kill` and `start` keep its data folder, so that an append-only file survives.

    Args:
        program: Which redis-server.
        append_only: Whether it keeps an append-only file.
        port: Where it listens on loopback next to its socket, for a replica; nowhere by default.
        ignores_file_size: Whether a file that may not grow is an error to it, as a full disk is, and not its end.
    """

    def __init__(
        self, program: Path, *, append_only: bool = False, port: int = 0, ignores_file_size: bool = False
    ) -> None:
        self.program = program
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="conferral-redis-"))
        self.append_only = append_only
        self.ignores_file_size = ignores_file_size

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        arguments = ["--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.socket, "--dir", self.folder,
                     "--save", "", "--loglevel", "warning"]  # fmt: skip
        if self.append_only:
            # `everysec` keeps writes in memory, which kill -9 loses, while a slow disk takes the ones before.
            arguments += ["--appendonly", "yes", "--appendfsync", "no"]
        self.process = subprocess.Popen(
            [self.program, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Python ignores SIGXFSZ, and so do its children where it does not take that back.
            restore_signals=not self.ignores_file_size,
        )
        watch_process(self.process.pid)
        self._wait_until_ready()

    @property
    def append_only_file(self) -> Path:
        """The file that grows: the only one of Redis 6, the newest of Redis 7."""
        return max(
            [*self.folder.glob("appendonly.aof"), *self.folder.glob("appendonlydir/*.incr.aof")],
            key=lambda path: path.stat().st_mtime_ns,
        )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + 20
        while True:
            try:
                with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1) as client:
                    client.ping()
                    return
            except redis.RedisError:
                if time.monotonic() > until:
                    raise
                os.sched_yield()
                time.sleep(0.005)

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def reset(self, *, forget_scripts: bool = True) -> None:
        """Empties it and gives it the usual settings."""
        requests = self._own_client.pipeline(transaction=False)
        requests.config_set("maxmemory", "0")
        requests.config_set("min-replicas-to-write", "0")
        requests.flushall()
        if forget_scripts:
            requests.script_flush()
        requests.execute()
        self._own_client.connection_pool.disconnect()  # tests count connections

    @cached_property
    def _own_client(self) -> "redis.Redis":
        """Making one takes ten times as long as a request: it serves all tests."""
        return self.client()
