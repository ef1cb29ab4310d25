"""Start the console."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import structlog

from conferral.cli import output
from conferral.console.app import ConsoleOptions, make_app
from conferral.operations.redis_access import CONNECTIONS_MAX
from conferral.processes.common import (
    READINESS_CHECKS_MAX,
    configure_log,
    is_loopback,
    page_url,
    require_free_port,
    warn_of_weak_token,
)
from conferral.runtime import lifecycle, tracing
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.settings import ConsoleSettings, load
from conferral.runtime.web.server import run_server
from conferral.storage import config
from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.configured import find_primary
from conferral.telephony.directory.file import read_destinations, read_people
from conferral.telephony.token_file import TokenFile

log = structlog.get_logger()

#: Pending requests get twice this time at shutdown, after WebSockets have closed, seconds. The process has 10 s in all.
_SHUTDOWN_S = 3.0
#: Until Redis has answered what is stored, seconds.
_CONFIG_EVERY_S = 1.0


def run_console(host: str, port: int, options: ConsoleOptions) -> int:
    """Run the web console; return the exit code, or raise SettingsError."""
    settings = load(ConsoleSettings)
    require_free_port(host, port)
    configure_log(settings, "console")
    find_primary(settings)  # an invalid URL is a settings error
    names: Callable[[], Mapping[str, str]] = dict
    if settings.directory is not None:
        # Read again when it has changed, so that no reload is needed.
        names = partial(_directory_names, read_destinations, settings.directory)
        options = replace(options, directory=names, people=partial(_directory_names, read_people, settings.directory))
    tokens = TokenFile(settings.tokens, settings.api_token, names)
    warn_of_weak_token(settings.api_token)
    if settings.api_token is not None and sys.stderr.isatty():
        # Browsers never send the fragment, and the page removes it from the address bar. Never log it.
        output.print_note(f"console: {page_url(host, port)}#token={settings.api_token.get_secret_value()}")
    if not is_loopback(host):
        output.print_note(f"{host} is reachable from other machines, without TLS: put a TLS proxy in front of it")
        # A console that listens elsewhere is reached by host names that only its operator knows.
        options = replace(options, allowed_hosts=options.allowed_hosts or None)
    with tracing.exporting("console"):
        return lifecycle.run(
            lambda stop: _serve_console(settings, tokens, host, port, stop, options), on_hangup=tokens.reload
        )


def _directory_names(read: Callable[[Path], Mapping[str, str]], path: Path) -> Mapping[str, str]:
    """Return names of the directory; none if it can't be read."""
    try:
        return _read_directory(read, path, path.stat().st_mtime_ns)
    except (OSError, SettingsError):
        return {}


@lru_cache(maxsize=2)
def _read_directory(read: Callable[[Path], Mapping[str, str]], path: Path, _changed_ns: int) -> Mapping[str, str]:
    return read(path)


async def _serve_console(
    settings: ConsoleSettings, tokens: TokenFile, host: str, port: int, stop: asyncio.Event, options: ConsoleOptions
) -> int:
    url, primary = settings.redis_url, find_primary(settings)
    client = make_client(url, primary, max_connections=CONNECTIONS_MAX)
    probing = make_client(url, primary, max_connections=READINESS_CHECKS_MAX)
    try:
        app = make_app(settings, tokens, client, SystemClock(), options, readiness_client=probing)

        async def serve() -> None:
            async with run_server(app, host, port, shutdown_s=_SHUTDOWN_S):
                log.info("console_started", host=host, port=port)
                await stop.wait()

        code = await lifecycle.run_until_stopped(
            stop, {"server": serve(), "config": _refuse_other_config(probing, settings.prefix, stop)}
        )
    finally:
        await probing.aclose()
        await client.aclose()
    log.info("console_stopped", host=host, port=port)
    return code


async def _refuse_other_config(client: Client, prefix: str, stop: asyncio.Event) -> None:
    """Raise SettingsError if what Redis holds at the start can't be read."""
    is_known = False
    while not (is_known or stop.is_set()):
        try:
            await config.load_keys(client, prefix)
            is_known = True
        except config.ContradictionError as error:
            raise SettingsError((f"CONFERRAL_PREFIX: {error}",)) from None
        except StoreError:  # the pages and `/readyz` say it
            await lifecycle.wait_at_most(stop, _CONFIG_EVERY_S)
    await stop.wait()
