"""What is wanted of participants, and asking Twilio until it is so.

A party carries what is wanted (`hold_wanted`, `end_wanted`) and what a callback or a look has confirmed (`held`,
`ends_conference`). Whatever differs is asked for, one thing at a time; what is not confirmed in time is looked at, and
asked for again when the look shows that it did not happen.
"""

from statemachine.actions.looking import look_at_calls
from statemachine.effects import UpdateParticipant
from statemachine.events import (
    CallsRead,
    ConfirmOverdue,
    EffectFailed,
    EffectOutcome,
    Event,
    ParticipantChanged,
    ParticipantSeen,
)
from statemachine.guards.transfers import next_ask
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER, Ask, Party
from statemachine.states import Tune

#: Looks after which a flag that Twilio does not set is left alone: it is only a second net.
_FLAG_LOOKS_MAX = 3


def want_hold(scratch: Scratch, name: str, tune: Tune) -> None:
    """Somebody shall hear that tune and nothing else, and be heard by nobody."""
    scratch.change_party(scratch.session.parties[name], hold_wanted=True, tune=tune)


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
    alone = {party.name for party in scratch.session.in_room if not party.is_gone} <= pair
    for party in tuple(scratch.session.parties.values()):
        wanted = alone and party.name in pair and (agent or party.name != AGENT)
        if party.end_wanted != wanted:
            scratch.change_party(party, end_wanted=wanted)


def want_agent_free(scratch: Scratch) -> None:
    """The agent's leaving shall not end the conference."""
    scratch.change_party(scratch.session.parties[AGENT], end_wanted=False)


# ---- asking ------------------------------------------------------------------------------------------------------


def ask(scratch: Scratch, _event: Event) -> None:
    """Asks for whatever differs from what is wanted."""
    for party in tuple(scratch.session.parties.values()):
        wish = next_ask(party)
        if wish is not None:
            _order(scratch, party, wish)
    if ConfirmOverdue.timer not in scratch.session.timers:
        scratch.set_timer(ConfirmOverdue.timer, scratch.policy.confirm_ms)


def _order(scratch: Scratch, party: Party, wish: Ask) -> None:
    hold = {Ask.HOLD: True, Ask.UNHOLD: False}.get(wish)
    ends = {Ask.SET_END: True, Ask.CLEAR_END: False}.get(wish)
    effect_id = scratch.order(
        UpdateParticipant,
        party=party.name,
        call_sid=party.call_sid,
        conference_sid=scratch.session.conference_sid,
        hold=hold,
        tune=party.tune.value if hold else "",
        ends_conference=ends,
    )
    scratch.change_party(party, asked=wish.value, asked_at_ms=scratch.now_ms, updating=effect_id)


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
        if party.asked in ("", Ask.SET_END) and party.end_wanted and not party.ends_conference:
            scratch.change_party(party, end_wanted=False, asked="", updating="")


# ---- what came of it ---------------------------------------------------------------------------------------------


def note_updated(scratch: Scratch, event: EffectOutcome) -> None:
    """The request has an outcome; whether it did what it should is told by a callback or a look."""
    party = _party_updated(scratch, event)
    if party is not None:
        scratch.change_party(party, updating="")


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
        room_sequence=event.sequence if event.sequence is not None else party.room_sequence,
    )
    _settle_ask(scratch, party.name, is_certain=False, tells_unhold=event.kind == "participant-unhold")


def take_participants_from(scratch: Scratch, event: CallsRead) -> None:
    """How the participants are is taken from a look; what is not as asked for is asked for again."""
    for seen in event.participants:
        party = scratch.session.party_of(call_sid=seen.call_sid, label=seen.label)
        if party is None or party.is_gone:
            continue
        _take(scratch, party, seen)


def _take(scratch: Scratch, party: Party, seen: ParticipantSeen) -> None:
    scratch.change_party(party, held=seen.held, muted=seen.muted, ends_conference=seen.ends_conference)
    # A request that is still under way may not show yet.
    _settle_ask(scratch, party.name, is_certain=not party.updating, tells_unhold=False)


def _settle_ask(scratch: Scratch, name: str, *, is_certain: bool, tells_unhold: bool) -> None:
    party = scratch.session.parties[name]
    # A hold may still be on its way in front of the unhold: not being held proves nothing before that was sent.
    unheld = not party.held and (tells_unhold or not party.updating)
    come_true = {
        "": True,
        Ask.HOLD: party.held,
        Ask.UNHOLD: unheld,
        Ask.SET_END: party.ends_conference,
        Ask.CLEAR_END: not party.ends_conference,
    }[party.asked]
    if come_true or is_certain:
        scratch.change_party(party, asked="")
