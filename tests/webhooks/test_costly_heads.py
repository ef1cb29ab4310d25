"""No head of a stranger's request costs more than 2 ms: callers are answered meanwhile."""

import pytest

from conferral.runtime.clock import SystemClock
from conferral.webhooks.api.app import add_api
from conferral.webhooks.app import make_app
from conferral.webhooks.desk.app import add_desk
from tests.support.costly_heads import costly_requests, routes_of
from tests.webhooks.api.api_helpers import KEYS, settings
from tests.webhooks.test_server import serving

pytestmark = pytest.mark.redis
CHANGES = {
    "CONFERRAL_DESK_ORIGINS": "https://crm.example.com",
    "CONFERRAL_DESK_PROXY_HEADER": "X-Forwarded-Email",
    "CONFERRAL_DESK_PROXY_FROM": "127.0.0.0/8",
    "CONFERRAL_DESK_PROXY_SECRET": "secret-between-proxy-and-desk",
}
OF_THE_PAGE = (("Origin", b"https://example.com"), ("X-Conferral", b"desk"))


async def test_no_head_of_a_request_costs_much_on_any_route(store, webhook_store, child_lookup, metrics):
    found, clock = settings(**CHANGES), SystemClock()
    app = make_app(found, webhook_store, child_lookup, metrics, clock)
    add_desk(add_api(app, found, store, KEYS, metrics, clock), store, KEYS)
    async with serving(app, metrics) as (port, _, _):
        assert await costly_requests(port, routes_of(app), OF_THE_PAGE) == []
