"""Start the sandbox: `offhook`, with this program's settings."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog

from conferral.processes.common import SandboxSettings, configure_log, is_loopback, page_url, require_free_port
from conferral.runtime import lifecycle
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import load, read_sources
from conferral.runtime.web.server import port_unavailable
from offhook import ACCOUNT_SID, AUTH_TOKEN, NUMBER, Retention, Sandbox
from offhook.command.options import read_options

log = structlog.get_logger()


def run_sandbox(**given: Any) -> int:
    """Run the sandbox with the options that were given, and settings.

    Return the exit code, or raise SettingsError.
    """
    settings = load(SandboxSettings)
    # Ignore half a pair: the processes that would use the API key refuse it and name the missing setting.
    secret = settings.api_secret.get_secret_value() if settings.api_secret else ""
    environment, file = read_sources()
    try:
        sandbox = Sandbox(
            **read_options(file | environment, **given),
            account_sid=settings.account_sid or ACCOUNT_SID,
            auth_token=settings.auth_token.get_secret_value() if settings.auth_token else AUTH_TOKEN,
            api_keys={settings.api_key: secret} if settings.api_key and secret else {},
            command_line="conferral",
            retention=Retention(),  # it may run for days
        )
    except ValueError as error:
        raise SettingsError((str(error),)) from None
    require_free_port(sandbox.host, sandbox.port)
    require_own_token(settings, sandbox.host, sandbox.port, sandbox.allow_hosts)
    configure_log(settings, "sandbox")
    return lifecycle.run(lambda stop: _serve_sandbox(settings, sandbox, stop))


def require_own_token(settings: SandboxSettings, host: str, port: int, allow_hosts: Sequence[str] = ()) -> None:
    """Refuse a real account's token: its webhooks would accept ours."""
    given = settings.auth_token
    if given is None or given.get_secret_value() == AUTH_TOKEN:
        return
    url = urlsplit(settings.api_url or "https://api.twilio.com")
    named = url.hostname or ""
    is_its_host = named in {host, *allow_hosts} or (is_loopback(named) and is_loopback(host))
    if url.scheme == "http" and is_its_host and port in (0, url.port or 80) and url.path in ("", "/"):
        return
    own = page_url(host, port).rstrip("/")
    problem = (
        "TWILIO_AUTH_TOKEN may be a real account's, and the sandbox signs requests with it: set TWILIO_API_URL to the "
        f"sandbox's own URL, {own}, or start the sandbox without TWILIO_AUTH_TOKEN"
    )
    raise SettingsError((problem,))


async def _serve_sandbox(settings: SandboxSettings, sandbox: Sandbox, stop: asyncio.Event) -> int:
    if base := settings.public_url:
        urls = {"voice_fallback_url": f"{base}/voice/fallback", "status_callback": f"{base}/voice/status"}
        if settings.number:
            sandbox.add_number(settings.number, voice_url=f"{base}/voice/inbound", **urls)
        if settings.twiml_app_sid:
            sandbox.add_application(settings.twiml_app_sid, voice_url=f"{base}/voice/client", **urls)
    if not sandbox.model.state.own_numbers():
        sandbox.add_number(settings.number or NUMBER)
    try:
        try:
            await sandbox.start()
        except OSError as error:  # another program was quicker
            raise port_unavailable(sandbox.host, sandbox.port, error) from None
        log.info("sandbox_started", host=sandbox.host, port=sandbox.port)
        print(sandbox.introduce(), flush=True)
        await stop.wait()
    finally:
        await sandbox.stop()
    log.info("sandbox_stopped")
    return 0
