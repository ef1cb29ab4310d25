"""Submitting commands, from every surface: each runs once, an id is never reused, a session is found if needed."""

import asyncio

import pytest

from conferral.commands.submission import CommandSubmitter
from conferral.operations.errors import CommandIdConflict, UnknownSession
from conferral.storage.queries.session_reader import SessionReader
from tests.webhooks.api.api_helpers import CALLER, KEYS, published, put, report_status, session, take_up

pytestmark = pytest.mark.redis
END = {"type": "end", "session": CALLER}
CALL = {"type": "call", "agent": "client:alice", "customer": "client:bob"}


@pytest.fixture
async def store(client):
    await put(client, session())
    return client


@pytest.fixture
def giver(store):
    return CommandSubmitter(SessionReader(store, KEYS))


async def test_a_command_is_known_from_the_moment_it_is_given_and_published_once(giver, store):
    given = await giver.submit(END)
    again = await giver.submit(END, given.command_id)
    assert again == given
    assert (await giver.find_result(given.command_id)).exists

    await take_up(store)
    assert await giver.submit(END, given.command_id) == given
    assert await published(store) == []


@pytest.mark.parametrize("is_taken_up", [False, True])
async def test_an_id_that_was_given_before_is_no_other_commands(giver, store, is_taken_up):
    await giver.submit(END, "order-7")
    if is_taken_up:
        await take_up(store)
    before = await published(store)

    with pytest.raises(CommandIdConflict) as refused:
        await giver.submit({**END, "type": "park"}, "order-7")

    assert refused.value.reason == "the id order-7 is already used by another command; nothing was done"
    assert await published(store) == before


async def test_one_of_two_concurrent_submissions_with_one_id_is_published(giver, store):
    commands = [{**END, "type": kind} for kind in ("end", "park", "convert")]

    results = await asyncio.gather(*(giver.submit(one, "c1") for one in commands), return_exceptions=True)

    assert sorted(type(one).__name__ for one in results) == [
        "CommandIdConflict",
        "CommandIdConflict",
        "SubmittedCommand",
    ]
    assert len(await published(store)) == 1


async def test_session_is_checked_only_on_request(giver, store):
    nobodys = {**END, "session": "CA9"}

    with pytest.raises(UnknownSession, match=r"^no call CA9 found$"):
        await giver.submit(nobodys, check_session=True)
    with pytest.raises(CommandIdConflict, match="this id is already in use; choose another"):
        await giver.submit({**CALL, "session": CALLER}, check_session=True)
    assert await store.keys("*command*") == []

    for fields in (nobodys, {**CALL, "session": CALLER}):  # left to the router
        await giver.submit(fields)
    await giver.submit(CALL, check_session=True)
    assert [entry["type"] for entry in await published(store)] == ["end", "call", "call"]


async def test_outcome_of_another_command_is_not_returned_as_ones_own(giver, store):
    mine = await giver.submit(END, "c1")
    await take_up(store)
    await report_status(store, "c1", "done")
    assert (await giver.wait_for_result(mine, 5)).status == "done"

    await store.hset(KEYS.command("c1"), "digest", "0" * 16)
    with pytest.raises(CommandIdConflict):
        await giver.wait_for_result(mine, 5)
