"""What is wanted of participants, and asking Twilio until it is so.

A party carries what is wanted (`hold_wanted`, `end_wanted`) and what a callback or a look has confirmed (`held`,
`ends_conference`). Whatever differs is asked for, one thing at a time; what is not confirmed in time is looked at, and
asked for again when the look shows that it did not happen.
"""

from typing import Any

from conferral.statemachine.actions.looking import look_at_calls
from conferral.statemachine.effects import UpdateParticipant
from conferral.statemachine.events import (
    CallsRead,
    ConfirmOverdue,
    EffectFailed,
    EffectOutcome,
    Event,
    ParticipantChanged,
    ParticipantSeen,
)
from conferral.statemachine.guards.asking import next_ask
from conferral.statemachine.guards.company import is_being_dialled
from conferral.statemachine.guards.supervising import supervises_as
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, Ask, Party
from conferral.statemachine.states import Tune

#: Looks after which a flag that Twilio does not set is left alone: it is only a second net.
_FLAG_LOOKS_MAX = 3
_SUPERVISES = frozenset({Ask.MONITOR, Ask.WHISPER, Ask.BARGE})


def want_hold(scratch: Scratch, name: str, tune: Tune) -> None:
    """The party hears that tune and nothing else, no one hears it, and its leaving ends nothing."""
    scratch.change_party(scratch.session.parties[name], hold_wanted=True, tune=tune, end_wanted=False)


def want_tune(scratch: Scratch, _event: Event) -> None:
    """The customer waits where no wait music is played any more: he is held to hear what he is to hear."""
    want_hold(scratch, CUSTOMER, scratch.session.parties[CUSTOMER].tune)


def want_unhold(scratch: Scratch, name: str) -> None:
    """Somebody shall hear the others again."""
    scratch.change_party(scratch.session.parties[name], hold_wanted=False, tune=Tune.NONE)


def want_everybody_unheld(scratch: Scratch) -> None:
    """Nobody shall be on hold."""
    for name in tuple(scratch.session.parties):
        want_unhold(scratch, name)


def want_ends(scratch: Scratch, *, agent: bool = True) -> None:
    """Customer and agent alone in a settled room: the leaving of each ends it, as a second net under the lone rule.

    Args:
        scratch: The sheet.
        agent: False where the agent is to leave without ending it.
    """
    pair = {CUSTOMER, AGENT}
    session = scratch.session
    inside = {party.name for party in session.in_room if not party.is_gone}
    supervisor = session.parties.get(SUPERVISOR)
    is_supervised = supervisor is not None and not supervisor.is_gone
    comes = is_supervised or is_being_dialled(session) or any(order.is_clearing for order in session.orders)
    alone = inside <= pair and not (comes or session.is_group)
    # Whoever goes on elsewhere, when the agent has left, has to be able to.
    agent = agent and not session.attributes.after
    for party in tuple(scratch.session.parties.values()):
        wanted = alone and party.name in pair and (agent or party.name != AGENT)
        if party.end_wanted != wanted:
            scratch.change_party(party, end_wanted=wanted)


def want_nobody_ends(scratch: Scratch) -> None:
    """Nobody's leaving shall end the conference."""
    for party in tuple(scratch.session.parties.values()):
        if party.end_wanted:
            scratch.change_party(party, end_wanted=False)


def want_agent_free(scratch: Scratch) -> None:
    """The agent's leaving shall not end the conference."""
    scratch.change_party(scratch.session.parties[AGENT], end_wanted=False)


# ---- asking ------------------------------------------------------------------------------------------------------


def ask(scratch: Scratch, _event: Event) -> None:
    """Asks for whatever differs from what is wanted."""
    for party in tuple(scratch.session.parties.values()):
        wish = next_ask(scratch.session, party)
        if wish is not None:
            _order(scratch, party, wish)
    if ConfirmOverdue.timer not in scratch.session.timers:
        scratch.set_timer(ConfirmOverdue.timer, scratch.policy.confirm_ms)


def _order(scratch: Scratch, party: Party, wish: Ask) -> None:
    if wish is Ask.HOLD and (party.ends_conference or party.asked == Ask.SET_END):
        _update(scratch, party, ends_conference=False)  # Twilio ignores it once the party is on hold
    hold = {Ask.HOLD: True, Ask.UNHOLD: False}.get(wish)
    effect_id = _update(
        scratch,
        party,
        hold=hold,
        tune=party.tune.value if hold else "",
        ends_conference={Ask.SET_END: True, Ask.CLEAR_END: False}.get(wish),
        muted={Ask.MUTE: True, Ask.UNMUTE: False}.get(wish),
        supervises=wish.value if wish in _SUPERVISES else "",
        coaches=scratch.session.parties[AGENT].call_sid if wish is Ask.WHISPER else "",
    )
    scratch.change_party(party, asked=wish.value, asked_at_ms=scratch.now_ms, updating=effect_id)


def _update(scratch: Scratch, party: Party, **changes: Any) -> str:
    room = scratch.session.conference_sid
    return scratch.order(UpdateParticipant, party=party.name, call_sid=party.call_sid, conference_sid=room, **changes)


def stop_asking(scratch: Scratch, _event: Event) -> None:
    """Everything is as wanted, and Twilio has confirmed it."""
    scratch.cancel_timer(ConfirmOverdue.timer)
    scratch.change(confirm_looks=0)


def look_at_participants(scratch: Scratch, event: ConfirmOverdue) -> None:
    """A callback is missing: Twilio is asked, every two seconds until it is settled."""
    looks = scratch.session.confirm_looks + 1
    scratch.change(confirm_looks=looks)
    if looks > _FLAG_LOOKS_MAX:
        _give_up_flags(scratch)
    look_at_calls(scratch, event)
    scratch.set_timer(ConfirmOverdue.timer, scratch.policy.confirm_again_ms)


def _give_up_flags(scratch: Scratch) -> None:
    for party in tuple(scratch.session.parties.values()):
        is_due = party.asked == Ask.SET_END or not (party.asked or party.held)
        if is_due and party.end_wanted and not party.ends_conference:
            scratch.change_party(party, end_wanted=False, asked="", updating="")


# ---- what came of it ---------------------------------------------------------------------------------------------


def note_updated(scratch: Scratch, event: EffectOutcome) -> None:
    """The request has an outcome; whether it did what it should is told by a callback or a look."""
    party = _party_updated(scratch, event)
    if party is not None:
        scratch.change_party(party, updating="")


def wait_for_start(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio changes no one before the conference starts: what is wanted is asked for once it has."""
    party = _party_updated(scratch, event)
    if party is not None:
        scratch.change_party(party, asked="", updating="")
    scratch.change(is_idle=True)


def look_after_update(scratch: Scratch, event: EffectFailed) -> None:
    """The participant was not in the conference any more: Twilio is asked what became of the call."""
    note_updated(scratch, event)
    look_at_calls(scratch, event)


def _party_updated(scratch: Scratch, event: EffectOutcome) -> Party | None:
    return next((party for party in scratch.session.parties.values() if party.updating == event.effect_id), None)


def note_change(scratch: Scratch, event: ParticipantChanged) -> None:
    """A participant was held, unheld, muted or given other flags."""
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    if party is None:
        return
    scratch.change_party(
        party,
        held=event.held,
        muted=event.muted,
        ends_conference=event.ends_conference,
        coaches=event.coaches,
        listens=party.listens and event.muted,
        room_sequence=event.sequence if event.sequence is not None else party.room_sequence,
    )
    tells_undone = event.kind in ("participant-unhold", "participant-unmute")
    _settle_ask(scratch, party.name, is_certain=False, tells_undone=tells_undone)


def take_participants_from(scratch: Scratch, event: CallsRead) -> None:
    """How the participants are is taken from a look; what is not as asked for is asked for again."""
    for seen in event.participants:
        party = scratch.session.party_of(call_sid=seen.call_sid, label=seen.label)
        if party is None or party.is_gone:
            continue
        _take(scratch, party, seen)


def _take(scratch: Scratch, party: Party, seen: ParticipantSeen) -> None:
    scratch.change_party(
        party,
        held=seen.held,
        muted=seen.muted,
        ends_conference=seen.ends_conference,
        coaches=seen.coaches,
        listens=party.listens and seen.muted,
    )
    # A request that is still under way may not show yet.
    _settle_ask(scratch, party.name, is_certain=not party.updating, tells_undone=False)


def _settle_ask(scratch: Scratch, name: str, *, is_certain: bool, tells_undone: bool) -> None:
    party = scratch.session.parties[name]
    # A hold may still be on its way in front of the unhold: not being held proves nothing before that was sent.
    undone = tells_undone or not party.updating
    come_true = {
        "": True,
        Ask.HOLD: party.held,
        Ask.UNHOLD: not party.held and undone,
        Ask.SET_END: party.ends_conference,
        Ask.CLEAR_END: not party.ends_conference,
        Ask.MUTE: party.muted,
        Ask.UNMUTE: not party.muted and undone,
    }.get(party.asked)
    if come_true is None:  # of a supervisor
        come_true = supervises_as(scratch.session, party) == party.asked
    if come_true or is_certain:
        scratch.change_party(party, asked="", refused_updates=0 if come_true else party.refused_updates)
