"""The demo's stories, and the tour: what people do, and what they hear."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conferral.cli import output
from conferral.demo import bot, characters
from conferral.demo.characters import BOB, CAROL, CUSTOMER, DAVE
from conferral.demo.scenario import ANSWER_AFTER_S, ANYTHING, LATE_ANSWER_AFTER_S, Scenario, ScenarioRunner
from conferral.runtime.redaction import display_address
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase, State
from offhook import CallHandle

THE_CUSTOMER = characters.name(CUSTOMER)


@dataclass(frozen=True, slots=True)
class Story:
    """A story that the user can select."""

    summary: str
    play: Callable[[ScenarioRunner], Awaitable[None]]


async def _tour(runner: ScenarioRunner) -> None:
    async with runner.call_in() as play:
        await _convert_measured(play)
        await _consult_bob(play)
        await _complete(play)
        await _fail_and_recall(play, "bob")
        await play.end("customer", "the customer hangs up")


async def _warm(runner: ScenarioRunner) -> None:
    async with runner.call_in() as play:
        await _transfer_to_bob(play, "alice wants bob to join them", "warm")
        await play.expect_talk(THE_CUSTOMER, "alice", "bob")
        await _complete(play)
        await play.end("customer", "the customer hangs up")


async def _blind(runner: ScenarioRunner) -> None:
    runner.phone(BOB, answer_after_s=LATE_ANSWER_AFTER_S)
    async with runner.call_in() as play:
        await play.set_people(target="bob")
        command = await play.begin("alice transfers the customer", "transfer", to=BOB, mode="blind")
        await play.expect_heard(customer="a phone ringing")
        await play.finish(command)
        await play.expect_talk(THE_CUSTOMER, "bob")
        await play.set_people(agent="bob")
        await play.end("customer", "the customer hangs up")


async def _outbound(runner: ScenarioRunner) -> None:
    async with runner.call_out("outbound-1") as play:
        await play.expect_talk(THE_CUSTOMER, "alice")
        await _transfer_to_bob(play, "alice wants bob to join them", "warm")
        await play.expect_talk(THE_CUSTOMER, "alice", "bob")
        await _complete(play)
        await play.end("agent", "bob hangs up")


async def _several(runner: ScenarioRunner) -> None:
    for address in (BOB, CAROL):  # they press no key by themselves
        runner.phone(address, answer_after_s=ANSWER_AFTER_S)
    async with runner.call_in() as play:
        await play.set_people(**{"target-1": "bob", "target-2": "carol"})
        command = await play.begin(
            "alice adds bob or carol", "transfer", to=f"{BOB},{CAROL}", mode="warm", confirm="true"
        )
        question = "“Press 1 to take the call.”"
        await play.expect_heard(customer="alice", alice=THE_CUSTOMER, bob=question, carol=question)
        await play.narrator.announce("carol presses 1 before bob does")
        (await play.call_of("target-2")).press("1")
        await play.finish(command)
        await play.expect_talk(THE_CUSTOMER, "alice", "carol")
        await play.set_people(target="carol")
        await _complete(play)
        await play.end("customer", "the customer hangs up")


async def _hold(runner: ScenarioRunner) -> None:
    async with runner.call_in() as play:
        for why, begin, heard, end in (
            ("alice needs a moment", "hold", "music", "unhold"),
            ("the customer's street is loud", "mute", "alice", "unmute"),
        ):
            await play.do(why, begin, party="customer")
            await play.expect_heard(customer=heard, alice="silence")
            await play.do("that is over", end, party="customer")
            await play.expect_talk(THE_CUSTOMER, "alice")
        await play.end("agent", "alice hangs up")


async def _park(runner: ScenarioRunner) -> None:
    async with runner.call_in() as play:
        await play.do("alice parks the call", "park")
        await play.expect_heard(customer="music")
        await play.set_people(agent="bob")
        await play.do("bob retrieves the call", "retrieve", to=BOB)
        await play.expect_talk(THE_CUSTOMER, "bob")
        await play.end("customer", "the customer hangs up")


async def _supervise(runner: ScenarioRunner) -> None:
    async with runner.call_in() as play:
        await play.set_people(supervisor="dave")
        for caption, mode, alice, customer in (
            ("dave listens, unheard", "monitor", THE_CUSTOMER, "alice"),
            ("dave helps alice, unheard by the customer", "whisper", "dave and the customer", "alice"),
            ("dave joins in", "barge", "dave and the customer", "alice and dave"),
        ):
            await play.do(caption, "supervise", to=DAVE, mode=mode)
            if mode == "barge":  # no Twilio callback reports it
                await play.wait_until("dave's voice", _is_heard_by_all)
                await play.narrator.add_observation("everyone hears dave")
            await play.expect_heard(customer=customer, alice=alice, dave="alice and the customer")
        await play.end("customer", "the customer hangs up: a supervisor does not count as a party")


async def _handoff(runner: ScenarioRunner) -> None:
    says = "Hello. What can I do for you?"
    summary = "Caller wants to change an order."
    runner.sandbox.script_bot(says=(says,), handoff_data={"brief": summary, "timeout": 5, "ref": "order-7"})
    runner.phone(BOB)  # rings until Twilio gives up
    async with (
        bot.serve_app(f"{runner.environment.webhooks_url}/voice/handoff") as voice_url,
        runner.call_support(voice_url) as play,
    ):
        await play.expect_speech(says)
        await play.narrator.announce("the bot hands over to the number's agents, with a summary")
        await play.wait_until("the hand-off", lambda it: it.state == State.CONFERENCED)
        await play.expect_heard(customer="music")
        await play.wait_for_party("agent", CAROL)
        await play.set_people(agent="carol")
        await play.expect_heard(customer="music", carol=f"“{summary}”")
        await play.expect_talk(THE_CUSTOMER, "carol")
        await play.end("customer", "the customer hangs up")


async def _voicemail(runner: ScenarioRunner) -> None:
    runner.phone(BOB, outcome="busy")
    runner.phone(CAROL, outcome="reject", answer_after_s=ANSWER_AFTER_S)
    async with runner.call_support() as play:
        await play.wait_for_party("agent", CAROL)
        await play.set_people(agent="carol")
        await play.wait_until("the voicemail", lambda it: it.phase == Phase.VOICEMAIL)
        await play.expect_heard(customer=ANYTHING)
        await play.leave_message("Please call me back.")


async def _queue(runner: ScenarioRunner) -> None:
    async with runner.at_desks(BOB, CAROL):
        first, second = characters.OTHER_CALLERS
        of_bob = await _call_before(runner, first, "bob")
        runner.phone(BOB, outcome="busy", times=2)
        of_carol = await _call_before(runner, second, "carol")
        runner.phone(CAROL, outcome="busy", times=1)
        async with runner.call_sales() as play:
            await play.wait_until("the queue", lambda it: it.phase == Phase.QUEUED)
            await play.expect_heard(customer="music")
            await play.talk()
            await play.narrator.announce("the caller who talks to bob hangs up: bob is free")
            of_bob.hang_up()
            await play.wait_until_answered()
            await play.expect_talk(THE_CUSTOMER, "bob")
            of_carol.hang_up()
            await play.end("customer", "the customer hangs up")


async def _killed(runner: ScenarioRunner) -> None:
    async with runner.call_in() as play:
        await play.set_people(target="bob")
        command = await play.begin("alice consults bob first", "transfer", to=BOB, mode="consult")
        await play.wait_for_party("target")
        await asyncio.gather(play.kill_worker(), play.expect_heard(customer="music", alice="bob", bob="alice"))
        await play.finish(command)
        await _complete(play)
        await play.end("customer", "the customer hangs up")


async def _call_before(runner: ScenarioRunner, caller: str, agent: str) -> CallHandle:
    """Let another caller call the number with a queue, and talk."""
    call = await runner.start_bridged_call(caller, characters.SALES)
    output.print_line(f"caller {display_address(caller)} calls {display_address(characters.SALES)}; {agent} answers")
    return call


def _is_heard_by_all(session: Session) -> bool:
    """Whether Twilio confirmed that the supervisor talks to everyone."""
    supervisor = session.parties["supervisor"]
    return not supervisor.coaches and not supervisor.muted


async def _convert_measured(play: Scenario) -> None:
    await play.expect_talk(THE_CUSTOMER, "alice")
    since_s = play.runner.sandbox.now_s
    await play.do("command", "convert")
    await play.expect_talk(THE_CUSTOMER, "alice")
    customer, agent = await play.time_without_talk("customer", since_s), await play.time_without_talk("agent", since_s)
    await play.narrator.add_observation(f"silence: customer {customer}, alice {agent}")


async def _transfer_to_bob(play: Scenario, why: str, mode: str) -> None:
    await play.set_people(target="bob")
    await play.do(why, "transfer", to=BOB, mode=mode)


async def _consult_bob(play: Scenario) -> None:
    await _transfer_to_bob(play, "alice consults bob first", "consult")
    await play.expect_heard(customer="music", alice="bob", bob="alice")
    await play.do("alice switches to the customer", "swap")
    await play.expect_heard(customer="alice", alice=THE_CUSTOMER, bob="music")


async def _complete(play: Scenario) -> None:
    """The agent leaves; from then on, the target is the agent."""
    successor = play.narrator.people["target"]
    await play.do(f"alice hands over to {successor}", "complete")
    await play.set_people(agent=successor)
    await play.expect_talk(THE_CUSTOMER, successor)


async def _fail_and_recall(play: Scenario, agent: str) -> None:
    play.runner.phone(CAROL, outcome="busy", times=1)  # and answers later calls
    await play.set_people(target="carol")
    await play.do(f"{agent} transfers the customer", "transfer", "busy", to=CAROL, mode="blind")
    why = "“Your call is coming back to you. The other line is busy.”"
    await play.expect_heard(**{"customer": ANYTHING, agent: why})
    await play.wait_until("the recall", lambda it: it.state == State.CONFERENCED)
    await play.expect_talk(THE_CUSTOMER, agent)


TOUR = Story("one call, every step", _tour)
STORIES = {
    "warm": Story("all three talk, then the agent leaves", _warm),
    "blind": Story("the agent leaves immediately", _blind),
    "outbound": Story("the agent is called first, then the customer", _outbound),
    "several": Story("several phones ring, and the first to press 1 gets the call", _several),
    "hold": Story("the customer is held, then muted", _hold),
    "park": Story("the customer waits on hold until an agent retrieves the call", _park),
    "supervise": Story("a supervisor listens, whispers, and joins in", _supervise),
    "handoff": Story("a bot hands over with a summary, and the second agent answers", _handoff),
    "voicemail": Story("no agent answers, and the caller leaves a message", _voicemail),
    "queue": Story("three callers, two agents: the third waits until one is free", _queue),
    "killed": Story("a worker is killed in the middle of a consult", _killed),
}
