"""Transition machine: decides events with `step`.

Each step works on a draft, the model of a `transitions` machine that has the table's rows. An index says which rows are
for an event, a state, a stage, and a phase. The machine executes the first whose guards hold; its actions change the
draft. A Step is built only if nothing raised.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from msgspec.structs import fields
from transitions import EventData, Machine, Transition

from conferral.statemachine import events
from conferral.statemachine.actions.bridge import fail_expired_commands
from conferral.statemachine.actions.parties import note_refusal, without_oldest_parties
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import Event
from conferral.statemachine.guards.calls import transfer_deadlines_ms
from conferral.statemachine.guards.outage import is_of_lost_time, lone_grace_ms
from conferral.statemachine.guards.reads import with_newer_facts
from conferral.statemachine.guards.transfer import hold_limits_ms
from conferral.statemachine.guards.unsettled import has_asked, read_timeout_ms, unsettled_after
from conferral.statemachine.guards.waiting_party import is_alone, waiting_party
from conferral.statemachine.ids import no_call_found
from conferral.statemachine.parts import SeenEvents
from conferral.statemachine.policy import Policy
from conferral.statemachine.presence import UNKNOWN_PRESENCE, Presence
from conferral.statemachine.reasons import Reason
from conferral.statemachine.record import replace
from conferral.statemachine.relevance import how_to_ignore
from conferral.statemachine.session import AGENT, SUPERVISOR, Session
from conferral.statemachine.states import KEPT_WAITING, Phase, State
from conferral.statemachine.step import CommandReport, CommandStatus, DecisionKind, Draft, Step, TimerChange
from conferral.statemachine.table import TABLE
from conferral.statemachine.table.row import Guard, Stage
from conferral.statemachine.table.stages import enter_stage
from conferral.statemachine.table.unsettled import unsettled

DEFAULT_POLICY = Policy()
_EFFECT_RESULTS = (events.CallsRead, events.EffectResult)
_OPENING = (events.CallReceived, events.ClientCallReceived, events.Call, events.ConferenceFound)
#: The event of automatic rows, which read the draft only.
_ALWAYS = events.Automatic(session_id="")
_NO_SESSION = "no such session"
#: Most automatic rows that one event may trigger. More would mean a cycle.
_FOLLOW_UPS_MAX = 16


def build_machine() -> Machine:
    """Build the machine: no automatic transitions, and no model of its own."""
    machine = Machine(model=None, states=State, initial=None, auto_transitions=False)
    for row in TABLE:
        machine.add_transition(
            trigger=row.event.name,
            source=row.source,
            dest=row.target,
            # Before the state changes, so that an action that raises leaves everything unchanged.
            before=[*row.actions, *([] if row.next_stage is None else [enter_stage(row.next_stage)])],
        )
    return machine


#: Without an `initial` state and a model: each draft is its model for one event.
MACHINE = build_machine()


@cache
def _rows(
    kind: type[Event], state: State, phase: Phase, stage: Stage
) -> tuple[tuple[tuple[Guard, ...], Transition], ...]:
    """Return guards and row for each row of an event there, in order."""
    rows = [row for row in TABLE if (row.event, row.source) == (kind, state)]
    return tuple(
        (row.guards, transition)
        for row, transition in zip(rows, MACHINE.get_transitions(kind.name, state), strict=True)
        if (not row.stages or stage in row.stages) and (not row.phases or phase in row.phases)
    )


def take_row(draft: Draft, event: Event) -> bool:
    """Take the first row whose guards hold; return whether there is one."""
    session = draft.session
    stage = draft.transfer.stage if session.state is State.TRANSFERRING else session.opening
    for guards, transition in _rows(type(event), session.state, session.phase, stage):
        for guard in guards:
            if not guard(draft, event):
                break
        else:
            # What `Event.trigger` does for each row that it tries.
            return bool(transition.execute(EventData(None, None, MACHINE, draft, (draft, event), {})))
    return False


def step(
    session: Session,
    event: Event,
    now_ms: int,
    policy: Policy = DEFAULT_POLICY,
    presence: Presence = UNKNOWN_PRESENCE,
) -> Step:
    """Apply one event to a session: the result depends on the arguments only.

    Every event raises the version by one, whatever is decided, except for events of an unknown session (version 0).
    `now_ms` is Unix milliseconds, raised to the session's `updated_at_ms` if it is earlier.
    """
    now_ms = max(now_ms, session.updated_at_ms)
    if session.version == 0 and (why := _why_not_opened(event, now_ms)):
        is_command = isinstance(event, events.Command)
        why = no_call_found(session.id) if is_command and why == _NO_SESSION else why
        report = CommandReport(event.token, CommandStatus.REJECTED, why)
        kind = DecisionKind.REFUSED if is_command else DecisionKind.UNEXPECTED
        return Step(session, kind, why, reports=(report,) if is_command else ())
    if session.version and session.seen.contains(event.source, event.sequence, event.token):
        return _ignoring_step(session, event, DecisionKind.STALE, "duplicate, ignored")
    if event.ignored_because:
        return _ignoring_step(session, event, DecisionKind.STALE, event.ignored_because)
    if is_of_lost_time(session, event):
        report = CommandReport(event.token, CommandStatus.FAILED, Reason.UNKNOWN)
        step = _ignoring_step(session, event, DecisionKind.STALE, "Redis may have lost that it was decided")
        return replace(step, reports=(report,))
    if refusal := _refusal_before(event, now_ms):
        report = CommandReport(event.token, CommandStatus.REJECTED, refusal)
        noted = _note_refused_transfer(session, event, refusal, now_ms)
        return replace(_ignoring_step(noted, event, DecisionKind.REFUSED, refusal), reports=(report,))
    if isinstance(event, events.TimerExpired) and session.timers.get(event.timer) != event.due_ms:
        return _ignoring_step(session, event, DecisionKind.STALE, "the timer was canceled or reset")
    return _decide(session, event, now_ms, policy, presence)


def allowed_commands(session: Session) -> tuple[str, ...]:
    """Return the names of the commands that the session would accept now."""
    if session.version == 0:
        return ()
    allowed: dict[str, None] = {}
    for sample in _sample_commands(session):
        # One accepted sample of a party command is enough: there may be hundreds of parties.
        if sample.name not in allowed and not refusal_of(session, sample):
            allowed[sample.name] = None
    return tuple(allowed)


def command_refusals(session: Session) -> tuple[tuple[events.Command, str], ...]:
    """Return sample commands, each with why it would be refused now, or empty."""
    if session.version == 0:
        return ()
    return tuple((sample, refusal_of(session, sample)) for sample in _sample_commands(session))


def refusal_of(session: Session, sample: events.Command) -> str:
    """Return why a command is refused; empty if it is allowed."""
    draft = Draft(session, sample, session.updated_at_ms, DEFAULT_POLICY)
    take_row(draft, sample)
    return draft.refusal


def _sample_commands(session: Session) -> Iterator[events.Command]:
    """Yield one command of each kind, or one per mode, action, or party."""
    # Without any party left, an absent one: the refusal then says so.
    party_names = [*session.present] or ["anybody"]
    for kind, sample_values in _SAMPLES.items():
        if kind is events.Supervise and SUPERVISOR in session.parties:
            # For the same address, it only switches the mode.
            sample_values = sample_values | {"to": session.parties[SUPERVISOR].address}
        attribute, variants = kind.variants
        for variant in variants or party_names:
            values = {**sample_values, "session_id": session.id}
            yield kind(**(values | {attribute: variant} if attribute else values))


#: Commands for existing sessions, with values of the fields that they need.
_SAMPLES: dict[type[events.Command], dict[str, Any]] = {
    kind: dict.fromkeys([*(one.name for one in fields(kind) if one.required), *kind.one_of[:1]], "anybody")
    for kind in events.COMMANDS
    if not kind.opens_session
}
_SAMPLES[events.Transfer]["to"] = ("anybody",)


def _why_not_opened(event: Event, now_ms: int) -> str:
    """Return why an event begins no session; empty if it does."""
    return _refusal_before(event, now_ms) if _opens_session(event) else _NO_SESSION


def _refusal_before(event: Event, now_ms: int) -> str:
    """Return why a command is refused whatever the session's state; or empty."""
    if not isinstance(event, events.Command):
        return ""
    # The stream's own time is that of Redis; the worker's clock may be behind by a little.
    if 0 < event.deadline_ms <= max(now_ms, event.arrived_at_ms):
        return Reason.EXPIRED
    return event.refused


def _opens_session(event: Event) -> bool:
    """Whether an event may begin a session."""
    if isinstance(event, events.CallProgressed):  # the agent's live call shows a session that was never stored
        return event.party == AGENT and not (event.dial or event.is_final)
    return isinstance(event, _OPENING)


def _close(draft: Draft, event: Event) -> None:
    """Close the read, hangup, or timer that the event reports."""
    if isinstance(event, events.TimerExpired):
        draft.cancel_timers(type(event))
    elif isinstance(event, _EFFECT_RESULTS) and event.effect_id == draft.session.open_read_id:
        _close_read(draft, event)
    elif isinstance(event, events.EffectResult) and event.kind == HangUpCall.kind:
        for party in draft.session.parties.values():
            if party.hang_up_effect_id == event.effect_id:  # if it is still there, it is disconnected again
                draft.change_party(party, hang_up_effect_id="")


def _close_read(draft: Draft, event: events.CallsRead | events.EffectResult) -> None:
    session, unread = draft.session, getattr(event, "unread", ())
    draft.change(open_read_id="", unread_calls=unread)
    if not isinstance(event, events.CallsRead):
        draft.change(asked_ms=session.open_read_since_ms)
    elif not unread:
        draft.change(unsettled_since_ms=unsettled_after(session, event))
        if has_asked(session, event):
            draft.change(asked_ms=session.open_read_since_ms)
    for party in session.parties.values() if isinstance(event, events.CallsRead) else ():
        if party.dial_check == "reading":
            draft.change_party(party, dial_check="read")


def _ignoring_step(session: Session, event: Event, kind: DecisionKind, reason: str) -> Step:
    after = replace(session, version=session.version + 1, seen=_seen_with(session, event))
    return Step(after, kind, reason)


def _seen_with(session: Session, event: Event) -> SeenEvents:
    # Repeating an event that has no effect does no harm. Its number would push out those of deciding events.
    return session.seen if event.ignored_because else session.seen.with_event(event.source, event.sequence, event.token)


def _decide(before: Session, event: Event, now_ms: int, policy: Policy, presence: Presence) -> Step:
    """Take the event's row, then automatic rows; a refusal undoes the changes."""
    draft = Draft(before, event, now_ms, policy, presence)
    _close(draft, event)
    if before.version:
        fail_expired_commands(draft)
    closed = draft.session
    if before.version == 0:
        draft.change(
            created_at_ms=now_ms,
            conference_name=event.conference_name or before.id,
        )
    if before.state is not State.ENDED and isinstance(event, events.CallsRead):
        event = with_newer_facts(before, event)
    ignore = how_to_ignore(draft, event)
    if ignore is not None:
        ignore(draft, event)
    else:
        is_decided = take_row(draft, event)
        # Every pair ends in a row without a guard; tests check that.
        assert is_decided, (before.state, event.name)
    if draft.refusal:
        allowed = ", ".join(allowed_commands(before))
        draft.session = _note_refused_transfer(closed, event, draft.refusal, now_ms)
        draft.reason = f"{draft.refusal}; " + (f"allowed now: {allowed}" if allowed else "no commands are allowed")
        draft.report(event.token, CommandStatus.REJECTED, draft.reason)
        draft.kind = DecisionKind.REFUSED
    else:
        draft.session = _note_refused_transfer(draft.session, event, "", now_ms)
        _take_automatic_rows(draft)
        draft.note_new_parties()
        if draft.state is not State.ENDED:
            _set_derived_timers(draft)
            _set_read_timer(draft, _note_unsettled(draft))
        if draft.state is not before.state or before.version == 0:
            draft.kind = DecisionKind.MOVED
    return _build_step(draft, before, event)


def _note_refused_transfer(session: Session, event: Event, refusal: str, now_ms: int) -> Session:
    """Store why the last transfer was refused; forget it once one is accepted."""
    if type(event) is not events.Transfer or refusal == session.refused_transfer == "":
        return session
    return replace(session, refused_transfer=refusal, refused_transfer_at_ms=now_ms if refusal else 0)


def _take_automatic_rows(draft: Draft) -> None:
    for _ in range(_FOLLOW_UPS_MAX):
        if draft.state is State.ENDED or not take_row(draft, _ALWAYS):
            return
    raise AssertionError(f"no end of what follows from {draft.event.name} in {draft.state}")


# ---- timers that follow from the session, so no action sets them --------------------------------------------------


def _set_derived_timers(draft: Draft) -> None:
    """Set timers that follow from the session; end those of other states."""
    _set_to_first(draft, events.DialOverdue, _dial_dues(draft))
    pending = [command.due_ms for command in draft.session.pending_commands]
    _set_to_first(draft, events.PendingCommandOverdue, [*pending, *transfer_deadlines_ms(draft.session)])
    _set_to_first(draft, events.HoldOverdue, hold_limits_ms(draft).values())
    due_ms = draft.session.created_at_ms + draft.policy.age_max_ms
    _set_to_first(draft, events.AgeOverdue, [due_ms] if draft.now_ms < due_ms else ())
    _time_lone_party(draft)
    if draft.state is not State.CONVERTING:
        draft.cancel_timers(events.ConvertOverdue)
    if draft.session.phase not in KEPT_WAITING:
        draft.cancel_timers(events.ParkOverdue)
    elif draft.now_ms < draft.session.parked_until_ms:  # one that fires early is set again
        _set_to_first(draft, events.ParkOverdue, [draft.session.parked_until_ms])


def _time_lone_party(draft: Draft) -> None:
    """Give others time to join a lone party (`CONFERRAL_LONE_GRACE`)."""
    if draft.state is not State.CONFERENCED or not is_alone(draft):
        draft.cancel_timers(events.LoneOverdue)
        draft.change(lone_until_ms=0)
    elif not draft.session.lone_until_ms:
        grace_ms = lone_grace_ms(draft)
        draft.change(presence_reads=0, lone_until_ms=draft.now_ms + grace_ms)
        draft.set_timer(events.LoneOverdue, grace_ms)
    elif draft.now_ms < draft.session.lone_until_ms:
        _set_to_first(draft, events.LoneOverdue, [draft.session.lone_until_ms])


def _note_unsettled(draft: Draft) -> list[int]:
    """Note what is unsettled, and since when; return when to read each."""
    waiting, session = waiting_party(draft), draft.session
    if draft.state is State.CONFERENCED and (waiting is None or waiting.in_conference):
        draft.change(repair_attempted=False)  # the next time that it is absent, it is redirected once more
    found = list(unsettled(draft))
    since = {key: since_ms for key, since_ms, _ in found}
    if since != session.unsettled_since_ms or not since:
        draft.change(unsettled_since_ms=since, asked_ms=session.asked_ms if since else 0)
    return [due_ms for *_, due_ms in found]


def _set_read_timer(draft: Draft, dues_ms: Iterable[int]) -> None:
    """Set the timer of the next read; one that is never answered is lost."""
    session = draft.session
    lost_ms = session.open_read_since_ms + read_timeout_ms(draft) if session.open_read_id else 0
    _set_to_first(draft, events.ReadOverdue, [max(due_ms, lost_ms) for due_ms in dues_ms])


def _dial_dues(draft: Draft) -> Iterable[int]:
    """Yield when dialed calls must be checked or read, 0 for never."""
    if draft.state is State.CONVERTING:
        return  # no one is dialed by REST
    for party in draft.session.parties.values():
        # Who took part was reached, though a talking agent's call may still be searched for.
        was_reached = party.takes_part or (party.answered and party.is_connected and not party.dial_check)
        if party.dial_id and not (party.is_gone or party.is_leaving or was_reached):
            yield party.dial_check_at_ms


def _set_to_first(draft: Draft, timer: type[events.TimerExpired], dues: Iterable[int]) -> None:
    due_ms = min(filter(None, dues), default=None)
    known_ms = draft.session.timers.get(timer.timer)
    if due_ms is None:
        draft.cancel_timers(timer)
    # A timer that is due now has been set for now, and may already be on its way.
    elif known_ms is None or not (known_ms == due_ms or due_ms < known_ms <= draft.now_ms):
        draft.set_timer(timer, due_ms - draft.now_ms)


def _build_step(draft: Draft, before: Session, event: Event) -> Step:
    version = before.version + 1
    note_refusal(draft, event)
    after = draft.session
    moved = draft.state is not before.state
    changed_timers = {name for name, _ in after.timers.items() ^ before.timers.items()}
    if isinstance(event, events.TimerExpired) and event.timer in after.timers:
        changed_timers.add(event.timer)  # Redis has it no longer, also if it fired early and is due as before
    after = replace(
        after,
        state_since_ms=(
            draft.now_ms if moved or after.phase is not before.phase or not before.version else before.state_since_ms
        ),
        version=version,
        updated_at_ms=draft.now_ms,
        seen=_seen_with(after, event),
        timers=after.timers if changed_timers else before.timers,  # a log tells changes of content, not of order
    )
    after = without_oldest_parties(after)
    assert not after.timers or after.state is not State.ENDED
    assert not moved or before.state is not State.ENDED
    return Step(
        session=after,
        kind=draft.kind,
        reason=draft.reason,
        effects=tuple(draft.effects),
        timers=tuple(TimerChange(name, after.timers.get(name)) for name in sorted(changed_timers)),
        reports=tuple(draft.reports),
        conclusions=tuple(draft.conclusions),
    )
