"""Answers to whoever gave a command."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Cancel, Command, Complete, Convert, Remove
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import Phase
from conferral.statemachine.step import CommandStatus

LAST_UNHELD = "the last party that is not on hold can't be held"


def refuse_ringing(draft: Draft, _event: Command) -> None:
    """Until somebody answers, the caller's leg can't be moved."""
    draft.refusal = "nobody has answered yet"


def refuse_leaving(draft: Draft, _event: Command) -> None:
    """One of the two has hung up already, or Redis has forgotten the call of one of them."""
    is_searched = draft.session.phase is Phase.CONNECTED and not draft.session.parent.call_sid
    draft.refusal = "the agent's call is being searched for" if is_searched else "one of the two has hung up"


def refuse_ended(draft: Draft, _event: Command) -> None:
    """The session is over."""
    draft.refusal = f"the session has ended ({draft.session.end_reason})"


def refuse_existing(draft: Draft, _event: Command) -> None:
    """A session is opened once."""
    draft.refusal = "the session exists already"


def refuse_without_transfer(draft: Draft, _event: Command) -> None:
    """There is nothing to complete, to cancel, to swap or to merge."""
    draft.refusal = "no transfer runs"


def refuse_opening(draft: Draft, _event: Command) -> None:
    """Whoever is in the conference still waits for the other one."""
    draft.refusal = "nobody has answered yet"


def refuse_parked(draft: Draft, _event: Command) -> None:
    """Nobody is with the customer."""
    draft.refusal = "the call is parked"


def refuse_not_parked(draft: Draft, _event: Command) -> None:
    """There is nothing to take up again."""
    draft.refusal = "the call is not parked"


def refuse_during_transfer(draft: Draft, _event: Command) -> None:
    """Who hears whom is the transfer's matter while it runs."""
    draft.refusal = "a transfer runs"


def refuse_unknown_party(draft: Draft, _event: Command) -> None:
    """There is nobody of that name, or not any more."""
    there = [party.name for party in draft.session.parties.values() if not party.is_gone]
    draft.refusal = f"no such party; there are {', '.join(there)}"


def refuse_out_of_room(draft: Draft, _event: Command) -> None:
    """Only whoever is in the conference can be held or muted."""
    draft.refusal = "the party is not in the conference"


def refuse_last_unheld(draft: Draft, _event: Command) -> None:
    """Nobody would hear anybody."""
    draft.refusal = LAST_UNHELD


def refuse_not_held(draft: Draft, _event: Command) -> None:
    """There is nothing to undo."""
    draft.refusal = "the party is not on hold"


def refuse_not_muted(draft: Draft, _event: Command) -> None:
    """There is nothing to undo."""
    draft.refusal = "nobody is muted"


def refuse_supervisor(draft: Draft, _event: Command) -> None:
    """Who hears a supervisor is said by his mode."""
    draft.refusal = "a supervisor is heard as the mode of supervise says"


def refuse_taken_name(draft: Draft, _event: Command) -> None:
    """Names tell parties apart."""
    draft.refusal = "a party of that name takes part already"


def refuse_full(draft: Draft, _event: Command) -> None:
    """Twilio lets nobody else in."""
    draft.refusal = "the conference is full"


def refuse_another_supervisor(draft: Draft, _event: Command) -> None:
    """One at a time."""
    draft.refusal = "somebody else supervises already"


def refuse_supervisor_soon(draft: Draft, _event: Command) -> None:
    """The first command has not got as far as dialling."""
    draft.refusal = "the supervisor is about to be dialled"


def refuse_nobody_to_coach(draft: Draft, _event: Command) -> None:
    """Whispering needs an agent."""
    draft.refusal = "no agent is there to whisper to"


def refuse_coaching_the_held(draft: Draft, _event: Command) -> None:
    """Who is on hold hears nobody."""
    draft.refusal = "the agent is on hold"


def refuse_second_announcement(draft: Draft, _event: Command) -> None:
    """One at a time."""
    draft.refusal = "an announcement is being played already"


def refuse_no_audience(draft: Draft, _event: Command) -> None:
    """Everybody is on hold, or waits."""
    draft.refusal = "nobody is there to hear it"


def refuse_recorded(draft: Draft, _event: Command) -> None:
    """One recording at a time."""
    draft.refusal = "it is recorded already"


def refuse_recorded_from_start(draft: Draft, _event: Command) -> None:
    """Twilio can't start a conference's recording again."""
    draft.refusal = "the conference's recording was stopped and can't be started again"


def refuse_not_recorded(draft: Draft, _event: Command) -> None:
    """There is nothing to pause, to resume or to stop."""
    draft.refusal = "it is not recorded"


def refuse_changing_recording(draft: Draft, _event: Command) -> None:
    """One request after the other."""
    draft.refusal = "another change of the recording is under way"


def refuse_recording_consult(draft: Draft, _event: Command) -> None:
    """No consult is on a recording."""
    draft.refusal = "agent and target talk without the customer"


def refuse_second_transfer(draft: Draft, _event: Command) -> None:
    """One at a time."""
    draft.refusal = "a transfer runs already"


def refuse_agent_gone(draft: Draft, _event: Command) -> None:
    """The agent is out of it: nothing to complete, nobody to go back to."""
    draft.refusal = "the agent has been let go already"


def refuse_winding_up(draft: Draft, _event: Command) -> None:
    """The transfer comes to its end."""
    draft.refusal = "the transfer is being ended already"


def refuse_before_answer(draft: Draft, _event: Command) -> None:
    """The target does not take part yet."""
    draft.refusal = "the target has not answered yet"


def refuse_no_consult(draft: Draft, _event: Command) -> None:
    """Nobody is held who could be let in."""
    draft.refusal = "no consult is going on: all of them talk"


def refuse_between_steps(draft: Draft, _event: Command) -> None:
    """One step after the other. Whoever asked for a swap that failed knows already; it is still being undone."""
    name = draft.transfer.step_name
    draft.refusal = f"{name} is still being carried out" if name else "a swap is still being undone"


def report_done(draft: Draft, event: Convert) -> None:
    """It is in a conference already: what was asked for has happened."""
    draft.report(event.command_id, CommandStatus.DONE)


def report_converts(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Tells everybody who waits for the conversion."""
    for command_id in draft.session.convert_command_ids:
        draft.report(command_id, status, reason)
    draft.change(convert_command_ids=())


def report_call(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the call, if somebody did; only once."""
    if draft.session.call_command_id:
        draft.report(draft.session.call_command_id, status, reason)
        draft.change(call_command_id="")


def report_transfer(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the transfer; only once."""
    if draft.transfer.command_id:
        draft.report(draft.transfer.command_id, status, reason)
        draft.change_transfer(command_id="")


def begin_step(draft: Draft, event: Command) -> None:
    """A step of the transfer begins; one that still ran is overtaken."""
    report_step(draft, CommandStatus.FAILED, f"overtaken by {event.name}")
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    name = event.name
    if isinstance(event, Remove):
        # Whoever removes the agent of a transfer completes it; whoever removes the target cancels it.
        agent = draft.session.parties[AGENT]
        name = Complete.name if event.party in (agent.name, agent.call_sid) else Cancel.name
    draft.change_transfer(step_command_id=event.command_id, step_name=name)


def report_step(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the step that is being carried out, if somebody did."""
    if draft.transfer.step_command_id:
        draft.report(draft.transfer.step_command_id, status, reason)
    draft.change_transfer(step_command_id="", step_name="")
