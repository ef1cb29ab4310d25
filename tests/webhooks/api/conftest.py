import pytest

from conferral.commands import http
from conferral.operations import session_follower
from conferral.runtime.web import bearer
from conferral.webhooks.api import app as api_module
from conferral.webhooks.api import streams
from tests.support.log_lines import lines_of
from tests.webhooks.api.api_helpers import BEARER, app_of


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch):
    """Streams see a commit almost at once."""
    for module in (session_follower, streams):
        monkeypatch.setattr(module, "POLL_EVERY_S", 0.05)


@pytest.fixture
def open_api(serve, store, metrics):
    """Serves the control API with settings changed; every request has the token unless it says otherwise."""
    return lambda headers=BEARER, redis=None, **changes: serve(
        app_of(redis or store, metrics, **changes), headers=headers
    )


@pytest.fixture
async def api(open_api):
    return await open_api()


@pytest.fixture
def lines(monkeypatch):
    with lines_of(monkeypatch, api_module, bearer, http) as captured:
        yield captured
