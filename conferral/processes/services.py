"""Start webhooks and workers."""

import asyncio
from dataclasses import replace
from functools import partial
from importlib.metadata import version

from conferral.processes.common import configure_log, require_free_port, warn_of_weak_token
from conferral.runtime import lifecycle, tracing
from conferral.runtime.clock import SystemClock
from conferral.runtime.containment import run_with_restarts
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.log import count_outages, log_unreachable, unreplicated_writes
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings, load
from conferral.runtime.web.guard import raise_file_limit
from conferral.storage import config
from conferral.storage.agreed_config import AgreedConfig
from conferral.storage.call_index import CallIndex
from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.configured import find_primary
from conferral.storage.keys import Keys
from conferral.storage.presence_runs import keep_presence
from conferral.storage.queries import process_registry
from conferral.storage.webhook_store.store import CONNECTIONS_MAX, WebhookStore
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.http_client import http_client
from conferral.telephony.token_file import TokenFile
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twilio_requests import complete_call, rest_client
from conferral.webhooks.api.app import CONCURRENT_MAX, add_api
from conferral.webhooks.app import make_app
from conferral.webhooks.desk.app import add_desk
from conferral.webhooks.server import serve
from conferral.worker.process import Worker


def run_worker(host: str, port: int | None) -> int:
    """Run a worker; return the exit code, or raise SettingsError."""
    settings = load(ServiceSettings)
    directory = DirectoryFile(settings)
    if port is not None:
        require_free_port(host, port)
    configure_log(settings, "worker")
    find_primary(settings)  # an invalid URL is a settings error
    with tracing.exporting("worker"):
        return lifecycle.run(
            lambda stop: Worker(settings, directory=directory).run(stop, port, host), on_hangup=directory.reload
        )


CONFIG_CHECK_EVERY_S = 1.0


def serve_webhooks(host: str, port: int) -> int:
    """Run the webhooks; return the exit code, or raise SettingsError."""
    settings = load(ServiceSettings)
    raise_file_limit()  # desks keep streams open
    directory = DirectoryFile(settings)
    tokens = TokenFile(settings.tokens, settings.api_token, lambda: directory.current.destinations)
    require_free_port(host, port)
    configure_log(settings, "webhooks")
    warn_of_weak_token(settings.api_token)
    draining = lifecycle.Draining(settings.drain_s)

    def reload() -> None:
        directory.reload()
        tokens.reload()

    with tracing.exporting("webhooks"):
        return lifecycle.run(
            lambda stop: run_webhooks(settings, directory, tokens, host, port, stop, draining),
            on_hangup=reload,
            draining=draining,
        )


async def run_webhooks(
    settings: ServiceSettings,
    directory: DirectoryFile,
    tokens: TokenFile,
    host: str,
    port: int,
    stop: asyncio.Event,
    draining: lifecycle.Draining,
) -> int:
    """Run the webhooks and the control API until the stop."""
    metrics, clock = Metrics(is_worker=False), SystemClock()
    count_outages(metrics)
    url, primary = settings.redis_url, find_primary(settings)
    primary.replication.on_unreplicated = unreplicated_writes(metrics)
    client = make_client(url, primary, max_connections=CONNECTIONS_MAX)
    # A separate client, so that no caller waits behind a list of sessions.
    api_client = make_client(url, primary, max_connections=2 * CONCURRENT_MAX)
    http = http_client(settings, clock=clock, metrics=metrics)
    keys = Keys(settings.prefix, settings.partitions)
    agreed = AgreedConfig(client, settings.prefix, settings.partitions, settings.account_sid)
    index = CallIndex(keys, settings.session_ttl_s)
    publisher = WebhookStore(client, keys, clock, call_index=index)
    # Callers get an answer even without Redis: a background task compares the settings with it.
    agree_with_redis = partial(_ensure_config, client, settings, agreed, metrics, stop)
    try:
        rest = rest_client(settings, http)
        twilio = TwilioQueries(rest, settings.number)
        read_own_numbers = partial(directory.own_numbers.run, stop, rest)
        app = make_app(settings, publisher, twilio, metrics, clock, directory, agreed, draining, tokens)
        api = add_api(app, settings, api_client, keys, metrics, clock, directory, tokens)
        add_desk(api, api_client, keys, partial(complete_call, rest))
        return await lifecycle.run_until_stopped(
            stop,
            {
                "server": serve(app, host, port, stop, metrics, drain_s=settings.drain_s),
                "own_numbers": run_with_restarts(stop, "own_numbers", read_own_numbers, metrics),
                "config": run_with_restarts(stop, "config", agree_with_redis, metrics, passing=(SettingsError,)),
            },
        )
    finally:
        await publisher.close()
        await http.close()
        await api_client.aclose()
        await client.aclose()


async def _ensure_config(
    client: Client, settings: ServiceSettings, agreed: AgreedConfig, metrics: Metrics, stop: asyncio.Event
) -> None:
    """Compare the configuration with Redis, then watch it; register there.

    Raises SettingsError if Redis has other partitions, another account, or another schema, or evicts keys.
    """
    keys = Keys(settings.prefix, settings.partitions)
    own = process_registry.Process(lifecycle.process_name(), "webhooks", version("conferral"))
    is_first = True
    while not stop.is_set():
        try:
            if is_first:
                await config.check_eviction_policy(client)
            await agreed.store_or_compare()
            await process_registry.register(client, keys, replace(own, stats=process_registry.stats_of(metrics)))
            await keep_presence(client, keys)
            if is_first:
                is_first = False
        except StoreError as error:
            log_unreachable(error, task="config")
            await lifecycle.wait_at_most(stop, CONFIG_CHECK_EVERY_S)
        else:
            await lifecycle.wait_at_most(stop, process_registry.REGISTER_EVERY_S)
    try:
        await process_registry.deregister(client, keys, own.name)
    except StoreError as error:
        log_unreachable(error, task="stop")
