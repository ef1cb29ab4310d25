"""Parties: joins, leaves, new names, and the pending commands about them."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions.participants import restore_end_on_exit, suspect
from conferral.statemachine.events import Event
from conferral.statemachine.legs import note_facts
from conferral.statemachine.parts import Attempt, PendingCommand
from conferral.statemachine.reasons import HANG_UP, REMOVED_BY_END, EndReason, Reason, reported_reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, GUEST, SUPERVISOR, TARGET, Party, Session, bridge_dial
from conferral.statemachine.states import (
    ANSWERED_DIAL_STATUSES,
    FINAL_CALL_STATUSES,
    CallStatus,
    PartyStatus,
    Phase,
    State,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus, DecisionKind, Draft

#: So many parties that have left stay in the session, those that came last (count).
FORMER_PARTIES_MAX = 20
#: Calls of former parties, and former conferences, whose late callbacks are recognized (count).
FORMER_CALLS_MAX = 100
FORMER_CONFERENCES_MAX = 20
#: How the call of a bridge's agent ends who was asked for a key and pressed none.
_NOT_CONFIRMED = (CallStatus.NO_ANSWER, CallStatus.COMPLETED)
#: Names that Conferral numbers. No number is used twice.
_NUMBERED = re.compile(rf"({AGENT}|{GUEST}|{SUPERVISOR}|{TARGET})-([0-9]{{1,6}})")


def accept_command(draft: Draft, event: events.Command, **fields: Any) -> PendingCommand:
    """Accept a command and keep it until it has a result."""
    command = PendingCommand(event.command_id, event.name, **fields)
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    draft.change(pending_commands=(*draft.session.pending_commands, command))
    return command


def change_command(draft: Draft, command: PendingCommand, **changes: Any) -> PendingCommand:
    """Change fields of a pending command."""
    after = replace(command, **changes)
    commands = tuple(after if one is command else one for one in draft.session.pending_commands)
    draft.change(pending_commands=commands)
    return after


def finish_command(
    draft: Draft, command: PendingCommand, status: CommandStatus, reason: str = "", code: str = ""
) -> None:
    """Report the result of a command and remove it."""
    draft.report(command.command_id, status, reason, code)
    rest = tuple(one for one in draft.session.pending_commands if one.command_id != command.command_id)
    draft.change(pending_commands=rest)


def finish_call(draft: Draft, _event: Event) -> None:
    """Report `call`, if there is one, as done: the two talk."""
    for command in draft.session.pending_commands:
        if command.name == events.Call.name:
            finish_command(draft, command, CommandStatus.DONE)


def fail_commands(draft: Draft, reason: str, code: str = "", *, only: Iterable[PendingCommand] | None = None) -> None:
    """Fail pending commands, or only these; a `remove` is done instead."""
    for command in tuple(draft.session.pending_commands) if only is None else tuple(only):
        if command.name == events.Remove.name:
            finish_command(draft, command, CommandStatus.DONE)
        else:
            finish_command(draft, command, CommandStatus.FAILED, reason, code)


def fail_queued_commands(draft: Draft, reason: str, code: str) -> None:
    """Fail the queued commands: the conference was never formed."""
    queued = [command for command in draft.session.pending_commands if command.is_queued]
    fail_commands(draft, reason, code, only=queued)


# ---- departure of a party, and the events that change nothing ------------------------------------------------------


def note_gone(draft: Draft, name: str, reason: str, code: str = "") -> None:
    """Record that a party left, and what follows for others.

    Its attempt ends. An agent's hold of others ends, too; a lost agent's customer is read. A supervisor's leaving
    restores `EndConferenceOnExit`. Of customer and agent, the first to leave is noted. In a bridge, the other leg is
    awaited.
    """
    party = draft.session.parties[name]
    if party.is_gone:
        return
    if party.status is PartyStatus.CONFIRMING and reason in _NOT_CONFIRMED and not party.dial_id:
        reason = events.GateDecision.NO_CONFIRMATION
    if party.dial_id:
        reason = _leave_reason(party, reason)
    close_attempt(draft, party, reason)
    note_facts(
        draft, party, status=PartyStatus.LEFT, in_conference=False, waits_for_start=False, held=False,
        left_reason=reason, left_code=code or party.left_code,
    )  # fmt: skip
    if name == AGENT:
        _unhold_parties_left_by_agent(draft)
        if draft.state is not State.BRIDGED and guards.lost_agent(draft.session) is not None:
            suspect(draft, draft.event, draft.policy.loss_settle_ms)  # the customer may have hung up, too
    if party.is_supervisor and reason != Reason.UNKNOWN:  # whose call may still show up
        draft.change_party(party, supervises="")
        restore_end_on_exit(draft)
    # The call went on without a dialed party that never answered, or a released one: neither left first.
    rang_only = bool(party.dial_id) and not party.answered and draft.state is not State.BRIDGED
    if name in (CUSTOMER, AGENT) and not (party.is_leaving or rang_only):
        was_put_out = not party.in_conference and party.left_reason == REMOVED_BY_END
        _note_first_to_leave(draft, name, REMOVED_BY_END if was_put_out else reason)
    _await_other_leg(draft, name)


def _await_other_leg(draft: Draft, name: str) -> None:
    """Await the parent of a bridge; if both have left, note who was first.

    Twilio hangs up the child of a bridge with its parent, and may report the child first.
    """
    parent, child = draft.session.parent, draft.session.child
    if name == child.name and draft.session.is_in_bridge:
        # The end of the `<Dial>` has set the timer.
        if not draft.session.dial_call_status or events.CallsOverdue.timer not in draft.session.timers:
            await_parent(draft)
    elif name == parent.name and draft.state is State.CONVERTING:
        was_bridged = not (draft.session.dial_call_status or child.in_conference or child.conference_sequence >= 0)
        if child.is_gone and was_bridged:
            draft.change(first_to_leave=guards.first_to_leave_bridge(draft.session).name)


def note_call_over(draft: Draft, name: str, event: events.CallsRead) -> None:
    """Record that a party's call is over, as a read shows."""
    party = draft.session.parties[name]
    note_facts(draft, party, left_s=event.end_of(party.call_sid))
    note_gone(draft, name, event.status_of(party.call_sid) or CallStatus.COMPLETED)


def note_dialing_party_gone(draft: Draft, party: Party, event: events.DialEnded) -> None:
    """Record a hang-up that ended the `<Dial>`; in a bridge, it came first."""
    is_bridge = event.dial_kind == "bridge" and draft.state in (State.BRIDGED, State.CONVERTING)
    note_gone(draft, party.name, EndReason.TIME_LIMIT if is_bridge and event.reached_time_limit else event.call_status)
    if is_bridge and not draft.session.dial_call_status:
        draft.change(first_to_leave=party.name)


def await_parent(draft: Draft) -> None:
    """Wait for the parent's end by the action's answer, or after a message."""
    session, policy = draft.session, draft.policy
    has_talked = session.phase is Phase.CONNECTED and session.dial_call_status in ANSWERED_DIAL_STATUSES
    is_prompt = has_talked or not session.dial_call_status  # the action comes at once, or the parent is over
    draft.set_timer(events.CallsOverdue, policy.leave_timeout_ms if is_prompt else policy.reread_interval_ms)


def _unhold_parties_left_by_agent(draft: Draft) -> None:
    """Take the others off hold: the agent who held them is gone.

    A lone party stays held, as if by Conferral itself, until another answers or joins.
    """
    if not guards.is_settled(draft):
        return
    present, is_lost = guards.present_parties(draft.session), guards.lost_agent(draft.session) is not None
    for party in filter(guards.is_held_by_command, present):
        if is_lost and party.is_on_found_hold:
            continue  # until no one took the ring after it
        if len(present) < 2:
            draft.change_party(party, desired_hold=True, wait_audio=WaitAudio.RINGBACK)
            continue
        draft.change_party(party, desired_hold=False, wait_audio=WaitAudio.NONE)
        commands = draft.session.pending_commands
        undone = [one for one in commands if one.name == events.Hold.name and one.party == party.name]
        fail_commands(draft, EndReason.AGENT_LEFT, only=undone)


def _note_first_to_leave(draft: Draft, name: str, reason: str) -> None:
    """Record who left first, even if callbacks are out of order."""
    party, first = draft.session.parties[name], draft.session.parties.get(draft.session.first_to_leave)
    is_later = first is not None and guards.left_before(first, party)
    if first is None and reason == REMOVED_BY_END:
        other = draft.session.parties[AGENT if name == CUSTOMER else CUSTOMER]
        if other.end_on_exit and not other.is_leaving:
            draft.change(first_to_leave=other.name)  # whose leaving ended the conference
    elif first is None or (reason != REMOVED_BY_END and guards.left_before(party, first)):
        draft.change(first_to_leave=name)
    elif reason == HANG_UP and first.end_on_exit and first.left_reason != HANG_UP and not is_later:
        # Had `first` left first, the conference would have ended, and this party would be removed, not hung up.
        draft.change(first_to_leave=name)


def keep_agent(draft: Draft, event: events.EffectFailed) -> None:
    """Keep the agent, whom Twilio refused to hang up."""
    for command in draft.session.pending_commands:
        if command.name == events.Remove.name and command.party == AGENT:
            finish_command(draft, command, CommandStatus.FAILED, event.reason_text, event.code_text)
    draft.change_party(draft.session.agent, is_leaving=False, is_removed=False, hang_up_requested=False)
    if draft.session.first_to_leave == AGENT:
        draft.change(first_to_leave="")


def _leave_reason(party: Party, reason: str) -> str:
    was_removed = party.is_removed and party.status is not PartyStatus.CONNECTED  # while it rang, or in the gate
    if reason not in FINAL_CALL_STATUSES:
        return reason
    if party.is_leaving and (party.is_target or was_removed or not party.answered):
        return Reason.CANCELLED
    if party.answered:
        return reason
    # A `completed` call was answered, even if no callback said so.
    known = (CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.COMPLETED)
    return reason if reason in known else Reason.FAILED


def close_attempt(draft: Draft, party: Party, reason: str) -> None:
    """Record how an attempt of the running transfer, or of the call, ended."""
    transfer, dial_id = draft.session.running_transfer, draft.session.dial_of(party)
    attempts = (*(transfer.attempts if transfer is not None else ()), *draft.session.attempts)
    attempt = next((one for one in attempts if one.dial_id == dial_id), None)
    if attempt is not None:
        result, answered_at_ms = attempt.result or reported_reason(reason), attempt.answered_at_ms
        # In a bridge, the callback of the answer may be lost.
        if not (attempt.result or answered_at_ms or party.dial_id) and reason in ANSWERED_DIAL_STATUSES:
            result, answered_at_ms = "answered", draft.at_ms - 1000 * getattr(draft.event, "duration_s", 0)
        draft.change_attempt(dial_id, ended_at_ms=draft.at_ms, answered_at_ms=answered_at_ms, result=result)


def note_refusal(draft: Draft, event: Event) -> None:
    """Correct an attempt: only its callback says that a phone refused."""
    # A read, and the action of a `<Dial>`, call that line busy, and may come first.
    if isinstance(event, events.CallProgressed) and event.reported_status == "rejected":
        transfer, dial_id = draft.session.transfer, event.dial or bridge_dial(event.agent_number)
        attempts = (*(transfer.attempts if transfer is not None else ()), *draft.session.attempts)
        if any(one.dial_id == dial_id and one.result == CallStatus.BUSY for one in attempts):
            draft.change_attempt(dial_id, result=event.reported_status)


def note_away(draft: Draft, first: int, count: int) -> None:
    """Record that agents were skipped, by the index of the first one."""
    found = tuple(
        Attempt(
            AGENT, address, f"{bridge_dial(first + later)}-away", draft.now_ms, ended_at_ms=draft.now_ms,
            result=Reason.AWAY,
        )
        for later, address in enumerate(draft.session.agents[first : first + count])
    )  # fmt: skip
    draft.change(attempts=(*draft.session.attempts, *found))


def reason_of_agents(session: Session, last: str) -> str:
    """Return why no agent took the call; `last` is why the last one did not."""
    was_busy = any(one.party == AGENT and one.result == CallStatus.BUSY for one in session.attempts)
    return CallStatus.BUSY if was_busy else last


# ---- names, and parties that left a while ago ---------------------------------------------------------------------


def next_name(session: Session, base: str, also_taken: Collection[str] = ()) -> str:
    """Return the next numbered name not taken, such as `agent-2` for `agent`."""
    highest = _highest_numbers(session.name_numbers, (*session.parties, *also_taken)).get(base, 0)
    return f"{base}-{highest + 1}"


def _highest_numbers(numbers: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Return the highest number used per base name, given or in the names."""
    found = dict(numbers)
    for match in filter(None, map(_NUMBERED.fullmatch, names)):
        found[match[1]] = max(found.get(match[1], 0), int(match[2]))
    return found


def without_oldest_parties(session: Session) -> Session:
    """Return the session with the newest of its former parties and calls."""
    gone = [party for party in session.parties.values() if party.is_gone]
    old = {party.name: party for party in gone[:-FORMER_PARTIES_MAX] if _may_be_pruned(session, party)}
    former_calls = (*session.former_calls, *(party.call_sid for party in old.values() if party.call_sid))
    return replace(
        session,
        name_numbers=_highest_numbers(session.name_numbers, session.parties),
        parties={name: party for name, party in session.parties.items() if name not in old},
        former_calls=tuple(dict.fromkeys(former_calls))[-FORMER_CALLS_MAX:],
        former_conferences=session.former_conferences[-FORMER_CONFERENCES_MAX:],
    )


def _may_be_pruned(session: Session, party: Party) -> bool:
    """Whether a session can do without a former party.

    It always keeps the customer, the agent, and the first to leave; others as long as something open refers to them.
    """
    transfer = session.running_transfer
    dials = {one.dial_id for one in transfer.attempts} if transfer is not None else set()
    # Its call may have been placed.
    can_show_up = party.left_reason == Reason.UNKNOWN and not party.call_sid
    is_attempt = party.dial_id in dials - {""}
    is_named = any(command.party == party.name for command in session.pending_commands)
    return not (can_show_up or is_attempt or is_named or party.name in (CUSTOMER, AGENT, session.first_to_leave))


def number_former_party(draft: Draft, name: str, also_taken: Collection[str] = ()) -> None:
    """Rename a former party, whose name another takes: `agent-1`, or next."""
    former = draft.session.parties.get(name)
    if former is not None and former.is_gone:
        # A pending `remove` follows the former party; it does not wait for the next one of that name.
        names = {name: next_name(draft.session, name, also_taken)}
        rename_parties(draft, names, lambda command: command.name == events.Remove.name)


def rename_parties(
    draft: Draft, names: Mapping[str, str], follows: Callable[[PendingCommand], bool] = lambda _: True
) -> None:
    """Rename parties; the pending commands that follow them get the new names."""
    parties = [replace(party, name=names.get(party.name, party.name)) for party in draft.session.parties.values()]
    pending_commands = tuple(
        replace(one, party=names.get(one.party, one.party)) if follows(one) else one
        for one in draft.session.pending_commands
    )
    draft.change(parties={party.name: party for party in parties}, pending_commands=pending_commands)


def retire_targets(draft: Draft) -> None:
    """Set former targets apart from those that are dialed next."""
    for target in draft.session.targets:
        if target.is_gone or target.is_leaving:  # a phone that lost its ring group may still ring
            draft.change_party(target, is_former_target=True)
    number_former_party(draft, TARGET)


def ignore_late(draft: Draft, _event: Event) -> None:
    """Ignore: newer facts are known."""
    draft.ignore(DecisionKind.STALE, "out of date, ignored")


def ignore_unknown_call(draft: Draft, event: Event) -> None:
    """Ignore: the call does not belong to the session."""
    draft.ignore(DecisionKind.UNEXPECTED, "the call does not belong to the session")
    _remember_ended_call(draft, event)


def ignore_former_party(draft: Draft, event: Event) -> None:
    """Ignore: the event is about a party that left or was given up."""
    before = draft.session.former_calls
    _remember_ended_call(draft, event)
    is_news = draft.session.former_calls is not before
    draft.ignore(DecisionKind.STAYED if is_news else DecisionKind.STALE, "the party has left")


def _remember_ended_call(draft: Draft, event: Event) -> None:
    """Remember a call that hung up: a lagging read may still show it."""
    former = draft.session.former_calls
    if isinstance(event, events.ParticipantLeft) and event.hung_up and event.call_sid not in former:
        draft.change(former_calls=(*former, event.call_sid))


def log_only(draft: Draft, _event: Event) -> None:
    """Change nothing: the event is only logged."""
