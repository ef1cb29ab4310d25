"""Webhooks and workers as the programs that they are, next to a world; and callbacks that are signed for them."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from twilio.request_validator import RequestValidator

from offhook.webhook_delivery import parse_target
from tests.conferral.cli_helpers import start
from tests.fault_injection.fault_system import FaultSystem
from tests.support.fair_time import forget_process, watch_process
from tests.support.ports import free_port
from tests.support.process_reports import watched
from tests.support.worker_process import order_of

FORM_TYPE = "application/x-www-form-urlencoded"
#: How long a program may take to start, seconds.
START_S = 60.0


class Program:
    """A program that listens on a port of its own, set up like its world; its log is read by `text`."""

    def __init__(self, system: FaultSystem, command: str, log_file: Path, changes: dict[str, str]) -> None:
        folder = log_file.parent
        order = order_of(system.settings, lease_ms=0, policy={}, arm_file=folder / "none")
        self.port = free_port()
        self._log_file = log_file
        options = {"env": order["settings"] | changes, "cwd": folder}
        with log_file.open("wb") as log:
            self.process: subprocess.Popen[Any] = start(
                command, "--port", str(self.port), stdout=log, stderr=log, **options
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def is_ready(self) -> bool:
        """Whether it answers that it can work."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def text(self) -> str:
        """Its log."""
        return self._log_file.read_text()

    def descriptors(self) -> int:
        """How many it has open (count)."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def ends(self, timeout_s: float = 15.0) -> int:
        """Waits for its end; returns the exit code."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def memory_kib(self, what: str = "VmRSS") -> int:
        """Its memory by the kernel's account, KiB; `VmHWM` is the most that it ever was."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


@contextlib.contextmanager
def program(system: FaultSystem, command: str, log_file: Path, **changes: str) -> Iterator[Program]:
    """Starts a program; it is killed in the end if it still runs.

    Args:
        system: Whose settings it has.
        command: `webhooks` or `worker`.
        log_file: Where its log goes; it runs in the folder of it.
        changes: Settings that differ.
    """
    running = Program(system, command, log_file, changes)
    watch_process(running.process.pid)
    try:
        with watched(f"{command} on port {running.port}", running.process.poll, running.text):
            yield running
    finally:
        forget_process(running.process.pid)
        running.process.kill()
        running.process.wait()


async def until_ready(system: FaultSystem, running: Program) -> None:
    await system.eventually(running.is_ready, "the program is ready", timeout_s=START_S)


def signed(
    system: FaultSystem, url: str, form: dict[str, str], *, token: str = ""
) -> tuple[str, bytes, dict[str, str]]:
    """A request of Twilio's to one of the world's URLs: path and query, body and headers."""
    url = parse_target(url).url  # what stands behind a # is for Twilio alone
    signature = RequestValidator(token or system.sandbox.auth_token).compute_signature(url, form)
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {"X-Twilio-Signature": signature, "Content-Type": FORM_TYPE}
    return target, urlencode(form).encode(), headers
