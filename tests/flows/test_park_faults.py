"""Parked calls of which Twilio refuses, delays or forgets a part, and people who leave at each step."""

from collections.abc import Sequence
from typing import Any

import pytest

from conferral.sandbox import CallHandle
from conferral.sandbox.model.behavior import Behavior
from conferral.storage.commands import command_stream
from tests.flows.flow_helpers import BOTH_DIRECTIONS, GAP_MAX_S, STARTS, TARGET
from tests.flows.interruptions import Command, SmallSystem, Stage, gives, hangs_up, nothing, one_by_one, says
from tests.flows.test_park import BOTH_PLACES, is_parked, parked, talking, transfers
from tests.support.local_system import LocalSystem
from tests.support.phones import answers

pytestmark = [pytest.mark.redis, pytest.mark.examples(1), pytest.mark.system(answered_by=[TARGET])]
__all__ = ["one_by_one"]

#: How Twilio may report that someone's wait document could not be fetched.
FAILED_WAITS = pytest.mark.parametrize("failed_wait", ["add-failed", "hung-up"])


async def is_taken_up(system, talk, debugger=frozenset()):
    """Someone retrieves the parked call, the two talk, and the customer hangs up: nothing is left."""
    await is_parked(system, talk)
    await system.done("retrieve", talk.session, to=TARGET)
    await has_been_taken_up(system, talk, debugger)


async def has_been_taken_up(system, talk, debugger=frozenset()):
    leg = await system.leg(talk.session, "agent")
    await system.until_talk(talk.customer, leg)
    assert leg.record.to == TARGET
    assert system.listening.never_heard(talk.agent, leg)
    assert system.dials_to(TARGET) == 1
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left", debugger=debugger)


# ---- park: callbacks that Twilio does not send -----------------------------------------------------------------------


@STARTS
@pytest.mark.parametrize("fault", ["lose_callbacks", "duplicate_callbacks", "hold_back_callbacks"])
async def test_call_is_parked_and_retrieved_despite_callback_faults(system, direction, conferenced, fault):
    """Every callback about joining, holding, leaving, and the agent's end."""
    talk = await talking(system, direction, conferenced=conferenced)
    since_s = system.listening.now()
    for event in ("participant-join", "participant-hold", "participant-unhold", "participant-modify", "completed",
                  "participant-leave"):  # fmt: skip
        getattr(system.sandbox.faults, fault)(event, 2)
    await system.done("park", talk.session)
    await is_parked(system, talk)
    await system.done("retrieve", talk.session, to=TARGET)
    assert system.longest_gap_s(talk.customer, since_s) < GAP_MAX_S
    system.sandbox.faults.clear()
    await has_been_taken_up(system, talk)


@pytest.mark.soak
async def test_hold_without_an_answer_parks_nothing_and_the_two_talk_on(system):
    """Without it the customer would be in silence, and would end the conference for the agent's leaving."""
    talk = await talking(system, conferenced=True)
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", status=500, count=99, Hold="true")
    await system.failed("hold-failed", "park", talk.session)
    session = await system.until(talk.session, state="conferenced", phase="")
    assert (session["transfer.status"], session["transfer.reason"]) == ("failed", "hold-failed")
    assert talk.agent.status == "in-progress"
    await system.until_hears(talk.customer, [talk.agent])
    system.sandbox.faults.clear()
    # And it can be tried again.
    await system.done("park", talk.session)
    assert await transfers(system) == [("park", "", "failed", "hold-failed"), ("park", "", "completed", "")]
    await is_taken_up(system, talk)


async def test_flag_that_is_not_cleared_parks_nothing(system):
    talk = await talking(system, conferenced=True)
    await system.until(talk.session, **{"party.agent.end_on_exit": "true"})
    system.sandbox.faults.next_rest(
        "POST", "/Conferences/*/Participants/*", status=400, count=99, EndConferenceOnExit="false"
    )
    await system.failed("end-flag-unconfirmed", "park", talk.session)
    await system.until(talk.session, state="conferenced", phase="")
    await system.until_hears(talk.customer, [talk.agent])
    await system.ended_by_command(talk.session)


@BOTH_DIRECTIONS
async def test_agent_who_hangs_up_just_before_it_is_parked_ends_the_call_or_has_parked_it(system, direction):
    """Bridged, Twilio ends the customer's call with his; in a conference he has only left earlier."""
    talk = await talking(system, direction, conferenced=True)
    command = await command_stream.publish(system.client, system.keys, {"type": "park", "session": talk.session})
    talk.agent.hang_up()
    outcome = await system.outcome_of(command)
    if outcome.status == "done":
        await is_taken_up(system, talk)
    else:
        await system.everyone_is_gone(talk.session, "agent-left")


# ---- the wait audio --------------------------------------------------------------------------------------------------


@BOTH_DIRECTIONS
@FAILED_WAITS
async def test_customer_without_wait_audio_waits_elsewhere_and_is_retrieved_from_there(
    redis_server, direction, failed_wait
):
    """Twilio ends a `<Conference>` whose wait URL fails; the third time they come with Twilio's own music."""
    async with LocalSystem(redis_server.url, speed=20, rules=Behavior(failed_wait=failed_wait)) as system:
        system.answered_by(TARGET)
        talk = await talking(system, direction)
        system.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
        await system.done("park", talk.session)
        await system.until(talk.session, phase="parked", **{"party.customer.waits_for_start": "true"})
        await system.until_hears(talk.customer, "music")
        assert not [entry for entry in system.sandbox.request_log.requests("POST") if entry.get("Hold") == "true"]
        await system.done("retrieve", talk.session, to=TARGET)
        await has_been_taken_up(system, talk, debugger=frozenset({11200}))


# ---- retrieve: the dial ------------------------------------------------------------------------------------------


@BOTH_PLACES
@pytest.mark.parametrize("fault", [
    {"status": 429}, {"cut": "after"}, {"status": 500, "moment": "after"},
], ids=["429", "cut-after", "500-after"])  # fmt: skip
async def test_dial_that_took_effect_is_found_by_its_callbacks_and_never_repeated(system, conferenced, fault):
    talk = await parked(system, conferenced=conferenced)
    system.sandbox.faults.next_rest("POST", "/Calls.json", **fault)
    await system.done("retrieve", talk.session, to=TARGET)
    await has_been_taken_up(system, talk)


@BOTH_PLACES
@pytest.mark.parametrize(
    "fault, reason",
    [({"cut": "before"}, "unknown"), ({"status": 503}, "unknown"), ({"status": 400}, "failed")],
    ids=["cut-before", "503", "400"],
)
async def test_dial_that_took_no_effect_leaves_it_parked_and_is_not_repeated(system, conferenced, fault, reason):
    talk = await parked(system, conferenced=conferenced)
    system.sandbox.faults.next_rest("POST", "/Calls.json", **fault)
    await system.failed(reason, "retrieve", talk.session, to=TARGET)
    assert len(system.dial_requests(TARGET)) == 1
    await is_taken_up(system, talk)


@BOTH_DIRECTIONS
@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": "after"}, {"cut": "before"}], ids=str)
async def test_customer_is_let_back_to_who_retrieves_however_often_it_takes(system, direction, fault):
    talk = await parked(system, direction, conferenced=True)
    system.sandbox.faults.next_rest(
        "POST", "/Conferences/*/Participants/*", count=2, Hold="false", EndConferenceOnExit="", **fault
    )
    await system.done("retrieve", talk.session, to=TARGET)
    await has_been_taken_up(system, talk)


async def test_retrieving_agent_that_leaves_before_the_customer_is_unheld_leaves_the_call_parked(system):
    talk = await parked(system, conferenced=True)
    system.sandbox.phone(TARGET).script_in_turn(answers(hangs_up_after_s=0), answers())
    since_s = system.listening.now()
    outcome = await system.command("retrieve", talk.session, to=TARGET)
    if outcome.status == "done":
        await system.everyone_is_gone(talk.session, "agent-left")
        return
    assert outcome.reason == "hung-up"
    await is_parked(system, talk)
    assert system.longest_gap_s(talk.customer, since_s) < GAP_MAX_S
    await system.ended_by_command(talk.session)


# ---- at each step ------------------------------------------------------------------------------------------------

PARK: Sequence[Command] = (("park", {}),)
RETRIEVE: Sequence[Command] = (("retrieve", {"to": TARGET}),)
BOTH = (*PARK, *RETRIEVE)


async def parks(cast: SmallSystem) -> None:
    assert (await cast.give("park")).status == "done"


async def all_is_well(cast: SmallSystem, expected: Sequence[tuple[str, ...]]) -> None:
    """The customer talks to the retriever, or hears music, or all is over, each as the commands say."""
    found = await cast.answers()

    async def at_rest() -> bool:
        session, heard = await cast.system.session(cast.id), cast.system.listening.hears(cast.customer)
        waits = session["phase"] == "parked" and heard == "music"
        return session["state"] == "ended" or waits or (session["phase"] == "" and isinstance(heard, frozenset))

    await cast.system.eventually(at_rest, "the customer waits, has company or is gone")
    await cast.is_quiet()
    session = await cast.system.session(cast.id)
    heard = cast.system.listening.hears(cast.customer)
    if session["state"] == "ended":
        # A party admitted at our gate may reach the conference when it has just ended.
        codes = {entry.code for entry in cast.system.sandbox.request_log.debugger}
        await cast.ends(session["end_reason"], debugger=frozenset(codes & {13236}))
        shown = session["end_reason"]
    elif session["phase"] == "parked":
        assert {call.sid for call in cast.system.sandbox.live_calls()} == {cast.customer.sid}
        shown = "parked"
        cast.customer.hang_up()
        await cast.ends("customer-left")
    else:
        assert isinstance(heard, frozenset)
        (other,) = heard
        shown = "target" if cast.target is not None and other == cast.target.sid else "agent"
        await cast.system.until_hears(CallHandle(cast.system.sandbox, other), [cast.customer])
        assert {call.sid for call in cast.system.sandbox.live_calls()} == {other, cast.customer.sid}
        cast.customer.hang_up()
        await cast.ends("customer-left")
    assert cast.recalls() == 0
    answers_ = {kind: outcome.status for kind, outcome in found.items()}
    key = (shown, *(answers_[kind] for kind in ("park", "retrieve") if kind in answers_))
    assert key in expected, (key, found)


def ends_as(*ok: tuple[str, ...]) -> Any:
    async def ending(cast: SmallSystem) -> None:
        await all_is_well(cast, ok)

    return ending


STEPS: list[Any] = [
    # opening, plot, act, in a conference, what may be in the end
    (nothing, BOTH, hangs_up("customer"), ends_as(
        ("customer-left", "failed", "rejected"), ("customer-left", "done", "rejected"),
        ("customer-left", "done", "failed"), ("customer-left", "done", "done"),
    )),
    (nothing, PARK, hangs_up("agent"), ends_as(("parked", "done"), ("agent-left", "failed"))),
    (parks, RETRIEVE, hangs_up("target"), ends_as(
        ("parked", "done", "failed"), ("agent-left", "done", "done"), ("target", "done", "done"),
    )),
    (nothing, BOTH, says("end"), ends_as(
        ("command", "failed", "rejected"), ("command", "done", "rejected"), ("command", "done", "failed"),
        ("command", "done", "done"),
    )),
    (nothing, PARK, says("convert"), ends_as(("parked", "done"))),
]  # fmt: skip


@pytest.mark.soak
@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("converted", [False, True], ids=["bridged", "conferenced"])
@pytest.mark.parametrize("opening, plot, act, ending", STEPS, ids=["customer", "agent", "target", "end", "convert"])
async def test_no_one_is_stranded_whatever_happens_at_any_step(redis_server, opening, plot, act, ending, converted):
    await Stage(redis_server.url, opening, gives(plot), act, ending, converted).play_at_every_step()


@pytest.mark.usefixtures("one_by_one")
async def test_agent_who_hangs_up_at_any_step_of_parking_has_parked_the_call_or_ended_it(redis_server):
    ending = ends_as(("parked", "done"), ("agent-left", "failed"))
    await Stage(redis_server.url, nothing, gives(PARK), hangs_up("agent"), ending).play_at_every_step()
