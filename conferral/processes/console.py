"""The console process: wires and runs the web console."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from conferral import output
from conferral.console.app import ConsoleOptions, make_app
from conferral.console.redis_access import CONNECTIONS_MAX
from conferral.processes.common import (
    READINESS_CHECKS_MAX,
    configure_log,
    is_loopback,
    page_url,
    require_free_port,
    warn_of_weak_token,
)
from conferral.redis_access import make_redis_client
from conferral.runtime import lifecycle
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import ConsoleSettings, load
from conferral.runtime.web.server import run_server
from conferral.telephony.directory.file import read_destinations

log = structlog.get_logger()

#: Pending requests get twice this time at shutdown, after WebSockets have closed, seconds. The process has 10 s in all.
_SHUTDOWN_S = 3.0


def run_console(host: str, port: int, options: ConsoleOptions) -> int:
    """Run the web console; return the exit code, or raise SettingsError."""
    settings = load(ConsoleSettings)
    require_free_port(host, port)
    configure_log(settings, "console")
    make_redis_client(settings.redis_url)  # an invalid URL is a settings error
    if settings.directory is not None:
        # Read again for each suggestion, so that no reload is needed.
        options = replace(options, directory_names=partial(_directory_names, settings.directory))
    warn_of_weak_token(settings.api_token)
    if sys.stderr.isatty():
        # Browsers never send the fragment, and the page removes it from the address bar. Never log it.
        output.print_note(f"console: {page_url(host, port)}#token={settings.api_token.get_secret_value()}")
    if not is_loopback(host):
        output.print_note(f"{host} is reachable from other machines, without TLS: put a TLS proxy in front of it")
        # A console that listens elsewhere is reached by host names that only its operator knows.
        options = replace(options, allowed_hosts=options.allowed_hosts or None)
    return lifecycle.run(lambda stop: _serve(settings, host, port, stop, options))


def _directory_names(path: Path) -> Sequence[str]:
    """Return the directory's names; none if it can't be read."""
    try:
        return tuple(read_destinations(path))
    except SettingsError:
        return ()


async def _serve(settings: ConsoleSettings, host: str, port: int, stop: asyncio.Event, options: ConsoleOptions) -> int:
    client = make_redis_client(settings.redis_url, max_connections=CONNECTIONS_MAX)
    probing = make_redis_client(settings.redis_url, max_connections=READINESS_CHECKS_MAX)
    try:
        app = make_app(settings, client, SystemClock(), options, readiness_client=probing)
        async with run_server(app, host, port, shutdown_s=_SHUTDOWN_S):
            log.info("console_started", host=host, port=port)
            await stop.wait()
    finally:
        await probing.aclose()
        await client.aclose()
    log.info("console_stopped", host=host, port=port)
    return 0
