"""Commands: when each is refused, for instance with no transfer in progress, and what each begins.

A refusal names its reason, or the function that returns it. `ANY` means every command but `call`.
"""

from conferral.statemachine import refusals
from conferral.statemachine.events import COMMANDS as EVERY
from conferral.statemachine.events import (
    Add,
    Announce,
    Call,
    Cancel,
    Complete,
    Convert,
    End,
    Hold,
    Merge,
    Mute,
    Park,
    Record,
    Remove,
    Retrieve,
    Supervise,
    Swap,
    Transfer,
    Unhold,
    Unmute,
)
from conferral.statemachine.table import do, when
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, O, Refuse, Row, S, T, V
from conferral.statemachine.table.stages import BEFORE_ANSWER, ENDING, TOGETHER

#: Every command but `call`.
ANY = tuple(command for command in EVERY if command is not Call)
#: Commands that need a caller and an agent who talk.
NEEDS_ANSWER = (Convert, Transfer, Park, Add, Hold, Mute, Supervise, Announce, Record)
#: Commands that need a conference that has started.
NEEDS_CONFERENCE = (Transfer, Park, Add, Hold, Unhold, Mute, Unmute, Supervise, Announce, Record)
#: Commands that a parked call refuses.
NEEDS_AGENT = (Transfer, Park, Add, Hold, Unhold, Mute, Unmute, Supervise)
#: Steps of a transfer that is in progress.
TRANSFER_STEPS = (Complete, Cancel, Swap, Merge)
#: Those, and `remove`, which completes or cancels a transfer.
STEPS_OR_REMOVE = (Complete, Cancel, Swap, Merge, Remove)
#: Commands that a conference and a transfer carry out alike.
WORKS_IN_TRANSFER = (Mute, Unmute, Supervise, Announce)
#: Commands that convert a bridged call first, and wait for its conversion.
ADDS_OR_SILENCES = (Add, Hold, Mute, Supervise, Announce)
#: Commands that wait for a running conversion.
WAITS_FOR_CONFERENCE = (*ADDS_OR_SILENCES, Unhold, Unmute)

#: A party waits in the conference for the first answer.
OPENING = (O.CALLING, O.ARRIVING, O.DIALING)

# fmt: off
COMMANDS: tuple[Row | Refuse, ...] = (
    #      in                      command                        when                               to                      do, or the reason
    Refuse(E,                      ANY,                           None,                              refusals.session_has_ended),
    Refuse(B,                      NEEDS_ANSWER,                  when.is_ringing,                   "no one has answered yet"),
    Refuse(T,                      Convert,                       when.customer_waits_without_agent, "the agent has left or is leaving"),
    Refuse(OPENING,                NEEDS_CONFERENCE,              None,                              "no one has answered yet"),
    Refuse(C,                      NEEDS_AGENT,                   when.is_parked,                    "the call is parked"),
    Refuse(T,                      (Transfer, Park, Retrieve),    None,                              "another transfer is in progress"),
    Refuse(V,                      (Transfer, Park),              when.transfer_awaits_conversion,   "another transfer is in progress"),
    Refuse(C,                      (Transfer, Park),              when.lacks_agent_or_customer,      refusals.one_side_is_gone),
    Refuse(C,                      Transfer,                      when.cannot_take_target,           "the conference is full"),
    Refuse(V,                      Complete,                      when.park_awaits_conversion,       "no transfer is in progress"),
    Refuse(V,                      (Swap, Merge),                 when.transfer_awaits_conversion,   "the target has not answered yet"),
    Refuse(B|V|C,                  Add,                           when.name_is_in_use,               "a party with this name is already on the call"),
    Refuse(T,                      (Add, Hold, Unhold),           None,                              "a transfer is in progress"),
    Refuse(LIVE,                   (Remove, Mute),                when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(B|V|C,                  Hold,                          when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(V|C,                    Unhold,                        when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(V|C|T,                  Unmute,                        when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(C,                      (Hold, Unhold),                when.names_supervisor,             refusals.MODE_DECIDES),
    Refuse(C|T,                    (Mute, Unmute),                when.names_supervisor,             refusals.MODE_DECIDES),
    Refuse(C,                      (Hold, Unhold),                when.is_outside_conference,        "the party is not in the conference"),
    Refuse(C|T,                    (Mute, Unmute),                when.is_outside_conference,        "the party is not in the conference"),
    Refuse(C,                      Hold,                          when.is_last_unheld,               refusals.LAST_UNHELD),
    Refuse(B,                      Unhold,                        None,                              "the party is not on hold"),
    Refuse(B,                      Unmute,                        None,                              "no one is muted"),
    Refuse(V|C|T,                  Announce,                      when.is_announcing,                "another announcement is playing"),
    Refuse(C|T,                    Announce,                      when.has_no_audience,              "no one is there to hear it"),
    Refuse(T,                      Record,                        when.would_record_consult,         "agent and target are talking without the customer"),
    Refuse(LIVE,                   Record,                        when.is_changing_recording,        "another change to the recording is in progress"),
    Refuse(B|V|C,                  Add,                           when.is_full,                      "the conference is full"),
    Row(   B,                      Call,                          when.opens_conference,             O.CALLING,              do.open_outbound_conference),
    Row(   B,                      Call,                          when.opens_session,                STAY,                   do.open_outbound),
    Refuse(LIVE|E,                 Call,                          None,                              "the session already exists"),
    Row(   B,                      Convert,                       when.is_connected,                 V,                      (do.accept_convert, do.begin_conversion)),
    Row(   C|T,                    Convert,                       None,                              STAY,                   do.report_done),
    Row(   V,                      Convert,                       None,                              STAY,                   do.accept_convert),
    Row(   B,                      (Transfer, Park),              when.moves_only_customer,          S.MOVING_CUSTOMER,      do.begin_from_bridge),
    Row(   B,                      Transfer,                      when.is_connected,                 V,                      (do.accept_transfer, do.begin_conversion)),
    Row(   V,                      (Complete, Remove),            when.completes_awaited_transfer,   STAY,                   do.complete_queued),
    Row(   V,                      Cancel,                        when.transfer_awaits_conversion,   STAY,                   do.cancel_queued_transfer),
    Refuse(B|V|C,                  TRANSFER_STEPS,                None,                              "no transfer is in progress"),
    Row(   C,                      Retrieve,                      when.is_parked,                    S.DIALING,              do.retrieve),
    Refuse(B|V|C,                  Retrieve,                      None,                              "the call is not parked"),
    Row(   LIVE,                   Remove,                        when.names_customer,               E,                      do.end_by_command),
    Row(   T,                      Remove,                        when.transfer_continues_without,   STAY,                   do.remove_party),
    Refuse(T,                      (*STEPS_OR_REMOVE, Supervise), when.agent_was_released,           "the agent has left or is leaving"),
    Refuse(ENDING,                 STEPS_OR_REMOVE,               None,                              "the transfer is already ending"),
    Refuse(BEFORE_ANSWER,          (Swap, Merge),                 None,                              "the target has not answered yet"),
    Refuse(T,                      (Swap, Merge),                 when.is_not_consult,               "no consult is in progress: all parties are talking"),
    Refuse(V|C|T,                  Supervise,                     when.has_another_supervisor,       "another supervisor is already on the call"),
    Refuse(V|C|T,                  Supervise,                     when.supervisor_is_pending,        "the supervisor is still being dialed"),
    Refuse(C,                      Supervise,                     when.has_no_agent_to_coach,        "there is no agent to whisper to"),
    Refuse(C|T,                    Supervise,                     when.agent_to_coach_is_held,       "the agent is on hold"),
    Row(   T,                      Remove,                        when.names_target,                 S.CANCELLING,           do.cancel_transfer),
    Refuse(S.COMPLETING,           (Complete, Remove),            None,                              refusals.step_is_under_way),
    Row(   TOGETHER,               (Complete, Remove),            None,                              S.COMPLETING,           (do.begin_step, do.unhold_all)),
    Row(   C|T,                    Supervise,                     when.switches_supervise_mode,      STAY,                   do.switch_supervise_mode),
    Refuse(C|T,                    Supervise,                     when.is_full,                      "the conference is full"),
    Row(   B,                      ADDS_OR_SILENCES,              when.is_connected,                 V,                      (do.queue_command, do.begin_conversion)),
    Row(   T,                      Record,                        when.is_paused_for_consult,        STAY,                   do.keep_recording_paused),
    Refuse(LIVE,                   Record,                        when.is_recorded_already,          "already recording"),
    Refuse(LIVE,                   Record,                        when.was_recorded_from_start,      refusals.RECORDING_CANT_RESTART),
    Refuse(LIVE,                   Record,                        when.is_not_recorded,              "not recording"),
    Row(   LIVE,                   Record,                        when.recording_is_as_requested,    STAY,                   do.report_done),
    Row(   B,                      Record,                        when.is_connected,                 STAY,                   do.begin_recording_change),
    Refuse(B,                      NEEDS_ANSWER,                  None,                              refusals.one_side_is_gone),
    Row(   V,                      (Transfer, Park),              None,                              STAY,                   do.accept_transfer),
    Row(   C,                      (Transfer, Park),              None,                              S.CLEARING_END_ON_EXIT, (do.accept_transfer, do.begin_pending_transfer)),
    Row(   S.CLEARING_END_ON_EXIT, (Complete, Remove),            None,                              STAY,                   (do.begin_step, do.continue_as_blind)),
    Row(   T,                      (Complete, Remove),            None,                              S.HOLDING_CUSTOMER,     (do.begin_step, do.continue_as_blind)),
    Row(   T,                      Cancel,                        None,                              S.CANCELLING,           do.cancel_transfer),
    Row(   S.TALKING,              Swap,                          None,                              S.SWAPPING,             do.swap),
    Row(   S.TALKING,              Merge,                         None,                              S.MERGING,              (do.begin_step, do.unhold_all)),
    Refuse(T,                      (Swap, Merge),                 None,                              refusals.step_is_under_way),
    Row(   C,                      (Add, Hold, Unhold),           None,                              STAY,                   do.begin_command),
    Row(   C|T,                    WORKS_IN_TRANSFER,             None,                              STAY,                   do.begin_command),
    Row(   V,                      WAITS_FOR_CONFERENCE,          None,                              STAY,                   do.queue_command),
    Row(   B|V|C,                  Remove,                        None,                              STAY,                   do.remove_party),
    Row(   V|C|T,                  Record,                        None,                              STAY,                   do.begin_recording_change),
    Row(   LIVE,                   End,                           None,                              E,                      do.end_by_command),
)
# fmt: on
