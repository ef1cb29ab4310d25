"""Commands: what they begin; refusals, such as no transfer in progress."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine import refusals
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, O, Refuse, Row, S, T, V
from conferral.statemachine.table.stages import BEFORE_ANSWER, ENDING, TOGETHER

ANY = tuple(command for command in on.COMMANDS if command is not on.Call)
#: Commands that a parked call refuses.
NEEDS_AGENT = (on.Transfer, on.Park, on.Add, on.Hold, on.Unhold, on.Mute, on.Unmute, on.Supervise)
#: Commands that need a started conference.
NEEDS_CONFERENCE = (*NEEDS_AGENT, on.Announce, on.Record)
TRANSFER_STEPS = (on.Complete, on.Cancel, on.Swap, on.Merge)
#: A transfer's steps, and `remove`, which completes or cancels a transfer.
STEPS_OR_REMOVE = (*TRANSFER_STEPS, on.Remove)
#: Commands that a conference and a transfer carry out alike.
WORKS_IN_TRANSFER = (on.Mute, on.Unmute, on.Supervise, on.Announce)
#: Commands that convert a bridged call first, and wait for its conversion.
ADDS_OR_SILENCES = (on.Add, on.Hold, on.Mute, on.Supervise, on.Announce)
#: Commands that wait for a running conversion.
WAITS_FOR_CONFERENCE = (*ADDS_OR_SILENCES, on.Unhold, on.Unmute)
#: Commands that need a caller and an agent who talk.
NEEDS_ANSWER = (on.Convert, on.Transfer, on.Park, *ADDS_OR_SILENCES, on.Record)

#: A party waits in the conference for the first answer.
OPENING = (O.CALLING, O.ARRIVING, O.DIALING)

# fmt: off
COMMANDS: tuple[Row | Refuse, ...] = (
    #      in                      command                              when                               to                      do, or the reason
    Refuse(E,                      ANY,                                 None,                              refusals.session_has_ended),
    Refuse(B,                      NEEDS_ANSWER,                        when.is_ringing,                   "no one has answered yet"),
    Refuse(T,                      on.Convert,                          when.customer_waits_without_agent, "the agent has left or is leaving"),
    Refuse(OPENING,                NEEDS_CONFERENCE,                    None,                              "no one has answered yet"),
    Refuse(C,                      NEEDS_AGENT,                         when.is_parked,                    "the call is parked"),
    Refuse(T,                      (on.Transfer, on.Park, on.Retrieve), None,                              "another transfer is in progress"),
    Refuse(V,                      (on.Transfer, on.Park),              when.transfer_awaits_conversion,   "another transfer is in progress"),
    Refuse(C,                      (on.Transfer, on.Park),              when.lacks_agent_or_customer,      refusals.one_side_is_gone),
    Refuse(C,                      on.Transfer,                         when.cannot_take_target,           "the conference is full"),
    Refuse(V,                      (on.Complete, on.Remove),            when.completes_again,              refusals.step_is_under_way),
    Refuse(V,                      (on.Swap, on.Merge),                 when.transfer_awaits_conversion,   "the target has not answered yet"),
    Refuse(B|V|C,                  on.Add,                              when.name_is_in_use,               "a party with this name is already on the call"),
    Refuse(T,                      (on.Add, on.Hold, on.Unhold),        None,                              "a transfer is in progress"),
    Refuse(LIVE,                   (on.Remove, on.Mute),                when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(B|V|C,                  on.Hold,                             when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(V|C,                    on.Unhold,                           when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(V|C|T,                  on.Unmute,                           when.names_unknown_party,          refusals.party_is_unknown),
    Refuse(C,                      (on.Hold, on.Unhold),                when.names_supervisor,             refusals.MODE_DECIDES),
    Refuse(C|T,                    (on.Mute, on.Unmute),                when.names_supervisor,             refusals.MODE_DECIDES),
    Refuse(C,                      (on.Hold, on.Unhold),                when.is_outside_conference,        "the party is not in the conference"),
    Refuse(C|T,                    (on.Mute, on.Unmute),                when.is_outside_conference,        "the party is not in the conference"),
    Refuse(C,                      on.Hold,                             when.is_last_unheld,               refusals.LAST_UNHELD),
    Refuse(B,                      on.Unhold,                           None,                              "the party is not on hold"),
    Refuse(B,                      on.Unmute,                           None,                              "no one is muted"),
    Refuse(V|C|T,                  on.Announce,                         when.is_announcing,                "another announcement is playing"),
    Refuse(C|T,                    on.Announce,                         when.has_no_audience,              "no one is there to hear it"),
    Refuse(T,                      on.Record,                           when.would_record_consult,         "agent and target are talking without the customer"),
    Refuse(LIVE,                   on.Record,                           when.is_changing_recording,        "another change to the recording is in progress"),
    Refuse(B|V|C,                  on.Add,                              when.is_full,                      "the conference is full"),
    Row(   B,                      on.Call,                             when.opens_conference,             O.CALLING,              do.open_outbound_conference),
    Row(   B,                      on.Call,                             when.opens_session,                STAY,                   do.open_outbound),
    Refuse(LIVE|E,                 on.Call,                             None,                              "the session already exists"),
    Row(   B,                      on.Convert,                          when.is_connected,                 V,                      (do.accept_convert, do.begin_conversion)),
    Row(   C|T,                    on.Convert,                          None,                              STAY,                   do.report_done),
    Row(   V,                      on.Convert,                          None,                              STAY,                   do.accept_convert),
    Row(   B,                      (on.Transfer, on.Park),              when.moves_only_customer,          S.MOVING_CUSTOMER,      do.begin_from_bridge),
    Row(   B,                      on.Transfer,                         when.is_connected,                 V,                      (do.accept_transfer, do.begin_conversion)),
    Row(   V,                      (on.Complete, on.Remove),            when.completes_awaited_transfer,   STAY,                   do.complete_queued),
    Row(   V,                      on.Cancel,                           when.transfer_awaits_conversion,   STAY,                   do.cancel_queued_transfer),
    Refuse(B|V|C,                  TRANSFER_STEPS,                      None,                              "no transfer is in progress"),
    Row(   C,                      on.Retrieve,                         when.is_parked,                    S.DIALING,              do.retrieve),
    Refuse(B|V|C,                  on.Retrieve,                         None,                              "the call is not parked"),
    Row(   LIVE,                   on.Remove,                           when.names_customer,               E,                      do.end_by_command),
    Row(   T,                      on.Remove,                           when.transfer_continues_without,   STAY,                   do.remove_party),
    Refuse(T,                      (*STEPS_OR_REMOVE, on.Supervise),    when.agent_was_released,           "the agent has left or is leaving"),
    Refuse(ENDING,                 STEPS_OR_REMOVE,                     None,                              "the transfer is already ending"),
    Refuse(BEFORE_ANSWER,          (on.Swap, on.Merge),                 None,                              "the target has not answered yet"),
    Refuse(T,                      (on.Swap, on.Merge),                 when.is_not_consult,               "no consult is in progress: all parties are talking"),
    Refuse(V|C|T,                  on.Supervise,                        when.has_another_supervisor,       refusals.supervisor_is_present),
    Refuse(V|C|T,                  on.Supervise,                        when.supervisor_is_pending,        "the supervisor is still being dialed"),
    Refuse(C,                      on.Supervise,                        when.has_no_agent_to_coach,        refusals.NO_AGENT_TO_COACH),
    Refuse(C|T,                    on.Supervise,                        when.agent_to_coach_is_held,       "the agent is on hold"),
    Row(   T,                      on.Remove,                           when.names_target,                 S.CANCELLING,           do.cancel_transfer),
    Refuse(S.COMPLETING,           (on.Complete, on.Remove),            None,                              refusals.step_is_under_way),
    Row(   TOGETHER,               (on.Complete, on.Remove),            None,                              S.COMPLETING,           (do.begin_step, do.unhold_all)),
    Row(   C|T,                    on.Supervise,                        when.switches_supervise_mode,      STAY,                   do.switch_supervise_mode),
    Refuse(C|T,                    on.Supervise,                        when.is_full,                      "the conference is full"),
    Row(   B,                      ADDS_OR_SILENCES,                    when.is_connected,                 V,                      (do.queue_command, do.begin_conversion)),
    Row(   T,                      on.Record,                           when.is_paused_for_consult,        STAY,                   do.keep_recording_paused),
    Refuse(LIVE,                   on.Record,                           when.is_recorded_already,          "already recording"),
    Refuse(LIVE,                   on.Record,                           when.was_recorded_from_start,      refusals.RECORDING_CANT_RESTART),
    Refuse(LIVE,                   on.Record,                           when.is_not_recorded,              "not recording"),
    Row(   LIVE,                   on.Record,                           when.recording_is_as_requested,    STAY,                   do.report_done),
    Row(   B,                      on.Record,                           when.is_connected,                 STAY,                   do.begin_recording_change),
    Refuse(B,                      NEEDS_ANSWER,                        None,                              refusals.one_side_is_gone),
    Row(   V,                      (on.Transfer, on.Park),              None,                              STAY,                   do.accept_transfer),
    Row(   C,                      (on.Transfer, on.Park),              None,                              S.CLEARING_END_ON_EXIT, (do.accept_transfer, do.begin_pending_transfer)),
    Row(   S.CLEARING_END_ON_EXIT, (on.Complete, on.Remove),            None,                              STAY,                   (do.begin_step, do.continue_as_blind)),
    Row(   T,                      (on.Complete, on.Remove),            None,                              S.HOLDING_CUSTOMER,     (do.begin_step, do.continue_as_blind)),
    Row(   T,                      on.Cancel,                           None,                              S.CANCELLING,           do.cancel_transfer),
    Row(   S.TALKING,              on.Swap,                             None,                              S.SWAPPING,             do.swap),
    Row(   S.TALKING,              on.Merge,                            None,                              S.MERGING,              (do.begin_step, do.unhold_all)),
    Refuse(T,                      (on.Swap, on.Merge),                 None,                              refusals.step_is_under_way),
    Row(   C,                      (on.Add, on.Hold, on.Unhold),        None,                              STAY,                   do.begin_command),
    Row(   C|T,                    WORKS_IN_TRANSFER,                   None,                              STAY,                   do.begin_command),
    Row(   V,                      WAITS_FOR_CONFERENCE,                None,                              STAY,                   do.queue_command),
    Row(   B|V|C,                  on.Remove,                           None,                              STAY,                   do.remove_party),
    Row(   V|C|T,                  on.Record,                           None,                              STAY,                   do.begin_recording_change),
    Row(   LIVE,                   on.End,                              None,                              E,                      do.end_by_command),
)
# fmt: on
