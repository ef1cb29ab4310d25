import pytest

from conferral.commands import http
from conferral.operations import session_follower
from conferral.runtime.clock import SystemClock
from conferral.runtime.web import bearer
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.token_file import TokenFile
from conferral.webhooks.api import app as api_module
from conferral.webhooks.api import streams
from conferral.webhooks.api.app import add_api
from conferral.webhooks.desk import feed, handlers, session
from conferral.webhooks.desk.app import add_desk
from tests.support.log_lines import lines_of
from tests.support.token_files import table, write_tokens
from tests.webhooks.api.api_helpers import KEYS, settings
from tests.webhooks.desk.desk_helpers import NAMES, Desks, HangUps, SetClock


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch):
    """Streams see a change almost at once."""
    for module in (session_follower, streams, feed):
        monkeypatch.setattr(module, "POLL_EVERY_S", 0.02)
    monkeypatch.setattr(feed, "PRESENCE_EVERY_S", 0.04)


@pytest.fixture
def lines(monkeypatch):
    with lines_of(monkeypatch, api_module, bearer, handlers, http, session) as captured:
        yield captured


@pytest.fixture
def open_desks(serve, store, metrics, tmp_path):
    """Serves API and desk, as one of several processes, with a token `crm` that issues desk tokens, and others."""
    (tmp_path / "directory.toml").write_text(NAMES)
    path = tmp_path / "tokens.toml"

    async def opened(*tables, **changes):
        write_tokens(path, *(tables or (table("crm", ["desk"]), table("ops", ["read"]))))
        found = settings(CONFERRAL_TOKENS=str(path), CONFERRAL_DIRECTORY=str(tmp_path / "directory.toml"), **changes)
        directory, clock = DirectoryFile(found), SetClock(SystemClock())
        tokens = TokenFile(found.tokens, found.api_token, lambda: directory.current.destinations)
        app = api_module.web.Application()
        api, hang_ups = add_api(app, found, store, KEYS, metrics, clock, directory, tokens), HangUps()
        followed = add_desk(api, store, KEYS, hang_ups)
        return Desks(await serve(app), tokens, path, clock, followed, directory, hang_ups)

    return opened


@pytest.fixture
async def desks(open_desks):
    return await open_desks()
