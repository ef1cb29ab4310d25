"""All processes of the service as in production, with a supervisor that restarts dead ones."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
#: How often the supervisor checks, seconds.
CHECK_EVERY_S = 0.05
#: How long a process may take to stop when asked: the contract, seconds.
STOP_S = 10.0


@dataclass(slots=True)
class Process:
    """One process and how it is started."""

    name: str
    command: list[str]
    log: Path
    running: subprocess.Popen[bytes]
    #: Settings that no other process has.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Whether it is started again when it has died.
    is_restarted: bool = True
    #: Exit codes so far, with the moment by `time.monotonic()`.
    ends: list[tuple[float, int]] = field(default_factory=list)

    @property
    def is_up(self) -> bool:
        return self.running.poll() is None

    @property
    def pid(self) -> int:
        return self.running.pid

    def signal(self, number: signal.Signals) -> None:
        self.running.send_signal(number)


class Services:
    """Webhooks behind a balancer, and workers.

        with Services(environ) as services:
            services.start_webhooks(2)
            services.start_workers(3)
            ...
            services.workers[0].signal(signal.SIGKILL)

    All are ended at the end, whatever happens, by their process ids.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conferral-endurance-"))
        self.port = free_port()
        self.webhook_ports: list[int] = []
        self.processes: dict[str, Process] = {}
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONUTF8": "1", "CONFERRAL_LOG_FORMAT": "json", "PYTHONPATH": str(REPOSITORY), **environ,
        }  # fmt: skip
        self._is_ending = False

    def add_settings(self, **settings: str) -> None:
        """For the processes that are started from now on."""
        self._environ |= settings

    @property
    def public_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def workers(self) -> list[Process]:
        return [one for one in self.processes.values() if one.name.startswith("worker")]

    @property
    def webhooks(self) -> list[Process]:
        return [one for one in self.processes.values() if one.name.startswith("webhooks")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_ending = True
        for process in self.processes.values():
            if process.is_up:
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGKILL)
            process.running.wait()
        if exc[0] is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            sys.stderr.write(f"the logs are in {self.folder}\n")

    def start_webhooks(self, count: int) -> None:
        ports = self.webhook_ports = [free_port() for _ in range(count)]
        for number, port in enumerate(ports):
            self._start(f"webhooks-{number}", ["conferral", "webhooks", "--port", str(port)])
        self._start("balancer", ["tests.soak.balancer", str(self.port), *map(str, ports)])

    def start_workers(self, count: int) -> None:
        for number in range(count):
            self._start(f"worker-{number}", ["conferral", "worker"])

    def start_worker_at(self, host: str, **settings: str) -> Process:
        """Starts a worker that connects to Redis from an address of loopback of its own."""
        return self._start(f"worker-at-{host}", ["tests.support.at_host", host, "worker"], settings)

    def start_console(self) -> int:
        """Starts a console; returns its port."""
        port = free_port()
        self._start("console", ["conferral", "console", "--port", str(port)])
        return port

    def is_answering(self) -> bool:
        """Whether all webhooks take connections."""
        with ExitStack() as probes:
            for port in self.webhook_ports:
                probe = probes.enter_context(socket.socket())
                if probe.connect_ex((HOST, port)):
                    return False
        return True

    async def supervise(self) -> None:
        """Starts again what has died, until it is cancelled."""
        while True:
            for process in list(self.processes.values()):
                if not process.is_up and process.is_restarted and not self._is_ending:
                    self.start_again(process)
            await asyncio.sleep(CHECK_EVERY_S)

    def start_again(self, process: Process) -> None:
        process.ends.append((time.monotonic(), process.running.wait()))
        process.running = self._run(process.command, process.log, process.settings)

    async def stop(self, process: Process) -> None:
        """Asks a process to stop as a supervisor does, and waits."""
        process.is_restarted = False
        process.signal(signal.SIGTERM)
        await asyncio.to_thread(process.running.wait, STOP_S + 5.0)
        assert process.running.returncode == 0, f"{process.name} ended with {process.running.returncode}"

    async def restart(self, process: Process) -> None:
        """Stops a process in good order and starts it again."""
        await self.stop(process)
        process.is_restarted = True
        self.start_again(process)

    def unexpected_ends(self) -> list[str]:
        """Processes that ended by themselves: not killed, and not asked to."""
        good = (-signal.SIGKILL, 0)
        return [f"{one.name}: {code}" for one in self.processes.values() for _, code in one.ends if code not in good]

    def text(self, name: str) -> str:
        return self.processes[name].log.read_text(errors="replace")

    def _start(self, name: str, arguments: list[str], settings: Mapping[str, str] | None = None) -> Process:
        command, log, own = [sys.executable, "-m", *arguments], self.folder / f"{name}.log", settings or {}
        self.processes[name] = Process(name, command, log, self._run(command, log, own), own)
        return self.processes[name]

    def _run(self, command: list[str], log: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command, cwd=self.folder, env=self._environ | settings, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output,
            )  # fmt: skip
