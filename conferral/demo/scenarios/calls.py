"""The demo's stories about calls and transfers, and the tour of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from conferral.demo import characters
from conferral.demo.scenario import ANSWER_AFTER_S, ANYTHING, LATE_ANSWER_AFTER_S, Scenario, ScenarioRunner
from conferral.demo.scenarios import conference
from conferral.statemachine.states import State


@dataclass(frozen=True, slots=True)
class Story:
    """A story that the user can select."""

    summary: str
    play: Callable[[ScenarioRunner], Awaitable[None]]
    settings: Mapping[str, str] = field(default_factory=dict)


async def convert(runner: ScenarioRunner) -> None:
    """Convert a bridged call; the conference ends when one party leaves."""
    async with runner.call_in() as play:
        await _convert(play)
        await play.hang_up("agent", "alice hangs up")


async def warm(runner: ScenarioRunner) -> None:
    """Warm transfer: all three talk before the agent leaves."""
    async with runner.call_in() as play:
        await _transfer(play, "alice wants bob to join them", "bob", "warm")
        await play.expect_heard(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await _complete(play)
        await play.hang_up("customer", "the customer hangs up")


async def consult(runner: ScenarioRunner) -> None:
    """Consult: the customer waits while agent and target talk."""
    async with runner.call_in() as play:
        await _consult(play)
        await _complete(play)
        await play.hang_up("customer", "the customer hangs up")


async def blind(runner: ScenarioRunner) -> None:
    """Blind transfer: the customer hears ringing until the target answers."""
    await runner.phone(characters.BOB, answer_after_s=LATE_ANSWER_AFTER_S)
    async with runner.call_in() as play:
        await play.announce("alice transfers the customer blind: transfer --to client:bob --mode blind")
        await play.set_people(target="bob")
        command = await play.submit_without_waiting("transfer", to=characters.BOB, mode="blind")
        await play.expect_heard(customer="a phone ringing")
        await play.read_outcome(command)
        await play.expect_heard(customer="bob", bob="the customer")
        await play.set_people(agent="bob")
        await play.hang_up("customer", "the customer hangs up")
    await runner.script_all_phones()


async def recall(runner: ScenarioRunner) -> None:
    """Recall: a blind transfer fails, and the agent is called back."""
    async with runner.call_in() as play:
        await _fail_and_recall(play, "alice")
        await play.hang_up("customer", "the customer hangs up")


async def outbound(runner: ScenarioRunner) -> None:
    """Outbound: call the agent, then the customer; transfer as usual."""
    async with runner.call_out("outbound-1") as play:
        await play.expect_heard(customer="alice", alice="the customer")
        await _transfer(play, "alice wants bob to join them", "bob", "warm")
        await play.expect_heard(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await _complete(play)
        await play.hang_up("agent", "bob hangs up")


async def several(runner: ScenarioRunner) -> None:
    """Ring group: several phones ring; the first to press 1 gets the call."""
    for address in (characters.BOB, characters.CAROL):
        await runner.phone(address, answer_after_s=ANSWER_AFTER_S)
    async with runner.call_in() as play:
        await play.announce("alice adds bob or carol: transfer --to client:bob,client:carol --mode warm --confirm")
        await play.set_people(**{"target-1": "bob", "target-2": "carol"})
        command = await play.submit_without_waiting(
            "transfer", to=f"{characters.BOB},{characters.CAROL}", mode="warm", confirm="true"
        )
        question = '"Press 1 to take the call."'
        await play.expect_heard(customer="alice", alice="the customer", bob=question, carol=question)
        await play.narrator.announce("carol presses 1 before bob does")
        await play.press("target-2", "1")
        await play.read_outcome(command)
        await play.expect_heard(
            customer="alice and carol", alice="carol and the customer", carol="alice and the customer"
        )
        await play.set_people(target="carol")
        await _complete(play)
        await play.hang_up("customer", "the customer hangs up")
    await runner.script_all_phones()


async def tour(runner: ScenarioRunner) -> None:
    """Everything in one call: convert, consult, complete, recall."""
    async with runner.call_in() as play:
        await _convert(play)
        await _consult(play)
        await _complete(play)
        await _fail_and_recall(play, "bob")
        await play.hang_up("customer", "the customer hangs up")


async def _convert(play: Scenario) -> None:
    await play.expect_heard(customer="alice", alice="the customer")
    await play.announce("command: convert")
    since_s = await play.runner.phones.now_s()
    await play.submit("convert")
    await play.expect_heard(customer="alice", alice="the customer")
    customer, agent = await play.heard_no_one_text("customer", since_s), await play.heard_no_one_text("agent", since_s)
    await play.narrator.add_observation(f"silence: customer {customer}, alice {agent}")


async def _transfer(play: Scenario, why: str, to: str, mode: str) -> None:
    await play.announce(f"{why}: transfer --to client:{to} --mode {mode}")
    await play.set_people(target=to)
    await play.submit("transfer", to=f"client:{to}", mode=mode)


async def _consult(play: Scenario) -> None:
    await _transfer(play, "alice consults bob first", "bob", "consult")
    await play.expect_heard(customer="music", alice="bob", bob="alice")
    await play.announce("alice switches to the customer: swap")
    await play.submit("swap")
    await play.expect_heard(customer="alice", alice="the customer", bob="music")


async def _complete(play: Scenario) -> None:
    """The agent leaves; from then on, the target is the agent."""
    successor = play.narrator.people["target"]
    await play.announce(f"alice hands over to {successor}: complete")
    await play.submit("complete")
    await play.set_people(agent=successor)
    await play.expect_heard(**{"customer": successor, successor: "the customer"})


async def _fail_and_recall(play: Scenario, agent: str) -> None:
    await play.runner.phone(characters.CAROL, outcome="busy", times=1)  # and answers later calls
    await play.announce(f"{agent} transfers the customer blind: transfer --to client:carol --mode blind")
    await play.set_people(target="carol")
    await play.submit("transfer", "busy", to=characters.CAROL, mode="blind")
    why = '"Your call is coming back to you. The other line is busy."'
    await play.expect_heard(**{"customer": ANYTHING, agent: why})
    await play.wait_until("the recall", lambda it: it.state == State.CONFERENCED)
    await play.expect_heard(**{"customer": agent, agent: "the customer"})


TOUR = Story("one call, every step", tour)
STORIES = {
    "convert": Story("a bridged call becomes a conference", convert),
    "warm": Story("all three talk, then the agent leaves", warm),
    "consult": Story("the customer waits while agent and target talk", consult),
    "blind": Story("the agent leaves at once", blind),
    "recall": Story("a blind transfer fails, and the agent is called back", recall),
    "outbound": Story("the agent is called first, then the customer", outbound),
    "several": Story("several phones ring, and the first to press 1 gets the call", several),
    "waiting": Story("the caller waits in a conference until an agent is free", conference.waiting),
    "client": Story("an agent calls from a browser", conference.client),
    "conference": Story("agent and customer are called into a conference", conference.conference),
    "parties": Story("three more are added, and leave again", conference.parties),
    "hold": Story("the customer is held, then muted", conference.hold),
    "park": Story("the customer waits on hold until an agent retrieves the call", conference.park),
    "park-timeout": Story(
        "no one retrieves a parked call, and it returns to the agent",
        conference.park_timeout,
        {"CONFERRAL_PARK_TIMEOUT": "3"},
    ),
    "announce": Story("a sentence is announced to everyone", conference.announce),
    "supervise": Story("a supervisor listens, whispers, and joins in", conference.supervise),
    "record": Story("the conference is recorded, and a consult is not", conference.record),
    "after": Story("the customer gets a survey after the call", conference.after),
}
