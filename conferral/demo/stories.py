"""The stories that the demo can play, each a few sentences about people and one call, and the tour of them all."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from conferral.demo import cast, room_stories
from conferral.demo.play import ANSWER_AFTER_S, ANSWER_LATE_S, SOMETHING, Play, Theatre


@dataclass(frozen=True, slots=True)
class Story:
    """One that can be asked for."""

    about: str
    play: Callable[[Theatre], Awaitable[None]]
    #: Settings that it wants otherwise than usual.
    settings: Mapping[str, str] = field(default_factory=dict)


async def convert(theatre: Theatre) -> None:
    """A bridged call becomes a conference, and ends when one leaves."""
    async with theatre.call_in() as play:
        await _convert(play)
        await play.act("alice hangs up")
        await play.hang_up("agent")


async def warm(theatre: Theatre) -> None:
    """All three talk before the agent leaves."""
    async with theatre.call_in() as play:
        await _transfer(play, "alice wants bob to join them", "bob", "warm")
        await play.hear(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await _complete(play)
        await play.act("the customer hangs up")
        await play.hang_up("customer")


async def consult(theatre: Theatre) -> None:
    """The customer waits while agent and target talk; then the agent hands over."""
    async with theatre.call_in() as play:
        await _consult(play)
        await _complete(play)
        await play.act("the customer hangs up")
        await play.hang_up("customer")


async def blind(theatre: Theatre) -> None:
    """The agent is gone at once; the customer hears ringing until the target answers."""
    await theatre.phone(cast.BOB, answer_after_s=ANSWER_LATE_S)
    async with theatre.call_in() as play:
        await play.act("alice hands the customer over and is gone: transfer --to client:bob --mode blind")
        await play.now(target="bob")
        command_id = await play.begin("transfer", to=cast.BOB, mode="blind")
        await play.hear(customer="a phone ringing")
        await play.outcome(command_id)
        await play.hear(customer="bob", bob="the customer")
        await play.now(agent="bob")
        await play.act("the customer hangs up")
        await play.hang_up("customer")
    await theatre.set_phones()


async def recall(theatre: Theatre) -> None:
    """A blind transfer fails, and the agent is called back."""
    async with theatre.call_in() as play:
        await _fail_and_recall(play, "alice")
        await play.act("the customer hangs up")
        await play.hang_up("customer")


async def outbound(theatre: Theatre) -> None:
    """The agent is called first, then the customer; a bridge that can be transferred like any other."""
    async with theatre.call_out("outbound-1") as play:
        await play.hear(customer="alice", alice="the customer")
        await _transfer(play, "alice wants bob to join them", "bob", "warm")
        await play.hear(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await _complete(play)
        await play.act("bob hangs up")
        await play.hang_up("agent")


async def several(theatre: Theatre) -> None:
    """Several phones ring at once; whoever presses 1 first takes the call."""
    for address in (cast.BOB, cast.CAROL):
        await theatre.phone(address, answer_after_s=ANSWER_AFTER_S)
    async with theatre.call_in() as play:
        await play.act("alice asks for bob or carol: transfer --to client:bob,client:carol --mode warm --confirm")
        await play.now(**{"target-1": "bob", "target-2": "carol"})
        command_id = await play.begin("transfer", to=f"{cast.BOB},{cast.CAROL}", mode="warm", confirm="true")
        question = '"Press 1 to take the call."'
        await play.hear(customer="alice", alice="the customer", bob=question, carol=question)
        await play.narrator.act("carol presses 1 before bob does")
        await play.press("target-2", "1")
        await play.outcome(command_id)
        await play.hear(customer="alice and carol", alice="carol and the customer", carol="alice and the customer")
        await play.now(target="carol")
        await _complete(play)
        await play.act("the customer hangs up")
        await play.hang_up("customer")
    await theatre.set_phones()


async def tour(theatre: Theatre) -> None:
    """All of it in one call: bridged, converted, consulted with swap, completed, then a transfer that fails."""
    async with theatre.call_in() as play:
        await _convert(play)
        await _consult(play)
        await _complete(play)
        await _fail_and_recall(play, "bob")
        await play.act("the customer hangs up")
        await play.hang_up("customer")


# ---- scenes that several stories have ------------------------------------------------------------------------------


async def _convert(play: Play) -> None:
    await play.hear(customer="alice", alice="the customer")
    await play.act("somebody types: convert")
    since_s = await play.theatre.phones.now_s()
    await play.ask("convert")
    await play.hear(customer="alice", alice="the customer")
    customer, agent = await play.lonely("customer", since_s), await play.lonely("agent", since_s)
    await play.narrator.add(f"the customer heard nobody for {customer}, alice for {agent}")


async def _transfer(play: Play, why: str, to: str, mode: str) -> None:
    await play.act(f"{why}: transfer --to client:{to} --mode {mode}")
    await play.now(target=to)
    await play.ask("transfer", to=f"client:{to}", mode=mode)


async def _consult(play: Play) -> None:
    await _transfer(play, "alice asks bob first", "bob", "consult")
    await play.hear(customer="music", alice="bob", bob="alice")
    await play.act("alice asks the customer something in between: swap")
    await play.ask("swap")
    await play.hear(customer="alice", alice="the customer", bob="music")


async def _complete(play: Play) -> None:
    """The agent leaves; from then on the target is the agent."""
    heir = play.narrator.people["target"]
    await play.act("alice leaves them alone: complete")
    await play.ask("complete")
    await play.now(agent=heir)
    await play.hear(**{"customer": heir, heir: "the customer"})


async def _fail_and_recall(play: Play, agent: str) -> None:
    await play.theatre.phone(cast.CAROL, outcome="busy", times=1)  # and answers whoever tries later
    await play.act(f"{agent} hands the customer over and is gone: transfer --to client:carol --mode blind")
    await play.now(target="carol")
    await play.ask("transfer", "busy", to=cast.CAROL, mode="blind")
    why = '"Your call is coming back to you. The other line is busy."'
    await play.hear(**{"customer": SOMETHING, agent: why})
    await play.until("the recall", lambda it: it.get("state") == "conferenced")
    await play.hear(**{"customer": agent, agent: "the customer"})


TOUR = Story("all of it in one call", tour)
STORIES = {
    "convert": Story("a bridged call becomes a conference", convert),
    "warm": Story("all three talk, then the agent leaves", warm),
    "consult": Story("the customer waits while agent and target talk", consult),
    "blind": Story("the agent is gone at once", blind),
    "recall": Story("a blind transfer fails, and the agent is called back", recall),
    "outbound": Story("the agent is called first, then the customer", outbound),
    "several": Story("several phones ring, whoever presses 1 first takes the call", several),
    "waiting": Story("the caller waits in a conference until somebody is free", room_stories.waiting),
    "client": Story("somebody calls from a browser", room_stories.client),
    "conference": Story("agent and customer are called into a conference", room_stories.conference),
    "parties": Story("three more are added, and leave again", room_stories.parties),
    "hold": Story("the customer is held, then muted", room_stories.hold),
    "park": Story("the customer waits until somebody takes the call up", room_stories.park),
    "park-timeout": Story(
        "nobody takes a parked call up, and it goes back", room_stories.park_timeout, {"CONFERRAL_PARK_TIMEOUT": "3"}
    ),
    "announce": Story("a sentence is said to all", room_stories.announce),
    "supervise": Story("a supervisor listens, whispers, joins in", room_stories.supervise),
    "record": Story("the conference is recorded, and a consult is not", room_stories.record),
    "after": Story("the customer goes on with a survey", room_stories.after),
}


async def second_call(theatre: Theatre) -> str:
    """Brings a call up that stays bridged; returns its session's id.

    Raises:
        NotDoneError: it did not come up.
    """
    return await theatre.bridged(cast.CUSTOMER)
