"""Rows without an event: tried after every event that was taken."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import STAY, B, C, E, O, Row, S, T, V
from conferral.statemachine.table.stages import CALLING_BACK, ENDS, RETURNING

#: Stages of an opening before the other party is dialed.
BEFORE_DIAL = (O.CALLING, O.ARRIVING)

# fmt: off
AUTOMATIC: tuple[Row, ...] = (
    #   in           event         when                               to                      do
    # A party waits: for the first agent, or parked.
    Row(C,           on.Automatic, when.waiting_party_has_left,       E,                      do.end_waiting_party_gone),
    Row(C,           on.Automatic, when.is_empty,                     E,                      do.end_by_first_to_leave),
    Row(O.DIALING,   on.Automatic, when.expected_party_takes_part,    O.OVER,                 do.finish_opening),
    Row(C,           on.Automatic, when.parked_call_was_retrieved,    STAY,                   do.settle_lost_retrieve),
    Row(T,           on.Automatic, when.customer_has_left,            E,                      do.end_customer_gone),
    Row(B|V|T,       on.Automatic, when.reread_is_due,                STAY,                   do.read_calls),
    Row(V,           on.Automatic, when.agent_left_early,             S.MOVING_CUSTOMER,      do.continue_without_agent),
    Row(V,           on.Automatic, when.parent_joined_alone,          E,                      do.end_by_first_to_leave),
    Row(B|V,         on.Automatic, when.recording_is_due,             STAY,                   do.record_customer),
    Row(T,           on.Automatic, when.agent_left_by_command,        STAY,                   do.report_agent_gone),
    Row(B|V|T,       on.Automatic, when.leaving_party_can_be_hung_up, STAY,                   do.hang_up_leaving_parties),
    # First, since the next command may reuse the name of a removed party.
    Row(B|V|C,       on.Automatic, when.has_finished_command,         STAY,                   do.finish_commands),
    Row(O.DIALING,   on.Automatic, when.next_agent_is_due,            STAY,                   do.dial_next_agent),
    Row(O.DIALING,   on.Automatic, when.expected_party_failed,        E,                      do.end_no_one_reached),
    Row(BEFORE_DIAL, on.Automatic, when.waiting_party_has_joined,     O.DIALING,              do.dial_expected_party),
    Row(C,           on.Automatic, when.waiting_party_is_missing,     STAY,                   do.watch_waiting_party),
    Row(C,           on.Automatic, when.waiting_party_is_present,     STAY,                   do.stop_watching_waiting_party),
    # Commands that arrived during the conversion.
    Row(C,           on.Automatic, when.has_queued_command,           STAY,                   do.begin_queued_commands),
    Row(C,           on.Automatic, when.transfer_awaits_conversion,   S.CLEARING_END_ON_EXIT, do.begin_pending_transfer),
    Row(C,           on.Automatic, when.is_newly_alone,               STAY,                   do.start_lone_grace),
    Row(C,           on.Automatic, when.is_no_longer_alone,           STAY,                   do.stop_lone_grace),
    Row(C,           on.Automatic, when.all_are_held,                 STAY,                   do.unhold_all),
    Row(RETURNING,   on.Automatic, when.agent_left_after_transfer,    E,                      do.end(EndReason.AGENT_LEFT)),
    # The customer has no one to talk to, and no one is being dialed.
    Row(T,           on.Automatic, when.retrieve_has_failed,          C,                      do.return_to_park),
    Row(T,           on.Automatic, when.failed_with_others_present,   S.RETURNING_CUSTOMER,   (do.note_transfer_failed, do.unhold_customer)),
    Row(T,           on.Automatic, when.transfer_failed_for_good,     E,                      do.end_transfer_failed),
    Row(T,           on.Automatic, when.fallback_is_due,              CALLING_BACK,           do.fall_back),
    *ENDS,
    Row(C|T,         on.Automatic, when.has_command_ready_to_dial,    STAY,                   do.dial_added_parties),
    Row(T,           on.Automatic, when.has_finished_command,         STAY,                   do.finish_commands),
    Row(C|T,         on.Automatic, when.supervisor_has_joined,        STAY,                   do.await_supervisor_mode),
    Row(C|T,         on.Automatic, when.supervisor_has_left,          STAY,                   do.note_supervisor_left),
    Row(C|T,         on.Automatic, when.recording_is_due,             STAY,                   do.record_customer),
    Row(C|T,         on.Automatic, when.should_resume_recording,      STAY,                   do.resume_after_consult),
    Row(C,           on.Automatic, when.reread_is_due,                STAY,                   do.read_calls),
    Row(C,           on.Automatic, when.has_losing_target,            STAY,                   do.hang_up_losing_targets),
    Row(C,           on.Automatic, when.leaving_party_can_be_hung_up, STAY,                   do.hang_up_leaving_parties),
    # Last, once the desired state is final: one update at a time, a hold before end-on-exit.
    Row(C|T,         on.Automatic, when.party_waits_in_silence,       STAY,                   do.hold_silent_party),
    Row(C|T,         on.Automatic, when.party_is_kept_from_others,    STAY,                   do.unhold_kept_party),
    Row(C|T,         on.Automatic, when.differs_from_desired,         STAY,                   do.reconcile),
    Row(C|T,         on.Automatic, when.is_reconciled,                STAY,                   do.finish_reconciliation),
)
# fmt: on
