"""Guards on results of effects, and on what an ended session still sees."""

from collections.abc import Callable

from conferral.statemachine import effects, events
from conferral.statemachine.guards.calls import outbound_is_still_bridged, party_of_dial
from conferral.statemachine.reasons import (
    CONTINUES_ELSEWHERE,
    guests_may_remain,
    is_beyond_bridge,
    is_label_of_dial,
    is_of_another_app,
)
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import Phase
from conferral.statemachine.step import Draft

#: Phases in which the customer talks to the agent, or will again. In others, the agent is hung up again.
_WITH_AGENT = frozenset({Phase.NONE, Phase.WARM, Phase.CONSULT})
#: Twilio did not accept the request; the executor retries it.
_TOO_MANY_REQUESTS = 429


def is_result_of(*kinds: type[effects.Effect]) -> Callable[[Draft, events.EffectOutcome], bool]:
    """Return the guard: is the event the outcome of such an effect?"""
    names = [kind.kind for kind in kinds]

    def is_result(_draft: Draft, event: events.EffectOutcome) -> bool:
        return event.kind in names

    is_result.__name__ = is_result_of.__name__
    is_result.__doc__ = f"Whether the event is the outcome of {' or '.join(f'`{name}`' for name in names)}."
    return is_result


def unwanted_call_was_found(draft: Draft, event: events.EffectSucceeded) -> bool:
    """Whether a call was placed or found whose dial was given up or repeated."""
    if not event.call_sid or event.call_sid in draft.session.former_calls:
        return False  # no dial or search, or known
    party = draft.session.subject_of(event)
    is_search = event.kind == effects.FindCall.kind
    return party is None or (is_search and party.is_gone and not party.hang_up_requested)


def caller_id_was_refused(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether Twilio refused a dial that may work with Conferral's number."""
    party = party_of_dial(draft, event)
    is_refusal = 400 <= event.http_status < 500 and event.http_status != _TOO_MANY_REQUESTS
    if party is None or not party.caller_id or party.caller_id_refused:
        return False
    # A call shown by a callback was placed, whatever the response says.
    return is_refusal and not (party.is_leaving or party.call_sid)


def is_update_of_gone_participant(_draft: Draft, event: events.EffectFailed) -> bool:
    """Whether an update failed because its participant had left."""
    return event.kind == effects.UpdateParticipant.kind and event.gone


def is_update_before_start(_draft: Draft, event: events.EffectFailed) -> bool:
    """Whether an update failed because the conference has not started."""
    return event.kind == effects.UpdateParticipant.kind and event.refused_before_start


def is_dial_before_start(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether a dial failed because the conference has not started."""
    return event.refused_before_start and _is_not_added(draft, event)


def is_dial_into_ended_conference(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether a dial failed because the conference is over."""
    return event.gone and _is_not_added(draft, event)


def _is_not_added(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether this dial failed, and no callback has shown the party's call."""
    party = party_of_dial(draft, event) if event.kind == effects.CreateParticipant.kind else None
    return party is not None and not (party.is_leaving or party.call_sid)


def supervisor_update_was_refused(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether Twilio refused an update of a supervisor."""
    return event.kind == effects.UpdateParticipant.kind and any(
        party.is_supervisor and party.update_effect_id == event.effect_id for party in draft.session.parties.values()
    )


def is_first_redirect(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether the conversion's first redirect was refused: both still talk."""
    session = draft.session
    return event.kind == effects.RedirectCall.kind and not (
        event.gone or session.repair_attempted or session.participants or session.dial_call_status
    )


def is_refused_move_from_bridge(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether Twilio refused to move a blind transfer's bridged customer."""
    is_bridged = is_first_redirect(draft, event) or outbound_is_still_bridged(draft, event)
    return event.kind == effects.RedirectCall.kind and event.party == CUSTOMER and not event.gone and is_bridged


def sentence_failed(_draft: Draft, event: events.EffectOutcome) -> bool:
    """Whether the final sentence could not be played to a call still live."""
    return event.kind == effects.SayAndHangUp.kind and not (isinstance(event, events.EffectFailed) and event.gone)


def redirect_to_url_failed(draft: Draft, event: events.EffectOutcome) -> bool:
    """Whether the customer could not be redirected to the `after` URL."""
    return event.kind == effects.RedirectToUrl.kind and bool(draft.session.conference_sid)


def agent_hang_up_was_refused(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether Twilio refused for good to hang up an agent who can stay."""
    agent = draft.session.agent
    is_refused = event.kind == effects.HangUpCall.kind and event.party == AGENT and not event.gone
    # A hangup requested since then has its own outcome.
    stays = not agent.is_gone and agent.is_leaving and agent.hang_up_has_outcome
    return is_refused and stays and draft.session.phase in _WITH_AGENT


def missed_end_of_call(draft: Draft, event: events.EffectSucceeded) -> bool:
    """Whether a hangup found its call over, but the party has not left."""
    party = draft.session.present_party(event.party) if event.was_over else None
    # A later party of that name has no hangup, or one that still waits for its own outcome.
    return party is not None and party.hang_up_has_outcome


def is_awaited_hang_up(draft: Draft, event: events.EffectOutcome) -> bool:
    """Whether this is the outcome of a hangup that an `end` waits for."""
    return event.effect_id in draft.session.end_effect_ids


# ---- guards on what Twilio still shows of an ended session ---------------------------------------------------------


#: Values of `dial_check` if a dial may have placed an unknown call: no outcome, or Redis was rolled back.
_UNKNOWN = frozenset({"unknown", "searched", "rolled-back"})


def is_unknown_dial(party: Party) -> bool:
    """Whether a party was dialed, and no call SID shows yet if that worked."""
    return bool(party.dial_id) and not party.call_sid


def may_have_called(party: Party) -> bool:
    """Whether a dial of unknown outcome may have placed a call."""
    return is_unknown_dial(party) and party.dial_check in _UNKNOWN


def finds_call_of_another_app(draft: Draft, event: events.AccountSwept) -> bool:
    """Whether the live call is a guest's, which another app placed."""
    party = draft.session.subject_of(event)
    return party is not None and is_of_another_app(draft.session, party)


def call_may_continue_elsewhere(draft: Draft, event: events.AccountSwept) -> bool:
    """Whether the live call was redirected elsewhere, as far as is known."""
    party = draft.session.subject_of(event)
    if party is None:
        return False
    return party.left_reason in CONTINUES_ELSEWHERE or is_beyond_bridge(draft.session, party)


def joined_before_redirected_away(draft: Draft, event: events.ParticipantJoined) -> bool:
    """Whether the join is late: the party has been redirected since."""
    session = draft.session
    party = session.subject_of(event)
    is_elsewhere = party is not None and party.left_reason in CONTINUES_ELSEWHERE
    return is_elsewhere and event.conference_sid in (session.conference_sid, *session.former_conferences)


def is_of_late_guest(draft: Draft, event: events.ParticipantJoined) -> bool:
    """Whether the call is another app's, and joined after the end."""
    party = draft.session.subject_of(event)
    if party is None:
        return event.call_sid not in draft.session.former_calls and not is_label_of_dial(draft.session, event.label)
    return is_of_another_app(draft.session, party)


def leaves_guests_behind(draft: Draft, event: events.EffectSucceeded) -> bool:
    """Whether guests may remain after the customer left for the sentence."""
    return event.kind == effects.SayAndHangUp.kind and guests_may_remain(draft.session)
