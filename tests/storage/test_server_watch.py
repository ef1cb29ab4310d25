"""How long a server of Redis counts as new, by clocks that are set by hand."""

import asyncio
from typing import Any

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.webhook_store import server_watch
from conferral.storage.webhook_store.server_watch import ServerWatch
from tests.simulation.virtual_loop import in_virtual_time
from tests.support.hands import Hands


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The server's identity, and for how many seconds it has run."""
    found: list[Any] = ["one", 90]

    async def identify(_client: object, _key: str) -> tuple[str, int]:
        if not found:
            raise StoreUnreachableError("away")
        return found[0], found[1]

    monkeypatch.setattr(server_watch, "server_identity", identify)
    return found


@pytest.mark.parametrize(("up_s", "left_s"), [(90, 0), (60, 0), (59, 1), (0, 60)])
async def test_server_met_first_counts_as_new_by_its_own_uptime(identity: list[Any], up_s: int, left_s: int) -> None:
    clock = Hands(500.0)
    watch = ServerWatch(None, "key", clock)
    assert watch.has_changed_recently(), "nothing is known of it"
    identity[1] = up_s
    await watch.check()
    assert watch.has_changed_recently() is (left_s > 0)
    clock.now_s += left_s - 0.25
    assert watch.has_changed_recently() is (left_s > 0)
    clock.now_s += 0.25
    assert not watch.has_changed_recently()


async def test_server_that_answers_no_check_may_be_another_one(identity: list[Any]) -> None:
    watch, stop = ServerWatch(None, "key", Hands(500.0)), asyncio.Event()
    await watch.check()
    assert not watch.has_changed_recently()
    identity.clear()
    watching = asyncio.create_task(watch.run(stop))
    await asyncio.sleep(0)
    assert watch.has_changed_recently()
    stop.set()
    await watching


async def test_another_server_counts_as_new_for_a_minute_and_a_silent_one_until_it_answers(identity: list[Any]) -> None:
    clock = Hands(500.0)
    watch = ServerWatch(None, "key", clock)
    await watch.check()
    identity[0] = "two"
    clock.now_s += 1
    await watch.check()
    clock.now_s += 59.75
    identity[1] = 3  # a restart changes the identity; a small uptime alone does not
    await watch.check()
    assert watch.has_changed_recently()
    clock.now_s += 0.25
    assert not watch.has_changed_recently()
    watch.mark_unknown()
    assert watch.has_changed_recently()
    await watch.check()
    assert not watch.has_changed_recently()


@in_virtual_time
async def test_server_is_asked_every_second(loop, identity) -> None:
    stop, watch, asked = asyncio.Event(), ServerWatch(None, "key", Hands(500.0)), []

    await watch.check()

    async def check() -> None:
        asked.append(loop.time())
        if len(asked) == 2:
            raise StoreUnreachableError("away")

    watch.check = check  # type: ignore[method-assign]
    loop.call_later(3.5, stop.set)
    await watch.run(stop)
    assert asked == [0.0, 1.0, 2.0, 3.0]
    assert watch.has_changed_recently(), "it did not answer once"
