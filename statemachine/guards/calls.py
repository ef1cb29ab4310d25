"""Guards on calls: the bridge, its conversion, dials, and other requests."""

from collections.abc import Callable

from conferral.statemachine import effects, events
from conferral.statemachine.events import CallProgressed, CallsRead, DialEnded, EffectResult, Event
from conferral.statemachine.other_apps import is_beyond_bridge, is_label_of_dial, is_of_another_app
from conferral.statemachine.reasons import CONTINUES_ELSEWHERE, NOT_OURS
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, bridge_dial
from conferral.statemachine.states import (
    ANSWERED_DIAL_STATUSES,
    FINAL_CALL_STATUSES,
    UNREACHED_DIAL_STATUSES,
    WITHOUT_AGENT,
    PartyStatus,
    Phase,
    SessionMode,
    TransferStage,
)
from conferral.statemachine.step import Draft

#: Values of `dial_check` while a search for the call is due or open, in order: there are two, since the list may lag.
UNKNOWN_DIAL = ("unknown", "searching", "unlisted", "searched")
#: Twilio did not accept the request; the executor retries it.
_TOO_MANY_REQUESTS = 429


def opens_session(draft: Draft, _event: Event) -> bool:
    """Whether this event opens the session."""
    return draft.session.version == 0


def turns_caller_away(draft: Draft, event: events.CallReceived) -> bool:
    """Whether a caller hears a sentence, and is hung up: no one is rung."""
    agents = (event.agent_address, *event.other_agents)
    is_no_one_rung = not event.agent_address or event.away == len(agents)
    return opens_session(draft, event) and is_no_one_rung and not event.fallback


def opens_conference(draft: Draft, event: events.CallReceived | events.Call) -> bool:
    """Whether this event opens a session whose parties meet in a conference."""
    return opens_session(draft, event) and event.mode == SessionMode.CONFERENCE


def is_connected(draft: Draft, _event: Event) -> bool:
    """Whether customer and agent talk, so there is a bridge to convert."""
    session = draft.session
    is_bridge = session.phase is Phase.CONNECTED and not session.dial_call_status
    return is_bridge and all(side.call_sid and not side.is_gone for side in (session.parent, session.child))


def is_of_unknown_call(draft: Draft, event: Event) -> bool:
    """Whether the call does not belong to the session."""
    return draft.session.subject_of(event) is None


def is_late_status(draft: Draft, event: CallProgressed) -> bool:
    """Whether a newer status of the call is already known."""
    party = draft.session.subject_of(event)
    if party is None or party.is_gone or event.is_final:
        return party is not None and party.is_gone
    came_in = draft.session.customer_is_parent and party == draft.session.parent
    return came_in or party.answered or party.status is PartyStatus.CONNECTED


def is_bridge_of_live_party(_draft: Draft, event: DialEnded) -> bool:
    """Whether the bridge's `<Dial>` ended, and its parent is connected."""
    return event.dial_kind == "bridge" and not event.party_is_gone


def bridge_is_over(draft: Draft, _event: Event) -> bool:
    """Whether the bridge's calls are over or about to be, and who left first.

    If the `<Dial>` ended because no one answered, the child's callback may still distinguish a refusal from busy. If it
    ended after they talked, another app may have moved a party.
    """
    session = draft.session
    parent, child = session.parent, session.child
    if not session.dial_call_status:
        return parent.is_gone and (child.is_gone or session.first_to_leave == parent.name)
    if session.dial_call_status not in ANSWERED_DIAL_STATUSES:
        is_expected = dial_reached_no_one(draft, _event) or child.hang_up_requested
        return parent.is_gone or (child.is_gone and is_expected)
    continues = parent.name == CUSTOMER and bool(session.attributes.after_url)
    return continues or child.hang_up_requested or (parent.is_gone and child.is_gone)


def first_to_leave_bridge(session: Session) -> Party:
    """Return who left a bridge first, whose `<Dial>`'s action is unknown.

    Twilio requests the action if the child leaves a live parent. So the parent left, and Twilio hung up the child with
    it and may have reported that first, unless the child's end is earlier by Twilio's clock, or the parent was seen
    live after it: our webhooks were unreachable then.
    """
    parent, child = session.parent, session.child
    # A phone that stops ringing may be reported in the second before. Two who talk end together, or the child earlier.
    has_talked = session.phase is not Phase.RINGING
    is_child = not parent.is_gone or session.child_left_first or left_before(child, parent, 0 if has_talked else 1)
    return child if is_child else parent


def left_before(party: Party, other: Party, margin_s: int = 1) -> bool:
    """Whether a party left clearly earlier than another, by Twilio's clock."""
    return 0 < party.left_s < other.left_s - margin_s


def dial_reached_no_one(draft: Draft, _event: Event) -> bool:
    """Whether the bridge's `<Dial>` ended because no one answered it."""
    return draft.session.dial_call_status in UNREACHED_DIAL_STATUSES


def next_agent_is_dialed(draft: Draft, event: DialEnded) -> bool:
    """Whether no one took the call, and the dial action rings the next.

    An agent who answered may have hung up before Twilio connected the two.
    """
    session = draft.session
    following = event.agent_number + 1 + event.away
    return event.reached_no_one and session.agent_number < following < len(session.agents)


def agent_is_redialed(draft: Draft, event: DialEnded) -> bool:
    """Whether a `<Dial>` that failed by its caller ID is repeated without it."""
    session, index = draft.session, event.agent_number
    is_current = session.phase is Phase.RINGING and session.agent_number == index < len(session.agents)
    is_refused = event.failed_with_callers_number and not event.party_is_gone
    return is_refused and is_current and session.agents[index].startswith("+")


def is_of_later_agent(draft: Draft, event: CallProgressed) -> bool:
    """Whether the `<Dial>` action is already ringing a later agent."""
    session = draft.session
    later = session.agent_number < event.agent_number < len(session.agents)
    # A read that came first knows of no numbers: it takes the call for the earlier agent's.
    is_open = session.phase is Phase.RINGING or event.call_sid == session.agent.call_sid
    return later and event.party == AGENT and is_open


def is_of_abandoned_dial(draft: Draft, event: events.DialedCallEvent) -> bool:
    """Whether a call is live though its dial was given up."""
    is_over = isinstance(event, CallProgressed) and event.is_final
    if not event.dial or is_over or event.call_sid in draft.session.former_calls:
        return False
    party = draft.session.subject_of(event)
    if party is None:
        # A later transfer may have replaced the parties that an earlier one gave up.
        return True
    return party.dial_id == event.dial and party.is_gone and not party.hang_up_requested


def shows_live_leg(draft: Draft, event: events.DialedCallEvent | events.EffectSucceeded) -> bool:
    """Whether a dialed call is live, and was not hung up at the end."""
    # After a loss, the end may be decided before the gate's events.
    if isinstance(event, events.EffectSucceeded):
        is_live = bool(event.call_sid)
    elif isinstance(event, events.GateDecided):
        is_live = bool(event.dial) and event.decision == events.GateDecision.ACCEPTED
    else:
        is_live = bool(event.dial) and not (isinstance(event, CallProgressed) and event.is_final)
    known = draft.session.find_party(call_sid=event.call_sid)
    if known is None or not is_live:
        return is_live
    # A call that looked like a guest is the session's after all: the URL names its dial.
    continues = known.left_reason in CONTINUES_ELSEWHERE - {NOT_OURS} or is_beyond_bridge(draft.session, known)
    return not (known.hang_up_requested or continues)


def party_of_dial(draft: Draft, event: events.GateReached | events.GateDecided | EffectResult) -> Party | None:
    """Return the party, not gone, of the dial that an event is about."""
    dial_id = event.effect_id if isinstance(event, EffectResult) else event.dial
    return next((one for one in draft.session.parties.values() if one.dial_id == dial_id and not one.is_gone), None)


def passes_bridge_gate(agent: Party) -> bool:
    """Whether the agent of a bridge hears a message, or presses a key, first."""
    return not agent.dial_id and bool(agent.options.confirm or agent.options.brief)


def decides_bridge(draft: Draft, event: events.GateDecided) -> bool:
    """Whether the gate decided about the agent whom the bridge rings."""
    session = draft.session
    is_current = event.dial == bridge_dial(session.agent_number) and not session.agent.is_gone
    return is_current and session.phase is Phase.RINGING and passes_bridge_gate(session.agent)


def agent_is_confirming(draft: Draft, _event: Event) -> bool:
    """Whether the agent of a bridge has answered, and must press a key."""
    return draft.session.agent.status is PartyStatus.CONFIRMING


def waited_for_key(draft: Draft, event: Event) -> bool:
    """Whether a command that needs the conference waited for the agent's key."""
    session = draft.session
    waits = session.running_transfer is not None or any(one.is_queued for one in session.pending_commands)
    return waits and is_connected(draft, event)


def gate_accepted_call(draft: Draft, event: events.GateDecided) -> bool:
    """Whether the gate accepted a call that is still expected."""
    return event.decision == events.GateDecision.ACCEPTED and party_of_dial(draft, event) is not None


def searched_party(draft: Draft, event: EffectResult) -> Party | None:
    """Return the party whose call was searched for; None if not needed now."""
    party = draft.session.present_party(event.party) if event.kind == effects.FindCall.kind else None
    return party if party is not None and party.dial_check and not party.call_sid else None


# ---- guards on a running conversion --------------------------------------------------------------------------------


def leg_may_be_moving(draft: Draft, _event: Event) -> bool:
    """Whether a redirect has no result yet, or a leg was moved just now."""
    session = draft.session
    was_moved = bool(session.moved_at_ms) and session.open_read_since_ms - session.moved_at_ms < draft.policy.settle_ms
    return was_moved or bool(session.open_redirects)


def leg_may_still_join(draft: Draft, event: CallsRead) -> bool:
    """Whether a leg outside may be moving, or has newer facts than the read."""
    legs = (draft.session.parent, draft.session.child)
    is_open = any(leg.overtakes(event) and not (leg.in_conference or leg.is_gone) for leg in legs)
    return is_open or leg_may_be_moving(draft, event)


def both_are_still_bridged(draft: Draft, _event: Event) -> bool:
    """Whether no leg is known to have left the bridge: both still talk."""
    session = draft.session
    is_moving = session.participants or session.dial_call_status or session.conference_sid or session.moved_at_ms
    return not is_moving


def outbound_is_still_bridged(draft: Draft, event: Event) -> bool:
    """Whether an outbound session may still be a bridge."""
    # There, hanging up the agent would end the customer's call.
    return not draft.session.customer_is_parent and both_are_still_bridged(draft, event)


def awaits_redirect(draft: Draft, event: Event) -> bool:
    """Whether a redirect is open, and no leg is known to have left the bridge."""
    return bool(draft.session.open_redirects) and both_are_still_bridged(draft, event)


def leg_to_repair(draft: Draft, event: CallsRead) -> Party | None:
    """Return the leg to redirect next, once each; None while both may talk.

    They lack nothing, and a redirect of unknown result may still move the child: after a second one, it would take the
    child out of the conference. A read without a conference does not show which leg is missing: one of them may wait
    where no list shows it.
    """
    session = draft.session
    inside = {seen.call_sid for seen in event.participants}
    if not event.conference_sid:
        inside = {party.call_sid for party in session.participants}  # by callbacks
    # Moving the parent ends the child's call, unless the child has been moved before.
    legs = (session.parent, session.child) if session.dial_call_status else (session.child, session.parent)
    missing = (leg for leg in legs if not (leg.call_sid in inside or leg.repair_moved_at_ms))
    is_over = any(leg.is_gone or event.status_of(leg.call_sid) in FINAL_CALL_STATUSES for leg in legs)
    is_too_early = is_over or both_are_still_bridged(draft, event) or leg_may_still_join(draft, event)
    return None if is_too_early else next(missing, None)


def shows_leg_still_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference lacks a leg long after its second redirect."""
    # Without a conference, the read shows nothing: no list need have one that has not started.
    session = draft.session
    moved_ms = max(session.moved_at_ms, session.parent.repair_moved_at_ms, session.child.repair_moved_at_ms)
    is_late = draft.now_ms - moved_ms >= draft.policy.repair_timeout_ms and not leg_may_still_join(draft, event)
    inside = {seen.call_sid for seen in event.participants}
    is_missing = any(leg.call_sid not in inside and not leg.is_gone for leg in (session.parent, session.child))
    return is_missing and is_late and bool(event.conference_sid)


def transfer_awaits_conversion(draft: Draft, _event: Event) -> bool:
    """Whether a transfer waits for both parties to join the conference."""
    return draft.session.running_transfer is not None


def transfer_deadlines_ms(session: Session) -> tuple[int, int]:
    """Return by when a waiting transfer, and its step, must begin, or 0."""
    transfer = session.running_transfer
    if transfer is None or transfer.stage is not TransferStage.CONVERTING:
        return 0, 0
    return transfer.deadline_ms, transfer.step_deadline_ms


def conversion_has_failed(draft: Draft, _event: Event) -> bool:
    """Whether the parent is gone, or has joined after the child had hung up."""
    parent = draft.session.parent
    return parent.is_gone or (draft.session.child.is_gone and parent.in_conference)


def agent_left_early(draft: Draft, event: Event) -> bool:
    """Whether only the agent is gone while a transfer awaits the conversion."""
    session = draft.session
    return transfer_awaits_conversion(draft, event) and session.agent.is_gone and not session.customer.is_gone


def shows_only_customer_joined(draft: Draft, event: CallsRead) -> bool:
    """Whether a transfer's conversion brought in the customer alone."""
    inside = {seen.call_sid for seen in event.participants}
    is_missing = shows_leg_still_missing(draft, event) and transfer_awaits_conversion(draft, event)
    return is_missing and draft.session.customer.call_sid in inside


# ---- guards on results of effects ----------------------------------------------------------------------------------


def is_result_of(*kinds: type[effects.Effect]) -> Callable[[Draft, events.EffectResult], bool]:
    """Return the guard: is the event the result of such an effect?"""
    names = [kind.kind for kind in kinds]

    def is_result(_draft: Draft, event: events.EffectResult) -> bool:
        return event.kind in names

    is_result.__name__ = is_result_of.__name__
    is_result.__doc__ = f"Whether the event is the result of {' or '.join(f'`{name}`' for name in names)}."
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
    if party is None or not party.options.caller_id or party.caller_id_refused:
        return False
    # A call shown by a callback was placed, whatever the response says.
    return is_refusal and not (party.is_leaving or party.call_sid)


def is_gone(_draft: Draft, event: events.EffectFailed) -> bool:
    """Whether the call or the conference is over."""
    return event.gone


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


def redirect_to_url_failed(draft: Draft, event: events.EffectResult) -> bool:
    """Whether the customer could not be redirected to the `after` URL."""
    return event.kind == effects.RedirectToUrl.kind and bool(draft.session.conference_sid)


def agent_hang_up_was_refused(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether Twilio refused for good to hang up an agent who can stay."""
    agent = draft.session.agent
    is_refused = event.kind == effects.HangUpCall.kind and event.party == AGENT and not event.gone
    # A hangup requested since then has its own result.
    stays = not agent.is_gone and agent.is_leaving and agent.hang_up_has_result
    return is_refused and stays and draft.session.phase not in WITHOUT_AGENT


def is_awaited_by_end(draft: Draft, event: events.EffectResult) -> bool:
    """Whether this is the result of a hangup that an `end` waits for."""
    return any(event.effect_id in command.effects for command in draft.session.pending_commands)


# ---- guards on what Twilio still shows of an ended session ---------------------------------------------------------


def is_unknown_dial(party: Party) -> bool:
    """Whether a party was dialed, and no call SID shows yet if that worked."""
    return bool(party.dial_id) and not party.call_sid


def call_may_continue_elsewhere(draft: Draft, event: events.AccountSwept) -> bool:
    """Whether the live call was redirected elsewhere, as far as is known."""
    party = draft.session.subject_of(event)
    if party is None:
        return False
    return party.left_reason in CONTINUES_ELSEWHERE or is_beyond_bridge(draft.session, party)


def is_of_late_guest(draft: Draft, event: events.ParticipantJoined) -> bool:
    """Whether the call is another app's, and joined after the end."""
    party = draft.session.subject_of(event)
    if party is None:
        return event.call_sid not in draft.session.former_calls and not is_label_of_dial(draft.session, event.label)
    return is_of_another_app(draft.session, party)


def guests_may_remain(draft: Draft, _event: Event) -> bool:
    """Whether guests may still be in an ended session's conference."""
    session = draft.session
    return bool(session.conference_sid) and any(party.left_reason == NOT_OURS for party in session.parties.values())
