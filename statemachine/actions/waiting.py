"""Whoever waits alone in a conference as is intended: from the start until somebody answers, or parked."""

from conferral.statemachine.actions.asking import want_ends
from conferral.statemachine.actions.commands import report_call
from conferral.statemachine.actions.converting import redirect
from conferral.statemachine.actions.dialling import dial, hang_up_leaving, must_confirm, watch_dials
from conferral.statemachine.actions.endings import end_with, reason_of
from conferral.statemachine.actions.looking import look_at_calls
from conferral.statemachine.actions.recording import note_conference_recording
from conferral.statemachine.actions.room import leave_room, note_join
from conferral.statemachine.actions.transferring import note_look
from conferral.statemachine.effects import SayAndHangUp, Sentence
from conferral.statemachine.events import CallsRead, Event, GateDecision, OpeningOverdue, ParticipantJoined
from conferral.statemachine.guards.company import awaited_party, has_been_heard_of, waiter
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, Tune
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import DialOptions

#: Why somebody who picked up at our gate did not come any further.
_NOT_TAKEN = frozenset({*GateDecision, CallStatus.FAILED})


def dial_awaited(scratch: Scratch, _event: Event) -> None:
    """Whoever waits is in the conference: the other one is dialled into it, by its SID."""
    scratch.change(opening=Opening.DIALING, first_left="")
    party = awaited_party(scratch)
    if party.dial_id and not party.is_leaving:
        return  # rings already, at our gate, or has failed meanwhile
    _dial(scratch, party, party.address)


def dial_next_agent(scratch: Scratch, _event: Event) -> None:
    """One agent could not be reached: the next one is dialled."""
    number = scratch.session.agent_number + 1
    scratch.change(agent_number=number)
    _dial(scratch, scratch.session.parties[AGENT], scratch.session.agents[number])


def _dial(scratch: Scratch, party: Party, address: str) -> None:
    if party.call_sid:
        scratch.change(former_calls=(*scratch.session.former_calls, party.call_sid))
    dial(
        scratch,
        party.name,
        address,
        label=f"{party.name}-{scratch.session.dials + 1}",
        # The customer of a `call` sees what the command wants; nobody else waits for a command's options.
        options=DialOptions(caller_id=scratch.session.options.caller_id if party.name == CUSTOMER else ""),
        gated=must_confirm(scratch, address),
    )


def settle_opening(scratch: Scratch, _event: Event) -> None:
    """The two talk."""
    scratch.change(opening=Opening.OVER, phase=Phase.NONE, first_left="", repaired=False, redirecting=())
    report_call(scratch, CommandStatus.DONE)
    for party in tuple(scratch.session.parties.values()):
        scratch.change_party(party, tune=Tune.NONE)
    watch_dials(scratch)
    note_conference_recording(scratch)
    want_ends(scratch)


# ---- the one who waits leaves, or is lost ------------------------------------------------------------------------


def end_waiter_gone(scratch: Scratch, _event: Event) -> None:
    """Whoever waited has hung up: the other one's phone stops ringing."""
    found = waiter(scratch)
    assert found is not None  # the guard has found it
    was_reached = not found.dial_id or (found.answered and found.left_reason not in _NOT_TAKEN)
    end_with(scratch, EndReason(f"{found.name}-left") if was_reached else reason_of(found, found.left_reason))


def end_nobody_reached(scratch: Scratch, _event: Event) -> None:
    """Nobody is left to be tried: whoever waits is told so, and let go."""
    found, missing = waiter(scratch), awaited_party(scratch)
    assert found is not None  # the guard has found it
    scratch.order(SayAndHangUp, party=found.name, call_sid=found.call_sid, sentence=Sentence.NOBODY_REACHED.value)
    # The sentence ends his call; ending the conference at the same time would cut him off before it.
    scratch.change_party(found, status=PartyStatus.LEFT, in_room=False, left_reason="let-go")
    end_with(scratch, reason_of(missing, missing.left_reason), ends_room=False)


def look_after_waiter(scratch: Scratch, _event: Event) -> None:
    """Whoever waits is on the way into the conference: should he not arrive, Twilio is asked."""
    scratch.set_timer(OpeningOverdue.timer, scratch.policy.arrive_timeout_ms)


def stop_looking_after_waiter(scratch: Scratch, _event: Event) -> None:
    """He is in."""
    scratch.cancel_timer(OpeningOverdue.timer)
    scratch.change(repaired=False)


def look_for_waiter(scratch: Scratch, event: OpeningOverdue) -> None:
    """He has not come: Twilio is asked, again and again.

    More seldom where nothing was ever heard of him there: he may have been bridged without Redis, and talk for an hour.
    """
    found = waiter(scratch)
    is_missed = found is not None and has_been_heard_of(scratch, found)
    look_at_calls(scratch, event)
    scratch.set_timer(
        OpeningOverdue.timer, scratch.policy.confirm_again_ms if is_missed else scratch.policy.look_again_ms
    )


def move_waiter(scratch: Scratch, _event: Event) -> None:
    """He is alive and not in the conference: he is redirected there, once."""
    found = waiter(scratch)
    assert found is not None  # the guard has found it
    scratch.change(repaired=True)
    redirect(scratch, found, found.tune)
    scratch.set_timer(OpeningOverdue.timer, scratch.policy.repair_timeout_ms)


def end_waiter_astray(scratch: Scratch, _event: Event) -> None:
    """He could not be brought into the conference: nobody is left in silence."""
    end_with(scratch, EndReason.CONVERT_FAILED)


def wait_for_waiter(scratch: Scratch, event: Event) -> None:
    """What he should hear could not be had, so Twilio has put him out: the action of his `<Dial>` leads him on.

    Whoever was dialled straight into the old conference can't reach him there, and is dialled anew.
    """
    leave_room(scratch)
    # He is on his way from now on; in the other one he waits without being held for it, and ends nothing.
    scratch.change(moved_at_ms=scratch.now_ms)
    found = waiter(scratch)
    assert found is not None  # the guard has found it
    scratch.change_party(found, hold_wanted=False, end_wanted=False)
    if scratch.session.opening is not Opening.DIALING:
        return
    party = awaited_party(scratch)
    scratch.change(opening=Opening.ARRIVING)
    if party.dial_id and not party.is_gated and not party.is_gone:
        scratch.change_party(party, is_leaving=True)
        hang_up_leaving(scratch, event)  # before he is dialled anew


def let_waiter_wait_elsewhere(scratch: Scratch, event: Event) -> None:
    """Move a customer who can't be held, as the conference has not started, to one whose wait document plays a tune."""
    wait_for_waiter(scratch, event)
    move_waiter(scratch, event)


def follow_waiter(scratch: Scratch, event: ParticipantJoined) -> None:
    """The same, told by his arrival in another one."""
    wait_for_waiter(scratch, event)
    note_join(scratch, event)


def find_waiter_elsewhere(scratch: Scratch, event: CallsRead) -> None:
    """The same, told by a look, which may show him in another one already."""
    wait_for_waiter(scratch, event)
    note_look(scratch, event)


def end_too_long_parked(scratch: Scratch, _event: Event) -> None:
    """A call was parked for too long, and nobody is to be tried: the customer is told so, and let go."""
    found = waiter(scratch)
    assert found is not None  # the guard has found it
    scratch.order(SayAndHangUp, party=found.name, call_sid=found.call_sid, sentence=Sentence.TRANSFER_FAILED.value)
    scratch.change_party(found, status=PartyStatus.LEFT, in_room=False, left_reason="let-go")
    end_with(scratch, EndReason.PARK_TIMEOUT, ends_room=False)
