"""How a transfer begins, comes to its dial, and goes on as a blind one when the agent leaves early."""

from collections.abc import Iterable

from conferral.statemachine.actions.asking import (
    take_participants_from,
    want_agent_free,
    want_everybody_unheld,
    want_hold,
    want_unhold,
)
from conferral.statemachine.actions.commands import report_converts
from conferral.statemachine.actions.concluding import conclude_transfer, note_failure
from conferral.statemachine.actions.converting import begin_converting, redirect
from conferral.statemachine.actions.dialling import (
    dial,
    find_dialled,
    give_up_call,
    hang_up_leaving,
    must_confirm,
    note_answered,
    options_of,
    show_progress,
    watch_dials,
)
from conferral.statemachine.actions.looking import look_at_calls, look_until_known
from conferral.statemachine.actions.order_book import fail_queued
from conferral.statemachine.actions.parties import note_gone
from conferral.statemachine.actions.recording import pause_for_consult
from conferral.statemachine.actions.room import (
    leave_room,
    note_checked,
    note_join,
    take_absences_from,
    take_presence_from,
)
from conferral.statemachine.actions.strangers import take_strangers_from
from conferral.statemachine.events import (
    CallsRead,
    ConferenceEnded,
    ConvertOverdue,
    DialOverdue,
    EffectFailed,
    Event,
    LeaveOverdue,
    LoneOverdue,
    Park,
    ParticipantJoined,
    RepairOverdue,
    Retrieve,
    RingOverdue,
    StageOverdue,
    Transfer,
)
from conferral.statemachine.guards.calls import party_of_dial
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND, TARGET, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Phase, Stage, TransferMode, Tune
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import DialOptions, TransferState

_PHASES = {
    TransferMode.WARM: Phase.WARM,
    TransferMode.CONSULT: Phase.CONSULT,
    TransferMode.BLIND: Phase.BLIND,
    TransferMode.PARK: Phase.PARK,
}

_NO_OPTIONS = DialOptions()


# ---- beginning ---------------------------------------------------------------------------------------------------


def convert_for_transfer(scratch: Scratch, event: Transfer) -> None:
    """The two are brought into a conference first."""
    note_request(scratch, event)
    begin_converting(scratch)


def queue_transfer(scratch: Scratch, event: Transfer | Park) -> None:
    """The two are on their way into the conference already: the transfer begins when both are in."""
    note_request(scratch, event)


def begin_in_room(scratch: Scratch, event: Transfer | Park) -> None:
    """Both are in the conference: the agent has to be able to leave without ending it, before anything else."""
    note_request(scratch, event)
    begin_pending(scratch, event)


def begin_pending(scratch: Scratch, _event: Event) -> None:
    """Both are in the conference now."""
    transfer = scratch.transfer
    phase = Phase.BLIND if transfer.lets_agent_go else _PHASES[transfer.mode]
    scratch.change(phase=phase)
    scratch.cancel_timer(LoneOverdue.timer)
    want_agent_free(scratch)
    # Whoever is on hold by command takes part in what comes.
    want_unhold(scratch, AGENT)
    if phase is Phase.WARM:
        want_everybody_unheld(scratch)
    enter(scratch, Stage.CLEARING, scratch.policy.hold_timeout_ms)


def begin_from_bridge(scratch: Scratch, event: Transfer) -> None:
    """Blind: nobody is moved but the customer, into a room where he hears ringing; the agent is gone at once.

    Of an inbound session the agent is the child: hanging him up ends the customer's `<Dial>`, whose action leads him
    into the room. Of an outbound one the customer is the child: he is redirected, and the agent's action lets him go.
    """
    note_request(scratch, event)
    begin_moving_customer(scratch, Phase.BLIND, Tune.RINGBACK)


def begin_moving_customer(scratch: Scratch, phase: Phase, tune: Tune) -> None:
    """The customer is moved from the bridge into a room where he hears that tune, and the agent is let go."""
    scratch.change(phase=phase, repaired=False, redirecting=(), moved_at_ms=0)
    scratch.cancel_timer(LeaveOverdue.timer)
    scratch.cancel_timer(RingOverdue.timer)
    customer, agent = scratch.session.parties[CUSTOMER], scratch.session.parties[AGENT]
    scratch.change_party(customer, tune=tune)
    outbound = scratch.session.direction == OUTBOUND
    scratch.change_party(agent, is_leaving=True, is_hung_up=outbound)
    if outbound:
        redirect(scratch, scratch.session.parties[CUSTOMER], tune)
    enter(scratch, Stage.ARRIVING, scratch.policy.part_timeout_ms if outbound else scratch.policy.arrive_timeout_ms)


def note_request(scratch: Scratch, event: Transfer | Park | Retrieve) -> None:
    """A transfer, or what is handled as one, is asked for."""
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    before = scratch.session.transfer
    forget_targets(scratch, scratch.session.targets)
    scratch.change(
        transfer=TransferState(
            number=before.number + 1 if before else 1,
            mode=TransferMode(event.mode if isinstance(event, Transfer) else event.name),
            to="" if isinstance(event, Park) else event.to,
            options=_NO_OPTIONS if isinstance(event, Park) else options_of(event),
            command_id=event.command_id,
            started_at_ms=scratch.now_ms,
        )
    )


def forget_targets(scratch: Scratch, targets: Iterable[Party]) -> None:
    """Those who were dialled before make room for others. Whoever of them still shows up is hung up."""
    old = {target.name: target for target in targets}
    scratch.change(
        parties={name: party for name, party in scratch.session.parties.items() if name not in old},
        former_calls=(*scratch.session.former_calls, *(one.call_sid for one in old.values() if one.call_sid)),
    )


def enter(scratch: Scratch, stage: Stage, timeout_ms: int | None = None) -> None:
    """From here on the transfer waits for something else, for so long."""
    scratch.change_transfer(stage=stage)
    if timeout_ms is None:
        scratch.cancel_timer(StageOverdue.timer)
    else:
        scratch.set_timer(StageOverdue.timer, timeout_ms)


# ---- on the way to the dial --------------------------------------------------------------------------------------


def go_on_when_clear(scratch: Scratch, event: Event) -> None:
    """The agent may leave: in a consult and a blind transfer the customer is held next."""
    phase = scratch.session.phase
    if phase is Phase.WARM:
        dial_targets(scratch)
    else:
        hold_customer(scratch, event)


def hold_customer(scratch: Scratch, _event: Event) -> None:
    """The customer hears music while others talk, or ringing while somebody is dialled for him."""
    needs_hold = scratch.session.phase in (Phase.CONSULT, Phase.PARK)
    want_hold(scratch, CUSTOMER, Tune.MUSIC if needs_hold else Tune.RINGBACK)
    timeout_ms = scratch.policy.hold_timeout_ms if needs_hold else scratch.policy.ringback_timeout_ms
    enter(scratch, Stage.HOLDING, timeout_ms)


def go_on_when_held(scratch: Scratch, event: Event) -> None:
    """The customer hears his tune, or has to do without: who was to go is let go, and the target is dialled."""
    if scratch.session.phase is not Phase.CONSULT:
        let_agent_go(scratch)
        hang_up_leaving(scratch, event)  # before the dial: the agent must not hear whoever answers at once
    if scratch.session.phase is Phase.PARK:
        enter(scratch, Stage.PARKING, scratch.policy.part_timeout_ms)
    elif scratch.session.phase is Phase.CONSULT and pause_for_consult(scratch):
        enter(scratch, Stage.SILENCING, scratch.policy.hold_timeout_ms)
    elif _has_dialled(scratch):
        wait_for_answer(scratch)
    else:
        dial_targets(scratch)


def go_on_when_arrived(scratch: Scratch, event: Event) -> None:
    """The customer is in the room. If he started it, he hears nothing, and is held to hear ringing."""
    if not scratch.session.parties[CUSTOMER].waits:
        hold_customer(scratch, event)
    elif scratch.session.phase is Phase.PARK:
        enter(scratch, Stage.PARKING, scratch.policy.part_timeout_ms)
    else:
        dial_targets(scratch)


def dial_when_quiet(scratch: Scratch, _event: Event) -> None:
    """Nothing of the consult will be recorded: the target is dialled."""
    dial_targets(scratch)


def let_agent_go(scratch: Scratch) -> None:
    """The agent leaves."""
    agent = scratch.session.parties[AGENT]
    if not agent.is_gone and not agent.is_leaving:
        scratch.change_party(agent, is_leaving=True)


def dial_targets(scratch: Scratch) -> None:
    """All of them ring; straight into the conference where there is one and nothing stands in between."""
    transfer = scratch.transfer
    addresses = transfer.to.split(",")
    several = len(addresses) > 1
    options = transfer.options
    # Whoever waits with the agent hears the target's ringing; a customer who waits alone has a tune of his own.
    early_media = scratch.session.phase in (Phase.WARM, Phase.CONSULT)
    for number, address in enumerate(addresses, start=scratch.session.numbers.get(TARGET, 0) + 1):
        gated = several or bool(options.brief or options.confirm or options.digits) or must_confirm(scratch, address)
        dial(
            scratch,
            f"{TARGET}-{number}" if several else TARGET,
            address,
            label=f"{TARGET}-{scratch.session.dials + 1}",
            options=options,
            gated=gated,
            early_media=early_media and not gated,
            contest=f"transfer-{transfer.number}" if several else "",
        )
    wait_for_answer(scratch)
    show_progress(scratch)


def wait_for_answer(scratch: Scratch) -> None:
    """From here on somebody's phone rings; whoever was to leave meanwhile, or to come, is looked after."""
    enter(scratch, Stage.DIALING, scratch.policy.part_timeout_ms if _somebody_is_missed(scratch) else None)


def _somebody_is_missed(scratch: Scratch) -> bool:
    """Whether the agent, or somebody who was dialled, is to be out, or the customer in, and was not heard of."""
    parties = (scratch.session.parties[AGENT], *scratch.session.targets)
    lingers = any(party.is_leaving and not party.is_gone for party in parties)
    return lingers or not scratch.session.parties[CUSTOMER].in_room


def _has_dialled(scratch: Scratch) -> bool:
    return bool(scratch.transfer.attempts)


# ---- the agent leaves before the target takes part ---------------------------------------------------------------


def go_on_as_blind(scratch: Scratch, event: Event) -> None:
    """The agent is gone, or is to go: the customer hears ringing until the target answers."""
    scratch.change(phase=Phase.BLIND)
    if scratch.transfer.stage is Stage.CLEARING:
        return  # what comes after it knows that it is a blind one now
    hold_customer(scratch, event)


def go_on_without_agent(scratch: Scratch, _event: Event) -> None:
    """The agent left while the two were being brought into a conference: the customer comes alone."""
    _go_on_alone(scratch)
    report_converts(scratch, CommandStatus.FAILED, "agent-left")
    fail_queued(scratch, "agent-left")


def note_agent_gone_by_read(scratch: Scratch, event: CallsRead) -> None:
    """A look shows that the agent alone is gone."""
    take_presence_from(scratch, event)
    agent = scratch.session.parties[AGENT]
    note_gone(scratch, AGENT, event.status_of(agent.call_sid) or "completed")


def note_read(scratch: Scratch, event: CallsRead) -> None:
    """What a look shows of the calls and of the conference is taken over."""
    scratch.cancel_timer(LeaveOverdue.timer)  # an earlier look had come to nothing
    for party in tuple(scratch.session.parties.values()):
        status = event.status_of(party.call_sid) if party.call_sid else ""
        if status in FINAL_CALL_STATUSES:
            note_gone(scratch, party.name, status)
        elif status == CallStatus.IN_PROGRESS and party.dial_id and not party.answered and not party.is_gated:
            note_answered(scratch, party.name)
    take_presence_from(scratch, event)
    take_participants_from(scratch, event)
    take_strangers_from(scratch, event)
    watch_dials(scratch)


def note_outdated_read(scratch: Scratch, event: CallsRead) -> None:
    """Of a picture that may be older than what is known, one thing holds: a call that was completed is over."""
    for party in tuple(scratch.session.parties.values()):
        if party.call_sid and event.status_of(party.call_sid) == CallStatus.COMPLETED:
            note_gone(scratch, party.name, CallStatus.COMPLETED)
    watch_dials(scratch)
    if LeaveOverdue.timer in scratch.session.timers:
        look_until_known(scratch, event)  # a picture of all is owed


def note_look(scratch: Scratch, event: CallsRead) -> None:
    """The same in a settled conference, where whoever is missing has left it."""
    note_read(scratch, event)
    take_absences_from(scratch, event)
    note_checked(scratch, event)


def look_after_dials(scratch: Scratch, event: DialOverdue) -> None:
    """Of somebody who was dialled nothing was heard for too long: looked for, then looked at, then given up."""
    looks = False
    for party in tuple(scratch.session.parties.values()):
        # Of whom nothing was heard yet, no time has begun.
        is_due = 0 < party.dial_due_ms <= scratch.now_ms
        if not party.dial_id or party.is_gone or party.takes_part or not is_due:
            continue
        if party.doubt == "unknown":
            find_dialled(scratch, party)
        elif not party.doubt or _was_answered_lately(scratch, party):
            looks = True
            due_ms = scratch.now_ms + scratch.policy.dial_look_ms
            scratch.change_party(party, doubt="looked", dial_due_ms=due_ms)
        else:
            # Before it is marked as one to be let go: it was not cancelled, nobody was reached.
            note_gone(scratch, party.name, _why_overdue(party))
            scratch.change_party(scratch.session.parties[party.name], is_leaving=True)
            give_up_call(scratch, party.name)
    if looks:
        look_at_calls(scratch, event)
    watch_dials(scratch)


def look_before_giving_up_dial(scratch: Scratch, event: EffectFailed) -> None:
    """The conference is over: its callbacks are still to come, and a read says sooner who has left it."""
    party = party_of_dial(scratch, event)
    assert party is not None  # the guard has found it
    due_ms = scratch.now_ms + scratch.policy.dial_look_ms
    scratch.change_party(party, doubt="refused", dial_due_ms=due_ms)
    look_at_calls(scratch, event)
    watch_dials(scratch)


def _why_overdue(party: Party) -> str:
    if party.answered or party.doubt == "refused":
        return "failed"  # picked up, and never came in; or Twilio did not dial
    return CallStatus.NO_ANSWER if party.call_sid else "unknown"


def _was_answered_lately(scratch: Scratch, party: Party) -> bool:
    """Whether somebody picked up and is still to show up in the conference: that is looked for, not given up."""
    return party.answered and scratch.now_ms - party.answered_at_ms < scratch.policy.gate_timeout_ms


def go_on_in_another_room(scratch: Scratch, event: ConferenceEnded) -> None:
    """The agent's leaving has ended the conference; the customer's action leads him into a fresh one."""
    leave_room(scratch)
    note_gone(scratch, AGENT, event.conference_reason or "completed")
    _go_on_alone(scratch)


def follow_customer(scratch: Scratch, event: ParticipantJoined) -> None:
    """The same, told by the customer's arrival there."""
    leave_room(scratch)
    _go_on_alone(scratch)
    note_join(scratch, event)


def wait_for_customer(scratch: Scratch, _event: Event) -> None:
    """The customer's action leads him into another conference. Whoever was dialled into the old one can't reach him."""
    leave_room(scratch)
    scratch.change(moved_at_ms=scratch.now_ms)  # he is given the time to arrive
    for party in tuple(scratch.session.parties.values()):
        if party.dial_id and not party.is_gated and not party.is_gone:
            scratch.change_party(party, is_leaving=True)
    watch_dials(scratch)
    if StageOverdue.timer not in scratch.session.timers:
        scratch.set_timer(StageOverdue.timer, scratch.policy.arrive_timeout_ms)


def let_customer_wait_elsewhere(scratch: Scratch, event: Event) -> None:
    """The customer is alone in a conference that has not started, where no one can be held: moved to where they wait.

    Out of the conference that they would start, and into one whose wait document plays their tune.
    """
    wait_for_customer(scratch, event)
    scratch.change(repaired=True)
    customer = scratch.session.parties[CUSTOMER]
    scratch.change_party(customer, hold_wanted=False)
    redirect(scratch, customer, customer.tune)


def follow_waiting_customer(scratch: Scratch, event: ParticipantJoined) -> None:
    """The same, told by his arrival there."""
    wait_for_customer(scratch, event)
    note_join(scratch, event)


def _go_on_alone(scratch: Scratch) -> None:
    agent, customer = scratch.session.parties[AGENT], scratch.session.parties[CUSTOMER]
    parks = scratch.transfer.mode is TransferMode.PARK
    tune = Tune.MUSIC if parks else Tune.RINGBACK
    scratch.change_party(agent, is_leaving=True)
    scratch.change_party(customer, tune=tune, hold_wanted=False, end_wanted=False)
    scratch.change(phase=Phase.PARK if parks else Phase.BLIND, repaired=False)
    for timer in (ConvertOverdue, RepairOverdue, LeaveOverdue, RingOverdue, LoneOverdue):
        scratch.cancel_timer(timer.timer)
    enter(scratch, Stage.ARRIVING, scratch.policy.arrive_timeout_ms)


# ---- what is overdue ---------------------------------------------------------------------------------------------


def look_again_at_stage(scratch: Scratch, event: Event) -> None:
    """What is waited for has not come: Twilio is asked, again and again."""
    if scratch.transfer.stage is Stage.DIALING and not _somebody_is_missed(scratch):
        return  # whoever was looked after has left, or has come, by now
    look_at_calls(scratch, event)
    scratch.set_timer(StageOverdue.timer, scratch.policy.confirm_again_ms)


def hang_up_agent_late(scratch: Scratch, event: Event) -> None:
    """The end of the agent's `<Dial>` should have ended the call. No callback said so: the agent is hung up.

    A hang-up without an outcome is not ordered again: it waits for a request slot, or is being retried.
    """
    agent = scratch.session.parties[AGENT]
    if not agent.hanging_up:
        scratch.change_party(agent, is_hung_up=False)
    arriving = scratch.transfer.stage is Stage.ARRIVING
    again_ms = scratch.policy.arrive_timeout_ms - scratch.policy.part_timeout_ms
    scratch.set_timer(StageOverdue.timer, max(1, again_ms) if arriving else scratch.policy.confirm_again_ms)
    look_at_calls(scratch, event)


def move_customer_again(scratch: Scratch, _event: CallsRead) -> None:
    """The customer is alive and not in the room: he is redirected there, once."""
    scratch.change(repaired=True)
    customer = scratch.session.parties[CUSTOMER]
    redirect(scratch, customer, customer.tune)
    scratch.set_timer(StageOverdue.timer, scratch.policy.repair_timeout_ms)


def return_to_bridge_after(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio refused to move the customer, so nothing has happened: the two talk on as before."""
    customer, agent = scratch.session.parties[CUSTOMER], scratch.session.parties[AGENT]
    scratch.change_party(customer, tune=Tune.NONE)
    scratch.change_party(agent, is_leaving=False, is_hung_up=False)
    note_failure(scratch, event.in_words)
    conclude_transfer(scratch, "failed")
    scratch.change(phase=Phase.CONNECTED, redirecting=())
