"""Sign-ins at desks and codes of links, by Redis's clock; presence goes with the sign-in of its desk."""

import asyncio
import json

import pytest

from conferral.storage.agents import Agents
from conferral.storage.sign_ins import CODE_TTL_MS, EACH_MAX, SignIn, SignIns, digest_of_secret

pytestmark = pytest.mark.redis
HOUR_MS = 3_600_000
LINK = SignIn("alice", "api", for_ms=HOUR_MS)


@pytest.fixture
def sign_ins(client, keys) -> SignIns:
    return SignIns(client, keys)


async def digests(sign_ins):
    return set(await sign_ins.read())


async def test_a_code_signs_one_browser_in_for_as_long_as_its_link_says(sign_ins, client, keys):
    code = await sign_ins.add_code(LINK)
    assert await sign_ins.read() == {}
    assert CODE_TTL_MS - 5_000 < await client.pttl(keys.sign_ins) <= CODE_TTL_MS

    answers = await asyncio.gather(*(sign_ins.use_code("alice", code) for _ in range(3)))
    ((secret, signed_in),) = filter(None, answers)

    assert await sign_ins.read() == {digest_of_secret(secret): signed_in}
    assert (signed_in.identity, signed_in.token, signed_in.for_ms) == ("alice", "api", 0)
    assert HOUR_MS - 5_000 < await client.pttl(keys.sign_ins) <= HOUR_MS
    stored = json.dumps([text.decode() for pair in (await client.hgetall(keys.sign_ins)).items() for text in pair])
    assert not {secret, code} & set(stored.replace('"', " ").split())
    assert code not in stored
    assert secret not in stored


async def test_what_is_no_unused_code_of_this_agent_signs_no_one_in(sign_ins, client, keys):
    code = await sign_ins.add_code(LINK)
    secret, _ = await sign_ins.add(SignIn("alice", "api"), HOUR_MS)
    late = await sign_ins.add_code(LINK, ttl_ms=0)
    await client.hset(keys.sign_ins, digest_of_secret("foreign"), "[]")

    for identity, text in (("bob", code), ("alice", secret), ("alice", late), ("alice", "foreign"), ("alice", "")):
        assert await sign_ins.use_code(identity, text) is None
    assert await sign_ins.use_code("alice", code)


@pytest.mark.parametrize("stored", [
    b'{"identity":"alice","token":"api","until_ms":1e400}', b'{"identity":"alice","token":"api","until_ms":-1e400}',
    b'{"identity":"alice","token":"api","until_ms":99999999999999,"for_ms":1e300}',
    b'{"x":' + b"[" * 1_100 + b"]" * 1_100 + b"}", b'{"identity":"\xff"}', b'{"identity":"alice","token":7}',
])  # fmt: skip
@pytest.mark.parametrize("field", [b"\xff", b"a" * 64])
async def test_what_another_program_wrote_keeps_no_one_out(sign_ins, client, keys, field, stored):
    secret, _ = await sign_ins.add(SignIn("alice", "api"), HOUR_MS)
    await client.hset(keys.sign_ins, field, stored)

    assert await digests(sign_ins) == {digest_of_secret(secret)}
    assert await sign_ins.use_code("alice", await sign_ins.add_code(LINK))
    assert len(await sign_ins.read()) == 2
    assert HOUR_MS - 5_000 < await client.pttl(keys.sign_ins) <= HOUR_MS
    assert (await sign_ins.end("alice", everything=True)).count >= 2


async def test_a_name_that_is_no_text_is_skipped(sign_ins, client, keys):
    secret, one = await sign_ins.add(SignIn("alice", "api"), HOUR_MS)
    await client.hset(keys.sign_ins, b"\xff", await client.hget(keys.sign_ins, digest_of_secret(secret)))
    assert (await sign_ins.read())[digest_of_secret(secret)] == one


async def test_the_demos_code_can_be_used_again(sign_ins):
    code = await sign_ins.add_code(SignIn("alice", "api", for_ms=HOUR_MS, is_reusable=True), ttl_ms=HOUR_MS)
    for _ in range(2):
        assert await sign_ins.use_code("alice", code)
    assert len(await sign_ins.read()) == 2


async def test_what_is_over_is_removed_and_of_an_agents_many_the_first_to_end(sign_ins, client, keys):
    await sign_ins.add(SignIn("bob", "api"), 0)
    first, _ = await sign_ins.add(SignIn("alice", "api"), HOUR_MS)
    for number in range(EACH_MAX):
        await sign_ins.add(SignIn("alice", "api"), HOUR_MS + 1 + number)
    assert await client.hlen(keys.sign_ins) == EACH_MAX
    assert digest_of_secret(first) not in await digests(sign_ins)


async def test_an_end_is_of_one_sign_in_or_of_everything_of_an_agent(sign_ins):
    ends = [digest_of_secret((await sign_ins.add(SignIn(one, "api"), HOUR_MS))[0]) for one in ("alice", "alice", "bob")]
    code = await sign_ins.add_code(LINK)

    assert (await sign_ins.end("bob", ends[0])).count == 0  # not his
    assert (await sign_ins.end("alice", ends[0])).count == 1
    assert await digests(sign_ins) == {*ends[1:]}
    assert (await sign_ins.end("alice", everything=True)).count == 2
    assert await digests(sign_ins) == {ends[2]}
    assert await sign_ins.use_code("alice", code) is None


async def test_presence_ends_with_the_sign_in_of_its_desk(sign_ins, client, keys):
    agents = Agents(client, keys)
    first, second = [digest_of_secret((await sign_ins.add(SignIn("alice", "api"), HOUR_MS))[0]) for _ in range(2)]

    async def renew(desk, sign_in, *, is_ready=True):
        return await agents.renew("alice", "Alice", desk, is_ready=is_ready, is_busy=False, sign_in=sign_in)

    await renew("d1", first)
    assert (await renew("d2", second)).sign_in == second
    assert not (await sign_ins.end("alice", first)).had_phone
    assert [(one.registered, one.sign_in) for one in await agents.list()] == [("d2", second)]
    await renew("d3", "")
    assert not (await sign_ins.end("alice", second)).had_phone
    assert [(one.registered, one.sign_in) for one in await agents.list()] == [("d3", "")]

    third = digest_of_secret((await sign_ins.add(SignIn("bob", "api"), HOUR_MS))[0])
    await agents.renew("bob", "Bob", "d1", is_ready=False, is_busy=False, sign_in=third)
    assert (await sign_ins.end("bob", third)).had_phone
    assert [one.identity for one in await agents.list()] == ["alice"]


async def test_the_end_of_everything_is_that_of_a_calls_desk_whose_presence_has_lapsed(sign_ins):
    """Webhooks were away for long, or the browser could reach Twilio alone."""
    first = digest_of_secret((await sign_ins.add(SignIn("alice", "api"), HOUR_MS))[0])
    await sign_ins.add(SignIn("alice", "api"), HOUR_MS)
    assert not (await sign_ins.end("alice", first)).had_phone
    assert (await sign_ins.end("alice", everything=True)).had_phone
    assert not (await sign_ins.end("alice", everything=True)).had_phone
