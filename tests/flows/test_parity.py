"""Every command by redis-cli, HTTP, the command line and the client: done alike, and refused in the same words."""

import asyncio
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from tests.flows.command_channels import (
    OPENING,
    TOKEN,
    WAYS,
    CommandChannel,
    ReportedOutcome,
    every_channel,
    redis_cli,
    typed,
)
from tests.flows.flow_helpers import CAROL
from tests.support.command_examples import whole
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.people import BOB, DAVE

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_API_TOKEN=TOKEN)]
PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
#: The session of the page's examples.
EXAMPLE = "CA0123456789abcdef0123456789abcdef"
DESK = "+14155550145"
#: How the sandbox's clock runs in stories in which something is said.
FAST = 8.0
Fields = dict[str, str]


def kept(names: Iterable[str], *in_every_run: str) -> list[Any]:
    """The examples of a story, of which all but these are left to the long run."""
    return [name if name in in_every_run else pytest.param(name, marks=pytest.mark.soak) for name in names]


# ---- the examples of the page ----------------------------------------------------------------------------------------


def example_lines(title: str) -> list[list[str]]:
    """The lines of the first block below a title of docs/commands.md, as a shell takes them apart."""
    block = re.search(rf"^## {title}\n.*?^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


def read(words: list[str]) -> Fields:
    """The command of a line that is typed, as the stream has it."""
    kind, *rest = words[1:]
    fields = {"type": kind}
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            fields["session"] = word
        elif word not in ("--yes", "--json", "--no-wait"):
            name, text = word.removeprefix("--"), rest.pop(0)
            if name != "wait":  # how long the command line waits; no field of the command
                fields[name] = text
    return fields


TYPED = [read(words) for words in example_lines("From a terminal")]
#: The outcomes of the examples, except for successes, in the session that they go through.
REFUSED = {"cancel": "no transfer is in progress; allowed now: "}


def test_the_examples_are_of_every_command():
    assert {fields["type"] for fields in TYPED} == set(COMMANDS_BY_NAME)


def test_typed_commands_match_the_documented_examples():
    """The way by the command line gives what a person would type."""
    for words, fields in zip(example_lines("From a terminal"), TYPED, strict=True):
        assert set(typed(fields)) <= {*words, "--yes"}


def everyone_answers(system: LocalSystem) -> None:
    for phone in (AGENT, CUSTOMER, DESK, BOB, CAROL, DAVE):
        system.sandbox.phone(phone).script(answer_after_s=0.02)


@pytest.mark.parametrize("name", kept(WAYS, "line"))
async def test_examples_are_done_from_the_first_call_to_the_end(redis_server, name):
    """One session goes through all of them, and each channel gets the same outcomes."""
    async with (
        LocalSystem(redis_server.url, CONFERRAL_API_TOKEN=TOKEN, speed=FAST) as system,
        every_channel(system, name) as ways,
    ):
        everyone_answers(system)
        session = f"order-{name}"
        for fields in TYPED:
            reported = await ways[name].give({**fields, "session": session})
            kind = fields["type"]
            if kind in REFUSED:
                assert reported.status == "rejected"
                assert reported.reason.startswith(REFUSED[kind])
            else:
                assert reported == ReportedOutcome("done", ""), f"{kind}\n{await system.report()}"
        await system.everyone_is_gone(session, "command")


@pytest.mark.system(CONFERRAL_API_TOKEN=TOKEN, speed=FAST)
async def test_redis_cli_examples_work_as_written(system):
    """What one after the other leads to, with the sessions put in for that of the page."""
    everyone_answers(system)
    session, found = EXAMPLE, []
    for words in example_lines("From anything that speaks Redis"):
        given = [session if word == EXAMPLE else word for word in words[1:]]
        lines = await redis_cli(system, *given)
        if given[0] == "HGETALL":
            assert dict(zip(lines[::2], lines[1::2], strict=True))["status"] == "done"
            break
        fields = dict(zip(given[3::2], given[4::2], strict=True))
        outcome = await system.result_of(fields.get("id", lines[0]))
        session = outcome.session
        found.append((fields["type"], outcome.status, outcome.reason.partition(";")[0]))
    assert found == [(kind, "done", "") for kind in ("call", "transfer", "complete", "end")]
    await system.everyone_is_gone(session, "command")


# ---- what is published -----------------------------------------------------------------------------------------------

#: Every command with every field that it has; of two that exclude each other the first.
WHOLE: dict[str, Fields] = {
    kind: whole(command) | ({"session": "order-7"} if command.opens_session else {})
    for kind, command in COMMANDS_BY_NAME.items()
}


async def test_every_way_publishes_the_same_command(system):
    """No one takes anything up, so that the entries can be compared."""
    customer, _ = await system.talking()
    await system.stop_worker()
    async with every_channel(system) as ways:
        for kind, fields in WHOLE.items():
            given = {"type": kind, "session": customer.sid, **fields}
            for way in ways.values():
                await way.publish(given)
            entries = await system.client.xrange(system.keys.commands)
            await system.client.delete(system.keys.commands)
            published = [{name.decode(): text.decode() for name, text in entry.items()} for _, entry in entries]
            by = {"redis": {}, "http": {"by": "api"}, "line": {"by": "cli"}, "client": {}}
            assert [{**entry, "id": ""} for entry in published] == [{**given, "id": "", **by[way]} for way in ways]
    system.start_worker()
    await system.ended_by_command(customer.sid)


# ---- refused ---------------------------------------------------------------------------------------------------------

LONG = "x" * 501
BELL = "bell\a"
#: Values that a field can't have, of whichever command; an empty one is wrong where it is needed. Others: `BELL`.
WRONG: dict[str, tuple[str, ...]] = {
    "session": ("a b", "x" * 65),
    "id": ("a b",),
    "to": ("", f"{BOB},{BOB}", BELL, ",".join(f"client:c{number}" for number in range(11)), "client:" + "x" * 510),
    "agent": ("", f"{AGENT},{BOB}", BELL),
    "customer": ("", f"{CUSTOMER},{BOB}"),
    "mode": ("dance",),
    "ref": (LONG, BELL),
    "party": ("", "Two words", DESK),
    "brief": (LONG, BELL),
    "confirm": ("maybe",),
    "confirm_for": ("8", "61", "soon"),
    "amd": ("maybe",),
    "muted": ("maybe",),
    "fallback": ("end,recall", BELL, "recall,recall", "voicemail,recall,end,end"),
    "timeout": ("4", "601", "soon", "5.5"),
    "digits": ("press 1", "1" * 65),
    "caller_id": ("4155550100", "client:alice", CUSTOMER),
    "params": ("name", "name=Ada L.", "name=%07", f"name={LONG}{LONG}"),
    "url": ("ftp://media.example.com/a.mp3", "media.example.com", "http://" + "x" * 2_000),
    "say": (LONG, BELL),
    "action": ("", "rewind"),
}
#: Well formed, and yet no one may be dialed so: each is turned away where commands are routed.
MAY_NOT: tuple[Fields, ...] = ({"to": "+19005550100"}, {"to": "nobody"}, {"to": "911"}, {"to": "sip:x@example.com"})


def wrong(kind: str) -> Iterator[Fields]:
    """What a command has instead of one of its fields, or next to them."""
    whole = {"id": "", **WHOLE[kind]}
    if kind == "announce":
        yield {"url": "", "say": ""}
        yield {"say": "Hello."}  # next to the URL
    if kind == "add":
        yield from ({"party": name} for name in ("agent", "target-2", "supervisor", "guest-1"))
    if "to" in whole:
        yield from MAY_NOT
        yield {"to": BOB, "digits": "1w2"}
        yield {"to": DESK, "params": "name=Ada"}
    for name in (*whole, "session"):
        for text in WRONG.get(name, (BELL,)):
            yield {name: text}


#: Each kind of wrong value once, in the first command that has the field.
EACH_ONCE = {
    tuple(changed.items()): (kind, changed)
    for kind in reversed(COMMANDS_BY_NAME)
    for changed in wrong(kind)
    if kind not in OPENING or changed.keys() & {"agent", "customer", "conference"}
}.values()
NOT_THERE = {"CA404": "no call CA404 found", "1415": "no call (digits alone) found"}


async def test_each_kind_of_wrong_value_is_refused_in_the_same_words_by_every_way(system):
    """Sessions of no one, too; no one is dialed and no session opened."""
    customer, agent = await system.talking()
    cases = [*EACH_ONCE, *(("end", {"session": named}) for named in NOT_THERE)]
    results = await refused_alike(system, cases, customer.sid)
    for one, why in zip(results[-len(NOT_THERE) :], NOT_THERE.values(), strict=True):
        assert one["redis"].reason.startswith(why)
    assert [call.sid for call in system.sandbox.live_calls()] == [customer.sid, agent.sid]
    await system.ended_by_command(customer.sid)


@pytest.mark.soak
@pytest.mark.parametrize("kind", COMMANDS_BY_NAME)
async def test_wrong_field_is_refused_in_the_same_words_by_every_way(system, kind):
    """Each of a command's fields, with each wrong value."""
    customer, agent = await system.talking()
    named = {customer.sid: "session must not have the form of a SID"} if kind in OPENING else NOT_THERE
    cases = [*wrong(kind), *({"session": session} for session in named)]
    results = await refused_alike(system, [(kind, changed) for changed in cases], customer.sid)
    for one, why in zip(results[-len(named) :], named.values(), strict=True):
        assert one["redis"].reason.startswith(why)
    assert [call.sid for call in system.sandbox.live_calls()] == [customer.sid, agent.sid]
    await system.ended_by_command(customer.sid)


async def refused_alike(
    system: LocalSystem, cases: list[tuple[str, Fields]], session: str
) -> list[dict[str, ReportedOutcome]]:
    """What every channel gets for each case: a rejection, in the same words."""
    async with every_channel(system) as ways:
        results = await asyncio.gather(*(outcomes_of(ways, kind, changed, session) for kind, changed in cases))
    for one, (kind, changed) in zip(results, cases, strict=True):
        if "session" in changed and kind not in OPENING and "line" in one:
            # A terminal takes more for a session, so that it also has other words for what is none.
            assert one.pop("line").status == "rejected", changed
    assert [one for one in results if len(set(one.values())) > 1 or one["redis"].status != "rejected"] == []
    return results


async def outcomes_of(
    ways: dict[str, CommandChannel], kind: str, changed: Fields, session: str
) -> dict[str, ReportedOutcome]:
    """The outcome that every channel gets for an invalid command; `digits` and `params` are not for every phone."""
    left_out = {} if kind == "press" else {"digits": "", "params": ""}
    whole = {"session": "order-7" if kind in OPENING else session, **WHOLE[kind], **left_out, **changed}
    fields = {"type": kind} | {name: text for name, text in whole.items() if text or name in changed}
    # `--confirm`, `--amd`, and `--muted` have no value.
    names = [name for name in ways if not (name == "line" and changed.keys() & {"confirm", "amd", "muted"})]
    return dict(zip(names, await asyncio.gather(*(ways[name].give(fields) for name in names)), strict=True))


async def test_unknown_field_or_type_is_refused_before_anything_is_done(system):
    """In the same words where there are any; a shell's option and a method of a program don't exist at all."""
    customer, _ = await system.talking()
    end = {"type": "end", "session": customer.sid}
    async with every_channel(system) as ways:
        line, client = ways["line"], ways["client"]
        shown = [await ways[name].give({**end, "colour": "red"}) for name in ("redis", "http")]
        assert shown == [ReportedOutcome("rejected", "end has no field 'colour'; it takes session and id")] * 2
        assert (await line.type("end", customer.sid, "--colour", "red", "--yes"))[0] == 2
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            await client.publish({**end, "colour": "red"})

        reason = f"unknown type 'dance'; one of: {', '.join(sorted(COMMANDS_BY_NAME))}"
        shown = [await ways[name].give({**end, "type": "dance"}) for name in ("redis", "http")]
        assert shown == [ReportedOutcome("rejected", reason)] * 2
        assert (await line.type("dance", customer.sid))[0] == 2
        with pytest.raises(AttributeError):
            await client.publish({**end, "type": "dance"})

        # What is needed and left out: a shell says so of the option, and takes an empty one for none.
        code, _, err = await line.type("transfer", customer.sid, "--mode", "warm")
        assert (code, "--to" in err) == (2, True)
    assert (await system.session(customer.sid))["state"] == "bridged"
    await system.ended_by_command(customer.sid)
