"""Stories of conferences: waiting in one, calls that begin as one, more parties, parking, supervisors, recordings."""

from conferral.demo import cast
from conferral.demo.play import ANSWER_LATE_S, Theatre
from conferral.errors import NotDoneError
from conferral.operations.reader import Fields


async def waiting(theatre: Theatre) -> None:
    """The caller waits with music; the first agent is busy, and the second takes the call."""
    await theatre.phone(cast.ALICE, outcome="busy")
    # The greeting lasts as long as it does, at whatever pace the story is told: bob answers when the music has begun.
    await theatre.phone(cast.BOB)
    async with theatre.call_to_wait() as play:
        await play.now(**{"agent 1 of 2": "alice", "agent 2 of 2": "bob"})
        await play.hear(customer=f'"{cast.GREETING}"')
        await play.until("bob's ringing", lambda it: it.get("party.agent.status") == "ringing")
        await play.now(agent="bob")
        await play.hear(customer="music")
        await play.act("bob is free, and picks up")
        await play.answer("agent")
        await play.until("bob's answer", lambda it: it.get("party.agent.status") == "connected")
        await play.hear(customer="bob", bob="the customer")
        await play.act("the customer hangs up")
        await play.hang_up("customer")
    await theatre.set_phones()


async def client(theatre: Theatre) -> None:
    """Somebody calls from a browser: a conference from the start, in which whoever is left alone is let go."""
    await theatre.phone(cast.CUSTOMER, answer_after_s=ANSWER_LATE_S)
    async with theatre.call_from_browser("browser-1") as play:
        await play.until("the ringing", lambda it: it.get("party.customer.status") == "ringing")
        await play.hear(alice="a phone ringing")
        await play.hear(alice="the customer", customer="alice")
        await play.act("alice closes her browser")
        await play.hang_up("agent")
    await theatre.set_phones()


async def conference(theatre: Theatre) -> None:
    """Alice is called, then the customer, both into a conference."""
    async with theatre.call_out("conference-1", mode="conference") as play:
        await play.hear(customer="alice", alice="the customer")
        await play.act("alice hangs up")
        await play.hang_up("agent")


async def parties(theatre: Theatre) -> None:
    """Three more are added; whoever leaves ends nothing until one is left."""
    async with theatre.call_in() as play:
        for name, address in (("expert", cast.BOB), ("lead", cast.CAROL), ("trainee", cast.DAVE)):
            await play.act(f"alice wants one more: add --to {address} --party {name}")
            await play.now(**{name: cast.name(address)})
            await play.ask("add", to=address, party=name)
        await play.hear(
            customer="alice, bob, carol and dave",
            alice="bob, carol, dave and the customer",
            bob="alice, carol, dave and the customer",
            carol="alice, bob, dave and the customer",
            dave="alice, bob, carol and the customer",
        )
        for name in ("trainee", "lead"):
            await play.act(f"alice lets {play.narrator.people[name]} go: remove --party {name}")
            await play.ask("remove", party=name)
        await play.hear(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await play.act("alice hangs up, and the others go on")
        await play.leave("agent")
        await play.until("alice's leaving", lambda it: it.get("party.agent.status") == "left")
        await play.hear(customer="bob", bob="the customer")
        await play.act("bob hangs up, and one is left")
        await play.hang_up("expert")


async def hold(theatre: Theatre) -> None:
    """The customer is put on hold, then muted."""
    async with theatre.call_in() as play:
        await play.act("alice looks something up: hold --party customer")
        await play.ask("hold", party="customer")
        await play.hear(customer="music", alice="silence")
        await play.act("unhold --party customer")
        await play.ask("unhold", party="customer")
        await play.hear(customer="alice", alice="the customer")
        await play.act("the customer's street is loud: mute --party customer")
        await play.ask("mute", party="customer")
        await play.hear(customer="alice", alice="silence")
        await play.act("unmute --party customer")
        await play.ask("unmute", party="customer")
        await play.hear(customer="alice", alice="the customer")
        await play.act("alice hangs up")
        await play.hang_up("agent")


async def park(theatre: Theatre) -> None:
    """Alice leaves, the customer waits with music, and bob takes the call up."""
    async with theatre.call_in() as play:
        await play.act("alice leaves the customer to whoever is free: park")
        await play.ask("park")
        await play.hear(customer="music")
        await play.act(f"bob takes the call up: retrieve --to {cast.BOB}")
        await play.now(agent="bob")
        await play.ask("retrieve", to=cast.BOB)
        await play.hear(customer="bob", bob="the customer")
        await play.act("the customer hangs up")
        await play.hang_up("customer")


async def park_timeout(theatre: Theatre) -> None:
    """Nobody takes a parked call up, and it goes back to alice."""
    async with theatre.call_in() as play:
        await play.act("alice leaves the customer to whoever is free: park")
        await play.ask("park")
        await play.hear(customer="music")
        await play.narrator.act("nobody comes")
        why = '"The call that you have parked is coming back to you. Nobody has taken it up."'
        await play.hear(customer="music", alice=why)
        await play.until("the recall", lambda it: it.get("state") == "conferenced" and not it.get("phase"))
        await play.hear(customer="alice", alice="the customer")
        await play.act("the customer hangs up")
        await play.hang_up("customer")


async def announce(theatre: Theatre) -> None:
    """A sentence is said to all."""
    async with theatre.call_in() as play:
        sentence = "This call ends in two minutes."
        await play.act(f"somebody types: announce --say '{sentence}'")
        command_id = await play.begin("announce", say=sentence)
        await play.hear(customer=f'"{sentence}"', alice=f'"{sentence}"')
        await play.outcome(command_id)
        await play.hear(customer="alice", alice="the customer")
        await play.act("alice hangs up")
        await play.hang_up("agent")


async def supervise(theatre: Theatre) -> None:
    """Dave listens, then helps the agent, then joins in."""
    async with theatre.call_in() as play:
        await play.now(supervisor="dave")
        for why, mode, alice, customer in (
            ("dave listens, unheard", "monitor", "the customer", "alice"),
            ("dave helps alice, unheard by the customer", "whisper", "dave and the customer", "alice"),
            ("dave joins in", "barge", "dave and the customer", "alice and dave"),
        ):
            await play.act(f"{why}: supervise --to {cast.DAVE} --mode {mode}")
            await play.ask("supervise", to=cast.DAVE, mode=mode)
            if mode == "barge":  # no callback of Twilio's says so
                await play.until("dave's voice", _is_heard_by_all)
                await play.narrator.add("dave is heard by all")
            await play.hear(customer=customer, alice=alice, dave="alice and the customer")
        await play.act("the customer hangs up: alice is left with the supervisor, who is no company")
        await play.hang_up("customer")


async def record(theatre: Theatre) -> None:
    """The conference is recorded; a consult is on no recording."""
    async with theatre.call_in(cast.RECORDED_LINE) as play:
        await play.act("calls to this number are recorded once they are a conference: convert")
        await play.ask("convert")
        await play.until("the recording", lambda it: it.get("recording.status") == "in-progress")
        await play.act(f"alice asks bob first: transfer --to {cast.BOB} --mode consult")
        await play.now(target="bob")
        await play.ask("transfer", to=cast.BOB, mode="consult")
        # No callback of Twilio's tells of a pause, nor of its end: the session knows them from Twilio's answers.
        await play.until("the pause", lambda it: it.get("recording.status") == "paused")
        await play.narrator.add("the recording is paused")
        since_s = await theatre.phones.now_s()
        await play.hear(customer="music", alice="bob", bob="alice")
        await play.talk()
        _nobody_is_recorded(await play.recorded(since_s))
        await play.narrator.add("recorded of the consult: nobody's voice")
        await play.narrator.act("all three talk: merge")
        await play.ask("merge")
        await play.until("the recording", lambda it: it.get("recording.status") == "in-progress")
        await play.narrator.add("the recording goes on")
        await play.hear(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await play.act("the customer hangs up")
        await play.hang_up("customer")


def _is_heard_by_all(session: Fields) -> bool:
    """Whether the supervisor is neither muted nor heard by the agent alone, as Twilio has confirmed it."""
    return not session.get("party.supervisor.coaches") and session.get("party.supervisor.muted") != "true"


def _nobody_is_recorded(seconds: dict[str, float]) -> None:
    """Passes when no voice went onto a recording.

    Raises:
        NotDoneError: one did.
    """
    heard = [name for name, lasted_s in seconds.items() if lasted_s]
    if heard:
        raise NotDoneError(f"the consult is on a recording: {', '.join(heard)}")


async def after(theatre: Theatre) -> None:
    """When alice has left, the customer goes on with a survey."""
    async with theatre.call_in(cast.SURVEY_LINE) as play:
        await play.act("somebody types: convert")
        await play.ask("convert")
        await play.hear(customer="alice", alice="the customer")
        await play.act("alice hangs up")
        await play.leave("agent")
        await play.hear(customer=f'"{cast.SURVEY}"')
        await play.is_over()
