"""Following sessions while Redis fails: each change counts, and only once."""

import asyncio
import contextvars

import pytest

from conferral.operations import session_follower
from conferral.operations.redis_access import RedisAccess, RedisLimiter
from conferral.operations.session_follower import FollowedSession, SessionFollower
from conferral.runtime.errors import StoreUnreachableError
from tests.webhooks.api.api_helpers import KEYS, commit, session
from tests.webhooks.api.test_streams import conferenced, ended

pytestmark = pytest.mark.redis


class FailingLimiter(RedisLimiter):
    """Fails one request to Redis: the `failing`th that it lets through the gate."""

    def __init__(self):
        super().__init__(6)
        self.failing = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, request, /):
        await self.gate.wait()
        self.failing -= 1
        if self.failing == 0:
            request.close()
            raise StoreUnreachableError("Redis is away")
        return await super().__call__(request)


class Changes(SessionFollower[FollowedSession]):
    """Notes each change."""

    def __init__(self, redis):
        super().__init__(redis)
        self.seen = []

    def keep(self, session):
        return FollowedSession(session)

    def on_change(self, name, followed):
        self.seen.append((name, followed and followed.session.version))


async def until(holds):
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_polls_are_in_no_subscribers_trace(client):
    of_request = contextvars.ContextVar("of_request", default="")
    found = []

    class Noting(Changes):
        def on_change(self, name, followed):
            found.append(of_request.get())

    await commit(client, session())
    following = Noting(RedisAccess(client, KEYS.prefix, keys=KEYS))
    of_request.set("the first subscriber's")
    following.subscribe(asyncio.Event())
    await until(lambda: found)
    await following.close()
    assert found == [""]


async def test_an_unexpected_error_is_reported_and_following_goes_on(client, monkeypatch):
    monkeypatch.setattr(session_follower, "POLL_EVERY_S", 0.01)
    reported, is_broken = [], True
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))

    class Broken(Changes):
        def keep(self, session):
            if is_broken:
                raise ZeroDivisionError
            return super().keep(session)

    await commit(client, session())
    following = Broken(RedisAccess(client, KEYS.prefix, keys=KEYS))
    following.subscribe(asyncio.Event())
    await until(lambda: reported)
    await until(lambda: following.redis_error == "unexpected ZeroDivisionError")
    is_broken = False
    await until(lambda: following.seen == [(session().id, 3)] and not following.redis_error)
    await following.close()
    assert {type(error) for error in reported} == {ZeroDivisionError}


@pytest.mark.parametrize("failing", range(1, 10))
async def test_a_poll_that_redis_breaks_off_loses_no_change_and_counts_none_twice(client, monkeypatch, failing):
    monkeypatch.setattr(session_follower, "CHUNK", 1)
    monkeypatch.setattr(session_follower, "POLL_EVERY_S", 0.01)
    monkeypatch.setattr(session_follower, "BACK_OFF_MAX_S", 0.02)
    names = [f"s-{number}" for number in range(4)]
    for name in names:
        await commit(client, session(name))
    limiter = FailingLimiter()
    following, wake = Changes(RedisAccess(client, KEYS.prefix, keys=KEYS, limiter=limiter)), asyncio.Event()
    following.subscribe(wake)
    await until(lambda: following.is_loaded)
    following.seen.clear()

    limiter.gate.clear()
    for name in names[:2]:
        await commit(client, ended(session(name)))
    for name in names[2:]:
        await commit(client, conferenced(session(name)))
    await commit(client, ended(session("short"), 1_795_000_010_000))
    limiter.failing = failing
    limiter.gate.set()
    await until(lambda: len(following.seen) >= 5 and limiter.failing < 0)
    await commit(client, session("last"))
    await until(lambda: ("last", 3) in following.seen)

    assert sorted(following.seen) == [("last", 3), *((name, 4) for name in names), ("short", 4)]
    assert following.live.keys() == {*names[2:], "last"}
    await following.close()
