"""Programs to measure: started as in production, and measured from outside, by what Linux counts for them."""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import aiohttp

from benchmarks.support.machine import MEASURED_CORE, REPOSITORY, pin
from offhook import Sandbox
from tests.support.ports import free_port

#: The environment of what Conferral is compared with; `make bench` creates it.
PEERS = Path(sys.prefix) / "peers" / "bin"
#: How long a program may take to start, and to stop, in seconds.
START_S, STOP_S = 60.0, 12.0
POLL_S = 0.01
ACCOUNT_SID, AUTH_TOKEN = "AC" + "0" * 32, "12345"
NUMBER, CUSTOMER, AGENT, TARGET = "+14155550100", "+14155550123", "client:alice", "client:bob"
#: A closed port: for calls that send no requests.
NO_TWILIO = "http://127.0.0.1:9"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Program:
    """A running program and all that it starts."""

    def __init__(self, *command: str | Path, core: int = MEASURED_CORE, port: int = 0, **environ: str) -> None:
        """Bind the command; it is ready as soon as something listens on `port`."""
        self._command = [str(word) for word in command]
        self._core = core
        self.port = port
        self._environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **environ}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __aexit__
        # In an empty folder: the program would read settings in a file `.env`, and import a folder of a package's name.
        self._folder = tempfile.TemporaryDirectory()
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=self._folder.name, env=self._environ, stdin=DEVNULL, stdout=self._log,
            stderr=self._log,
        )  # fmt: skip
        pin(self.pid, self._core)
        async with AsyncExitStack() as unless_ready:
            unless_ready.push_async_exit(self)
            async with asyncio.timeout(START_S):
                while self.port and not await self._answers():
                    await asyncio.sleep(POLL_S)
            unless_ready.pop_all()
        return self

    async def _answers(self) -> bool:
        self.check()
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/healthz"):
                return True
        except aiohttp.ClientError:
            return False

    async def __aexit__(self, *_exc: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._process.wait()
            await self.kill()
        self._log.close()
        self._folder.cleanup()

    async def kill(self) -> None:
        """Kill it as `kill -9` does, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def check(self) -> None:
        """End the benchmark with the end of the program's log if it has ended."""
        if self._process.returncode is not None:
            size = os.fstat(self._log.fileno()).st_size
            log = os.pread(self._log.fileno(), 2000, max(0, size - 2000)).decode(errors="replace")
            raise SystemExit(f"a measured program has ended: {self._command}\n{log}")

    async def finished(self) -> None:
        """Wait until it ends by itself; end the benchmark if it fails."""
        if await self._process.wait():
            self.check()

    def cpu_s(self) -> float:
        """Return the CPU seconds that it and its children have used."""
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in _family(self.pid)) / _TICKS_PER_S

    def memory_bytes(self) -> int:
        """Return the memory that it has now, without its children's."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("utf-8").split()[1]) * _PAGE_BYTES


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third one on: the second, a name, may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()


def conferral(process: str, redis_url: str, twilio_url: str, **settings: str) -> Program:
    """Return `conferral worker` or `conferral webhooks`, with the default settings."""
    port = free_port()
    values = {
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": AUTH_TOKEN, "TWILIO_NUMBER": NUMBER,
        "TWILIO_API_URL": twilio_url, "REDIS_URL": redis_url, "CONFERRAL_AGENT": AGENT,
        "CONFERRAL_PUBLIC_URL": f"http://127.0.0.1:{port}", "CONFERRAL_DRAIN": "0", **settings,
    }  # fmt: skip
    command = (sys.executable, "-m", "conferral", process, "--port", str(port))
    return Program(*command, port=port, **{name: value for name, value in values.items() if value})


def peer(program: str, *arguments: str, port: int = 0, core: int = MEASURED_CORE, **environ: str) -> Program:
    """Return a program of the peers' environment."""
    if not (PEERS / program).exists():
        raise SystemExit(f"{program} is not installed: run `make bench`, which does that")
    return Program(PEERS / program, *arguments, port=port, core=core, **environ)


@asynccontextmanager
async def running_conferral(redis_url: str, sandbox: Sandbox) -> AsyncIterator[tuple[Program, Program]]:
    """Run webhooks and a worker for a local Twilio; yield both."""
    account = {"TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token}
    webhooks = conferral("webhooks", redis_url, sandbox.url, **account)
    worker = conferral("worker", redis_url, sandbox.url, CONFERRAL_PUBLIC_URL=webhooks.url, **account)
    async with webhooks, worker:
        yield webhooks, worker
