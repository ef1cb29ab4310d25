"""Command reports and refusals."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Cancel, Command, Complete, Convert, Remove
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import Phase
from conferral.statemachine.step import CommandStatus

LAST_UNHELD = "the last party that is not on hold can't be held"


def refuse_ringing(draft: Draft, _event: Command) -> None:
    """Refuse: no one has answered yet, so the caller's leg can't be moved."""
    draft.refusal = "nobody has answered yet"


def refuse_leaving(draft: Draft, _event: Command) -> None:
    """Refuse: a party has hung up, or the agent's call is being searched for after a Redis rollback."""
    is_searched = draft.session.phase is Phase.CONNECTED and not draft.session.parent.call_sid
    draft.refusal = "the agent's call is being searched for" if is_searched else "one of the two has hung up"


def refuse_ended(draft: Draft, _event: Command) -> None:
    """Refuse: the session has ended."""
    draft.refusal = f"the session has ended ({draft.session.end_reason})"


def refuse_existing(draft: Draft, _event: Command) -> None:
    """Refuse: the session exists already."""
    draft.refusal = "the session exists already"


def refuse_without_transfer(draft: Draft, _event: Command) -> None:
    """Refuse: no transfer is running."""
    draft.refusal = "no transfer runs"


def refuse_opening(draft: Draft, _event: Command) -> None:
    """Refuse: the party in the conference is still waiting for the other one."""
    draft.refusal = "nobody has answered yet"


def refuse_parked(draft: Draft, _event: Command) -> None:
    """Refuse: the call is parked."""
    draft.refusal = "the call is parked"


def refuse_not_parked(draft: Draft, _event: Command) -> None:
    """Refuse: the call is not parked."""
    draft.refusal = "the call is not parked"


def refuse_during_transfer(draft: Draft, _event: Command) -> None:
    """Refuse: a transfer is running, which decides who hears whom."""
    draft.refusal = "a transfer runs"


def refuse_unknown_party(draft: Draft, _event: Command) -> None:
    """Refuse: no present party has that name."""
    there = [party.name for party in draft.session.parties.values() if not party.is_gone]
    draft.refusal = f"no such party; there are {', '.join(there)}"


def refuse_out_of_room(draft: Draft, _event: Command) -> None:
    """Refuse: only parties in the conference can be held or muted."""
    draft.refusal = "the party is not in the conference"


def refuse_last_unheld(draft: Draft, _event: Command) -> None:
    """Refuse: this is the last party not on hold."""
    draft.refusal = LAST_UNHELD


def refuse_not_held(draft: Draft, _event: Command) -> None:
    """Refuse: the party is not on hold."""
    draft.refusal = "the party is not on hold"


def refuse_not_muted(draft: Draft, _event: Command) -> None:
    """Refuse: no one is muted."""
    draft.refusal = "nobody is muted"


def refuse_supervisor(draft: Draft, _event: Command) -> None:
    """Refuse: the supervise mode decides who hears a supervisor."""
    draft.refusal = "a supervisor is heard as the mode of supervise says"


def refuse_taken_name(draft: Draft, _event: Command) -> None:
    """Refuse: the name is taken."""
    draft.refusal = "a party of that name takes part already"


def refuse_full(draft: Draft, _event: Command) -> None:
    """Refuse: the conference is full."""
    draft.refusal = "the conference is full"


def refuse_another_supervisor(draft: Draft, _event: Command) -> None:
    """Refuse: another supervisor is active."""
    draft.refusal = "somebody else supervises already"


def refuse_supervisor_soon(draft: Draft, _event: Command) -> None:
    """Refuse: the supervisor of an earlier command has not been dialed yet."""
    draft.refusal = "the supervisor is about to be dialled"


def refuse_nobody_to_coach(draft: Draft, _event: Command) -> None:
    """Refuse: there is no agent to whisper to."""
    draft.refusal = "no agent is there to whisper to"


def refuse_coaching_the_held(draft: Draft, _event: Command) -> None:
    """Refuse: the agent is on hold and hears no one."""
    draft.refusal = "the agent is on hold"


def refuse_second_announcement(draft: Draft, _event: Command) -> None:
    """Refuse: an announcement is playing."""
    draft.refusal = "an announcement is being played already"


def refuse_no_audience(draft: Draft, _event: Command) -> None:
    """Refuse: every party is on hold or waiting."""
    draft.refusal = "nobody is there to hear it"


def refuse_recorded(draft: Draft, _event: Command) -> None:
    """Refuse: a recording is running."""
    draft.refusal = "it is recorded already"


def refuse_recorded_from_start(draft: Draft, _event: Command) -> None:
    """Refuse: Twilio can't restart a conference's recording."""
    draft.refusal = "the conference's recording was stopped and can't be started again"


def refuse_not_recorded(draft: Draft, _event: Command) -> None:
    """Refuse: there is no recording to pause, resume, or stop."""
    draft.refusal = "it is not recorded"


def refuse_changing_recording(draft: Draft, _event: Command) -> None:
    """Refuse: another recording change is open."""
    draft.refusal = "another change of the recording is under way"


def refuse_recording_consult(draft: Draft, _event: Command) -> None:
    """Refuse: a consult must not be recorded."""
    draft.refusal = "agent and target talk without the customer"


def refuse_second_transfer(draft: Draft, _event: Command) -> None:
    """Refuse: a transfer is running."""
    draft.refusal = "a transfer runs already"


def refuse_agent_gone(draft: Draft, _event: Command) -> None:
    """Refuse: the agent has left the transfer."""
    draft.refusal = "the agent has been let go already"


def refuse_winding_up(draft: Draft, _event: Command) -> None:
    """Refuse: the transfer is ending."""
    draft.refusal = "the transfer is being ended already"


def refuse_before_answer(draft: Draft, _event: Command) -> None:
    """Refuse: the target has not answered."""
    draft.refusal = "the target has not answered yet"


def refuse_no_consult(draft: Draft, _event: Command) -> None:
    """Refuse: no one is held who could be let in."""
    draft.refusal = "no consult is going on: all of them talk"


def refuse_between_steps(draft: Draft, _event: Command) -> None:
    """Refuse: another step is in progress. A failed swap is reported already, but still being undone."""
    name = draft.transfer.step_name
    draft.refusal = f"{name} is still being carried out" if name else "a swap is still being undone"


def report_done(draft: Draft, event: Convert) -> None:
    """Report `done`: the call is in a conference already."""
    draft.report(event.command_id, CommandStatus.DONE)


def report_converts(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome to every command waiting for the conversion."""
    for command_id in draft.session.convert_command_ids:
        draft.report(command_id, status, reason)
    draft.change(convert_command_ids=())


def report_call(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the `call` command, once."""
    if draft.session.call_command_id:
        draft.report(draft.session.call_command_id, status, reason)
        draft.change(call_command_id="")


def report_transfer(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the `transfer` command, once."""
    if draft.transfer.command_id:
        draft.report(draft.transfer.command_id, status, reason)
        draft.change_transfer(command_id="")


def begin_step(draft: Draft, event: Command) -> None:
    """Start a step of the transfer; it overrides a step in progress."""
    report_step(draft, CommandStatus.FAILED, f"overtaken by {event.name}")
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    name = event.name
    if isinstance(event, Remove):
        # Removing the agent of a transfer completes it; removing the target cancels it.
        agent = draft.session.parties[AGENT]
        name = Complete.name if event.party in (agent.name, agent.call_sid) else Cancel.name
    draft.change_transfer(step_command_id=event.command_id, step_name=name)


def report_step(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the step in progress, if there is one."""
    if draft.transfer.step_command_id:
        draft.report(draft.transfer.step_command_id, status, reason)
    draft.change_transfer(step_command_id="", step_name="")
