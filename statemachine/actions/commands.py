"""Answers to whoever gave a command."""

from conferral.statemachine.events import Cancel, Command, Complete, Convert, Remove
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import Phase
from conferral.statemachine.step import CommandStatus

LAST_UNHELD = "the last party that is not on hold can't be held"


def refuse_ringing(scratch: Scratch, _event: Command) -> None:
    """Until somebody answers, the caller's leg can't be moved."""
    scratch.refusal = "nobody has answered yet"


def refuse_leaving(scratch: Scratch, _event: Command) -> None:
    """One of the two has hung up already, or Redis has forgotten the call of one of them."""
    is_searched = scratch.session.phase is Phase.CONNECTED and not scratch.session.parent.call_sid
    scratch.refusal = "the agent's call is being searched for" if is_searched else "one of the two has hung up"


def refuse_ended(scratch: Scratch, _event: Command) -> None:
    """The session is over."""
    scratch.refusal = f"the session has ended ({scratch.session.end_reason})"


def refuse_existing(scratch: Scratch, _event: Command) -> None:
    """A session is opened once."""
    scratch.refusal = "the session exists already"


def refuse_without_transfer(scratch: Scratch, _event: Command) -> None:
    """There is nothing to complete, to cancel, to swap or to merge."""
    scratch.refusal = "no transfer runs"


def refuse_opening(scratch: Scratch, _event: Command) -> None:
    """Whoever is in the conference still waits for the other one."""
    scratch.refusal = "nobody has answered yet"


def refuse_parked(scratch: Scratch, _event: Command) -> None:
    """Nobody is with the customer."""
    scratch.refusal = "the call is parked"


def refuse_not_parked(scratch: Scratch, _event: Command) -> None:
    """There is nothing to take up again."""
    scratch.refusal = "the call is not parked"


def refuse_during_transfer(scratch: Scratch, _event: Command) -> None:
    """Who hears whom is the transfer's matter while it runs."""
    scratch.refusal = "a transfer runs"


def refuse_unknown_party(scratch: Scratch, _event: Command) -> None:
    """There is nobody of that name, or not any more."""
    there = [party.name for party in scratch.session.parties.values() if not party.is_gone]
    scratch.refusal = f"no such party; there are {', '.join(there)}"


def refuse_out_of_room(scratch: Scratch, _event: Command) -> None:
    """Only whoever is in the conference can be held or muted."""
    scratch.refusal = "the party is not in the conference"


def refuse_last_unheld(scratch: Scratch, _event: Command) -> None:
    """Nobody would hear anybody."""
    scratch.refusal = LAST_UNHELD


def refuse_not_held(scratch: Scratch, _event: Command) -> None:
    """There is nothing to undo."""
    scratch.refusal = "the party is not on hold"


def refuse_not_muted(scratch: Scratch, _event: Command) -> None:
    """There is nothing to undo."""
    scratch.refusal = "nobody is muted"


def refuse_supervisor(scratch: Scratch, _event: Command) -> None:
    """Who hears a supervisor is said by his mode."""
    scratch.refusal = "a supervisor is heard as the mode of supervise says"


def refuse_taken_name(scratch: Scratch, _event: Command) -> None:
    """Names tell parties apart."""
    scratch.refusal = "a party of that name takes part already"


def refuse_full(scratch: Scratch, _event: Command) -> None:
    """Twilio lets nobody else in."""
    scratch.refusal = "the conference is full"


def refuse_another_supervisor(scratch: Scratch, _event: Command) -> None:
    """One at a time."""
    scratch.refusal = "somebody else supervises already"


def refuse_supervisor_soon(scratch: Scratch, _event: Command) -> None:
    """The first command has not got as far as dialling."""
    scratch.refusal = "the supervisor is about to be dialled"


def refuse_nobody_to_coach(scratch: Scratch, _event: Command) -> None:
    """Whispering needs an agent."""
    scratch.refusal = "no agent is there to whisper to"


def refuse_coaching_the_held(scratch: Scratch, _event: Command) -> None:
    """Who is on hold hears nobody."""
    scratch.refusal = "the agent is on hold"


def refuse_second_announcement(scratch: Scratch, _event: Command) -> None:
    """One at a time."""
    scratch.refusal = "an announcement is being played already"


def refuse_no_audience(scratch: Scratch, _event: Command) -> None:
    """Everybody is on hold, or waits."""
    scratch.refusal = "nobody is there to hear it"


def refuse_recorded(scratch: Scratch, _event: Command) -> None:
    """One recording at a time."""
    scratch.refusal = "it is recorded already"


def refuse_recorded_from_start(scratch: Scratch, _event: Command) -> None:
    """Twilio can't start a conference's recording again."""
    scratch.refusal = "the conference's recording was stopped and can't be started again"


def refuse_not_recorded(scratch: Scratch, _event: Command) -> None:
    """There is nothing to pause, to resume or to stop."""
    scratch.refusal = "it is not recorded"


def refuse_changing_recording(scratch: Scratch, _event: Command) -> None:
    """One request after the other."""
    scratch.refusal = "another change of the recording is under way"


def refuse_recording_consult(scratch: Scratch, _event: Command) -> None:
    """No consult is on a recording."""
    scratch.refusal = "agent and target talk without the customer"


def refuse_second_transfer(scratch: Scratch, _event: Command) -> None:
    """One at a time."""
    scratch.refusal = "a transfer runs already"


def refuse_agent_gone(scratch: Scratch, _event: Command) -> None:
    """The agent is out of it: nothing to complete, nobody to go back to."""
    scratch.refusal = "the agent has been let go already"


def refuse_winding_up(scratch: Scratch, _event: Command) -> None:
    """The transfer comes to its end."""
    scratch.refusal = "the transfer is being ended already"


def refuse_before_answer(scratch: Scratch, _event: Command) -> None:
    """The target does not take part yet."""
    scratch.refusal = "the target has not answered yet"


def refuse_no_consult(scratch: Scratch, _event: Command) -> None:
    """Nobody is held who could be let in."""
    scratch.refusal = "no consult is going on: all of them talk"


def refuse_between_steps(scratch: Scratch, _event: Command) -> None:
    """One step after the other. Whoever asked for a swap that failed knows already; it is still being undone."""
    name = scratch.transfer.step_name
    scratch.refusal = f"{name} is still being carried out" if name else "a swap is still being undone"


def report_done(scratch: Scratch, event: Convert) -> None:
    """It is in a conference already: what was asked for has happened."""
    scratch.report(event.command_id, CommandStatus.DONE)


def report_converts(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells everybody who waits for the conversion."""
    for command_id in scratch.session.converting_for:
        scratch.report(command_id, status, reason)
    scratch.change(converting_for=())


def report_call(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the call, if somebody did; only once."""
    if scratch.session.calling_for:
        scratch.report(scratch.session.calling_for, status, reason)
        scratch.change(calling_for="")


def report_transfer(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the transfer; only once."""
    if scratch.transfer.command_id:
        scratch.report(scratch.transfer.command_id, status, reason)
        scratch.change_transfer(command_id="")


def take_step(scratch: Scratch, event: Command) -> None:
    """A step of the transfer begins; one that still ran is overtaken."""
    report_step(scratch, CommandStatus.FAILED, f"overtaken by {event.name}")
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    name = event.name
    if isinstance(event, Remove):
        # Whoever removes the agent of a transfer completes it; whoever removes the target cancels it.
        agent = scratch.session.parties[AGENT]
        name = Complete.name if event.party in (agent.name, agent.call_sid) else Cancel.name
    scratch.change_transfer(step_command_id=event.command_id, step_name=name)


def report_step(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the step that is being carried out, if somebody did."""
    if scratch.transfer.step_command_id:
        scratch.report(scratch.transfer.step_command_id, status, reason)
    scratch.change_transfer(step_command_id="", step_name="")
