"""The agent's desk in the webhooks application."""

from functools import partial

from aiohttp import web

from conferral.runtime.errors import ProviderUnreachableError
from conferral.storage.agents import Agents
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.sign_ins import SignIns
from conferral.webhooks.api.app import Api, authorize, prefixes
from conferral.webhooks.api.desk_routes import DESK_ROUTES, PRESENCE_ROUTES, SESSION_ROUTES
from conferral.webhooks.desk.feed import DeskFeed
from conferral.webhooks.desk.handlers import DeskHandlers, HangUp
from conferral.webhooks.desk.pages import DeskPages
from conferral.webhooks.desk.session import DeskSessions
from conferral.webhooks.desk.sign_ins import KnownSignIns
from conferral.webhooks.desk.tokens import DeskTokens


async def _unreachable(_call_sid: str) -> None:
    raise ProviderUnreachableError


def add_desk(api: Api, client: Client, keys: Keys, hang_up: HangUp = _unreachable) -> DeskFeed:
    """Mount the desk next to the control API, with whose client it reads."""
    app, settings = api.app, api.settings
    pages = DeskPages(settings)

    def name_of(identity: str) -> str:
        return api.directory.current.agent_name(identity)

    sign_ins = KnownSignIns(SignIns(client, keys), api.streams.redis, api.clock)
    tokens = DeskTokens(api.streams.redis, api.bearer, api.tokens, api.clock, api.metrics, name_of, sign_ins)
    agents = Agents(client, keys)
    feed = DeskFeed(api.streams, agents, api.metrics, sign_ins, name_of, lambda: api.directory.current.destinations)
    sessions = DeskSessions(api, tokens, sign_ins)
    handlers = DeskHandlers(api, tokens, feed, agents, hang_up)
    api.add_routes(PRESENCE_ROUTES, handlers, partial(authorize, api.bearer))
    api.add_routes(SESSION_ROUTES, sessions, sessions.authorize)
    paths: dict[str, None] = {}
    api.add_routes(DESK_ROUTES, handlers, tokens.authorize, lambda path: paths.setdefault(path))
    for path in paths:
        pages.allow_preflights(app, path)
    for prefix in prefixes(settings):
        pages.add_to(app, prefix)
    app.on_response_prepare.append(pages.add_headers)

    async def stop(_app: web.Application) -> None:
        feed.stop()

    async def close(_app: web.Application) -> None:
        await feed.close()

    app.on_shutdown.append(stop)
    app.on_cleanup.insert(0, close)  # before what it uses
    return feed
