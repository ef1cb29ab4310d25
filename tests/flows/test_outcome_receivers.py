"""The receiver of outcomes hangs while people talk: no call waits for it, and each outcome arrives later.

`worker/test_outcome_sender.py` shows in virtual time how many requests hang, and when each is sent again.
"""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.flows.flow_helpers import TARGET
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis
SECRET = f"whsec_{'A' * 32}"


async def test_no_call_waits_for_a_receiver_that_never_answers(redis_server) -> None:
    may_answer, asked, arrived = asyncio.Event(), list[str](), set[str]()

    async def receive(request: web.Request) -> web.Response:
        asked.append(request.headers["webhook-id"])
        await may_answer.wait()
        arrived.add(request.headers["webhook-id"])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/outcomes", receive)
    async with TestServer(app) as receiver:
        url = {"CONFERRAL_OUTCOMES_URL": str(receiver.make_url("/outcomes")), "CONFERRAL_OUTCOMES_SECRET": SECRET}
        async with LocalSystem(redis_server.url, **url) as system:
            system.answered_by(TARGET)
            for _ in range(2):
                customer, _agent = await system.talking()
                await system.done("transfer", customer.sid, to=TARGET, mode="consult")
                await system.done("complete", customer.sid)
                await system.ended_by_command(customer.sid)
            written = {entry["id"] for entry in await system.outcomes()}
            assert len(written) == 4
            await system.eventually(lambda: asked, "a request hangs")
            assert not arrived
            may_answer.set()
            await system.eventually(lambda: arrived, "every outcome arrives", equals=written)
