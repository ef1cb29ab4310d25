"""The demo's stories: waiting, parties, parking, supervisors, recordings."""

from conferral.demo import characters
from conferral.demo.scenario import LATE_ANSWER_AFTER_S, ScenarioRunner
from conferral.errors import CommandNotDoneError
from conferral.statemachine.states import PartyStatus, State
from conferral.storage.codecs.session_view import SessionView


async def waiting(runner: ScenarioRunner) -> None:
    """The caller hears music; the first agent is busy, and the second answers."""
    await runner.phone(characters.ALICE, outcome="busy")
    # The greeting takes its time at any pace: bob answers once the music has started.
    await runner.phone(characters.BOB)
    async with runner.call_in(characters.WAITING_LINE) as play:
        await play.set_people(**{"agent 1 of 2": "alice", "agent 2 of 2": "bob"})
        await play.expect_heard(customer=f'"{characters.GREETING}"')
        await play.wait_until_party_is("agent", PartyStatus.RINGING)
        await play.set_people(agent="bob")
        await play.expect_heard(customer="music")
        await play.announce("bob is free, and picks up")
        await play.answer("agent")
        await play.wait_until_party_is("agent", PartyStatus.CONNECTED)
        await play.expect_heard(customer="bob", bob="the customer")
        await play.hang_up("customer", "the customer hangs up")
    await runner.script_all_phones()


async def client(runner: ScenarioRunner) -> None:
    """An agent calls from a browser: a conference from the start."""
    await runner.phone(characters.CUSTOMER, answer_after_s=LATE_ANSWER_AFTER_S)
    async with runner.call_from_browser("browser-1") as play:
        await play.wait_until_party_is("customer", PartyStatus.RINGING)
        await play.expect_heard(alice="a phone ringing")
        await play.expect_heard(alice="the customer", customer="alice")
        await play.hang_up("agent", "alice closes her browser")
    await runner.script_all_phones()


async def conference(runner: ScenarioRunner) -> None:
    """Call alice, then the customer, both into a conference."""
    async with runner.call_out("conference-1", mode="conference") as play:
        await play.expect_heard(customer="alice", alice="the customer")
        await play.hang_up("agent", "alice hangs up")


async def parties(runner: ScenarioRunner) -> None:
    """Add three parties; the conference continues until one is left."""
    async with runner.call_in() as play:
        for name, address in (("expert", characters.BOB), ("lead", characters.CAROL), ("trainee", characters.DAVE)):
            await play.announce(f"alice adds one more: add --to {address} --party {name}")
            await play.set_people(**{name: characters.name(address)})
            await play.submit("add", to=address, party=name)
        await play.expect_heard(
            customer="alice, bob, carol, and dave",
            alice="bob, carol, dave, and the customer",
            bob="alice, carol, dave, and the customer",
            carol="alice, bob, dave, and the customer",
            dave="alice, bob, carol, and the customer",
        )
        for name in ("trainee", "lead"):
            await play.announce(f"alice removes {play.narrator.people[name]}: remove --party {name}")
            await play.submit("remove", party=name)
        await play.expect_heard(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await play.announce("alice hangs up; the others keep talking")
        await play.leave("agent")
        await play.wait_until_party_is("agent", PartyStatus.LEFT)
        await play.expect_heard(customer="bob", bob="the customer")
        await play.hang_up("expert", "bob hangs up; only the customer is left")


async def hold(runner: ScenarioRunner) -> None:
    """Hold the customer, then mute them."""
    async with runner.call_in() as play:
        await play.announce("alice needs a moment: hold --party customer")
        await play.submit("hold", party="customer")
        await play.expect_heard(customer="music", alice="silence")
        await play.announce("unhold --party customer")
        await play.submit("unhold", party="customer")
        await play.expect_heard(customer="alice", alice="the customer")
        await play.announce("the customer's street is loud: mute --party customer")
        await play.submit("mute", party="customer")
        await play.expect_heard(customer="alice", alice="silence")
        await play.announce("unmute --party customer")
        await play.submit("unmute", party="customer")
        await play.expect_heard(customer="alice", alice="the customer")
        await play.hang_up("agent", "alice hangs up")


async def park(runner: ScenarioRunner) -> None:
    """Alice leaves, the customer hears music, and bob retrieves the call."""
    async with runner.call_in() as play:
        await play.announce("alice parks the call: park")
        await play.submit("park")
        await play.expect_heard(customer="music")
        await play.announce(f"bob retrieves the call: retrieve --to {characters.BOB}")
        await play.set_people(agent="bob")
        await play.submit("retrieve", to=characters.BOB)
        await play.expect_heard(customer="bob", bob="the customer")
        await play.hang_up("customer", "the customer hangs up")


async def park_timeout(runner: ScenarioRunner) -> None:
    """No one retrieves a parked call, and it returns to alice."""
    async with runner.call_in() as play:
        await play.announce("alice parks the call: park")
        await play.submit("park")
        await play.expect_heard(customer="music")
        await play.narrator.announce("no one retrieves the call")
        why = '"The call you parked is coming back to you. No one picked it up."'
        await play.expect_heard(customer="music", alice=why)
        await play.wait_until("the recall", lambda it: it.state == State.CONFERENCED and not it.phase)
        await play.expect_heard(customer="alice", alice="the customer")
        await play.hang_up("customer", "the customer hangs up")


async def announce(runner: ScenarioRunner) -> None:
    """Announce a sentence to everyone."""
    async with runner.call_in() as play:
        sentence = "This call ends in two minutes."
        await play.announce(f"command: announce --say '{sentence}'")
        command = await play.submit_without_waiting("announce", say=sentence)
        await play.expect_heard(customer=f'"{sentence}"', alice=f'"{sentence}"')
        await play.read_outcome(command)
        await play.expect_heard(customer="alice", alice="the customer")
        await play.hang_up("agent", "alice hangs up")


async def supervise(runner: ScenarioRunner) -> None:
    """Dave monitors, then whispers, then barges in."""
    async with runner.call_in() as play:
        await play.set_people(supervisor="dave")
        for caption, mode, alice, customer in (
            ("dave listens, unheard", "monitor", "the customer", "alice"),
            ("dave helps alice, unheard by the customer", "whisper", "dave and the customer", "alice"),
            ("dave joins in", "barge", "dave and the customer", "alice and dave"),
        ):
            await play.announce(f"{caption}: supervise --to {characters.DAVE} --mode {mode}")
            await play.submit("supervise", to=characters.DAVE, mode=mode)
            if mode == "barge":  # no Twilio callback reports it
                await play.wait_until("dave's voice", _is_heard_by_all)
                await play.narrator.add_observation("everyone hears dave")
            await play.expect_heard(customer=customer, alice=alice, dave="alice and the customer")
        await play.hang_up("customer", "the customer hangs up: a supervisor does not count as a party")


async def record(runner: ScenarioRunner) -> None:
    """Record a conference; the consult stays off the recording."""
    async with runner.call_in(characters.RECORDED_LINE) as play:
        await play.announce("calls to this number are recorded once they are a conference: convert")
        await play.submit("convert")
        await play.wait_until("the recording", lambda it: it.recording.status == "in-progress")
        await play.announce(f"alice consults bob first: transfer --to {characters.BOB} --mode consult")
        await play.set_people(target="bob")
        await play.submit("transfer", to=characters.BOB, mode="consult")
        # No Twilio callback reports a pause or its end: the session knows them from REST responses.
        await play.wait_until("the pause", lambda it: it.recording.status == "paused")
        await play.narrator.add_observation("the recording is paused")
        since_s = await runner.phones.now_s()
        await play.expect_heard(customer="music", alice="bob", bob="alice")
        await play.talk()
        if heard := [name for name, lasted_s in (await play.recorded(since_s)).items() if lasted_s]:
            raise CommandNotDoneError(f"the consult is on a recording: {', '.join(heard)}")
        await play.narrator.add_observation("recorded during the consult: no voice")
        await play.narrator.announce("all three talk: merge")
        await play.submit("merge")
        await play.wait_until("the recording", lambda it: it.recording.status == "in-progress")
        await play.narrator.add_observation("the recording resumes")
        await play.expect_heard(customer="alice and bob", alice="bob and the customer", bob="alice and the customer")
        await play.hang_up("customer", "the customer hangs up")


def _is_heard_by_all(session: SessionView) -> bool:
    """Whether Twilio confirmed that the supervisor talks to everyone."""
    supervisor = session.parties["supervisor"]
    return not supervisor.coaches and not supervisor.muted


async def after(runner: ScenarioRunner) -> None:
    """After alice has left, the customer gets a survey."""
    async with runner.call_in(characters.AFTER_CALL_LINE) as play:
        await play.announce("command: convert")
        await play.submit("convert")
        await play.expect_heard(customer="alice", alice="the customer")
        await play.announce("alice hangs up")
        await play.leave("agent")
        await play.expect_heard(customer=f'"{characters.AFTER_CALL_TEXT}"')
        await play.wait_until_ended()
