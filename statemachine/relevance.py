"""Relevance: which events come too late, or are not about the session.

This is asked before the table, so rows decide only what is news. Callbacks arrive in any order, or after a call was
replaced; `machine` has dropped duplicates by then. What no row of a state names comes too late, too: `table.DEFAULT`.

Other places ask the same, in the order in which an event meets them:

- `SeenEvents.contains`, of each event by its sequence number or token: of a duplicate, only the version grows.
- `machine.step`, of a command past its `deadline_ms`: it is rejected. Of a timer that is not set for this time: only
  the version grows.
- `guards.with_newer_facts`, of a read: legs that changed since it was requested are shown as they are known.
- this module; then `table.DEFAULT`, of what no row of the state names: the event is logged, and automatic rows run.
- `legs.note_facts`, of each fact about a leg, once a row has been taken: what is final or newer stays.
- `withdraw`, `cancel_session`, and `cancel_unwanted_dials` of the executor, after each commit, and
  `Execution._check_before_send`, right before a request: an effect that the session no longer wants is not sent.
"""

from collections.abc import Callable

from conferral.statemachine import events, guards
from conferral.statemachine.actions import ignore_former_party, ignore_late, ignore_unknown_call, log_only
from conferral.statemachine.events import CallProgressed, DialEnded, Event, ParticipantChanged, ParticipantLeft
from conferral.statemachine.other_apps import is_label_of_dial, is_of_another_app
from conferral.statemachine.reasons import CONTINUES_ELSEWHERE
from conferral.statemachine.session import AGENT, Party, Session
from conferral.statemachine.states import Opening, State
from conferral.statemachine.step import Draft

#: An action that ignores an event.
IgnoringAction = Callable[[Draft, Event], None]


def how_to_ignore(draft: Draft, event: Event) -> IgnoringAction | None:
    """Return the action that ignores an event; None if the table decides it."""
    check = CHECKS.get(type(event))
    return check(draft, event) if check is not None else None


def _of_call(draft: Draft, event: CallProgressed) -> IgnoringAction | None:
    """A call rings, is answered, or is over."""
    session, party = draft.session, draft.session.subject_of(event)
    is_bridged = draft.state is State.BRIDGED
    if session.is_ended or not session.version or (not is_bridged and guards.is_of_lost_dial(draft, event)):
        return None  # the table has rows for these
    # The end of a dial may be the first callback about it, after its party was replaced.
    is_end_of_earlier_dial = bool(event.dial) and event.is_final and party is None
    if event.call_sid in session.former_calls or is_end_of_earlier_dial:
        return ignore_late
    # The dial of an earlier agent was given up.
    if is_bridged and event.agent_number < session.agent_number and event.party == AGENT and not event.dial:
        return ignore_late
    if _has_row_for_call(draft, event):
        return None
    if party is None:
        return ignore_unknown_call
    is_news = party.has_desk if event.signed_out else event.desk and not party.has_desk
    is_news_of_desk = is_news and not party.is_gone
    return ignore_late if guards.is_late_status(draft, event) and not is_news_of_desk else None


def _has_row_for_call(draft: Draft, event: CallProgressed) -> bool:
    """Whether a row is about a call that seems to be unknown, or over."""
    if draft.state is State.BRIDGED:
        return guards.is_of_later_agent(draft, event)
    is_arriving = draft.session.opening is Opening.ARRIVING and draft.state is State.CONFERENCED
    if is_arriving and guards.is_actually_bridged(draft, event):
        return True
    return draft.state is not State.CONVERTING and guards.is_of_abandoned_dial(draft, event)


def _of_dial(draft: Draft, event: DialEnded) -> IgnoringAction | None:
    """A `<Dial>` has ended."""
    session = draft.session
    if session.is_ended:
        return None
    if draft.state is not State.BRIDGED:
        return ignore_unknown_call if session.subject_of(event) is None else None
    if event.dial_kind != "bridge":
        return log_only
    is_known = bool(session.dial_call_status) or event.agent_number < session.agent_number
    return ignore_late if is_known and not event.party_is_gone else None


def _of_join(draft: Draft, event: events.ParticipantJoined) -> IgnoringAction | None:
    """A participant has joined."""
    session, party = draft.session, draft.session.subject_of(event)
    if session.is_ended:
        # The party has been redirected since.
        is_elsewhere = party is not None and party.left_reason in CONTINUES_ELSEWHERE
        is_own = event.conference_sid in (session.conference_sid, *session.former_conferences)
        return log_only if is_elsewhere and is_own else None
    if draft.state is State.BRIDGED:  # a leg in a conference is a fact, whatever the session knows
        return ignore_unknown_call if party is None else None
    if session.is_former_conference(event.conference_sid):
        return ignore_late
    if party is None or (draft.state is not State.CONVERTING and guards.is_no_longer_expected(draft, event)):
        return None
    if _is_older_than_known(session, party, event):
        return ignore_late
    return ignore_late if draft.state is State.CONVERTING and _precedes_parents_join(draft, party, event) else None


def _precedes_parents_join(draft: Draft, party: Party, event: events.ParticipantJoined) -> bool:
    """Whether the child's join is late: the parent is in a later conference.

    Twilio moves the parent once the child has left the bridge. If they are in two conferences, the child's was over
    when the parent joined, unless a repair moved one of them.
    """
    session = draft.session
    is_first_move_of_child = party.name == session.child.name and not session.repair_attempted
    return is_first_move_of_child and session.parent.in_conference and guards.is_another_conference(draft, event)


def _of_participant(draft: Draft, event: ParticipantLeft | ParticipantChanged) -> IgnoringAction | None:
    """A participant has left or changed."""
    if draft.state in (State.BRIDGED, State.ENDED):
        return None
    session, party = draft.session, draft.session.subject_of(event)
    if party is None:
        # Labels are numbered and never reused, so a label identifies a party whose call SID was never known.
        is_former = event.call_sid in session.former_calls or is_label_of_dial(session, event.label)
        return ignore_former_party if is_former else ignore_unknown_call
    if isinstance(event, ParticipantChanged) and party.is_gone:
        return ignore_former_party
    if _is_older_than_known(session, party, event):
        return ignore_late
    is_another = guards.is_another_conference(draft, event)
    if isinstance(event, ParticipantLeft):
        is_call_over = event.hung_up and not event.call_continues
        return log_only if is_another and not is_call_over else None
    precedes_update = draft.state is not State.CONVERTING and _precedes_update(party, event)
    return ignore_late if is_another or precedes_update else None


def _is_older_than_known(
    session: Session, party: Party, event: events.ParticipantJoined | ParticipantLeft | ParticipantChanged
) -> bool:
    """Whether a newer event about this participant was already applied."""
    if event.conference_sid != session.conference_sid:
        return False  # each conference numbers its own events
    return event.sequence is not None and event.sequence < party.conference_sequence


def _precedes_update(party: Party, event: ParticipantChanged) -> bool:
    """Whether the change precedes the party's latest requested update.

    Twilio's times are whole seconds. In the same second as a confirmed hold, a change that shows no hold is earlier:
    requests are sent in order.
    """
    if not event.occurred_at_ms:
        return False
    # In the workers' time, as the worker knows it from Twilio's clock; too early a time would drop the confirmation.
    if event.occurred_at_ms + events.WHOLE_SECOND_MS <= party.pending_since_ms:
        return True
    is_held = party.held and not party.pending_update
    return is_held and not event.held and event.occurred_at_ms <= party.pending_since_ms


def _of_start(draft: Draft, event: events.ConferenceStarted) -> IgnoringAction | None:
    """A conference has started: maybe not the session's."""
    is_out_of_bridge = draft.state not in (State.BRIDGED, State.ENDED)
    return log_only if is_out_of_bridge and guards.is_another_conference(draft, event) else None


def _of_finding(draft: Draft, event: events.AccountSwept) -> IgnoringAction | None:
    """The sweep found a live call: after the end, it may be another app's."""
    party = draft.session.subject_of(event) if draft.session.is_ended else None
    return log_only if party is not None and is_of_another_app(draft.session, party) else None


#: By event, of those that may be irrelevant.
CHECKS: dict[type[Event], Callable[..., IgnoringAction | None]] = {
    CallProgressed: _of_call,
    DialEnded: _of_dial,
    events.ParticipantJoined: _of_join,
    ParticipantLeft: _of_participant,
    ParticipantChanged: _of_participant,
    events.ConferenceStarted: _of_start,
    events.AccountSwept: _of_finding,
}
