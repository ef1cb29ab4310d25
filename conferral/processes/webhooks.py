"""Wire and run the processes: webhooks, worker, console, sandbox."""

import asyncio
import socket
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from pydantic import Field, SecretStr

from conferral import output
from conferral.cli.redis_access import make_redis_client
from conferral.runtime import lifecycle
from conferral.runtime import log as logging_setup
from conferral.runtime.clock import SystemClock
from conferral.runtime.containment import run_with_restarts
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import count_outages, log_unreachable
from conferral.runtime.settings import ConsoleSettings, HttpUrl, ServiceSettings, StoreSettings, load, token_weakness
from conferral.runtime.web.server import port_unavailable
from conferral.setting_names import unknown_settings
from conferral.statemachine.effects import RedirectCall
from conferral.storage import config
from conferral.storage.connection.client import Client
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from conferral.storage.queries import process_registry
from conferral.storage.queries.process_stats import stats_of
from conferral.storage.schema import SchemaVersion
from conferral.telephony.directory.model import DirectoryFile
from conferral.telephony.http_client import http_client, rest_client
from conferral.telephony.twilio_api import TwilioApi

log = structlog.get_logger()

#: Connections for health checks, which run one at a time; in a cluster, per node (count).
READINESS_CHECKS_MAX = 4
#: Interval between attempts to compare the number of partitions with Redis, in seconds.
CONFIG_CHECK_EVERY_S = 1.0


def require_free_port(host: str, port: int) -> None:
    """Verify that the port is available.

    Raises:
        SettingsError: the port is taken or forbidden; the message names it and says how to choose another.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # The servers set it, too: a stopped server's TIME_WAIT doesn't count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError((port_unavailable(host, port, error),)) from None


def _warn_of_weak_token(token: SecretStr | None) -> None:
    """Log a warning about a guessable token: it alone protects the control API and the console."""
    if token is not None and (weakness := token_weakness(token)):
        log.warning("api_token_weak", setting="CONFERRAL_API_TOKEN", reason=weakness)


def _configure_log(settings: StoreSettings) -> None:
    """Configure logging, and log each name that looks like a setting but isn't: a misspelled setting has no effect."""
    logging_setup.configure(settings.log_format)
    for name, nearest in unknown_settings(KNOWN_SETTINGS).items():
        reason = f"no setting has this name; meant: {nearest}?" if nearest else "no setting has this name"
        log.warning("setting_unknown", setting=name, reason=reason)


# ---- webhooks ----------------------------------------------------------------------------------------------------


def serve_webhooks(host: str, port: int) -> int:
    """Run the webhooks; return the exit code.

    Raises:
        SettingsError: a setting is invalid, the port is taken, or Redis has another number of partitions.
    """
    settings = load(ServiceSettings)
    directory = DirectoryFile(settings)
    require_free_port(host, port)
    _configure_log(settings)
    _warn_of_weak_token(settings.api_token)
    return lifecycle.run(lambda stop: _webhooks(settings, directory, host, port, stop), on_hangup=directory.reload)


def _no_redirect(_effect: RedirectCall) -> str:
    raise AssertionError("the webhooks only ask Twilio, they move nobody")


async def _webhooks(
    settings: ServiceSettings, directory: DirectoryFile, host: str, port: int, stop: asyncio.Event
) -> int:
    from conferral.webhooks.api.app import add_api
    from conferral.webhooks.app import make_app
    from conferral.webhooks.server import serve

    metrics, clock = Metrics(), SystemClock()
    count_outages(metrics)
    client = make_redis_client(settings.redis_url)
    # A separate client, so that no caller waits behind a list of sessions.
    api_client = make_redis_client(settings.redis_url)
    probing = make_redis_client(settings.redis_url, max_connections=READINESS_CHECKS_MAX)
    http = http_client(settings, clock=clock, metrics=metrics)
    schema = SchemaVersion()
    refused: list[SettingsError] = []

    async def server(app: web.Application) -> None:
        await serve(app, host, port, stop, metrics)

    async def agreement() -> None:
        try:
            await _ensure_config(client, settings, schema, metrics, stop)
        except SettingsError as error:
            refused.append(error)
            stop.set()

    try:
        # Callers get an answer even without Redis: events use the settings' number of partitions, and a background task
        # compares it with Redis.
        keys = Keys(settings.prefix, settings.partitions)
        publisher = BatchingIngest(
            client,
            keys,
            clock,
            session_ttl_s=settings.session_ttl_s,
            replay_window_s=settings.replay_window_s,
            probe_client=probing,
            metrics=metrics,
        )
        calls = TwilioApi(rest_client(settings, http), join_document=_no_redirect)
        app = make_app(settings, publisher, calls, metrics, clock, directory=directory, level=schema)
        add_api(app, settings, api_client, keys, metrics, clock)
        code = await lifecycle.run_until_stopped(
            stop,
            {
                "server": server(app),
                "watch_server": run_with_restarts(stop, "watch_server", partial(publisher.watch_server, stop), metrics),
                "config": run_with_restarts(stop, "config", agreement, metrics),
            },
        )
        await publisher.close()
    finally:
        await http.close()
        await probing.aclose()
        await api_client.aclose()
        await client.aclose()
    if refused:
        raise refused[0]
    return code


async def _ensure_config(
    client: Client, settings: ServiceSettings, schema: SchemaVersion, metrics: Metrics, stop: asyncio.Event
) -> None:
    """Compare the configuration with Redis once it is reachable, then keep watching the schema version.

    Raises:
        SettingsError: Redis has another number of partitions or an unsupported schema version, or evicts keys.
    """
    keys = Keys(settings.prefix, settings.partitions)
    own = process_registry.Process(lifecycle.process_name(), "webhooks", schema.supported, version("conferral"))
    is_first = True
    while not stop.is_set():
        try:
            if is_first:
                await config.check_eviction_policy(client)
                is_first = False
            setup = await config.ensure(client, settings.prefix, settings.partitions, schema_version=schema.writes_at)
            schema.written = setup.schema_version
            await process_registry.register(client, keys, replace(own, stats=stats_of(metrics)))
        except StoreError as error:
            log_unreachable(error, task="config")
            await lifecycle.pause(stop, CONFIG_CHECK_EVERY_S)
        else:
            await lifecycle.pause(stop, process_registry.REGISTER_EVERY_S)
    try:
        await process_registry.deregister(client, keys, own.name)
    except StoreError as error:
        log_unreachable(error, task="stop")


# ---- worker ------------------------------------------------------------------------------------------------------


def run_worker(host: str, port: int | None) -> int:
    """Run a worker; return the exit code.

    Raises:
        SettingsError: a setting is invalid, the port is taken, or Redis has another number of partitions.
    """
    from conferral.worker.process import Worker

    settings = load(ServiceSettings)
    directory = DirectoryFile(settings)
    if port is not None:
        require_free_port(host, port)
    _configure_log(settings)
    make_redis_client(settings.redis_url)  # an invalid URL is a settings error
    return lifecycle.run(
        lambda stop: Worker(settings, directory=directory).run(stop, port, host), on_hangup=directory.reload
    )


# ---- console -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleOptions:
    """The console's options; see `console.app.make_app`."""

    read_only: bool = False
    command_line: str = "conferral"
    show_token: bool = False
    #: Host names that the console accepts besides this machine's.
    allowed_hosts: tuple[str, ...] = ()


def run_console(host: str, port: int, options: ConsoleOptions) -> int:
    """Run the web console; return the exit code.

    Raises:
        SettingsError: a setting is invalid, or the port is taken.
    """
    settings = load(ConsoleSettings)
    require_free_port(host, port)
    _configure_log(settings)
    make_redis_client(settings.redis_url)  # an invalid URL is a settings error
    _warn_of_weak_token(settings.api_token)
    if output.errors_are_shown():
        # Browsers never send the fragment, and the page removes it from the address bar. Never log it.
        output.print_note(f"console: {_page_url(host, port)}#token={settings.api_token.get_secret_value()}")
    if not is_loopback(host):
        output.print_note(
            f"{host} is reached from elsewhere and speaks no TLS: put a proxy with TLS before the console"
        )
    return lifecycle.run(lambda stop: _console(settings, host, port, stop, options))


def _page_url(host: str, port: int) -> str:
    """Return the URL for a browser on this machine."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{named}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether the host's name means that only this machine can connect."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _console(
    settings: ConsoleSettings, host: str, port: int, stop: asyncio.Event, options: ConsoleOptions
) -> int:
    from conferral.console.app import make_app
    from conferral.console.server import serve

    client = make_redis_client(settings.redis_url, max_connections=16)
    probing = make_redis_client(settings.redis_url, max_connections=READINESS_CHECKS_MAX)
    try:
        app = make_app(
            settings,
            client,
            SystemClock(),
            read_only=options.read_only,
            command_line=options.command_line,
            show_token=options.show_token,
            # A console that listens elsewhere is reached by host names that only its operator knows.
            allowed_hosts=options.allowed_hosts if options.allowed_hosts or is_loopback(host) else None,
            readiness_client=probing,
        )
        await serve(app, host, port, stop)
    finally:
        await probing.aclose()
        await client.aclose()
    return 0


# ---- sandbox -----------------------------------------------------------------------------------------------------


class SandboxSettings(StoreSettings):
    """The sandbox's settings; it needs no others."""

    account_sid: str | None = Field(
        default=None, validation_alias="TWILIO_ACCOUNT_SID", pattern=r"^AC[0-9a-fA-F]{32}$", description="the account"
    )
    auth_token: SecretStr | None = Field(
        default=None, validation_alias="TWILIO_AUTH_TOKEN", min_length=1, description="the key of the signatures"
    )
    api_key: str | None = Field(
        default=None,
        validation_alias="TWILIO_API_KEY",
        pattern=r"^SK[0-9a-fA-F]{32}$",
        description="an API key that is taken beside the token",
    )
    api_secret: SecretStr | None = Field(
        default=None, validation_alias="TWILIO_API_SECRET", description="the secret of `TWILIO_API_KEY`"
    )
    number: str | None = Field(
        default=None,
        validation_alias="TWILIO_NUMBER",
        pattern=r"^\+[1-9]\d{6,14}$",
        description="a number to be called",
    )
    public_url: HttpUrl | None = Field(
        default=None, validation_alias="CONFERRAL_PUBLIC_URL", description="whose webhooks number and app have"
    )
    twiml_app_sid: str | None = Field(
        default=None,
        validation_alias="TWILIO_TWIML_APP_SID",
        pattern=r"^AP[0-9a-fA-F]{32}$",
        description="the app through which browsers call",
    )
    api_url: HttpUrl | None = Field(
        default=None,
        validation_alias="TWILIO_API_URL",
        description="the sandbox's own URL; with a `TWILIO_AUTH_TOKEN`, it starts with no other",
    )


#: Names of all processes' settings.
KNOWN_SETTINGS = frozenset(
    str(field.validation_alias)
    for kind in (ServiceSettings, ConsoleSettings, SandboxSettings)
    for field in kind.model_fields.values()
)


def run_sandbox(host: str, port: int, console_url: str = "", command_line: str = "conferral") -> int:
    """Run the sandbox; return the exit code.

    Raises:
        SettingsError: a setting is invalid, the token may be a real account's, or the port is taken.
    """
    settings = load(SandboxSettings)
    require_free_port(host, port)
    _require_own_token(settings, host, port)
    _configure_log(settings)
    return lifecycle.run(
        lambda stop: _sandbox(settings, host, port, stop, console_url=console_url, command_line=command_line)
    )


def _require_own_token(settings: SandboxSettings, host: str, port: int) -> None:
    """Refuse a token that may be a real account's: that account's webhooks would accept the sandbox's signatures.

    If TWILIO_API_URL names this sandbox, the token is the sandbox's own.
    """
    from conferral.sandbox import AUTH_TOKEN

    given = settings.auth_token
    if given is None or given.get_secret_value() == AUTH_TOKEN:
        return
    url = urlsplit(settings.api_url or "https://api.twilio.com")
    named = url.hostname or ""
    is_its_host = named == host or (is_loopback(named) and is_loopback(host))
    if url.scheme == "http" and is_its_host and port in (0, url.port or 80) and url.path in ("", "/"):
        return
    own = _page_url(host, port).rstrip("/")
    problem = (
        "TWILIO_AUTH_TOKEN may be a real account's, and the sandbox signs requests with it: set TWILIO_API_URL to the "
        f"sandbox's own URL, {own}, or start the sandbox without TWILIO_AUTH_TOKEN"
    )
    raise SettingsError((problem,))


async def _sandbox(
    settings: SandboxSettings, host: str, port: int, stop: asyncio.Event, *, console_url: str, command_line: str
) -> int:
    from conferral.sandbox import ACCOUNT_SID, AUTH_TOKEN, Retention, Sandbox

    token = settings.auth_token.get_secret_value() if settings.auth_token else AUTH_TOKEN
    account_sid = settings.account_sid or ACCOUNT_SID
    # Ignore half a pair: the processes that would use the API key refuse it and name the missing setting.
    secret = settings.api_secret.get_secret_value() if settings.api_secret else ""
    api_key = (settings.api_key, secret) if settings.api_key and secret else None
    sandbox = Sandbox(
        account_sid=account_sid,
        auth_token=token,
        api_key=api_key,
        host=host,
        port=port,
        console_url=console_url,
        command_line=command_line,
        retention=Retention(),  # it may run for days
    )
    if settings.number and settings.public_url:
        base = settings.public_url
        sandbox.add_number(
            settings.number,
            voice_url=f"{base}/voice/inbound",
            voice_fallback_url=f"{base}/voice/fallback",
            status_callback=f"{base}/voice/status",
        )
    if settings.twiml_app_sid and settings.public_url:
        base = settings.public_url
        sandbox.add_application(
            settings.twiml_app_sid,
            voice_url=f"{base}/voice/client",
            voice_fallback_url=f"{base}/voice/fallback",
            status_callback=f"{base}/voice/status",
        )
    try:
        await sandbox.start()
        await stop.wait()
    except OSError as error:  # another process took the port after the check
        raise SettingsError((port_unavailable(host, port, error),)) from None
    finally:
        await sandbox.stop()
    return 0
