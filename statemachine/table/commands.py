"""Commands: what each begins, and why it is refused."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine import refusals
from conferral.statemachine.states import WITHOUT_AGENT, Situation
from conferral.statemachine.table.row import *
from conferral.statemachine.table.stages import BEFORE_ANSWER, ENDING_STAGES, TOGETHER

EVERY = tuple(command for command in on.COMMANDS if not command.opens_session)
HOLDS_OR_MUTES = (on.Hold, on.Unhold, on.Mute, on.Unmute)
#: Commands about one party who is in the conference.
ABOUT_ONE = (*HOLDS_OR_MUTES, on.Press)
#: Commands about parties; those that a bridge is converted for; and those that a transfer allows.
ABOUT_PARTIES = (on.Add, *ABOUT_ONE, on.Supervise, on.Announce)
CONVERTS_BRIDGE = (on.Convert, on.Add, on.Hold, on.Mute, on.Supervise, on.Announce, on.Press)
DURING_TRANSFER = (on.Mute, on.Unmute, on.Supervise, on.Announce, on.Press)
#: Commands that need a caller and an agent who talk.
NEEDS_ANSWER = (on.Transfer, on.Park, *CONVERTS_BRIDGE, on.Record)
#: Commands for a running transfer; the agent is removed as by `complete`.
STEPS = (on.Complete, on.Cancel, on.Swap, on.Merge)
COMPLETES = (on.Complete, on.Remove)
#: A party waits in the conference for the first answer.
OPENING = (O.CALLING, O.ARRIVING, O.DIALING)


def but_for(situation: Situation) -> tuple[type[on.Command], ...]:
    """Return the commands that are not allowed in a situation."""
    return tuple(command for command in EVERY if situation not in command.allowed_in)


# fmt: off
COMMANDS: tuple[Row, ...] = (
    # Row by row: in, phase, command, when, to, do
    # All commands
    Row(E,        ANY,        EVERY,                               None,                            STAY,
        refuse(refusals.session_has_ended)),
    Row(OPENING,  ANY,        but_for(Situation.UNANSWERED),       None,                            STAY,
        refuse(Situation.UNANSWERED)),
    Row(C,        PARKED,     but_for(Situation.PARKED),           None,                            STAY,
        refuse(Situation.PARKED)),
    Row(C,        QUEUED,     but_for(Situation.QUEUED),           None,                            STAY,
        refuse(Situation.QUEUED)),
    Row(T,        VOICEMAIL,  but_for(Situation.VOICEMAIL),        None,                            STAY,
        refuse(Situation.VOICEMAIL)),
    Row(T,        ANY,        (on.Transfer, on.Park, on.Retrieve), None,                            STAY,
        refuse(refusals.TRANSFER_IN_PROGRESS)),

    # call
    Row(B,      ANY, on.Call, when.opens_conference, O.CALLING, do.open_outbound),
    Row(B,      ANY, on.Call, when.opens_session,    STAY,      do.open_outbound),
    Row(LIVE|E, ANY, on.Call, None,                  STAY,      refuse("the session already exists")),

    # convert
    Row(T,   WITHOUT_AGENT, on.Convert, None, STAY, refuse(refusals.AGENT_LEFT_OR_LEAVING)),
    Row(C|T, ANY,           on.Convert, None, STAY, do.report_done),

    # transfer, park: a bridge is converted first, unless the agent leaves immediately
    Row(B|V|C, ANY,     on.Transfer,            when.needs_no_fallback,          STAY,
        refuse("only a blind transfer takes a fallback: others use CONFERRAL_TRANSFER_FALLBACK, if the agent is gone")),
    # TwiML under a noun's URL may not dial (13201): what needs the conference waits for the agent's key.
    Row(B,     RINGING, on.Transfer,            when.transfer_waits_for_agent,   STAY,                   do.accept_transfer),
    Row(B,     ANY,     (on.Transfer, on.Park), when.moves_only_customer,        S.MOVING_CUSTOMER,      do.begin_from_bridge),
    Row(B,     ANY,     on.Transfer,            when.is_connected,               V,
        (do.accept_transfer, do.begin_conversion)),
    Row(V,     ANY,     (on.Transfer, on.Park), when.transfer_awaits_conversion, STAY,
        refuse(refusals.TRANSFER_IN_PROGRESS)),
    Row(V,     ANY,     (on.Transfer, on.Park), None,                            STAY,                   do.accept_transfer),
    Row(C,     ANY,     (on.Transfer, on.Park), when.lacks_agent_or_customer,    STAY,                   refuse(refusals.one_side_is_gone)),
    Row(C,     ANY,     on.Transfer,            when.cannot_take_target,         STAY,                   refuse(refusals.CONFERENCE_FULL)),
    Row(C,     ANY,     (on.Transfer, on.Park), None,                            S.CLEARING_END_ON_EXIT,
        (do.accept_transfer, do.begin_accepted_transfer)),

    # retrieve
    Row(C,     PARKED|QUEUED, on.Retrieve, None, S.DIALING, do.retrieve),
    Row(B|V|C, ANY,           on.Retrieve, None, STAY,      refuse("the call is not parked")),

    # offer, which only the task `queue` sends
    Row(C,      QUEUED, on.Offer, when.can_be_offered, STAY, do.offer),
    Row(LIVE|E, ANY,    on.Offer, None,                STAY, refuse("the caller waits for no such offer")),

    # complete, cancel, swap, merge, which have only refusals above;
    # remove: of the customer as `end`, of the agent in a transfer as `complete`, of the target as `cancel`
    Row(LIVE,                   ANY, (on.Remove, *ABOUT_ONE),           when.names_unknown_party,        STAY,
        refuse(refusals.party_is_unknown)),
    Row(V,                      ANY, COMPLETES,                         when.completes_again,            STAY,
        refuse(refusals.step_is_under_way)),
    # After the conversion, the transfer begins as a blind one.
    Row(V,                      ANY, COMPLETES,                         when.completes_awaited_transfer, STAY,               do.begin_step),
    Row(LIVE,                   ANY, on.Remove,                         when.names_customer,             E,
        do.end_by_command),
    Row(B|V|C,                  ANY, on.Remove,                         None,                            STAY,
        do.remove_party),
    Row(T,                      ANY, on.Remove,                         when.transfer_continues_without, STAY,
        do.remove_party),
    Row(V,                      ANY, on.Cancel,                         when.transfer_awaits_conversion, STAY,
        do.cancel_queued_transfer),
    Row(V,                      ANY, (on.Swap, on.Merge),               when.transfer_awaits_conversion, STAY,
        refuse(refusals.TARGET_NOT_ANSWERED)),
    Row(B|V|C,                  ANY, STEPS,                             None,                            STAY,
        refuse("no transfer is in progress")),
    Row(T,                      ANY, (*STEPS, on.Remove, on.Supervise), when.no_agent_remains,           STAY,
        refuse(refusals.AGENT_LEFT_OR_LEAVING)),
    Row(ENDING_STAGES,          ANY, (*STEPS, on.Remove),               None,                            STAY,
        refuse("the transfer is already ending")),
    Row(T,                      ANY, on.Remove,                         when.names_target,               S.CANCELLING,
        do.cancel_transfer),
    Row(T,                      ANY, on.Cancel,                         None,                            S.CANCELLING,
        do.cancel_transfer),
    Row(S.COMPLETING,           ANY, COMPLETES,                         None,                            STAY,
        refuse(refusals.step_is_under_way)),
    Row(TOGETHER,               ANY, COMPLETES,                         None,                            S.COMPLETING,
        (do.begin_step, do.unhold_all)),
    # Before the target answers, it becomes a blind transfer.
    Row(S.CLEARING_END_ON_EXIT, ANY, COMPLETES,                         None,                            STAY,
        (do.begin_step, do.continue_as_blind)),
    Row(T,                      ANY, COMPLETES,                         None,                            S.HOLDING_CUSTOMER,
        (do.begin_step, do.continue_as_blind, do.hold_customer)),
    Row(BEFORE_ANSWER,          ANY, (on.Swap, on.Merge),               None,                            STAY,
        refuse(refusals.TARGET_NOT_ANSWERED)),
    Row(T,                      ANY, (on.Swap, on.Merge),               when.is_merged,                  STAY,
        refuse("no consult is in progress: all parties are talking")),
    Row(S.TALKING,              ANY, on.Swap,                           None,                            S.HOLDING_FOR_SWAP, do.swap),
    Row(S.TALKING,              ANY, on.Merge,                          None,                            S.UNHOLDING,
        (do.begin_step, do.unhold_all)),
    Row(T,                      ANY, (on.Swap, on.Merge),               None,                            STAY,
        refuse(refusals.step_is_under_way)),

    # add
    Row(B|V|C, ANY, on.Add, when.name_is_in_use, STAY, refuse("a party with this name is already on the call")),
    Row(B|V|C, ANY, on.Add, when.is_full,        STAY, refuse(refusals.CONFERENCE_FULL)),

    # hold, unhold, mute, unmute, press
    Row(B,   ANY, on.Unhold,                    None,                       STAY, refuse("the party is not on hold")),
    Row(B,   ANY, on.Unmute,                    None,                       STAY, refuse("no one is muted")),
    Row(C|T, ANY, HOLDS_OR_MUTES,               when.names_supervisor,      STAY,
        refuse("not for a supervisor: use the modes of supervise")),
    Row(C|T, ANY, ABOUT_ONE,                    when.is_outside_conference, STAY, refuse("the party is not in the conference")),
    Row(C,   ANY, on.Hold,                      when.is_last_unheld,        STAY, refuse(refusals.LAST_UNHELD)),
    Row(T,   ANY, (on.Add, on.Hold, on.Unhold), None,                       STAY, refuse("a transfer is in progress")),

    # supervise
    Row(C|T,   ANY, on.Supervise, when.has_another_supervisor,  STAY, refuse("another supervisor is on the call, or still leaving")),
    Row(V|C|T, ANY, on.Supervise, when.supervisor_is_pending,   STAY, refuse("a supervisor is still being dialed")),
    Row(C,     ANY, on.Supervise, when.has_no_agent_to_coach,   STAY, refuse(refusals.NO_AGENT_TO_COACH)),
    Row(C|T,   ANY, on.Supervise, when.agent_to_coach_is_held,  STAY, refuse("the agent is on hold")),
    Row(C|T,   ANY, on.Supervise, when.switches_supervise_mode, STAY, do.switch_supervise_mode),
    Row(C|T,   ANY, on.Supervise, when.is_full,                 STAY, refuse(refusals.CONFERENCE_FULL)),

    # announce, press
    Row(V|C|T, ANY, (on.Announce, on.Press), when.playing_command, STAY, refuse("another announcement is playing")),
    Row(C|T,   ANY, on.Announce,             when.has_no_audience, STAY, refuse(refusals.NO_ONE_HEARS)),
    Row(C|T,   ANY, on.Press,                when.cannot_hear,     STAY, refuse(refusals.CANT_HEAR)),

    # What none of these refuses: a bridge is converted first
    Row(B, RINGING, CONVERTS_BRIDGE,              when.agent_is_confirming, STAY, do.queue_command),
    Row(B, ANY,     CONVERTS_BRIDGE,              when.is_connected,        V,    (do.queue_command, do.begin_conversion)),
    Row(V, ANY,     (on.Convert, *ABOUT_PARTIES), None,                     STAY, do.queue_command),
    Row(C, ANY,     ABOUT_PARTIES,                None,                     STAY, do.begin_command),
    Row(T, ANY,     DURING_TRANSFER,              None,                     STAY, do.begin_command),

    # record
    Row(T,     CONSULT, on.Record, when.would_record_consult,    STAY, refuse("agent and target are talking without the customer")),
    Row(LIVE,  ANY,     on.Record, when.is_changing_recording,   STAY, refuse("another change to the recording is in progress")),
    Row(LIVE,  ANY,     on.Record, when.is_recorded_already,     STAY, refuse("already recording")),
    Row(LIVE,  ANY,     on.Record, when.would_restart_recording, STAY,
        refuse("the conference's recording was stopped and can't be restarted")),
    Row(LIVE,  ANY,     on.Record, when.is_not_recorded,         STAY, refuse("not recording")),
    Row(B,     ANY,     on.Record, when.is_connected,            STAY, do.begin_recording_change),
    Row(V|C|T, ANY,     on.Record, None,                         STAY, do.begin_recording_change),

    # end
    Row(LIVE, ANY, on.End, None, E, do.end_by_command),

    # A bridge without one of its calls refuses what the rows above would have begun.
    Row(B, RINGING, NEEDS_ANSWER, None, STAY, refuse(Situation.UNANSWERED)),
    Row(B, ANY,     NEEDS_ANSWER, None, STAY, refuse(refusals.one_side_is_gone)),
)
# fmt: on
